"""One Keras 3 layer or operation as its tf_keras counterpart, without weights. Only in the TensorFlow child."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.model import custom, libraries

# the same function under the same (or the older) name; every other one is carried over as Keras 3 computes it.
# hard_sigmoid is missing on purpose: Keras 2 has clip(0.2 x + 0.5), Keras 3 relu6(x + 3) / 6
_SAME_ACTIVATIONS = {
    "elu": "elu",
    "exponential": "exponential",
    "gelu": "gelu",
    "leaky_relu": "leaky_relu",
    "linear": "linear",
    "log_softmax": "log_softmax",
    "mish": "mish",
    "relu": "relu",
    "relu6": "relu6",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "swish",
    "softmax": "softmax",
    "softplus": "softplus",
    "softsign": "softsign",
    "tanh": "tanh",
}
_RENAMED = {"LeakyReLU": {"negative_slope": "alpha"}}
# options of Keras 3 that change speed or training-time bookkeeping, not what is computed
_WITHOUT_EFFECT = frozenset({"use_cudnn", "flash_attention", "bounding_box_format", "seed", "optional", "ragged"})
_PAIRWISE = frozenset({"Add", "Subtract", "Multiply", "Maximum", "Minimum"})

Convert = Callable[[Any], Any]
"""Turns a Keras 3 layer (or nested model) inside a wrapper into its counterpart."""


class RebuildRefused(ModelError):
    """A Keras 3 model that cannot be rebuilt as tf_keras. ``details`` has ``layer`` and ``type``."""


def refused(layer: Any, reason: str) -> RebuildRefused:
    """The error for one layer."""
    kind = type(layer).__name__
    return RebuildRefused(
        f"layer {layer.name!r} ({kind}) cannot be rebuilt as tf_keras: {reason}",
        hint="edgekit prunes such a model in Keras 3 itself; replace the layer to use the TensorFlow toolkit",
        details={"layer": str(layer.name), "type": kind},
    )


def counterpart(layer: Any, convert: Convert) -> Any:
    """A new tf_keras layer that computes what a Keras 3 layer does, without weights yet.

    Args:
        layer: a Keras 3 layer, not a model.
        convert: for the layers inside wrappers.

    Raises:
        RebuildRefused: no such layer in tf_keras, or an option that it does not have.
    """
    kind = type(layer).__name__
    if not type(layer).__module__.startswith("keras.src."):
        raise refused(layer, f"{type(layer).__module__}.{kind} is not part of Keras")
    cls = getattr(libraries.tf_keras().layers, kind, None)
    if cls is None:
        raise refused(layer, "tf_keras has no layer of this type")
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(layer, cls, convert)
    return cls(**_config(layer, cls))


def _config(layer: Any, cls: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The arguments for ``cls`` from the configuration of ``layer``."""
    accepted = _parameters(cls)
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(type(layer).__init__).parameters.items()
    }
    renamed = _RENAMED.get(type(layer).__name__, {})
    found: dict[str, Any] = {}
    for key, value in layer.get_config().items():
        name = renamed.get(key, key)
        if key in without or key.endswith("_initializer"):  # the weights are copied, so nothing is initialized
            continue
        if key == "dtype":
            found["dtype"] = _dtype(layer)
        elif name not in accepted:
            dropped = key in _WITHOUT_EFFECT or value is None or value is False or value == defaults.get(key)
            if not dropped and not (key == "data_format" and value == "channels_last"):
                raise refused(layer, f"tf_keras has no option {key}={value!r}")
        elif key.endswith("activation"):
            found[name] = _activation(layer, value)
        elif key.endswith(("_regularizer", "_constraint")):
            found[name] = _plain(layer, key, value)
        else:
            found[name] = value
    return found


@functools.cache
def _parameters(cls: Any) -> frozenset[str]:
    """Names that the constructor takes, its base classes' where it passes them on."""
    found = {"name", "trainable", "dtype", "activity_regularizer"}
    for base in cls.__mro__:
        if "__init__" not in base.__dict__ or not base.__module__.startswith("tf_keras"):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        found |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    if issubclass(cls, libraries.tf_keras().layers.RNN):
        found.add("zero_output_for_mask")  # taken out of **kwargs
    return frozenset(found - {"self"})


def _dtype(layer: Any) -> str:
    name = str(layer.dtype_policy.name)
    if name not in ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16") and not (
        name.startswith(("int", "uint")) and name[-1].isdigit() and "_" not in name
    ):
        raise refused(layer, f"tf_keras has no dtype policy {name!r}")
    return name


def _activation(layer: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, Mapping) and custom.covers(custom.registered(), value):
        return custom.function_of(value, libraries.tf_keras())
    if not isinstance(value, str):
        what = value.get("registered_name") or value.get("class_name") if isinstance(value, Mapping) else value
        raise refused(layer, f"its activation {what!r} is an object or a function of its author's")
    return _SAME_ACTIVATIONS.get(value) or _carried_activation(value)


