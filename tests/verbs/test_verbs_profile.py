"""edgekit.profile on this machine: real runs of small models, whole, in part and not at all delegated."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_tflite
from tiny_tflite import OPS, OPTIONS, Op, Tensor, schema

import edgekit
from edgekit.core.errors import ModelError, RuntimeMissingError, UsageError
from edgekit.verbs.profile import _layer_in


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setattr("edgekit.verbs.op_times.LEAST_S", 0.1)


def chain() -> bytes:
    """Two FULLY_CONNECTED ops whose tensors are called as the converter calls them."""
    kind = schema.FullyConnectedOptionsT(), OPTIONS.FullyConnectedOptions
    import numpy

    weights = numpy.random.default_rng(0).normal(size=(256, 256))
    return tiny_tflite.build(
        [
            Tensor("serving_default_x:0", "float32", (1, 256)),
            Tensor("w", "float32", (256, 256), weights),
            Tensor("b", "float32", (256,), weights[0]),
            Tensor("net/hidden/MatMul;net/hidden/Relu;net/hidden/BiasAdd", "float32", (1, 256)),
            Tensor("StatefulPartitionedCall:0", "float32", (1, 256)),
        ],
        [
            Op(
                OPS.FULLY_CONNECTED,
                ["serving_default_x:0", "w", "b"],
                ["net/hidden/MatMul;net/hidden/Relu;net/hidden/BiasAdd"],
                *kind,
            ),
            Op(
                OPS.FULLY_CONNECTED,
                ["net/hidden/MatMul;net/hidden/Relu;net/hidden/BiasAdd", "w", "b"],
                ["StatefulPartitionedCall:0"],
                *kind,
            ),
        ],
        ["serving_default_x:0"],
        ["StatefulPartitionedCall:0"],
    )


def branch() -> bytes:
    """IF x > 0 anywhere it adds, else it multiplies: two subgraphs beside the model's own."""
    import flatbuffers

    whole = tiny_tflite.build(
        [
            Tensor("choose", "bool", (1,)),
            Tensor("x", "float32", (1, 4)),
            Tensor("y", "float32", (1, 4)),
        ],
        [Op(OPS.IF, ["choose", "x"], ["y"], _if_options(), OPTIONS.IfOptions)],
        ["choose", "x"],
        ["y"],
    )
    model = schema.ModelT.InitFromPackedBuf(whole, 0)
    for number, (code, options, kind) in enumerate(
        [
            (OPS.ADD, schema.AddOptionsT(), OPTIONS.AddOptions),
            (OPS.MUL, schema.MulOptionsT(), OPTIONS.MulOptions),
        ]
    ):
        body = tiny_tflite.build(
            [Tensor("a", "float32", (1, 4)), Tensor("c", "float32", (1, 4))],
            [Op(code, ["a", "a"], ["c"], options, kind)],
            ["a"],
            ["c"],
        )
        other = schema.ModelT.InitFromPackedBuf(body, 0)
        other.subgraphs[0].operators[0].opcodeIndex = 1 + number
        other.subgraphs[0].name = f"body{number}".encode()
        model.operatorCodes.append(other.operatorCodes[0])
        model.subgraphs.append(other.subgraphs[0])
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _if_options() -> object:
    options = schema.IfOptionsT()
    options.thenSubgraphIndex, options.elseSubgraphIndex = 1, 2
    return options


def test_each_op_has_its_layer_its_work_and_its_kernel(tmp_path: Path) -> None:
    found = edgekit.profile(tiny_tflite.write(tmp_path, chain()))
    assert [(op.name, op.layer) for op in found.ops] == [("FULLY_CONNECTED", "hidden"), ("FULLY_CONNECTED", "")]
    assert [op.macs for op in found.ops] == [256 * 256] * 2
    assert found.ops[0].moved_bytes == 4 * (256 + 256 * 256 + 256 + 256)
    assert all(any("Fully Connected" in kernel for kernel in op.kernels) for op in found.ops)
    assert (found.delegated_ops, found.outside_delegate_share, found.names) == (2, 0.0, "tensors")
    assert found.cost.with_ns > 0
    assert found.cost.without_ns is not None
    assert len(found.whole_us) >= found.runs > 0


def test_what_the_delegate_does_not_take_is_told_from_what_it_takes(tmp_path: Path) -> None:
    # wide: the runtime counts whole microseconds, and of none there is no share
    found = edgekit.profile(tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod(width=16384)))
    assert [(op.name, op.delegated) for op in found.ops] == [("ADD", True), ("FLOOR_MOD", False)]
    assert found.outside_delegate_share is not None
    assert found.ops[1].hint.startswith("not delegated")


