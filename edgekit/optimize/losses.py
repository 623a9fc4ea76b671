"""The loss to fine-tune with: the one asked for, the model's own, or the one that fits labels and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy

    from edgekit.model.load import LoadedModel

    Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss that Keras can build in either library.

    Attributes:
        spec: a Keras name, or class name and configuration.
        origin: where it comes from, for the step record.
        label_dtype: what the labels are cast to.
    """

    spec: str | tuple[str, dict[str, Any]]
    origin: str
    label_dtype: str

    @property
    def name(self) -> str:
        """Of the loss, without its configuration."""
        return self.spec if isinstance(self.spec, str) else self.spec[0]

    @property
    def from_logits(self) -> bool:
        """Whether its configuration says that the outputs are logits."""
        return not isinstance(self.spec, str) and bool(self.spec[1].get("from_logits", False))

    @property
    def described(self) -> str:
        """``SparseCategoricalCrossentropy(from_logits=True), the model's own``."""
        if isinstance(self.spec, str):
            return f"{self.spec}, {self.origin}"
        name, options = self.spec
        return f"{name}({', '.join(f'{key}={value}' for key, value in options.items())}), {self.origin}"

    def build(self, library: Any) -> Any:
        """The loss object of ``keras`` or ``tf_keras``.

        Raises:
            UsageError: the library has no such loss.
        """
        if isinstance(self.spec, str):
            try:
                return library.losses.get(self.spec)
            except ValueError as error:
                raise UsageError(
                    f"unknown loss {self.spec!r}", hint="a Keras name, e.g. sparse_categorical_crossentropy"
                ) from error
        name, config = self.spec
        kind = getattr(library.losses, name)
        return kind(**config)


def choose_loss(loaded: LoadedModel, wanted: str | None, labels: Array) -> Loss | None:
    """The loss to fine-tune with: the one asked for, else the model's own, else the one that fits labels and output.

    Returns:
        None where the labels say nothing about the outputs (several outputs, other shapes).

    Raises:
        DataError: class labels beyond the number of outputs.
    """
    if wanted is not None:
        return Loss(spec=wanted, origin="asked for", label_dtype=_label_dtype(wanted))
    own = own_loss(loaded)
    if own is not None and _shapes_fit(own.name, loaded, labels):
        return own
    return _loss_from_labels(loaded, labels)


def own_loss(loaded: LoadedModel) -> Loss | None:
    """The loss that the model was compiled with; None where there is none, or one for every output."""
    spec = _own_loss(loaded)
    if spec is None:
        return None
    return Loss(
        spec=spec, origin="the model's own", label_dtype=_label_dtype(spec if isinstance(spec, str) else spec[0])
    )


def last_activation(loaded: LoadedModel, output: int = 0) -> str:
    """Name of the activation behind an output, e.g. ``softmax``; ``linear`` where there is none."""
    tensor = loaded.model.outputs[output]
    for _ in range(20):
        history = tensor._keras_history
        layer = getattr(history, "operation", None) or history.layer
        if getattr(layer, "outputs", None) and getattr(layer, "layers", None):
            tensor = layer.outputs[0]  # a nested model: look into it
            continue
        activation = getattr(layer, "activation", None)
        name = getattr(activation, "__name__", "") or type(layer).__name__
        text = f"{name} {layer.name}" if type(layer).__name__ in ("TFOpLambda", "SlicingOpLambda") else name
        return next((known for known in ("softmax", "sigmoid") if known in text.lower()), "linear")
    return "linear"


def _own_loss(loaded: LoadedModel) -> str | tuple[str, dict[str, Any]] | None:
    model = loaded.model
    loss = getattr(model, "loss", None)
    compiled = getattr(model, "compiled", False) or getattr(model, "_is_compiled", False)
    if not compiled or loss is None:
        return None
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        loss = loss[0]
    if isinstance(loss, str):
        return loss
    if callable(loss) and hasattr(loss, "__name__"):
        return str(loss.__name__)
    if not hasattr(loss, "get_config"):
        return None
    kept = (
        "from_logits",
        "label_smoothing",
        "axis",
        "delta",
        "alpha",
        "gamma",
        "ignore_class",
        "apply_class_balancing",
    )
    config = {key: value for key, value in loss.get_config().items() if key in kept and value is not None}
    return type(loss).__name__, config


def _shapes_fit(loss: str, loaded: LoadedModel, labels: Array) -> bool:
    if len(loaded.model.outputs) != 1:
        return False
    width = loaded.model.outputs[0].shape[-1]
    plain = loss.lower().replace("_", "")
    if plain.startswith("sparse"):
        return labels.ndim == len(loaded.model.outputs[0].shape) - 1
    return not ("categorical" in plain and (labels.ndim == 1 or labels.shape[-1] != width))


def _loss_from_labels(loaded: LoadedModel, labels: Array) -> Loss | None:
    import numpy

    if len(loaded.model.outputs) != 1:
        return None
    shape = tuple(loaded.model.outputs[0].shape)
    width = int(shape[-1] or 0)
    whole = labels.dtype.kind in "biu" or bool(numpy.all(labels == numpy.round(labels)))
    zero_one = whole and bool(numpy.isin(labels, (0, 1)).all())
    activation = last_activation(loaded)
    origin = f"chosen from the labels and the last activation ({activation})"
    logits = {"from_logits": activation != "softmax"}
    if width > 1 and whole and labels.ndim == len(shape) - 1:
        if labels.min() < 0 or labels.max() >= width:
            raise DataError(
                f"the labels run from {labels.min()} to {labels.max()}, but the model has {width} outputs",
                hint="labels are class numbers from 0",
            )
        return Loss(spec=("SparseCategoricalCrossentropy", logits), origin=origin, label_dtype="int64")
    if width > 1 and zero_one and labels.ndim == len(shape) and labels.shape[-1] == width:
        if activation != "sigmoid" and bool((labels.sum(axis=-1) == 1).all()):
            return Loss(spec=("CategoricalCrossentropy", logits), origin=origin, label_dtype="float32")
        return Loss(spec=_binary(activation), origin=origin, label_dtype="float32")
    if width == 1 and zero_one and (activation == "sigmoid" or labels.dtype.kind in "biu"):
        return Loss(spec=_binary(activation), origin=origin, label_dtype="float32")
    if labels.size // len(labels) == int(numpy.prod([n for n in shape[1:] if n])):
        return Loss(spec=("MeanSquaredError", {}), origin=origin, label_dtype="float32")
    return None


def _binary(activation: str) -> tuple[str, dict[str, Any]]:
    return "BinaryCrossentropy", {"from_logits": activation != "sigmoid"}


def _label_dtype(loss: str) -> str:
    return "int64" if loss.lower().startswith("sparse") else "float32"
