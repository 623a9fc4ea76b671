"""What both runners read of a board's sensors before, over and after the measured loop, from recorded answers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from both_runners import Runner, children, is_there

from edgekit.core.hashing import sha256_file
from edgekit.measure.conditions import throttling
from edgekit.runner.answer import read_trial
from edgekit.runner.protocol import Trial

CORES = sorted(os.sched_getaffinity(0))
TWO_CORES = pytest.mark.skipif(len(CORES) < 2, reason="the sampler needs a core besides the measured one")

Job = Callable[..., dict[str, Any]]


@pytest.fixture
def request_of(tmp_path: Path, job: Job) -> Job:
    """Makes jobs for a tiny model."""
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense())
    sample = numpy.ones((1, 8), "float32")
    return lambda **changes: job(model, [[sample]], **{"mode": "latency", "min_s": 0.3, "cpus": CORES[:1], **changes})


def trial_of(runner: Runner, request: dict[str, Any]) -> Trial:
    done = runner(request)
    assert done.status == 0, done.stderr
    sha256 = sha256_file(Path(request["model"]))
    return read_trial(done.answer, board="here", mode=request["mode"], model_sha256=sha256)


# ------------------------------------------------------------------------------------------- what happens in the middle


@TWO_CORES
def test_f50_throttling_that_only_shows_in_the_middle_of_a_run_reaches_the_trial(runner, request_of, played):
    bits = played.in_turn("vcgencmd", "bits", "throttled=0x0", "throttled=0xe0008", "throttled=0xe0000")
    clock = played.in_turn("vcgencmd", "clock", "frequency(48)=1800404352", "frequency(48)=600117184")
    heat = played.in_turn("vcgencmd", "heat", "temp=61.3'C", "temp=84.6'C", "temp=70.1'C")
    played("vcgencmd", f"case $1 in get_throttled) {bits} ;; measure_clock) {clock} ;; measure_temp) {heat} ;; esac")
    sensors = {"temperature": {"argv": ["vcgencmd", "measure_temp"]}}
    trial = trial_of(runner, request_of(sensors=sensors))
    assert (trial.before.throttle_bits, trial.after.throttle_bits) == (0, 0xE0000)
    assert trial.during.throttle_bits & 0xF == 8
    assert throttling(trial) == "soft temperature limit"
    assert (trial.before.temperature_c, trial.during.hottest_c, trial.after.temperature_c) == (61.3, 84.6, 70.1)
    assert (trial.before.clock_hz, trial.during.slowest_hz) == (1800404352, 600117184)
    assert trial.during.readings[0].throttle_bits == 0xE0008


@TWO_CORES
def test_f50_androids_thermal_status_in_the_middle_of_a_run_reaches_the_trial(runner, request_of, played):
    said = played.in_turn("dumpsys", "status", "Thermal Status: 0", "Thermal Status: 3", "Thermal Status: 1")
    played("dumpsys", f"echo IsStatusOverride: false; {said}; echo Cached temperatures:")
    trial = trial_of(runner, request_of())
    assert (trial.before.thermal_status, trial.during.thermal_status) == (0, 3)
    assert trial.after.thermal_status == 1
    assert trial.during.readings[0].thermal_status == 3


@TWO_CORES
def test_the_sampler_keeps_off_the_measured_core_and_leaves_a_timeline(runner, request_of, tmp_path):
    heat = tmp_path / "heat"
    heat.write_text("48312\n")
    sensors = {"temperature": {"file": str(heat), "scale": 0.001}}
    trial = trial_of(runner, request_of(min_s=1.5, sensors=sensors))
    during = trial.during
    assert during.cpu in CORES[1:]
    assert trial.cpus == tuple(CORES[:1])
    assert during.glances == len(during.readings) >= 2
    times = [reading.at_ns for reading in during.readings]
    assert times == sorted(times)
    assert trial.before.monotonic_s * 1e9 < during.began_ns < trial.after.monotonic_s * 1e9
    assert all(trial.before.monotonic_s * 1e9 < at < trial.after.monotonic_s * 1e9 for at in times)
    assert {reading.temperature_c for reading in during.readings} == {48.312}


@pytest.mark.parametrize("how", ["every core is measured", "no sampler is wanted"])
def test_without_a_core_to_spare_the_loop_itself_looks_at_files_and_says_so(how, runner, request_of, played, tmp_path):
    played("vcgencmd", "echo throttled=0x0")
    heat = tmp_path / "heat"
    heat.write_text("51.5")
    sensors = {"temperature": {"file": str(heat)}, "throttled": {"argv": ["vcgencmd", "get_throttled"]}}
    alone = {"cpus": CORES[:1], "sampler": False}
    every = {"cpus": CORES, "num_threads": len(CORES)}
    trial = trial_of(runner, request_of(sensors=sensors, **(alone if how == "no sampler is wanted" else every)))
    assert trial.during.cpu is None
    assert trial.during.glances >= 1
    assert trial.during.hottest_c == 51.5
    assert trial.before.throttle_bits == 0
    assert trial.during.throttle_bits is None  # a program would disturb: unknown, which is not "fine"


@TWO_CORES
def test_where_the_model_may_use_more_cores_than_it_has_threads_the_sampler_is_one_of_its_neighbours(
    runner, request_of
):
    trial = trial_of(runner, request_of(cpus=[], num_threads=1))
    assert trial.during.cpu in CORES
    assert trial.cpus == tuple(CORES)


def test_memory_is_followed_without_a_sampler(runner, request_of, played):
    played("vcgencmd", "echo throttled=0x0")
    trial = trial_of(runner, request_of(mode="memory", min_s=0.0, min_runs=2))
    assert trial.during is None
    assert trial.before.throttle_bits == 0


# ------------------------------------------------------------------------------------------- the job's own sensors


@pytest.mark.parametrize(
    ("kind", "text", "scale", "field", "value"),
    [
        ("temperature", "48312", 0.001, "temperature_c", 48.312),
        ("temperature", "-12.5\n", 1, "temperature_c", -12.5),
        ("temperature", "temp=48.2'C\n", 1, "temperature_c", 48.2),
        ("clock", "1800404\n", 1000, "clock_hz", 1_800_404_000),
        ("clock", "frequency(48)=1500345728\n", 1, "clock_hz", 1_500_345_728),
        ("throttled", "50000\n", 1, "throttle_bits", 0x50000),
        ("throttled", "throttled=0x5", 1, "throttle_bits", 5),
    ],
)
def test_the_jobs_own_sensors_are_read(kind, text, scale, field, value, runner, request_of, played, tmp_path):
    place = tmp_path / "sensor"
    place.write_text(text)
    program = played("sensor", f"echo; cat '{place}'")
    for source in ({"file": str(place)}, {"argv": ["sensor", "-x"]}, {"argv": [str(program)]}):
        sensors = {kind: {"argv": [], "file": None, "zone": None, "scale": scale, **source}}
        answer = runner(request_of(mode="smoke", sensors=sensors)).answer
        assert (answer["before"][field], answer["after"][field]) == (value, value)


def test_a_programs_words_are_no_shell(runner, request_of, played):
    played("sensor", 'case "$#$2" in "2a b;c") echo 41 ;; esac')
    sensors = {"temperature": {"argv": ["sensor", "x", "a b;c"]}}
    assert runner(request_of(mode="smoke", sensors=sensors)).answer["before"]["temperature_c"] == 41


def test_a_thermal_zone_by_its_type(runner, request_of):
    """As far as this machine has zones; where it has none, a zone is unknown."""
    zones = sorted(Path("/sys/class/thermal").glob("thermal_zone*/type"))
    kind = zones[0].read_text().strip() if zones else "cpu-thermal"
    known = runner(request_of(mode="smoke", sensors={"temperature": {"zone": kind}})).answer["before"]["temperature_c"]
    assert (known is None) == (not zones)


# ------------------------------------------------------------------------------------------- silence is not "fine"

ODD = {
    "absent": None,
    "denied": "echo 'VCHI initialization failed' >&2; exit 255",
    "denied with status 0": "echo VCHI initialization failed",
    "silent": ":",
    "no value": "echo throttled=",
    "no number": "echo throttled=0xzz",
    "negative": "echo throttled=-1",
    "too long": "echo throttled=0x123456789",
    "two": "echo throttled=0x0 0x0",
    "an error": "echo 'error=1 error_msg=\"Command not registered\"'",
    "not text": "printf '\\377\\000\\001'",
}


@pytest.mark.parametrize("script", ODD.values(), ids=ODD.keys())
def test_f52_a_firmware_tool_without_a_sensible_answer_is_unknown(script, runner, request_of, played):
    if script is not None:
        played("vcgencmd", script)
    trial = trial_of(runner, request_of(min_s=0.05))
    for seen in (trial.before, trial.during, trial.after):
        assert seen.throttle_bits is None
    assert (trial.before.clock_hz, trial.after.clock_hz) == (None, None)
    assert throttling(trial) == ""


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 60",
        pytest.param("echo throttled=0x0; exec sleep 60", marks=pytest.mark.slow),
        pytest.param("echo throttled=0x0; exec sleep 60 >&-", marks=pytest.mark.slow),
    ],
    ids=["before it answers", "after it answered", "after it closed its output"],
)
def test_f52_a_firmware_tool_that_hangs_is_unknown_and_is_not_left_behind(script, runner, request_of, played, tmp_path):
    pids = tmp_path / "pids"
    played("vcgencmd", f"echo $$ >> '{pids}'; {script}")
    trial = trial_of(runner, request_of(min_s=0.05))
    for seen in (trial.before, trial.during, trial.after):
        assert seen.throttle_bits is None
    asked = [int(word) for word in pids.read_text().split()]
    assert len(asked) <= 2  # by the measured process once, by the sampler once; then never again
    assert not any(map(is_there, asked))


@pytest.mark.parametrize("text", ["Permission Denial: can't dump thermalservice", "Thermal Status: 9", ""])
def test_f52_an_android_that_does_not_tell_its_thermal_status_is_unknown(text, runner, request_of, played):
    played("dumpsys", f'echo "{text}"')
    trial = trial_of(runner, request_of(min_s=0.05))
    assert trial.before.thermal_status is trial.during.thermal_status is trial.after.thermal_status is None


def test_f52_a_sensor_file_that_cannot_be_read_is_unknown_and_never_waited_for(runner, request_of, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path, tmp_path / "nowhere", Path("/dev/null")):
        sensors = {kind: {"file": str(place)} for kind in ("clock", "throttled")}
        before = runner(request_of(mode="smoke", sensors=sensors)).answer["before"]
        assert (before["clock_hz"], before["throttle_bits"]) == (None, None)


# ------------------------------------------------------------------------------------------- nobody outlives the runner


@TWO_CORES
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_sampler_and_its_programs_end_with_the_runner(number, runner, request_of, played, tmp_path):
    asked = tmp_path / "asked"
    # the second time: by the sampler, which waits for it when the runner is killed
    played("vcgencmd", f"echo $$ >> '{asked}'; case $1 in get_throttled) {second(tmp_path)} ;; *) echo x=1 ;; esac")
    with runner.started(request_of(min_s=30.0, max_s=30.0)) as process:
        hangs = tmp_path / "hangs"
        for _ in range(1500):
            if hangs.exists() and hangs.read_text().endswith("\n"):
                break
            time.sleep(0.02)
        started = [*children(process.pid), int(hangs.read_text())]
        assert len(started) == 2
        process.send_signal(number)
        process.wait(timeout=60)
        for _ in range(200):
            if not any(map(is_there, started)):
                break
            time.sleep(0.02)
        assert not any(map(is_there, started))


def second(folder: Path) -> str:
    """A script's lines that answer once and hang the next time, with their pid in a file."""
    first, hangs = folder / "first", folder / "hangs"
    return f"if [ -e '{first}' ]; then echo $$ > '{hangs}'; exec sleep 60; fi; : > '{first}'; echo throttled=0x0"


