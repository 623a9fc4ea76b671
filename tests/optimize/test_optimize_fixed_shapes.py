"""An open batch becomes a batch of one, and the ops that only compute shapes become constants."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import tiny_tflite
from tiny_tflite import OPS, OPTIONS, Op, Tensor, schema

from edgekit.core.errors import ModelError
from edgekit.optimize import model_tree
from edgekit.optimize.fixed_shapes import with_fixed_shapes


def flattened(*, opened: bool = True, second: int = 4) -> bytes:
    """[-1, second, 2] → FULLY_CONNECTED-ready [-1, 2 * 4] the way converters write Flatten with an open batch."""
    strided, pack = schema.StridedSliceOptionsT(), schema.PackOptionsT()
    strided.shrinkAxisMask = 1
    pack.valuesCount, pack.axis = 2, 0
    dense = schema.FullyConnectedOptionsT()
    random = numpy.random.default_rng(5)

    def shape(*sizes: int) -> tuple[int, ...] | None:
        return (-1, *sizes) if opened else None

    return tiny_tflite.build(
        [
            Tensor("x", "float32", (1, 4, 2), signature_shape=shape(second, 2)),
            Tensor("shape", "int32", (3,)),
            Tensor("begin", "int32", (1,), [0]),
            Tensor("end", "int32", (1,), [1]),
            Tensor("step", "int32", (1,), [1]),
            Tensor("rows", "int32", ()),
            Tensor("eight", "int32", (), 8),
            Tensor("target", "int32", (2,)),
            Tensor("flat", "float32", (1, 8), signature_shape=shape(8)),
            Tensor("w", "float32", (3, 8), random.normal(size=(3, 8))),
            Tensor("b", "float32", (3,), random.normal(size=3)),
            Tensor("y", "float32", (1, 3), signature_shape=shape(3)),
        ],
        [
            Op(OPS.SHAPE, ["x"], ["shape"], _shape_options(), OPTIONS.ShapeOptions),
            Op(
                OPS.STRIDED_SLICE,
                ["shape", "begin", "end", "step"],
                ["rows"],
                strided,
                OPTIONS.StridedSliceOptions,
            ),
            Op(OPS.PACK, ["rows", "eight"], ["target"], pack, OPTIONS.PackOptions),
            Op(OPS.RESHAPE, ["x", "target"], ["flat"], schema.ReshapeOptionsT(), OPTIONS.ReshapeOptions),
            Op(OPS.FULLY_CONNECTED, ["flat", "w", "b"], ["y"], dense, OPTIONS.FullyConnectedOptions),
        ],
        ["x"],
        ["y"],
        ([("image", "x")], [("scores", "y")]),
    )


def _shape_options() -> Any:
    options = schema.ShapeOptionsT()
    options.outType = schema.TensorType.INT32
    return options


def outputs(content: bytes, rows: numpy.ndarray) -> list[numpy.ndarray]:
    """The outputs of every row, one at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    found = []
    for row in rows:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row[None])
        interpreter.invoke()
        found.append([interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()])
    return found


def op_names(content: bytes) -> list[str]:
    model = model_tree.parse(content, "test")
    return [model_tree.op_name(model, op) for op in model.subgraphs[0].operators]


ROWS = numpy.random.default_rng(6).normal(size=(5, 4, 2)).astype("float32")


def test_the_shape_ops_are_gone_and_the_outputs_are_the_same():
    before = flattened()
    assert op_names(before) == ["SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE", "FULLY_CONNECTED"]
    after = with_fixed_shapes(before, "model.tflite")
    assert op_names(after) == ["RESHAPE", "FULLY_CONNECTED"]
    numpy.testing.assert_array_equal(outputs(after, ROWS), outputs(before, ROWS))


def test_inputs_and_outputs_have_a_batch_of_one_and_keep_their_names():
    model = model_tree.parse(with_fixed_shapes(flattened(), "model.tflite"), "test")
    assert [(spec.name, spec.shape) for spec in model_tree.inputs(model)] == [("image", (1, 4, 2))]
    assert [(spec.name, spec.shape) for spec in model_tree.outputs(model)] == [("scores", (1, 3))]


