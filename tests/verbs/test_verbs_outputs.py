"""A model that computes something else on a board than when it was made gets no figures that anybody may rest on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy
import pytest
import tiny_onnx
import tiny_tflite
from golden_artifact import with_golden

from edgekit.core.artifact import Artifact, TensorData, TensorSpec
from edgekit.core.errors import DeviceError
from edgekit.core.events import Event, ignore
from edgekit.measure.pairs import PairPlan
from edgekit.measure.plan import STANDARD, Plan
from edgekit.verbs.benchmark import benchmark, benchmarking
from edgekit.verbs.boards import Reach, open_board
from edgekit.verbs.compare import compare
from edgekit.verbs.gate import gate
from edgekit.verbs.ready import check_outputs, push_model

QUICK = Plan(name="quick", retries=0, processes=2, memory_processes=0, min_runs=5, min_s=0.02, warmup_s=0.01)
PAIRS = PairPlan(process=dataclasses.replace(QUICK, cold_processes=0), seed=7)


@pytest.fixture
def right(tmp_path: Path) -> Artifact:
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8(2), "right.tflite")
    spec = TensorSpec(name="y", dtype="int8", shape=(1, 64), scale=0.0371, zero_point=-4)
    return with_golden(model, [[numpy.full((1, 64), 7, "int8")]], (spec,))


@pytest.fixture
def wrong(right: Artifact) -> Artifact:
    """Its golden outputs are not what any board gives."""
    assert right.manifest is not None
    sample = right.manifest.golden[0]
    other = TensorData.of(sample.outputs[0].array()[:, ::-1])
    golden = (dataclasses.replace(sample, outputs=(other,)),)
    return dataclasses.replace(right, manifest=dataclasses.replace(right.manifest, golden=golden))


def test_wrong_outputs_are_found_before_anything_is_measured(right: Artifact, wrong: Artifact) -> None:
    told: list[Event] = []
    with pytest.raises(DeviceError, match=r"local: right, computed by LiteRT .*: broken: .*golden outputs") as caught:
        benchmark(wrong, plan=STANDARD, on_event=told.append)
    assert "edgekit evaluate" in str(caught.value.hint)
    for sides in ((right, wrong), (wrong, right)):
        with pytest.raises(DeviceError, match="broken"):
            compare(*sides, plan=PAIRS, on_event=told.append)
    with pytest.raises(DeviceError, match="broken"):
        gate(wrong, baseline=right, plan=PAIRS, on_event=told.append)
    assert any(event.task == "check the outputs of right" for event in told)
    assert not [event.message for event in told if event.message.startswith(("process", "pair"))]


def test_a_model_whose_outputs_are_wrong_is_a_row_without_figures(wrong: Artifact) -> None:
    found = benchmarking(wrong, plan=STANDARD, runtime="litert")("local", Reach(), ignore)
    assert found.measurements == ()
    assert [(row.runtime, "broken" in str(row.error)) for row in found.not_measured] == [("litert", True)]
    assert len(found.errors) == 1


def test_a_quick_look_does_not_check(wrong: Artifact) -> None:
    (measured,) = benchmark(wrong, plan=QUICK)
    assert measured.latency is not None


def test_right_outputs_are_no_word_worth_and_differences_without_golden_outputs_are_told(right, tmp_path: Path) -> None:
    broken = tiny_tflite.write(tmp_path, tiny_tflite.dense(bias=float("nan")), "nan.tflite")
    bare = Artifact(path=right.path, manifest=None)
    onnx = tiny_onnx.write(tmp_path)
    with open_board("local", Reach(), "auto", ignore) as board:
        for artifact in (right, bare):
            assert check_outputs(board, push_model(board, artifact), num_threads=1) == ()
        pushed = push_model(board, Artifact(path=broken, manifest=None))
        (notice,) = check_outputs(board, pushed, num_threads=1)
        assert notice.code == "outputs-differ"
        assert "nan, computed by LiteRT" in notice.message
        assert (
            check_outputs(
                board, dataclasses.replace(pushed, artifact=Artifact(path=onnx, manifest=None)), num_threads=1
            )
            == ()
        )
