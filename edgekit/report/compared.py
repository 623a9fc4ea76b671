"""A comparison for people: a sentence with the verdict, a table of both sides, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgekit.core import units
from edgekit.measure.compare import CANCELLED, Change, Comparison
from edgekit.measure.measurement import to_document
from edgekit.measure.selftest import SelfTest
from edgekit.report import words
from edgekit.report.clean import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

#: from here on "2.5 times as long" says more than a percentage
_TIMES = 2.0
_HEADER = 18
_LABELS = {
    "p90_ns": "latency (p90)",
    "warm_start_ns": "warm start",
    "cold_start_ns": "cold start",
    "peak_rss_bytes": "memory (peak)",
    "size_bytes": "size",
}
_STYLES = {"faster": "green", "equivalent": "green", "slower": "yellow", "inconclusive": "yellow", "invalid": "red"}


def comparison_sentence(comparison: Comparison) -> str:
    """``B is 12.3 % slower than A (95 % interval 11.8 to 12.9 %, 10 pairs)``."""
    a, b = (clean(name) for name in names(comparison))
    pairs = words.count(comparison.pairs, "pair")
    margin = f"{comparison.margin * 100:g} %"
    ratio, bounds = comparison.ratio, comparison.ci95
    if comparison.verdict == "invalid":
        why = next((reason.message for reason in comparison.reasons if reason.weight == "invalid"), "")
        return f"the comparison of {b} with {a} must not be used: {clean(why)}"
    if ratio is None or bounds is None:
        return f"it stays open how {b} compares with {a}: {pairs} are too few"
    if comparison.verdict in ("faster", "slower"):
        return f"{b} is {_by(ratio)} {comparison.verdict} than {a} (95 % interval {_between(bounds)}, {pairs})"
    value, interval = _signed(ratio, bounds)
    signed = f"{value}, 95 % interval {interval}, {pairs}"
    if comparison.verdict == "equivalent":
        return f"{b} is as fast as {a} within {margin} ({signed})"
    return f"it stays open whether {b} is faster or slower than {a} by more than {margin} ({signed})"


def names(comparison: Comparison) -> tuple[str, str]:
    """What the two sides are called; two of one name are told apart by their runtimes, or as A and B."""
    one, other = words.model(comparison.baseline.model.name), words.model(comparison.candidate.model.name)
    apart = _apart(comparison)
    return (one, other) if one != other else (f"{one} ({apart[0]})", f"{one} ({apart[1]})")


def _apart(comparison: Comparison) -> tuple[str, str]:
    """What tells two sides of one name apart."""
    used = [words.runtime_in_short(to_document(side)) or "" for side in (comparison.baseline, comparison.candidate)]
    return (used[0], used[1]) if all(used) and used[0] != used[1] else ("A", "B")


def comparison_table(comparison: Comparison) -> RenderableType:
    """Both sides with what changed, the sentence, what it depends on, and the reasons."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from edgekit.report.terminal import rows_table

    medians = Change(
        name="median_ns",
        baseline=comparison.baseline.latency.median_ns,
        candidate=comparison.candidate.latency.median_ns,
        ratio=comparison.ratio,
        ci95=comparison.ci95,
    )
    changes = [change for change in comparison.changes if change.baseline is not None or change.candidate is not None]
    rows = [_row("latency (median)", medians), *(_row(_label(change), change) for change in changes)]
    called = names(comparison)
    if any(len(name) > _HEADER for name in called) and "A" not in _apart(comparison):
        called = _apart(comparison) if comparison.baseline.model.name == comparison.candidate.model.name else called
    table = rows_table(("", *(_short(clean(name)) for name in called), "change"), rows, right=(1, 2, 3))
    sentence = Text(comparison_sentence(comparison))
    sentence.stylize(f"bold {_STYLES[comparison.verdict]}")
    cancelled = [one for one in comparison.reasons if one.code in CANCELLED and one.weight == "note"]
    told = [*cancelled, *(one for one in comparison.reasons if one.code == "runtimes-differ")]
    lines = [str(reason) for reason in comparison.reasons if reason not in told]
    if cancelled:
        codes = ", ".join(dict.fromkeys(one.code for one in cancelled))
        lines.append(f"met by both sides alike, so it only widens the interval: {codes}")
    reasons = [Padding(Text(clean(line)), (0, 0, 0, 2), expand=False) for line in lines]
    return Group(table, sentence, Text(clean(_where(comparison))), *reasons)


def _where(comparison: Comparison) -> str:
    """What both sides depend on, and each of them."""
    sides = [to_document(side) for side in (comparison.baseline, comparison.candidate)]
    by, otherwise = map(words.runtime, sides)
    lot = f"order drawn by lot, seed {comparison.seed}"
    if by == otherwise:
        return f"on {words.device(sides[1])}, {words.circumstances(sides[1])} a side; {lot}"
    each = "; ".join(f"{name}: {used}" for name, used in zip(names(comparison), (by, otherwise), strict=True))
    threads = words.count(comparison.candidate.num_threads, "thread")
    processes = words.count(sides[1]["processes"], "process")
    return f"on {words.device(sides[1])}, {threads}, {processes} a side; {each}; {lot}"


