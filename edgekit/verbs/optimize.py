"""optimize, quantize, convert, prune, cluster, distill: from a trained model to a small one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from pathlib import Path

    from edgekit.core.artifact import Artifact, Measured
    from edgekit.core.events import EventSink
    from edgekit.measure.measurement import Measurement
    from edgekit.optimize.forecast.records import Forecast
    from edgekit.optimize.passes.calibration_curve import CalibrationCurve
    from edgekit.optimize.recipe import Recipe
    from edgekit.optimize.request import Probe, Request, Trained
    from edgekit.optimize.steps import Step
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

    request = _request(
        model,
        _recipe(recipe),
        output,
        {"data": data, "representative": representative, "evaluation": evaluation, "training": training},
        {"scale": scale, "mean": mean, "std": std, "preprocess": preprocess},
        metric=metric,
        budgets=Budgets(max_drop=max_drop, **_limits(max_size, max_latency, max_memory)),
        probe=None if device is None else _probe(device, num_threads, reach, on_event),
        target=None if device is None else _target(device, reach),
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

    return pipeline.forecast(
        Path(model),
        _recipe(recipe),
        None if device is None else _target(device, reach),
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

    # selective: the step that wants rows to compare on
    step = _step(QuantizeStep, {"mode": mode, "selective": True}, "calibration curve")
    recipe = dataclasses.replace(for_step(step), name="calibration-curve")
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:  # nothing is written there
        request = _request(
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

    if mode not in MODES:
        message, hint = unknown("mode", mode, MODES)
        raise UsageError(message, hint=hint)
    kept, parameters = _divided(options)
    step = _step(QatStep if qat else QuantizeStep, {"mode": mode, **parameters}, "quantize")
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


def _step(kind: type[Step], parameters: Mapping[str, Any], verb: str) -> Step:
    from edgekit.core import decode
    from edgekit.core.errors import UsageError

    try:
        return decode.from_json(kind, dict(parameters), source=verb)
    except ValueError as error:
        raise UsageError(f"{verb}: {error}") from None


def _train(model: str | PathLike[str], kind: type[Step], options: Mapping[str, Any], result: str) -> Trained:
    """One training step alone."""
    from pathlib import Path

    from edgekit.core.errors import UsageError
    from edgekit.model.format import detect_format
    from edgekit.optimize import pipeline
    from edgekit.optimize.budget import Budgets
    from edgekit.optimize.made import ending_of
    from edgekit.optimize.recipe import for_step

    kept, parameters = _divided(options)
    recipe = for_step(_step(kind, parameters, {"pruned": "prune", "clustered": "cluster"}.get(result, "distill")))
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
    request = _request(
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


def _limits(size: str | int | None, latency: str | float | None, memory: str | int | None) -> dict[str, int | None]:
    from edgekit.core.units import parse_duration, parse_size

    return {
        "max_size_bytes": None if size is None else parse_size(size, name="--max-size"),
        "max_latency_ns": None if latency is None else parse_duration(latency, name="--max-latency"),
        "max_memory_bytes": None if memory is None else parse_size(memory, name="--max-memory"),
    }


def _probe(device: str, num_threads: int | None, reach: Reach | None, on_event: EventSink) -> Probe:
    """Measures .tflite files on a board, side by side."""
    from edgekit.core.artifact import Artifact
    from edgekit.verbs.benchmark import benchmark
    from edgekit.verbs.boards import Reach

    (reach or Reach()).target(device)  # a misspelt name is found before minutes of work

    def measure(models: Sequence[Path]) -> dict[Path, Measured]:
        artifacts = [Artifact(path=path, manifest=None) for path in models]
        found = benchmark(
            artifacts, device=device, num_threads=num_threads, plan="quick", reach=reach, on_event=on_event
        )
        return {path: _measured(one) for path, one in zip(models, found, strict=True)}

    return measure


def _target(device: str, reach: Reach | None) -> dict[str, str | None]:
    """What a forecast goes by; where the profile does not tell the processor, latency stays unknown."""
    import platform

    from edgekit.verbs.boards import Reach

    found = (reach or Reach()).target(device)
    abi = found.profile.abi or (platform.machine() if found.is_local else None)
    return {"device": device, "abi": abi}


def _measured(measurement: Measurement) -> Measured:
    from edgekit.core.artifact import Measured

    runtime = measurement.runtime
    return Measured(
        device=measurement.device,
        latency_ns=measurement.latency.median_ns,
        ci95_ns=measurement.latency.ci95_ns,
        peak_rss_bytes=measurement.memory.peak_rss_bytes,
        runtime="unknown" if runtime is None else f"{runtime.name} {runtime.version}",
        num_threads=measurement.num_threads,
        processes=measurement.processes,
        verdict=measurement.verdict,
        reasons=tuple(map(str, measurement.reasons)),
    )


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

    from edgekit.optimize.request import Request
    from edgekit.verbs.datasets import choice

    source = Path(model)
    out = Path(output) if output is not None else Path(f"{source.stem}-{recipe.name}.tflite")
    return Request(model=source, recipe=recipe, data=choice(sources, preprocessing), output=out, **options)
