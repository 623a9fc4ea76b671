"""Calibrating with rows of the wrong scale converts without any error and ruins the model: the budget notices."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy
import pytest
from cli_run import left_behind, refused


@pytest.fixture
def wrong_scale(example: Path) -> list[str]:
    """Options of a user who calibrates with rows that were not divided by 255, and scores with rows that were."""
    arrays = numpy.load(example / "digits.npz")
    numpy.savez(example / "raw.npz", x=arrays["x_train"][:200] * 255.0, y=arrays["y_train"][:200])
    numpy.savez(example / "scaled.npz", x=arrays["x_test"], y=arrays["y_test"])
    (example / "edgekit.toml").unlink()
    return ["--representative", "raw.npz", "--evaluation", "scaled.npz", "--recipe", "int8", "-o", "out/model.tflite"]


def test_the_wrong_scale_ends_in_exit_7_and_keeps_and_names_every_file(edgekit, example, wrong_scale):
    ran = edgekit("optimize", "digits.keras", *wrong_scale, "--max-drop", "0.5", "--json")
    assert ran.status == 7, ran.err
    assert (ran.error["class"], ran.error["exit_code"]) == ("BudgetError", 7)
    assert "--scale" in ran.error["hint"]
    assert ran.document["score"]["drop"] > 0.5
    assert {"metric", "float", "final", "drop", "count"} <= set(ran.document["score"])
    steps = {entry["step"]: Path(entry["path"]) for entry in ran.document["files"]}
    assert list(steps) == ["float32", "quantize"]
    for name, path in steps.items():
        assert path.is_file()
        audit = edgekit("audit", path, "--json").document["audit"]
        assert audit["full_integer"] is (name == "quantize")
    assert left_behind(example / "out") == []
    plain = edgekit("optimize", "digits.keras", *wrong_scale, "--max-drop", "0.5")
    refused(plain, 7, "top-1 dropped by", "--max-drop 0.5")


def test_an_earlier_result_stays_as_it_was(edgekit, example, wrong_scale):
    good = edgekit("optimize", "digits.keras", "--data", "digits.npz", "-o", "out/model.tflite", "--max-drop", "1")
    assert good.status == 0, good.err
    before = {path.name: hashlib.sha256(path.read_bytes()).digest() for path in (example / "out").iterdir()}
    assert edgekit("optimize", "digits.keras", *wrong_scale, "--max-drop", "0.5").status == 7
    assert {path.name: hashlib.sha256(path.read_bytes()).digest() for path in (example / "out").iterdir()} == before


def test_without_a_budget_the_loss_is_shown(edgekit, wrong_scale):
    ran = edgekit("optimize", "digits.keras", *wrong_scale, "--json")
    assert ran.status == 0, ran.err
    assert ran.document["score"]["drop"] > 0.5
    assert "range-differs" in {warning["code"] for warning in ran.document["warnings"]}


def test_the_budget_of_the_project_file_counts_for_deploy(edgekit, example, wrong_scale):
    (example / "edgekit.toml").write_text(
        'model = "digits.keras"\nrepresentative = "raw.npz"\nevaluation = "scaled.npz"\noutput = "out/model.tflite"\n'
        "[budget]\nmax_drop = 0.5\n"
    )
    refused(edgekit("deploy", "--no-benchmark"), 7, "top-1 dropped by")
    assert left_behind(example / "out") == []
