"""The steps that a recipe is made of, with all their parameters; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.core import decode
from edgekit.optimize.tuning import FineTuning, between

Mode = Literal["int8", "int8-float-io", "int16x8", "dynamic", "float16", "float32"]
Pattern = Literal["unstructured", "block", "2:4"]
Criterion = Literal["l1", "l2", "bn-scale", "geometric-median", "taylor"]

MODES: tuple[Mode, ...] = ("int8", "int8-float-io", "int16x8", "dynamic", "float16", "float32")
CALIBRATED: frozenset[str] = frozenset({"int8", "int8-float-io", "int16x8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneStep(FineTuning):
    """Magnitude pruning with a polynomial schedule and fine-tuning.

    Attributes:
        sparsity: final fraction of zeros in every pruned layer, 0 to below 1.
        initial_sparsity: where the schedule begins.
        pattern: unstructured, block (dense layers only), 2:4.
    """

    step: Literal["prune"] = "prune"
    sparsity: float = 0.5
    initial_sparsity: float = 0.0
    pattern: Pattern = "unstructured"

    def __post_init__(self) -> None:
        FineTuning.__post_init__(self)
        between("sparsity", self.sparsity, 0.0, 0.99)
        between("initial_sparsity", self.initial_sparsity, 0.0, self.sparsity)


@dataclass(frozen=True, slots=True, kw_only=True)
class FiltersStep(FineTuning):
    """Filters, units and attention heads removed for real, with fine-tuning (Li et al. 2017).

    Attributes:
        ratio: fraction of the filters to remove, of every layer or (other ``scope``) of all.
        ratios: fraction by layer, instead of ``ratio`` there.
        scope: ``per-layer``; ``global``: the lowest-ranked filters of the whole model; ``sensitivity``: each layer as
            far as it can go, which a scan over training rows tells.
        criterion: what a filter is ranked by.
        iterations: rounds of cutting and fine-tuning; the epochs are shared among them.
        skip: layers to leave alone.
        round_to: the filters that stay are a multiple of this.
    """

    step: Literal["filters"] = "filters"
    ratio: float = 0.3
    ratios: Mapping[str, float] = field(default_factory=dict)
    scope: Literal["per-layer", "global", "sensitivity"] = "per-layer"
    criterion: Criterion = "l1"
    iterations: int = 1
    skip: tuple[str, ...] = ()
    round_to: int = 1

    def __post_init__(self) -> None:
        FineTuning.__post_init__(self)
        between("ratio", self.ratio, 0.0, 0.95)
        for layer, ratio in self.ratios.items():
            between(f"ratios.{layer}", ratio, 0.0, 0.95)
        between("iterations", self.iterations, 1, 100)
        between("round_to", self.round_to, 1, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStep(FineTuning):
    """Weights of a layer share a few values (TFMOT weight clustering), with fine-tuning.

    Attributes:
        clusters: distinct values per layer.
        initialization: of the values: ``kmeans++``, ``linear``, ``density-based``, ``random``.
        preserve_sparsity: zeros stay zero.
    """

    step: Literal["cluster"] = "cluster"
    learning_rate: float = 1e-4  # ten times as much lost 1.5 points of a classifier in one epoch
    clusters: int = 16
    initialization: Literal["kmeans++", "linear", "density-based", "random"] = "kmeans++"
    preserve_sparsity: bool = False

    def __post_init__(self) -> None:
        FineTuning.__post_init__(self)
        between("clusters", self.clusters, 2, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillStep(FineTuning):
    """A smaller model learns from the original (knowledge distillation, Hinton et al. 2015).

    Attributes:
        student: file of the smaller model; None: derived from the teacher.
        width: fraction of the teacher's channels that a derived student has.
        derive: ``filters``: the student starts from the teacher's highest-ranked filters; ``width``: from new weights.
        features: learn the feature maps too (FitNets, Romero et al. 2015).
    """

    step: Literal["distill"] = "distill"
    learning_rate: float = 3e-3
    epochs: int | None = 20
    fine_tune: Literal["labels", "distill"] = "distill"
    student: str | None = None
    width: float = 0.5
    derive: Literal["filters", "width"] = "filters"
    features: bool = False

    def __post_init__(self) -> None:
        FineTuning.__post_init__(self)
        between("width", self.width, 0.05, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseStep(FineTuning):
    """The form that XNNPACK's sparse kernels take, and 1×1 convolutions pruned far enough for them.

    Attributes:
        sparsity: of the 1×1 convolutions; the kernels are taken above two thirds.
    """

    step: Literal["xnnpack-sparse"] = "xnnpack-sparse"
    sparsity: float = 0.8

    def __post_init__(self) -> None:
        FineTuning.__post_init__(self)
        between("sparsity", self.sparsity, 0.7, 0.98)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNormStep:
    """Statistics of BatchNormalization layers computed anew from training rows; needs no labels.

    Attributes:
        batches: of 64 rows.
    """

    step: Literal["batch-norm"] = "batch-norm"
    batches: int = 100

    def __post_init__(self) -> None:
        between("batches", self.batches, 1, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOnlyStep:
    """Layers that work in training alone (dropout, augmentation, noise) taken out of the graph."""

    step: Literal["training-only"] = "training-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeStep:
    """Conversion to a .tflite of one numeric mode.

    Attributes:
        mode: ``int8`` (integer inputs and outputs too), ``int8-float-io``, ``int16x8``, ``dynamic``, ``float16``,
            ``float32``.
        selective: find the layers that lose the accuracy and keep as few as needed out of int8.
        keep: layers to keep out of int8, by name, instead of a search.
        keep_as: what those are kept in.
        equalize: cross-layer equalisation first (Nagel et al. 2019).
        bias_correction: correct each layer's mean error in its bias afterwards (same paper).
        ranges: of activations: ``minmax``, ``percentile`` or ``mse``.
        sparse: store sparse weights in the sparse encoding (``float32`` and ``float16``).
    """

    step: Literal["quantize"] = "quantize"
    mode: Mode = "int8"
    selective: bool = False
    keep: tuple[str, ...] = ()
    keep_as: Literal["float32", "int16"] = "float32"
    equalize: bool = False
    bias_correction: bool = False
    ranges: Literal["minmax", "percentile", "mse"] = "minmax"
    sparse: bool = False

    def __post_init__(self) -> None:
        if self.sparse and self.mode not in ("float32", "float16"):
            raise ValueError(
                f"sparse is for the modes float32 and float16, not {self.mode}: int8 has no sparse kernels"
            )
        chosen = [name for name in ("selective", "keep", "equalize", "bias_correction") if getattr(self, name)]
        chosen += ["ranges"] if self.ranges != "minmax" else []
        if chosen and self.mode not in ("int8", "int8-float-io"):
            raise ValueError(f"{chosen[0]} is for the modes int8 and int8-float-io, not {self.mode}")

    @property
    def keeps_float(self) -> bool:
        """Whether layers may stay out of int8, so that the result need not be full-integer."""
        return self.selective or bool(self.keep)


@dataclass(frozen=True, slots=True, kw_only=True)
class QatStep(FineTuning):
    """Quantization-aware training and the conversion to int8 that it was for; ends a recipe as ``quantize`` does.

    Attributes:
        mode: ``int8`` or ``int8-float-io``.
        preserve: what of earlier steps training must keep: zeros, shared values, both (PQAT, CQAT, PCQAT).
    """

    step: Literal["qat"] = "qat"
    learning_rate: float = 1e-4
    mode: Literal["int8", "int8-float-io"] = "int8"
    preserve: Literal["none", "sparsity", "clusters", "both"] = "none"


TrainingStep = PruneStep | FiltersStep | ClusterStep | DistillStep | SparseStep | BatchNormStep | TrainingOnlyStep
LastStep = QuantizeStep | QatStep
Step = TrainingStep | LastStep

STEPS: dict[str, type[Step]] = {
    "prune": PruneStep,
    "filters": FiltersStep,
    "cluster": ClusterStep,
    "distill": DistillStep,
    "xnnpack-sparse": SparseStep,
    "batch-norm": BatchNormStep,
    "training-only": TrainingOnlyStep,
    "quantize": QuantizeStep,
    "qat": QatStep,
}


def parameters(step: Step) -> dict[str, Any]:
    """A step's parameters as JSON values, without its name."""
    return {key: value for key, value in decode.to_json(step).items() if key != "step"}
