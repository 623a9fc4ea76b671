"""The door to TFMOT's quantization-aware training: which layers it takes, and the model that simulates int8."""

from __future__ import annotations

import functools
from typing import Any

from edgekit.core import install
from edgekit.core.errors import DependencyError, ModelError
from edgekit.model import libraries
from edgekit.optimize.qat.flatten import Flat
from edgekit.optimize.qat.record import LayerTreatment, Preserve
from edgekit.optimize.qat.rewrite import SIMULATED

#: what TFMOT knows and the converter handles alike
_BEFORE_NORM = ("Conv2D", "DepthwiseConv2D", "Dense")
_ACTIVATIONS = ("relu", "swish", "gelu", "linear", "softmax", "sigmoid", "tanh")
#: their outputs can be simulated, although TFMOT has no rule for them
_OUTPUT_ONLY = (
    "Average",
    "AveragePooling3D",
    "ELU",
    "GroupNormalization",
    "LayerNormalization",
    "Multiply",
    "Normalization",
    "PReLU",
    "Rescaling",
    "Subtract",
    "UnitNormalization",
)
#: their int8 ops have one scale for input and output, so a range of its own would cost a float island
_ONE_SCALE = ("AveragePooling1D", "AveragePooling2D", "UpSampling2D")
#: likewise, or values pass through unchanged; TFMOT leaves them alone
_PASSING = (
    "InputLayer",
    "Lambda",
    "Masking",
    "Maximum",
    "MaxPooling1D",
    "MaxPooling3D",
    "Minimum",
    "RepeatVector",
    "UpSampling1D",
    "UpSampling3D",
)
_REASONS = {
    "BatchNormalization": "no convolution or Dense layer right before it that it could be folded into",
    "Bidirectional": "TFMOT cannot simulate recurrent layers",
    "LSTM": "TFMOT cannot simulate recurrent layers",
    "MultiHeadAttention": "TFMOT cannot simulate attention",
    "Embedding": "a lookup table",
}


class Toolkit:
    """The parts of TFMOT that are used."""

    def __init__(self) -> None:
        _ = libraries.tensorflow().keras  # TFMOT turns tf.keras into tf_keras for whoever asks for it first after
        self.keras = libraries.tf_keras()
        try:
            from tensorflow_model_optimization.python.core.quantization.keras import (
                quant_ops,
                quantize_layer,
                quantize_wrapper,
                quantizers,
            )
            from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
                cluster_preserve_quantize_registry,
                default_8bit_cluster_preserve_quantize_scheme,
            )
            from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
                default_8bit_prune_preserve_quantize_scheme,
                prune_preserve_quantize_registry,
            )
            from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
                default_8bit_quantize_configs,
                default_8bit_quantize_registry,
                default_8bit_quantize_scheme,
            )
            from tensorflow_model_optimization.quantization import keras as quantization
            from tf_keras.src.saving.serialization_lib import SafeModeScope
        except ImportError as error:
            raise DependencyError(
                f"tensorflow-model-optimization is not installed ({error})", hint=install.OPTIMIZE
            ) from error
        self.api = quantization
        self.safe_mode = SafeModeScope
        self.quant_ops = quant_ops
        self.quantizers = quantizers
        self.quantize_layer = quantize_layer.QuantizeLayer
        self.wrapper = quantize_wrapper.QuantizeWrapper
        self.configs = default_8bit_quantize_configs
        self.registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry
        self.plain_scheme = default_8bit_quantize_scheme.Default8BitQuantizeScheme
        self.prune_scheme = default_8bit_prune_preserve_quantize_scheme.Default8BitPrunePreserveQuantizeScheme
        self.prune_registry = prune_preserve_quantize_registry.Default8bitPrunePreserveQuantizeRegistry
        self.cluster_scheme = default_8bit_cluster_preserve_quantize_scheme.Default8BitClusterPreserveQuantizeScheme
        self.cluster_registry = cluster_preserve_quantize_registry.Default8bitClusterPreserveQuantizeRegistry


def treatments(flat: Flat) -> dict[str, LayerTreatment]:
    """Name of each layer of the flat model → how it can be treated; its ``name`` is the path in the user's model."""
    registry = Toolkit().registry()
    found: dict[str, LayerTreatment] = {}
    for layer in flat.model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        path, original = flat.origin.get(layer.name, (layer.name, kind))
        treatment, reason = _treatment(layer, kind, registry, flat, found)
        found[layer.name] = LayerTreatment(name=path, type=original, treatment=treatment, reason=reason)
    return found


def _treatment(layer: Any, kind: str, registry: Any, flat: Flat, earlier: dict[str, LayerTreatment]) -> tuple[Any, str]:
    if layer.name in flat.shared:
        return "calibrated", "it is called more than once"
    if kind == "BatchNormalization":
        return _norm(layer, earlier)
    if kind == "Activation" and getattr(layer.activation, "__name__", "") not in _ACTIVATIONS:
        return "output", f"TFMOT cannot simulate the activation {getattr(layer.activation, '__name__', 'of its own')}"
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if registry.supports(layer) and (activation in SIMULATED or kind in ("Activation", "ReLU")):
        return "trained", ""
    if kind in _PASSING:
        return "trained", ""
    if kind in _OUTPUT_ONLY:
        return "output", "TFMOT has no rule for its inside"
    if not type(layer).__module__.startswith("tf_keras.") and _has_one_output(layer):
        return "output", "a layer of its author's"
    return "calibrated", _REASONS.get(kind, "TFMOT has no rule for it")


