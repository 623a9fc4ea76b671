"""The user's benchmark_model on a board: recorded outputs played on a real ssh server, and litert-benchmark itself."""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import wait_until
from tiny_tflite import dense_chain_int8

from edgekit.core.artifact import Artifact
from edgekit.core.errors import DeadlineError, DeviceError, ModelError, RuntimeMissingError, TransferError
from edgekit.device.benchmark_model import run_benchmark_model
from edgekit.device.connect import Device, connect
from edgekit.device.provision import BoardRuntime
from edgekit.device.run import push_samples
from edgekit.device.target import resolve
from edgekit.runner.protocol import Job

PUBLISHED = Path(__file__).parents[1] / "data" / "benchmark_model"
MODEL = dense_chain_int8(layers=12, columns=512)


@pytest.fixture
def model(pi4: Device) -> str:
    return pi4.workspace.push_bytes(MODEL, "models/m.tflite").path


@pytest.fixture
def played(pi4: Device) -> Callable[[str], BoardRuntime]:
    """A tool that writes down its arguments and then does what it is told."""

    def make(script: str) -> BoardRuntime:
        text = f'#!/bin/sh\necho "$@" >> {pi4.root}/arguments\n{script}\n'
        path = pi4.workspace.push_bytes(text.encode(), "runtime/benchmark_model").path
        pi4.transport.run(["chmod", "755", path])
        return runtime(path)

    return make


def runtime(path: str) -> BoardRuntime:
    return BoardRuntime(
        runner="benchmark_model",
        python=None,
        runner_path=path,
        library_path=None,
        module=None,
        name="benchmark_model",
        version="",
        uploaded_bytes=0,
    )


def job(model: str, **options) -> Job:
    digest = hashlib.sha256(MODEL).hexdigest()
    base = {"mode": "latency", "model": model, "model_sha256": digest, "library": None, "module": None}
    return Job(**{**base, "num_threads": 2, "samples": (), "min_runs": 50, "min_s": 1.0, **options})


def says(name: str) -> str:
    return f"cat <<'END'\n{(PUBLISHED / f'{name}.txt').read_text()}\nEND\n"


def test_a_recorded_run_becomes_a_trial(pi4, model, played):
    trial = run_benchmark_model(pi4, played(says("2-litert-1.4-logcat-percentiles")), job(model), 30)
    assert (trial.latency_ns, trial.batch, trial.extra["statistic"]) == ((141_253_000,), 25, "median")
    assert (trial.init_ns, trial.first_ns, trial.num_threads) == (92_318_000, 187_533_000, 2)
    assert "ru_maxrss" in trial.extra["memory"]
    assert trial.extra["approximate_memory_overall_bytes"] == round(73.4102 * (1 << 20))
    assert trial.before.boot_id == trial.after.boot_id
    said = pi4.transport.run(["tail", "-n", "1", f"{pi4.root}/arguments"]).text.split()
    assert {f"--graph={model}", "--num_threads=2", "--num_runs=50", "--min_secs=1", "--max_secs=150"} <= set(said)
    assert "--use_xnnpack=false" not in said


def test_the_runtimes_own_kernels_can_be_asked_for(pi4, model, played):
    run_benchmark_model(pi4, played(says("1-tensorflow-1.14-phone")), job(model, kernels="builtin"), 30)
    assert "--use_xnnpack=false" in pi4.transport.run(["cat", f"{pi4.root}/arguments"]).text


def test_a_result_file_is_brought_back_and_removed(pi4, model, played):
    script = (
        "for word; do case $word in --result_file_path=*) out=${word#*=} ;; esac; done\n"
        '[ -z "$out" ] || printf \'\\022\\005\\015\\000\\000\\360\\100\\042\\002\\020\\050\' > "$out"\n'
    )
    tool = played(script + says("3-litert-2.1.5-gpu"))
    trial = run_benchmark_model(pi4, tool, job(model), 30)
    assert (trial.latency_ns, trial.batch, trial.extra["from_result_file"]) == ((7_500_000,), 40, True)
    assert pi4.transport.run(["ls", f"{tool.runner_path}.result"]).exit_status != 0


def test_the_peak_is_the_tools_own_and_not_its_parents(pi4, model, played):
    big = "exec python3 -I -S -c 'import time; x = b\"1\" * (60 << 20); time.sleep(3)'"
    tool = played(f'case "$*" in *--help*) exit;; esac\n{says("1-tensorflow-1.14-phone")}{big}')
    trial = run_benchmark_model(pi4, tool, job(model, mode="memory"), 30)
    peak = trial.memory[0].peak_rss_bytes
    assert peak is not None
    assert 60 << 20 < peak < 90 << 20
    assert not trial.peak_resets


def test_cores_are_chosen_with_taskset(pi4, model, played):
    tool = played(f"taskset -p $$ > {pi4.root}/mask\n{says('1-tensorflow-1.14-phone')}")
    cpu = min(os.sched_getaffinity(0))
    run_benchmark_model(pi4, tool, job(model, cpus=(cpu,)), 30)
    assert pi4.transport.run(["cat", f"{pi4.root}/mask"]).text.rstrip().endswith(f": {1 << cpu:x}")


