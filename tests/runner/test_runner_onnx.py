"""ONNX Runtime through the payload, as a board would start it: the real runtime, small real models."""

from __future__ import annotations

import base64
import sys

import numpy
import pytest
import tiny_onnx
import tiny_tflite
from onnx import TensorProto, helper
from payload_process import start


def onnx_job(job, model, sample, **changes):
    return job(model, [[sample]], library=None, module="onnxruntime", **changes)


def run(request):
    ended = start(request, flags=())
    assert ended.status == 0, ended.answer
    return ended.answer


def a_sample() -> numpy.ndarray:
    return numpy.random.default_rng(1).normal(size=(1, tiny_onnx.COLUMNS)).astype("float32")


def test_it_computes_what_litert_computes_from_the_same_weights(job, tmp_path):
    sample = a_sample()
    by_onnx = run(onnx_job(job, tiny_onnx.write(tmp_path), sample))
    by_litert = start(job(tiny_tflite.write(tmp_path, tiny_onnx.dense_tflite()), [[sample]])).answer
    values = [numpy.frombuffer(base64.b64decode(answer["outputs"][0][0]), "float32") for answer in (by_onnx, by_litert)]
    assert values[0].shape == (tiny_onnx.ROWS,)
    numpy.testing.assert_allclose(values[0], values[1], rtol=1e-5)
    assert numpy.abs(values[0]).max() > 0.1


def test_a_timed_process_names_its_provider_and_states_what_a_call_costs(job, tmp_path):
    answer = run(onnx_job(job, tiny_onnx.write(tmp_path), a_sample(), mode="latency"))
    assert answer["runtime"]["name"] == "onnxruntime"
    assert (answer["runtime"]["delegate"], answer["runtime"]["fully_delegated"]) == ("CPUExecutionProvider", True)
    assert len(answer["latency_ns"]) >= 20
    assert answer["call_ns"] == 0  # nothing was subtracted ...
    assert answer["extra"]["call_overhead_ns"] > 0  # ... so it is stated


def test_the_batch_that_a_file_leaves_open_is_one(tmp_path):
    model = tiny_onnx.write(tmp_path)
    answer = run({"mode": "describe", "model": str(model), "module": "onnxruntime"})
    assert answer["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, tiny_onnx.COLUMNS]}]
    assert answer["outputs"] == [{"name": "y", "dtype": "float32", "shape": [1, tiny_onnx.ROWS]}]


def test_an_output_whose_length_only_a_run_tells_is_read_whole(job, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("NonZero", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [2, "count"])],
    )
    model = tiny_onnx.write(tmp_path, tiny_onnx.finished(graph))
    answer = run(onnx_job(job, model, numpy.array([[0, 3, 0, 4]], "float32")))
    assert answer["outputs_info"][0]["shape"] == [2, 2]
    assert numpy.frombuffer(base64.b64decode(answer["outputs"][0][0]), "int64").tolist() == [0, 0, 1, 3]


def test_several_threads_are_asked_of_the_session(job, tmp_path):
    answer = run(onnx_job(job, tiny_onnx.write(tmp_path), a_sample(), mode="latency", num_threads=2))
    assert answer["num_threads"] == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"kernels": "builtin"}, "kernels-unsupported"), ({"weight_cache": "/tmp/x.cache"}, "weight-cache-unsupported")],
)
def test_what_it_cannot_do_is_refused_by_name(job, tmp_path, changes, code):
    assert start(onnx_job(job, tiny_onnx.write(tmp_path), a_sample(), **changes), flags=()).error == code


def test_a_file_that_is_none_is_the_models_fault(job, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"\x08\x08 not a model")
    ended = start(onnx_job(job, model, a_sample()), flags=())
    assert ended.error == "model-unreadable"


def test_a_python_without_it_says_so(job, tmp_path):
    ended = start(onnx_job(job, tiny_onnx.write(tmp_path), a_sample()), flags=("-I", "-S"))
    assert ended.error == "module-missing"


def test_a_probe_runs_it_once():
    answer = run({"mode": "probe", "module": "onnxruntime"})
    assert (answer["name"], answer["python"]) == ("onnxruntime", sys.version.split()[0])
    assert answer["version"].split(".")[0].isdigit()
