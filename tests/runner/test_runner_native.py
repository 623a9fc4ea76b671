"""The native runner beside the payload: the same request gives the same record, the same outputs, the same errors."""

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
from platform import machine
from typing import Any

import numpy
import pytest
import tiny_tflite
from native_process import start_native
from payload_process import Ended, start
from test_runner_payload import MODELS, interpret, normal, raw

from edgekit.core.errors import RuntimeMissingError
from edgekit.core.hashing import sha256_file
from edgekit.runner import payload
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
    assert [phase["phase"] for phase in answer["memory"]] == [phase["phase"] for phase in other["memory"]]
    assert [phase.keys() for phase in answer["memory"]] == [phase.keys() for phase in other["memory"]]
    for moment in ("before", "after"):
        assert answer[moment].keys() == other[moment].keys()
        for key in ("boot_id", "governor", "throttle_bits", "clock_hz"):
            assert answer[moment][key] == other[moment][key]


def test_a_latency_trial_has_series_conditions_and_times(dense, job, native):
    samples = [[normal(1, 8, seed=n)] for n in range(4)]
    answer = native(job(dense, samples, mode="latency", min_s=1.1)).answer
    trial = read_trial(answer, board="here", mode="latency", model_sha256=sha256_file(dense))
    assert len(trial.latency_ns) >= 20
    assert trial.batch > 1
    assert trial.call_ns == 0  # a call from C costs nothing that could be measured
    assert min(trial.latency_ns) > 0
    assert len(trial.calibration_ns) == 2
    assert trial.wall_ns >= sum(trial.latency_ns) * trial.batch * 0.99
    assert all(part and part > 0 for part in (trial.library_ns, trial.load_ns, trial.init_ns, trial.first_ns))
    assert trial.before.boot_id == trial.after.boot_id
    assert trial.during.glances >= 1


def test_memory_is_followed_by_phase(tmp_path, job, native):
    weights = 600_000 // 4
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense(columns=weights))
    answer = native(job(model, [[normal(1, weights)]], mode="memory", min_runs=3, min_s=0)).answer
    by_name = {phase["phase"]: phase for phase in answer["memory"]}
    assert by_name["steady"]["rss_bytes"] > by_name["library"]["rss_bytes"] > by_name["start"]["rss_bytes"]
    assert by_name["start"]["rss_bytes"] < 4 << 20
    grown = by_name["first"]["anon_bytes"] - by_name["init"]["anon_bytes"]
    assert grown < 1_500_000
    assert answer["memory_runs"] == 3
    assert answer["pss_bytes"] >= answer["uss_bytes"] > 0


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


def test_nan_in_every_float_type_is_told(tmp_path, job, native):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense(bias=float("nan")))
    for mode in ("smoke", "latency", "memory"):
        assert native(job(model, [[normal(1, 8)]], mode=mode)).answer["finite"] is False
    model = tiny_tflite.write(tmp_path, tiny_tflite.cast("float32", "float16"), "half.tflite")
    for value, finite in ((1.0, True), (float("inf"), False), (float("nan"), False)):
        sample = numpy.full((1, 5), value, "float32")
        assert native(job(model, [[sample]])).answer["finite"] is finite


def test_a_dead_op_of_the_delegate_is_told(tmp_path, job, native):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())
    assert native(job(model, [[normal(1, 4)]])).answer["runtime"]["fully_delegated"] is False


