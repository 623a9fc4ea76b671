"""The digits classifier that runs of the pipeline are made of, and what tests ask of its artifacts."""

from __future__ import annotations

from pathlib import Path

import numpy

from edgekit.core.artifact import Artifact, Manifest
from edgekit.verbs.demo import example_folder

DIGITS = example_folder() / "digits.keras"
ROWS = example_folder() / "digits.npz"
PRUNE_INT8 = """
[[steps]]
step = "prune"
sparsity = 0.5
epochs = 0

[[steps]]
step = "quantize"
mode = "int8"
"""


def manifest(artifact: Artifact) -> Manifest:
    assert artifact.manifest is not None
    return artifact.manifest


def cached(artifact: Artifact) -> dict[str, bool]:
    return {step.name: step.cached for step in manifest(artifact).steps}


def recipe_file(folder: Path, text: str = PRUNE_INT8) -> str:
    (folder / "own.toml").write_text(text)
    return str(folder / "own.toml")


def too_dark(folder: Path) -> str:
    """Rows with values 0..1 for a model that takes 0..16: what a wrong scale does."""
    numpy.save(folder / "dark.npy", numpy.load(ROWS)["x_train"][:150].astype("float32") / 16)
    return str(folder / "dark.npy")