# ------------------------------------------------------------------------------------------- CPU time


@pytest.mark.parametrize("num_threads", [1, 2])
def test_every_entry_has_its_cpu_time(num_threads, runner, request_of):
    trial = trial_of(runner, request_of(num_threads=num_threads, cpus=[]))
    assert trial.cpu_latency_missing == ""
    assert len(trial.cpu_latency_ns) == len(trial.latency_ns)
    assert 0 < sum(trial.cpu_latency_ns) * trial.batch <= trial.cpu_ns * 1.01
    assert trial.busy_ns is not None


def test_cpu_time_does_not_count_what_a_busy_neighbour_took(runner, request_of):
    neighbour = os.fork()
    if neighbour == 0:
        os.sched_setaffinity(0, CORES[:1])
        while True:
            pass
    try:
        trial = trial_of(runner, request_of(min_s=1.0))
    finally:
        os.kill(neighbour, signal.SIGKILL)
        os.waitpid(neighbour, 0)
    assert sum(trial.cpu_latency_ns) * trial.batch <= trial.cpu_ns * 1.01 < 0.8 * trial.wall_ns
    assert trial.busy_ns > 1.2 * trial.cpu_ns


# ------------------------------------------------------------------------------------------- the state of the board


def test_conditions_say_what_else_the_board_does(runner, request_of):
    trial = trial_of(runner, request_of())
    for seen in (trial.before, trial.after):
        assert seen.runnable >= 0
        assert seen.swap_used_bytes >= 0
        assert seen.swapped_in_pages >= 0
        assert seen.uptime_s > 0
        assert len(seen.min_frequency_hz) == len(seen.max_frequency_hz) == len(seen.frequency_hz)
    assert trial.after.monotonic_s > trial.before.monotonic_s
    assert abs((trial.after.wall_s - trial.before.wall_s) - (trial.after.monotonic_s - trial.before.monotonic_s)) < 3600
