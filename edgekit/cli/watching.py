"""Several boards at work, as a person sees them: a live table on a terminal, lines with the board's name elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from edgekit.cli.live import MARGIN, Measured
from edgekit.cli.output import Output
from edgekit.core import units
from edgekit.core.errors import EdgekitError
from edgekit.core.events import Event

if TYPE_CHECKING:
    from rich.table import Table

_BAR = 10
_BESIDE = 4  # lines of the terminal that are not the table's rows: its header, the summary, the cursor


@dataclass(slots=True)
class _Row:
    """One board. ``tasks``: those that have not finished → what is said of them; ``last``: the one that has."""

    name: str
    started: float | None = None
    seconds: float | None = None
    problem: EdgekitError | None = None
    tasks: dict[str, str] = field(default_factory=dict)
    last: str = ""
    fraction: float | None = None
    measured: Measured = field(default_factory=Measured)

    @property
    def state(self) -> str:
        if self.seconds is not None:
            return "failed" if self.problem else "done"
        return "waits" if self.started is None else "works"


class Watching:
    """What is shown of boards side by side. Its methods are called in one thread.

    Args:
        out: where to.
        names: of the boards, in their order.
    """

    def __init__(self, out: Output, names: Sequence[str]) -> None:
        self._out = out
        self._rows = {name: _Row(name) for name in names}
        self._began = monotonic()
        self._width = max(map(len, names))

    def on_event(self, event: Event) -> None:
        """Takes one board's event."""
        row = self._rows[event.device or ""]
        row.started = row.started or monotonic()
        text = f"{event.task}: {event.message}" if event.message else event.task
        if event.state == "finished":
            row.tasks.pop(event.task, None)
            row.last, row.fraction = event.task, None
        elif event.state == "started":
            row.tasks[event.task] = text
        elif event.state == "progress" and row.tasks:
            about = event.task if event.task in row.tasks else next(reversed(row.tasks))
            row.tasks[about] = event.message or event.task  # there is room for little
            row.fraction = event.fraction
        line = row.measured.take(event)
        if self._out.quiet:
            return
        if self._out.watched:
            self._out.paint(self._table)
        elif event.state == "finished":
            took = f"  {units.seconds(event.seconds)}" if event.seconds is not None else ""
            self._line(row.name, f"✓ {event.task}{took}")
        elif event.state == "note" or (self._out.verbose and event.figures is None):
            self._line(row.name, f"  {text}")
        elif self._out.verbose and line:
            self._line(row.name, f"  {line}")

    def ended(self, name: str, seconds: float, problem: EdgekitError | None) -> None:
        """One board is done, or has failed."""
        row = self._rows[name]
        row.seconds, row.problem = seconds, problem
        if self._out.quiet:
            return
        if self._out.watched:
            self._out.paint(self._table)
        elif problem is None:
            self._line(name, f"done  {units.seconds(seconds)}")
        else:
            self._line(name, f"failed: {problem.message.removeprefix(f'{name}: ')}")

    def stop(self) -> None:
        """Takes the table off the terminal."""
        self._out.paint(None)

    # ---------------------------------------------------------------- lines

    def _line(self, name: str, text: str) -> None:
        from rich.text import Text

        from edgekit.report.clean import clean

        self._out.notes.print(Text(f"{clean(name)}: {clean(text)}"), soft_wrap=True)

    # ---------------------------------------------------------------- the table

    def _table(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        from edgekit.report.clean import clean

        width = self._out.notes.width - MARGIN
        table = Table(box=None, padding=(0, 2, 0, 0), width=width, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True, max_width=max(4, min(self._width, 24)), overflow="ellipsis")
        table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
        table.add_column(no_wrap=True, width=_BAR)
        table.add_column(no_wrap=True, justify="right", width=7)
        shown = list(self._chosen(max(3, self._out.notes.height - _BESIDE)))
        for row in shown:
            bar: Any = ""
            if row.state == "works" and row.fraction is not None:
                bar = ProgressBar(total=1.0, completed=row.fraction, width=_BAR)
            took = row.seconds if row.seconds is not None else monotonic() - row.started if row.started else None
            what, style = _what(row)
            table.add_row(
                Text(clean(row.name), style="bold" if row.state == "works" else ""),
                Text(clean(what), style=style),
                bar,
                "" if took is None else units.seconds(took),
            )
        table.add_row("", Text(self._summary(), style="dim"), "", units.seconds(monotonic() - self._began))
        return table

    def _chosen(self, most: int) -> Iterator[_Row]:
        """The rows that there is room for: what works first, then what failed; what is shown keeps its order."""
        weight = {"works": 0, "failed": 1, "waits": 2, "done": 3}
        ranked = sorted(self._rows.values(), key=lambda row: weight[row.state])[:most]
        names = {row.name for row in ranked}
        return (row for row in self._rows.values() if row.name in names)

    def _summary(self) -> str:
        states = [row.state for row in self._rows.values()]
        words = {"done": "done", "failed": "failed", "works": "at work", "waits": "waiting"}
        counts = [f"{states.count(state)} {word}" for state, word in words.items() if state in states]
        return f"{len(states)} boards: {', '.join(counts)}"


def _what(row: _Row) -> tuple[str, str]:
    """What a board does now, and the style of that."""
    if row.state == "failed":
        assert row.problem is not None
        return f"failed: {row.problem.message.removeprefix(f'{row.name}: ')}", "red"
    if row.state == "works":
        if row.measured.task:
            return row.measured.in_a_row(), "yellow" if row.measured.waits else ""
        return next(reversed(row.tasks.values()), row.last), ""
    return ("✓ done", "green") if row.state == "done" else ("waits", "dim")
