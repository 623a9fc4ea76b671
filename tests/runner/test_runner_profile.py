"""Time per op from the payload: what the runtime recorded, and a named refusal where it records nothing."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import tiny_tflite
from payload_process import start

from edgekit.core.errors import DependencyError, DeviceError, RuntimeMissingError
from edgekit.core.hashing import sha256_file
from edgekit.runner.answer import read_answer, read_profile
from edgekit.runner.runtimes import fetch_library

ROW = numpy.ones((1, 4), "float32")


@pytest.fixture
def half_delegated(tmp_path: Path) -> Path:
    """ADD, which XNNPACK takes, then FLOOR_MOD, which it does not."""
    return tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())


def test_a_profile_tells_what_the_delegate_took_and_what_it_left(half_delegated, job):
    answer = start(job(half_delegated, [[ROW]], mode="profile")).answer
    profile = read_profile(answer, board="here", model_sha256=sha256_file(half_delegated))
    assert [(op.delegated, op.node) for op in profile.ops] == [(True, 0), (False, 1)]
    assert profile.ops[0].tag.startswith("Add")
    assert profile.ops[1].tag == "FLOOR_MOD"
    assert profile.runtime.fully_delegated is False


def test_every_op_has_a_time_in_every_run_and_no_run_is_shorter_than_its_ops(half_delegated, job):
    answer = start(job(half_delegated, [[ROW]], mode="profile", min_runs=25)).answer
    profile = read_profile(answer, board="here", model_sha256=sha256_file(half_delegated))
    assert len(profile.whole_us) >= 25
    assert profile.other_runs == 0
    for run, whole in enumerate(profile.whole_us):
        assert sum(op.elapsed_us[run] for op in profile.ops) <= whole + 1  # whole microseconds are rounded


def test_a_python_module_as_runtime_is_refused_by_name(half_delegated, job):
    asked = job(half_delegated, [[ROW]], mode="profile", library=None, module="ai_edge_litert")
    done = start(asked, flags=())
    assert done.status == 3
    with pytest.raises(RuntimeMissingError, match="ai_edge_litert does not tell the time of single ops"):
        read_answer(done.stdout, done.stderr, done.status, board="here")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.1.0", "1.4.0"])
def test_an_older_litert_is_refused_by_name(version, half_delegated, job):
    try:
        library = fetch_library(version, "x86_64")
    except DependencyError as error:
        pytest.skip(f"no network: {error}")
    done = start(job(half_delegated, [[ROW]], mode="profile", library=str(library.path), library_version=version))
    with pytest.raises(RuntimeMissingError, match=rf"LiteRT {version} does not tell .* 2\.1\.3"):
        read_answer(done.stdout, done.stderr, done.status, board="here")


def test_a_profile_of_another_model_is_not_believed(half_delegated, job):
    answer = start(job(half_delegated, [[ROW]], mode="profile")).answer
    with pytest.raises(DeviceError, match="another model"):
        read_profile(answer, board="here", model_sha256="0" * 64)


def test_a_profile_without_a_time_for_every_run_is_not_believed(half_delegated, job):
    answer = start(job(half_delegated, [[ROW]], mode="profile")).answer
    answer["ops"][0]["elapsed_us"].pop()
    with pytest.raises(DeviceError, match="every run"):
        read_profile(answer, board="here", model_sha256=sha256_file(half_delegated))


def test_profiling_does_not_change_what_a_measured_process_uses(half_delegated, job):
    """The 68 MB of the profiler's buffer must be in the profile's process alone."""
    answer = start(job(half_delegated, [[ROW]], mode="memory")).answer
    assert answer["memory"][-1]["rss_bytes"] < 60 << 20
