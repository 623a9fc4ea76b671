"""What edgekit does on Android's shells and file tree: in Termux over SSH, and over adb."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from termux_board import HOME, PREFIX

from edgekit.core.artifact import Artifact
from edgekit.core.errors import BusyError, UsageError
from edgekit.core.events import ignore
from edgekit.device import inventory, lock, releases, trust
from edgekit.device.connect import Device, connect
from edgekit.device.target import resolve


def opened(kind: str, request: pytest.FixtureRequest) -> Device:
    if kind == "termux":
        request.getfixturevalue("termux_board")
        return connect(resolve(host="termux", profile="android-arm64-termux"))
    device = request.getfixturevalue("adb_device")
    return connect(resolve("phone", host=device.serial, profile="android-arm64-adb"))


@pytest.fixture(params=["termux", "adb"])
def phone(request: pytest.FixtureRequest) -> Iterator[Device]:
    with opened(request.param, request) as device:
        yield device


@pytest.fixture
def again(phone: Device) -> Iterator[Device]:
    """A second way to the same phone, as another client has it."""
    with connect(phone.target) as device:
        yield device


@pytest.fixture
def termux(request: pytest.FixtureRequest) -> Iterator[Device]:
    with opened("termux", request) as device:
        yield device


def test_termux_is_not_debian(termux):
    done = termux.transport.run(["sh", "-c", 'ls -d /tmp /bin /usr; echo "$PREFIX"; uname -o; id -u; cat /proc/stat'])
    assert done.text.splitlines() == [PREFIX, "Android", "10123"]
    assert b"No such file" in done.stderr
    assert b"Permission denied" in done.stderr


def test_facts_know_an_android(phone):
    facts = phone.facts()
    assert (facts.system, facts.libc, facts.os_name) == ("Android", "bionic", "Android 14")
    assert (facts.python, facts.abi, facts.userland_bits) == (None, "x86_64", 64)
    assert facts.memory_total_bytes is not None
    assert facts.disk_free_bytes is not None
    assert facts.boot_id is not None


def test_what_termux_may_not_read_is_unknown(termux):
    facts = termux.facts()
    assert (facts.home, facts.workspace) == (HOME, f"{HOME}/.edgekit")
    assert (facts.load_1min, facts.thermal_status, facts.battery) == (None, None, None)


def test_adb_tells_temperatures_battery_and_fixed_performance(request):
    with opened("adb", request) as phone:
        facts = phone.facts()
    assert (facts.thermal_status, facts.temperature_c, facts.fixed_performance) == (0, 25.6, True)
    assert facts.battery is not None
    assert (facts.battery.percent, facts.battery.charging) == (84, True)


def test_a_glibc_program_does_not_start(phone, tmp_path):
    pushed = phone.workspace.push_file(Path("/bin/true"), "runtime/true")
    phone.transport.run(["chmod", "755", pushed.path])
    done = phone.transport.run([pushed.path])
    assert done.exit_status in (126, 127)
    assert b"o such file" in done.stderr or b"not found" in done.stderr


def test_files_are_pushed_once_and_checked_by_hash(phone):
    first = phone.workspace.push_bytes(b"model" * 9999, "models/a model.tflite")
    second = phone.workspace.push_bytes(b"model" * 9999, "models/a model.tflite")
    assert (first.uploaded_bytes, second.uploaded_bytes) == (49995, 0)
    assert first.sha256 == second.sha256
    phone.transport.run(["sh", "-c", 'echo x >> "$1"', "sh", first.path])
    assert phone.workspace.push_bytes(b"model" * 9999, "models/a model.tflite").uploaded_bytes == 49995


def test_releases_are_switched_and_rolled_back(phone, tmp_path):
    made = []
    for content in (b"one", b"two"):
        (tmp_path / "digits.tflite").write_bytes(content)
        release = releases.publish(phone.workspace, Artifact(path=tmp_path / "digits.tflite", manifest=None))
        made.append(releases.activate(phone.workspace, release))
    assert releases.state(phone.workspace, "digits") == (made[1].id, made[0].id)
    assert releases.rollback(phone.workspace, "digits").id == made[0].id
    current = f"{phone.root}/releases/digits/current"
    assert phone.transport.run(["readlink", current]).text.strip() == made[0].id


def test_f34_one_user_at_a_time(phone, again):
    with lock.held(phone, purpose="benchmark", on_event=ignore):
        with pytest.raises(BusyError) as caught, lock.held(again, purpose="deploy", on_event=ignore):
            raise AssertionError
        assert "benchmark" in f"{caught.value.message}{caught.value.details}"
        assert phone.transport.run(["echo", "mine"]).stdout == b"mine\n"
    with lock.held(again, purpose="deploy", on_event=ignore):
        assert again.transport.run(["echo", "now mine"]).stdout == b"now mine\n"


def test_an_address_of_adb_keeps_its_port_in_the_inventory(adb_device):
    host, _, port = adb_device.serial.partition(":")
    entry = inventory.InventoryEntry(name="phone", host=host, port=int(port), profile="android-arm64-adb")
    inventory.add(entry)
    with connect(resolve("phone")) as phone:
        assert phone.root == "/data/local/tmp/edgekit"
        assert phone.transport.run(["true"]).exit_status == 0


def test_a_profile_alone_is_the_only_device_that_is_attached(adb_device, adb_server):
    adb_server("connect", adb_device.serial)
    with connect(resolve("android-arm64-adb")) as phone:
        assert phone.transport.run(["uname", "-o"]).stdout == b"Android\n"


def test_there_is_no_host_key_to_trust_over_adb(adb_device):
    with pytest.raises(UsageError, match="reached over adb"):
        trust.fetch_host_key(resolve("phone", host=adb_device.serial, profile="android-arm64-adb"))
