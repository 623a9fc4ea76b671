"""The board that is this machine: commands as child processes, files by copying."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from edgekit.core.errors import DeadlineError, DeviceError, TransferError, UnreachableError
from edgekit.device.transport.held_process import HeldProcess
from edgekit.device.transport.protocol import Completed, OnBytes, shown

_PIECE = 1 << 20


class LocalTransport:
    """Runs commands here. Nothing is needed, nothing is opened."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._held: list[HeldProcess] = []
        self._closed = False

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
        output_limit_bytes: int = 1 << 20,
    ) -> Completed:
        """See :meth:`Transport.run`; the whole process group is killed at the deadline."""
        begin = time.monotonic()
        if self._closed:
            raise UnreachableError(f"local: closed before `{shown(argv)}`")
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=Path.home(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            return Completed(
                argv=tuple(argv),
                exit_status=127 if missing else 126,
                stdout=b"",
                stderr=f"{argv[0]}: {'not found' if missing else error}".encode(),
                seconds=time.monotonic() - begin,
            )
        self._running.add(process)
        try:
            stdout, stderr = _drain(process, argv, stdin, begin + timeout_s, output_limit_bytes)
            status = process.wait(timeout=max(0.0, begin + timeout_s - time.monotonic()))
        except BaseException as error:
            _kill(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise DeadlineError(
                    f"local: `{shown(argv)}` did not end within {timeout_s:.0f} s and was killed",
                    details={"argv": list(argv), "timeout_s": timeout_s},
                ) from None
            raise
        finally:
            self._running.discard(process)
            _close(process)
        if self._closed:
            raise UnreachableError(f"local: closed while `{shown(argv)}` ran")
        return Completed(
            argv=tuple(argv),
            exit_status=status if status >= 0 else 128 - status,
            stdout=stdout,
            stderr=stderr,
            seconds=time.monotonic() - begin,
        )

    def hold(self, argv: Sequence[str], *, timeout_s: float = 20.0) -> HeldProcess:
        """See :meth:`Transport.hold`."""
        if self._closed:
            raise UnreachableError(f"local: closed before `{shown(argv)}`")
        held = HeldProcess.start(argv)
        self._held = [*(each for each in self._held if each.alive), held]
        try:
            held.speaks(argv, timeout_s)
        except DeviceError as error:
            if self._closed:
                raise UnreachableError(f"local: closed during `{shown(argv)}`") from error
            raise
        return held

    def push(self, local: Path, remote: str, on_bytes: OnBytes | None = None) -> None:
        """See :meth:`Transport.push`."""
        done = 0
        try:
            with local.open("rb") as source, _new_file(remote) as out:
                while piece := source.read(_PIECE):
                    out.write(piece)
                    done += len(piece)
                    if on_bytes:
                        on_bytes(done)
        except OSError as error:
            raise TransferError(f"local: cannot write {remote}: {error.strerror or error}") from error

    def pull(self, remote: str, local: Path, *, limit_bytes: int) -> int:
        """See :meth:`Transport.pull`."""
        try:
            with Path(remote).open("rb") as source, _new_file(str(local)) as out:
                done = 0
                while piece := source.read(_PIECE):
                    done += len(piece)
                    if done > limit_bytes:
                        raise TransferError(f"local: {remote} is larger than {limit_bytes} bytes")
                    out.write(piece)
                return done
        except OSError as error:
            raise TransferError(f"local: cannot read {remote}: {error.strerror or error}") from error

    def close(self) -> None:
        """See :meth:`Transport.close`."""
        self._closed = True
        for process in list(self._running):  # another thread's, which gives up here
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        for held in self._held:
            held.close()


def _new_file(path: str) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the whole process group: what the command left behind as well."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()


def _drain(
    process: subprocess.Popen[bytes], argv: Sequence[str], stdin: bytes | None, deadline: float, limit: int
) -> tuple[bytes, bytes]:
    """Feeds standard input and reads both outputs at once, with an end in time and in size."""
    assert process.stdout is not None
    assert process.stderr is not None
    outputs = {process.stdout: bytearray(), process.stderr: bytearray()}
    waiting = memoryview(stdin or b"")
    with selectors.DefaultSelector() as selector:
        for stream in outputs:
            selector.register(stream, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    waiting = _feed(process, waiting, selector)
                    continue
                block = os.read(key.fd, 1 << 16)
                if not block:
                    selector.unregister(key.fileobj)
                    continue
                collected = outputs[key.fileobj]  # type: ignore[index]
                collected += block
                if len(collected) > limit:
                    if key.fileobj is process.stdout:
                        raise DeviceError(f"local: `{shown(argv)}` printed more than {limit} bytes")
                    del collected[:-limit]
    return bytes(outputs[process.stdout]), bytes(outputs[process.stderr])


def _feed(process: subprocess.Popen[bytes], waiting: memoryview, selector: selectors.BaseSelector) -> memoryview:
    assert process.stdin is not None
    try:
        waiting = waiting[os.write(process.stdin.fileno(), waiting[: 1 << 16]) :]
    except BrokenPipeError:
        waiting = waiting[:0]
    if not waiting:
        selector.unregister(process.stdin)
        process.stdin.close()
    return waiting
