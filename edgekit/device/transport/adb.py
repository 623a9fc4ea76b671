"""Opens an Android device over adb: finds its serial or connects to its address, and says clearly what is missing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from typing import Any

from edgekit.core.errors import DeviceError, UnreachableError
from edgekit.device.transport import adb_door, adb_faults
from edgekit.device.transport.adb_transport import AdbTransport
from edgekit.device.transport.protocol import printable

_ADDRESS = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.%]+\]):\d{1,5}")
_PAUSE_S = 0.1


def open_adb(serial: str, *, name: str, timeout_s: float) -> AdbTransport:
    """An open way to an Android device.

    Args:
        serial: as ``adb devices`` shows it, or ``ADDRESS:PORT``, which is connected to where that is not done yet;
            empty: ``ANDROID_SERIAL``, else the only device that is attached.
        name: of the board, for messages.
        timeout_s: to become ready.

    Raises:
        DependencyError: adbutils or the adb program is missing.
        AuthenticationError: the device has not allowed debugging by this computer.
        UnreachableError: not attached, no such address, offline.
        DeviceError: several devices are attached and none is named; Android before 7.
    """
    until = time.monotonic() + timeout_s
    serial = serial or os.environ.get("ANDROID_SERIAL", "")
    attached = _attached(timeout_s)
    if not serial:
        if len(attached) > 1:
            raise adb_faults.several(name, attached)
        if not attached:
            raise adb_faults.no_device(name, serial, attached)
        serial = next(iter(attached))
    settling = ["connecting", "authorizing", "offline"]
    if _ADDRESS.fullmatch(serial) and attached.get(serial) != "device":
        _connect(serial, known=serial in attached, name=name, timeout_s=timeout_s)
        settling.append("unauthorized")  # somebody may be about to confirm it on the screen
    state = _state(serial, settling, until)
    if state is None:
        raise adb_faults.no_device(name, serial, _attached(timeout_s))
    if state != "device":
        raise adb_faults.not_ready(name, serial, state)
    features = _ask(f"host-serial:{serial}:features", timeout_s, name=name, serial=serial).split(",")
    if "shell_v2" not in features:
        raise DeviceError(
            f"{name}: the Android device {printable(serial)} is too old: its adb gives no exit status of commands",
            hint="Android 7 is the oldest that works",
        )
    return AdbTransport(serial, name=name, connect_s=timeout_s, stall_s=max(2 * timeout_s, 2.0))


def _attached(timeout_s: float) -> dict[str, str]:
    """Serial → state of every device that adb knows."""
    said = _ask("host:devices", timeout_s, name="adb", serial="")
    rows = (line.partition("\t") for line in said.splitlines())
    return {serial.strip(): state.strip() for serial, _, state in rows if state}


def _state(serial: str, settling: Sequence[str], until: float) -> str | None:
    """The device's state, once it has settled; None: adb does not know it."""
    while True:
        state = _attached(max(1.0, until - time.monotonic())).get(serial)
        if state not in settling or time.monotonic() > until:
            return state
        time.sleep(_PAUSE_S)


def _connect(address: str, *, known: bool, name: str, timeout_s: float) -> None:
    """``adb connect``. A connection that broke stays ``already connected`` and offline until it is disconnected."""
    if known:
        _ask(f"host:disconnect:{address}", timeout_s, name=name, serial=address)
    said = _ask(f"host:connect:{address}", timeout_s, name=name, serial=address)
    if not said.startswith(("connected to", "already connected to", "failed to authenticate to")):
        raise adb_faults.no_address(name, address, said)


def _ask(request: str, timeout_s: float, *, name: str, serial: str) -> str:
    """One request to the adb server and its answer."""
    adbutils = adb_door.load()
    with adb_door.connection(timeout_s) as server:
        try:
            server.send_command(request)
            server.check_okay()
            answer: Any = server.read_string_block()
        except adbutils.AdbTimeout as error:
            raise UnreachableError(
                f"{name}: no answer within {timeout_s:.0f} s to `{printable(request)}`",
                hint="is the device on, and in this network?",
            ) from error
        except (adbutils.AdbError, OSError, ValueError) as error:
            raise adb_faults.refused(error, name=name, serial=serial) from error
    return str(answer)
