"""The protocol on a real board: its sensors are played by programs there, its other work is real."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_tflite
from sshd_board import Sshd, start_sshd

import edgekit
from edgekit.core.places import config_dir
from edgekit.measure.conditions import throttling
from edgekit.measure.measurement import Measurement
from edgekit.measure.plan import Plan

CORES = sorted(os.sched_getaffinity(0))
TWO_CORES = pytest.mark.skipif(len(CORES) < 2, reason="the sampler needs a core besides the measured one")

PLAN = Plan(
    name="standard", processes=2, memory_processes=1, cold_processes=0, warmup_s=0.01, min_runs=3, min_s=0.35,
    cooldown_s=0.1, cool_wait_s=1.0,
)  # fmt: skip

PROFILE = """\
title = "a board of the tests"
throttle_c = 80.0
cpus = [{core}]
[sensors]
throttled = {{ command = ["vcgencmd", "get_throttled"] }}
clock = {{ command = ["vcgencmd", "measure_clock", "arm"] }}
temperature = {{ command = ["vcgencmd", "measure_temp"] }}
"""

#: as a Raspberry Pi's firmware answers; each line of a file is one answer, the last one stays
VCGENCMD = """\
#!/bin/sh
said="$HOME/said/$1"
n=$(($(cat "$said.count" 2>/dev/null || echo 0) + 1))
echo $n > "$said.count"
[ $n -le $(wc -l < "$said") ] && sed -n "${n}p" "$said" || tail -n 1 "$said"
"""

Firmware = Callable[..., None]


@pytest.fixture(scope="module")
def _board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A board with a firmware's program on its PATH."""
    board = start_sshd(tmp_path_factory.mktemp("sshd"), bashrc='PATH="$HOME/bin:$PATH"')
    program = board.path(f"{board.home}/bin/vcgencmd")
    program.parent.mkdir()
    program.write_text(VCGENCMD)
    program.chmod(0o755)
    yield board
    board.stop()


