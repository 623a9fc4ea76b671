"""What a run is asked for, and what it answers with where it ends in a trainable model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from edgekit.core import artifact as artifacts
from edgekit.core import files
from edgekit.core.artifact import Measured, Score, StepRecord, TensorSpec
from edgekit.core.errors import UsageError
from edgekit.core.notice import Notice
from edgekit.data.spec import DataChoice
from edgekit.optimize.budget import Budgets
from edgekit.optimize.recipe import Recipe

#: takes .tflite files, measures them side by side on a board
Probe: TypeAlias = Callable[[Sequence[Path]], Mapping[Path, Measured]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run of a recipe.

    Attributes:
        model: the file or folder to start from; it is never written.
        recipe: what to do.
        data: rows for the roles.
        output: the .tflite to write, its manifest beside it.
        metric: see :mod:`edgekit.optimize.score`.
        budgets: what the result may cost; steps back off until all hold.
        probe: measures on a board; None: nothing is measured.
        target: ``abi`` and ``device`` of that board, for forecasts.
        ablate: make the result again without each of its steps, to tell what each one paid.
        uint8_input: take the preprocessing into the model, so that it is fed bytes.
        allow_float_fallback: accept float ops where full-integer was asked for.
        trust: allow code inside the model file.
        custom: ``module:name`` of the user's own layers.
        reuse: take finished steps from the cache.
    """

    model: Path
    recipe: Recipe
    data: DataChoice
    output: Path
    metric: str = "auto"
    budgets: Budgets = field(default_factory=Budgets)
    probe: Probe | None = None
    target: Mapping[str, str | None] | None = None
    ablate: bool = False
    uint8_input: bool = False
    allow_float_fallback: bool = False
    trust: bool = False
    custom: tuple[str, ...] = ()
    reuse: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trainable model that a run ended with, before any quantization.

    Attributes:
        path: the file, of the kind that was given.
        format: ``keras`` or ``h5``.
        steps, score, inputs, outputs, notices: as in a manifest.
    """

    path: Path
    format: str
    sha256: str
    size_bytes: int
    gzip_bytes: int
    steps: tuple[StepRecord, ...]
    score: Score | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    notices: tuple[Notice, ...]


def check(request: Request) -> None:
    """What can be refused before any work.

    Raises:
        UsageError: the output cannot be written; data or a board are missing.
    """
    if request.output.resolve() == request.model.resolve():
        raise UsageError(f"the output {request.output} is the source itself", hint="choose another place with -o")
    files.check_writable(request.output)
    files.check_writable(artifacts.manifest_path(request.output))
    choice = request.data
    for spec in (choice.data, choice.representative, choice.evaluation, choice.training):
        if spec is not None:
            spec.kind()  # raises where there is no such source
    if request.recipe.calibrates and not (choice.data or choice.representative):
        raise UsageError(
            f"{request.recipe.mode} needs data to calibrate with, and there are none",
            hint="give --data FILE (all roles), or --representative FILE and --evaluation FILE",
        )
    if request.budgets.max_drop is not None and not (choice.data or choice.evaluation):
        raise UsageError(
            "--max-drop needs rows to score with, and there are none",
            hint="name them with --data or --evaluation, or leave --max-drop out",
        )
    if request.budgets.needs_device and request.probe is None:
        raise UsageError(
            "--max-latency and --max-memory are judged on a board, and none is named",
            hint="name it: --device NAME (`edgekit devices list`); --device local is this machine",
        )
