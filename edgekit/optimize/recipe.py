"""Recipes: named lists of steps with all their parameters; built in, or a TOML file of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core import decode
from edgekit.core.errors import UsageError
from edgekit.core.suggest import unknown
from edgekit.optimize.steps import (
    CALIBRATED,
    STEPS,
    BatchNormStep,
    ClusterStep,
    DistillStep,
    FiltersStep,
    Mode,
    PruneStep,
    QatStep,
    QuantizeStep,
    SparseStep,
    Step,
)
from edgekit.optimize.tuning import FineTuning


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Steps in order; the last one makes the .tflite.

    Attributes:
        name: of a built-in recipe, or of the file.
        description: what it is for.
        buys: what it buys, and where.
        steps: at least one; exactly one ``quantize`` or ``qat``, at the end.
    """

    name: str
    description: str
    buys: str = ""
    steps: tuple[Step, ...]

    @property
    def mode(self) -> Mode:
        """The numeric mode of the result; float32 while nothing quantizes."""
        last = self.steps[-1]
        return last.mode if isinstance(last, (QuantizeStep, QatStep)) else "float32"

    @property
    def trains(self) -> bool:
        """Whether a step needs training rows: it fine-tunes, or gathers statistics."""
        return any(
            isinstance(step, BatchNormStep) or (isinstance(step, FineTuning) and step.trains) for step in self.steps
        )

    @property
    def searches(self) -> bool:
        """Whether a step looks for the layers that lose the accuracy, for which rows with labels are better."""
        return any(isinstance(step, QuantizeStep) and step.selective for step in self.steps)

    @property
    def calibrates(self) -> bool:
        """Whether the mode needs a representative dataset."""
        return self.mode in CALIBRATED

    @property
    def keeps_float(self) -> bool:
        """Whether the result may have float layers although its mode is full-integer."""
        last = self.steps[-1]
        return isinstance(last, QuantizeStep) and last.keeps_float

    @property
    def needs(self) -> str:
        """``nothing``, ``data``, ``data with labels``, ``a Keras model, data with labels``."""
        training = [step for step in self.steps if isinstance(step, FineTuning) and step.trains]
        if any(step.fine_tune == "labels" for step in training):
            return "a Keras model; data with labels"
        if training:
            return "a Keras model; data (labels help)"
        if self.trains:
            return "a Keras model; data"
        return "data" if self.calibrates else "nothing"


def _builtin(name: str, description: str, buys: str, *steps: Step) -> tuple[str, Recipe]:
    return name, Recipe(name=name, description=description, buys=buys, steps=steps)


_DOWNLOAD = "a smaller download (gzip); no latency, no memory beyond int8's"

