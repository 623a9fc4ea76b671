"""One tf_keras layer as the layers that TFMOT knows how to quantize in training, with their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.model import libraries

#: activations that TFMOT simulates inside a layer
SIMULATED = ("linear", "relu", "softmax", "sigmoid", "tanh", "swish", "gelu")
#: TFMOT's rule for BatchNormalization looks for this name between a convolution and it
_SQUEEZE = "sepconv1d_squeeze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A new layer and the weights for it."""

    layer: Any
    weights: list[Any]


def rewritten(layer: Any, name: str) -> list[Part]:
    """The layers that compute what ``layer`` does, one after the other.

    Args:
        layer: tf_keras, built.
        name: for the one that holds the kernel; the others' names begin with it.
    """
    rewrite = _REWRITES.get(type(layer).__name__)
    if rewrite is None or getattr(layer, "data_format", "channels_last") != "channels_last":
        return [Part(layer=_again(layer, name), weights=layer.get_weights())]
    return rewrite(layer, name)


def _again(layer: Any, name: str, **changes: Any) -> Any:
    config = {**layer.get_config(), "name": name, **changes}
    policy = getattr(layer, "dtype_policy", None) or getattr(layer, "_dtype_policy", None)
    if policy is not None and str(getattr(policy, "compute_dtype", "float32")) in ("float16", "bfloat16"):
        config["dtype"] = "float32"  # quantization is simulated in float32
    return type(layer).from_config(config)


def activation_layer(activation: Any, name: str) -> Any:
    """A layer for an activation that TFMOT cannot simulate inside another layer."""
    layers = libraries.tf_keras().layers
    if getattr(activation, "__name__", "") == "relu6":
        return layers.ReLU(max_value=6.0, name=name)
    return layers.Activation(activation, name=name)


def _activated(layer: Any, made: Callable[[Any], Any], name: str) -> tuple[Any, list[Part]]:
    """The layer itself and, where its activation has to be apart, the layer for that."""
    activation = layer.activation
    if getattr(activation, "__name__", "") in SIMULATED:
        return made(activation), []
    return made("linear"), [Part(layer=activation_layer(activation, f"{name}_activation"), weights=[])]


def _with_kernel(layer: Any, name: str) -> list[Part]:
    made, after = _activated(layer, lambda activation: _again(layer, name, activation=_named(activation)), name)
    return [Part(layer=made, weights=layer.get_weights()), *after]


def _activation(layer: Any, name: str) -> list[Part]:
    if getattr(layer.activation, "__name__", "") == "relu6":
        return [Part(layer=activation_layer(layer.activation, name), weights=[])]
    return [Part(layer=_again(layer, name), weights=[])]


def _separable(layer: Any, name: str) -> list[Part]:
    flat = type(layer).__name__ == "SeparableConv1D"
    weights = layer.get_weights()
    depthwise, pointwise = (weights[0][None], weights[1][None]) if flat else weights[:2]
    layers = libraries.tf_keras().layers
    first = layers.DepthwiseConv2D(
        _pair(layer.kernel_size, flat),
        strides=max(layer.strides),
        padding="valid" if layer.padding == "causal" else layer.padding,
        dilation_rate=_dilation(layer.dilation_rate, flat),
        depth_multiplier=layer.depth_multiplier,
        use_bias=False,
        name=f"{name}_depthwise",
        trainable=layer.trainable,
    )
    second, after = _activated(
        layer,
        lambda activation: layers.Conv2D(
            layer.filters, 1, use_bias=layer.use_bias, activation=activation, name=name, trainable=layer.trainable
        ),
        name,
    )
    parts = [Part(layer=first, weights=[depthwise]), Part(layer=second, weights=[pointwise, *weights[2:]])]
    return [*_widened(layer, parts, name, causal=layer.padding == "causal"), *after] if flat else [*parts, *after]


def _conv1d(layer: Any, name: str) -> list[Part]:
    layers = libraries.tf_keras().layers
    kernel, *bias = layer.get_weights()
    made, after = _activated(
        layer,
        lambda activation: layers.Conv2D(
            layer.filters,
            (1, layer.kernel_size[0]),
            strides=(1, layer.strides[0]),
            padding="valid" if layer.padding == "causal" else layer.padding,
            dilation_rate=(1, layer.dilation_rate[0]),
            groups=layer.groups,
            use_bias=layer.use_bias,
            activation=activation,
            name=name,
            trainable=layer.trainable,
        ),
        name,
    )
    parts = [Part(layer=made, weights=[kernel[None], *bias])]
    return [*_widened(layer, parts, name, causal=layer.padding == "causal"), *after]


def _depthwise1d(layer: Any, name: str) -> list[Part]:
    layers = libraries.tf_keras().layers
    kernel, *bias = layer.get_weights()
    causal = layer.padding == "causal"
    made, after = _activated(
        layer,
        lambda activation: layers.DepthwiseConv2D(
            (1, layer.kernel_size[0]),
            strides=layer.strides[0],
            padding="valid" if causal else layer.padding,
            dilation_rate=_dilation(layer.dilation_rate, True),
            depth_multiplier=layer.depth_multiplier,
            use_bias=layer.use_bias,
            activation=activation,
            name=name,
            trainable=layer.trainable,
        ),
        name,
    )
    return [*_widened(layer, [Part(layer=made, weights=[kernel[None], *bias])], name, causal=causal), *after]


def _widened(layer: Any, parts: list[Part], name: str, *, causal: bool) -> list[Part]:
    """A one-dimensional convolution as a two-dimensional one of height 1, as the converter writes it too."""
    layers = libraries.tf_keras().layers
    before = []
    if causal:
        left = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
        before = [Part(layer=layers.ZeroPadding1D((left, 0), name=f"{name}_causal"), weights=[])]
    widen = layers.Lambda(_widen, name=f"{name}_widen")
    narrow = layers.Lambda(_narrow, name=f"{_SQUEEZE}_{name}")
    return [*before, Part(layer=widen, weights=[]), *parts, Part(layer=narrow, weights=[])]


def _widen(x: Any) -> Any:
    return libraries.tensorflow().expand_dims(x, 1)


def _narrow(x: Any) -> Any:
    return libraries.tensorflow().squeeze(x, [1])


def _pair(size: tuple[int, ...], flat: bool) -> tuple[int, ...]:
    return (1, size[0]) if flat else tuple(size)


def _dilation(rate: tuple[int, ...], flat: bool) -> tuple[int, ...]:
    return (rate[0], rate[0]) if flat else tuple(rate)  # the height is 1, and TensorFlow wants both alike


def _named(activation: Any) -> Any:
    return libraries.tf_keras().activations.serialize(activation) if callable(activation) else activation


_REWRITES: dict[str, Callable[[Any, str], list[Part]]] = {
    "Activation": _activation,
    "Conv1D": _conv1d,
    "Conv2D": _with_kernel,
    "Conv2DTranspose": _with_kernel,
    "Dense": _with_kernel,
    "DepthwiseConv1D": _depthwise1d,
    "DepthwiseConv2D": _with_kernel,
    "SeparableConv1D": _separable,
    "SeparableConv2D": _separable,
}