def test_samples_may_share_one_file_and_names_may_be_of_any_bytes(tmp_path, dense, job, native):
    samples = [normal(1, 8, seed=n) for n in range(3)]
    shared = tmp_path / 'Stück@2 \U0001f600 "quoted".raw'
    shared.write_bytes(b"".join(sample.tobytes() for sample in samples))
    latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.raw"))
    shutil.copy(shared, latin)
    for path in (shared, latin):
        request = {**job(dense, [[samples[0]]]), "samples": [[f"{path}@{32 * n}"] for n in range(3)]}
        for mode in ("latency", "memory"):
            assert native({**request, "mode": mode}).answer["finite"] is True
        assert raw(native(request).answer) == [interpret(dense, [sample]) for sample in samples]
        assert native({**request, "samples": [[f"{path}@80"]]}).error == "samples"


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


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8])
def test_garbage_and_truncated_models_are_told(share, tmp_path, job, native):
    whole = tiny_tflite.dense()
    length = int(share * len(whole))
    for name, content in (("garbage", b"\x07" * length), ("cut", whole[:length])):
        request = job(tiny_tflite.write(tmp_path, content, f"{name}.tflite"), [[normal(1, 8)]])
        done, other = native(request), start(request)
        # LiteRT 2.3 dies of some damaged files; then the host reads the signal
        assert done.status in (3, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
        if done.status == other.status == 3:
            assert done.answer == other.answer


def test_a_stateful_model_is_refused_in_the_payloads_words(tmp_path, job, native):
    model = tiny_tflite.write(tmp_path, tiny_tflite.remembers())
    request = job(model, [[numpy.ones((1, 2), numpy.float32)]])
    assert native(request).answer == start(request).answer


def test_a_library_of_another_architecture_is_told(tmp_path, dense, job, library, native):
    content = bytearray(Path(library).read_bytes())
    content[18:20] = (183 if content[18] == 62 else 62).to_bytes(2, "little")  # e_machine
    other = tmp_path / "libLiteRt.so"
    other.write_bytes(content)
    assert native(job(dense, [[normal(1, 8)]], library=str(other))).error == "library-load"


def test_a_python_module_is_refused_by_name(dense, job, native):
    done = native(job(dense, [[normal(1, 8)]], library=None, module="tflite_runtime"))
    with pytest.raises(RuntimeMissingError, match="cannot use the Python module tflite_runtime"):
        read_answer(done.stdout, done.stderr, done.status, board="here")


@pytest.mark.parametrize(
    "text",
    [b"", b"not json", b"[1]", b"{}", b'{"mode": "latency", "cpus": []}', b'{"mode": "probe"', b"\0", b"[" * 100_000],
    ids=["empty", "words", "a list", "no mode", "no model", "cut", "a NUL", "deep"],
)
def test_a_broken_request_is_told(text, native):
    done = native(text)
    assert (done.status, done.error) == (3, "request")


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


@pytest.mark.parametrize("mode", ["latency", "memory", "smoke", "profile"])
def test_no_value_of_any_field_makes_the_runner_crash(mode, dense, job, native):
    sensors = {"temperature": {"argv": ["sensor"], "file": None, "zone": None, "scale": 1.0}}
    request = job(dense, [[normal(1, 8)]], mode=mode, min_runs=1, min_s=0, max_s=0.01, time_limit_s=20)
    request |= {"sensors": sensors, "sampler": True}
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


# --------------------------------------------------------------------------------------------------- the process's end


def test_a_process_ends_itself_at_its_time_limit(dense, job, native):
    done = native(job(dense, [[normal(1, 8)]], mode="latency", min_s=60, max_s=60, time_limit_s=0.5))
    assert done.status == -signal.SIGALRM


def test_a_process_ends_when_the_host_goes_away(dense, job, program):
    request = job(dense, [[normal(1, 8)]], mode="latency", min_s=60, max_s=60, time_limit_s=60)
    pipe = subprocess.PIPE
    process = subprocess.Popen([program], stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        process.stderr.read(1)  # the runtime has said hello: it runs
        process.stdout.close()
        assert process.wait(timeout=10) == payload.ABANDONED
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stderr.close()


def test_a_process_dies_with_its_parent(dense, job, program):
    request = job(dense, [[normal(1, 8)]], mode="latency", min_s=60, max_s=60, time_limit_s=60)
    script = (
        "import subprocess, time\n"
        f"child = subprocess.Popen([{str(program)!r}], stdin=subprocess.PIPE, stderr=subprocess.PIPE)\n"
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
    raise AssertionError("the runner outlived its parent")


def test_what_the_library_prints_does_not_disturb_the_answer(dense, job, native):
    done = native(job(dense, [[normal(1, 8)]]))
    assert done.stdout.startswith(f"\n{payload.BEGIN}\n".encode())
    assert done.stdout.endswith(f"\n{payload.END}\n".encode())
    assert b"XNNPACK" in done.stderr


# ------------------------------------------------------------------------------------------------------ older libraries


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.1.0", "1.4.0"])
def test_older_releases_of_the_library_compute_the_same_int8(version, tmp_path, job, native):
    library = fetch_library(version, machine())
    content, samples = MODELS["int8"]
    model = tiny_tflite.write(tmp_path, content)
    for mode in ("smoke", "latency", "memory"):
        done = native(job(model, samples, mode=mode, library=str(library.path), num_threads=2))
        assert done.status == 0, done.stderr
        if mode == "smoke":
            assert raw(done.answer) == [interpret(model, sample) for sample in samples]
    for changes in ({"mode": "profile"}, {"kernels": "builtin"}):
        request = job(model, samples, library=str(library.path), library_version=version, **changes)
        assert native(request).answer == start(request).answer
        assert native(request).error in ("profile-unsupported", "kernels-unsupported")
