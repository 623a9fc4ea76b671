"""The table of faults is what the tests are: it cannot list one that does not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
PRINT = (
    "import sys; from pathlib import Path; import faults\n"
    "for number, tests in faults.collect(Path(sys.argv[1])).items():\n"
    "    print(number, *(f'{test.words}: {test.boards}' for test in tests), sep='; ')"
)
SAMPLE = """
import pytest
@pytest.fixture(params=["local", pytest.param("emulated", marks=pytest.mark.slow)])
def way(request): return request.param
def test_f07_counts(way): pass
@pytest.mark.skip
def test_f08_is_skipped(): pass
@pytest.mark.xfail
def test_f09_is_expected_to_fail(): pass
def helper_test_f10_is_no_test(): pass
def test_without_a_number(): pass
"""


def test_the_table_of_faults_is_that_of_the_tests_and_none_is_missing():
    done = subprocess.run([sys.executable, TOOLS / "faults.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_tests_that_run_are_listed_each_with_its_boards(tmp_path: Path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow: minutes\n")
    command = [sys.executable, "-c", PRINT, str(tmp_path)]
    done = subprocess.run(command, cwd=TOOLS, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["7; counts: {'this machine': False, 'emulated ARM': True}"], done.stderr


def test_a_file_that_cannot_be_collected_is_an_error_and_no_gap(tmp_path: Path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_sample.py").write_text("import no_such_module\ndef test_f07_counts(): pass\n")
    done = subprocess.run([sys.executable, "-c", PRINT, str(tmp_path)], cwd=TOOLS, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no_such_module" in done.stderr
