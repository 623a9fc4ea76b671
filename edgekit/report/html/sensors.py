"""What a board's sensors said around and during each process: one panel below the samples for each that tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgekit.core import units
from edgekit.measure import pace
from edgekit.measure.conditions import throttling
from edgekit.report import words
from edgekit.report.html import plots
from edgekit.runner.conditions import Conditions, Reading
from edgekit.runner.protocol import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_PACE = 3.0  # a process that was not let run at all would leave the rest flat
_HALF = 0.3  # a process takes this much of the axis to either side of its place


class Place(Protocol):
    """The place of one process on the axis."""

    @property
    def trial(self) -> Trial | None:
        """None: it did not get that far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """One panel.

    Attributes:
        title: what it shows.
        unit: of its axis.
        draw: puts the panel on axes, a process at each whole number.
        key: what its marks mean.
    """

    title: str
    unit: str
    draw: Callable[[Axes, Sequence[Place]], None]
    key: tuple[tuple[str, str], ...] = ()


def told(places: Sequence[Place]) -> tuple[Sensor, ...]:
    """The panels for which this board told anything at all."""
    trials = [place.trial for place in places if place.trial]
    found = []
    if any(seen.temperature_c is not None for trial in trials for seen in (trial.before, trial.after)):
        found.append(
            Sensor(
                title="temperature before, during and after",
                unit="°C",
                draw=lambda axes, slots: _series(
                    axes, slots, _celsius, lambda reading: reading.temperature_c, plots.ORANGE
                ),
                key=(("dot orange", "temperature"),),
            )
        )
    if any(_hertz(seen) for trial in trials for seen in (trial.before, trial.after)):
        found.append(
            Sensor(
                title="clock before, during and after",
                unit="MHz",
                draw=lambda axes, slots: _series(axes, slots, _megahertz, _reading_megahertz, plots.PURPLE),
                key=(("dot purple", "clock"),),
            )
        )
    if any(throttling(trial) for trial in trials):
        found.append(Sensor(title="throttling", unit="", draw=_throttle, key=(("cross orange", "throttle bit set"),)))
    if (best := pace.undisturbed_ns(trials)) is not None:
        found.append(
            Sensor(
                title="fixed work between the runs: higher is slower",
                unit="× best",
                draw=lambda axes, slots: _pace(axes, slots, best),
                key=(("dot green", f"fixed work: above {pace.DISTURBED:g} something slows the cores down"),),
            )
        )
    elif any(trial.calibration_ns for trial in trials):
        found.append(
            Sensor(
                title="fixed work before and after",
                unit="ms",
                draw=_calibration,
                key=(("dot green", "fixed work: takes longer when the board slows down"),),
            )
        )
    return tuple(found)


def temperatures(trial: Trial) -> str:
    """``48.2, 51.0, 50.1 °C``: before, hottest, after."""
    hottest = trial.during.hottest_c if trial.during else None
    values = (trial.before.temperature_c, hottest, trial.after.temperature_c)
    if all(value is None for value in values):
        return words.NOTHING
    return ", ".join(words.NOTHING if value is None else f"{value:.1f}" for value in values) + " °C"


def clock(trial: Trial) -> str:
    """``1800 MHz``, or the slowest and the fastest that was seen."""
    seen = [value for value in (_megahertz(trial.before), _megahertz(trial.after)) if value is not None]
    if trial.during:
        seen += [value / 1e6 for value in (trial.during.slowest_hz, trial.during.fastest_hz) if value]
    if not seen:
        return words.NOTHING
    low, high = min(seen), max(seen)
    return f"{low:.0f} MHz" if round(low) == round(high) else f"{low:.0f}–{high:.0f} MHz"


def calibration(trial: Trial) -> str:
    """``1.21 ms, 1.22 ms``."""
    return ", ".join(map(units.duration, trial.calibration_ns)) or words.NOTHING


