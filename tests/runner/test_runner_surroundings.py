"""The runners as odd surroundings start them: ignored signals, pipes that do not wait, long lists, no /proc."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from platform import machine
from typing import Any

import numpy
import pytest
import tiny_tflite
from both_runners import Played, Runner
from native_process import program_around
from payload_process import Ended

from edgekit.runner.payload import BEGIN

Job = Callable[..., dict[str, Any]]


@pytest.fixture
def native(program: Path) -> Runner:
    return Runner("native", program)


@pytest.fixture
def dense_job(tmp_path: Path, job: Job) -> Job:
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense())
    return lambda **changes: job(model, [[numpy.ones((1, 8), "float32")]], **changes)


def test_a_sensors_program_is_heard_although_whoever_started_the_runner_waits_for_no_child(
    runner: Runner, played: Played, dense_job: Job
):
    played("vcgencmd", "case $1 in get_throttled) echo throttled=0x50000;; *) echo 'frequency(48)=1500345728';; esac")
    done = runner(dense_job(), preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    for moment in ("before", "after"):
        assert done.answer[moment]["throttle_bits"] == 0x50000
        assert done.answer[moment]["clock_hz"] == 1500345728


def test_the_time_limit_holds_although_whoever_started_the_runner_blocked_its_signal(runner: Runner, dense_job: Job):
    endless = dense_job(mode="latency", min_s=30, max_s=30, time_limit_s=0.5)

    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})

    assert runner(endless, preexec_fn=block).status == 128 + signal.SIGALRM


def test_a_runner_without_standard_error_keeps_its_sampler_and_its_answer(runner: Runner, dense_job: Job):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is no core to spare")
    done = runner(dense_job(mode="latency", cpus=cores[:1]), preexec_fn=lambda: os.close(2))
    assert done.stdout.startswith(f"\n{BEGIN}\n".encode())
    assert done.answer["during"]["cpu"] in cores[1:]


def test_a_program_is_found_at_the_end_of_a_long_path(runner: Runner, played: Played, dense_job: Job, monkeypatch):
    played("vcgencmd", "echo throttled=0x2")
    folders = ":".join(f"/nowhere/{number:0100d}" for number in range(60))
    monkeypatch.setenv("PATH", f"{folders}::{played.folder}:{os.environ['PATH']}")
    assert runner(dense_job()).answer["before"]["throttle_bits"] == 2


def test_pipes_that_do_not_wait_carry_request_and_answer(runner: Runner, tmp_path, job: Job):
    columns = 200_000  # an answer of more than a megabyte, which no pipe holds
    model = tiny_tflite.write(tmp_path, tiny_tflite.cast("float32", "int32", shape=(1, columns)))
    request = json.dumps(job(model, [[numpy.ones((1, columns), "float32")]])).encode()
    (their_input, our_output), (our_input, their_output) = os.pipe(), os.pipe()
    for end in (their_input, their_output):
        os.set_blocking(end, False)
    with subprocess.Popen(runner.argv, stdin=their_input, stdout=their_output, stderr=subprocess.DEVNULL) as process:
        os.close(their_input)
        os.close(their_output)
        time.sleep(0.3)  # it finds nothing to read
        os.write(our_output, request + b"\n")
        time.sleep(1)  # it fills the pipe
        with os.fdopen(our_input, "rb") as stream:
            text = stream.read()
        os.close(our_output)
    assert process.returncode == 0
    assert len(Ended(0, text, b"").answer["outputs"][0][0]) > 1_000_000


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be in many groups")
def test_memory_is_told_to_a_member_of_a_thousand_groups(runner: Runner, dense_job: Job):
    done = runner(dense_job(mode="memory", min_runs=1, min_s=0), extra_groups=range(100_000, 101_000))
    assert all(phase["rss_bytes"] for phase in done.answer["memory"])
    assert all(phase["anon_bytes"] for phase in done.answer["memory"])


def test_a_file_that_cannot_be_read_leaves_an_empty_text(tmp_path):
    source = tmp_path / "reader.c"
    source.write_text(
        '#include "sensors.h"\n'
        "int main(int count, char **words) {\n"
        '  char text[8] = "nothing";\n'
        "  bool read = read_text(words[count - 1], text, sizeof text);\n"
        "  return read ? 1 : *text ? 2 : 0;\n"
        "}\n"
    )
    program = program_around(source, machine(), "glibc", tmp_path / "reader")
    assert subprocess.run([program, tmp_path / "absent"]).returncode == 0
    assert subprocess.run([program, tmp_path]).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for mounts of its own")
def test_what_proc_and_sys_would_tell_is_unknown_where_they_are_hidden(native: Runner, dense_job: Job):
    hide = 'mount -t tmpfs none "$place" || exit 99'
    script = f'cpus=$(cat /proc/cpuinfo); for place in /proc /sys; do {hide}; done; echo "$cpus" > /proc/cpuinfo'
    hidden = ["unshare", "--mount", "sh", "-c", f'{script}; exec "$@"', "sh"]
    if subprocess.run([*hidden, "true"], capture_output=True).returncode:
        pytest.skip("this root may not mount")
    native.argv = [*hidden, *native.argv]
    for mode in ("smoke", "latency", "memory", "cold"):
        done = native(dense_job(mode=mode))
        assert done.status == 0, done.stderr.decode("utf-8", "replace")[-3000:]
        before = done.answer["before"]
        for name in ("temperature_c", "clock_hz", "governor", "load_1min", "uptime_s", "runnable", "boot_id"):
            assert before[name] is None, name
        assert before["frequency_hz"] == []
        assert {phase["rss_bytes"] for phase in done.answer["memory"]} == {None}
        assert done.answer["peak_resets"] is False
    assert done.answer["cold"]["read_bytes"] is None
