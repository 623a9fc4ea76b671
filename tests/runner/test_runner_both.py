"""What both runners do alike: outputs, figures, faults, and how their process ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from both_runners import Runner, is_there
from models_to_run import MODELS, interpret, normal, raw

from edgekit.core.hashing import sha256_file
from edgekit.runner.answer import read_trial
from edgekit.runner.payload import ABANDONED, BEGIN, END

Job = Callable[..., dict[str, Any]]

CRASHES = {128 + number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)}


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return tiny_tflite.write(tmp_path, tiny_tflite.dense())


@pytest.fixture
def endless(dense: Path, job: Job) -> dict[str, Any]:
    """A job that takes a minute, where nothing ends it."""
    return job(dense, [[normal(1, 8)]], mode="latency", min_s=60, max_s=60, time_limit_s=60)


# ------------------------------------------------------------------------------------------------- outputs and figures


@pytest.mark.parametrize("name", MODELS)
def test_outputs_equal_those_of_googles_interpreter_to_the_bit(name, runner: Runner, tmp_path, job):
    content, samples = MODELS[name]
    model = tiny_tflite.write(tmp_path, content)
    done = runner(job(model, samples))
    assert done.status == 0, done.stderr
    assert raw(done.answer) == [interpret(model, sample) for sample in samples]


def test_a_latency_trial_has_series_conditions_and_times(runner: Runner, dense, job):
    samples = [[normal(1, 8, seed=n)] for n in range(4)]
    answer = runner(job(dense, samples, mode="latency", min_s=1.1)).answer
    trial = read_trial(answer, board="here", mode="latency", model_sha256=sha256_file(dense))
    assert len(trial.latency_ns) >= 20
    assert trial.batch > 1  # a model this small is too quick to be timed run by run
    assert min(trial.latency_ns) > 0
    assert len(trial.warmup_ns) >= 1
    assert len(trial.calibration_ns) == 2
    assert trial.wall_ns >= sum(trial.latency_ns) * trial.batch * 0.99
    assert all(part and part > 0 for part in (trial.library_ns, trial.load_ns, trial.init_ns, trial.first_ns))
    assert trial.before.boot_id == trial.after.boot_id
    assert trial.during.glances >= 1
    assert trial.outputs == ()


def test_the_output_hash_does_not_depend_on_how_often_the_model_ran(runner: Runner, dense, job):
    samples = [[normal(1, 8, seed=n)] for n in range(3)]
    runs = [runner(job(dense, samples, mode="latency", min_runs=count, min_s=0.0)) for count in (20, 21, 23)]
    assert len({run.answer["output_sha256"] for run in runs}) == 1


def test_memory_is_followed_by_phase(runner: Runner, tmp_path, job):
    weights = 600_000 // 4
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense(columns=weights))
    answer = runner(job(model, [[normal(1, weights)]], mode="memory", min_runs=3, min_s=0)).answer
    assert [phase["phase"] for phase in answer["memory"]] == ["start", "library", "model", "init", "first", "steady"]
    by_name = {phase["phase"]: phase for phase in answer["memory"]}
    assert by_name["steady"]["rss_bytes"] > by_name["library"]["rss_bytes"] > by_name["start"]["rss_bytes"]
    for phase in answer["memory"]:
        assert phase["peak_rss_bytes"] >= phase["rss_bytes"] - 200_000
    # the input (600 kB) is in the tensor buffer and in the interpreter's arena: no third copy of it anywhere
    assert by_name["first"]["anon_bytes"] - by_name["init"]["anon_bytes"] < 1_500_000
    assert answer["memory_runs"] == 3
    assert answer["pss_bytes"] >= answer["uss_bytes"] > 0
    assert "latency_ns" not in answer


def test_nan_in_every_float_type_is_told(runner: Runner, tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense(bias=float("nan")))
    for mode in ("smoke", "latency", "memory", "cold"):
        done = runner(job(model, [[normal(1, 8)]], mode=mode))
        assert (done.status, done.answer["finite"]) == (0, False)
    model = tiny_tflite.write(tmp_path, tiny_tflite.cast("float32", "float16"), "half.tflite")
    for value, finite in ((1.0, True), (float("inf"), False), (float("nan"), False)):
        sample = numpy.full((1, 5), value, "float32")
        assert runner(job(model, [[sample]])).answer["finite"] is finite


def test_an_op_that_the_delegate_does_not_take_is_told(runner: Runner, tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())
    assert runner(job(model, [[normal(1, 4)]])).answer["runtime"]["fully_delegated"] is False


def test_samples_may_share_one_file_and_names_may_be_of_any_bytes(runner: Runner, tmp_path, dense, job):
    samples = [normal(1, 8, seed=n) for n in range(3)]
    shared = tmp_path / 'Stück@2 \U0001f600 "quoted".raw'
    shared.write_bytes(b"".join(sample.tobytes() for sample in samples))
    latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.raw"))
    shutil.copy(shared, latin)
    for path in (shared, latin):
        request = {**job(dense, [[samples[0]]]), "samples": [[f"{path}@{32 * n}"] for n in range(3)]}
        for mode in ("latency", "memory"):
            assert runner({**request, "mode": mode}).answer["finite"] is True
        assert raw(runner(request).answer) == [interpret(dense, [sample]) for sample in samples]
        assert runner({**request, "samples": [[f"{path}@80"]]}).error == "samples"


def test_cores_are_kept_to(runner: Runner, dense, job):
    core = min(os.sched_getaffinity(0))
    assert runner(job(dense, [[normal(1, 8)]], cpus=[core])).answer["cpus"] == [core]


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8])
def test_garbage_and_truncated_models_are_told(share, runner: Runner, tmp_path, job):
    whole = tiny_tflite.dense()
    length = int(share * len(whole))
    for name, content in (("garbage", b"\x07" * length), ("cut", whole[:length])):
        done = runner(job(tiny_tflite.write(tmp_path, content, f"{name}.tflite"), [[normal(1, 8)]]))
        assert done.status in {3, *CRASHES}  # LiteRT 2.3 dies of some damaged files; then the host reads the signal
        if done.status == 3:
            assert done.error in ("model-unreadable", "model-unsupported")


def test_a_stateful_model_is_refused_by_name(runner: Runner, tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.remembers())
    assert runner(job(model, [[numpy.ones((1, 2), numpy.float32)]])).error == "model-unreadable"


def test_a_library_of_another_architecture_is_told(runner: Runner, tmp_path, dense, job, library):
    content = bytearray(Path(library).read_bytes())
    content[18:20] = (183 if content[18] == 62 else 62).to_bytes(2, "little")  # e_machine
    other = tmp_path / "libLiteRt.so"
    other.write_bytes(content)
    assert runner(job(dense, [[normal(1, 8)]], library=str(other))).error == "library-load"


@pytest.mark.parametrize(
    "text",
    [b"", b"not json", b"[1]", b"{}", b'{"mode": "latency", "cpus": []}', b'{"mode": "probe"', b"\0", b"[" * 100_000],
    ids=["empty", "words", "a list", "no mode", "no model", "cut", "a NUL", "deep"],
)
def test_a_broken_request_is_told(text, runner: Runner):
    done = runner(text)
    assert done.status == 3
    assert done.error in (("request",) if runner.name == "native" else ("request", "unexpected"))


# --------------------------------------------------------------------------------------------------- the process's end


def test_a_process_ends_itself_at_its_time_limit(runner: Runner, endless):
    assert runner({**endless, "time_limit_s": 1.0}).status == 128 + signal.SIGALRM


def test_a_process_ends_when_the_host_goes_away(runner: Runner, endless):
    with runner.started(endless) as process:
        process.stderr.read(1)  # the runtime has said hello: it runs
        process.stdout.close()
        assert process.wait(timeout=60) == ABANDONED
        process.stdout = None  # nothing is left to read there


def test_a_process_dies_with_its_parent(runner: Runner, endless):
    script = (
        "import subprocess, time\n"
        f"child = subprocess.Popen({runner.argv!r}, stdin=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        f"child.stdin.write({json.dumps(endless).encode() + bytes([10])!r})\n"
        "child.stdin.flush(); child.stderr.read(1)\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    for _ in range(100):
        if not is_there(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the runner outlived its parent")


def test_what_the_library_prints_does_not_disturb_the_answer(runner: Runner, dense, job):
    done = runner(job(dense, [[normal(1, 8)]]))
    assert done.stdout.startswith(f"\n{BEGIN}\n".encode())
    assert done.stdout.endswith(f"\n{END}\n".encode())
    assert b"XNNPACK" in done.stderr


# ------------------------------------------------------------------------------------------------------ older libraries


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.1.0", "1.4.0"])
def test_older_releases_of_the_library_compute_the_same_int8(version, runner: Runner, tmp_path, job):
    from platform import machine

    from edgekit.runner.runtimes import fetch_library

    library = str(fetch_library(version, machine()).path)
    content, samples = MODELS["int8"]
    model = tiny_tflite.write(tmp_path, content)
    for mode in ("smoke", "latency", "memory", "cold"):
        done = runner(job(model, samples, mode=mode, library=library, num_threads=2))
        assert done.status == 0, done.stderr
        if mode == "smoke":
            assert raw(done.answer) == [interpret(model, sample) for sample in samples]
    for changes in ({"mode": "profile"}, {"kernels": "builtin"}):
        request = job(model, samples, library=library, library_version=version, **changes)
        assert runner(request).error in ("profile-unsupported", "kernels-unsupported")
