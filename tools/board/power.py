"""A board by its name: start it, cut its power, stop it. One of these at a time."""

from __future__ import annotations

import os
import select
import shutil
import signal

from board import Board, run_folder, running, wait_for_banner
from host import BoardError, NotUpError, cache_folder, locked, say
from image import Image
from machine import BOOT_SECONDS, Machine
from qmp import Control


def start(image: Image, *, name: str, cpu: str, memory_mib: int, port: int, cold: bool) -> tuple[Board, bool]:
    """A board that answers on SSH, and whether it ran already. ``port`` 0 takes a free one."""
    with locked(cache_folder() / "run" / f"{name}.lock"):
        board = running(name)
        if board:
            same = (board.cpu, board.memory_mib, board.image) == (cpu, memory_mib, str(image.folder))
            if not same or port not in (0, board.port):
                raise BoardError(
                    f"{name} runs already, otherwise than asked for: {board.model}, Debian {board.suite} "
                    f"{board.architecture}, {board.memory_mib} MiB, port {board.port}",
                    hint=f"python tools/board stop --name {name}",
                )
            return board, True
        machine = Machine(image, name=name, cpu=cpu, memory_mib=memory_mib)
        if cold:
            return machine.boot(run_folder(name), port, None), False
        snapshot = machine.ensure_snapshot()
        try:
            return machine.boot(run_folder(name), port, snapshot), False
        except NotUpError as error:
            say(f"the kept state does not come back, booting instead ({error})")
            machine.forget_snapshot(snapshot)
            return machine.boot(run_folder(name), port, None), False


def reset(name: str) -> Board:
    """As when its power is cut and comes back: what was only in its memory is gone, what its disk took is there.

    Returns once it answers again, with another boot id.
    """
    with locked(cache_folder() / "run" / f"{name}.lock"):
        board = running(name)
        if board is None:
            raise BoardError(f"{name} does not run", hint=f"python tools/board start --name {name}")
        control = Control(run_folder(name), BOOT_SECONDS)
        try:
            control.execute("system_reset")
        finally:
            control.close()
        wait_for_banner(board.port, board.pid, run_folder(name), BOOT_SECONDS)
        return board


def stop(name: str) -> bool:
    """Ends it and removes what it wrote; False when it does not run."""
    lock = cache_folder() / "run" / f"{name}.lock"
    with locked(lock):
        board = running(name)
        if board:
            _end(board.pid)
        shutil.rmtree(run_folder(name), ignore_errors=True)
        lock.unlink()
        return board is not None


def _end(pid: int) -> None:
    """SIGTERM, and SIGKILL after 10 s, to exactly this process."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], 10)[0]:
                return
    finally:
        os.close(descriptor)
