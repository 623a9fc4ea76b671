"""What each step of a recipe will buy, before any training: the steps carried out on the weights of the float file."""

from __future__ import annotations

import copy
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import UsageError
from edgekit.model import flatbuffer
from edgekit.optimize import model_tree
from edgekit.optimize.forecast import effects, storage, structure, weights
from edgekit.optimize.forecast.effects import Shares, Target
from edgekit.optimize.forecast.records import Change, Effect, Figure, Forecast
from edgekit.optimize.sparse import rules

_GZIP_LEVEL = 6
# largest errors found on small and large networks: size by numeric mode, and what gzip adds to that
_SIZE_ERROR = {"float32": 0.01, "float16": 0.02, "dynamic": 0.03, "int8": 0.04, "int8-float-io": 0.04, "int16x8": 0.1}
_GZIP_ERROR = 0.05
_OVERHEAD = 1024  # bytes of names and tables that may come or go, whatever the weights
_FILTERS_ERROR = 0.35
_LOOP_ERROR = 0.4
_COUNT_ERROR = 0.03  # a quantizer may write a constant twice, or fold one away
_NONE = Effect(kind="none", because="the step changes weights, not what is computed")


def forecast(
    source_tflite: str,
    steps: Sequence[Mapping[str, Any]],
    *,
    target: Mapping[str, Any] | None = None,
    expected: Mapping[str, Mapping[str, float]] | None = None,
) -> tuple[Forecast, ...]:
    """One forecast for each step. Runs in the child without TensorFlow.

    Args:
        source_tflite: the float32 baseline.
        steps: of a recipe, as JSON values with their name in ``step``.
        target: ``abi``, ``runtime``, ``version`` and ``device``, each may be missing; None: no device was named.
        expected: step name → ``macs`` and ``parameters`` as ratios of after to before, where a step has planned its
            cuts already; else they are derived from the ratio that was asked for.

    Raises:
        ModelError: not a .tflite.
        UsageError: a step without a name.
    """
    state = _State.of(Path(source_tflite))
    where = Target.of(target)
    found = []
    for values in steps:
        name = values.get("step")
        if not isinstance(name, str):
            raise UsageError("a step without a name cannot be forecast", hint='each step has a key "step"')
        found.append(_one(state, name, values, where, (expected or {}).get(name)))
    return tuple(found)


@dataclass(slots=True, kw_only=True)
class _State:
    """The model at a point of the recipe.

    Attributes:
        model: float32 ``ModelT`` with the weights so far; whole in size, even where filters are gone.
        macs, weights: so far.
        kept: fraction of the weights' bytes that filters that were removed have left.
        kept_macs: likewise of the multiply-accumulates.
        shares: of the baseline.
        error: that the figures so far are off by, beside storage.
    """

    model: Any
    macs: int
    weights: int
    kept: float
    kept_macs: float
    shares: Shares
    error: float
    mended: bool = False

    @classmethod
    def of(cls, path: Path) -> _State:
        model = model_tree.read(path)
        read = flatbuffer.read(str(path))
        return cls(
            model=model,
            macs=read.macs,
            weights=read.parameters,
            kept=1.0,
            kept_macs=1.0,
            shares=structure.shares_of(read),
            error=0.0,
        )


def _one(
    state: _State, name: str, values: Mapping[str, Any], target: Target, expected: Mapping[str, float] | None
) -> Forecast:
    step = _STEPS.get(name)
    if step is None:
        return _stored(state, values, "float32", _unforeseen(name), _unforeseen(name))
    return step(state, values, target, expected)


