"""Very small .onnx files with seeded weights, and the same weights as a .tflite."""

from __future__ import annotations

from pathlib import Path

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_tflite import OPS, OPTIONS, Op, Tensor, build, schema

COLUMNS, ROWS = 8, 4


def weights() -> tuple[numpy.ndarray, numpy.ndarray]:
    """``[ROWS, COLUMNS]`` and ``[ROWS]``, as a fully connected layer of TensorFlow Lite has them."""
    generator = numpy.random.default_rng(5)
    return (
        generator.normal(size=(ROWS, COLUMNS)).astype("float32"),
        generator.normal(size=ROWS).astype("float32"),
    )


def dense(*, shape: tuple[int | str, ...] = ("batch", COLUMNS)) -> onnx.ModelProto:
    """One Gemm: y = x Wᵀ + b."""
    kernel, bias = weights()
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "W", "b"], ["y"], transB=1)],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], ROWS])],
        [numpy_helper.from_array(kernel, "W"), numpy_helper.from_array(bias, "b")],
    )
    return finished(graph)


def finished(graph: onnx.GraphProto) -> onnx.ModelProto:
    """The model of a graph, for runtimes from 1.19 on."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="edgekit test")
    model.ir_version = 8
    return model


def write(folder: Path, model: onnx.ModelProto | None = None, name: str = "model.onnx") -> Path:
    """Writes a model into ``folder``."""
    path = folder / name
    path.write_bytes((model or dense()).SerializeToString())
    return path


def dense_tflite() -> bytes:
    """The same layer with the same weights as a .tflite."""
    kernel, bias = weights()
    options = schema.FullyConnectedOptionsT(), OPTIONS.FullyConnectedOptions
    return build(
        [
            Tensor("x", "float32", (1, COLUMNS)),
            Tensor("w", "float32", (ROWS, COLUMNS), kernel),
            Tensor("b", "float32", (ROWS,), bias),
            Tensor("y", "float32", (1, ROWS)),
        ],
        [Op(OPS.FULLY_CONNECTED, ["x", "w", "b"], ["y"], *options)],
        ["x"],
        ["y"],
    )
