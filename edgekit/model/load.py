"""Loads a model with the library that wrote it and runs it by input and output name. Only in the TensorFlow child."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import ModelError
from edgekit.core.notice import Notice
from edgekit.model import config as keras_config
from edgekit.model import libraries, safety
from edgekit.model.format import ModelFormat, detect_format

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        model: a Keras 3 model, a tf_keras model, or what ``tf.saved_model.load`` gives.
        library: ``keras``, ``tf_keras`` or ``tensorflow``: which of the three.
        format: what the file is.
        path: where it came from.
        signature: of a plain SavedModel, the one that is called; None for Keras models.
        notices: what the user should know (code that was trusted, loss that could not be loaded).
    """

    model: Any
    library: str
    format: ModelFormat
    path: Path
    signature: str | None = None
    notices: tuple[Notice, ...] = ()


_last: dict[tuple[str, int, int, bool], LoadedModel] = {}


def load_model(path: Path, *, trust: bool = False) -> LoadedModel:
    """Loads a model file or SavedModel folder, compiled where its loss and optimizer are Keras' own.

    The last model stays in memory: the next call for the same unchanged file returns the same object. Whoever changes
    its weights must not rely on the next call (see :func:`forget`).

    Raises:
        ModelError: not a model, damaged, code without ``trust``, an unknown layer, a .tflite.
        DependencyError: TensorFlow, Keras or tf_keras is not installed.
    """
    path = Path(path)
    fmt = detect_format(path, isolated=False)
    if fmt.name == "tflite":
        raise ModelError(
            f"{path.name} is a .tflite, which has no layers to train or convert",
            hint="name the Keras model or SavedModel that it was made from",
        )
    inner = path / "saved_model.pb" if path.is_dir() else path
    state = inner.stat()
    key = (str(path.resolve()), state.st_mtime_ns, state.st_size, trust)
    if key not in _last:
        _last.clear()
        notices = safety.refuse_code(path, fmt, trust=trust, isolated=False)
        _last[key] = _load_folder(path, fmt, notices) if path.is_dir() else _load_file(path, fmt, notices, trust)
    return _last[key]


def forget() -> None:
    """Drops the model that :func:`load_model` keeps, for callers that change its weights."""
    _last.clear()


def _load_file(path: Path, fmt: ModelFormat, notices: tuple[Notice, ...], trust: bool) -> LoadedModel:
    library = libraries.keras() if fmt.library == "keras" else libraries.tf_keras()
    config = keras_config.read_config(path, fmt.name, isolated=False)
    for layer, item in keras_config.layers_of(config.model):
        _check_known(library, layer, item)
    ending = ".h5" if fmt.name.endswith("-h5") else ".keras"
    with _named(path, ending) as source:
        model = None
        if safety.training_is_plain(config):
            with contextlib.suppress(Exception):  # an optimizer of another version; the layers are what counts
                model = library.models.load_model(source, compile=True, safe_mode=not trust)
        elif config.training is not None:
            notice = Notice(
                code="custom-training",
                message="loss, optimizer or metrics of the model are not Keras' own and were not loaded",
            )
            notices = (*notices, notice)
        if model is None:
            try:
                model = library.models.load_model(source, compile=False, safe_mode=not trust)
            except Exception as error:  # the loaders raise whatever they meet
                raise _not_loaded(path, fmt, error) from error
    if not getattr(model, "built", True) or not getattr(model, "inputs", None):
        raise ModelError(
            f"{path.name} does not say what its input is: the model was never built",
            hint="begin it with keras.Input(shape=...), or call it once on data, and save it again",
        )
    return LoadedModel(model=model, library=fmt.library, format=fmt, path=path, notices=notices)


def _check_known(library: Any, layer: str, item: Mapping[str, Any]) -> None:
    """Names an unknown layer before Keras dumps the whole configuration into a message."""
    kind = str(item["class_name"])
    if item.get("module") not in (None, "keras.layers", "tf_keras.layers"):
        return  # the safety scan has judged it, and Keras imports it by its module
    if kind in ("Functional", "Model", "Sequential", "TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod"):
        return
    known = any(hasattr(place, kind) for place in (library.layers, getattr(library.layers, "experimental", None)))
    if not known and kind not in ("InstanceProperty", "TensorFlowOpLayer", "AddV2", "Merge"):
        raise safety.unknown_layer(layer, kind)


@contextlib.contextmanager
def _named(path: Path, ending: str) -> Iterator[str]:
    """The file under a name with the ending that Keras chooses its loader by."""
    if path.name.endswith(ending):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        link = Path(folder) / f"model{ending}"
        link.symlink_to(path.resolve())
        yield str(link)


def _not_loaded(path: Path, fmt: ModelFormat, error: Exception) -> ModelError:
    what = " ".join(str(error).split())[:300]
    version = f" {fmt.library_version}" if fmt.library_version else ""
    return ModelError(
        f"{path.name} (written by {fmt.library}{version}) cannot be loaded: {type(error).__name__}: {what}",
        hint="if the file is whole, export the model where it was made, model.export('folder'), and name the folder",
    )


def _load_folder(path: Path, fmt: ModelFormat, notices: tuple[Notice, ...]) -> LoadedModel:
    tf = libraries.tensorflow()
    if fmt.library == "tf_keras" and not safety.has_custom_layers(path):
        tf_keras = libraries.tf_keras()
        with contextlib.suppress(Exception):  # what cannot be revived as Keras still runs as a graph
            model = tf_keras.models.load_model(str(path), compile=True)
            if isinstance(model, (tf_keras.Sequential, tf_keras.Model)) and getattr(model, "inputs", None):
                return LoadedModel(model=model, library="tf_keras", format=fmt, path=path, notices=notices)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # protobuf, file and op errors alike
        what = " ".join(str(error).split())[:300]
        raise ModelError(
            f"the SavedModel {path} cannot be loaded: {type(error).__name__}: {what}",
            hint="export it again: model.export('folder'); copy the whole folder, with variables/",
        ) from error
    return LoadedModel(
        model=loaded, library="tensorflow", format=fmt, path=path, signature=_signature(path, loaded), notices=notices
    )


def _signature(path: Path, loaded: Any) -> str:
    names = sorted(str(name) for name in getattr(loaded, "signatures", {}))
    if "serving_default" in names:
        return "serving_default"
    if len(names) == 1:
        return names[0]
    if not names:
        raise ModelError(
            f"the SavedModel {path} has no signature, so nothing says how to call it",
            hint="export it with model.export('folder'), or tf.saved_model.save(..., signatures=...)",
        )
    raise ModelError(
        f"the SavedModel {path} has several signatures and none is called serving_default: {', '.join(names)}",
        hint="export it with the one to use as signatures={'serving_default': ...}",
    )


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
    try:
        pieces = [
            _call(loaded, specs, [tf.constant(array[at : at + step]) for array in arrays])
            for step in [fixed_batch(loaded) or max(1, len(arrays[0]))]
            for at in range(0, len(arrays[0]), step)
        ]
    except (ValueError, TypeError, tf.errors.OpError) as error:
        what = " ".join(str(error).split())[:300]
        raise ModelError(f"{loaded.path.name} does not take this data: {what}") from error
    names = output_names(loaded)
    return {name: numpy.concatenate([piece[index] for piece in pieces]) for index, name in enumerate(names)}


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
