"""The pace of a board below the samples: shown where a runner tells it, in place of the work before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace

import matplotlib

matplotlib.use("agg")

import pytest
from matplotlib.figure import Figure
from synthetic_trials import make_trial

from edgekit.report.html.sensors import told
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
