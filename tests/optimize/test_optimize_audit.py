"""The audit goes by the ops and names what is not integer."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_making import made
from tiny_tflite import OPS, Op, Tensor, build

from edgekit.core.artifact import Audit
from edgekit.core.errors import ModelError
from edgekit.model import op_versions
from edgekit.optimize.audit import audit_tflite, is_integer_inside, require_full_integer, unsupported_ops


@pytest.fixture(scope="module")
def tflites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.getbasetemp(), "tflite")


def test_an_int8_model_is_full_integer(tflites: Path) -> None:
    found = audit_tflite(tflites / "int8.tflite")
    assert found.full_integer
    assert found.float_ops == ()
    assert found.problems == ()
    require_full_integer(found, allow_float=False, mode="int8")


def test_float_inputs_are_told_from_float_ops(tflites: Path) -> None:
    found = audit_tflite(tflites / "int8_float_io.tflite")
    assert not found.full_integer
    assert is_integer_inside(found)
    assert found.float_ops == ()
    require_full_integer(found, allow_float=False, mode="int8-float-io")
    with pytest.raises(ModelError, match="image, scores are float"):
        require_full_integer(found, allow_float=False, mode="int8")


def test_a_silent_float_island_is_found_and_its_layer_named(tflites: Path) -> None:
    found = audit_tflite(tflites / "island.tflite")
    assert not found.full_integer
    assert not is_integer_inside(found)
    assert found.float_ops == ("ELU (1)", "DEQUANTIZE (1)", "QUANTIZE (1)")
    with pytest.raises(ModelError) as caught:
        require_full_integer(found, allow_float=False, mode="int8")
    assert "ELU (1)" in str(caught.value)
    assert "'bend'" in str(caught.value)
    assert "--allow-float-fallback" in str(caught.value.hint)
    assert caught.value.exit_code == 4
    require_full_integer(found, allow_float=True, mode="int8")


def test_unused_float_tensors_of_a_fused_lstm_do_not_count(tflites: Path) -> None:
    assert audit_tflite(tflites / "lstm.tflite").full_integer


@pytest.mark.parametrize("name", ["float.tflite", "dynamic.tflite"])
def test_float_and_dynamic_range_models_are_not_integer(tflites: Path, name: str) -> None:
    found = audit_tflite(tflites / name)
    assert not is_integer_inside(found)
    assert "CONV_2D (1)" in found.float_ops


def test_select_tf_ops_are_named_and_no_runtime_has_them(tflites: Path) -> None:
    found = audit_tflite(tflites / "flex.tflite")
    assert found.flex_ops == ("FlexRoll",)
    assert any("Flex" in problem for problem in found.problems)
    assert unsupported_ops(found, "2.3.0") == ("FlexRoll",)


def test_weights_left_in_variables_are_a_problem(tmp_path: Path) -> None:
    tensors = [
        Tensor("x", "int8", (1, 4), scale=0.1),
        Tensor("handle", "int32", (1,)),
        Tensor("w", "int8", (1, 4), scale=0.1),
        Tensor("y", "int8", (1, 4), scale=0.1),
    ]
    ops = [
        Op(OPS.VAR_HANDLE, [], ["handle"]),
        Op(OPS.READ_VARIABLE, ["handle"], ["w"]),
        Op(OPS.ADD, ["x", "w"], ["y"], version=2),
    ]
    path = tmp_path / "variables.tflite"
    path.write_bytes(build(tensors, ops, ["x"], ["y"]))
    assert any("READ_VARIABLE" in problem for problem in audit_tflite(path).problems)


def _audit(**versions: int) -> Audit:
    return Audit(full_integer=True, float_ops=(), flex_ops=(), min_runtime=None, op_versions=versions)


@pytest.mark.parametrize(
    ("runtime", "version", "missing"),
    [
        ("tflite_runtime", "2.14.0", ("FULLY_CONNECTED version 12",)),
        ("tflite_runtime", "2.17.0", ()),
        ("ai_edge_litert", "1.0.1", ()),
        ("LiteRT C API", "2.3.0", ()),
    ],
)
def test_a_runtime_that_lacks_an_op_version_is_found_out(runtime: str, version: str, missing: tuple[str, ...]) -> None:
    """The case users meet: dynamic range with per-channel dense layers on tflite-runtime 2.14."""
    assert unsupported_ops(_audit(FULLY_CONNECTED=12, CONV_2D=5), version, runtime=runtime) == missing


def test_op_versions_that_only_litert_has_are_known() -> None:
    assert unsupported_ops(_audit(FULLY_CONNECTED=14), "2.0.3") == ("FULLY_CONNECTED version 14",)
    assert unsupported_ops(_audit(FULLY_CONNECTED=14), "2.1.0") == ()
    assert op_versions.minimum_runtime({"FULLY_CONNECTED": 14}, "2.18.0") == "LiteRT 2.1"


def test_the_minimum_runtime_names_both_number_lines() -> None:
    assert op_versions.minimum_runtime({"CONV_2D": 5, "TRANSPOSE": 7}, None) == "TensorFlow Lite 2.18 or LiteRT 1.2"
    assert op_versions.minimum_runtime({"CONV_2D": 5}, "2.9.0") == "TensorFlow Lite 2.9 or LiteRT 1.0"


def test_an_op_version_of_the_future_is_never_called_supported() -> None:
    assert op_versions.minimum_runtime({"CONV_2D": 99}, "2.4.0") is None
    assert unsupported_ops(_audit(CONV_2D=99), "2.3.0") == ("CONV_2D version 99",)


@pytest.mark.parametrize(("op", "version"), [("BROADCAST_TO", 1), ("NO_SUCH_OP", 1), ("CONV_2D", 0)])
def test_op_versions_that_never_were_are_unknown(op: str, version: int) -> None:
    assert not op_versions.is_known(op, version)
