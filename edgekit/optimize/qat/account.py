"""What quantization-aware training did, in sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.core.notice import Notice
from edgekit.optimize.finetune import Tuning
from edgekit.optimize.qat import kept
from edgekit.optimize.qat.prepared import Prepared
from edgekit.optimize.qat.record import LayerKept, LayerTreatment, Preserve

_WORDS = {"sparsity": "zeros", "clusters": "shared values", "both": "zeros and shared values"}
_STEPS = {"sparsity": "prune", "clusters": "cluster", "both": "prune and cluster"}
_RANK = ("trained", "output", "calibrated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """For the record."""

    layers: tuple[LayerTreatment, ...]
    notes: tuple[str, ...]
    notices: tuple[Notice, ...]


def explain(
    prepared: Prepared, preserve: Preserve, layers: Sequence[LayerKept], course: Tuning | None, difference: float | None
) -> Account:
    """The account of a training.

    Args:
        prepared: what was trained.
        preserve: what was to be kept.
        layers: what became of the kernels that had something to keep.
        course: None where nothing was trained.
        difference: between a Keras 3 model and its tf_keras copy.
    """
    treated = _by_layer(prepared)
    notes = []
    if difference is not None:
        notes.append(
            "trained as a tf_keras copy of the model (largest difference of outputs before training "
            f"{difference:.1e}); the Keras 3 model itself is as it was"
        )
    trained = [layer for layer in treated if layer.treatment == "trained"]
    notes.append(
        f"int8 was simulated in {len(trained)} of {len(treated)} layers while the model "
        f"{'trained' if course else 'was prepared'}; averages of BatchNormalization stayed as they were"
    )
    for treatment, words in (
        ("trained", "kernels and outputs were simulated, but not the activation of"),
        ("output", "only the outputs were simulated of"),
        ("calibrated", "trained in float and quantized with representative rows"),
    ):
        named = [layer for layer in treated if layer.treatment == treatment and layer.reason]
        if named:
            notes.append(f"{words}: {_grouped(named)}")
    if prepared.flat.removed:
        notes.append(f"left out, because they work in training only: {', '.join(prepared.flat.removed)}")
    notices: list[Notice] = []
    if preserve != "none":
        word = _WORDS[preserve]
        gone = kept.lost(layers, prepared.kernels)
        if not layers:
            notices.append(
                Notice(
                    code="nothing-to-preserve",
                    message=f"preserve={preserve} was asked for, but no layer of the model has {word}",
                    hint=f"put the step {_STEPS[preserve]} before this one",
                )
            )
        elif gone:
            notices.append(
                Notice(code="not-preserved", message=f"{word} that did not survive in the int8 file: {', '.join(gone)}")
            )
        if len(layers) > len(gone):
            notes.append(f"{word} of {len(layers) - len(gone)} of {len(layers)} layers are whole in the int8 file")
    return Account(layers=treated, notes=tuple(notes), notices=tuple(notices))


def _by_layer(prepared: Prepared) -> tuple[LayerTreatment, ...]:
    """One treatment for each layer of the user's model, the weakest of its parts'.

    An activation that had to be taken apart is told of as the reason; the layer's kernel was trained all the same.
    """
    found: dict[str, LayerTreatment] = {}
    for name, treated in prepared.treated.items():
        known = found.get(treated.name)
        if known is None:
            found[treated.name] = treated
        elif name.endswith("_activation") and known.treatment == "trained":
            found[treated.name] = dataclasses.replace(known, reason=treated.reason)
        elif _RANK.index(treated.treatment) > _RANK.index(known.treatment):
            found[treated.name] = treated
    return tuple(found.values())


def _grouped(layers: Sequence[LayerTreatment]) -> str:
    """Layers of one type and reason together: a DenseNet has a hundred of them."""
    groups: dict[tuple[str, str], list[str]] = {}
    for layer in layers:
        groups.setdefault((layer.type, layer.reason), []).append(layer.name)
    return "; ".join(f"{', '.join(names)} ({kind}: {reason})" for (kind, reason), names in groups.items())
