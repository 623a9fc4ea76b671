"""Tables as a person sees them: the goldens are meant to be read."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from synthetic_trials import BLIND, RUNTIME, SHA, make_memory_trial, make_samples

from edgekit.core.artifact import Ablation, Measured, StepRecord
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.measure.plan import make_plan
from edgekit.measure.samples import Samples
from edgekit.report.side_by_side import benchmark_table
from edgekit.report.terminal import (
    Side,
    ablation_table,
    comparison_table,
    facts_table,
    results_table,
    rows_table,
    steps_table,
)
from edgekit.results.record import StoredResult

GOLDENS = Path(__file__).parent / "goldens"


def shown(renderable: RenderableType, width: int = 80) -> str:
    """What a terminal without colours shows, without blanks at the ends of lines."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return "".join(f"{line.rstrip()}\n" for line in lines)


def check(name: str, text: str, request: pytest.FixtureRequest) -> None:
    """Compares with a golden file, or writes it with ``--update-goldens``."""
    path = GOLDENS / f"{name}.txt"
    if request.config.getoption("--update-goldens", default=False):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def measured(kind: str, median_ns: float, *, device: str = "pi4", samples: Samples | None = None) -> Measurement:
    model = MeasuredModel(name=f"digits-{kind}.tflite", sha256=SHA, kind=kind, size_bytes=46_120)
    return measurement_from(samples or make_samples(median_ns=median_ns), device=device, model=model)


FLOAT = Side(
    label="float32", size_bytes=172_000, gzip_bytes=160_000, score=0.9722, measurement=measured("float32", 5.2e6)
)
FINAL = Side(label="int8", size_bytes=46_120, gzip_bytes=30_000, score=0.9694, measurement=measured("int8", 2e6))


def test_the_last_screen_compares_float_and_final(request: pytest.FixtureRequest) -> None:
    check("comparison", shown(comparison_table(FLOAT, FINAL, metric="top-1", drop=0.28)), request)


def test_the_last_screen_without_a_board_has_sizes_and_score_only(request: pytest.FixtureRequest) -> None:
    sides = (replace(FLOAT, measurement=None), replace(FINAL, measurement=None))
    check("comparison-without-board", shown(comparison_table(*sides, metric="mse", drop=-1.5)), request)


def test_what_neither_side_has_gets_no_row() -> None:
    sides = (replace(FLOAT, measurement=None, score=None), replace(FINAL, measurement=None, score=None))
    assert "score" not in shown(comparison_table(*sides))


def test_a_comparison_of_unlike_circumstances_says_so(request: pytest.FixtureRequest) -> None:
    samples = make_samples(median_ns=9e6, runtime=replace(RUNTIME, delegate="none", fully_delegated=None))
    samples = replace(samples, memory=(make_memory_trial(runtime=samples.latency[0].runtime),))
    final = replace(FINAL, measurement=measured("int8", 9e6, device="pi5", samples=samples))
    check("comparison-unlike", shown(comparison_table(FLOAT, final, metric="top-1", drop=0.28)), request)


def test_latencies_whose_intervals_touch_are_no_difference() -> None:
    final = replace(FINAL, measurement=measured("int8", 5.2e6))
    text = shown(comparison_table(FLOAT, final, metric="top-1", drop=0.0))
    assert "no clear difference" in text
    assert "0.00 pp" in text


def test_many_models_boards_and_threads_fit_in_80_columns(request: pytest.FixtureRequest) -> None:
    quick = make_samples(plan=make_plan("quick"), median_ns=9e6, before=BLIND, after=BLIND)
    uneven = make_samples(median_ns=3e6, between=0.2)
    rows = [
        measured("float32", 5.2e6),
        measured("int8", 1.1e6, device="jetson-orin-nano-lab-7"),
        measured("dynamic", 9e6, samples=quick),
        measured("int8-with-quite-a-long-name", 3e6, samples=uneven),
    ]
    check("benchmark", shown(benchmark_table(rows)), request)


def test_what_could_not_be_measured_is_a_dash_and_not_a_zero() -> None:
    samples = make_samples(plan=make_plan(processes=1), library_ns=None)
    table = shown(benchmark_table([measured("int8", 2e6, samples=replace(samples, memory=()))]))
    row = next(line for line in table.splitlines() if "digits" in line)
    assert row.count("–") == 2
    assert "±" not in row


STEP = StepRecord(
    name="prune",
    parameters={},
    path="/tmp/x",
    sha256=SHA,
    size_bytes=172_000,
    gzip_bytes=90_000,
    score=0.97,
    drop=0.22,
    seconds=75.2,
    cached=False,
    macs=1_790_000,
    parameters_count=60_600,
    notes=("dense_3 stays unpruned: it is the output layer",),
)


