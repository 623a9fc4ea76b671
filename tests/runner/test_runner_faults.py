"""Faults of a run on the board: how both runners die, and answers that no process can have measured."""

from __future__ import annotations

import copy
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from both_runners import Runner, as_a_shell_tells
from payload_process import Ended, start

from edgekit.core.errors import DeadlineError, DeviceError, EdgekitError
from edgekit.runner.answer import read_answer, read_trial
from edgekit.runner.payload import BEGIN, END

Job = Callable[..., dict[str, Any]]


@pytest.fixture
def request_of(tmp_path: Path, job: Job) -> Job:
    """Makes jobs for a tiny model."""
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense())
    return lambda **changes: job(model, [[numpy.ones((1, 8), "float32")]], **{"mode": "latency", **changes})


def refused(done: Ended) -> EdgekitError:
    with pytest.raises(EdgekitError) as caught:
        read_answer(done.stdout, done.stderr, done.status, board="pi4")
    return caught.value


# ------------------------------------------------------------------------------------------- ends without an answer

ENDS = {
    signal.SIGKILL: "ran out of memory",
    signal.SIGSEGV: "the runtime crashed (SIGSEGV)",
    signal.SIGILL: "built for a newer processor",
    signal.SIGBUS: "may have been changed while it ran",
    signal.SIGABRT: "the runtime gave up",
    signal.SIGTERM: "was ended by SIGTERM",
}


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_f54_a_run_that_a_signal_ends_is_told_by_its_cause_with_the_last_words(number, runner: Runner, request_of):
    with runner.started(request_of(min_s=30.0, max_s=30.0, time_limit_s=50)) as process:
        said = last_words(process, b"XNNPACK")
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    error = refused(Ended(as_a_shell_tells(process.returncode), stdout, said + stderr))
    assert type(error) is DeviceError
    assert ENDS[number] in error.message
    assert "XNNPACK" in error.details["stderr"]
    assert error.details["exit_status"] == 128 + number


def last_words(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """Reads what a process prints to its standard error until it has said the words."""
    said = b""
    end = time.monotonic() + 30
    while words not in said and time.monotonic() < end:
        if select.select([process.stderr], [], [], 1)[0]:
            said += os.read(process.stderr.fileno(), 65536)
    assert words in said
    return said


def test_f54_no_two_ways_to_die_are_told_alike():
    messages = {refused(Ended(128 + number, b"", b"")).message for number in ENDS}
    assert len(messages | {refused(Ended(0, b"", b"")).message}) == len(ENDS) + 1


def test_f54_a_run_out_of_memory_is_told_as_that(runner: Runner, tmp_path, job):
    """The process may have 300 MB of addresses and no more; the model's tensors alone are 400 MB each."""
    columns = 100_000_000
    model = tiny_tflite.write(tmp_path, tiny_tflite.cast("float32", "float16", shape=(1, columns)))
    sample = tmp_path / "sample"
    with sample.open("wb") as stream:
        stream.truncate(4 * columns)
    request = {**job(model, []), "samples": [[str(sample)]]}
    limit = (300 << 20, 300 << 20)
    with runner.started(request, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit)) as process:
        stdout, stderr = process.communicate(timeout=50)
    error = refused(Ended(as_a_shell_tells(process.returncode), stdout, stderr))
    assert type(error) is DeviceError
    assert "the runtime cannot get 400000000 bytes for input x" in error.message
    assert error.details["code"] == "out-of-memory"


@pytest.fixture
def small_group(tmp_path: Path) -> Iterator[Path]:
    """A control group whose processes may have 60 MB together, and no swap."""
    limits = {
        "/sys/fs/cgroup/memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        "/sys/fs/cgroup": ("memory.max", "memory.swap.max"),
    }
    for root, (most, swap) in limits.items():
        group = Path(root) / f"edgekit-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / most).write_text(str(60 << 20))
            if (group / swap).exists():
                (group / swap).write_text("0" if "max" in swap else str(60 << 20))
            yield group
            return
        except OSError:
            continue
        finally:
            group.rmdir()
    pytest.skip("this system lets nobody limit the memory of a group of processes (it needs root)")