def test_shape_ops_fold_where_the_batch_is_fixed_too():
    before = flattened(opened=False)
    after = with_fixed_shapes(before, "model.tflite")
    assert op_names(after) == ["RESHAPE", "FULLY_CONNECTED"]
    numpy.testing.assert_array_equal(outputs(after, ROWS), outputs(before, ROWS))


def test_an_open_batch_without_shape_ops_is_fixed():
    before = tiny_tflite.dense(dynamic=True)
    after = with_fixed_shapes(before, "model.tflite")
    model = model_tree.parse(after, "test")
    assert [spec.shape for spec in (*model_tree.inputs(model), *model_tree.outputs(model))] == [(1, 8), (1, 4)]
    rows = numpy.random.default_rng(7).normal(size=(5, 8)).astype("float32")
    numpy.testing.assert_array_equal(outputs(after, rows), outputs(before, rows))


@pytest.mark.parametrize("content", [tiny_tflite.dense(), tiny_tflite.subtract(), tiny_tflite.dense_then_floor_mod()])
def test_nothing_changes_where_nothing_is_open(content):
    assert with_fixed_shapes(content, "model.tflite") is content


def test_a_second_open_size_is_named():
    with pytest.raises(ModelError, match=r"model\.tflite: the input 'image' has an open size: \(-1, -1, 2\)") as caught:
        with_fixed_shapes(flattened(second=-1), "model.tflite")
    assert "fixed sizes" in str(caught.value.hint)


def test_a_shape_that_is_an_output_stays_one():
    content = tiny_tflite.build(
        [
            Tensor("x", "float32", (1, 3), signature_shape=(-1, 3)),
            Tensor("shape", "int32", (2,)),
            Tensor("y", "float32", (1, 3), signature_shape=(-1, 3)),
        ],
        [
            Op(OPS.SHAPE, ["x"], ["shape"], _shape_options(), OPTIONS.ShapeOptions),
            Op(OPS.ADD, ["x", "x"], ["y"], schema.AddOptionsT(), OPTIONS.AddOptions),
        ],
        ["x"],
        ["y", "shape"],
    )
    after = with_fixed_shapes(content, "model.tflite")
    assert op_names(after) == ["ADD"]
    rows = numpy.ones((2, 3), "float32")
    for found in outputs(after, rows):
        numpy.testing.assert_array_equal(found[0], [[2, 2, 2]])
        numpy.testing.assert_array_equal(found[1], [1, 3])


def test_noise_stays_noise():
    content = tiny_tflite.build(
        [
            Tensor("x", "float32", (1, 3), signature_shape=(-1, 3)),
            Tensor("shape", "int32", (2,)),
            Tensor("noise", "float32", (1, 3), signature_shape=(-1, 3)),
            Tensor("y", "float32", (1, 3), signature_shape=(-1, 3)),
        ],
        [
            Op(OPS.SHAPE, ["x"], ["shape"], _shape_options(), OPTIONS.ShapeOptions),
            Op(OPS.RANDOM_UNIFORM, ["shape"], ["noise"], schema.RandomOptionsT(), OPTIONS.RandomOptions),
            Op(OPS.ADD, ["x", "noise"], ["y"], schema.AddOptionsT(), OPTIONS.AddOptions),
        ],
        ["x"],
        ["y"],
    )
    after = with_fixed_shapes(content, "model.tflite")
    assert op_names(after) == ["RANDOM_UNIFORM", "ADD"]
    first, second = outputs(after, numpy.zeros((2, 3), "float32"))
    assert (first[0] != second[0]).all()


def test_a_file_that_is_cut_off_is_a_named_error():
    with pytest.raises(ModelError, match=r"cut\.tflite"):
        with_fixed_shapes(flattened()[:200], "cut.tflite")