@pytest.mark.parametrize("mode", ["smoke", "profile"])
def test_what_it_cannot_do_is_refused_with_a_way_out(pi4, model, played, mode):
    with pytest.raises(RuntimeMissingError, match="benchmark_model gives no") as caught:
        run_benchmark_model(pi4, played("exit 9"), job(model, mode=mode), 30)
    assert "--library FILE" in caught.value.hint


def test_f19_a_model_that_was_changed_on_the_board_is_not_run(pi4, model, played):
    pi4.transport.run(["sh", "-c", 'echo x >> "$1"', "sh", model])
    with pytest.raises(TransferError, match="changed or damaged"):
        run_benchmark_model(pi4, played("exit 9"), job(model), 30)


def test_f32_a_tool_for_another_processor_is_named(pi4, model):
    path = pi4.workspace.push_bytes(b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xb7\0" + bytes(99), "runtime/tool").path
    pi4.transport.run(["chmod", "755", path])
    with pytest.raises(RuntimeMissingError, match="does not start there"):
        run_benchmark_model(pi4, runtime(path), job(model), 30)


def test_f54_a_tool_that_is_killed_or_fails_is_told_apart(pi4, model, played):
    with pytest.raises(DeviceError, match="SIGKILL: most likely the board ran out of memory"):
        run_benchmark_model(pi4, played("kill -9 $$"), job(model), 30)
    with pytest.raises(ModelError, match="Failed to load model"):
        run_benchmark_model(pi4, played("echo 'ERROR: Failed to load model m' >&2; exit 1"), job(model), 30)


def test_a_tool_that_does_not_end_is_killed(pi4, model, played, monkeypatch):
    monkeypatch.setattr("edgekit.device.benchmark_model._GRACE_S", 0.0)
    nap = f"sleep {random.randrange(100_000, 999_999)}"
    with pytest.raises(DeadlineError):
        run_benchmark_model(pi4, played(f'case "$*" in *--help*) exit;; esac\n{nap}'), job(model), 5)
    wait_until(lambda: nap not in pi4.transport.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).text)


def test_on_a_phone_over_adb(adb_device):
    with connect(resolve("phone", host=adb_device.serial, profile="android-arm64-adb")) as phone:
        model = phone.workspace.push_bytes(MODEL, "models/m.tflite").path
        script = f"#!/system/bin/sh\n{says('2-litert-1.4-logcat-percentiles')}sleep 3\n"
        path = phone.workspace.push_bytes(script.encode(), "runtime/benchmark_model").path
        phone.transport.run(["chmod", "755", path])
        cpu = min(os.sched_getaffinity(0))
        trial = run_benchmark_model(phone, runtime(path), job(model, cpus=(cpu,)), 30)
    assert trial.latency_ns == (141_253_000,)
    assert trial.memory[0].peak_rss_bytes is not None
    assert (trial.before.temperature_c, trial.before.throttle_bits) == (25.6, 0)


def test_f50_a_phone_that_slows_itself_down_shows_it(adb_device):
    hot = adb_device.path("/system/etc/dumpsys-thermalservice")
    cool = hot.read_text()
    hot.write_text(cool.replace("Thermal Status: 0", "Thermal Status: 3"))
    try:
        with connect(resolve("phone", host=adb_device.serial, profile="android-arm64-adb")) as phone:
            model = phone.workspace.push_bytes(MODEL, "models/m.tflite").path
            script = f"#!/system/bin/sh\n{says('1-tensorflow-1.14-phone')}"
            path = phone.workspace.push_bytes(script.encode(), "runtime/benchmark_model").path
            phone.transport.run(["chmod", "755", path])
            trial = run_benchmark_model(phone, runtime(path), job(model), 30)
    finally:
        hot.write_text(cool)
    assert trial.after.throttle_bits == 4


def test_it_takes_no_samples_and_says_so(pi4, model, tmp_path):
    (tmp_path / "m.tflite").write_bytes(MODEL)
    artifact = Artifact(path=tmp_path / "m.tflite", manifest=None)
    pushed = push_samples(pi4, artifact, runtime=runtime("/no/such/tool"), model_path=model)
    assert (pushed.paths, [notice.code for notice in pushed.notices]) == ((), ["random-samples"])


def test_litert_benchmark_itself_runs_on_a_board(monkeypatch, tmp_path):
    tool = Path(sys.executable).with_name("litert-benchmark")
    if not tool.exists():
        pytest.skip("no litert-benchmark beside this Python: it comes with ai-edge-litert")
    monkeypatch.setenv("HOME", str(tmp_path))
    with connect(resolve("local")) as local:
        model = local.workspace.push_bytes(MODEL, "models/m.tflite").path
        script = f'#!/bin/sh\nexec {shlex.quote(str(tool))} "$@"\n'
        path = local.workspace.push_bytes(script.encode(), "runtime/benchmark_model").path
        local.transport.run(["chmod", "755", path])
        trial = run_benchmark_model(local, runtime(path), job(model, min_runs=200), 60)
    assert (trial.batch, trial.extra["statistic"]) == (200, "median")
    assert trial.latency_ns[0] > 0
    assert trial.memory[0].peak_rss_bytes > 10 << 20
