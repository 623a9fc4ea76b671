"""The table and the sentence of a comparison: a change and its interval in one form."""

from __future__ import annotations

import dataclasses
import io

import pytest
from gate_cases import compared
from rich.console import Console

from edgekit.report.compared import comparison_sentence, comparison_table


@pytest.mark.parametrize(
    ("ratio", "bounds", "cell"),
    [
        (1.041, (1.038, 1.044), "+4.1 % (+3.8 to +4.4 %)"),
        (0.912, (0.346, 1.685), "-8.8 % (-65.4 to +68.5 %)"),
        (2.11, (1.801, 4.41), "2.11× (1.80 to 4.41×)"),
        (0.885, (0.346, 2.69), "0.89× (0.35 to 2.69×)"),
        (3.14, None, "3.14×"),
        (1.041, None, "+4.1 %"),
    ],
)
def test_a_change_and_its_interval_are_in_one_form(ratio, bounds, cell) -> None:
    found = dataclasses.replace(compared(slower=0.2), ratio=ratio, ci95=bounds)
    console = Console(file=io.StringIO(), width=120)
    console.print(comparison_table(found))
    (line,) = [line for line in console.file.getvalue().splitlines() if "latency (median)" in line]
    assert line.rstrip().endswith(f"  {cell}")


def test_the_sentence_of_an_open_comparison_is_in_one_form_too() -> None:
    found = dataclasses.replace(compared(slower=0.2), verdict="inconclusive", ratio=0.885, ci95=(0.346, 2.69))
    assert comparison_sentence(found).endswith("(0.89×, 95 % interval 0.35 to 2.69×, 10 pairs)")
