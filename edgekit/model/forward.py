"""Runs a loaded model by input and output name, whichever library it belongs to. Only in the TensorFlow child."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import ModelError
from edgekit.model import libraries

if TYPE_CHECKING:
    import numpy

    from edgekit.model.load import LoadedModel

    Array = numpy.ndarray[Any, Any]


def input_specs(loaded: LoadedModel) -> tuple[TensorSpec, ...]:
    """Names, dtypes and shapes of the inputs; the batch dimension is -1, other free dimensions too."""
    if loaded.library == "tensorflow":
        signature = loaded.model.signatures[loaded.signature].structured_input_signature[1]
        return tuple(_spec(name, signature[name]) for name in signature)
    return tuple(_spec(name, tensor) for name, tensor in zip(input_names(loaded), loaded.model.inputs))


def output_specs(loaded: LoadedModel) -> tuple[TensorSpec, ...]:
    """Names, dtypes and shapes of the outputs; the batch dimension is -1, other free dimensions too."""
    if loaded.library == "tensorflow":
        signature = loaded.model.signatures[loaded.signature].structured_outputs
        return tuple(_spec(name, signature[name]) for name in signature)
    return tuple(_spec(name, tensor) for name, tensor in zip(output_names(loaded), loaded.model.outputs))


def input_names(loaded: LoadedModel) -> tuple[str, ...]:
    """The inputs' names in the order of the model's flat inputs: those of its Input layers."""
    if loaded.library == "tensorflow":
        return tuple(loaded.model.signatures[loaded.signature].structured_input_signature[1])
    if loaded.library == "keras":  # a fresh model's tensors have names of their own, a loaded one's the layers'
        return _unique([str(tensor._keras_history.operation.name) for tensor in loaded.model.inputs])
    return _unique([str(tensor.name).split(":")[0] for tensor in loaded.model.inputs])


def output_names(loaded: LoadedModel) -> tuple[str, ...]:
    """The outputs' names in the order of the model's flat outputs: those of the layers that make them."""
    if loaded.library == "tensorflow":
        return tuple(loaded.model.signatures[loaded.signature].structured_outputs)
    graph = getattr(loaded.model, "_functional", None) or loaded.model  # a Sequential of Keras 3 has it inside
    names = getattr(graph, "output_names", None)
    if not names or len(names) != len(loaded.model.outputs):
        names = [f"output_{index}" for index in range(len(loaded.model.outputs))]
    return _unique([str(name) for name in names])


def call_flat(loaded: LoadedModel, tensors: list[Any]) -> list[Any]:
    """Calls a Keras model on its flat inputs (in the order of :func:`input_names`), inference only; flat outputs."""
    library = libraries.keras() if loaded.library == "keras" else libraries.tf_keras()
    structure = _input_structure(loaded)
    packed = tensors[0] if structure is None else _pack(structure, tensors)
    out = loaded.model(packed, training=False)
    flat = library.tree.flatten(out) if loaded.library == "keras" else libraries.tensorflow().nest.flatten(out)
    return list(flat)


def forward(loaded: LoadedModel, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Runs a batch through the model in inference mode.

    Args:
        loaded: the model.
        inputs: name → array with a batch dimension, of the shapes of :func:`input_specs`. A model with one input also
            takes the name "".

    Returns:
        Name → array with the same batch dimension.

    Raises:
        ModelError: an input is missing, or the model refuses the arrays.
    """
    import numpy

    tf = libraries.tensorflow()
    specs = input_specs(loaded)
    given = {specs[0].name: inputs[""]} if len(specs) == 1 and "" in inputs else inputs
    missing = [spec.name for spec in specs if spec.name not in given]
    if missing:
        raise ModelError(f"no data for the input {missing[0]!r}; there is: {', '.join(map(repr, given))}")
    arrays = [numpy.asarray(given[spec.name]).astype(spec.dtype, copy=False) for spec in specs]
    step = fixed_batch(loaded) or max(1, len(arrays[0]))
    try:
        pieces = [
            _call(loaded, specs, [tf.constant(_piece(array, at, step)) for array in arrays])
            for at in range(0, max(1, len(arrays[0])), step)
        ]
    except (ValueError, TypeError, tf.errors.OpError) as error:
        what = " ".join(str(error).split())[:300]
        raise ModelError(f"{loaded.path.name} does not take this data: {what}") from error
    names = output_names(loaded)
    whole = {name: numpy.concatenate([piece[index] for piece in pieces]) for index, name in enumerate(names)}
    return {name: value[: len(arrays[0])] for name, value in whole.items()}


def _piece(array: Array, at: int, step: int) -> Array:
    """``step`` rows; the last row again where there are too few of them."""
    import numpy

    piece = array[at : at + step]
    missing = step - len(piece) if len(piece) else 0
    return numpy.concatenate([piece, numpy.repeat(piece[-1:], missing, axis=0)]) if missing else piece


def fixed_batch(loaded: LoadedModel) -> int | None:
    """The batch size that the model insists on, or None where any will do."""
    if loaded.library == "tensorflow":
        shapes = [t.shape for t in loaded.model.signatures[loaded.signature].structured_input_signature[1].values()]
    else:
        shapes = [tensor.shape for tensor in loaded.model.inputs]
    first = shapes[0]
    return int(first[0]) if len(first) and first[0] is not None else None


def _call(loaded: LoadedModel, specs: tuple[TensorSpec, ...], tensors: list[Any]) -> list[Array]:
    import numpy

    if loaded.library != "tensorflow":
        return [numpy.asarray(value) for value in call_flat(loaded, tensors)]
    out = loaded.model.signatures[loaded.signature](**{spec.name: t for spec, t in zip(specs, tensors)})
    return [numpy.asarray(out[name]) for name in output_names(loaded)]


def _input_structure(loaded: LoadedModel) -> Any:
    """How the model wants its inputs packed: None (one tensor), or a list or dict of positions."""
    model = loaded.model
    if loaded.library == "keras":
        library = libraries.keras()
        functional = getattr(model, "_functional", None) or model
        structure = getattr(functional, "_inputs_struct", None)
        if structure is None or hasattr(structure, "shape"):
            return None
        order = {id(tensor): index for index, tensor in enumerate(model.inputs)}
        return library.tree.map_structure(lambda tensor: order[id(tensor)], structure)
    if len(model.inputs) == 1 and not isinstance(getattr(model, "_nested_inputs", None), (list, tuple, dict)):
        return None
    nested = getattr(model, "_nested_inputs", None)
    if isinstance(nested, dict):
        order = {id(tensor): index for index, tensor in enumerate(model.inputs)}
        return {name: order[id(tensor)] for name, tensor in nested.items()}
    return list(range(len(model.inputs)))


def _pack(structure: Any, tensors: list[Any]) -> Any:
    if isinstance(structure, Mapping):
        return {name: _pack(item, tensors) for name, item in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [_pack(item, tensors) for item in structure]
    return tensors[structure]


def _spec(name: str, tensor: Any) -> TensorSpec:
    shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
    dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
    return TensorSpec(name=name, dtype=str(dtype), shape=(-1, *shape[1:]) if shape else shape)


def _unique(names: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        fresh, count = name, 1
        while fresh in found:
            fresh, count = f"{name}_{count}", count + 1
        found.append(fresh)
    return tuple(found)