def test_on_the_built_in_kernels_there_is_no_delegate_to_be_outside_of(tmp_path: Path) -> None:
    found = edgekit.profile(tiny_tflite.write(tmp_path, chain()), kernels="builtin")
    assert (found.delegated_ops, found.outside_delegate_share) == (0, None)
    assert found.runtime.delegate == "none"
    assert [op.kernels for op in found.ops] == [("FULLY_CONNECTED",)] * 2


def test_a_branch_is_known_as_a_whole_and_that_is_said(tmp_path: Path) -> None:
    found = edgekit.profile(tiny_tflite.write(tmp_path, branch()))
    assert [op.name for op in found.ops] == ["IF"]
    assert "holds the time of what it runs inside" in found.ops[0].hint
    assert "control-flow" in {notice.code for notice in found.notices}


def test_a_runtime_that_does_not_tell_is_named_with_one_that_does(tmp_path: Path) -> None:
    with pytest.raises(RuntimeMissingError, match="does not tell the time of single ops") as caught:
        edgekit.profile(tiny_tflite.write(tmp_path, chain()), runtime="ai_edge_litert")
    assert "2.1.3" in (caught.value.hint or "")


def test_wrong_options_are_found_before_any_board_is_asked(tmp_path: Path) -> None:
    model = tiny_tflite.write(tmp_path, chain())
    with pytest.raises(UsageError, match="unknown kind of kernels 'bultin'"):
        edgekit.profile(model, kernels="bultin")
    with pytest.raises(UsageError, match="unknown device 'locla'"):
        edgekit.profile(model, device="locla")
    with pytest.raises(UsageError, match="has no layers"):
        edgekit.profile(model, source=model)
    with pytest.raises(ModelError):
        edgekit.profile(tmp_path / "none.tflite")


@pytest.mark.slow
def test_with_the_trained_model_ops_are_called_after_its_layers(tmp_path: Path) -> None:
    from edgekit.verbs.demo import example_folder

    source = example_folder() / "digits.keras"
    made = edgekit.convert(source, output=tmp_path / "digits.tflite")
    found = edgekit.profile(made, source=source)
    assert found.names == "source"
    layers = [op.layer for op in found.ops if op.name in ("CONV_2D", "FULLY_CONNECTED")]
    assert all(layer and not layer.startswith("batch") for layer in layers)
    assert len(set(layers)) == len(layers)


@pytest.mark.parametrize(
    ("op", "tensor", "layer"),
    [
        # names of real files: a constant that several ops share is called after one of them
        ("CONV_2D", "net/re_lu/Relu;net/bn/add;net/conv/convolution;net/bn_7/sub", "conv"),
        (
            "DEPTHWISE_CONV_2D",
            "M/M/Conv2d_7_depthwise/Relu6;M/M/Conv2d_7_depthwise/add_fold;M/M/Conv2d_12_depthwise/depthwise_Fold;"
            "M/M/Conv2d_7_depthwise/depthwise_Fold;M/M/Conv2d_7_depthwise/BatchNorm_Fold/bias",
            "Conv2d_7_depthwise",
        ),
        (
            "CONV_2D",
            "M/M/Conv2d_12_pointwise/Relu6;M/M/Conv2d_12_pointwise/add_fold;M/M/Conv2d_13_pointwise/Conv2D_Fold;"
            "M/M/Conv2d_12_pointwise/Conv2D_Fold;M/M/Conv2d_12_pointwise/BatchNorm_Fold/bias",
            "Conv2d_12_pointwise",
        ),
        ("DEPTHWISE_CONV_2D", "net/separable_conv2d_8/separable_conv2d/depthwise", "separable_conv2d_8"),
        ("DEPTHWISE_CONV_2D", "net/separable_conv2d/separable_conv2d/depthwise", "separable_conv2d"),
        ("CONV_2D", "net/bn/add_1;net/separable_conv2d_8/separable_conv2d;net/bn/sub", "separable_conv2d_8"),
        ("SOFTMAX", "StatefulPartitionedCall:0", ""),
    ],
)
def test_the_layer_in_a_tensors_name_is_the_ops_own(op: str, tensor: str, layer: str) -> None:
    assert _layer_in(tensor, op) == layer
