"""What a board is like now: one round trip on every kind of board, by the sensors that its profile names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from cpu_tree import CpuTree
from sshd_board import Sshd

from edgekit.device.connect import Device, connect
from edgekit.device.now import read_now
from edgekit.device.profile import Profile, Sensor, Sensors, load_profile
from edgekit.device.target import resolve

#: as a Raspberry Pi 4 printed them (raspberrypi.com/documentation, os.html, "vcgencmd")
PI4 = {
    "measure_temp": "temp=61.2'C",
    "measure_clock arm": "frequency(48)=1500345728",
    "get_throttled": "throttled=0x50005",
}


@pytest.fixture
def pi4_with(sshd_factory: Callable[..., Sshd], tmp_path: Path) -> Callable[..., Device]:
    """A board whose ``vcgencmd`` prints such lines; opened devices are closed at the end."""
    opened: list[Device] = []

    def start(said: dict[str, str], status: int = 0) -> Device:
        board = sshd_factory(
            bashrc="PATH=$HOME/bin:$PATH\n", cpus=CpuTree(tmp_path / "cpu", {1_800_000: (0, 1)}).folder
        )
        program = board.path("/home/pi/bin/vcgencmd")
        program.parent.mkdir()
        cases = "".join(f'"{words}") echo "{line}" ;;\n' for words, line in said.items())
        program.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}esac\nexit {status}\n')
        program.chmod(0o755)
        opened.append(connect(resolve("pi4")))
        return opened[-1]

    yield start
    for device in opened:
        device.close()


def test_every_kind_of_board_answers_in_one_round_trip(every_device: Device):
    asked = 0
    run = every_device.transport.run

    def counted(*arguments, **options):
        nonlocal asked
        asked += 1
        return run(*arguments, **options)

    every_device.transport.run = counted  # type: ignore[method-assign]
    now = read_now(every_device, load_profile("generic"))
    assert asked == 1
    assert now.boot_id
    assert now.uptime_s
    assert now.uptime_s > 0
    assert now.memory_available_bytes


def test_a_pi_tells_temperature_real_clock_throttling_governor_and_clocks(pi4_with):
    now = read_now(pi4_with(PI4), load_profile("pi4"))
    assert (now.temperature_c, now.clock_hz, now.throttle_bits) == (61.2, 1500345728, 0x50005)
    assert (now.governor, now.frequency_hz) == ("schedutil", (900_000_000, 900_000_000))
    assert now.thermal_status is None


@pytest.mark.parametrize(
    "said",
    [
        dict.fromkeys(PI4, "VCHI initialization failed"),
        dict.fromkeys(PI4, ""),
        {"measure_temp": "temp=nan'C", "measure_clock arm": "frequency(48)=", "get_throttled": "throttled=zz"},
    ],
    ids=["refused", "nothing", "odd"],
)
def test_f52_what_firmware_says_instead_of_readings_is_unknown_here_too(pi4_with, said):
    now = read_now(pi4_with(said, status=255), load_profile("pi4"))
    assert (now.clock_hz, now.throttle_bits) == (None, None)


def test_the_profiles_own_sensors_come_before_the_usual_ones(pi4_with):
    device = pi4_with(PI4)
    device.transport.run(["sh", "-c", "echo 48500 > ~/temp; echo 0x4 > ~/bits"])
    home = "/home/pi"
    sensors = Sensors(
        temperature=Sensor(file=f"{home}/temp", scale=0.001), throttled=Sensor(command=("cat", f"{home}/bits"))
    )
    now = read_now(device, dataclasses.replace(Profile(name="mine", title="mine"), sensors=sensors))
    assert (now.temperature_c, now.throttle_bits) == (48.5, 4)


def test_a_phone_tells_its_thermal_status(adb_device, adb_server):
    adb_server("connect", adb_device.serial)
    with connect(resolve("phone", host=adb_device.serial, profile="android-arm64-adb")) as phone:
        now = read_now(phone, load_profile("android-arm64-adb"))
    assert now.thermal_status == 0
    assert now.temperature_c is not None
    assert 15 < now.temperature_c < 90
