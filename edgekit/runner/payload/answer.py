"""What leaves this process: one framed answer, or an error that was understood."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kinds import Record

BEGIN = "@@edgekit-answer-begin@@"
END = "@@edgekit-answer-end@@"
FAILED = 3  # exit status of a failure that was understood
ABANDONED = 4  # exit status when the host went away


class Failure(Exception):
    """Something that the host turns into an error of its own: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        Exception.__init__(self, message)
        self.code = code
        self.message = message


def take_standard_output() -> int:
    """Keeps standard output for the answer alone; everything else that prints goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def send(answer: int, value: Record) -> None:
    """Writes the framed answer."""
    data = ("\n%s\n%s\n%s\n" % (BEGIN, json.dumps(value), END)).encode()
    while data:
        data = data[os.write(answer, data) :]
