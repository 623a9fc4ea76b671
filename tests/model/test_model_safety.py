"""Models with code inside are refused before anything of theirs can run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.child import Child
from edgekit.core.errors import ModelError
from edgekit.model.format import detect_format
from edgekit.model.inspect import inspect_model
from edgekit.model.safety import refuse_code, scan

TROJANS = [
    "lambda.keras",
    "lambda.h5",
    "tf_lambda.keras",
    "tf_lambda.h5",
    "deep_lambda.keras",
    "deep_lambda.h5",
    "tf_deep_lambda.keras",
    "tf_deep_lambda.h5",
    "tf_lambda_folder",
]


@pytest.mark.parametrize("name", TROJANS)
def test_a_lambda_layer_is_refused_by_name_with_the_option_that_trusts(models: Path, name: str) -> None:
    path = models / name
    with pytest.raises(ModelError) as caught:
        refuse_code(path, detect_format(path), trust=False)
    assert "payload" in str(caught.value)
    assert "--trust-model" in str(caught.value.hint)
    assert not (models / "canary").exists()


@pytest.mark.parametrize("name", [*TROJANS, "writer_folder"])
def test_the_canary_never_runs_when_a_model_is_loaded(models: Path, child: Child, name: str) -> None:
    with pytest.raises(ModelError, match="contains code"):
        child.call("model_checks:load_and_run", time_limit_s=60, path=models / name)
    assert not (models / "canary").exists()


def test_the_canary_never_runs_when_a_model_is_inspected(models: Path) -> None:
    with pytest.raises(ModelError, match="contains code"):
        inspect_model(models / "tf_lambda.h5")
    assert not (models / "canary").exists()


@pytest.mark.parametrize("name", ["lambda.keras", "tf_lambda.h5"])
def test_a_trusted_model_runs_its_code_and_says_so(models: Path, child: Child, name: str) -> None:
    try:
        found = child.call("model_checks:load_and_run", time_limit_s=60, path=models / name, trust=True)
        assert (models / "canary").exists()  # so the tests above test something
        assert "trusted-code" in found["notices"]
    finally:
        (models / "canary").unlink(missing_ok=True)


def test_a_graph_that_writes_files_is_refused(models: Path) -> None:
    path = models / "writer_folder"
    with pytest.raises(ModelError, match="WriteFile"):
        refuse_code(path, detect_format(path), trust=False)


@pytest.mark.parametrize("name", ["custom.keras", "custom.h5", "tf_custom.keras", "tf_custom.h5"])
@pytest.mark.parametrize("trust", [False, True])
def test_an_unknown_custom_layer_is_refused_by_name_trusted_or_not(models: Path, name: str, trust: bool) -> None:
    path = models / name
    with pytest.raises(ModelError, match=r"'encoder/twice'.*Doubling.*not part of Keras") as caught:
        refuse_code(path, detect_format(path), trust=trust)
    assert "model.export(" in str(caught.value.hint)


@pytest.mark.parametrize(
    "name",
    ["cnn.keras", "cnn.h5", "tf_cnn.keras", "tf_cnn.h5", "tf_cnn_folder", "cnn_export", "two.keras", "tf_ops.h5"],
)
def test_a_plain_model_passes_without_a_word(models: Path, name: str) -> None:
    assert refuse_code(models / name, detect_format(models / name), trust=False) == ()


def _layer(**changes: Any) -> dict[str, Any]:
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "dense", "activation": "relu"}}
    return {"class_name": "Sequential", "config": {"name": "model", "layers": [{**layer, **changes}]}}


@pytest.mark.parametrize(
    "changes",
    [
        {"module": "keras.utils", "class_name": "get_file"},
        {"module": "keras.saving", "class_name": "load_model"},
        {"config": {"name": "dense", "activation": {"class_name": "__lambda__", "config": {"value": "4wEAAA=="}}}},
        {"config": {"name": "dense", "activation": {"module": "os", "class_name": "function", "config": "system"}}},
        {
            "config": {
                "name": "dense",
                "activation": {"module": "keras.utils", "class_name": "function", "config": "get_file"},
            }
        },
        {"class_name": "TFOpLambda", "config": {"name": "op", "function": "io.write_file"}},
        {"class_name": "TFOpLambda", "config": {"name": "op", "function": "raw_ops.WriteFile"}},
        {"class_name": "TFOpLambda", "config": {"name": "op", "function": "compat.v1.py_function"}},
        {
            "class_name": "Lambda",
            "config": {"name": "op", "function": ["4wEAAA==", None, None], "function_type": "lambda"},
        },
        {"class_name": "TFSMLayer", "config": {"name": "other", "filepath": "/tmp/evil"}},
        {"class_name": "TorchModuleWrapper", "config": {"name": "torch", "module": "gASV"}},
        {"class_name": "StringLookup", "config": {"name": "words", "vocabulary": "/etc/passwd"}},
        {"class_name": "TensorFlowOpLayer", "config": {"name": "op", "node_def": '{"name": "w", "op": "WriteFile"}'}},
        {"class_name": "__typespec__", "module": "subprocess", "config": {}},
    ],
)
def test_code_in_any_disguise_is_found(changes: dict[str, Any]) -> None:
    assert [finding.kind for finding in scan(_layer(**changes))] == ["code"]


@pytest.mark.parametrize(
    "changes",
    [
        {"module": "my_package.layers", "class_name": "Mine"},
        {"module": None, "class_name": "Mine", "registered_name": "Package>Mine"},
        {"module": None, "class_name": "Package>Mine"},
    ],
)
def test_foreign_classes_are_found(changes: dict[str, Any]) -> None:
    assert [(finding.kind, finding.layer) for finding in scan(_layer(**changes))] == [("custom", "dense")]


@pytest.mark.parametrize(
    "changes",
    [
        {"class_name": "TFOpLambda", "config": {"name": "op", "function": "math.multiply"}},
        {"class_name": "TFOpLambda", "config": {"name": "op", "function": "reshape"}},
        {"class_name": "TensorFlowOpLayer", "config": {"name": "op", "node_def": '{"name": "w", "op": "Mul"}'}},
        {"class_name": "StringLookup", "config": {"name": "words", "vocabulary": ["a", "b"]}},
        {"module": "keras.src.engine.functional", "class_name": "Functional"},
        {"module": "keras.src.ops.numpy", "class_name": "Add", "registered_name": "Add"},
        {
            "config": {
                "name": "d",
                "kernel_regularizer": {"module": "keras.regularizers", "class_name": "L2", "config": {}},
            }
        },
        {"config": {"name": "d", "activation": {"module": "builtins", "class_name": "function", "config": "relu"}}},
    ],
)
def test_what_keras_itself_writes_is_plain(changes: dict[str, Any]) -> None:
    assert list(scan(_layer(**changes))) == []


def test_a_deeply_nested_configuration_ends_in_bounded_time(tmp_path: Path) -> None:
    config: dict[str, Any] = {"class_name": "Dense", "config": {"name": "leaf"}}
    for _ in range(200):
        config = {"class_name": "TimeDistributed", "config": {"name": "wrap", "layer": config}}
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
    assert refuse_code(path, detect_format(path), trust=False) == ()