def _prune(state: _State, values: Mapping[str, Any], target: Target, _: Mapping[str, float] | None) -> Forecast:
    pattern, sparsity = str(values.get("pattern", "unstructured")), float(values.get("sparsity", 0.5))
    del target
    every = weights.kernels(state.model)
    done = [kernel for kernel in every if weights.prune(state.model, kernel, pattern, sparsity)]
    notes = []
    if not done:
        notes.append(f"nothing in this model can be pruned with the pattern {pattern}")
    elif len(done) < len(every):
        notes.append(f"{len(done)} of {len(every)} kernels take the pattern {pattern}")
    zeros, total = weights.zeros(state.model)
    notes.append(f"{zeros / max(1, total):.0%} of the weights in kernels will be zero")
    return _stored(
        state,
        values,
        "float32",
        effects.pruned(rules.examine(state.model, mended=True), pattern, sparsity),
        Effect(kind="none", because="zeros take as much memory as other weights"),
        notes=notes,
    )


def _cluster(state: _State, values: Mapping[str, Any], _: Target, __: Mapping[str, float] | None) -> Forecast:
    every = weights.kernels(state.model, ops=(*weights.PRODUCTS, "DEPTHWISE_CONV_2D"))
    clusters = int(values.get("clusters", 16))
    for kernel in every:
        if kernel.values.size > clusters:
            weights.cluster(state.model, kernel, clusters, preserve_sparsity=bool(values.get("preserve_sparsity")))
    same = "shared weights are stored one by one; only gzip sees that they repeat"
    return _stored(
        state, values, "float32", Effect(kind="none", because=same), Effect(kind="none", because=same), gzip_error=0.15
    )


def _filters(
    state: _State, values: Mapping[str, Any], target: Target, expected: Mapping[str, float] | None
) -> Forecast:
    ratio = float(values.get("ratio", 0.3))
    if expected:
        macs, kept, error = float(expected["macs"]), float(expected["parameters"]), 0.05
    else:
        macs, kept, error = *structure.after_filters(state.model, 1 - ratio), _FILTERS_ERROR
    return _shrunk(state, values, target, macs, kept, error)


def _distill(
    state: _State, values: Mapping[str, Any], target: Target, expected: Mapping[str, float] | None
) -> Forecast:
    if values.get("student") and not expected:
        unknown = Effect(kind="unknown", because="the student is a model of its own; inspect it for its size")
        return _stored(state, values, "float32", unknown, unknown, error=9.0)
    if expected:
        return _shrunk(state, values, target, float(expected["macs"]), float(expected["parameters"]), 0.05)
    macs, kept = structure.after_filters(state.model, float(values.get("width", 0.5)))
    return _shrunk(state, values, target, macs, kept, _FILTERS_ERROR)


def _shrunk(
    state: _State, values: Mapping[str, Any], target: Target, macs: float, kept: float, error: float
) -> Forecast:
    before = (state.macs, state.weights)
    state.macs, state.weights = round(state.macs * macs), round(state.weights * kept)
    state.kept, state.kept_macs = state.kept * kept, state.kept_macs * macs
    state.error = max(state.error, error)
    return _stored(
        state,
        values,
        "float32",
        effects.smaller(macs, state.shares, target),
        Effect(kind="ratio", low=round(kept * 0.6, 2), high=1.02, because="fewer weights and narrower activations"),
        before=before,
    )


def _sparse(state: _State, values: Mapping[str, Any], _: Target, __: Mapping[str, float] | None) -> Forecast:
    fit = rules.examine(state.model, mended=True)
    notes = []
    if not fit.fits:
        notes.append(f"the step will refuse this model: {'; '.join(fit.reasons[:3])}")
    by_tensor = {kernel.tensor: kernel for kernel in weights.kernels(state.model)}
    for index in fit.kernels:
        if index in by_tensor:
            weights.prune(state.model, by_tensor[index], "unstructured", float(values.get("sparsity", 0.8)))
    state.mended = fit.fits
    return _stored(
        state,
        values,
        "float32",
        Effect(kind="none", because="the zeros are stored dense until quantize with sparse = true"),
        Effect(kind="none", because="zeros take as much memory as other weights"),
        notes=notes,
    )