def test_f54_a_run_that_the_kernel_kills_for_memory_is_told_as_that(runner: Runner, tmp_path, job, small_group):
    columns = 50_000_000
    model = tiny_tflite.write(tmp_path, tiny_tflite.cast("float32", "float16", shape=(1, columns)))
    # in memory: the kernel would drop and read pages of a file for half a minute before it gives up
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as sample:
        sample.truncate(4 * columns)
        request = {**job(model, []), "samples": [[sample.name]]}
        with runner.started(request, preexec_fn=lambda: (small_group / "cgroup.procs").write_text("0")) as process:
            stdout, stderr = process.communicate(timeout=50)
    error = refused(Ended(as_a_shell_tells(process.returncode), stdout, stderr))
    assert "killed (SIGKILL): most likely the board ran out of memory" in error.message
    assert "XNNPACK" in error.details["stderr"]


def test_f54_a_runner_that_ends_well_without_a_result_is_told():
    done = subprocess.run(
        [sys.executable, "-c", "print('hello'); import sys; sys.stderr.write('bye')"], capture_output=True
    )
    error = refused(Ended(done.returncode, done.stdout, done.stderr))
    assert type(error) is DeviceError
    assert "ended with status 0 and without an answer: bye" in error.message
    assert error.details["stderr"] == "bye"


def test_f54_a_run_that_does_not_end_is_a_deadline(runner: Runner, request_of):
    assert isinstance(refused(runner(request_of(min_s=30.0, max_s=30.0, time_limit_s=0.4))), DeadlineError)


# ------------------------------------------------------------------------------------------- answers that cannot be


@pytest.fixture(scope="module")
def real(tmp_path_factory, library) -> dict[str, Any]:
    """Answers of real processes, by mode."""
    from edgekit.core.hashing import sha256_file

    folder = tmp_path_factory.mktemp("answers")
    model = tiny_tflite.write(folder, tiny_tflite.dense_int8())
    numpy.zeros(16, "int8").tofile(folder / "x.raw")
    request = {"model": str(model), "model_sha256": sha256_file(model), "library": library, "num_threads": 1}
    request |= {"samples": [[str(folder / "x.raw")]], "warmup_runs": 1, "warmup_s": 0, "warmup_max_s": 0, "cpus": []}
    request |= {"min_runs": 5, "min_s": 0, "max_s": 5}
    return {mode: start({**request, "mode": mode}).answer for mode in ("latency", "memory")}


def framed(text: str) -> bytes:
    return f"\n{BEGIN}\n{text}\n{END}\n".encode()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "not JSON"),
        (lambda text: text.replace('"batch": ', '"batch": NaN, "x": ', 1), "NaN"),
        (lambda text: text.replace('"batch": ', '"batch": -Infinity, "x": ', 1), "Infinity"),
        (lambda text: text + "}", "not JSON"),
        (lambda text: "null", "not a JSON object"),
        (lambda text: "", "not JSON"),
    ],
    ids=["truncated", "NaN", "infinite", "too much", "nothing", "empty"],
)
def test_f55_an_answer_that_is_no_record_is_refused(damage, words, real):
    stdout = framed(damage(json.dumps(real["latency"])))
    with pytest.raises(DeviceError, match=words):
        read_answer(stdout, b"", 0, board="pi4")


def test_f55_an_answer_that_ends_early_is_refused(real):
    whole = framed(json.dumps(real["latency"]))
    for length in range(len(f"\n{BEGIN}\n"), len(whole) - 2, 997):
        with pytest.raises(DeviceError, match="cut off"):
            read_answer(whole[:length], b"", 0, board="pi4")


