"""quantize, convert, prune, cluster, distill: one technique alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.optimize.request import Trained
    from edgekit.optimize.steps import Step

_SOURCES = ("data", "representative", "evaluation", "training")
_PREPROCESSING = ("scale", "mean", "std", "preprocess")
_OPTIONS = frozenset(
    {
        *_SOURCES,
        *_PREPROCESSING,
        *("output", "metric", "max_drop", "max_size", "max_latency", "max_memory", "device", "num_threads", "reach"),
        *("ablate", "uint8_input", "allow_float_fallback", "trust_model", "custom", "use_cache", "on_event"),
    }
)


def _divided(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of :func:`optimize`, and the parameters of a step; those that are None are left at their default."""
    kept = {key: value for key, value in options.items() if key in _OPTIONS}
    return kept, {key: value for key, value in options.items() if key not in _OPTIONS and value is not None}


def quantize(model: str | PathLike[str], *, mode: str = "int8", qat: bool = False, **options: Any) -> Artifact:
    """Converts to one numeric mode: ``int8``, ``int8-float-io``, ``int16x8``, ``dynamic``, ``float16``, ``float32``.

    Args:
        model: see :func:`optimize`.
        mode: see above.
        qat: train with the quantization (int8 and int8-float-io), fields of
            :class:`~edgekit.optimize.steps.QatStep` among the options.
        options: those of :func:`optimize` but ``recipe``, and fields of
            :class:`~edgekit.optimize.steps.QuantizeStep`: ``selective``, ``keep``, ``equalize``, ``ranges``, …

    Raises:
        EdgekitError: see :func:`optimize`.
    """
    from edgekit.core.errors import UsageError
    from edgekit.core.suggest import unknown
    from edgekit.optimize.recipe import for_step
    from edgekit.optimize.steps import MODES, QatStep, QuantizeStep
    from edgekit.verbs.optimize import optimize
    from edgekit.verbs.requests import step_of

    if mode not in MODES:
        message, hint = unknown("mode", mode, MODES)
        raise UsageError(message, hint=hint)
    kept, parameters = _divided(options)
    step = step_of(QatStep if qat else QuantizeStep, {"mode": mode, **parameters}, "quantize")
    return optimize(model, recipe=for_step(step), **kept)


def convert(model: str | PathLike[str], **options: Any) -> Artifact:
    """Converts to a float32 ``.tflite``. Takes the options of :func:`optimize` but ``recipe``."""
    return quantize(model, mode="float32", **options)


def prune(model: str | PathLike[str], *, pattern: str = "unstructured", **options: Any) -> Trained:
    """Removes weights with fine-tuning and writes a model of the kind that was given.

    Args:
        model: see :func:`optimize`.
        pattern: ``unstructured``, ``block`` and ``2:4`` set small weights to zero; ``filters`` removes whole filters.
        options: those of :func:`optimize` that concern data, metric, ``max_drop``, trust and cache, and fields of
            :class:`~edgekit.optimize.steps.PruneStep` (``sparsity``, ``epochs``, …) or, for ``filters``, of
            :class:`~edgekit.optimize.steps.FiltersStep` (``ratio``, ``criterion``, …).

    Raises:
        EdgekitError: see :func:`optimize`.
    """
    from edgekit.optimize.steps import FiltersStep, PruneStep

    if pattern != "filters":
        return _train(model, PruneStep, {"pattern": pattern, **options}, "pruned")
    if (sparsity := options.pop("sparsity", None)) is not None:  # the fraction to remove, under its other name
        options.setdefault("ratio", sparsity)
    return _train(model, FiltersStep, options, "pruned")


def cluster(model: str | PathLike[str], **options: Any) -> Trained:
    """Gives the weights of each layer a few shared values, with fine-tuning: a smaller download.

    Args:
        model: see :func:`optimize`.
        options: as for :func:`prune`, with fields of :class:`~edgekit.optimize.steps.ClusterStep`.

    Raises:
        EdgekitError: see :func:`optimize`.
    """
    from edgekit.optimize.steps import ClusterStep

    return _train(model, ClusterStep, options, "clustered")


def distill(model: str | PathLike[str], **options: Any) -> Trained:
    """Trains a smaller model to give the outputs of ``model``, which is the teacher.

    Args:
        model: see :func:`optimize`.
        options: as for :func:`prune`, with fields of :class:`~edgekit.optimize.steps.DistillStep`.

    Raises:
        EdgekitError: see :func:`optimize`.
    """
    from edgekit.optimize.steps import DistillStep

    return _train(model, DistillStep, options, "student")


def _train(model: str | PathLike[str], kind: type[Step], options: Mapping[str, Any], result: str) -> Trained:
    """One training step alone."""
    from pathlib import Path

    from edgekit.core.errors import UsageError
    from edgekit.model.format import detect_format
    from edgekit.optimize import pipeline
    from edgekit.optimize.budget import Budgets
    from edgekit.optimize.made import ending_of
    from edgekit.optimize.recipe import for_step
    from edgekit.verbs.requests import request_of, step_of

    kept, parameters = _divided(options)
    recipe = for_step(step_of(kind, parameters, {"pruned": "prune", "clustered": "cluster"}.get(result, "distill")))
    source = Path(model)
    ending = ending_of(detect_format(source))
    output = kept.pop("output", None)
    out = Path(output) if output is not None else Path(f"{source.stem}-{result}{ending}")
    if out.suffix != ending:
        raise UsageError(
            f"{out} does not end in {ending}: {recipe.name} writes a model of the kind that it is given",
            hint=f"-o {out.with_suffix(ending)}; `edgekit optimize` makes a .tflite",
        )
    on_event = kept.pop("on_event", ignore)
    request = request_of(
        model,
        recipe,
        out,
        {role: kept.pop(role, None) for role in _SOURCES},
        {name: kept.pop(name, None) for name in _PREPROCESSING},
        metric=kept.pop("metric", "auto"),
        budgets=Budgets(max_drop=kept.pop("max_drop", None)),
        trust=kept.pop("trust_model", False),
        custom=tuple(kept.pop("custom", ())),
        reuse=kept.pop("use_cache", True),
    )
    if kept:
        raise UsageError(
            f"{recipe.name} alone does not take {', '.join(sorted(kept))}", hint="`edgekit optimize` does, in a recipe"
        )
    return pipeline.run_training(request, on_event)