@functools.cache
def _carried_activation(name: str) -> Any:
    """Keras 3's own function, registered with tf_keras so that cloned layers find it again."""
    function = libraries.keras().activations.get(name)

    def activation(x: Any) -> Any:
        return function(x)

    activation.__name__ = activation.__qualname__ = f"keras3_{name}"
    return libraries.tf_keras().utils.register_keras_serializable("edgekit", activation.__name__)(activation)


def _plain(layer: Any, key: str, value: Any) -> Any:
    """A regularizer or constraint in the older form, which names a class and no module."""
    if value is None:
        return None
    own = isinstance(value, Mapping) and str(value.get("module")).split(".")[0] == "keras"
    if not own:
        raise refused(layer, f"its {key} is not part of Keras")
    return {"class_name": value["class_name"], "config": dict(value["config"])}


def _bidirectional(layer: Any, cls: Any, convert: Convert) -> Any:
    forward, backward = convert(layer.forward_layer), convert(layer.backward_layer)
    for inner, prefix in ((forward, "forward_"), (backward, "backward_")):
        inner._name = str(inner.name).removeprefix(prefix)  # the wrapper puts it in front again
    arguments = {"merge_mode": layer.merge_mode, "name": layer.name, "dtype": _dtype(layer)}
    mirrored = {**forward.get_config(), "go_backwards": not forward.go_backwards, "name": backward.name}
    if mirrored == backward.get_config():
        return cls(forward, **arguments)
    return cls(forward, backward_layer=backward, **arguments)


def _around_one(layer: Any, cls: Any, convert: Convert) -> Any:
    return cls(convert(layer.layer), **_config(layer, cls, without=("layer",)))


def _recurrent(layer: Any, cls: Any, convert: Convert) -> Any:
    return cls(convert(layer.cell), **_config(layer, cls, without=("cell",)))


def _stacked_cells(layer: Any, cls: Any, convert: Convert) -> Any:
    return cls([convert(cell) for cell in layer.cells], **_config(layer, cls, without=("cells",)))


def _normalization(layer: Any, cls: Any, _: Convert) -> Any:
    import numpy

    # as constants: the two libraries store what adapt() found differently
    shape = tuple(layer._mean_and_var_shape or ())
    mean, variance = (numpy.asarray(value).reshape(shape) for value in (layer.mean, layer.variance))
    return cls(mean=mean, variance=variance, **_config(layer, cls, without=("mean", "variance")))


def _lambda(layer: Any, cls: Any, _: Convert) -> Any:
    arguments = dict(layer.arguments or {})
    return cls(layer.function, arguments=arguments, name=layer.name, dtype=_dtype(layer))


_SPECIAL: dict[str, Callable[[Any, Any, Convert], Any]] = {
    "Bidirectional": _bidirectional,
    "TimeDistributed": _around_one,
    "SpectralNormalization": _around_one,
    "RNN": _recurrent,
    "StackedRNNCells": _stacked_cells,
    "Normalization": _normalization,
    "Lambda": _lambda,
}


def apply_operation(operation: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any], *, is_tensor: Any) -> Any:
    """Calls a Keras 3 operation (``x + y``, ``keras.ops.mean(x)``) on symbolic tf_keras tensors.

    Args:
        operation: a ``keras.Operation`` that is not a layer.
        arguments: with tf_keras tensors in the places of the Keras 3 ones.
        keywords: likewise.
        is_tensor: tells which of them are tensors.
    """
    tf_keras = libraries.tf_keras()
    kind = type(operation).__name__
    if kind in _PAIRWISE and len(arguments) == 2 and not keywords and all(map(is_tensor, arguments)):
        left, right = arguments
        if left.dtype == right.dtype and len(left.shape) == len(right.shape):
            return getattr(tf_keras.layers, kind)(name=operation.name)(list(arguments))
    tensors: list[Any] = []

    def numbered(value: Any) -> Any:
        if is_tensor(value):
            tensors.append(value)
            return _Place(len(tensors) - 1)
        return value

    template = _mapped((arguments, dict(keywords)), numbered)
    return _operation_layer()(operation=operation, template=template, name=operation.name)(tensors)


class _Place:
    """Where a tensor stands among the arguments of an operation."""

    def __init__(self, index: int) -> None:
        self.index = index


@functools.cache
def _operation_layer() -> Any:
    layers = libraries.tf_keras().layers

    class KerasOperation(layers.Layer):  # type: ignore[misc, name-defined]  # a class of an untyped library
        """Runs a Keras 3 operation inside a tf_keras model, so that all of keras.ops works there."""

        def __init__(self, operation: Any, template: Any, **keywords: Any) -> None:
            super().__init__(**keywords)
            self._keras_operation, self._template = operation, template

        def call(self, inputs: Any) -> Any:
            tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            arguments, keywords = _mapped(
                self._template, lambda value: tensors[value.index] if isinstance(value, _Place) else value
            )
            return self._keras_operation.call(*arguments, **keywords)

        def get_config(self) -> dict[str, Any]:
            # good for clones in this process, which is all that pruning and conversion ask for
            return {**super().get_config(), "operation": self._keras_operation, "template": self._template}

    return KerasOperation


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_mapped(item, function) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return function(value)
