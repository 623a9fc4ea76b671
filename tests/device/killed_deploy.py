"""A client that deploys and is killed: at a random moment, or right after the n-th thing that it did on the board."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

NAME = "digits"

# the server has imported everything before it forks: a client then starts in milliseconds
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["killed_deploy", "edgekit.verbs.deploy", "paramiko", "numpy"])


def start(model: Path, *, die_after: int | None = None, count: Any = None) -> ForkServerProcess:
    """A process that deploys ``model`` on ``pi4``; exit status 0 where it came to its end.

    Args:
        model: the file.
        die_after: SIGKILL to itself after so many commands and uploads; 0: before the first.
        count: a shared value that gets the number of commands and uploads.
    """
    environment = {key: value for key, value in os.environ.items() if key.startswith("EDGEKIT_")}
    process = _CONTEXT.Process(target=_deploy, args=(str(model), environment, die_after, count), daemon=True)
    process.start()
    return process


def counter() -> Any:
    """For the number of commands and uploads."""
    return _CONTEXT.Value("i", 0)


def _deploy(model: str, environment: dict[str, str], die_after: int | None, count: Any) -> None:
    os.environ.update(environment)
    from edgekit.device.transport.ssh import SshTransport
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.deploy import deploy

    done = 0

    def counted(method: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            if die_after == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            found = method(*arguments, **options)
            done += 1
            if count is not None:
                count.value = done
            if done == die_after:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call

    for name in ("run", "push", "hold"):
        setattr(SshTransport, name, counted(getattr(SshTransport, name)))
    deploy(model, device="pi4", name=NAME, plan=None, reach=Reach(wait_s=60.0))
