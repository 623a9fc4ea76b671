"""What the tests of this room do in the process with TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from edgekit.core.errors import EdgekitError
from edgekit.model import custom, describe, libraries, load, rebuild, rebuild_layers


def load_and_run(path: str, trust: bool = False) -> dict[str, Any]:
    """Loads twice and runs five random samples one by one and together."""
    loaded = load.load_model(Path(path), trust=trust)
    random = numpy.random.default_rng(0)
    inputs = {
        spec.name: random.uniform(0, 1, (5, *(abs(n) for n in spec.shape[1:]))).astype(spec.dtype)
        for spec in load.input_specs(loaded)
    }
    together = load.forward(loaded, inputs)
    single = [load.forward(loaded, {name: value[i : i + 1] for name, value in inputs.items()}) for i in range(5)]
    return {
        "library": loaded.library,
        "same_object": load.load_model(Path(path), trust=trust).model is loaded.model,
        "inputs": load.input_specs(loaded),
        "outputs": load.output_specs(loaded),
        "shapes": {name: list(value.shape) for name, value in together.items()},
        "difference": max(
            float(numpy.abs(value - numpy.concatenate([one[name] for one in single])).max())
            for name, value in together.items()
        ),
        "loss": str(getattr(loaded.model, "loss", None)),
        "notices": [notice.code for notice in loaded.notices],
        "values": {name: value.astype(float).ravel().tolist() for name, value in together.items()},
    }


def forward_without_input(path: str) -> None:
    loaded = load.load_model(Path(path))
    load.forward(loaded, {"image": numpy.zeros((1, 8, 8, 1), "float32")})


def forward_wrong_shape(path: str) -> None:
    loaded = load.load_model(Path(path))
    load.forward(loaded, {"": numpy.zeros((1, 9, 9, 9), "float32")})


def rebuild_all(names: list[str]) -> dict[str, Any]:
    return {name: _rebuild(name) for name in names}


def _rebuild(name: str) -> dict[str, Any]:
    import architectures

    keras = libraries.keras()
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    try:
        original = getattr(architectures, name)()
        _scatter_statistics(original)
        before = _weights_by_layer(original)
        rebuilt = rebuild.rebuild_as_tf_keras(original)
    except EdgekitError as error:
        return {"error": type(error).__name__, "message": str(error), "details": error.details}
    untouched = _same(before, _weights_by_layer(original))
    for layer in rebuilt.counterpart.values():  # as pruning would
        layer.set_weights([weight * 0.5 for weight in layer.get_weights()])
    rebuild.copy_weights_back(rebuilt, original)
    halved = {path: [weight * 0.5 for weight in weights] for path, weights in before.items()}
    clone = libraries.tf_keras().models.clone_model(rebuilt.model)  # what the toolkit does with every model
    return {
        "relative": rebuilt.max_abs_difference / rebuilt.scale,
        "layers": sorted(rebuilt.counterpart),
        "trainable": [len(original.trainable_weights), len(rebuilt.model.trainable_weights)],
        "untouched": untouched,
        "written_back": _same(halved, _weights_by_layer(original)),
        "cloned": len(clone.weights) == len(rebuilt.model.weights),
        "inputs": [len(original.inputs), len(rebuilt.model.inputs)],
    }


def _weights_by_layer(model: Any) -> dict[str, list[Any]]:
    normalization = libraries.keras().layers.Normalization  # its statistics are constants of the rebuilt model
    return {
        str(layer.path): [weight.copy() for weight in layer.get_weights()]
        for layer in model._flatten_layers(include_self=False)
        if layer.weights and not list(layer._layers) and not isinstance(layer, normalization)
    }


def _same(left: dict[str, list[Any]], right: dict[str, list[Any]]) -> bool:
    return left.keys() == right.keys() and all(
        numpy.array_equal(a, b) for path in left for a, b in zip(left[path], right[path], strict=True)
    )


def _scatter_statistics(model: Any) -> None:
    """Moving averages that training would have left; 0 and 1 would hide a mix-up."""
    keras, random = libraries.keras(), numpy.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(random.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(random.uniform(1, 1.2, layer.moving_variance.shape))


def rebuild_with_wrong_hard_sigmoid() -> dict[str, Any]:
    """The rebuild as it would be if hard_sigmoid were taken for the function of the same name in Keras 2."""
    import architectures

    rebuild_layers._SAME_ACTIVATIONS["hard_sigmoid"] = "hard_sigmoid"
    try:
        keras = libraries.keras()
        inner = keras.Sequential(
            [
                keras.layers.Input((8,)),
                keras.layers.Dense(8, name="first"),
                keras.layers.Activation("hard_sigmoid", name="gate"),
            ],
            name="inner",
        )
        model = keras.Sequential([keras.layers.Input((8,)), inner, keras.layers.Dense(2)])
        try:
            rebuild.rebuild_as_tf_keras(model)
        except rebuild.RebuildRefused as error:
            nested = {"message": str(error), "details": error.details}
        return {"plain": _rebuild(architectures.hard_activations.__name__), "nested": nested}
    finally:
        del rebuild_layers._SAME_ACTIVATIONS["hard_sigmoid"]


def copy_into_another() -> None:
    import architectures

    rebuilt = rebuild.rebuild_as_tf_keras(architectures.cnn())
    rebuild.copy_weights_back(rebuilt, architectures.lstm())


def refuse_across_the_boundary() -> None:
    import architectures

    rebuild.rebuild_as_tf_keras(architectures.custom())


def describe_built(name: str) -> Any:
    import architectures

    from edgekit.model.format import ModelFormat

    libraries.keras().utils.clear_session()
    fmt = ModelFormat(name="keras3-keras", library="keras", library_version=None)
    model = getattr(architectures, name)()
    return describe.describe(load.LoadedModel(model=model, library="keras", format=fmt, path=Path("model.keras")))


def register_and_run(names: list[str], path: str) -> dict[str, Any]:
    custom.register(names)
    return load_and_run(path)


def rebuild_with_own_activation() -> float:
    """The difference of outputs between a Keras 3 model with an activation of the user's and its rebuilt copy."""
    custom.register(["zoo_custom:soft_step"])
    import zoo_custom

    keras = libraries.keras()
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, activation=zoo_custom.soft_step, name="own")])
    return rebuild.rebuild_as_tf_keras(model).max_abs_difference
