"""The recipe for XNNPACK's sparse kernels: equal outputs, zeros where they count, the file's encoding, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from optimize_mobile import SIZE
from optimize_workshop import Workshop

from edgekit.core.errors import ModelError, UsageError
from edgekit.optimize import model_tree
from edgekit.optimize.sparse.rules import examine


def here(workshop: Workshop, function: str, **arguments: Any) -> Any:
    return workshop.call(f"tests.optimize.optimize_mobile:{function}", **arguments)


def made(workshop: Workshop, library: str, name: str, ending: str = ".keras", **options: Any) -> str:
    folder = workshop.folder / "mobile"
    folder.mkdir(exist_ok=True)
    return str(here(workshop, "make", folder=str(folder), library=library, name=name, ending=ending, **options))


def sparse(workshop: Workshop, source: str, **options: Any) -> dict[str, Any]:
    out = Path(source).with_stem(f"sparse-{Path(source).stem}")
    found: dict[str, Any] = workshop.call("sparse.xnnpack:xnnpack_sparse", source=source, out=str(out), **options)
    return found


def images(workshop: Workshop) -> dict[str, Any]:
    random = numpy.random.default_rng(1)
    labels = random.integers(0, 4, 64)
    x = random.integers(0, 60, (64, SIZE, SIZE, 3)) + labels[:, None, None, None] * 60
    path = workshop.folder / "mobile.npz"
    numpy.savez(path, x=x.astype("float32"), y=labels)
    return {"source": str(path)}


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("same", {}),
        ("stock", {"padding": "keras"}),
        ("average", {"head": "average-flatten"}),
        ("conv-head", {"head": "conv"}),
        ("nested", {}),
    ],
)
def test_the_rewritten_model_has_equal_outputs(
    workshop: Workshop, library: str, name: str, options: dict[str, str]
) -> None:
    source = made(workshop, library, name, **options)
    out = str(Path(source).with_stem(f"form-{Path(source).stem}"))
    changes = here(workshop, "rewritten", path=source, out=out)
    assert any("turned around" in change for change in changes)
    assert here(workshop, "difference", first=source, second=out) < 1e-6


def test_the_zeros_are_in_the_pointwise_convolutions_and_xnnpack_takes_the_file(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = made(workshop, "keras", "stock", padding="keras")
    before = Path(source).read_bytes()
    record = sparse(workshop, source, sparsity=0.8, data=images(workshop), tuning={"epochs": 2, "batch_size": 32})
    assert Path(source).read_bytes() == before
    assert [layer["name"] for layer in record["layers"]] == ["pointwise0", "pointwise1", "pointwise2"]
    assert record["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert len(record["losses"]) == 2
    export, out = str(tmp_path / "saved"), str(tmp_path / "sparse.tflite")
    workshop.call("export:export", source=record["path"], out=export)
    converted = workshop.call("sparse.convert:convert_sparse", saved_model=export, out=out, mode="float32")
    fit = examine(model_tree.read(Path(out)))
    assert fit.taken
    assert fit.encoded == 3
    assert fit.zeros == pytest.approx(0.8, abs=0.01)
    assert not converted["notices"]
    assert "DENSIFY" in {
        model_tree.op_name(model, op) for model in [model_tree.read(Path(out))] for op in model.subgraphs[0].operators
    }


def test_a_tf_keras_h5_stays_one(workshop: Workshop) -> None:
    record = sparse(workshop, made(workshop, "tf_keras", "same", ".h5"))
    assert record["path"].endswith(".h5")
    assert record["rebuilt_difference"] is None
    assert [notice["code"] for notice in record["notices"]] == ["not-fine-tuned"]


def test_the_sparse_kernels_are_not_promised_for_a_model_that_was_only_pruned(
    workshop: Workshop, tmp_path: Path
) -> None:
    source = made(workshop, "keras", "same")
    out = str(tmp_path / "pruned.keras")
    workshop.call("prune:prune", source=source, out=out, sparsity=0.8)
    workshop.call("export:export", source=out, out=str(tmp_path / "saved"))
    converted = workshop.call(
        "sparse.convert:convert_sparse", saved_model=str(tmp_path / "saved"), out=str(tmp_path / "m.tflite")
    )
    assert [notice["code"] for notice in converted["notices"]] == ["sparse-kernels-not-taken"]
    assert any("padded unequally" in note for note in converted["notes"])


def test_a_dense_model_is_not_stored_sparse(workshop: Workshop, tmp_path: Path) -> None:
    workshop.call("export:export", source=made(workshop, "keras", "same"), out=str(tmp_path / "saved"))
    with pytest.raises(ModelError, match="sparse enough"):
        workshop.call(
            "sparse.convert:convert_sparse", saved_model=str(tmp_path / "saved"), out=str(tmp_path / "m.tflite")
        )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("stride-1", {"stem": 1}, "stem, is 3×3 with stride 1 on 3 channels"),
        ("flatten", {"head": "flatten"}, "no global average pooling"),
        ("full", {"body": 3}, "pointwise0 is a 3×3 convolution"),
    ],
)
def test_what_stands_in_the_way_is_named(workshop: Workshop, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        sparse(workshop, made(workshop, "keras", name, **options))


def test_an_h5_of_keras_3_is_refused_with_the_way_around(workshop: Workshop) -> None:
    with pytest.raises(ModelError) as refused:
        sparse(workshop, made(workshop, "keras", "same", ".h5"))
    assert ".save(" in (refused.value.hint or "")


def test_too_few_zeros_are_refused(workshop: Workshop) -> None:
    with pytest.raises(UsageError, match="two thirds"):
        sparse(workshop, made(workshop, "keras", "same"), sparsity=0.5)


@pytest.mark.parametrize(("inputs", "units", "fits"), [(8, 4, True), (4, 16, False), (16, 1, False)])
def test_a_dense_layer_too_small_for_blocks_is_left_as_it_is(
    workshop: Workshop, inputs: int, units: int, fits: bool
) -> None:
    reason = here(workshop, "blocks", units=units, inputs=inputs)
    assert (reason == "") is fits
