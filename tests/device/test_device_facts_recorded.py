"""Facts from what real boards printed: one file a system in ``facts/``, and beside it a summary for people.

A new recording: run the text of ``edgekit.device.facts_script.script(Sensors())`` on a board with
``sh -c TEXT sh edgekit-fixture '~/.edgekit' > facts/NAME.txt``, say in its first lines where it comes from, and write
the summary with ``--update-goldens``.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.device import facts_parse as parse
from edgekit.device.connect import connect
from edgekit.device.facts import Facts, from_sections, gather
from edgekit.device.facts_script import script
from edgekit.device.profile import Sensor, Sensors, all_profiles, load_profile
from edgekit.device.profile_check import differences, proposals
from edgekit.device.target import resolve
from edgekit.device.transport.local import LocalTransport

FOLDER = Path(__file__).parent / "facts"
RECORDED = sorted(path.stem for path in FOLDER.glob("*.txt"))


def recorded(name: str) -> dict[str, str]:
    return parse.sections((FOLDER / f"{name}.txt").read_text(), "edgekit-fixture")


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_board_is_read_as_its_summary_says(name, request):
    golden = FOLDER / f"{name}.summary"
    text = summary(from_sections(recorded(name)))
    if request.config.getoption("--update-goldens"):
        golden.write_text(text)
    assert text == golden.read_text(), "run --update-goldens, and read what changed"


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_says_where_it_comes_from_and_holds_no_serial_number(name):
    head, _, rest = (FOLDER / f"{name}.txt").read_text().partition("edgekit-fixture")
    assert head.startswith("#")
    assert "Recorded by the script itself" in head or "https://" in head
    assert "Serial" not in rest
    assert "serialno" not in rest


def summary(facts: Facts) -> str:
    """What is known, a line each; what is unknown is one line at the end."""
    told, unknown = [], []
    for field in dataclasses.fields(facts):
        value = getattr(facts, field.name)
        if value in (None, (), {}):
            unknown.append(field.name)
        elif field.name == "cores":
            told.append(f"cores: {len(value)}")
        elif field.name == "clusters":
            groups = [f"{g.kind or 'core'} {list(g.cpus)} {g.max_hz or 'clock unknown'}" for g in value]
            told.append(f"clusters: {'; '.join(groups)}")
        elif field.name == "cpu_features":
            told.append(f"cpu_features: {len(value)}, {' '.join(value[:6])} …")
        elif field.name == "python":
            told.append(f"python: {value.path} {'.'.join(map(str, value.version))}, {value.bits} bits")
        else:
            told.append(f"{field.name}: {value}")
    return "\n".join([*told, f"unknown: {', '.join(unknown)}"]) + "\n"


# ------------------------------------------------------------------ whatever a board prints


@pytest.mark.parametrize("name", RECORDED)
def test_truncated_and_garbled_sections_never_raise(name):
    said = recorded(name)
    chance = random.Random(name)
    junk = "".join(map(chr, [*range(256), 0x202E, 0x2028, 0x00B2, 0x0660, 0xFFFD, 0x1F600]))
    sensors = Sensors(temperature=Sensor(file="/t", scale=0.001), clock=Sensor(file="/c", scale=1000.0))
    for _ in range(60):
        changed = {}
        for section, body in said.items():
            way = chance.randrange(5)
            if way == 0:
                body = body[: chance.randrange(len(body) + 1)]
            elif way == 1:
                body = "".join(chance.choices(junk, k=chance.randrange(300)))
            elif way == 2:
                body = "".join(chance.choice(junk) if chance.random() < 0.1 else c for c in body)
            elif way == 3:
                body = "\n".join(chance.sample(body.splitlines(), len(body.splitlines())))
            changed[section] = body
        facts = from_sections(changed, chance.choice([sensors, Sensors(), Sensors(temperature=Sensor(zone="cpu"))]))
        shown = f"{facts.model}{facts.os_name}{facts.os_build}{facts.cpu_model}{facts.revision}{facts.container}"
        assert shown.isprintable()
        for profile in ("pi4", "generic", "rock5b"):
            differences(load_profile(profile), facts)


def test_random_bytes_as_a_whole_answer_never_raise():
    chance = random.Random(7)
    for _ in range(200):
        text = bytes(chance.randrange(256) for _ in range(chance.randrange(2000))).decode("utf-8", "replace")
        from_sections(parse.sections(f"m machine\n{text}\nm cores\n{text}\nm end\n", "m"))


# ------------------------------------------------------------------ how they are gathered


class Counting:
    """A transport that counts the commands that pass."""

    def __init__(self, inner):
        self.inner, self.commands = inner, 0

    def run(self, *arguments, **options):
        self.commands += 1
        return self.inner.run(*arguments, **options)

    def close(self):
        self.inner.close()


def test_everything_is_gathered_in_one_round_trip(sshd_board):
    with connect(resolve("pi4")) as device:
        device.transport = counting = Counting(device.transport)
        facts = device.facts()
        assert facts.kernel
        assert (facts.workspace, device.root) == ("/home/pi/.edgekit", "/home/pi/.edgekit")
        assert counting.commands == 1  # the home folder was asked for on the way


def test_a_root_folder_with_nothing_but_a_shell_still_says_its_bits(tmp_path):
    """dash alone, without od, getconf, uname, tr, cat, df: the shell's own ``read`` and its own addresses do."""
    sh = shutil.which("dash") or pytest.skip("no dash here: apt-get install dash")
    (tmp_path / "sh").symlink_to(sh)
    text = script(Sensors()).replace("PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", f"PATH={tmp_path}")
    assert f"PATH={tmp_path}" in text
    done = subprocess.run(
        [sh, "-c", text, "sh", "m", "~/.edgekit"], env={"HOME": "/"}, capture_output=True, text=True, timeout=30
    )
    said = parse.sections(done.stdout, "m")
    facts = from_sections(said)
    assert (said["elf"], said["long_bit"], said["ldd"]) == ("", "", "")
    assert (facts.userland_bits, facts.libc) == (64, "glibc")
    assert facts.libc_version  # told by the library itself
    assert facts.kernel
    assert facts.memory_total_bytes
    assert facts.boot_id
    assert facts.cores
    assert facts.workspace == "/.edgekit"
    assert done.stderr == ""