def _quantize(state: _State, values: Mapping[str, Any], target: Target, _: Mapping[str, float] | None) -> Forecast:
    mode = str(values.get("mode", "int8"))
    if values.get("sparse"):
        return _encoded(state, values, mode, target)
    latency, used = effects.quantized(mode, state.shares, target), effects.memory(mode)
    notes = []
    error = 0.0
    if values.get("selective") or values.get("keep"):
        error = 1.0
        notes.append("layers that are kept out of int8 add to the size and to the latency; which ones is not known yet")
        latency = (
            Effect(kind="ratio", low=latency.low, high=1.6, because="layers that stay float are not faster")
            if (latency.kind == "ratio")
            else latency
        )
    return _stored(state, values, mode, latency, used, notes=notes, error=error)


def _encoded(state: _State, values: Mapping[str, Any], mode: str, target: Target) -> Forecast:
    fit = rules.examine(state.model, mended=state.mended)
    content = copy.deepcopy(state.model)
    storage.stored_sparse(content)
    if mode == "float16":
        storage.stored(content, mode)
    return _forecast(
        state,
        values,
        content,
        effects.sparse(fit, mode, target),
        Effect(kind="unknown", because="the weights are unpacked when the model is loaded; it was not measured"),
        size_error=0.05,
        gzip_error=0.08,
    )


def _unchanged(state: _State, values: Mapping[str, Any], _: Target, __: Mapping[str, float] | None) -> Forecast:
    return _stored(state, values, "float32", _NONE, _NONE)


def _unforeseen(name: str) -> Effect:
    return Effect(kind="unknown", because=f"nothing is known about the step {name!r}")


def _stored(
    state: _State,
    values: Mapping[str, Any],
    mode: str,
    latency: Effect,
    used: Effect,
    *,
    notes: Sequence[str] = (),
    error: float = 0.0,
    gzip_error: float = _GZIP_ERROR,
    before: tuple[int, int] | None = None,
) -> Forecast:
    content = copy.deepcopy(state.model)
    storage.stored(content, mode)
    if len(state.model.subgraphs) > 1:
        error += _LOOP_ERROR
        notes = (*notes, "the body of a loop is not looked into, so its size is a rough guess")
    return _forecast(
        state,
        values,
        content,
        latency,
        used,
        size_error=_SIZE_ERROR[mode] + error,
        gzip_error=gzip_error + error,
        notes=notes,
        before=before,
        count_error=0.0 if mode == "float32" else _COUNT_ERROR,
    )


def _forecast(
    state: _State,
    values: Mapping[str, Any],
    content: Any,
    latency: Effect,
    used: Effect,
    *,
    size_error: float,
    gzip_error: float,
    notes: Sequence[str] = (),
    before: tuple[int, int] | None = None,
    count_error: float = _COUNT_ERROR,
) -> Forecast:
    packed = model_tree.pack(content)
    held = structure.weights_bytes(content)
    size = len(packed) - round(held * (1 - state.kept))
    small = len(gzip.compress(packed, _GZIP_LEVEL, mtime=0))
    small -= round(small * min(1.0, held / len(packed)) * (1 - state.kept))
    macs, count = before or (state.macs, state.weights)
    after = state.weights + round((structure.values_in(content) - structure.values_in(state.model)) * state.kept)
    return Forecast(
        name=str(values["step"]),
        parameters={key: value for key, value in values.items() if key != "step"},
        size_bytes=Figure(value=size, error=round(state.error + size_error + _OVERHEAD / size, 3)),
        gzip_bytes=Figure(value=small, error=round(state.error + size_error + gzip_error + _OVERHEAD / small, 3)),
        macs=Change(before=macs, after=state.macs, error=state.error),
        parameters_count=Change(before=count, after=after, error=state.error + count_error),
        latency=latency,
        memory=used,
        notes=tuple(notes),
    )


_STEPS = {
    "prune": _prune,
    "cluster": _cluster,
    "filters": _filters,
    "distill": _distill,
    "xnnpack-sparse": _sparse,
    "batch-norm": _unchanged,
    "training-only": _unchanged,
    "quantize": _quantize,
    "qat": _quantize,
}
