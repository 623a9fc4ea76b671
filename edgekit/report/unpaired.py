"""Two kept measurements beside each other, for a terminal: never without the word that they were not run as pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.core import units
from edgekit.report import words
from edgekit.report.clean import clean
from edgekit.report.terminal import rows_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgekit.results.unpaired import Unpaired

_STYLES = {"faster": "green", "slower": "yellow", "inconclusive": "yellow"}


def unpaired_sentence(found: Unpaired) -> str:
    """``unpaired, drift possible: 604dea77 is 12.3 % slower than 57a1d69b (p < 0.0001, 10 and 10 processes)``."""
    one, other = found.baseline.id[:8], found.candidate.id[:8]
    counts = f"{len(found.baseline.process_medians_ns)} and {len(found.candidate.process_medians_ns)} processes"
    p = "" if found.p is None else "p < 0.0001, " if found.p < 0.0001 else f"p {found.p:.4f}, "
    change = f"{(found.ratio - 1) * 100:+.1f} %"
    if found.verdict == "inconclusive":
        return f"{found.caveat}: it stays open whether {other} is faster or slower than {one} ({change}, {p}{counts})"
    return f"{found.caveat}: {other} is {found.verdict} than {one} ({change}, Mann-Whitney {p}{counts})"


def unpaired_table(found: Unpaired) -> RenderableType:
    """Both measurements, the sentence, and the reasons."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    points = (found.baseline, found.candidate)
    rows = [
        ("model", *(words.model(point.model) for point in points)),
        ("measured", *(point.created[:16].replace("T", " ") for point in points)),
        ("latency ±95 %", *(words.margin({"median_ns": p.median_ns, "ci95_ns": p.ci95_ns}) for p in points)),
        ("memory (peak)", *(units.size(point.peak_rss_bytes) for point in points)),
        ("size", *(units.size(point.size_bytes) for point in points)),
        ("verdict", *(point.verdict or words.NOTHING for point in points)),
    ]
    table = rows_table(
        ("", *(point.id[:8] for point in points)), [tuple(map(clean, row)) for row in rows], right=(1, 2)
    )
    series = found.candidate.series
    where = f"both on {series.device}, plan {series.plan}; nothing was run now: `edgekit compare A B` tells for certain"
    notes = [Padding(Text(clean(reason)), (0, 0, 0, 2), expand=False) for reason in found.reasons]
    sentence = Text(clean(unpaired_sentence(found)), style=f"bold {_STYLES[found.verdict]}")
    return Group(table, sentence, Text(clean(where)), *notes)
