"""The payload against the interpreter of the same machine, on every Python that is here, and under every fault."""

from __future__ import annotations

import ast
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from payload_process import PAYLOAD, start

from edgekit.core import decode
from edgekit.core.hashing import sha256_file
from edgekit.runner import payload
from edgekit.runner.answer import read_trial
from edgekit.runner.protocol import Job, Trial

RUN_AS_MAIN = f"import runpy; runpy.run_path({str(PAYLOAD)!r}, run_name='__main__')"


def old_pythons() -> list[str]:
    """Other Python 3.7 or newer interpreters of this machine."""
    found = []
    for minor in range(7, 15):
        roots = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))
        path = shutil.which(f"python3.{minor}") or (str(roots[-1]) if roots else None)
        if path and subprocess.run([path, "-c", "import ctypes"], capture_output=True).returncode == 0:
            found.append(path)
    return found


def interpret(model: Path, sample: list[numpy.ndarray]) -> list[bytes]:
    """The outputs of Google's own Python interface."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), sample):
        interpreter.set_tensor(detail["index"], array.reshape(detail["shape"]))
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]).tobytes() for detail in interpreter.get_output_details()]


def raw(answer: dict) -> list[list[bytes]]:
    return [[base64.b64decode(text) for text in sample] for sample in answer["outputs"]]


def normal(*shape: int, seed: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return tiny_tflite.write(tmp_path, tiny_tflite.dense())


MODELS = {
    "float": (tiny_tflite.dense(), [[normal(1, 8, seed=n)] for n in range(3)]),
    "int8": (
        tiny_tflite.dense_int8(),
        [[numpy.random.default_rng(n).integers(-128, 128, (1, 16)).astype("int8")] for n in range(3)],
    ),
    "dynamic batch": (tiny_tflite.dense(dynamic=True), [[normal(1, 8)]]),
    "two inputs": (tiny_tflite.subtract(), [[normal(1, 4, seed=1), normal(1, 4, seed=2)]]),
    "signature in another order": (
        tiny_tflite.subtract(reversed_signature=True),
        [[normal(1, 4, seed=1), normal(1, 4, seed=2)]],
    ),
    "int64": (tiny_tflite.cast("int64", "float32"), [[numpy.arange(5, dtype="int64").reshape(1, 5)]]),
    "bool": (tiny_tflite.cast("bool", "int32"), [[numpy.array([[True, False, True, True, False]])]]),
    "int16": (tiny_tflite.cast("int16", "uint8"), [[numpy.array([[1, 2, 3, 250, 5]], "int16")]]),
    "float16": (tiny_tflite.cast("float16", "float32"), [[normal(1, 5).astype("float16")]]),
}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_equal_those_of_googles_interpreter_to_the_bit(name, tmp_path, job):
    content, samples = MODELS[name]
    model = tiny_tflite.write(tmp_path, content)
    done = start(job(model, samples))
    assert done.status == 0, done.stderr
    assert raw(done.answer) == [interpret(model, sample) for sample in samples]


def test_inputs_and_outputs_are_told_in_the_models_order(tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.subtract(reversed_signature=True))
    answer = start(job(model, [[normal(1, 4), normal(1, 4)]])).answer
    assert [tensor["bytes"] for tensor in answer["inputs"]] == [16, 16]
    assert [tensor["shape"] for tensor in answer["outputs_info"]] == [[1, 4], [1, 4]]


@pytest.mark.parametrize("python", old_pythons() or [sys.executable])
def test_every_python_since_3_7_gives_the_same_record(python, tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    sample = [numpy.full((1, 16), 7, "int8")]
    for mode in ("smoke", "latency", "memory"):
        answer = start(job(model, [sample], mode=mode), python=python).answer
        trial = read_trial(answer, board="here", mode=mode, model_sha256=sha256_file(model))
        assert trial.runtime.delegate == "XNNPACK"
        assert trial.runtime.fully_delegated is True
        assert trial.finite


def test_the_payload_imports_only_the_standard_library():
    tree = ast.parse(PAYLOAD.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    assert names <= sys.stdlib_module_names


def test_a_latency_trial_has_series_conditions_and_times(tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense())
    answer = start(job(model, [[normal(1, 8, seed=n)] for n in range(4)], mode="latency")).answer
    trial = decode.from_json(Trial, answer, source="test")
    assert len(trial.latency_ns) >= 20
    assert trial.batch > 1  # a model this small is too quick to be timed run by run
    assert min(trial.latency_ns) > 0
    assert len(trial.warmup_ns) >= 1
    assert len(trial.calibration_ns) == 2
    assert trial.wall_ns >= sum(trial.latency_ns) * trial.batch * 0.99
    assert all(part and part > 0 for part in (trial.library_ns, trial.load_ns, trial.init_ns, trial.first_ns))
    assert trial.before.boot_id == trial.after.boot_id
    assert trial.during is not None
    assert trial.outputs == ()


def test_the_output_hash_does_not_depend_on_how_often_the_model_ran(tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense())
    samples = [[normal(1, 8, seed=n)] for n in range(3)]
    runs = [start(job(model, samples, mode="latency", min_runs=count, min_s=0.0)) for count in (20, 21, 23)]
    assert len({run.answer["output_sha256"] for run in runs}) == 1


def test_memory_is_followed_by_phase(tmp_path, job):
    weights = 600_000 // 4
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense(columns=weights))
    answer = start(job(model, [[normal(1, weights)]], mode="memory", min_runs=3, min_s=0)).answer
    assert [phase["phase"] for phase in answer["memory"]] == ["start", "library", "model", "init", "first", "steady"]
    by_name = {phase["phase"]: phase for phase in answer["memory"]}
    assert by_name["steady"]["rss_bytes"] > by_name["library"]["rss_bytes"] > by_name["start"]["rss_bytes"]
    for phase in answer["memory"]:
        assert phase["peak_rss_bytes"] >= phase["rss_bytes"] - 200_000
    # the input (600 kB) is in the tensor buffer and in the interpreter's arena: no third copy in Python's memory
    grown = by_name["first"]["anon_bytes"] - by_name["init"]["anon_bytes"]
    assert grown < 1_500_000
    assert answer["memory_runs"] == 3
    assert "latency_ns" not in answer


def test_a_model_that_gives_nan_is_told(tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense(bias=float("nan")))
    for mode in ("smoke", "latency", "memory"):
        done = start(job(model, [[normal(1, 8)]], mode=mode))
        assert done.status == 0
        assert done.answer["finite"] is False


def test_an_op_that_the_delegate_does_not_take_is_told(tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())
    assert start(job(model, [[normal(1, 4)]])).answer["runtime"]["fully_delegated"] is False


def test_the_module_on_the_board_gives_the_same_outputs(tmp_path, job):
    for name in ("float", "int8", "two inputs", "float16"):
        content, samples = MODELS[name]
        model = tiny_tflite.write(tmp_path, content)
        done = start(job(model, samples, library=None, module="ai_edge_litert"), flags=())
        assert done.status == 0, done.stderr
        assert raw(done.answer) == [interpret(model, sample) for sample in samples]
        assert done.answer["runtime"]["name"] == "ai_edge_litert"
        assert done.answer["runtime"]["version"].startswith("2.")


def test_delegation_is_seen_through_the_module_too(tmp_path, job):
    seen = {}
    for name, content in (("all", tiny_tflite.dense()), ("part", tiny_tflite.dense_then_floor_mod())):
        model = tiny_tflite.write(tmp_path, content)
        sample = [normal(1, 8 if name == "all" else 4)]
        answer = start(job(model, [sample], library=None, module="ai_edge_litert"), flags=()).answer
        seen[name] = answer["runtime"]
    assert seen["all"]["fully_delegated"] is True
    assert seen["part"]["fully_delegated"] is False
    assert seen["all"]["delegate"] == "XNNPACK"


def test_probing_finds_library_and_module(library):
    assert start({"mode": "probe", "library": library}).answer["name"] == "LiteRT C API"
    answer = start({"mode": "probe", "module": "ai_edge_litert"}, flags=()).answer
    assert answer["name"] == "ai_edge_litert"


def test_describing_gives_inputs_and_outputs(tmp_path, library):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense(dynamic=True))
    answer = start({"mode": "describe", "library": library, "model": str(model)}).answer
    assert answer["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, 8]}]
    assert answer["outputs"] == [{"name": "y", "dtype": "float32", "shape": [1, 4]}]


def test_the_pis_firmware_is_asked_where_it_can_be(tmp_path, dense, job, monkeypatch):
    program = tmp_path / "bin" / "vcgencmd"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\ncase $1 in get_throttled) echo throttled=0x50000;; *) echo 'frequency(48)=1500345728';; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    for python in {sys.executable, *old_pythons()[:1]}:  # Python 3.7 has no posix_spawn
        answer = start(job(dense, [[normal(1, 8)]]), python=python).answer
        for moment in ("before", "after"):
            assert (answer[moment]["throttle_bits"], answer[moment]["clock_hz"]) == (0x50000, 1500345728)


# ------------------------------------------------------------------------------------------------------------ faults


def test_another_sha256_stops_before_anything_is_loaded(dense, job):
    done = start(job(dense, [[normal(1, 8)]], model_sha256="0" * 64))
    assert (done.status, done.error) == (3, "model-sha256")


def test_a_missing_model_is_told(dense, job):
    request = job(dense, [[normal(1, 8)]])
    dense.unlink()
    assert start(request).error == "model-missing"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8])
def test_garbage_and_truncated_models_are_told(share, tmp_path, job):
    whole = tiny_tflite.dense()
    length = int(share * len(whole))
    for name, content in (("garbage", b"\x07" * length), ("cut", whole[:length])):
        model = tiny_tflite.write(tmp_path, content, f"{name}.tflite")
        done = start(job(model, [[normal(1, 8)]]))
        # LiteRT 2.3 dies of some damaged files; then the host reads the signal
        assert done.status in (3, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
        if done.status == 3:
            assert done.error in ("model-unreadable", "model-unsupported")


def test_a_missing_library_is_told(dense, job):
    assert start(job(dense, [[normal(1, 8)]], library="/nowhere/libLiteRt.so")).error == "library-missing"


def test_a_library_of_another_architecture_is_told(tmp_path, dense, job, library):
    content = bytearray(Path(library).read_bytes())
    content[18:20] = (183 if content[18] == 62 else 62).to_bytes(2, "little")  # e_machine
    other = tmp_path / "libLiteRt.so"
    other.write_bytes(content)
    done = start(job(dense, [[normal(1, 8)]], library=str(other)))
    assert done.error == "library-load"


def test_a_library_that_is_something_else_is_told(tmp_path, dense, job):
    import ctypes.util

    libm = ctypes.util.find_library("m") or "libm.so.6"
    path = tmp_path / "libm.so"
    for folder in ("/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib"):
        if (Path(folder) / libm).exists():
            shutil.copy(Path(folder) / libm, path)
            break
    else:
        pytest.skip("no libm found")
    assert start(job(dense, [[normal(1, 8)]], library=str(path))).error == "library-load"


def test_a_missing_module_is_told(dense, job):
    done = start(job(dense, [[normal(1, 8)]], library=None, module="tflite_runtime"), flags=("-I", "-S"))
    assert done.error == "module-missing"


def test_a_module_that_imports_but_cannot_build_an_interpreter_is_told(tmp_path):
    # what tflite_runtime does beside numpy 2
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '2.14.0'\n")
    (package / "interpreter.py").write_text(
        "class Interpreter:\n    def __init__(self, **_):\n        raise SystemError('numpy 2')\n"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {RUN_AS_MAIN}"
    request = json.dumps({"mode": "probe", "module": "tflite_runtime"}).encode()
    done = subprocess.run([sys.executable, "-c", code], input=request + b"\n", capture_output=True, timeout=60)
    answer = json.loads(done.stdout.decode().split(payload.BEGIN)[1].split(payload.END)[0])
    assert answer["error"]["code"] == "module-broken"
    assert "numpy 2" in answer["error"]["message"]


@pytest.mark.parametrize(
    "samples", [[], [[normal(1, 4)]], [[normal(1, 8), normal(1, 8)]]], ids=["none", "too short", "too many inputs"]
)
def test_samples_that_do_not_fit_are_told(samples, dense, job):
    assert start(job(dense, samples)).error == "samples"


def test_samples_may_share_one_file(tmp_path, dense, job):
    samples = [normal(1, 8, seed=n) for n in range(3)]
    shared = tmp_path / "all@2.raw"
    shared.write_bytes(b"".join(sample.tobytes() for sample in samples))
    places = [[f"{shared}@{32 * number}"] for number in range(3)]
    request = {**job(dense, [[samples[0]]]), "samples": places}
    for mode in ("latency", "memory"):
        assert start({**request, "mode": mode}).answer["finite"] is True
    assert raw(start(request).answer) == [interpret(dense, [sample]) for sample in samples]
    assert start({**request, "samples": [[f"{shared}@80"]]}).error == "samples"


def test_a_missing_sample_file_is_told(dense, job):
    request = job(dense, [[normal(1, 8)]])
    Path(request["samples"][0][0]).unlink()
    assert start(request).error == "samples"


def test_cores_that_do_not_exist_are_told(dense, job):
    assert start(job(dense, [[normal(1, 8)]], cpus=[999])).error == "cpus"


def test_cores_are_kept_to(dense, job):
    assert start(job(dense, [[normal(1, 8)]], cpus=[0])).answer["cpus"] == [0]


def test_a_string_input_is_told(tmp_path, job):
    strings = tiny_tflite.Tensor("x", "string", (1, 1)), tiny_tflite.Tensor("y", "string", (1, 1))
    content = tiny_tflite.build(list(strings), [tiny_tflite.Op(tiny_tflite.OPS.RESHAPE, ["x"], ["y"])], ["x"], ["y"])
    model = tiny_tflite.write(tmp_path, content)
    assert start(job(model, [[numpy.zeros(4, "uint8")]])).error in ("model-unsupported", "model-unreadable")


@pytest.mark.parametrize("request_text", [b"", b"not json", b"[1]", b"{}", b'{"mode": "latency", "cpus": []}'])
def test_a_broken_request_is_told(request_text):
    done = start(request_text)
    assert done.status == 3
    assert done.error in ("request", "unexpected")


def test_a_process_ends_itself_at_its_time_limit(dense, job):
    done = start(job(dense, [[normal(1, 8)]], mode="latency", min_s=60, max_s=60, time_limit_s=1.0))
    assert done.status == -signal.SIGALRM


def _started(request: dict) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(PAYLOAD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    process.stderr.read(1)  # the runtime has said hello: it runs
    return process


def test_a_process_ends_when_the_host_goes_away(dense, job):
    process = _started(job(dense, [[normal(1, 8)]], mode="latency", min_s=60, max_s=60, time_limit_s=60))
    try:
        process.stdout.close()
        assert process.wait(timeout=10) == payload.ABANDONED
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stderr.close()


def test_a_process_dies_with_its_parent(dense, job, tmp_path):
    request = job(dense, [[normal(1, 8)]], mode="latency", min_s=60, max_s=60, time_limit_s=60)
    script = (
        "import subprocess, sys, time\n"
        f"argv = [sys.executable, '-I', '-S', {str(PAYLOAD)!r}]\n"
        "child = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        f"child.stdin.write({json.dumps(request).encode() + bytes([10])!r})\n"
        "child.stdin.flush(); child.stderr.read(1)\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the payload outlived its parent")


def test_what_a_library_prints_does_not_disturb_the_answer(tmp_path, dense, job):
    # the same file through an interpreter that prints at start, as a login shell's profile would
    request = json.dumps(job(dense, [[normal(1, 8)]])).encode()
    code = f"print('Welcome!', flush=True); {RUN_AS_MAIN}"
    done = subprocess.run([sys.executable, "-c", code], input=request + b"\n", capture_output=True, timeout=60)
    assert done.stdout.startswith(b"Welcome!")
    assert b"XNNPACK" not in done.stdout.split(payload.BEGIN.encode())[0]


def test_the_job_record_has_the_fields_that_the_payload_reads(dense, job):
    request = decode.to_json(decode.from_json(Job, job(dense, [[normal(1, 8)]]), source="test"))
    assert start(request).status == 0


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.1.0", "1.4.0"])
def test_older_releases_of_the_library_compute_the_same_int8(version, tmp_path, job):
    from platform import machine

    from edgekit.runner.runtimes import fetch_library

    library = fetch_library(version, machine())
    content, samples = MODELS["int8"]
    model = tiny_tflite.write(tmp_path, content)
    for mode in ("smoke", "latency", "memory"):
        done = start(job(model, samples, mode=mode, library=str(library.path), num_threads=2))
        assert done.status == 0, done.stderr
        if mode == "smoke":
            assert raw(done.answer) == [interpret(model, sample) for sample in samples]


def test_what_a_stateful_model_remembers_does_not_reach_the_next_smoke_sample(tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.remembers())
    one, two = (numpy.array([[value, 1.0]], numpy.float32) for value in (1.0, 5.0))
    request = job(model, [[one], [two], [one]], library=None, module="ai_edge_litert")
    answer = start(request, flags=()).answer
    outputs = [base64.b64decode(sample[0]) for sample in answer["outputs"]]
    assert outputs[0] == outputs[2] == interpret(model, [one])[0]
    assert outputs[1] == interpret(model, [two])[0] != outputs[0]


def test_the_library_refuses_a_stateful_model_by_name(tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.remembers())
    assert start(job(model, [[numpy.ones((1, 2), numpy.float32)]])).error == "model-unreadable"
