"""The example of published claims: its data can be learnt, its command starts, its README says what its results say."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLAIMS = Path(__file__).parent.parent.parent / "examples" / "claims"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's modules, whose names are too plain to stay importable."""
    monkeypatch.syspath_prepend(str(CLAIMS))
    names = ("data", "judge", "models", "table", "claims")
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    yield {name: importlib.import_module(name) for name in names}
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    found = json.loads((CLAIMS / "results.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["images", "words"])
def test_generated_data_are_the_same_each_time_and_have_every_class(parts: Any, name: str) -> None:
    make = parts["data"].SETS[name]
    first, second = make(300, 100), make(300, 100)
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert not np.array_equal(first["x_train"], make(300, 100, seed=9)["x_train"])
    assert [len(first[key]) for key in ("x_train", "y_train", "x_test", "y_test")] == [300, 300, 100, 100]
    classes = {"images": parts["data"].IMAGE_CLASSES, "words": parts["data"].WORD_CLASSES}[name]
    assert set(first["y_train"]) == set(range(classes))


def test_words_can_be_told_apart_by_their_mean_and_images_by_more_than_their_pixels(parts: Any) -> None:
    words = parts["data"].words(1500, 500)
    centres = np.stack([words["x_train"][words["y_train"] == label].mean(axis=0) for label in range(12)])
    distance = ((words["x_test"][:, None] - centres[None]) ** 2).sum(axis=(2, 3, 4))
    assert (distance.argmin(axis=1) == words["y_test"]).mean() > 0.35  # one in twelve by chance

    # stripes or checks: a class shows in how the pixels follow each other along both axes
    images = parts["data"].images(600, 1)
    grey = images["x_train"].astype(float).mean(axis=-1)
    rough = np.minimum(np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)), np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2)))
    checked = images["y_train"] >= 5
    assert rough[checked].mean() > 1.05 * rough[~checked].mean()


def test_the_command_says_what_it_does() -> None:
    said = subprocess.run(
        [sys.executable, CLAIMS / "claims.py", "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert said.returncode == 0, said.stderr
    assert "--only {int8,pruning,li-2017,distillation,speech}" in " ".join(said.stdout.split())


def test_the_results_have_every_claim_with_every_recipe(parts: Any, results: dict[str, Any]) -> None:
    assert list(results["claims"]) == list(parts["claims"].CLAIMS)
    for name, claim in parts["claims"].CLAIMS.items():
        found = results["claims"][name]
        assert list(found["variants"]) == list(claim.recipes()), name
        assert (found["title"], found["source"], found["published"]) == (claim.title, claim.source, claim.published)
        for label, variant in found["variants"].items():
            low, high = variant["score_ci95"]
            assert low <= variant["score"] <= high, (name, label)
            assert variant["full_integer"] == label.endswith("int8"), (name, label)
    images, words = (results["claims"][name]["variants"]["float32"]["score"] for name in ("int8", "speech"))
    assert min(images, words) >= 0.88
    assert max(images, words) <= 0.98  # else nothing could be lost


def test_the_verdicts_follow_from_the_figures(parts: Any, results: dict[str, Any]) -> None:
    for name, claim in parts["claims"].CLAIMS.items():
        assert parts["claims"].judged(claim, results["claims"][name]) == results["claims"][name], name


def test_the_readme_is_what_the_results_say(parts: Any, results: dict[str, Any]) -> None:
    assert (CLAIMS / "README.md").read_text() == parts["table"].readme(results)


def test_a_limit_within_the_interval_is_neither_held_nor_missed(parts: Any) -> None:
    judge = parts["judge"]
    before = {
        "size_bytes": 400,
        "gzip_bytes": 400,
        "latency_ns": 100.0,
        "latency_ci95_ns": (98.0, 102.0),
        "verdict": "valid",
    }
    after = {
        "size_bytes": 90,
        "gzip_bytes": 90,
        "latency_ns": 50.0,
        "latency_ci95_ns": (49.0, 51.0),
        "verdict": "valid",
    }

    def states(low: float, drop: float, high: float, **changed: Any) -> list[str]:
        small = {**after, "drop": drop, "drop_ci95": (low, high), **changed}
        return [check.state for check in judge.int8({"float32": before, "int8": small})]

    # size, size of the download, speed, score
    assert states(-0.1, 0.0, 0.28) == ["fell short", "fell short", "within the interval", "held"]
    assert states(0.1, 0.3, 0.5, size_bytes=80) == ["held", "fell short", "within the interval", "within the interval"]
    assert states(0.4, 0.5, 0.6, latency_ci95_ns=(46.0, 47.0))[2:] == ["held", "fell short"]
    assert states(-0.1, 0.0, 0.1, latency_ci95_ns=(40.0, 41.0))[2:] == ["beaten", "beaten"]
    bad = {**after, "drop": 0.5, "drop_ci95": (0.4, 0.6)}
    assert judge.verdict(judge.int8({"float32": before, "int8": bad}))["outcome"] == "fell short: size and score"


def test_an_unstable_measurement_is_called_that_where_its_ratio_stands(results: dict[str, Any]) -> None:
    for claim in results["claims"].values():
        shaken = {one["verdict"] for one in claim["variants"].values()} - {"valid"}
        for check in claim["checks"]:
            assert not re.search(r"unstable|invalid", check["here"]) or shaken
