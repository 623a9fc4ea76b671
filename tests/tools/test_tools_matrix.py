"""The table of techniques: what works, what is refused and why, and what is a defect."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def matrix() -> Any:
    spec = importlib.util.spec_from_file_location("matrix", ROOT / "tools" / "matrix.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["matrix"] = module
    spec.loader.exec_module(module)
    return module


def test_every_cell_says_what_came_of_it_and_equal_reasons_are_given_once(matrix: Any) -> None:
    refused = matrix.Cell(
        state="refused", reason="layer 'memory' of lstm-keras.keras cannot be trained", hint="leave it"
    )
    cells = {
        "small_cnn int8": matrix.Cell(state="works", ratio=0.3),
        "small_cnn qat-int8": matrix.Cell(state="works-with-float", ratio=0.99),
        "lstm int8": refused,
        "lstm qat-int8": refused,
        "gru int8": matrix.Cell(state="defect", reason="ZeroDivisionError"),
        "gru qat-int8": matrix.Cell(state="refused", reason="another | reason", hint="wait"),
    }
    lines = matrix.table(cells, ["small_cnn", "lstm", "gru"], ["int8", "qat-int8"]).splitlines()
    assert lines[0] == "| | int8 | qat-int8 |"
    assert lines[2] == "| small cnn | ✓ | (✓) = |"
    assert lines[3] == "| lstm | a | a |"
    assert lines[4] == "| gru | **DEFECT** | b |"
    assert "- **a** layer 'memory' of the model cannot be trained" in lines
    assert "- **b** another / reason" in lines


def test_the_table_goes_between_the_markers_and_nowhere_else(matrix: Any, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{matrix.BEGIN}\nold\n{matrix.END}\nafter\n")
    matrix._update(readme, "| new |")
    assert readme.read_text() == f"before\n{matrix.BEGIN}\n| new |\n{matrix.END}\nafter\n"
    readme.write_text("nothing\n")
    with pytest.raises(SystemExit, match="no place for the table"):
        matrix._update(readme, "| new |")
    assert readme.read_text() == "nothing\n"
