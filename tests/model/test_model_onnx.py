"""The head of .onnx files: real ones, damaged ones, and those whose weights lie elsewhere."""

from __future__ import annotations

import numpy
import onnx
import pytest
import tiny_onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.core.errors import ModelError
from edgekit.model.onnx import OnnxInput, read_onnx


def test_a_file_says_what_it_wants(tmp_path):
    head = read_onnx(tiny_onnx.write(tmp_path))
    assert (head.ir_version, head.producer) == (8, "edgekit test")
    assert head.inputs == (OnnxInput(name="x", shape=("batch", 8)),)


def test_weights_that_are_listed_as_inputs_are_none(tmp_path):
    model = tiny_onnx.dense()
    model.graph.input.append(helper.make_tensor_value_info("W", TensorProto.FLOAT, [4, 8]))
    assert [one.name for one in read_onnx(tiny_onnx.write(tmp_path, model)).inputs] == ["x"]


def test_a_file_whose_weights_lie_elsewhere_is_refused_with_the_way_out(tmp_path):
    big = numpy.zeros((64, 64), "float32")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [numpy_helper.from_array(big, "W")],
    )
    path = tmp_path / "split.onnx"
    onnx.save(tiny_onnx.finished(graph), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    with pytest.raises(ModelError, match="in other files") as caught:
        read_onnx(path)
    assert "save_as_external_data=False" in caught.value.hint
    onnx.save(onnx.load(path), tmp_path / "one.onnx", save_as_external_data=False)  # the hint, carried out
    assert [one.name for one in read_onnx(tmp_path / "one.onnx").inputs] == ["x"]


def test_f61_a_file_cut_short_anywhere_is_no_crash(tmp_path):
    whole = tiny_onnx.dense().SerializeToString()
    path = tmp_path / "cut.onnx"
    refused = 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            read_onnx(path)
        except ModelError:
            refused += 1
    assert refused > 0.9 * len(whole)  # what follows the graph can be missing


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\xff" * 4096, b"TFL3" * 10, b"\x3a\x00"])
def test_f61_what_is_no_onnx_model_is_said_to_be_none(content, tmp_path):
    (tmp_path / "no.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"no\.onnx"):
        read_onnx(tmp_path / "no.onnx")
    with pytest.raises(ModelError, match="no such file"):
        read_onnx(tmp_path / "none.onnx")
