"""Several boards in one command: what is seen while they work, one answer, one exit status."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from edgekit.cli.invocation import Interrupted, exit_with
from edgekit.cli.output import Output, error_document
from edgekit.core.errors import EdgekitError
from edgekit.core.events import ignore

if TYPE_CHECKING:
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.fleet import BoardOutcome, Work

T = TypeVar("T")
_INLINE = 3  # failures that are told in one sentence
_NAMED = 6


def side_by_side(
    out: Output,
    names: Sequence[str],
    work: Work[T],
    *,
    reach: Reach,
    on_outcome: Callable[[BoardOutcome[T]], None] = ignore,
    failures: Callable[[BoardOutcome[T]], Sequence[EdgekitError]] | None = None,
) -> tuple[BoardOutcome[T], ...]:
    """Does work on several boards; a live table on a terminal, lines that begin with the board's name elsewhere.

    Ctrl-C ends what runs on the boards; those that were done stay done, the others have an :class:`Interrupted`.

    Args:
        names, work, reach, on_outcome: see :func:`edgekit.verbs.fleet.on_boards`.
        failures: what went wrong on a board, where a result can be in part a failure too.

    Raises:
        UsageError: before any work.
    """
    from edgekit.cli.watching import Watching
    from edgekit.verbs.fleet import BoardOutcome, on_boards

    watching = Watching(out, names)
    found: dict[str, BoardOutcome[T]] = {}

    def ended(outcome: BoardOutcome[T]) -> None:
        on_outcome(outcome)  # first: what Ctrl-C kept from being kept counts as interrupted
        found[outcome.device] = outcome
        problems = (failures or _failures)(outcome)
        watching.ended(outcome.device, outcome.seconds, problems[0] if problems else None)

    try:
        on_boards(names, work, watching.on_event, reach=reach, on_outcome=ended)
    except KeyboardInterrupt:
        gone = Interrupted("interrupted before it was done")
        found = {
            name: found.get(name) or BoardOutcome(device=name, result=None, error=gone, seconds=0.0) for name in names
        }
    finally:
        watching.stop()
    return tuple(found[name] for name in names)


def answer(
    out: Output,
    outcomes: Sequence[BoardOutcome[T]],
    results: Mapping[str, Mapping[str, Any]],
    *renderables: Any,
    more: Mapping[str, Any] | None = None,
    failures: Callable[[BoardOutcome[T]], Sequence[EdgekitError]] | None = None,
) -> None:
    """The one answer about several boards; ends the command where one failed.

    Args:
        outcomes: in the order asked for.
        results: board → its part of the document; also of one that failed in part.
        renderables: what a person sees.
        more: further fields of the document.
        failures: see :func:`side_by_side`.
    """
    problems = {outcome.device: tuple((failures or _failures)(outcome)) for outcome in outcomes}
    devices: list[dict[str, Any]] = []
    for outcome in outcomes:
        name = outcome.device
        entry: dict[str, Any] = error_document(problems[name][0]) if problems[name] else {}
        entry |= {"device": name, "ok": not problems[name], "seconds": outcome.seconds}
        devices.append({**entry, "result": results[name]} if name in results else entry)
    failed = {name: found for name, found in problems.items() if found}
    document: dict[str, Any] = {**(more or {}), "devices": devices}
    error = _together(failed, len(outcomes)) if failed else None
    if error is not None:
        document |= error_document(error)
    out.answer(document, *renderables)
    if error is None:
        out.say(f"{len(outcomes)} of {len(outcomes)} boards done")
        return
    out.complain(error)
    if out.debug:
        import traceback

        for found in failed.values():
            traceback.print_exception(found[0])
    exit_with(error.exit_code)


def _failures(outcome: BoardOutcome[T]) -> tuple[EdgekitError, ...]:
    return () if outcome.error is None else (outcome.error,)


class BoardsFailed(EdgekitError):
    """Several boards, of which some are not done; its status is that of the first failure."""

    def __init__(self, message: str, *, hint: str | None, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def _together(failed: Mapping[str, Sequence[EdgekitError]], asked: int) -> EdgekitError:
    """One error for the failures of several boards."""
    told: dict[str, list[str]] = {}
    ways_out: dict[str, list[str]] = {}
    for name, found in failed.items():
        told.setdefault(_told(name, found), []).append(name)
        if found[0].hint:
            ways_out.setdefault(found[0].hint, []).append(name)
    if len(failed) <= _INLINE:
        which = "failed: " + ", ".join(f"{name} ({_told(name, found)})" for name, found in failed.items())
    else:
        which = f"{len(failed)} failed" + "".join(f"\n  {_names(names)}: {text}" for text, names in told.items())
    hint = "\n".join(f"{_names(names)}: {text}" for text, names in ways_out.items())
    interrupted = any(isinstance(found[0], Interrupted) for found in failed.values())
    first = next(iter(failed.values()))[0]
    return BoardsFailed(
        f"{asked - len(failed)} of {asked} boards done; {which}",
        hint=hint or None,
        exit_code=Interrupted.exit_code if interrupted else first.exit_code,
    )


def _names(names: Sequence[str]) -> str:
    """All of a few names, some of many: the document has them all."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1} more"


def _told(name: str, found: Sequence[EdgekitError]) -> str:
    text = found[0].message.removeprefix(f"{name}: ").removeprefix(f"{name} ")
    return f"{text}; and {len(found) - 1} more" if len(found) > 1 else text
