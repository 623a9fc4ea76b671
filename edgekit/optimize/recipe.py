"""Recipes: named lists of steps with all their parameters; built in, or a TOML file of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgekit.core import decode
from edgekit.core.errors import UsageError
from edgekit.core.suggest import unknown

Mode = Literal["int8", "int8-float-io", "int16x8", "dynamic", "float16", "float32"]
Pattern = Literal["unstructured", "block", "2:4", "filters"]

MODES: tuple[Mode, ...] = ("int8", "int8-float-io", "int16x8", "dynamic", "float16", "float32")
CALIBRATED: frozenset[Mode] = frozenset({"int8", "int8-float-io", "int16x8"})


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, found {value:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneStep:
    """Magnitude pruning with a polynomial schedule and fine-tuning.

    Attributes:
        sparsity: final fraction of zeros in every pruned layer, 0 to below 1.
        initial_sparsity: where the schedule begins.
        pattern: unstructured, block (dense layers only), 2:4.
        epochs: of fine-tuning; the sparsity is reached at half of them.
        batch_size: rows per training step.
        optimizer: ``adam`` or ``sgd``.
        learning_rate: of the optimizer.
        loss: Keras's name for a loss; None: the model's own, or the one that fits its output and the labels.
        seed: of the shuffling and of every random layer.
    """

    step: Literal["prune"] = "prune"
    sparsity: float = 0.5
    initial_sparsity: float = 0.0
    pattern: Pattern = "unstructured"
    epochs: int = 4
    batch_size: int = 64
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    loss: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _between("sparsity", self.sparsity, 0.0, 0.99)
        _between("initial_sparsity", self.initial_sparsity, 0.0, self.sparsity)
        _between("epochs", self.epochs, 0, 10_000)
        _between("batch_size", self.batch_size, 1, 1 << 20)
        _between("learning_rate", self.learning_rate, 1e-9, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeStep:
    """Conversion to a .tflite of one numeric mode.

    Attributes:
        mode: ``int8`` (integer inputs and outputs too), ``int8-float-io``, ``int16x8``, ``dynamic``, ``float16``,
            ``float32``.
    """

    step: Literal["quantize"] = "quantize"
    mode: Mode = "int8"


Step = PruneStep | QuantizeStep
_STEPS: dict[str, type[PruneStep] | type[QuantizeStep]] = {"prune": PruneStep, "quantize": QuantizeStep}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Steps in order; the last one makes the .tflite.

    Attributes:
        name: of a built-in recipe, or of the file.
        description: what it is for.
        steps: at least one; exactly one ``quantize``, at the end.
    """

    name: str
    description: str
    steps: tuple[Step, ...]

    @property
    def mode(self) -> Mode:
        """The numeric mode of the result; float32 while nothing quantizes."""
        last = self.steps[-1]
        return last.mode if isinstance(last, QuantizeStep) else "float32"

    @property
    def trains(self) -> bool:
        """Whether a step fine-tunes weights, so that training rows are wanted."""
        return any(isinstance(step, PruneStep) and step.epochs > 0 for step in self.steps)

    @property
    def calibrates(self) -> bool:
        """Whether the mode needs a representative dataset."""
        return self.mode in CALIBRATED


def _builtin(name: str, description: str, *steps: Step) -> tuple[str, Recipe]:
    return name, Recipe(name=name, description=description, steps=steps)


BUILTIN: dict[str, Recipe] = dict(
    (
        _builtin("int8", "full-integer int8: smallest and fastest on CPUs; needs data", QuantizeStep(mode="int8")),
        _builtin(
            "prune-int8",
            "half of the weights zeroed with fine-tuning, then int8: smaller download, no lower latency; needs labels",
            PruneStep(),
            QuantizeStep(mode="int8"),
        ),
        _builtin(
            "int16x8",
            "int8 weights, int16 activations: where int8 loses too much; few fast kernels, so slow; needs data",
            QuantizeStep(mode="int16x8"),
        ),
        _builtin(
            "dynamic",
            "int8 weights, float activations: a quarter of the size; needs no data, can be slower than float",
            QuantizeStep(mode="dynamic"),
        ),
        _builtin("float16", "float16 weights: half the size, the accuracy of float", QuantizeStep(mode="float16")),
        _builtin("float32", "a plain conversion: the baseline", QuantizeStep(mode="float32")),
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


def for_mode(mode: Mode) -> Recipe:
    """The recipe that only converts to ``mode``."""
    return Recipe(name=mode, description=f"conversion to {mode}", steps=(QuantizeStep(mode=mode),))


def parameters(step: Step) -> dict[str, Any]:
    """A step's parameters as JSON values, without its name."""
    return {key: value for key, value in decode.to_json(step).items() if key != "step"}


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
        raise UsageError(f"{source}: the key 'step' is missing", hint=f"known steps: {', '.join(_STEPS)}")
    if kind not in _STEPS:
        message, hint = unknown("step", kind, _STEPS)
        raise UsageError(f"{source}: {message}", hint=hint)
    try:
        return decode.from_json(_STEPS[kind], table, source=source)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None


def _check_order(steps: tuple[Step, ...], source: str) -> None:
    last = [index for index, step in enumerate(steps) if isinstance(step, QuantizeStep)]
    if last != [len(steps) - 1]:
        raise UsageError(
            f"{source}: a recipe ends with exactly one 'quantize' step, and has it only there",
            hint='end the file with:  [[steps]]  step = "quantize"  mode = "int8"',
        )
