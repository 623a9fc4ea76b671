"""What a person sees: progress and notices on stderr, the answer (tables, or one JSON document) on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from edgekit.cli import streams
from edgekit.cli.live import Measured
from edgekit.cli.plain import Plain
from edgekit.core.decode import to_json
from edgekit.core.errors import EdgekitError, UsageError
from edgekit.core.events import Event
from edgekit.core.notice import Notice
from edgekit.core.units import seconds
from edgekit.core.version import VERSION

#: drawing is work for this machine, which may be the one that measures
_PER_SECOND = 2


class Output:
    """The two streams of one command.

    Args:
        command: its name, for documents.
        as_json: one JSON document on stdout and nothing else there.
        quiet: no progress, no notes.
        verbose: every event.
        debug: tracebacks.
    """

    def __init__(self, command: str, *, as_json: bool, quiet: bool, verbose: bool, debug: bool) -> None:
        from rich.console import Console

        self.command = command
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.debug = debug
        self.answers = Console(file=sys.stdout, highlight=False, emoji=False)
        self.notes = Console(file=sys.stderr, highlight=False, emoji=False)
        #: somebody watches; FORCE_COLOR, which many CI systems set, makes colours of a log and no terminal
        self.watched = self.notes.is_terminal and sys.stderr.isatty()
        if not self.answers.is_terminal:
            columns = os.environ.get("COLUMNS", "")
            self.answers.width = int(columns) if columns.isdecimal() and int(columns) else 80
        self._status: Any = None
        self._screen: Any = None  # a live table instead of the spinner
        self._measured = Measured()
        self._running: dict[str, str] = {}  # tasks that have not finished → what is said of them

    # ------------------------------------------------------------------ progress

    def on_event(self, event: Event) -> None:
        """Shows one event: a spinner or a panel on a terminal, a line per finished task elsewhere."""
        if self.quiet:
            return
        line = self._measured.take(event)
        about = event.task
        if event.state == "progress" and about not in self._running:
            about = next(reversed(self._running), about)  # a detail of whatever is going on
        text = f"{about}: {event.message}" if event.message else about
        if event.fraction is not None:
            text = f"{text} ({event.fraction:.0%})"
        if event.state == "finished":
            self._running.pop(event.task, None)
            took = f"  [dim]{seconds(event.seconds)}[/dim]" if event.seconds is not None else ""
            self.notes.print(f"[green]✓[/green] {_escaped(event.task)}{took}")
        elif event.state == "note":
            self.notes.print(f"  {_escaped(text)}")
        else:
            if event.state == "started" or about in self._running:
                self._running[about] = text
            line = text if event.figures is None else line
            if self.verbose and line and not self.watched:
                self.notes.print(f"  {_escaped(line)}")
        if self.watched and self._measured.task:
            self.paint(lambda: self._measured.draw(self.notes))
        elif self.watched:
            self._spin(next(reversed(self._running.values()), None))

    def paint(self, draw: Callable[[], Any] | None) -> None:
        """Shows what ``draw`` returns, again and again, until something else is said; None: no longer."""
        if draw is None:
            self._spin(None)
        elif self._screen is None:
            from rich.live import Live

            self._spin(None)
            self._screen = Live(get_renderable=draw, console=self.notes, refresh_per_second=_PER_SECOND, transient=True)
            self._screen.start()

    def _spin(self, text: str | None) -> None:
        if self._screen is not None:
            self._screen.stop()
            self._screen = None
        if text is None:
            if self._status is not None:
                self._status.stop()
                self._status = None
        elif self._status is None:
            self._status = self.notes.status(_escaped(text))
            self._status.start()
        else:
            self._status.update(_escaped(text))

    def notices(self, notices: Sequence[Notice]) -> None:
        """Prints warnings, each with its way out."""
        self._spin(None)
        if self.quiet:
            return
        for notice in notices:
            self.notes.print(f"[yellow]warning:[/yellow] {_escaped(notice.message)}", soft_wrap=True)
            if notice.hint:
                self.notes.print(f"  [dim]hint:[/dim] {_escaped(notice.hint)}", soft_wrap=True)

    def say(self, text: str) -> None:
        """A line for people, on stderr."""
        self._spin(None)
        if not self.quiet:
            self.notes.print(_escaped(text))

    def line(self, text: str) -> None:
        """A line for programs, on stderr: as it is, and also where nobody wants to read notes."""
        self._spin(None)
        self.notes.print(text, markup=False, soft_wrap=True)

    # ------------------------------------------------------------------ the answer

    def answer(self, document: dict[str, Any], *renderables: Any) -> None:
        """The command's result: the document with ``--json``, else the tables.

        Raises:
            UsageError: standard output cannot be written.
        """
        self._spin(None)
        try:
            if self.as_json:
                self._print_json(document)
            else:
                for item in renderables:
                    if isinstance(item, str):
                        self.answers.print(_wrapped(item, self.answers.width), markup=False, soft_wrap=True)
                    else:
                        self.answers.print(item, crop=not isinstance(item, Plain))
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            streams.abandon_stdout()
            raise UsageError(
                f"cannot write the answer: {error.strerror}", hint="free some space, or send standard output elsewhere"
            ) from error

    def failure(self, error: EdgekitError) -> None:
        """An error: a sentence and its way out on stderr; with ``--json`` a document on stdout too."""
        self._spin(None)
        if self.as_json:
            self._print_json(error_document(error))
        self.complain(error)

    def complain(self, error: EdgekitError) -> None:
        """An error on stderr only; with ``--json`` the answer has it already."""
        self._spin(None)
        self.notes.print(f"[red]error:[/red] {_escaped(error.message)}", soft_wrap=True)
        if error.hint:
            self.notes.print(f"[dim]hint:[/dim]  {_escaped(error.hint)}", soft_wrap=True)

    def close(self) -> None:
        """Takes a spinner off the terminal."""
        self._spin(None)

    def _print_json(self, document: dict[str, Any]) -> None:
        schema = f"edgekit.{self.command.replace(' ', '-')}/1"
        head = {"schema": schema, "edgekit": VERSION, "command": self.command}
        sys.stdout.write(json.dumps(to_json({**head, **document}), indent=2, allow_nan=False) + "\n")


def error_document(error: EdgekitError) -> dict[str, Any]:
    """The fields of a failure; what belongs to it stands beside ``error``."""
    named = {
        "class": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    return {"error": named, **error.details}


def _wrapped(text: str, width: int) -> str:
    """Broken at spaces only: a path stays in one piece, to be copied."""
    import textwrap

    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _escaped(text: str) -> str:
    """Text that rich prints as it is: no markup, no control characters from a board or a file name."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))
