"""No figure of an emulated board is shown without the word."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType
from synthetic_trials import SHA, make_samples

from edgekit.core.artifact import Ablation, Measured, StepRecord
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.report.export import export_measurements
from edgekit.report.side_by_side import benchmark_table
from edgekit.report.terminal import Side, ablation_table, comparison_table, steps_table


def shown(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None, force_terminal=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def measured(device: str = "pi4", *, emulated: bool = True, median_ns: float = 2e6) -> Measurement:
    model = MeasuredModel(name="digits.tflite", sha256=SHA, kind="int8", size_bytes=9000)
    samples = make_samples(median_ns=median_ns)
    return measurement_from(samples, device=device, model=model, limits=BoardLimits(emulated=emulated))


def test_the_row_of_a_benchmark_says_it_beside_the_latency() -> None:
    row = next(line for line in shown(benchmark_table([measured()])).splitlines() if " ms " in line)
    assert row.split()[:2] == ["pi4", "(emulated)"]


def test_the_twin_of_a_real_board_cannot_be_mixed_up_with_it() -> None:
    text = shown(benchmark_table([measured(emulated=False), measured(median_ns=9e6)]))
    rows = [line for line in text.splitlines() if " ms " in line]
    assert ["(emulated)" in row for row in rows] == [False, True]
    assert "on pi4, pi4 (emulated), LiteRT" in text


def test_a_comparison_of_emulated_figures_calls_nothing_faster() -> None:
    sides = [Side(label="a", measurement=measured(median_ns=9e6)), Side(label="b", measurement=measured())]
    text = shown(comparison_table(*sides))
    latency, cold = (next(line for line in text.splitlines() if name in line) for name in ("(median)", "cold start"))
    assert latency.rstrip().endswith("emulated")
    assert cold.rstrip().endswith("emulated")
    assert "faster" not in text


@pytest.mark.parametrize("form", ["markdown", "csv", "json"])
def test_every_export_says_it(form) -> None:
    text = export_measurements([measured()], form)
    if form == "json":
        assert json.loads(text)["measurements"][0]["emulated"] is True
    elif form == "csv":
        (row,) = csv.DictReader(io.StringIO(text))
        assert (row["device"], row["emulated"]) == ("pi4 (emulated)", "true")
    else:
        assert "| pi4 (emulated) |" in text


STEP = StepRecord(
    name="int8",
    parameters={},
    size_bytes=9000,
    gzip_bytes=5000,
    macs=1000,
    parameters_count=100,
    score=0.9,
    drop=0.1,
    seconds=1.0,
    cached=False,
    path="int8.tflite",
    sha256=SHA,
    measured=Measured(
        device="pi4",
        latency_ns=2e6,
        ci95_ns=(1.9e6, 2.1e6),
        peak_rss_bytes=9_000_000,
        runtime="LiteRT C API 2.3.0",
        num_threads=1,
        processes=3,
        verdict="valid",
        emulated=True,
    ),
)


def test_the_steps_of_a_recipe_say_it_over_the_column_and_below() -> None:
    text = " ".join(shown(steps_table([STEP], metric="top-1")).split())
    assert "latency (emulated)" in text or "(emulated)" in text.partition("int8")[0]
    assert "processes on pi4 (emulated), LiteRT" in text
    assert STEP.measured is not None
    real = replace(STEP, measured=replace(STEP.measured, emulated=False))
    assert "emulated" not in shown(steps_table([real], metric="top-1"))


def test_what_a_step_paid_on_an_emulated_board_says_it() -> None:
    one = Ablation(without="int8", size_bytes=1, gzip_bytes=1, macs=1, score=0.9, drop=0.1, measured=STEP.measured)
    assert "(emulated)" in shown(ablation_table(STEP, [one], metric="top-1"))
