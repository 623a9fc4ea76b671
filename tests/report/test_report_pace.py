"""The pace of a board below the samples: shown where a runner tells it, in place of the work before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace

import matplotlib

matplotlib.use("agg")

import pytest
from kept_results import measurement
from matplotlib.figure import Figure
from synthetic_trials import make_samples, make_trial

from edgekit.report.collected import collect
from edgekit.report.html.processes import _long_tails, processes, slots
from edgekit.report.html.sensors import told
from edgekit.results.store import open_store
from edgekit.runner.protocol import Trial


@dataclass
class Place:
    trial: Trial | None


def paced(*spent: int) -> Place:
    return Place(replace(make_trial(iterations=100), pace_ns=spent, pace_at=tuple(range(len(spent)))))


def test_the_pace_is_drawn_against_the_boards_best_and_a_stall_leaves_the_rest_readable() -> None:
    places = [paced(100, 102, 100), paced(100, 170, 101), Place(None), paced(100, 100_000, 100)]
    (panel,) = [sensor for sensor in told(places) if sensor.title.startswith("fixed work")]
    assert panel.unit == "× best"
    axes = Figure().subplots()
    panel.draw(axes, places)
    limit, *lines = axes.lines
    assert list(limit.get_ydata()) == [1.15, 1.15]
    assert [max(line.get_ydata()) for line in lines] == pytest.approx([1.02, 1.7, 1000])
    assert axes.get_ylim()[1] < 4


def test_without_a_pace_the_work_before_and_after_is_shown() -> None:
    assert [sensor.unit for sensor in told([Place(make_trial())]) if sensor.title.startswith("fixed work")] == ["ms"]


def test_a_tail_that_would_leave_all_else_flat_goes_out_of_the_picture_and_is_named() -> None:
    steady = [make_trial(iterations=100, seed=seed) for seed in range(5)]
    stalled = replace(steady[4], latency_ns=(*steady[4].latency_ns[:90], *[200_000_000] * 10))
    samples = make_samples(trials=(*steady[:4], stalled))
    store = open_store()
    store.add_measurement(measurement(samples=samples))
    (held,) = collect(store).measurements
    chart = processes(held, "p")
    assert chart is not None
    assert any("▲: the inferences of process 5 go on" in note for note in chart.notes)
    low, most, cut = _long_tails(slots(samples))
    assert cut == (4,)
    assert low < 2e6 < most < 4e6
    store.add_measurement(measurement("calm.tflite", samples=make_samples(trials=tuple(steady))))
    calm = next(held for held in collect(store).measurements if held.model == "calm")
    assert not any("▲" in note for note in processes(calm, "p").notes)