def _row(label: str, change: Change) -> tuple[str, ...]:
    show = _unit(change.name)
    return label, show(change.baseline), show(change.candidate), _changed(change)


def _changed(change: Change) -> str:
    if not change.name.endswith(("_ns", "_bytes")):
        if change.difference is None:
            return change.missing or words.NOTHING
        if words.is_fraction(change.name):
            return f"{change.difference * 100:+.2f} pp"
        return f"{change.difference:+.4g}"
    if change.ratio is None:
        return words.NOTHING
    value, interval = _signed(change.ratio, change.ci95)
    return f"{value} ({interval})" if interval else value


def _unit(name: str) -> Callable[[float | None], str]:
    if name.endswith("_ns"):
        return units.duration
    return units.size if name.endswith("_bytes") else lambda value: words.score(value, name)


def _label(change: Change) -> str:
    return _LABELS.get(change.name, f"score ({change.name})")


def _short(name: str) -> str:
    return name if len(name) <= _HEADER else f"{name[: _HEADER - 5]}…{name[-4:]}"


def _by(ratio: float) -> str:
    times = ratio if ratio >= 1 else 1 / ratio
    return units.ratio(times) if times >= _TIMES else f"{abs(ratio - 1) * 100:.1f} %"


def _between(bounds: tuple[float, float]) -> str:
    """Both bounds in the words of :func:`_by`, the smaller difference first."""
    near, far = sorted(bounds, key=lambda bound: abs(bound - 1))
    if all(_by(bound).endswith("%") for bound in bounds):
        return f"{abs(near - 1) * 100:.1f} to {_by(far)}"
    times = [bound if bound >= 1 else 1 / bound for bound in (near, far)]
    return f"{times[0]:.2f} to {units.ratio(times[1])}"


def _signed(ratio: float, bounds: tuple[float, float] | None) -> tuple[str, str]:
    """``+4.1 %``, ``+3.8 to +4.4 %``; where one of them is large, all are ratios: ``2.11×``, ``1.80 to 4.41×``."""
    low, high = bounds or (ratio, ratio)
    if max(ratio, high) >= _TIMES:
        value, interval = units.ratio(ratio), f"{low:.2f} to {units.ratio(high)}"
    else:
        value = f"{(ratio - 1) * 100:+.1f} %"
        interval = f"{(low - 1) * 100:+.1f} to {(high - 1) * 100:+.1f} %"
    return value, interval if bounds else ""


def selftest_table(test: SelfTest) -> RenderableType:
    """A board's self-test: the two figures, the verdict in a sentence, what it depends on, and the reasons."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from edgekit.report.terminal import facts_table

    spread = words.NOTHING if test.spread is None else f"{test.spread * 100:.2f} %"
    rows = [*_rates(test), ("neighbours differ", f"{spread} (standard deviation)")]
    side = to_document(test.measurement)
    told = {
        "passed": f"{clean(test.device)} passed: its comparisons can be relied on",
        "failed": f"{clean(test.device)} failed: it is flagged until it passes, and gates refuse it",
        "inconclusive": f"{clean(test.device)}: too short to tell; neither passed nor failed",
    }
    styles = {"passed": "bold green", "failed": "bold red", "inconclusive": "bold yellow"}
    sentence = Text(told[test.verdict], style=styles[test.verdict])
    where = Text(
        clean(f"{words.model(test.measurement.model.name)} on {words.device(side)}, {words.circumstances(side)}")
    )
    cancelled = [one for one in test.reasons if one.code in CANCELLED and one.weight == "note"]
    lines = [str(reason) for reason in test.reasons if reason not in cancelled]
    if cancelled:
        lines.append(f"in the figures above: {', '.join(dict.fromkeys(one.code for one in cancelled))}")
    return Group(facts_table(rows), sentence, where, *(Padding(Text(clean(line)), (0, 0, 0, 2)) for line in lines))


def _rates(test: SelfTest) -> list[tuple[str, str]]:
    """What the comparisons of a model with itself said; nothing where there were none."""
    if test.false_alarm_rate is None or test.equivalent_rate is None:
        return []
    found = "none up to 100 %" if test.detectable is None else f"from {test.detectable * 100:g} % on"
    return [
        ("false alarms", f"{test.false_alarm_rate * 100:.1f} % of {test.windows} comparisons of the model with itself"),
        ("called equivalent", f"{test.equivalent_rate * 100:.0f} %"),
        ("finds slow-downs", f"{found} (in 95 % of comparisons, margin {test.margin * 100:g} %)"),
    ]
