"""Work beside the main thread, when it only waits for a child process anyway."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """Runs a function in a thread of its own, at once.

    The thread is a daemon: Ctrl-C does not wait for it, and the child process that it waits for dies with us.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._answer: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> T:
        """What the function returned, once it has; what it raised is raised here, every time it is asked."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def _run(self) -> None:
        try:
            self._answer.append(self._function())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks for the result
            self._error = error
