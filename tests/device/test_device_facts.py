"""Facts: pure parsers over what boards print, and the script over real shells."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from edgekit.core.errors import DeviceError
from edgekit.device import facts_parse as parse
from edgekit.device.facts import from_sections, gather, mismatch
from edgekit.device.facts_parse import Python
from edgekit.device.profile import Sensor, Sensors, load_profile
from edgekit.device.profile_check import differences
from edgekit.device.transport.local import LocalTransport

AARCH64_ELF = "127 69 76 70 2 1 1 0 0 0 0 0 0 0 0 0 3 0 183 0"
ARM_ELF = "127 69 76 70 1 1 1 0 0 0 0 0 0 0 0 0 3 0 40 0"
X86_64_ELF = " 127  69  76  70   2   1   1   0   0   0   0   0   0   0   0   0\n   3   0  62   0"

# written from the documented formats of a Raspberry Pi 4 with 64-bit Raspberry Pi OS 12
PI4 = {
    "machine": "aarch64",
    "kernel": "6.6.31+rpt-rpi-v8",
    "system": "Linux",
    "long_bit": "64",
    "elf": AARCH64_ELF,
    "glibc": "glibc 2.36",
    "ldd": "ldd (Debian GLIBC 2.36-9+rpt2+deb12u7) 2.36",
    "os_release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian',
    "python": "/usr/bin/python3\n3.11.2 64",
    "cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3",
    "cores": "0 1800000 600000 \n1 1800000 600000 \n2 1800000 1500000 \n3 1800000 - ",
    "model": "Raspberry Pi 4 Model B Rev 1.4",
    "meminfo": "MemTotal:        3884364 kB\nMemFree:         2914468 kB\nMemAvailable:    3443664 kB",
    "home": "/home/pi",
    "workspace": "/home/pi/.edgekit",
    "disk": "Filesystem     1024-blocks    Used Available Capacity Mounted on\n"
    "/dev/mmcblk0p2    29957244 4912544  23734520      18% /",
    "load": "0.08 0.03 0.01 1/212 1423",
    "governor": "ondemand",
    "thermal": "48199 cpu-thermal ",
    "boot_id": "6c1d2e1e-5f2a-4f64-9b6a-6d1b1d1d1d1d",
    "uptime": "350735.47 1401929.11",
    "sensor:throttled": "throttled=0x50000",
    "sensor:clock": "frequency(48)=1500345728",
    "sensor:temperature": "temp=48.2'C",
    "end": "",
}


def test_a_pi_4_is_recognized():
    facts = from_sections(PI4)
    assert (facts.abi, facts.userland_bits, facts.libc, facts.libc_version) == ("aarch64", 64, "glibc", "2.36")
    assert facts.python == Python(path="/usr/bin/python3", version=(3, 11, 2), bits=64)
    assert (facts.model, facts.cpu_model) == ("Raspberry Pi 4 Model B Rev 1.4", "Cortex-A72")
    assert facts.cores[2].max_hz == 1_800_000_000
    assert facts.cores[2].current_hz == 1_500_000_000
    assert facts.memory_available_bytes == 3443664 * 1024
    assert facts.disk_free_bytes == 23734520 * 1024
    assert (facts.temperatures_c, facts.sensor_c) == ({"cpu-thermal": 48.199}, 48.2)
    assert (facts.throttle_bits, facts.clock_hz) == (0x50000, 1500345728)
    assert facts.os_name == "Debian GNU/Linux 12 (bookworm)"


def test_a_board_that_says_nothing_is_unknown_everywhere():
    facts = from_sections({"end": ""})
    values = dataclasses.asdict(facts)
    assert {name for name, value in values.items() if value not in (None, (), {})} == set()
    assert facts.temperature_c is None
    assert differences(load_profile("generic"), facts)[0].code == "no-python"


@pytest.mark.parametrize(
    ("machine", "elf", "long_bit", "expected"),
    [
        ("aarch64", AARCH64_ELF, "64", ("aarch64", 64)),
        ("aarch64", ARM_ELF, "32", ("armv7l", 32)),  # 32-bit Raspberry Pi OS on a 64-bit kernel
        ("armv7l", ARM_ELF, "32", ("armv7l", 32)),
        ("armv6l", ARM_ELF, "32", ("armv6l", 32)),
        ("x86_64", X86_64_ELF, "64", ("x86_64", 64)),
        ("aarch64", "", "32", ("armv7l", 32)),
        ("aarch64", "", "64", ("aarch64", 64)),
        ("aarch64", "", None, (None, None)),
        ("x86_64", "", "32", ("i686", 32)),
        (None, "", None, (None, None)),
        ("aarch64", "35 33 47 98", "64", ("aarch64", 64)),  # sh is a script
    ],
)
def test_the_userland_decides_the_abi(machine, elf, long_bit, expected):
    assert parse.abi(machine, elf, long_bit) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"glibc": "glibc 2.31"}, ("glibc", "2.31")),
        ({"ldd": "ldd (Ubuntu GLIBC 2.35-0ubuntu3.8) 2.35"}, ("glibc", "2.35")),
        ({"ldd": "musl libc (aarch64)\nVersion 1.2.5"}, ("musl", "1.2.5")),
        ({"system": "Android", "properties": "ro.build.version.release 14\nro.hardware "}, ("bionic", "14")),
        ({"ldd": "sh: ldd: not found"}, (None, None)),
        ({"glibc": "GNU C Library (Debian GLIBC 2.36-9+deb12u4) stable release version 2.36."}, ("glibc", "2.36")),
        ({"python": "/usr/bin/python3\n3.11.2 64\nglibc 2.36"}, ("glibc", "2.36")),
        ({"maps": "64\n/lib/ld-musl-aarch64.so.1"}, ("musl", None)),
        ({"maps": "64\n/lib/aarch64-linux-gnu/libc-2.31.so"}, ("glibc", "2.31")),
        ({"maps": "64\n/lib/aarch64-linux-gnu/libc.so.6"}, ("glibc", None)),
        ({}, (None, None)),
    ],
)
def test_the_c_library_is_named(said, expected):
    assert parse.libc(said) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/usr/bin/python3\n3.7.16 32", Python(path="/usr/bin/python3", version=(3, 7, 16), bits=32)),
        ("/usr/bin/python\n2.7.18 64", None),
        ("", None),
        ("python3\n3.11.2 64", None),
        ("/usr/bin/python3\nTraceback", None),
    ],
)
def test_python_is_what_it_printed_itself(text, expected):
    assert parse.python(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("throttled=0x0", 0),
        ("throttled=0x50005", 0x50005),
        ("VCHI initialization failed", None),
        ("throttled=", None),
        ("", None),
    ],
)
def test_odd_answers_of_the_firmware_are_unknown_not_fine(text, expected):
    assert parse.throttled(text) == expected


def test_odd_sensor_readings_are_unknown():
    assert parse.thermal_zones("- cpu\n\n-274000 cold\n51000 \n40000 cpu\n41000 cpu") == {
        "zone3": 51.0,
        "cpu": 40.0,
        "cpu-5": 41.0,
    }
    assert parse.clock("frequency(0)=0") is None
    assert parse.temperature("temp=N/A") is None
    assert parse.disk_free("df: not found") is None
    assert parse.first_number("garbage") is None


def test_free_space_is_read_whatever_the_file_system_is_called():
    header = "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
    assert parse.disk_free(header + "nas:/my share 1000 400 600 40% /mnt/my share") == 600 * 1024
    assert parse.disk_free(header + "tmpfs 1000 0 1000 0% /home") == 1000 * 1024


def test_text_before_the_first_marker_is_dropped():
    text = "welcome\nmark elf\n\nmark-1 machine\naarch64\n\nmark-1 end\n"
    assert parse.sections(text, "mark-1") == {"machine": "aarch64", "end": ""}


def test_control_characters_of_a_board_do_not_reach_a_terminal():
    facts = from_sections({**PI4, "model": "\x1b[2JRaspberry\x07 Pi", "governor": "a\x1b]0;x\x07"})
    assert "\x1b" not in f"{facts.model}{facts.governor}"


def test_a_board_of_another_architecture_is_a_named_error():
    facts = from_sections({**PI4, "elf": X86_64_ELF, "machine": "x86_64"})
    error = mismatch("pi4", load_profile("pi4"), facts)
    assert isinstance(error, DeviceError)
    assert "x86_64" in error.message
    assert "says aarch64" in error.message
    assert "--profile generic-x86_64" in error.hint
    assert mismatch("pi4", load_profile("pi4"), from_sections(PI4)) is None
    assert mismatch("x", load_profile("generic"), facts) is None


def test_facts_come_in_one_command_over_every_transport(device):
    facts = device.facts()
    assert facts.machine == facts.abi == "x86_64" or facts.machine
    assert facts.kernel
    assert facts.boot_id
    assert facts.workspace == device.root
    assert facts.memory_total_bytes > 100_000_000
    assert facts.disk_free_bytes > 0
    assert facts.cores
    assert facts.python.path.startswith("/")


def test_sensors_of_a_profile_are_read(tmp_path):
    tool = tmp_path / "read it"
    tool.write_text('#!/bin/sh\necho "throttled=0x$1"\n')
    tool.chmod(0o755)
    profile = dataclasses.replace(load_profile("local"), sensors=Sensors(throttled=Sensor(command=(str(tool), "7"))))
    assert gather(LocalTransport(), profile).throttle_bits == 7


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_script_runs_in_every_shell(shell, tmp_path, monkeypatch):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "sh").write_text(f'#!/bin/sh\nexec {path} {"sh" if shell == "busybox" else ""} "$@"\n')
    (tmp_path / "sh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    facts = gather(LocalTransport(), load_profile("local"))
    assert facts.boot_id
    assert facts.userland_bits in (32, 64)
    assert facts.disk_free_bytes


def test_a_board_without_a_posix_shell_is_named():
    class Speechless:
        """A board whose shell answers something else."""

        def run(self, argv, **_):
            return dataclasses.replace(LocalTransport().run(["true"]), exit_status=1, stderr=b"unknown command sh\n")

    with pytest.raises(DeviceError, match="unknown command sh"):
        gather(Speechless(), load_profile("generic"))


@pytest.mark.parametrize(
    ("machine", "devicetree", "cpuinfo", "found"),
    [
        ("aarch64", "fw-cfg@9020000\nlinux,dummy-virt\0", "processor : 0", "QEMU"),
        ("aarch64", "raspberrypi,4-model-b\0brcm,bcm2711\0", "processor : 0\nFeatures : fp asimd", None),
        ("aarch64", "", "vendor_id : AuthenticAMD", "QEMU"),
        ("x86_64", "", "vendor_id : AuthenticAMD", None),
        (None, "", "", None),
    ],
)
def test_an_emulated_arm_board_is_known_by_its_device_tree_or_its_processor(machine, devicetree, cpuinfo, found):
    assert parse.emulator(machine, devicetree, cpuinfo) == found
