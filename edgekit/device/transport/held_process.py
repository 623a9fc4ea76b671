"""A command that is held open here: a child process whose standard input is a pipe that we keep."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from edgekit.core.errors import DeadlineError, DeviceError
from edgekit.device.transport.first_line import FirstLine
from edgekit.device.transport.protocol import complaint, shown

_END_LIMIT_S = 2.0
_KEEP = 1 << 14


class HeldProcess:
    """See :class:`~edgekit.device.transport.protocol.Hold`. Its input ends with this process: the kernel closes it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._first = FirstLine()
        self._errors = bytearray()
        self._readers = [
            threading.Thread(target=self._drain, args=(process.stdout, self._first.add, self._first.end), daemon=True),
            threading.Thread(target=self._drain, args=(process.stderr, self._keep, _nothing), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @classmethod
    def start(cls, argv: Sequence[str]) -> HeldProcess:
        """Starts it.

        Raises:
            DeviceError: it cannot be started.
        """
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=Path.home(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            status = 127 if isinstance(error, FileNotFoundError) else 126
            details: dict[str, object] = {"exit_status": status, "stdout": "", "stderr": str(error)}
            raise DeviceError(f"local: `{shown(argv)}` cannot be started: {error}", details=details) from error
        return cls(process)

    def speaks(self, argv: Sequence[str], timeout_s: float) -> None:
        """Returns once it has printed its first line; see :meth:`Transport.hold`. Otherwise it is ended."""
        try:
            if not self._first.wait(timeout_s):
                raise DeadlineError(
                    f"local: `{shown(argv)}` said nothing within {timeout_s:.0f} s and was killed",
                    details={"argv": list(argv), "timeout_s": timeout_s},
                )
            if self._first.line is None:
                raise self._ended_first(argv)
        except BaseException:
            self.close()
            raise

    @property
    def said(self) -> str:
        """See :attr:`Hold.said`."""
        return self._first.line or ""

    @property
    def alive(self) -> bool:
        """See :attr:`Hold.alive`."""
        return self._process.poll() is None

    def send(self, data: bytes) -> None:
        """See :meth:`Hold.send`."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            os.write(self._process.stdin.fileno(), data)

    def close(self) -> None:
        """See :meth:`Hold.close`."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT_S)
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for reader in self._readers:
            reader.join(_END_LIMIT_S)

    def _ended_first(self, argv: Sequence[str]) -> DeviceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT_S)
        self._readers[1].join(_END_LIMIT_S)
        code = self._process.poll()
        status = -1 if code is None else code if code >= 0 else 128 - code
        stderr = bytes(self._errors)
        return DeviceError(
            f"local: `{shown(argv)}` ended: {complaint(stderr) or f'exit status {status}'}",
            details={"exit_status": status, "stdout": self._first.text, "stderr": stderr.decode("utf-8", "replace")},
        )

    def _keep(self, block: bytes) -> None:
        self._errors += block
        del self._errors[:-_KEEP]

    @staticmethod
    def _drain(stream: IO[bytes], add: Callable[[bytes], None], end: Callable[[], None]) -> None:
        with stream, contextlib.suppress(OSError):
            while block := os.read(stream.fileno(), 1 << 14):
                add(block)
        end()


def _nothing() -> None:
    """Nobody waits for the end of standard error."""
