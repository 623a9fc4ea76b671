"""optimize, prune, quantize, convert: from a trained model to a small one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.optimize.pipeline import Request, Trained
    from edgekit.optimize.recipe import Recipe


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
    allow_float_fallback: bool = False,
    trust_model: bool = False,
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
        allow_float_fallback: accept float ops where full-integer was asked for.
        trust_model: run code inside the model file.
        use_cache: take finished steps from the cache.
        on_event: hears of the progress.

    Raises:
        UsageError, DependencyError, ModelError, DataError: see there.
        BudgetError: the score dropped by more than ``max_drop``.
    """
    from edgekit.optimize import pipeline

    request = _request(
        model,
        _recipe(recipe),
        output,
        {"data": data, "representative": representative, "evaluation": evaluation, "training": training},
        {"scale": scale, "mean": mean, "std": std, "preprocess": preprocess},
        metric=metric,
        max_drop=max_drop,
        allow_float_fallback=allow_float_fallback,
        trust=trust_model,
        reuse=use_cache,
    )
    return pipeline.run(request, on_event)


def quantize(model: str | PathLike[str], *, mode: str = "int8", **options: Any) -> Artifact:
    """Converts to one numeric mode: ``int8``, ``int8-float-io``, ``int16x8``, ``dynamic``, ``float16``, ``float32``.

    Takes the options of :func:`optimize` but ``recipe``.
    """
    from edgekit.core.errors import UsageError
    from edgekit.core.suggest import unknown
    from edgekit.optimize.recipe import MODES, for_mode

    if mode not in MODES:
        message, hint = unknown("mode", mode, MODES)
        raise UsageError(message, hint=hint)
    return optimize(model, recipe=for_mode(mode), **options)


def convert(model: str | PathLike[str], **options: Any) -> Artifact:
    """Converts to a float32 ``.tflite``. Takes the options of :func:`optimize` but ``recipe``."""
    return quantize(model, mode="float32", **options)


def prune(
    model: str | PathLike[str],
    *,
    data: str | None = None,
    training: str | None = None,
    evaluation: str | None = None,
    scale: str | float | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
    preprocess: str | None = None,
    output: str | PathLike[str] | None = None,
    metric: str = "auto",
    max_drop: float | None = None,
    trust_model: bool = False,
    use_cache: bool = True,
    on_event: EventSink = ignore,
    **parameters: Any,
) -> Trained:
    """Sets the smallest weights to zero with fine-tuning and writes a model of the kind that was given.

    Args:
        parameters: fields of :class:`edgekit.optimize.recipe.PruneStep`: ``sparsity``, ``epochs``, …
        model, data, output, …: see :func:`optimize`.

    Raises:
        EdgekitError: see :func:`optimize`.
    """
    from pathlib import Path

    from edgekit.core import decode
    from edgekit.core.errors import UsageError
    from edgekit.model.format import detect_format
    from edgekit.optimize import pipeline
    from edgekit.optimize.recipe import PruneStep, Recipe
    from edgekit.optimize.stages import ending_of

    given = {key: value for key, value in parameters.items() if value is not None}
    try:
        step = decode.from_json(PruneStep, given, source="prune")
    except ValueError as error:
        raise UsageError(f"prune: {error}") from None
    source = Path(model)
    ending = ending_of(detect_format(source))
    out = Path(output) if output is not None else Path(f"{source.stem}-pruned{ending}")
    if out.suffix != ending:
        raise UsageError(
            f"{out} does not end in {ending}: prune writes a model of the kind that it is given",
            hint=f"-o {out.with_suffix(ending)}; `edgekit optimize --recipe prune-int8` makes a .tflite",
        )
    request = _request(
        model,
        Recipe(name="prune", description="magnitude pruning", steps=(step,)),
        out,
        {"data": data, "evaluation": evaluation, "training": training, "representative": None},
        {"scale": scale, "mean": mean, "std": std, "preprocess": preprocess},
        metric=metric,
        max_drop=max_drop,
        trust=trust_model,
        reuse=use_cache,
    )
    return pipeline.run_training(request, on_event)


def _recipe(recipe: str | PathLike[str] | Recipe) -> Recipe:
    from os import fspath

    from edgekit.optimize.recipe import Recipe, load_recipe

    return recipe if isinstance(recipe, Recipe) else load_recipe(fspath(recipe))


def _request(
    model: str | PathLike[str],
    recipe: Recipe,
    output: str | PathLike[str] | None,
    sources: dict[str, str | None],
    preprocessing: dict[str, Any],
    **options: Any,
) -> Request:
    from pathlib import Path

    from edgekit.optimize.pipeline import Request
    from edgekit.verbs.datasets import choice

    source = Path(model)
    out = Path(output) if output is not None else Path(f"{source.stem}-{recipe.name}.tflite")
    return Request(model=source, recipe=recipe, data=choice(sources, preprocessing), output=out, **options)
