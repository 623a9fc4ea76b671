"""optimize: from a trained model to a small one; and what its steps will buy, before they are carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.optimize.forecast.records import Forecast
    from edgekit.optimize.passes.calibration_curve import CalibrationCurve
    from edgekit.optimize.recipe import Recipe
    from edgekit.verbs.boards import Reach


def optimize(
    model: str | PathLike[str],
    *,
    data: str | None = None,
    representative: str | None = None,
    evaluation: str | None = None,
    training: str | None = None,
    scale: str | float | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
    preprocess: str | None = None,
    recipe: str | PathLike[str] | Recipe = "int8",
    output: str | PathLike[str] | None = None,
    metric: str = "auto",
    max_drop: float | None = None,
    max_size: str | int | None = None,
    max_latency: str | float | None = None,
    max_memory: str | int | None = None,
    device: str | None = None,
    num_threads: int | None = None,
    reach: Reach | None = None,
    ablate: bool = False,
    uint8_input: bool = False,
    allow_float_fallback: bool = False,
    trust_model: bool = False,
    custom: Sequence[str] = (),
    use_cache: bool = True,
    on_event: EventSink = ignore,
) -> Artifact:
    """Carries out a recipe on a trained model and writes a ``.tflite`` with its manifest.

    Args:
        model: Keras 3 or tf_keras ``.keras``/``.h5``, a SavedModel folder, or a float ``.tflite``. Never written.
        data: dataset for all roles; ``representative`` (calibrates), ``evaluation`` (scores) and ``training``
            (fine-tunes) may have their own. Paths, or ``module:function``.
        scale, mean, std, preprocess: preprocessing of the raw values; see
            :class:`edgekit.data.spec.Preprocessing`.
        recipe: a built-in name, a TOML file, or a :class:`~edgekit.optimize.recipe.Recipe`.
        output: the .tflite; default ``MODEL-RECIPE.tflite`` in the current folder.
        metric: ``auto``, ``top-1``, ``top-5``, ``mse``, ``mae``, ``auc``, ``agreement`` or ``module:function``.
        max_drop: percentage points of the score that may be lost.
        max_size: of the .tflite: bytes, or ``200kB``.
        max_latency: median on ``device``: milliseconds, or ``800us``.
        max_memory: peak resident memory on ``device``: bytes, or ``30MB``.
        device: board that measures latency and memory after each step (three processes each: indicative); None: none.
        num_threads: of its interpreter; default: what the board's profile says.
        reach: see :func:`edgekit.benchmark`.
        ablate: make the result again without each of its steps, to tell what each one paid.
        uint8_input: take the preprocessing of the data into the model, so that an app feeds camera bytes (0 to 255).
        allow_float_fallback: accept float ops where full-integer was asked for.
        trust_model: run code inside the model file.
        custom: ``module:name`` of the layers, losses and activations of your own that the model uses.
        use_cache: take finished steps from the cache.
        on_event: hears of the progress.

    Raises:
        UsageError, DependencyError, ModelError, DataError: see there.
        BudgetError: no strength of the recipe holds all budgets.
    """
    from edgekit.optimize import pipeline
    from edgekit.optimize.budget import Budgets
    from edgekit.verbs.probing import forecast_target, probe
    from edgekit.verbs.requests import recipe_of, request_of

    request = request_of(
        model,
        recipe_of(recipe),
        output,
        {"data": data, "representative": representative, "evaluation": evaluation, "training": training},
        {"scale": scale, "mean": mean, "std": std, "preprocess": preprocess},
        metric=metric,
        budgets=Budgets(max_drop=max_drop, **_limits(max_size, max_latency, max_memory)),
        probe=None if device is None else probe(device, num_threads, reach, on_event),
        target=None if device is None else forecast_target(device, reach),
        ablate=ablate,
        uint8_input=uint8_input,
        allow_float_fallback=allow_float_fallback,
        trust=trust_model,
        custom=tuple(custom),
        reuse=use_cache,
    )
    return pipeline.run(request, on_event)


def forecast(
    model: str | PathLike[str],
    *,
    recipe: str | PathLike[str] | Recipe = "int8",
    device: str | None = None,
    reach: Reach | None = None,
    trust_model: bool = False,
    custom: Sequence[str] = (),
    use_cache: bool = True,
    on_event: EventSink = ignore,
) -> tuple[Forecast, ...]:
    """What each step of a recipe will buy, before anything is trained: size, download, work, latency, memory.

    Args:
        model, recipe, trust_model, custom, use_cache, on_event: see :func:`optimize`.
        device: the board that latency is forecast for; None: latency stays unknown where it depends on the board.
        reach: see :func:`edgekit.benchmark`.

    Raises:
        EdgekitError: see :func:`optimize`.
    """
    from pathlib import Path

    from edgekit.optimize import pipeline
    from edgekit.verbs.probing import forecast_target
    from edgekit.verbs.requests import recipe_of

    return pipeline.forecast(
        Path(model),
        recipe_of(recipe),
        None if device is None else forecast_target(device, reach),
        trust=trust_model,
        custom=tuple(custom),
        reuse=use_cache,
        on_event=on_event,
    )


def calibration_curve(
    model: str | PathLike[str],
    *,
    data: str | None = None,
    representative: str | None = None,
    training: str | None = None,
    mode: str = "int8",
    scale: str | float | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
    preprocess: str | None = None,
    metric: str = "auto",
    trust_model: bool = False,
    custom: Sequence[str] = (),
    use_cache: bool = True,
    on_event: EventSink = ignore,
) -> CalibrationCurve:
    """How many representative rows are enough: int8 made with the ranges of 1, 4, 16, … and all of them.

    Args:
        model, data, representative, training, …: see :func:`optimize`; the models are compared on training rows.
        mode: ``int8`` or ``int8-float-io``.

    Raises:
        EdgekitError: see :func:`optimize`.
    """
    import dataclasses
    import tempfile
    from pathlib import Path

    from edgekit.optimize import pipeline
    from edgekit.optimize.recipe import for_step
    from edgekit.optimize.steps import QuantizeStep
    from edgekit.verbs.requests import request_of, step_of

    # selective: the step that wants rows to compare on
    step = step_of(QuantizeStep, {"mode": mode, "selective": True}, "calibration curve")
    recipe = dataclasses.replace(for_step(step), name="calibration-curve")
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:  # nothing is written there
        request = request_of(
            model,
            recipe,
            Path(folder) / "none.tflite",
            {"data": data, "representative": representative, "evaluation": None, "training": training},
            {"scale": scale, "mean": mean, "std": std, "preprocess": preprocess},
            metric=metric,
            trust=trust_model,
            custom=tuple(custom),
            reuse=use_cache,
        )
        return pipeline.calibration_curve(request, on_event)


def _limits(size: str | int | None, latency: str | float | None, memory: str | int | None) -> dict[str, int | None]:
    from edgekit.core.units import parse_duration, parse_size

    return {
        "max_size_bytes": None if size is None else parse_size(size, name="--max-size"),
        "max_latency_ns": None if latency is None else parse_duration(latency, name="--max-latency"),
        "max_memory_bytes": None if memory is None else parse_size(memory, name="--max-memory"),
    }
