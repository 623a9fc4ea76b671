"""Both kernel paths of the real runtimes: the delegate, and the runtime's own kernels."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from payload_process import Ended, start

from edgekit.runner.answer import read_trial

MODULE = {"library": None, "module": "ai_edge_litert"}


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Its int8 outputs depend on the kernels."""
    return tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8())


@pytest.fixture
def run(job, chain):
    sample = numpy.random.default_rng(1).integers(-128, 128, (1, 64)).astype("int8")

    def with_(**changes) -> Ended:
        return start(job(chain, [[sample]], **changes), flags=() if changes.get("module") else ("-I", "-S"))

    return with_


def output(ended: Ended) -> numpy.ndarray:
    assert ended.status == 0, ended.stderr
    return numpy.frombuffer(base64.b64decode(ended.answer["outputs"][0][0]), "int8").astype(int)


def test_the_built_in_kernels_round_otherwise_and_say_that_no_delegate_ran(run):
    with_delegate, without = run(), run(kernels="builtin")
    steps = abs(output(with_delegate) - output(without))
    assert steps.max() == 1
    assert with_delegate.answer["runtime"]["delegate"] == "XNNPACK"
    assert with_delegate.answer["runtime"]["fully_delegated"] is True
    assert without.answer["runtime"]["delegate"] == "none"
    assert without.answer["runtime"]["fully_delegated"] is False


@pytest.mark.parametrize("kernels", ["delegate", "builtin"])
def test_library_and_module_agree_to_the_bit_on_the_same_kernels(run, kernels):
    module = run(**MODULE, kernels=kernels)
    assert (output(module) == output(run(kernels=kernels))).all()
    assert module.answer["runtime"]["delegate"] == {"delegate": "XNNPACK", "builtin": "none"}[kernels]


def test_kernels_are_kept_when_the_interpreter_is_built_anew(run):
    assert (output(run(kernels="builtin", rebuild=True)) == output(run(kernels="builtin", rebuild=False))).all()


def test_a_latency_trial_can_run_on_the_built_in_kernels(run, chain):
    answer = run(kernels="builtin", mode="latency").answer
    trial = read_trial(answer, board="here", mode="latency", model_sha256=answer["model_sha256"])
    assert (trial.runtime.delegate, len(trial.latency_ns) >= 20) == ("none", True)


@pytest.mark.parametrize("runtime", [{}, MODULE])
def test_kernels_of_another_name_are_refused(run, runtime):
    assert run(**runtime, kernels="reference").error == "request"


@pytest.mark.slow
def test_a_library_that_cannot_do_without_xnnpack_says_so(run):
    from platform import machine

    from edgekit.runner.runtimes import fetch_library

    old = str(fetch_library("2.1.0", machine()).path)
    assert output(run(library=old)).any()
    assert run(library=old, kernels="builtin").error == "kernels-unsupported"
