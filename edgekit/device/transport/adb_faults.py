"""What adb says when something is wrong, in words that help."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.core.errors import AuthenticationError, DeviceError, UnreachableError
from edgekit.device.transport.protocol import printable


def no_device(name: str, serial: str, attached: Mapping[str, str]) -> DeviceError:
    """adb does not know the serial."""
    if not attached:
        return UnreachableError(
            f"{name}: no Android device is attached",
            hint="connect it by USB with `USB debugging` switched on in its developer options, or over the network: "
            f"`edgekit devices add {name} --host ADDRESS:PORT --profile android-arm64-adb --replace`",
        )
    return UnreachableError(
        f"{name}: no Android device {printable(serial)!r} is attached; there is: {listed(attached)}",
        hint=f"`edgekit devices add {name} --host SERIAL --profile android-arm64-adb --replace` names the right one",
        details={"serial": serial, "attached": dict(attached)},
    )


def several(name: str, attached: Mapping[str, str]) -> DeviceError:
    """No serial was given and there is a choice."""
    return DeviceError(
        f"{name}: several Android devices are attached: {listed(attached)}",
        hint=f"`edgekit devices add {name} --host SERIAL --profile android-arm64-adb --replace` says which one",
        details={"attached": dict(attached)},
    )


def not_ready(name: str, serial: str, state: str) -> DeviceError:
    """adb knows the device, and cannot use it in this state."""
    who, shown = f"{name}: the Android device {printable(serial)}", printable(state)
    if state.startswith("no permissions"):
        return AuthenticationError(
            f"{who} cannot be opened by this user: {shown}",
            hint="on Debian: `sudo apt-get install android-sdk-platform-tools-common`, join the group plugdev, "
            "then plug the device in again",
        )
    if state in ("unauthorized", "authorizing"):
        return AuthenticationError(
            f"{who} has not allowed debugging by this computer ({shown})",
            hint="unlock it and confirm `Allow USB debugging`; where nothing is asked: "
            f"`adb -s {printable(serial)} reconnect`",
        )
    if state in ("offline", "connecting"):
        return UnreachableError(
            f"{who} does not answer (adb calls it {shown})",
            hint="wake it up, or plug it in again; over the network: `adb disconnect`, then try again",
        )
    return DeviceError(
        f"{who} is in the state {shown}, where it runs no commands", hint="start Android on it, then try again"
    )


def refused(error: Exception, *, name: str, serial: str) -> DeviceError:
    """The adb server would not connect us to the device."""
    said = printable(str(error)).strip()
    for words, state in (("unauthorized", "unauthorized"), ("offline", "offline")):
        if f"device {words}" in said:
            return not_ready(name, serial, state)
    return UnreachableError(
        f"{name}: adb does not reach the Android device {printable(serial)}: {said[:300]}",
        hint="is it still attached? `adb devices` lists what adb sees",
    )


def lost(name: str, doing: str) -> UnreachableError:
    """The connection broke while it was in use."""
    return UnreachableError(
        f"{name}: the connection to the Android device was lost while {doing}",
        hint="is it still attached and on? try again; what had arrived only in part was not used",
    )


def no_address(name: str, address: str, said: str) -> UnreachableError:
    """``adb connect`` did not succeed; it says so in words only."""
    return UnreachableError(
        f"{name}: adb cannot connect to {printable(address)}: {printable(said).strip()[:300]}",
        hint="is wireless debugging on, and the address in this network? Since Android 11 a device is paired first: "
        "`adb pair ADDRESS:PORT`",
    )


def listed(attached: Mapping[str, str]) -> str:
    """Serials with their states, for a message."""
    return ", ".join(f"{printable(serial)} ({printable(state)})" for serial, state in sorted(attached.items()))
