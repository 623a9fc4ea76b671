"""What is being measured, as a person watches it: a row for each model, what it is waited for and until when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from edgekit.core import units
from edgekit.core.events import Event, Figures

if TYPE_CHECKING:
    from rich.console import Console, Group

#: columns left free at the right: a terminal writes ^C there, and beyond the last column that would begin a new line,
#: which nobody takes away again
MARGIN = 3

_BAR = 10
_ROOMY = 72  # columns of a terminal that has room for the bars too
_BESIDE = 8  # lines of the terminal that are not rows: frame, header, what happens, what is waited for, the cursor


def found_so_far(figures: Figures) -> str:
    """``7/10 · 2.03 ms ± 0.8 % · 61 °C``: what is known is there, what matters most comes first."""
    parts = [f"{figures.done}/{figures.planned}", median(figures), temperature(figures)]
    return " · ".join(filter(None, parts))


def median(figures: Figures) -> str:
    """``2.03 ms ± 0.8 %``; empty before the first process."""
    if figures.median_ns is None:
        return ""
    return " ".join(filter(None, (units.duration(figures.median_ns), _arm(figures))))


def temperature(figures: Figures) -> str:
    """``61 °C``; empty where the board does not tell."""
    return "" if figures.temperature_c is None else f"{figures.temperature_c:.0f} °C"


def wait(figures: Figures) -> str:
    """What is waited for, and until what time of the clock; empty: nothing is."""
    if not figures.waits_for:
        return ""
    text = f"waits for the board {figures.waits_for}"
    return text if figures.until is None else f"{text}, until {_clock(figures.until)} at the latest"


def _arm(figures: Figures) -> str:
    """Half of the 95 % interval, of the median."""
    if figures.ci95_ns is None or not figures.median_ns:
        return ""
    low, high = figures.ci95_ns
    return f"± {(high - low) / 2 / figures.median_ns * 100:.1f} %"


def _clock(until: float) -> str:
    return f"{datetime.fromtimestamp(until):%H:%M:%S}"


def _left(figures: Figures) -> str:
    """``(4:05 left)``."""
    if figures.until is None:
        return ""
    minutes, seconds = divmod(max(0, round(figures.until - time())), 60)
    return f"({minutes}:{seconds:02d} left)"


class Measured:
    """The rows of one task, and the panel that shows them.

    Its figures are replaced as a whole, so another thread may draw it at any moment.

    Attributes:
        task: what is measured now; empty: nothing.
    """

    def __init__(self) -> None:
        self.task = ""
        self._rows: dict[str, Figures] = {}
        self._now: Event | None = None
        self._began = 0.0

    def take(self, event: Event) -> str:
        """Takes an event; what it is worth to those who read lines: one for each process, one for each wait.

        Whatever is said with figures begins or goes on with a task; its end takes the rows away.
        """
        if event.state == "finished" and event.task == self.task:
            self.clear()
        figures = event.figures
        if figures is None:
            return ""
        if event.task != self.task:
            self.clear()
            self.task, self._began = event.task, monotonic()
        before = self._rows.get(figures.about)
        self._rows = {**self._rows, figures.about: figures}
        self._now = event
        if figures.waits_for:
            return "" if before is not None and before.waits_for else f"{event.task}: {wait(figures)}"
        if figures.done != (0 if before is None else before.done):
            return f"{event.task}: {': '.join(filter(None, (figures.about, found_so_far(figures))))}"
        # those without a time of their own, such as for memory, and those beyond the plan
        return f"{event.task}: {event.message}" if figures.done >= figures.planned else ""

    @property
    def waits(self) -> bool:
        """Whether something is waited for."""
        return self._now is not None and self._now.figures is not None and bool(self._now.figures.waits_for)

    def in_a_row(self) -> str:
        """What is known of the last one that said something, where there is room for one line."""
        if self._now is None or self._now.figures is None:
            return ""
        figures = self._now.figures
        known = " · ".join(filter(None, (found_so_far(figures), figures.about)))
        if not figures.waits_for:
            return known
        until = "" if figures.until is None else f"until {_clock(figures.until)} {_left(figures)}"
        return f"{' '.join(filter(None, ('waits', until, figures.waits_for)))} · {known}"

    def clear(self) -> None:
        """Nothing is measured any more."""
        self.task, self._rows, self._now = "", {}, None

    def draw(self, console: Console) -> Any:
        """The panel, for a terminal of whatever width."""
        from rich.console import Group
        from rich.panel import Panel

        lines: Group = Group(*self._lines(console))
        return Panel(
            lines,
            title=self._title(),
            title_align="left",
            border_style="dim",
            padding=(0, 1),
            width=max(20, console.width - MARGIN),
        )

    def _title(self) -> Any:
        from rich.text import Text

        parts = [self.task, units.seconds(monotonic() - self._began)]
        if self._now is not None and self._now.fraction is not None:
            parts.insert(1, f"{self._now.fraction * 100:.0f} %")
        return Text(" · ".join(parts), style="bold")

    def _lines(self, console: Console) -> Iterator[Any]:
        from rich.text import Text

        from edgekit.report.clean import clean

        yield self._table(console)
        now = self._now
        if now is None or now.figures is None:
            return
        if text := wait(now.figures):
            yield Text(clean(f"{text} {_left(now.figures)}"), style="yellow")
            return
        parts = [temperature(now.figures), clean(now.message)]
        yield Text(" · ".join(filter(None, parts)), style="dim", no_wrap=True, overflow="ellipsis")

    def _table(self, console: Console) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        from edgekit.report.clean import clean

        roomy = console.width >= _ROOMY
        table = Table(
            box=None, padding=(0, 2, 0, 0), expand=True, show_header=roomy, header_style="dim", pad_edge=False
        )
        table.add_column("", ratio=1, no_wrap=True, overflow="ellipsis", min_width=6)
        if roomy:
            table.add_column("processes", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("median", justify="right", no_wrap=True)
        table.add_column("95 %", justify="right", no_wrap=True)
        rows = list(self._rows.values())
        shown = self._chosen(rows, max(2, console.height - _BESIDE))
        for figures in shown:
            bar = [ProgressBar(total=max(1, figures.planned), completed=figures.done, width=_BAR)] if roomy else []
            active = self._now is not None and self._now.figures is figures
            table.add_row(
                Text(clean(figures.about) or self.task, style="bold" if active else ""),
                *bar,
                f"{figures.done}/{figures.planned}",
                "–" if figures.median_ns is None else units.duration(figures.median_ns),
                _arm(figures),
            )
        if len(shown) < len(rows):
            table.add_row(Text(f"… and {len(rows) - len(shown)} more", style="dim"))
        return table

    def _chosen(self, rows: list[Figures], most: int) -> list[Figures]:
        """As many as there is room for, the one that is at work among them."""
        if len(rows) <= most:
            return rows
        active = next((index for index, one in enumerate(rows) if self._now and one is self._now.figures), 0)
        begin = min(max(0, active - most // 2), len(rows) - most + 1)
        return rows[begin : begin + most - 1]