@pytest.fixture
def pi(_board: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The board as ``pi4``, with a profile that names the program."""
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(_board.config))
    folder = config_dir() / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pi4.toml").write_text(PROFILE.format(core=CORES[-1]))
    return _board


@pytest.fixture
def firmware(pi: Sshd) -> Firmware:
    """Sets what the firmware answers, from the next time it is asked on; calm where nothing is said."""
    calm = {
        "get_throttled": ["throttled=0x0"],
        "measure_clock": ["frequency(48)=1800404352"],
        "measure_temp": ["temp=48.2'C"],
    }
    folder = pi.path(f"{pi.home}/said")

    def says(**answers: list[str]) -> None:
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        for name, lines in {**calm, **answers}.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines))
            (folder / f"{name}.count").unlink(missing_ok=True)

    says()
    return says


@pytest.fixture
def measure(pi: Sshd, firmware: Firmware, tmp_path: Path) -> Callable[..., Measurement]:
    """Benchmarks a tiny model there."""
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense())

    def benchmark(plan: Plan = PLAN) -> Measurement:
        (measured,) = edgekit.benchmark(model, device="pi4", plan=plan, num_threads=1)
        return measured

    return benchmark


def codes(measured: Measurement) -> set[str]:
    return {reason.code for reason in measured.reasons}


def reason(measured: Measurement, code: str) -> str:
    (found,) = [one for one in measured.reasons if one.code == code]
    return str(found)


@contextlib.contextmanager
def other_programs(core: int, count: int) -> Iterator[None]:
    """Programs that want a core all the time."""
    busy = f"import os; os.sched_setaffinity(0, [{core}]); print(flush=True)\nwhile True: pass"
    running = [subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for program in running:
            assert program.stdout is not None
            program.stdout.readline()  # it has begun
        yield
    finally:
        for program in running:
            program.kill()
            program.communicate()


@TWO_CORES
def test_f50_a_process_that_was_throttled_is_run_again_and_kept_apart(measure, firmware) -> None:
    firmware(get_throttled=["throttled=0x0", "throttled=0x0", "throttled=0x40004", "throttled=0x40000"])
    measured = measure(replace(PLAN, retries=20))  # enough for what else this machine does
    (repeated,) = [one for one in measured.samples.repeated if one.reason.startswith("throttled")]
    assert repeated.reason == "throttled: throttled"
    assert repeated.trial is not None
    assert throttling(repeated.trial) == "throttled"
    assert len(measured.samples.latency) == 2
    assert not any(throttling(trial) for trial in measured.samples.latency)
    assert "throttled" not in codes(measured)
    assert {"throttled-earlier", "repeated"} <= codes(measured)  # the firmware remembers, and so does the measurement


@TWO_CORES
def test_f50_a_board_whose_supply_stays_weak_is_invalid_and_says_why(measure, firmware) -> None:
    firmware(get_throttled=["throttled=0x0"] * 2 + ["throttled=0x50005"] * 1000)
    measured = measure(replace(PLAN, retries=1, cool_wait_s=0.2))
    assert measured.verdict == "invalid"
    assert codes(measured) & {"throttled", "hot-start"}
    assert any("under-voltage" in str(one) for one in measured.reasons if one.weight == "invalid")


@TWO_CORES
def test_f50_a_clock_that_falls_under_a_fixed_governor_is_seen_in_the_real_one(measure, firmware) -> None:
    firmware(measure_clock=["frequency(48)=1800404352", "frequency(48)=600117184"])
    trial = measure(replace(PLAN, retries=0)).samples.latency[0]
    assert 600117184 in (trial.during.slowest_hz, trial.after.clock_hz)  # and not what the kernel asked for


def test_f51_a_board_that_never_cools_is_waited_for_and_then_invalid_with_its_temperature(measure, firmware) -> None:
    firmware(measure_temp=["temp=71.4'C"])
    measured = measure()
    assert measured.verdict == "invalid"
    assert "in vain for the board to cool down to 65 °C (71 °C now)" in reason(measured, "hot-start")
    assert measured.processes == 0
    assert measured.memory.peak_rss_bytes  # memory knows no heat


def test_f51_a_board_that_cools_in_time_is_measured(measure, firmware) -> None:
    firmware(measure_temp=["temp=71.4'C", "temp=68.1'C", "temp=49.0'C"])
    measured = measure(replace(PLAN, cool_wait_s=60.0))
    assert measured.processes == 2
    assert "hot-start" not in codes(measured)
    assert all(trial.before.temperature_c == 49.0 for trial in measured.samples.latency)


@pytest.mark.parametrize(
    "answer",
    ["", "VCHI initialization failed", "throttled=maybe", "temp=nan'C"],
    ids=["silent", "denied", "odd", "nan"],
)
def test_f52_a_firmware_that_does_not_tell_is_unknown_and_never_fine(measure, firmware, answer: str) -> None:
    firmware(get_throttled=[answer], measure_temp=[answer], measure_clock=[answer])
    measured = measure(replace(PLAN, processes=1))
    assert measured.processes == 1  # nothing waits for a sensor that does not tell
    assert "throttle bits" in reason(measured, "uncontrolled")
    assert measured.samples.latency[0].before.throttle_bits is None


def test_f53_other_work_on_the_measured_core_makes_it_invalid_and_is_run_again_first(measure) -> None:
    with other_programs(CORES[-1], count=2):
        measured = measure(replace(PLAN, processes=1, retries=1, cooldown_s=0.1))
    assert measured.verdict == "invalid"
    assert "of a measured core" in reason(measured, "foreign-load")
    assert [one.reason.partition(":")[0] for one in measured.samples.repeated] == ["foreign-load"]
    assert measured.latency.cpu_median_ns or measured.latency.missing["cpu_median_ns"]