def test_a_board_whose_model_ends_in_a_zero_byte_is_named_by_every_shell(tmp_path):
    (tmp_path / "model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    line = next(line for line in script(Sensors()).splitlines() if line.startswith("get() "))
    for shell in (["dash"], ["bash"], ["busybox", "sh"]):
        if shutil.which(shell[0]):
            done = subprocess.run(
                [*shell, "-c", f'{line}\nget "$1"; echo "$v"', "sh", str(tmp_path / "model")],
                capture_output=True,
                text=True,
            )
            assert done.stdout == "Raspberry Pi 4 Model B Rev 1.4\n", shell


def test_sensors_may_be_a_command_a_file_or_a_zone(tmp_path):
    (tmp_path / "clock").write_text("1800000\n")
    (tmp_path / "bits").write_text("50005\n")
    (tmp_path / "warm").write_text("48199\n")
    sensors = Sensors(
        temperature=Sensor(file=str(tmp_path / "warm"), scale=0.001),
        clock=Sensor(file=str(tmp_path / "clock"), scale=1000.0),
        throttled=Sensor(file=str(tmp_path / "bits")),
    )
    facts = gather(LocalTransport(), dataclasses.replace(load_profile("local"), sensors=sensors))
    assert (facts.sensor_c, facts.clock_hz, facts.throttle_bits) == (48.199, 1_800_000_000, 0x50005)
    zones = {"thermal": "61000 gpu-thermal\n47000 bigcore0-thermal", "end": ""}
    facts = from_sections(zones, Sensors(temperature=Sensor(zone="bigcore0-thermal")))
    assert (facts.temperature_c, max(facts.temperatures_c.values())) == (47.0, 61.0)


# ------------------------------------------------------------------ a board against profiles


def codes(profile: str, facts: Facts) -> set[str]:
    return {notice.code for notice in differences(load_profile(profile), facts)}


def test_f52_a_sensor_that_does_not_answer_is_unknown_and_named():
    silent = from_sections({"sensor:throttled": "VCHI initialization failed", "sensor:temperature": "temp=48.2'C"})
    found = [n for n in differences(load_profile("pi4"), silent) if n.code == "sensor-silent"]
    assert silent.throttle_bits is None
    assert ["get_throttled" in n.message or "measure_clock" in n.message for n in found] == [True, True]
    assert all("unknown" in n.message and "video" in n.hint for n in found)
    assert "throttled" not in codes("pi4", silent)


def test_f52_a_thermal_zone_that_is_not_there_is_unknown_and_named():
    facts = from_sections({"thermal": "48000 soc-thermal"})
    found = differences(load_profile("rock5b"), facts)
    assert "thermal zone bigcore0-thermal" in next(n.message for n in found if n.code == "sensor-silent")


def test_a_hot_throttled_slow_board_is_told_from_its_profile():
    facts = from_sections(recorded("raspberry-pi-os-11-pi4"))
    assert codes("pi4", facts) == {"hot", "sensor-silent", "no-python"}
    said = {
        "cores": "0 1500000 - 0x410fd083\n1 1500000 - 0x410fd034",
        "governor": "ondemand",
        "sensor:throttled": "throttled=0x4",
        "cooling": "3 cpufreq-cpu0\n0 cpufreq-cpu1",
        "meminfo": "MemTotal: 9999999 kB",
        "model": "ROCK Pi 4",
        "container": "lxc",
        "system": "Android",
    }
    expected = {"cores", "clusters", "clock", "governor", "throttled", "memory", "model", "container", "libc"}
    assert codes("pi4", from_sections(said)) - {"sensor-silent"} == expected


def test_a_board_with_little_memory_and_without_its_big_cores_is_told():
    said = {"meminfo": "MemTotal: 300000 kB", "cores": "0 1800000 - -\n1 1800000 - -"}
    assert "memory" in codes("pi4", from_sections(said))
    assert {"cpus", "cores"} <= codes("rock5b", from_sections(said))


def test_32_bit_programs_on_a_64_bit_kernel_are_told():
    facts = from_sections(recorded("debian-13-armhf-on-arm64"))
    assert "userland-bits" in codes("generic", facts)
    assert "architecture" in codes("pi4", facts)
    assert "architecture" not in codes("pi4-32", facts)


# a board as its maker's documents describe it → the profile that it gets
BOARDS = {
    "pi4": {"machine": "aarch64", "long_bit": "64", "compatible": "raspberrypi,4-model-b\nbrcm,bcm2711"},
    "pi4-32": {"machine": "aarch64", "long_bit": "32", "compatible": "raspberrypi,4-model-b\nbrcm,bcm2711"},
    "pi3-32": {"machine": "armv7l", "long_bit": "32", "model": "Raspberry Pi 3 Model B Plus Rev 1.3"},
    "pi5": {"machine": "aarch64", "long_bit": "64", "model": "Raspberry Pi 5 Model B Rev 1.0"},
    "rock5b": {"machine": "aarch64", "long_bit": "64", "compatible": "radxa,rock-5b\nrockchip,rk3588"},
    "imx8mp": {"machine": "aarch64", "long_bit": "64", "compatible": "toradex,verdin-imx8mp\nfsl,imx8mp"},
    "jetson-orin-nano": {
        "machine": "aarch64",
        "long_bit": "64",
        "compatible": "nvidia,p3768-0000+p3767-0005\nnvidia,p3767-0005\nnvidia,tegra234",
    },
    "generic-arm64": {"machine": "aarch64", "long_bit": "64", "compatible": "pine64,rockpro64\nrockchip,rk3399"},
    "generic-armv7": {"machine": "armv7l", "long_bit": "32", "model": "TI AM335x BeagleBone Black"},
    "generic-x86_64": {"machine": "x86_64", "long_bit": "64", "machine_name": "LENOVO\nThinkCentre"},
    "android-arm64-termux": {"machine": "aarch64", "long_bit": "64", "system": "Android"},
    "generic": {},
}


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_board_gets_the_profile_that_fits_it_best(name):
    found = proposals(from_sections(BOARDS[name]), [profile for profile, _ in all_profiles()[0].values()])
    assert found[0].profile == name
    assert found[0].reasons or name == "generic"


def test_a_profile_that_the_board_contradicts_is_never_proposed():
    facts = from_sections(BOARDS["pi4-32"])
    names = {found.profile for found in proposals(facts, [profile for profile, _ in all_profiles()[0].values()])}
    assert not names & {"pi4", "generic-arm64", "local", "android-arm64-adb"}
