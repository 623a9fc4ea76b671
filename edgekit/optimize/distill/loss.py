"""The loss that a model learns a teacher's outputs with, beside the labels where there are any.

Classes: the KL divergence between both distributions, softened by a temperature T and multiplied by T² (Hinton, Vinyals
and Dean, "Distilling the knowledge in a neural network", 2015, arXiv:1503.02531). Other values: the squared error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy

from edgekit.model import libraries, load
from edgekit.optimize.distill.targets import SoftTargets
from edgekit.optimize.losses import Loss, last_activation, own_loss

if TYPE_CHECKING:
    from edgekit.data.block import Array
    from edgekit.model.load import LoadedModel

_SMALLEST = 1e-30  # of a probability whose logarithm is taken
_SMALLEST_ODDS = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One output and how it learns from the teacher's.

    Attributes:
        kind: ``softmax``: one class of several; ``sigmoid``: each value yes or no; ``values``: numbers.
        shape: without the batch.
        logits: the model's values are logits, not probabilities.
        teacher_logits: the teacher's are.
        weight: of this output's squared error: one over the variance of the teacher's, where no labels say the unit.
    """

    kind: Literal["softmax", "sigmoid", "values"]
    shape: tuple[int, ...]
    logits: bool = False
    teacher_logits: bool = False
    weight: float = 1.0

    @property
    def size(self) -> int:
        """Values of a row."""
        return int(numpy.prod(self.shape, dtype=numpy.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation:
    """A loss for targets that hold the teacher's values and then the label, flat, for every output.

    Attributes:
        heads: in the order of the outputs.
        names: of the outputs, where the model gives them as a dict; else empty.
        labels: the loss of the labels; None: only the teacher.
        label_shape: of one label.
        temperature: of the soft targets.
        alpha: weight of the teacher's part.
        label_dtype: of the packed targets.
    """

    heads: tuple[Head, ...]
    names: tuple[str, ...]
    labels: Loss | None
    label_shape: tuple[int, ...]
    temperature: float
    alpha: float
    label_dtype: str = "float32"

    @property
    def described(self) -> str:
        """``the teacher's outputs at temperature 4 (weight 0.7), and …``."""
        softened = any(head.kind != "values" for head in self.heads)
        teacher = f"the teacher's outputs{f' at temperature {self.temperature:g}' if softened else ' (squared error)'}"
        return f"{teacher} (weight {self.alpha:g}), and {self.labels.described}" if self.labels else teacher

    def build(self, library: Any) -> Any:
        """The loss objects of ``keras`` or ``tf_keras``, in the structure of the model's outputs.

        Raises:
            UsageError: the library has no such loss for the labels.
        """
        built = [self._of_head(library, head) for head in self.heads]
        return dict(zip(self.names, built, strict=True)) if self.names else built if len(built) > 1 else built[0]

    def pack(self, targets: Array, labels: Array | None) -> Any:
        """The targets of a batch as :meth:`build`'s loss takes them.

        Args:
            targets: float32 [rows, all values of all outputs].
            labels: [rows, …].
        """
        parts: list[Any] = []
        start = 0
        for head in self.heads:
            part = targets[:, start : start + head.size]
            start += head.size
            if self.labels is not None and labels is not None:
                part = numpy.concatenate([part, labels.reshape(len(labels), -1).astype(numpy.float32)], axis=1)
            parts.append(part)
        return dict(zip(self.names, parts, strict=True)) if self.names else tuple(parts) if len(parts) > 1 else parts[0]

    def signature(self) -> Any:
        """The ``tf.TensorSpec`` of :meth:`pack`'s result."""
        tf = libraries.tensorflow()
        extra = int(numpy.prod(self.label_shape, dtype=numpy.int64)) if self.labels is not None else 0
        parts = [tf.TensorSpec((None, head.size + extra), "float32") for head in self.heads]
        return dict(zip(self.names, parts, strict=True)) if self.names else tuple(parts) if len(parts) > 1 else parts[0]

    def _of_head(self, library: Any, head: Head) -> Any:
        tf = libraries.tensorflow()
        hard = self.labels.build(library) if self.labels is not None else None
        by_label = getattr(hard, "call", hard)  # a loss object's values before they are averaged
        settings = self

        class Distilling(library.losses.Loss):  # type: ignore[misc, name-defined, unused-ignore]
            """The loss of one output; lives only while the model trains."""

            def call(self, y_true: Any, y_pred: Any) -> Any:
                predicted = tf.cast(y_pred, tf.float32)
                target = tf.cast(y_true, tf.float32)
                shape = (-1, *(head.shape or (1,)))
                soft = tf.reshape(target[:, : head.size], shape)
                loss = _soft_loss(head, soft, tf.reshape(predicted, shape), settings.temperature)
                if by_label is None or settings.labels is None:
                    return loss
                label = tf.reshape(target[:, head.size :], (-1, *settings.label_shape))
                by_labels = by_label(tf.cast(label, settings.labels.label_dtype), predicted)
                if loss.shape.rank != by_labels.shape.rank:  # one value a row of the one, one a pixel of the other
                    loss, by_labels = _by_row(loss), _by_row(by_labels)
                return settings.alpha * loss + (1.0 - settings.alpha) * tf.cast(by_labels, tf.float32)

        return Distilling(name="distilling")


def choose_distillation(
    loaded: LoadedModel,
    targets: SoftTargets,
    first: Sequence[Array],
    *,
    wanted: str | None,
    labels: Loss | None,
    label_shape: tuple[int, ...],
    temperature: float,
    alpha: float,
) -> Distillation:
    """The loss that fits the model, the teacher's values and the labels.

    Args:
        loaded: the model that learns.
        targets: the teacher's outputs.
        first: the model's own outputs for some rows, by which logits and probabilities are told apart.
        wanted: the loss that the user named.
        labels: the loss of the labels, None where they are not to be used.
        label_shape: of one label.
        temperature: of the soft targets.
        alpha: weight of the teacher's part where there are labels.
    """
    single = len(targets.shapes) == 1
    known = labels
    if known is None and single:
        known = Loss(spec=wanted, origin="asked for", label_dtype="float32") if wanted else own_loss(loaded)
    heads = tuple(
        _head(
            shape,
            known if single else None,
            activation=last_activation(loaded, index),
            ours=_is_distribution(first[index]),
            theirs=targets.spreads[index].distribution,
            unit=targets.spreads[index].unit,
            weight=1.0 if labels is not None else 1.0 / max(1e-12, targets.spreads[index].variance),
        )
        for index, shape in enumerate(targets.shapes)
    )
    return Distillation(
        heads=heads,
        names=_output_keys(loaded),
        labels=labels,
        label_shape=label_shape,
        temperature=temperature,
        alpha=alpha if labels is not None else 1.0,
    )


def _head(
    shape: tuple[int, ...],
    known: Loss | None,
    *,
    activation: str,
    ours: bool,
    theirs: bool,
    unit: bool,
    weight: float,
) -> Head:
    name = known.name.lower().replace("_", "") if known is not None else ""
    alike = (ours and theirs) or (theirs and activation == "linear" and not _is_regression(name))
    if shape and shape[-1] > 1 and (alike or "categorical" in name):
        return Head(kind="softmax", shape=shape, logits=not ours, teacher_logits=not theirs)
    if "binary" in name or (activation == "sigmoid" and unit and not _is_regression(name)):
        return Head(kind="sigmoid", shape=shape, logits=activation != "sigmoid", teacher_logits=not unit)
    return Head(kind="values", shape=shape, weight=weight)


def _is_regression(loss: str) -> bool:
    return loss != "" and not any(word in loss for word in ("crossentropy", "hinge", "kl"))


def _is_distribution(values: Array) -> bool:
    if values.ndim < 2 or values.shape[-1] < 2 or float(values.min()) < 0:
        return False
    return bool((numpy.abs(values.astype(numpy.float64).sum(axis=-1) - 1) < 1e-2).all())


def _output_keys(loaded: LoadedModel) -> tuple[str, ...]:
    """The keys of the outputs in the order of the flat ones, where the model gives a dict."""
    graph: Any = getattr(loaded.model, "_functional", None) or loaded.model
    attribute = "_outputs_struct" if loaded.library == "keras" else "_nested_outputs"
    structure = getattr(graph, attribute, None)
    if not isinstance(structure, dict):
        return ()
    keys = {id(tensor): str(key) for key, tensor in structure.items()}
    return tuple(keys[id(tensor)] for tensor in loaded.model.outputs)


def _soft_loss(head: Head, target: Any, predicted: Any, temperature: float) -> Any:
    """Per row (and per pixel, step, …): the mean over the last axis for values, the divergence for classes."""
    tf = libraries.tensorflow()
    if head.kind == "values":
        return head.weight * tf.reduce_mean(tf.square(target - predicted), axis=-1)
    if head.kind == "softmax":
        theirs = target if head.teacher_logits else tf.math.log(tf.maximum(target, _SMALLEST))
        ours = predicted if head.logits else tf.math.log(tf.maximum(predicted, _SMALLEST))
        log_theirs = tf.nn.log_softmax(theirs / temperature)
        log_ours = tf.nn.log_softmax(ours / temperature)
        return temperature**2 * tf.reduce_sum(tf.exp(log_theirs) * (log_theirs - log_ours), axis=-1)
    theirs = (target if head.teacher_logits else _log_odds(target)) / temperature
    ours = (predicted if head.logits else _log_odds(predicted)) / temperature
    wanted = tf.sigmoid(theirs)
    cross = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=ours)
    own = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=theirs)
    return temperature**2 * tf.reduce_mean(cross - own, axis=-1)


def _log_odds(probability: Any) -> Any:
    tf = libraries.tensorflow()
    inside = tf.clip_by_value(probability, _SMALLEST_ODDS, 1 - _SMALLEST_ODDS)
    return tf.math.log(inside) - tf.math.log1p(-inside)


def _by_row(values: Any) -> Any:
    tf = libraries.tensorflow()
    return values if values.shape.rank == 1 else tf.reduce_mean(tf.reshape(values, (tf.shape(values)[0], -1)), axis=1)


def outputs_of(loaded: LoadedModel, inputs: dict[str, Array]) -> list[Array]:
    """The model's own outputs for a batch, in its order."""
    found = load.forward(loaded, inputs)
    return [found[name] for name in load.output_names(loaded)]
