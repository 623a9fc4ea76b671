"""The two child processes of a run: one with TensorFlow for the model, a light one for data and LiteRT."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from edgekit.core.child import Child, ChildDied
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink
from edgekit.core.places import cache_dir

_TIME_LIMIT_S = 6 * 3600.0  # fine-tuning on a slow machine takes hours; a hang must end some day

_LIGHT = ("edgekit.data.prepare", "edgekit.data.check", "edgekit.data.dataset", "edgekit.data.split")


class Workers:
    """Starts each process when it is first needed and ends both with the block.

    Args:
        on_event: hears of the progress.
        custom: ``module:name`` of the user's own layers, for the process with TensorFlow.

    Attributes:
        log: what the processes print; kept when one of them dies.
    """

    def __init__(self, on_event: EventSink, custom: tuple[str, ...] = ()) -> None:
        self._on_event = on_event
        self._custom = custom
        self.log = _new_log()
        self._heavy: Child | None = None
        self._light: Child | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        for child in (self._heavy, self._light):
            if child is not None:
                child.close()
        while error is not None and not isinstance(error, ChildDied):
            error = error.__cause__
        if error is None:  # else its hint names the log
            self.log.unlink(missing_ok=True)

    def warm_up(self) -> None:
        """Starts both processes now: TensorFlow's import takes seconds, which other work can fill."""
        if self._heavy is None:
            self._heavy = Child(log=self.log, purpose="work with TensorFlow", preload=("tensorflow",))
            self._heavy.start()
        self.light_child.start()

    @property
    def light_child(self) -> Child:
        """The process without TensorFlow."""
        if self._light is None:
            self._light = Child(log=self.log, purpose="reading of model and data", preload=_LIGHT)
        return self._light

    def heavy(self, function: str, /, **arguments: Any) -> Any:
        """Calls ``module:function`` in the process that has TensorFlow.

        Raises:
            EdgekitError: the function's own.
            ChildDied: the process crashed; the next call gets a new one.
        """
        self.warm_up()
        assert self._heavy is not None  # warm_up made it
        if self._custom:  # each time: the process may be a new one, and what is registered already costs nothing
            self._call(self._heavy, "edgekit.model.custom:register", {"names": list(self._custom)})
        return self._call(self._heavy, function, arguments)

    def light(self, function: str, /, **arguments: Any) -> Any:
        """Calls ``module:function`` in the process without TensorFlow.

        Raises:
            EdgekitError: the function's own.
            ModelError: LiteRT crashed or hung on the model.
        """
        try:
            return self._call(self.light_child, function, arguments)
        except ChildDied as died:
            raise ModelError(f"{died.message}, so this model or these data cannot be used", hint=died.hint) from died

    def _call(self, child: Child, function: str, arguments: dict[str, Any]) -> Any:
        return child.call(function, time_limit_s=_TIME_LIMIT_S, on_event=self._on_event, **arguments)


def _new_log() -> Path:
    """An empty file for what the processes print.

    Raises:
        UsageError: the cache cannot be written to.
    """
    logs = cache_dir() / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="optimize-", suffix=".log", dir=logs)
    except OSError as error:
        raise UsageError(
            f"cannot write to {logs}: {error.strerror or error}",
            hint="free some space, or set EDGEKIT_HOME to a folder that you can write to",
        ) from error
    os.close(descriptor)
    return Path(name)
