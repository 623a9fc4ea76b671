"""Provisioning, jobs and smoke tests on the device that is this machine: the real payload, the real library."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from golden_artifact import with_golden
from processes import SOON_S

from edgekit.core import artifact as artifacts
from edgekit.core.artifact import Artifact, GoldenSample, TensorData, TensorSpec
from edgekit.core.errors import (
    DeadlineError,
    DeviceError,
    ModelError,
    RuntimeMissingError,
    TransferError,
)
from edgekit.core.hashing import sha256_file
from edgekit.device.connect import Device, connect
from edgekit.device.provision import BoardRuntime, prepare_runtime, probe
from edgekit.device.run import new_job, push_samples, run_job
from edgekit.device.smoke import smoke_test
from edgekit.device.target import resolve
from edgekit.runner import payload


@pytest.fixture
def device():
    with connect(resolve("local")) as opened:
        yield opened


@pytest.fixture
def runtime(device: Device) -> BoardRuntime:
    return prepare_runtime(device, device.facts())


def an_artifact(folder: Path, content: bytes, samples: list[list[numpy.ndarray]], outputs, kind="int8") -> Artifact:
    return with_golden(tiny_tflite.write(folder, content), samples, outputs, kind=kind)


@pytest.fixture
def int8(tmp_path: Path) -> Artifact:
    samples = [[numpy.random.default_rng(n).integers(-128, 128, (1, 16)).astype("int8")] for n in range(3)]
    outputs = (TensorSpec(name="y", dtype="int8", shape=(1, 10), scale=0.1, zero_point=-4),)
    return an_artifact(tmp_path, tiny_tflite.dense_int8(), samples, outputs)


def push(device: Device, model: Path) -> str:
    return device.workspace.push_file(model, f"models/{model.name}").path


def quick(job):
    return dataclasses.replace(job, warmup_s=0.01, min_s=0.02, min_runs=5)


# ----------------------------------------------------------------------------------------------------- provisioning


def test_the_second_provisioning_uploads_nothing(device, runtime):
    assert runtime.uploaded_bytes > 5_000_000
    again = prepare_runtime(device, device.facts())
    assert again.uploaded_bytes == 0
    assert (again.library_path, again.name) == (runtime.library_path, "LiteRT C API")
    assert runtime.version.startswith("2.")
    assert runtime.library_path.startswith(device.root + "/runtime/")


@pytest.mark.parametrize("version", [None, (3, 6, 15)], ids=["none", "too-old"])
def test_a_board_without_a_usable_python_gets_the_native_runner(device, version):
    facts = device.facts()
    python = dataclasses.replace(facts.python, version=version) if version else None
    runtime = prepare_runtime(device, dataclasses.replace(facts, python=python))
    assert (runtime.runner, runtime.python, runtime.name) == ("native", None, "LiteRT C API")
    assert runtime.argv == (runtime.runner_path,)


def test_a_glibc_that_is_too_old_is_told(device, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    facts = dataclasses.replace(device.facts(), libc_version="2.5")
    with pytest.raises(RuntimeMissingError, match=r"glibc 2\.5") as caught:
        prepare_runtime(device, facts, runtime="litert")
    assert caught.value.message.startswith("local: ")


def test_a_board_that_no_library_exists_for_uses_the_module_it_has_and_says_so(device):
    facts = dataclasses.replace(
        device.facts(), abi="armv7l", python=dataclasses.replace(device.facts().python, path=sys.executable)
    )
    runtime = prepare_runtime(device, facts)
    assert (runtime.module, runtime.library_path) == ("ai_edge_litert", None)
    assert [notice.code for notice in runtime.notices] == ["module-runtime"]
    with pytest.raises(RuntimeMissingError, match="armv7l"):
        prepare_runtime(device, facts, runtime="litert")


def test_a_board_with_neither_library_nor_module_is_told_what_can_be_done(device, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    facts = device.facts()
    facts = dataclasses.replace(facts, abi="armv7l", python=dataclasses.replace(facts.python, path=python))
    with pytest.raises(RuntimeMissingError) as caught:
        prepare_runtime(device, facts)
    assert "armv7l" in caught.value.message
    assert "tflite-runtime" in caught.value.hint


def test_a_module_can_be_asked_for_by_name(device):
    facts = device.facts()
    facts = dataclasses.replace(facts, python=dataclasses.replace(facts.python, path=sys.executable))
    assert prepare_runtime(device, facts, runtime="ai_edge_litert").version.startswith("2.")


def test_a_module_without_a_wheel_for_the_boards_python_is_told(device):
    facts = device.facts()
    facts = dataclasses.replace(facts, python=dataclasses.replace(facts.python, version=(3, 13, 5)))
    with pytest.raises(RuntimeMissingError, match=r"tflite_runtime: there is no wheel for \S+ with Python 3\.13"):
        prepare_runtime(device, facts, runtime="tflite_runtime")


def test_a_library_that_does_not_load_is_told_before_any_model_is_run(device, runtime):
    Path(runtime.library_path).chmod(0o600)
    Path(runtime.library_path).write_bytes(b"\x7fELF nonsense")
    with pytest.raises(RuntimeMissingError):
        probe(device, runtime)


def test_a_python_without_ctypes_is_told_or_the_native_runner_takes_its_place(device, tmp_path, monkeypatch):
    # as on a board with python3-minimal
    facts = speaking(device.facts(), tmp_path, "echo \"ModuleNotFoundError: No module named 'ctypes'\" >&2; exit 1")
    assert prepare_runtime(device, facts).runner == "native"
    monkeypatch.setattr("edgekit.runner.native.TARGETS", {})
    with pytest.raises(RuntimeMissingError) as caught:
        prepare_runtime(device, facts)
    assert "python3-minimal" in caught.value.hint


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        ("libLiteRt.so: failed to map segment from shared object", "noexec"),
        ("libstdc++.so.6: cannot open shared object file: No such file or directory", "apt-get install libstdc++6"),
        ("/lib/libc.so.6: version `GLIBC_2.99' not found", "needs glibc 2."),
    ],
)
def test_what_the_boards_loader_complains_about_has_a_way_out(complaint, words, device, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    facts = speaking(device.facts(), tmp_path, refusing(tmp_path, complaint))
    with pytest.raises(RuntimeMissingError) as caught:
        prepare_runtime(device, facts, runtime="litert")
    assert complaint in caught.value.message
    assert words in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("why", ["a version of a symbol is missing", "an illegal instruction"])
def test_an_older_release_is_taken_where_the_newest_does_not_load(why, device, tmp_path):
    newest = prepare_runtime(device, device.facts())
    missing = refusing(tmp_path, "version `GLIBCXX_3.4.30' not found")
    refusal = "kill -ILL $$" if "illegal" in why else missing
    script = f"read -r request; case $request in *{Path(newest.library_path).parent.name}*) {refusal};; esac\n"
    facts = speaking(device.facts(), tmp_path, f'{script}echo "$request" | {sys.executable} "$@"')
    runtime = prepare_runtime(device, facts)
    assert runtime.version != newest.version
    assert runtime.library_path != newest.library_path


def refusing(folder: Path, complaint: str) -> str:
    """A shell script that answers as the payload does where the library does not load."""
    answer = json.dumps({"error": {"code": "library-load", "message": complaint}})
    (folder / "answer.txt").write_text(f"\n{payload.BEGIN}\n{answer}\n{payload.END}\n")
    return f"cat {folder}/answer.txt; exit 3"


def speaking(facts, folder: Path, script: str):
    """Facts of a board whose Python is a shell script."""
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return dataclasses.replace(facts, python=dataclasses.replace(facts.python, path=str(python)))


# ------------------------------------------------------------------------------------------------------------- jobs


def test_a_job_runs_and_names_runtime_and_version(device, runtime, int8):
    path = push(device, int8.path)
    samples = push_samples(device, int8, runtime=runtime, model_path=path)
    assert samples.notices == ()
    job = new_job(runtime, model_path=path, model_sha256=sha256_file(int8.path), samples=samples.paths)
    trial = run_job(device, runtime, quick(job), 30)
    assert len(trial.latency_ns) >= 5
    assert (trial.runtime.name, trial.runtime.version) == ("LiteRT C API", runtime.version)
    memory = run_job(device, runtime, dataclasses.replace(quick(job), mode="memory"), 30)
    assert memory.memory[-1].phase == "steady"


def test_samples_that_are_there_already_are_not_sent_again(device, runtime, int8):
    path = push(device, int8.path)
    first = push_samples(device, int8, runtime=runtime, model_path=path)
    assert first.uploaded_bytes == 3 * 16
    again = push_samples(device, int8, runtime=runtime, model_path=path)
    assert (again.uploaded_bytes, again.paths) == (0, first.paths)


def test_a_bare_model_gets_random_samples_and_a_notice(device, runtime, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.subtract())
    bare = artifacts.open_artifact(model)
    path = push(device, model)
    samples = push_samples(device, bare, runtime=runtime, model_path=path)
    assert [notice.code for notice in samples.notices] == ["random-samples"]
    assert [len(sample) for sample in samples.paths] == [2, 2, 2]
    contents = {raw for sample in samples.contents for raw in sample}
    assert len(contents) == 6
    assert all(any(content) for content in contents)
    assert push_samples(device, bare, runtime=runtime, model_path=path).paths == samples.paths


def test_a_model_changed_on_the_board_is_not_run(device, runtime, int8):
    path = push(device, int8.path)
    samples = push_samples(device, int8, runtime=runtime, model_path=path).paths
    Path(path).write_bytes(Path(path).read_bytes() + b"\0")
    job = new_job(runtime, model_path=path, model_sha256=sha256_file(int8.path), samples=samples)
    with pytest.raises(TransferError, match="hashes to"):
        run_job(device, runtime, job, 30)


def test_a_model_that_the_runtime_cannot_read_is_a_model_error(device, runtime, tmp_path, int8):
    model = tiny_tflite.write(tmp_path, b"\7" * 500, "garbage.tflite")
    path = push(device, model)
    samples = push_samples(device, int8, runtime=runtime, model_path=path).paths
    with pytest.raises(ModelError):
        run_job(
            device, runtime, new_job(runtime, model_path=path, model_sha256=sha256_file(model), samples=samples), 30
        )


def test_a_job_that_takes_too_long_is_a_deadline_error(device, runtime, int8):
    path = push(device, int8.path)
    samples = push_samples(device, int8, runtime=runtime, model_path=path).paths
    job = new_job(runtime, model_path=path, model_sha256=sha256_file(int8.path), samples=samples)
    with pytest.raises(DeadlineError):
        run_job(device, runtime, dataclasses.replace(job, min_s=60.0), 1.0)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("kill -KILL $$", "out of memory"),
        ("kill -ILL $$", "newer processor"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("exit 0", "without an answer"),
        ("printf '\\n@@edgekit-answer-begin@@\\n{\"mode\":'", "cut off"),
    ],
)
def test_a_process_that_ends_badly_on_the_board_is_told(ending, words, device, runtime, int8, tmp_path):
    path = push(device, int8.path)
    samples = push_samples(device, int8, runtime=runtime, model_path=path).paths
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\necho 'the last words' >&2\n{ending}\n")
    python.chmod(0o755)
    broken = dataclasses.replace(runtime, python=str(python))
    job = new_job(broken, model_path=path, model_sha256=sha256_file(int8.path), samples=samples)
    with pytest.raises(DeviceError, match=words) as caught:
        run_job(device, broken, job, 30)
    assert "the last words" in caught.value.details["stderr"]


# ------------------------------------------------------------------------------------------------------- smoke tests


def test_the_smoke_test_of_a_good_model_is_exact(device, runtime, int8):
    result = smoke_test(device, runtime, push(device, int8.path), int8)
    assert (result.ok, result.exact, result.samples, result.max_abs_diff) == (True, True, 3, 0.0)
    assert result.cosine == pytest.approx(1.0)


def test_the_smoke_test_of_a_model_with_two_inputs_and_outputs_is_exact(device, runtime, tmp_path):
    generator = numpy.random.default_rng(1)
    samples = [[generator.normal(size=(1, 4)).astype("float32") for _ in range(2)] for _ in range(2)]
    outputs = tuple(TensorSpec(name=name, dtype="float32", shape=(1, 4)) for name in ("difference", "twice"))
    made = an_artifact(tmp_path, tiny_tflite.subtract(), samples, outputs, kind="float32")
    result = smoke_test(device, runtime, push(device, made.path), made)
    assert (result.ok, result.exact) == (True, True)


def test_a_model_that_computes_something_else_fails_its_smoke_test(device, runtime, int8):
    wrong = tuple(
        GoldenSample(
            inputs=sample.inputs, outputs=tuple(TensorData.of(-1 - output.array()) for output in sample.outputs)
        )
        for sample in int8.manifest.golden
    )
    altered = Artifact(path=int8.path, manifest=dataclasses.replace(int8.manifest, golden=wrong))
    result = smoke_test(device, runtime, push(device, int8.path), altered)
    assert not result.ok
    assert "steps" in result.reason


def test_nan_on_the_board_fails_the_smoke_test(device, runtime, tmp_path):
    bare = artifacts.open_artifact(tiny_tflite.write(tmp_path, tiny_tflite.dense(bias=float("nan"))))
    result = smoke_test(device, runtime, push(device, bare.path), bare)
    assert not result.ok
    assert "NaN" in result.reason


@pytest.mark.parametrize("content", [tiny_tflite.dense_int8(), tiny_tflite.subtract()], ids=["int8", "float"])
def test_a_bare_model_is_compared_with_this_machines_litert(content, device, runtime, tmp_path):
    bare = artifacts.open_artifact(tiny_tflite.write(tmp_path, content))
    result = smoke_test(device, runtime, push(device, bare.path), bare)
    assert (result.ok, result.exact, result.samples) == (True, True, 3)
    assert result.reference == "LiteRT on this machine"


def test_a_bare_model_passes_without_a_reference_and_says_so(device, runtime, tmp_path, monkeypatch):
    bare = artifacts.open_artifact(tiny_tflite.write(tmp_path, tiny_tflite.dense_int8()))
    monkeypatch.setattr(sys, "platform", "darwin")  # no installed library counts there
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    result = smoke_test(device, runtime, push(device, bare.path), bare)
    assert (result.ok, result.max_abs_diff, result.reference) == (True, None, "none")
    assert "nothing to compare" in result.reason


# ----------------------------------------------------------------------------------------------------------- over SSH


def test_the_whole_way_over_ssh(pi4, int8):
    runtime = prepare_runtime(pi4, pi4.facts())
    assert runtime.uploaded_bytes > 5_000_000
    path = push(pi4, int8.path)
    samples = push_samples(pi4, int8, runtime=runtime, model_path=path)
    assert smoke_test(pi4, runtime, path, int8, samples=samples).exact
    job = new_job(runtime, model_path=path, model_sha256=sha256_file(int8.path), samples=samples.paths)
    assert len(run_job(pi4, runtime, quick(job), 30).latency_ns) >= 5
    assert prepare_runtime(pi4, pi4.facts()).uploaded_bytes == 0


def test_nothing_is_left_running_on_the_board_when_the_connection_goes_away(pi4, int8):
    runtime = prepare_runtime(pi4, pi4.facts())
    path = push(pi4, int8.path)
    samples = push_samples(pi4, int8, runtime=runtime, model_path=path).paths
    job = new_job(runtime, model_path=path, model_sha256=sha256_file(int8.path), samples=samples)
    long = dataclasses.replace(job, min_s=600.0, max_s=600.0)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_job, pi4, runtime, long, 900.0)
        assert appears(runtime.runner_path)
        pi4.transport.close()
        with pytest.raises(DeviceError):
            running.result(timeout=SOON_S)
    assert appears(runtime.runner_path, wanted=False)


def appears(argument: str, *, wanted: bool = True) -> bool:
    """Waits until a process with this argument is there, or is gone."""
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        found = False
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                found = found or argument.encode() in (folder / "cmdline").read_bytes().split(b"\0")
        if found == wanted:
            return True
        time.sleep(0.05)
    return False