BUILTIN: dict[str, Recipe] = dict(
    (
        _builtin(
            "int8",
            "full-integer int8",
            "a quarter of the size, 2 to 4 times the speed on CPUs with int8 instructions",
            QuantizeStep(mode="int8"),
        ),
        _builtin(
            "prune-int8",
            "half of the weights zeroed with fine-tuning, then int8",
            _DOWNLOAD,
            PruneStep(),
            QuantizeStep(mode="int8"),
        ),
        _builtin(
            "filters-int8",
            "whole filters removed with fine-tuning, then int8",
            "size, memory and latency on every runtime, beyond int8's",
            FiltersStep(ratio=0.5, scope="sensitivity", iterations=2),
            QuantizeStep(mode="int8"),
        ),
        _builtin(
            "cluster-int8",
            "16 weight values a layer with fine-tuning, then int8",
            _DOWNLOAD,
            ClusterStep(),
            QuantizeStep(mode="int8"),
        ),
        _builtin(
            "qat-int8",
            "quantization-aware training to int8: where plain int8 loses too much",
            "int8's size and speed with less loss of accuracy",
            QatStep(),
        ),
        _builtin(
            "pqat-int8",
            "pruned, then quantization-aware training that keeps the zeros",
            _DOWNLOAD,
            PruneStep(),
            QatStep(preserve="sparsity"),
        ),
        _builtin(
            "cqat-int8",
            "clustered, then quantization-aware training that keeps the clusters",
            _DOWNLOAD,
            ClusterStep(),
            QatStep(preserve="clusters"),
        ),
        _builtin(
            "pcqat-int8",
            "pruned, clustered, then quantization-aware training that keeps both",
            "the smallest download; no latency, no memory beyond int8's",
            PruneStep(),
            ClusterStep(preserve_sparsity=True),
            QatStep(preserve="both"),
        ),
        _builtin(
            "distill-int8",
            "a model of half the width learns from the original, then int8",
            "size, memory and latency on every runtime, beyond int8's; longer training",
            DistillStep(),
            QuantizeStep(mode="int8"),
        ),
        _builtin(
            "filters-distill-int8",
            "filters removed, fine-tuned on the original's outputs, then int8",
            "as filters-int8, and it works without labels",
            FiltersStep(ratio=0.5, scope="sensitivity", iterations=2, fine_tune="distill"),
            QuantizeStep(mode="int8"),
        ),
        _builtin(
            "selective-int8",
            "int8 with as few layers as needed left in float",
            "most of int8's size and speed where plain int8 loses too much; needs no training",
            QuantizeStep(mode="int8", selective=True),
        ),
        _builtin(
            "int16x8",
            "int8 weights, int16 activations: where int8 loses too much",
            "a quarter of the size; slower than float on CPUs, where it has few fast kernels",
            QuantizeStep(mode="int16x8"),
        ),
        _builtin(
            "dynamic",
            "int8 weights, float activations",
            "a quarter of the size; faster for dense layers, slower than float for depthwise ones",
            QuantizeStep(mode="dynamic"),
        ),
        _builtin(
            "float16",
            "float16 weights, the accuracy of float",
            "half the size; latency of float on CPUs, faster on GPUs",
            QuantizeStep(mode="float16"),
        ),
        _builtin("float32", "a plain conversion", "nothing: the baseline", QuantizeStep(mode="float32")),
        _builtin(
            "xnnpack-sparse",
            "four fifths of the weights of 1×1 convolutions zero, in the form that XNNPACK has sparse kernels for",
            "latency in float on ARM with LiteRT, for MobileNet-like models; not in int8, not on x86",
            SparseStep(),
            QuantizeStep(mode="float32", sparse=True),
        ),
    )
)


def load_recipe(name: str) -> Recipe:
    """A built-in recipe by name, or one from a TOML file (a name that ends in ``.toml``).

    Raises:
        UsageError: unknown name (with the nearest one), or a file that is not a recipe.
    """
    if name in BUILTIN:
        return BUILTIN[name]
    if name.endswith(".toml"):
        return _from_file(Path(name))
    message, hint = unknown("recipe", name, BUILTIN)
    raise UsageError(message, hint=f"{hint}; or a file: --recipe my-recipe.toml")


def for_step(step: Step) -> Recipe:
    """The recipe of one step alone."""
    name = step.mode if isinstance(step, QuantizeStep) else step.step
    return Recipe(name=name, description=f"{step.step} alone", steps=(step,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    steps: tuple[dict[str, Any], ...]
    name: str = ""
    description: str = ""


def _from_file(path: Path) -> Recipe:
    from edgekit.core.toml import read_toml

    given = decode.from_json(_File, read_toml(path), source=str(path))
    steps = tuple(_step(table, f"{path} at steps[{index}]") for index, table in enumerate(given.steps))
    _check_order(steps, str(path))
    return Recipe(name=given.name or path.stem, description=given.description or f"from {path.name}", steps=steps)


def _step(table: dict[str, Any], source: str) -> Step:
    kind = table.get("step")
    if not isinstance(kind, str):
        raise UsageError(f"{source}: the key 'step' is missing", hint=f"known steps: {', '.join(STEPS)}")
    if kind not in STEPS:
        message, hint = unknown("step", kind, STEPS)
        raise UsageError(f"{source}: {message}", hint=hint)
    try:
        return decode.from_json(STEPS[kind], table, source=source)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None


def _check_order(steps: tuple[Step, ...], source: str) -> None:
    last = [index for index, step in enumerate(steps) if isinstance(step, (QuantizeStep, QatStep))]
    if last != [len(steps) - 1]:
        raise UsageError(
            f"{source}: a recipe ends with exactly one 'quantize' or 'qat' step, and has it only there",
            hint='end the file with:  [[steps]]  step = "quantize"  mode = "int8"',
        )
