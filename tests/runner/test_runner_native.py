"""The native runner beside the payload: the same request gives the same record, the same outputs, the same errors."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from platform import machine
from typing import Any

import numpy
import pytest
import tiny_tflite
from models_to_run import MODELS, interpret, normal, raw
from native_process import start_native
from payload_process import Ended, start

from edgekit.core.errors import RuntimeMissingError
from edgekit.core.hashing import sha256_file
from edgekit.runner.answer import read_answer, read_profile, read_trial
from edgekit.runner.runtimes import fetch_library

Run = Callable[[Any], Ended]

#: fields that differ from one process to the next
OWN = {"pid", "library_ns", "load_ns", "init_ns", "first_ns", "python", "extra", "before", "after", "memory"}


@pytest.fixture
def native(program: Path) -> Run:
    return lambda request: start_native([program], request)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return tiny_tflite.write(tmp_path, tiny_tflite.dense())


def same(answer: dict, other: dict) -> None:
    """Whether two records of the same job agree in all that does not depend on the process."""
    assert answer.keys() - {"extra"} == other.keys()
    assert {key: answer[key] for key in other.keys() - OWN} == {key: other[key] for key in other.keys() - OWN}


# ----------------------------------------------------------------------------------------------------- the same record


@pytest.mark.parametrize("name", MODELS)
def test_a_smoke_record_equals_the_payloads_to_the_bit(name, tmp_path, job, native):
    content, samples = MODELS[name]
    model = tiny_tflite.write(tmp_path, content)
    request = job(model, samples)
    done = native(request)
    assert done.status == 0, done.stderr
    same(done.answer, start(request).answer)
    assert raw(done.answer) == [interpret(model, sample) for sample in samples]


@pytest.mark.parametrize("mode", ["smoke", "latency", "memory", "cold"])
def test_a_trial_is_a_record_that_the_host_reads(mode, tmp_path, job, native):
    content, samples = MODELS["int8"]
    model = tiny_tflite.write(tmp_path, content)
    request = job(model, samples, mode=mode, library_version="2.3.0")
    answer = native(request).answer
    trial = read_trial(answer, board="here", mode=mode, model_sha256=sha256_file(model))
    other = start(request).answer
    assert answer.keys() - {"extra"} == other.keys()
    assert (answer.get("cold") or {}).keys() == (other.get("cold") or {}).keys()
    assert (trial.runtime.name, trial.runtime.version) == ("LiteRT C API", "2.3.0")
    assert (trial.runtime.delegate, trial.runtime.fully_delegated) == ("XNNPACK", True)
    assert trial.output_sha256 == other["output_sha256"]
    assert trial.extra["runner"] == "native"
    assert trial.python == ""
    assert trial.call_ns == 0  # a call from C costs nothing that could be measured
    assert [phase["phase"] for phase in answer["memory"]] == [phase["phase"] for phase in other["memory"]]
    assert [phase.keys() for phase in answer["memory"]] == [phase.keys() for phase in other["memory"]]
    for moment in ("before", "after"):
        assert answer[moment].keys() == other[moment].keys()
        for key in ("boot_id", "governor", "throttle_bits", "clock_hz"):
            assert answer[moment][key] == other[moment][key]


def test_the_program_itself_takes_little_memory(dense, job, native):
    answer = native(job(dense, [[normal(1, 8)]], mode="memory", min_runs=3, min_s=0)).answer
    assert answer["memory"][0]["phase"] == "start"
    assert answer["memory"][0]["rss_bytes"] < 4 << 20


def test_a_profile_has_the_ops_of_the_payloads(tmp_path, job, native):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())
    request = job(model, [[numpy.ones((1, 4), "float32")]], mode="profile", min_runs=25)
    answer, other = native(request).answer, start(request).answer
    profile = read_profile(answer, board="here", model_sha256=sha256_file(model))
    assert answer.keys() == other.keys()
    named = [[(op["tag"], op["delegated"], op["node"]) for op in record["ops"]] for record in (answer, other)]
    assert named[0] == named[1]
    assert len(profile.whole_us) >= 25
    assert profile.other_runs == 0
    for run, whole in enumerate(profile.whole_us):
        assert sum(op.elapsed_us[run] for op in profile.ops) <= whole + 1


def test_probing_and_describing_equal_the_payloads(tmp_path, library, native):
    model = tiny_tflite.write(tmp_path, tiny_tflite.subtract(reversed_signature=True))
    request = {"mode": "describe", "library": library, "model": str(model)}
    assert native(request).answer == start(request).answer
    probed = native({"mode": "probe", "library": library, "library_version": "2.3.0"}).answer
    assert probed == {"name": "LiteRT C API", "version": "2.3.0", "python": ""}


@pytest.mark.parametrize("model", [tiny_tflite.dense_int8(), tiny_tflite.dense()], ids=["int8", "float"])
def test_the_runtimes_own_kernels_compute_the_same(model, tmp_path, job, native):
    kind, columns = ("int8", 16) if model == tiny_tflite.dense_int8() else ("float32", 8)
    path = tiny_tflite.write(tmp_path, model)
    request = job(path, [[numpy.full((1, columns), 3, kind)]], kernels="builtin")
    done = native(request)
    assert done.status == 0, done.stderr
    assert done.answer["runtime"]["delegate"] == "none"
    same(done.answer, start(request).answer)


# ----------------------------------------------------------------------------------------------------- the same errors

FAULTS: dict[str, dict[str, Any]] = {
    "another model": {"model_sha256": "0" * 64},
    "no such model": {"model": "/nowhere/model.tflite"},
    "a folder as model": {"model": "/"},
    "no such library": {"library": "/nowhere/libLiteRt.so"},
    "a library of something else": {"library": sys.executable},
    "cores that do not exist": {"cpus": [999]},
    "no samples": {"samples": []},
    "a sample of two files": {"samples": [["/a", "/b"]]},
    "a missing sample": {"samples": [["/nowhere/sample.raw"]]},
    "neither library nor module": {"library": None},
    "unknown kernels": {"kernels": "reference"},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_in_the_payloads_words(name, dense, job, native):
    request = {**job(dense, [[normal(1, 8)]]), **FAULTS[name]}
    done, other = native(request), start(request)
    assert done.status == other.status == 3
    if name != "a library of something else":  # the loader words it
        assert done.answer == other.answer
    assert done.error == other.error


def test_a_sample_of_the_wrong_size_is_told_in_the_payloads_words(dense, job, native):
    request = job(dense, [[normal(1, 4)]])
    assert native(request).answer == start(request).answer


UNUSABLE = {
    "empty": b"",
    "garbage": b"\x07" * 2000,
    "cut": tiny_tflite.dense()[:200],
    "stateful": tiny_tflite.remembers(),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_model_that_cannot_be_used_is_told_in_the_payloads_words(name, tmp_path, job, native):
    request = job(tiny_tflite.write(tmp_path, UNUSABLE[name]), [[numpy.ones((1, 2), numpy.float32)]])
    done, other = native(request), start(request)
    assert done.status == other.status
    if done.status == 3:  # LiteRT 2.3 dies of some damaged files
        assert done.answer == other.answer


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"mode": "profile"}, {"kernels": "builtin"}], ids=["profile", "kernels"])
def test_what_an_older_library_cannot_do_is_told_in_the_payloads_words(changes, dense, job, native):
    library = str(fetch_library("2.1.0", machine()).path)
    request = job(dense, [[normal(1, 8)]], library=library, library_version="2.1.0", **changes)
    assert native(request).answer == start(request).answer


def test_a_python_module_is_refused_by_name(dense, job, native):
    done = native(job(dense, [[normal(1, 8)]], library=None, module="tflite_runtime"))
    with pytest.raises(RuntimeMissingError, match="cannot use the Python module tflite_runtime"):
        read_answer(done.stdout, done.stderr, done.status, board="here")


@pytest.mark.parametrize("content", [b"\x7fELF of another machine", None], ids=["of another machine", "missing"])
def test_a_runner_that_does_not_start_is_told(content, tmp_path):
    program = tmp_path / "edgekit-runner"
    if content is not None:
        program.write_bytes(content)
        program.chmod(0o755)
    done = start_native(["sh", "-c", '"$1"', "sh", program], {"mode": "probe", "library": "/nowhere"})
    with pytest.raises(RuntimeMissingError, match=r"the native runner does not start on the board: .*edgekit-runner"):
        read_answer(done.stdout, done.stderr, done.status, board="here")


WRONG = [None, "text", -1, 1.5, 1e300, 2**70, True, [], [[]], [1], ["x"], [["x", "y"]], {}, {"a": 1}]


@pytest.mark.parametrize("mode", ["latency", "memory", "cold", "smoke", "profile"])
def test_no_value_of_any_field_makes_the_runner_crash(mode, dense, job, native, library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a weight cache may be made
    sensors = {"temperature": {"argv": ["sensor"], "file": None, "zone": None, "scale": 1.0}}
    request = job(dense, [[normal(1, 8)]], mode=mode, min_runs=1, min_s=0, max_s=0.01, time_limit_s=20)
    request |= {"sensors": sensors, "sampler": True, "weight_cache": ""}
    request["library"] = str(shutil.copy(library, tmp_path / "libLiteRt.so"))  # whose pages are dropped
    for value in WRONG:
        for key in (None, "argv", "file", "zone", "scale"):
            wrong = {"clock": value if key is None else {key: value}}
            done = native({**request, "mode": "smoke", "sensors": wrong})
            assert done.status in (0, 3), (key, value, done.stderr)
    for key in request:
        for value in WRONG:
            if (key, value) in (("time_limit_s", 1.5), ("max_s", 1.5)):
                continue
            done = native({**request, key: value})
            assert done.status in (0, 3), (key, value, done.stderr)
            assert done.answer  # always a whole answer
