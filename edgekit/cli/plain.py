"""Text that is printed as it is, however long its lines are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.segment import Segment


class Plain:
    """For :meth:`Output.answer`: no wrapping, no markup; the text was cleaned before."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: object, options: object) -> Iterator[Segment]:
        from rich.segment import Segment

        yield Segment(self._text if self._text.endswith("\n") else self._text + "\n")
