"""Board and host compute the same: each kernel path against its own reference, rounding told apart from broken."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from changed_payload import changed_payload
from golden_artifact import with_golden

from edgekit.core.artifact import Artifact, TensorData, TensorSpec
from edgekit.core.errors import ModelError
from edgekit.core.hashing import sha256_file
from edgekit.device import smoke
from edgekit.device.connect import Device, connect
from edgekit.device.provision import BoardRuntime, prepare_runtime
from edgekit.device.smoke import smoke_test
from edgekit.device.target import resolve

ROWS = [[numpy.random.default_rng(seed).integers(-128, 128, (1, 64)).astype("int8")] for seed in range(3)]


@pytest.fixture
def device():
    with connect(resolve("local")) as opened:
        yield opened


@pytest.fixture(params=["litert", "ai_edge_litert"])
def runtime(request, device: Device) -> BoardRuntime:
    facts = device.facts()
    facts = dataclasses.replace(facts, python=dataclasses.replace(facts.python, path=sys.executable))
    return prepare_runtime(device, facts, runtime=request.param)


@pytest.fixture
def chain(tmp_path: Path) -> Artifact:
    """A full-int8 model whose outputs depend on the kernels, with golden outputs of XNNPACK's."""
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8())
    spec = TensorSpec(name="y", dtype="int8", shape=(1, 64), scale=0.0371, zero_point=-4)
    return with_golden(model, ROWS, (spec,))


def moved(artifact: Artifact, steps: int, share: float = 1.0) -> Artifact:
    """The artifact with golden outputs that are so many steps off, for a share of the values."""
    assert artifact.manifest is not None
    samples = []
    for sample in artifact.manifest.golden:
        output = sample.outputs[0].array().astype(int)
        output[:, : round(share * output.shape[1])] += numpy.where(output > 0, -steps, steps)[:, : round(share * 64)]
        samples.append(dataclasses.replace(sample, outputs=(TensorData.of(output.astype("int8")),)))
    return dataclasses.replace(artifact, manifest=dataclasses.replace(artifact.manifest, golden=tuple(samples)))


def outcome(device, runtime, artifact, **options):
    path = device.workspace.push_file(artifact.path, "models/model.tflite").path
    return smoke_test(device, runtime, path, artifact, **options)


def test_the_same_kernels_are_exact(device, runtime, chain):
    result = outcome(device, runtime, chain)
    assert (result.verdict, result.ok, result.max_steps, result.differing) == ("exact", True, 0, 0.0)
    assert result.kernels == "XNNPACK"
    assert result.reference == "golden outputs of the artifact"


def test_built_in_kernels_are_compared_with_built_in_kernels_and_are_exact_too(device, runtime, chain):
    result = outcome(device, runtime, chain, kernels="builtin")
    assert (result.verdict, result.exact, result.kernels) == ("exact", True, "built-in")
    assert result.reference == "the built-in kernels on this machine"


def test_built_in_kernels_without_a_reference_of_their_own_show_as_rounding(device, runtime, chain, monkeypatch):
    monkeypatch.setattr(smoke, "host_outputs", lambda *_, **__: None)  # this machine has no LiteRT
    result = outcome(device, runtime, chain, kernels="builtin")
    assert (result.verdict, result.ok, result.max_steps) == ("rounding", True, 1)
    assert 0 < result.differing < 0.5
    assert "made by other kernels" in result.reference


def test_a_bare_model_on_built_in_kernels_has_a_reference_of_the_same_kernels(device, runtime, chain):
    result = outcome(device, runtime, dataclasses.replace(chain, manifest=None), kernels="builtin")
    assert (result.verdict, result.reference) == ("exact", "the built-in kernels on this machine")


@pytest.mark.parametrize(
    ("steps", "verdict", "ok"), [(1, "rounding", True), (2, "close", True), (3, "broken", False), (40, "broken", False)]
)
def test_on_the_same_kernels_a_step_is_rounding_and_more_is_not(device, runtime, chain, steps, verdict, ok):
    result = outcome(device, runtime, moved(chain, steps, share=0.25))
    assert (result.verdict, result.ok, result.max_steps) == (verdict, ok, steps)
    assert result.differing == pytest.approx(0.25)
    assert f"at most {steps} step" in result.reason
    assert bool(smoke.notices(result, chain, board="pi4")) == (verdict == "close")


@pytest.mark.parametrize("kernels", ["delegate", "builtin"])
def test_golden_outputs_of_another_model_never_pass_unseen(device, runtime, chain, kernels):
    other = tiny_tflite.write(chain.path.parent, tiny_tflite.dense_chain_int8(layers=5), "other.tflite")
    manifest = dataclasses.replace(chain.manifest, sha256=sha256_file(other))
    swapped = dataclasses.replace(chain, path=other, manifest=manifest)
    result = outcome(device, runtime, swapped, kernels=kernels)
    if kernels == "delegate":
        assert (result.verdict, result.ok) == ("broken", False)
        assert "the same class for" in result.reason
    else:
        assert (result.verdict, result.ok) == ("close", True)
        assert "far from golden outputs" in result.reason
        assert smoke.notices(result, swapped, board="pi4")


def test_a_library_that_computes_wrongly_fails(device, chain, tmp_path):
    """As qemu's SVE and SME do: everything runs, and the numbers are wrong."""
    runtime = prepare_runtime(device, device.facts())
    read = 'ctypes.string_at(address, self.outputs[index]["bytes"])'
    wrong = tmp_path / "wrong.pyz"
    wrong.write_bytes(changed_payload("litert.py", read, f"bytes(b ^ 64 for b in {read})"))
    result = outcome(device, dataclasses.replace(runtime, runner_path=str(wrong)), chain)
    assert (result.verdict, result.ok) == ("broken", False)
    assert result.reason.startswith("broken: ")


def test_a_tool_that_gives_no_outputs_is_only_seen_to_run_the_model(device, tmp_path):
    tool = Path(sys.executable).with_name("litert-benchmark")
    if not tool.exists():
        pytest.skip("no litert-benchmark beside this Python: it comes with ai-edge-litert")
    text = f'#!/bin/sh\nexec {shlex.quote(str(tool))} "$@"\n'
    path = device.workspace.push_bytes(text.encode(), "runtime/benchmark_model", executable=True).path
    runtime = BoardRuntime(
        runner="benchmark_model",
        python=None,
        runner_path=path,
        library_path=None,
        module=None,
        name="benchmark_model",
        version="",
        uploaded_bytes=0,
    )
    content = tiny_tflite.dense_chain_int8(layers=12, columns=512)  # slow enough for the tool's clock
    model = Artifact(path=tiny_tflite.write(tmp_path, content), manifest=None)
    result = outcome(device, runtime, model)
    assert (result.ok, result.verdict, result.samples) == (True, "not compared", 0)
    assert [notice.code for notice in smoke.notices(result, model, board="phone")] == ["outputs-not-compared"]
    broken = tiny_tflite.write(tmp_path, content[:3000], "broken.tflite")
    with pytest.raises(ModelError, match="cannot load the model"):
        outcome(device, runtime, Artifact(path=broken, manifest=None))
