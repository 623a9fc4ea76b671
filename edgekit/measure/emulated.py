"""Figures of emulated boards: named as such, kept apart from the board's own, and never compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import MeasurementError

if TYPE_CHECKING:
    from edgekit.measure.measurement import Measurement

_MARK = " (emulated)"


def called(device: str, emulated: bool) -> str:
    """What a board is called where its figures are shown or kept: ``pi4``, or ``pi4 (emulated)``."""
    return f"{device}{_MARK}" if emulated and not device.endswith(_MARK) else device


def is_emulated(document: Mapping[str, Any]) -> bool:
    """Whether a result's document has figures of an emulated board.

    A deployment has a benchmark within. Documents from before there was a field only have the verdict's reason.
    """
    reasons = document.get("reasons") or ()
    within = document.get("benchmark")
    return (
        bool(document.get("emulated"))
        or any(str(reason).startswith("emulated:") for reason in reasons)
        or (isinstance(within, Mapping) and is_emulated(within))
    )


def refuse_emulated(measurements: Sequence[Measurement], *, doing: str) -> None:
    """Keeps what was measured on emulated boards out of comparisons and gates.

    Args:
        measurements: everything that is to be compared.
        doing: the verb, for the message: ``compare``.

    Raises:
        MeasurementError: some come from an emulated board; names them.
    """
    _refuse([called(one.device, True) for one in measurements if one.emulated], doing)


def refuse_emulated_board(device: str, emulated: bool, *, doing: str) -> None:
    """As :func:`refuse_emulated`, of a board on which nothing was measured yet.

    Raises:
        MeasurementError: it is emulated.
    """
    _refuse([called(device, True)] if emulated else [], doing)


def _refuse(boards: Sequence[str], doing: str) -> None:
    names = list(dict.fromkeys(boards))
    if names:
        raise MeasurementError(
            f"cannot {doing} what was measured on {', '.join(names)}: the times of an emulated processor say nothing "
            "about a real board, not even which of two models is faster",
            hint="measure on the board itself; an emulated one shows whether a model runs, and what it computes",
            details={"emulated": [*names]},
        )
