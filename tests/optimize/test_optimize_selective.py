"""Finding the layers that break in int8, and keeping as few as needed out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from optimize_broken import broken_models
from optimize_litert import ops, run
from optimize_workshop import TIME_LIMIT_S, Workshop

from edgekit.core.child import Child
from edgekit.core.errors import UsageError
from edgekit.optimize import model_tree

SELECT = "edgekit.optimize.selective.quantize:quantize_selectively"


@pytest.fixture(scope="module")
def broken(workshop: Workshop) -> Path:
    return broken_models(workshop)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with Child(log=tmp_path_factory.mktemp("light") / "log.txt", purpose="quantization") as child:
        yield child


@pytest.fixture(params=["tensorflow", "ai-edge-quantizer"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def data(folder: Path, part: str, rows: int | None = None) -> dict[str, Any]:
    return {"source": str(folder / "broken.npz"), "part": part, "rows": None if rows is None else list(range(rows))}


def selected(
    workshop: Workshop, light: Child, folder: Path, kind: str, engine: str, **options: Any
) -> tuple[dict[str, Any], Path]:
    out = folder / f"{kind}-{engine}-{options.get('keep_as', 'float32')}.tflite"
    arguments = {
        "float_model": str(folder / f"{kind}.tflite"),
        "out": str(out),
        "mode": "int8",
        "representative": data(folder, "train", 200),
        "search": data(folder, "train"),
        "max_drop": 0.5,
        **options,
    }
    child = workshop.child if engine == "tensorflow" else light
    return child.call(SELECT, time_limit_s=TIME_LIMIT_S, **arguments), out


def accuracy(folder: Path, model: Path) -> float:
    arrays = numpy.load(folder / "broken.npz")
    (found,) = run(model, {"x": arrays["x_test"]}, 400).values()
    return float((found.argmax(axis=1) == arrays["y_test"]).mean())


def names(answer: dict[str, Any]) -> set[str]:
    return {item["name"] for item in answer["kept"]}


def test_a_model_that_int8_holds_is_left_in_int8_throughout(
    workshop: Workshop, light: Child, broken: Path, engine: str
) -> None:
    answer, out = selected(workshop, light, broken, "healthy", engine)
    assert answer["quantizer"] == engine
    assert (answer["kept"], answer["met"], answer["ranking"]) == ([], True, [])
    assert "no layer has to stay out of int8" in answer["notes"][0]
    assert "QUANTIZE" not in ops(out)


def test_the_plain_result_is_the_file_that_plain_int8_gives(workshop: Workshop, light: Child, broken: Path) -> None:
    _, out = selected(workshop, light, broken, "healthy", "tensorflow")
    plain = broken / "plain.tflite"
    workshop.call(
        "quantize:quantize", float_model=str(broken / "healthy.tflite"), out=str(plain), mode="int8",
        representative=data(broken, "train", 200),
    )  # fmt: skip
    assert out.read_bytes() == plain.read_bytes()


def test_an_activation_that_int8_cannot_hold_keeps_its_maker_and_its_taker(
    workshop: Workshop, light: Child, broken: Path, engine: str
) -> None:
    answer, out = selected(workshop, light, broken, "outlier", engine)
    assert names(answer) == {"pointwise", "squash"}
    assert accuracy(broken, broken / "outlier.tflite") - accuracy(broken, out) <= 0.01
    assert answer["plain"]["drop"] > 50
    assert answer["met"]
    assert [item["name"] for item in answer["ranking"][:2]] == ["pointwise", "squash"]
    assert answer["islands"]["conversions"] == 2
    assert 0.3 < answer["islands"]["macs_share"] < 0.4


def test_only_what_is_needed_is_kept(workshop: Workshop, light: Child, broken: Path, engine: str) -> None:
    answer, out = selected(workshop, light, broken, "offset", engine)
    assert names(answer) == {"scores"}
    assert answer["kept"][0]["drop_without"] > 5
    model = model_tree.read(out)
    kinds = {
        model_tree.op_name(model, op): model_tree.dtype(model.subgraphs[0].tensors[int(op.outputs[0])])
        for op in model.subgraphs[0].operators
    }
    assert (kinds["SOFTMAX"], kinds["CONV_2D"]) == ("float32", "int8")
    assert [spec["dtype"] for spec in answer["inputs"] + answer["outputs"]] == ["int8", "int8"]
    assert accuracy(broken, out) >= 0.98


def test_layers_can_be_kept_in_16_bits_between_int8_ones(workshop: Workshop, light: Child, broken: Path) -> None:
    answer, out = selected(workshop, light, broken, "outlier", "tensorflow", keep_as="int16")
    assert answer["quantizer"] == "ai-edge-quantizer"
    assert any("cannot mix 16-bit layers" in note for note in answer["notes"])
    model = model_tree.read(out)
    types = {model_tree.dtype(model.subgraphs[0].tensors[int(op.outputs[0])]) for op in model.subgraphs[0].operators}
    assert types == {"int8", "int16"}
    assert accuracy(broken, out) >= 0.98


def test_what_16_bits_cannot_mend_is_said(workshop: Workshop, light: Child, broken: Path) -> None:
    answer, _ = selected(workshop, light, broken, "offset", "ai-edge-quantizer", keep_as="int16")
    assert answer["met"] is False
    (notice,) = [item for item in answer["notices"] if item["code"] == "max-drop-missed"]
    assert "with every layer in int16" in notice["message"]
    assert "float32" in notice["hint"]


def test_named_layers_are_kept_without_a_search(workshop: Workshop, light: Child, broken: Path) -> None:
    answer, _ = selected(workshop, light, broken, "outlier", "tensorflow", keep=["squash", "CONV_*"])
    assert names(answer) == {"first", "pointwise", "squash"}
    assert {item["reason"] for item in answer["kept"]} == {"named by the user"}
    assert answer["met"] is None
    assert len(answer["tried"]) == 2


def test_a_misspelt_layer_is_an_error_with_the_nearest_name(workshop: Workshop, light: Child, broken: Path) -> None:
    with pytest.raises(UsageError, match="unknown layer 'pointwize'") as caught:
        selected(workshop, light, broken, "outlier", "tensorflow", keep=["pointwize"])
    assert "did you mean 'pointwise'" in str(caught.value.hint)


def test_without_labels_agreement_with_the_float_model_decides(workshop: Workshop, light: Child, broken: Path) -> None:
    numpy.savez(broken / "bare.npz", x=numpy.load(broken / "broken.npz")["x_train"])
    answer, _ = selected(
        workshop, light, broken, "outlier", "ai-edge-quantizer", search={"source": str(broken / "bare.npz")}
    )
    assert answer["metric"] == "agreement"
    assert names(answer) == {"pointwise", "squash"}


def test_rows_that_calibrated_are_not_searched_with(workshop: Workshop, light: Child, broken: Path) -> None:
    answer, _ = selected(workshop, light, broken, "healthy", "tensorflow")
    assert answer["rows"] == 200
    answer, _ = selected(workshop, light, broken, "healthy", "tensorflow", search=None)
    assert {item["code"] for item in answer["notices"]} == {"search-on-calibration-rows"}


def test_a_drop_that_the_rows_cannot_show_is_noticed(workshop: Workshop, light: Child, broken: Path) -> None:
    answer, _ = selected(workshop, light, broken, "healthy", "tensorflow", max_drop=0.1)
    assert "one of the 200 search rows is 0.50 pp" in answer["notices"][0]["message"]


def test_a_cheaper_cure_leaves_nothing_to_keep(workshop: Workshop, light: Child, broken: Path) -> None:
    answer, out = selected(workshop, light, broken, "channels", "tensorflow")
    assert len(answer["kept"]) >= 2
    assert "much-out-of-int8" in {item["code"] for item in answer["notices"]}
    answer, out = selected(workshop, light, broken, "channels", "tensorflow", equalize=True)
    assert answer["kept"] == []
    assert accuracy(broken, out) >= 0.98