BOARD = Measured(
    device="pi4",
    latency_ns=7_180_000,
    ci95_ns=(7_100_000, 7_260_000),
    peak_rss_bytes=24_000_000,
    runtime="LiteRT C API 2.3.0",
    num_threads=4,
    processes=3,
    verdict="valid",
)


def test_steps_that_were_measured_show_latency_and_what_it_depends_on(request: pytest.FixtureRequest) -> None:
    before = replace(STEP, measured=replace(BOARD, latency_ns=20_000_000, verdict="unstable"), notes=())
    check("steps-measured", shown(steps_table([before, replace(before, measured=BOARD)], metric="top-1")), request)


def test_what_each_step_paid_is_the_result_against_the_result_without_it(request: pytest.FixtureRequest) -> None:
    final = replace(STEP, size_bytes=71_400, gzip_bytes=45_500, macs=600_000, drop=0.4, measured=BOARD)
    slower = replace(BOARD, latency_ns=20_000_000, ci95_ns=(19_900_000, 20_100_000))
    ablation = [
        Ablation(
            without="filters",
            size_bytes=142_800,
            gzip_bytes=91_000,
            macs=1_200_000,
            score=0.98,
            drop=0.0,
            measured=slower,
        ),
        Ablation(
            without="prune", size_bytes=71_400, gzip_bytes=63_000, macs=600_000, score=0.98, drop=0.6, measured=BOARD
        ),
    ]
    check("ablation", shown(ablation_table(final, ablation, metric="top-1")), request)


def test_steps_are_listed_with_their_notes(request: pytest.FixtureRequest) -> None:
    last = replace(STEP, name="quantize", size_bytes=46_120, gzip_bytes=30_000, cached=True, notes=(), score=None)
    check("steps", shown(steps_table([STEP, last], metric="top-1")), request)


def test_an_unknown_fact_is_called_unknown() -> None:
    text = shown(facts_table([("format", "tflite"), ("oldest runtime", None), ("layers", 0)], title="digits"))
    assert [line.split() for line in text.splitlines() if line.strip()] == [
        ["digits"],
        ["format", "tflite"],
        ["oldest", "runtime", "unknown"],
        ["layers", "0"],
    ]


def kept(kind: str, document: dict[str, object], device: str | None = "pi4") -> StoredResult:
    return StoredResult(
        id="0123456789ab",
        kind=kind,  # type: ignore[arg-type]
        created="2026-01-02T03:04:05.678901+00:00",
        edgekit="0.1.0",
        device=device,
        model="digits.tflite",
        model_sha256=SHA,
        verdict="valid",
        document=document,
    )


def test_kept_results_of_all_kinds_fit_in_one_table(request: pytest.FixtureRequest) -> None:
    score = {"metric": "top-1", "final": 0.9694}
    rows = [
        kept("measurement", {"latency": {"median_ns": 2_010_000, "ci95_ns": [1_990_000, 2_014_000]}, "num_threads": 4}),
        kept("artifact", {"kind": "int8", "size_bytes": 46_120, "score": score}, device=None),
        kept("artifact", {"kind": "int8", "size_bytes": 46_120, "score": None}, device=None),
        kept("deployment", {"release": {"id": "7"}}),
    ]
    check("results", shown(results_table(rows)), request)


HOSTILE = "pi\x1b[35m\x1b]0;owned\x07\n\u202eevil [bold red]x[/bold red]\x9b2J"


@pytest.mark.parametrize("build", ["benchmark", "comparison", "results", "steps", "facts", "rows"])
def test_escapes_and_markup_in_names_have_no_effect(build: str) -> None:
    model = MeasuredModel(name=HOSTILE, sha256=SHA, kind="int8")
    measurement = measurement_from(
        make_samples(runtime=replace(RUNTIME, name=HOSTILE, version=HOSTILE)), device=HOSTILE, model=model
    )
    stored = replace(kept("deployment", {"release": {"id": HOSTILE}}, device=HOSTILE), model=HOSTILE)
    tables: dict[str, RenderableType] = {
        "benchmark": benchmark_table([measurement]),
        "comparison": comparison_table(FLOAT, Side(label=HOSTILE, measurement=measurement), metric=HOSTILE),
        "results": results_table([stored]),
        "steps": steps_table([replace(STEP, name=HOSTILE, notes=(HOSTILE,))], metric=HOSTILE),
        "facts": facts_table([(HOSTILE, HOSTILE)], title=HOSTILE),
        "rows": rows_table((HOSTILE,), [(HOSTILE,)], title=HOSTILE),
    }
    console = Console(file=io.StringIO(), width=200, color_system="truecolor", force_terminal=True)
    console.print(tables[build])
    assert isinstance(console.file, io.StringIO)
    raw = console.file.getvalue()
    for sign in ("\x1b[35m", "\x1b]", "\x07", "\u202e", "\x9b", "\r"):
        assert sign not in raw
    plain = shown(tables[build], width=400)
    assert "\\x1b[35m" in plain
    assert "[bold red]x[/bold red]" in plain
