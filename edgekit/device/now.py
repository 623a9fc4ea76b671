"""What a board is like at this moment: its sensors in one quick round trip, for whoever waits until it is ready."""

from __future__ import annotations

import re
import secrets

from edgekit.core.errors import DeviceError
from edgekit.device import facts_parse as parse
from edgekit.device.connect import Device
from edgekit.device.facts import current_sensors
from edgekit.device.facts_script import script_now
from edgekit.device.profile import Profile
from edgekit.runner.conditions import Conditions


def read_now(device: Device, profile: Profile, *, timeout_s: float = 30.0) -> Conditions:
    """Reads the sensors that the profile names, and else those in the usual places.

    Args:
        device: connected.
        profile: of the board.
        timeout_s: for the round trip.

    Raises:
        DeviceError: the connection was lost, or the board has no POSIX shell that answers.
    """
    marker = f"edgekit-{secrets.token_hex(8)}"
    done = device.transport.run(
        ["sh", "-c", script_now(profile.sensors), "sh", marker, ""], timeout_s=timeout_s, output_limit_bytes=1 << 18
    )
    said = parse.sections(done.text, marker)
    if "end" not in said:
        raise DeviceError(
            f"{device.name} did not say how warm it is (exit status {done.exit_status}): "
            f"{done.complaint or 'no output'}",
            hint=f"see whether it still answers: edgekit devices check {device.name}",
        )
    sensors = current_sensors(said, profile.sensors)
    frequencies = [int(row) * 1000 for row in said.get("frequencies", "").split() if re.fullmatch("[0-9]{1,9}", row)]
    return Conditions(
        temperature_c=sensors.temperature_c,
        frequency_hz=tuple(frequencies),
        clock_hz=sensors.clock_hz,
        governor=parse.line(said, "governor"),
        throttle_bits=sensors.throttle_bits,
        load_1min=parse.first_number(said.get("load", "")),
        memory_available_bytes=parse.meminfo(said.get("meminfo", "")).get("MemAvailable"),
        boot_id=parse.line(said, "boot_id"),
        thermal_status=sensors.thermal_status,
        uptime_s=parse.first_number(said.get("uptime", "")),
    )
