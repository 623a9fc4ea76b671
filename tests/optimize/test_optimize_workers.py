"""The processes of a run: started when needed, replaced after a crash, gone at the end; the log stays where needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekit.core.child import ChildDied
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import ignore
from edgekit.core.places import cache_dir
from edgekit.optimize.workers import Workers

TASKS = "tests.core.child_tasks"


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package ``tensorflow`` that only says that it was imported, and by whom: the real one takes seconds."""
    package = tmp_path / "shadow" / "tensorflow"
    package.mkdir(parents=True)
    notes = tmp_path / "imports"
    (package / "__init__.py").write_text(
        f"import os\nwith open({str(notes)!r}, 'a') as file:\n    file.write(f'{{os.getpid()}}\\n')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return notes


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_no_process_starts_before_it_is_needed(shadow):
    with Workers(ignore) as workers:
        assert workers.light(f"{TASKS}:add", a=2, b=3) == 5
    assert not shadow.exists()


def test_tensorflow_is_imported_once_by_the_heavy_process_and_never_by_the_light_one(shadow):
    with Workers(ignore) as workers:
        heavy, again = workers.heavy(f"{TASKS}:process_id"), workers.heavy(f"{TASKS}:process_id")
        light = workers.light(f"{TASKS}:process_id")
        assert workers.heavy(f"{TASKS}:imported", name="tensorflow")
        assert not workers.light(f"{TASKS}:imported", name="tensorflow")
    assert heavy == again
    assert len({heavy, light, os.getpid()}) == 3
    assert shadow.read_text().split() == [str(heavy)]


def test_all_processes_are_gone_at_the_end(shadow):
    with Workers(ignore) as workers:
        pids = [workers.heavy(f"{TASKS}:process_id"), workers.light(f"{TASKS}:process_id")]
        assert all(map(is_running, pids))
    assert not any(map(is_running, pids))


def test_an_interrupted_run_leaves_no_process_and_no_log(shadow):
    workers = Workers(ignore)
    pids = []

    def interrupted() -> None:
        with workers:
            pids.append(workers.heavy(f"{TASKS}:process_id"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_running(pids[0])
    assert not workers.log.exists()


def test_after_a_crash_the_next_call_gets_a_new_process(shadow):
    with Workers(ignore) as workers:
        before = workers.heavy(f"{TASKS}:process_id")
        with pytest.raises(ChildDied) as caught:
            workers.heavy(f"{TASKS}:crash")
        assert caught.value.signal_name == "SIGSEGV"
        after = workers.heavy(f"{TASKS}:process_id")
    assert before != after
    assert shadow.read_text().split() == [str(before), str(after)]


def test_a_crash_of_the_light_process_is_an_error_of_the_model(shadow):
    with Workers(ignore) as workers:
        with pytest.raises(ModelError, match="SIGSEGV") as caught:
            workers.light(f"{TASKS}:crash")
        assert str(workers.log) in str(caught.value.hint)
        assert workers.light(f"{TASKS}:add", a=1, b=1) == 2


def test_an_error_of_ours_keeps_its_class_and_its_process(shadow):
    with Workers(ignore) as workers:
        before = workers.light(f"{TASKS}:process_id")
        with pytest.raises(DataError, match="row 7 is empty"):
            workers.light(f"{TASKS}:refuse")
        assert workers.light(f"{TASKS}:process_id") == before
    assert not workers.log.exists()


@pytest.mark.parametrize("kind", ["heavy", "light"])
def test_the_log_stays_where_an_error_names_it(shadow, kind):
    workers = Workers(ignore)

    def failing() -> None:
        with workers:
            getattr(workers, kind)(f"{TASKS}:chatter")
            getattr(workers, kind)(f"{TASKS}:crash")

    with pytest.raises(ModelError) as caught:
        failing()
    assert str(workers.log) in str(caught.value.hint)
    assert "to standard error" in workers.log.read_text()


def test_the_log_goes_with_a_run_that_went_well(shadow):
    with Workers(ignore) as workers:
        workers.light(f"{TASKS}:chatter")
        assert "to standard output" in workers.log.read_text()
    assert list((cache_dir() / "logs").iterdir()) == []


def test_runs_do_not_leave_open_files_behind(shadow):
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    for _ in range(5):
        with Workers(ignore) as workers:
            workers.log.read_text()
    assert open_files() == before


def test_a_cache_that_cannot_be_written_to_names_its_place(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot write to") as caught:
        Workers(ignore)
    assert "EDGEKIT_HOME" in str(caught.value.hint)
