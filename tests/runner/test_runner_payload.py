"""What the payload does alone: on every Python that is here, by a Python module, and under faults of its own."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from models_to_run import MODELS, interpret, normal, raw
from payload_process import PAYLOAD, old_pythons, start

from edgekit.core import decode
from edgekit.core.hashing import sha256_file
from edgekit.runner import payload
from edgekit.runner.answer import read_trial
from edgekit.runner.protocol import Job

RUN_AS_MAIN = f"import runpy; runpy.run_path({str(PAYLOAD)!r}, run_name='__main__')"


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return tiny_tflite.write(tmp_path, tiny_tflite.dense())


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


def test_a_missing_library_is_told(dense, job):
    assert start(job(dense, [[normal(1, 8)]], library="/nowhere/libLiteRt.so")).error == "library-missing"


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


def test_a_missing_sample_file_is_told(dense, job):
    request = job(dense, [[normal(1, 8)]])
    Path(request["samples"][0][0]).unlink()
    assert start(request).error == "samples"


def test_cores_that_do_not_exist_are_told(dense, job):
    assert start(job(dense, [[normal(1, 8)]], cpus=[999])).error == "cpus"


def test_a_string_input_is_told(tmp_path, job):
    strings = tiny_tflite.Tensor("x", "string", (1, 1)), tiny_tflite.Tensor("y", "string", (1, 1))
    content = tiny_tflite.build(list(strings), [tiny_tflite.Op(tiny_tflite.OPS.RESHAPE, ["x"], ["y"])], ["x"], ["y"])
    model = tiny_tflite.write(tmp_path, content)
    assert start(job(model, [[numpy.zeros(4, "uint8")]])).error in ("model-unsupported", "model-unreadable")


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


def test_what_a_stateful_model_remembers_does_not_reach_the_next_smoke_sample(tmp_path, job):
    model = tiny_tflite.write(tmp_path, tiny_tflite.remembers())
    one, two = (numpy.array([[value, 1.0]], numpy.float32) for value in (1.0, 5.0))
    request = job(model, [[one], [two], [one]], library=None, module="ai_edge_litert")
    answer = start(request, flags=()).answer
    outputs = [base64.b64decode(sample[0]) for sample in answer["outputs"]]
    assert outputs[0] == outputs[2] == interpret(model, [one])[0]
    assert outputs[1] == interpret(model, [two])[0] != outputs[0]