def _series(
    axes: Axes,
    places: Sequence[Place],
    around: Callable[[Conditions], float | None],
    during: Callable[[Reading], float | None],
    colour: str,
) -> None:
    """Before, every reading during, and after, joined within each process."""
    for x, place in enumerate(places):
        trial = place.trial
        if trial is None:
            continue
        points = [(x - _HALF, around(trial.before)), *_readings(trial, x, during), (x + _HALF, around(trial.after))]
        known = [(at, value) for at, value in points if value is not None]
        if known:
            axes.plot(*zip(*known), color=colour, linewidth=1.4, marker="o", markersize=3.6, markeredgewidth=0)
    axes.margins(y=0.25)
    low, high = axes.get_ylim()
    if high - low < (least := max(high * 0.01, 1.0)):  # a steady sensor is a flat line, not noise
        axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)
    axes.locator_params(axis="y", nbins=3)


def _readings(trial: Trial, x: int, value: Callable[[Reading], float | None]) -> list[tuple[float, float | None]]:
    seen = trial.during
    if seen is None or not seen.readings or seen.began_ns is None:
        return [] if seen is None else [(x, found) for found in _extremes(seen.hottest_c, value)]
    whole = max(trial.wall_ns or 0, seen.readings[-1].at_ns - seen.began_ns, 1)
    return [
        (x - _HALF + 2 * _HALF * min(max((reading.at_ns - seen.began_ns) / whole, 0.0), 1.0), value(reading))
        for reading in seen.readings
    ]


def _extremes(hottest_c: float | None, value: Callable[[Reading], float | None]) -> list[float]:
    """Of a sampler that kept no timeline only the hottest is known, not when it was."""
    if hottest_c is None:
        return []
    found = value(Reading(at_ns=0, temperature_c=hottest_c))
    return [] if found is None else [found]


def _throttle(axes: Axes, places: Sequence[Place]) -> None:
    names = sorted({name for place in places if place.trial for name in throttling(place.trial).split(", ") if name})
    for x, place in enumerate(places):
        for name in throttling(place.trial).split(", ") if place.trial else ():
            if name:
                axes.scatter([x], [names.index(name)], marker="x", s=34, c=plots.ORANGE, linewidths=1.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)


def _calibration(axes: Axes, places: Sequence[Place]) -> None:
    for x, place in enumerate(places):
        values = [value / 1e6 for value in place.trial.calibration_ns] if place.trial else []
        if values:
            steps = [x - _HALF + 2 * _HALF * index / max(len(values) - 1, 1) for index in range(len(values))]
            axes.plot(steps, values, color=plots.GREEN, linewidth=1.4, marker="o", markersize=3.6, markeredgewidth=0)
    axes.margins(y=0.25)
    low, high = axes.get_ylim()
    middle, least = (low + high) / 2, abs(low + high) / 2 * 0.05
    if high - low < least:
        axes.set_ylim(middle - least / 2, middle + least / 2)
    axes.locator_params(axis="y", nbins=3)


def _pace(axes: Axes, places: Sequence[Place], best_ns: float) -> None:
    """How many times as long as at best, over each process."""
    axes.axhline(pace.DISTURBED, color=plots.GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    highest = 1.3
    for x, place in enumerate(places):
        trial = place.trial
        if trial is None or not trial.pace_ns:
            continue
        whole = max(trial.pace_at[-1], 1)
        steps = [x - _HALF + 2 * _HALF * at / whole for at in trial.pace_at]
        values = [spent / best_ns for spent in trial.pace_ns]
        axes.plot(steps, values, color=plots.GREEN, linewidth=1.0, marker="o", markersize=1.8, markeredgewidth=0)
        highest = max(highest, *values)
    axes.set_ylim(0.9, min(highest, _MOST_PACE) * 1.05)
    axes.locator_params(axis="y", nbins=3)


def _celsius(seen: Conditions) -> float | None:
    return seen.temperature_c


def _hertz(seen: Conditions) -> int | None:
    return seen.clock_hz or max(seen.frequency_hz, default=0) or None


def _megahertz(seen: Conditions) -> float | None:
    found = _hertz(seen)
    return None if found is None else found / 1e6


def _reading_megahertz(reading: Reading) -> float | None:
    found = reading.clock_hz or reading.frequency_hz
    return None if found is None else found / 1e6