CANNOT_BE = {
    "no iteration": ("latency", {"latency_ns": [], "cpu_latency_ns": []}, "not a single inference"),
    "no run followed": ("memory", {"memory_runs": 0}, "not a single inference"),
    "a negative time": ("latency", {"latency_ns": [5, -1, 7, 7, 7]}, "took no time"),
    "a batch of none": ("latency", {"batch": 0}, "took no time"),
    "a fraction": ("latency", {"latency_ns": [1.5] * 5}, "whole number"),
    "a truth": ("latency", {"latency_ns": [True] * 5}, "whole number"),
    "a text": ("latency", {"wall_ns": "12"}, "whole number"),
    "longer than the loop": ("latency", {"wall_ns": 3}, "longer than the loop"),
    "CPU time of others": ("latency", {"cpu_latency_ns": [5]}, "another number of inferences"),
    "negative CPU time": ("latency", {"cpu_latency_ns": [-5] * 5}, "negative time"),
    "negative calibration": ("latency", {"calibration_ns": [5, -5]}, "negative time"),
    "negative faults": ("latency", {"major_faults": -1}, "negative count"),
    "no phases": ("memory", {"memory": []}, "memory was not followed"),
    "negative PSS": ("memory", {"pss_bytes": -1}, "negative size"),
    "an infinite load": ("latency", {"before.load_1min": 1e999}, "a load or a moment"),
    "an infinite heat": ("latency", {"after.temperature_c": 1e999}, "a temperature of inf"),
    "a cold star": ("latency", {"after.temperature_c": -274.0}, "a temperature of -274"),
    "negative bits": ("latency", {"before.throttle_bits": -1}, "throttle bits"),
    "an unknown status": ("latency", {"after.thermal_status": 7}, "thermal status"),
    "negative glances": ("latency", {"during.glances": -1}, "negative reading"),
    "more readings than glances": (
        "latency",
        {"during.readings": [{"at_ns": n} for n in range(99)]},
        "more",
    ),
    "readings out of order": (
        "latency",
        {"during.glances": 2, "during.readings": [{"at_ns": 5}, {"at_ns": 4}]},
        "order",
    ),
    "a key of tomorrow": ("latency", {"before.humidity": 1}, "unknown key"),
    "another model": ("latency", {"model_sha256": "0" * 64}, "another model"),
}


@pytest.mark.parametrize(("mode", "changes", "words"), CANNOT_BE.values(), ids=CANNOT_BE.keys())
def test_f55_an_answer_that_no_process_can_have_measured_is_refused(mode, changes, words, real):
    wrong = copy.deepcopy(real[mode])
    for place, value in changes.items():
        record, _, key = place.rpartition(".")
        (wrong[record] if record else wrong)[key] = value
    with pytest.raises(DeviceError, match=words):
        read_trial(wrong, board="pi4", mode=mode, model_sha256=real[mode]["model_sha256"])


@pytest.mark.parametrize("size", ["rss_bytes", "peak_rss_bytes", "swap_bytes"])
def test_f55_a_phase_with_less_than_no_memory_is_refused(size, real):
    wrong = copy.deepcopy(real["memory"])
    wrong["memory"][3][size] = -4096
    with pytest.raises(DeviceError, match="negative size"):
        read_trial(wrong, board="pi4", mode="memory", model_sha256=wrong["model_sha256"])


def test_a_sample_that_was_kept_before_there_was_a_sampler_is_still_read(real):
    from edgekit.core import decode
    from edgekit.runner.protocol import Trial

    old = copy.deepcopy(real["latency"])
    for key in ("cpu_latency_ns", "cpu_latency_missing", "busy_ns", "voluntary_switches"):
        del old[key]
    old["during"] = {"glances": 1, "throttle_bits": 0, "hottest_c": 50.5, "slowest_hz": 1, "fastest_hz": 2}
    known = ("temperature_c", "frequency_hz", "clock_hz", "governor", "throttle_bits", "load_1min", "boot_id")
    for moment in ("before", "after"):
        old[moment] = {key: old[moment][key] for key in (*known, "memory_available_bytes")}
    trial = decode.from_json(Trial, old, source="samples.json", lenient=True)
    assert trial.cpu_latency_ns is None
    assert (trial.during.readings, trial.during.cpu, trial.before.runnable) == ((), None, None)