def _norm(layer: Any, earlier: dict[str, LayerTreatment]) -> tuple[Any, str]:
    """BatchNormalization is simulated as part of the layer before it."""
    before = _before(layer)
    while before is not None and type(before).__name__ in ("Lambda", "Reshape"):
        before = _before(before)
    if before is None or type(before).__name__ not in _BEFORE_NORM:
        return "calibrated", _REASONS["BatchNormalization"]
    linear = getattr(before.activation, "__name__", "") == "linear"
    if not linear or len(before._outbound_nodes) > 1 or earlier[before.name].treatment != "trained":
        return "calibrated", _REASONS["BatchNormalization"]
    return "trained", ""


def _before(layer: Any) -> Any:
    found = libraries.tensorflow().nest.flatten(layer._inbound_nodes[0].inbound_layers)
    return found[0] if len(found) == 1 else None


def _has_one_output(layer: Any) -> bool:
    node = layer._inbound_nodes[0]
    nest = libraries.tensorflow().nest
    if len(node.call_args) != 1 or node.call_kwargs or len(nest.flatten(node.outputs)) != 1:
        return False
    try:
        layer.compute_output_shape(layer.input_shape)
    except (TypeError, ValueError, NotImplementedError, AttributeError):  # code of the author's
        return False
    return True


def simulating(flat: Flat, treated: dict[str, LayerTreatment], preserve: Preserve) -> Any:
    """The model that simulates int8 where it can, with copies of the flat model's weights.

    Raises:
        ModelError: TFMOT refuses the model.
    """
    tfmot = Toolkit()
    annotate = tfmot.api.quantize_annotate_layer
    registry = tfmot.registry()

    def annotated(layer: Any) -> Any:
        kind = type(layer).__name__
        treatment = treated[layer.name].treatment
        if treatment == "calibrated" or (kind in _PASSING and kind != "Lambda"):
            return layer
        if kind == "Lambda":
            known = layer.name in flat.origin and flat.origin[layer.name][1] != "Lambda"
            return annotate(layer, quantize_config=tfmot.configs.NoOpQuantizeConfig()) if known else layer
        if kind in _ONE_SCALE:
            return annotate(layer, quantize_config=tfmot.configs.NoOpQuantizeConfig())
        if treatment == "output":
            return annotate(layer, quantize_config=tfmot.configs.Default8BitOutputQuantizeConfig())
        return annotate(layer) if registry.supports(layer) or kind == "BatchNormalization" else layer

    # TFMOT makes the layers again from their configurations, the author's own too
    known: dict[str, Any] = {type(layer).__name__: type(layer) for layer in flat.model.layers}
    for layer in flat.model.layers:
        activation = getattr(layer, "activation", None)
        if not str(getattr(activation, "__module__", "tf_keras")).startswith("tf_keras"):
            known[getattr(activation, "__name__", type(activation).__name__)] = activation
    known |= {
        kind.__name__: kind
        for kind in (tfmot.configs.NoOpQuantizeConfig, tfmot.configs.Default8BitOutputQuantizeConfig)
    }
    try:
        # safe_mode: the model was judged when it was loaded, and TFMOT writes and reads its Lambda layers again
        with tfmot.api.quantize_scope(known), tfmot.safe_mode(safe_mode=False):
            marked = tfmot.keras.models.clone_model(flat.model, clone_function=annotated)
            return tfmot.api.quantize_apply(marked, scheme=_scheme(tfmot, preserve))
    except Exception as error:
        raise ModelError(
            f"TFMOT cannot train {flat.model.name!r} with quantization in mind: {' '.join(str(error).split())[:300]}",
            hint="use quantize --mode int8 instead (recipe int8)",
        ) from error


def _scheme(tfmot: Toolkit, preserve: Preserve) -> Any:
    if preserve == "none":
        return tfmot.plain_scheme()
    if preserve == "sparsity":
        return _lenient(tfmot, tfmot.prune_scheme, tfmot.prune_registry)()
    with_zeros = preserve == "both"
    registry = functools.partial(tfmot.cluster_registry, with_zeros)
    return _lenient(tfmot, tfmot.cluster_scheme, registry)(with_zeros)


def _lenient(tfmot: Toolkit, scheme: Any, registry: Any) -> Any:
    """TFMOT's preserving scheme, with plain quantization of the layers that it would refuse the model for."""

    class Scheme(scheme):  # type: ignore[misc]
        def get_quantize_registry(self) -> Any:
            plain = tfmot.registry()

            class Registry:
                """Both of them."""

                def supports(self, layer: Any) -> bool:
                    return bool(plain.supports(layer))

                def get_quantize_config(self, layer: Any) -> Any:
                    try:
                        # a new one each time: TFMOT's forgets the zeros of all layers after one without any
                        return registry().get_quantize_config(layer)
                    except ValueError:
                        return plain.get_quantize_config(layer)

            return Registry()

    return Scheme
