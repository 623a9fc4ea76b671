"""Rebuilds a model with fewer channels: its configuration with smaller numbers, its weights with slices taken out."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import ModelError
from edgekit.model import libraries
from edgekit.model.load import LoadedModel
from edgekit.optimize.filters.channels import Part
from edgekit.optimize.filters.graph import Dependencies, analyse
from edgekit.optimize.filters.nodes import graph, is_model, leaves, maker

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


def narrow(
    model: Any,
    library: str,
    keep: Mapping[str, Sequence[int]],
    *,
    dependencies: Dependencies | None = None,
    fresh: bool = False,
    compiled: bool = True,
) -> Any:
    """A new model with fewer channels; the old one stays as it is.

    Args:
        model: Functional or Sequential, of either library, nested or not.
        library: ``keras`` or ``tf_keras``.
        keep: group (see :func:`edgekit.optimize.filters.graph.analyse`) → positions of the channels that stay; groups
            that are not named stay whole.
        dependencies: of this model, where they are known.
        fresh: new initial weights instead of the old ones; statistics of the data (Normalization) are kept.
        compiled: with the old one's loss and optimizer, where they can be carried over.

    Returns:
        A model of the same class with the same names.

    Raises:
        ModelError: the model cannot be rebuilt from its configuration, or a channel that must stay is to go.
    """
    found = dependencies or analyse(model, library)
    gone = removed(found, keep)
    config = _Configuration(found, gone).of(model)
    new = _built(model, library, config)
    if compiled:
        compile_alike(model, new)
    _fill(model, new, found, gone, fresh=fresh)
    return new


def removed(dependencies: Dependencies, keep: Mapping[str, Sequence[int]]) -> frozenset[int]:
    """The channels that go.

    Raises:
        ModelError: one of them must stay, or none of a group is left.
    """
    gone: set[int] = set()
    for group in dependencies.groups:
        if group.name not in keep:
            continue
        staying = set(keep[group.name])
        if not staying:
            raise ModelError(f"{group.name} would have no {group.unit} left", hint="use a smaller ratio")
        for place, (channel, reason) in enumerate(zip(group.channels.tolist(), group.reasons)):
            if place in staying:
                continue
            if reason is not None:
                raise ModelError(f"channel {place} of {group.name} must stay: {reason}", hint="leave this layer whole")
            gone.add(channel)
    return frozenset(gone)


def staying(dependencies: Dependencies, ids: Array, gone: frozenset[int]) -> Array:
    """Which positions along an axis stay: bool, the shape of ``ids``."""
    import numpy

    return ~numpy.isin(dependencies.channels.roots(ids), list(gone))


class _Configuration:
    """A model's configuration with the numbers that count channels set anew."""

    def __init__(self, dependencies: Dependencies, gone: frozenset[int]) -> None:
        self._dependencies, self._gone = dependencies, gone

    def of(self, model: Any) -> dict[str, Any]:
        """The whole configuration."""
        config: dict[str, Any] = copy.deepcopy(model.get_config())
        if "layers" not in config:
            raise ModelError(
                f"the model {model.name!r} is a class of its author's with a configuration of its own",
                hint="build it with keras.Model(inputs, outputs) to prune its filters",
            )
        self._visit(model, config, nested=False)
        return config

    def _visit(self, model: Any, config: dict[str, Any], *, nested: bool) -> None:
        inputs = [maker(tensor) for tensor in graph(model).inputs]  # a Sequential does not count them
        layers = {layer.name: layer for layer in (*inputs, *graph(model).layers)}
        if nested:
            config.pop("build_input_shape", None)  # it is built when it is called
        for entry in config["layers"]:
            entry.pop("build_config", None)
            name = entry["config"].get("name") or entry.get("name")
            layer = layers.get(name)
            if layer is None:
                continue
            inner = getattr(layer, "layer", None)
            if is_model(layer):
                self._visit(layer, entry["config"], nested=True)
            elif is_model(inner):
                entry["config"]["layer"].pop("build_config", None)
                self._visit(inner, entry["config"]["layer"]["config"], nested=True)
            else:
                self._edit(entry["config"], self._dependencies.parts.get(id(layer)))
                if nested and type(layer).__name__ != "InputLayer":
                    entry["config"].pop("batch_input_shape", None)

    def _edit(self, config: dict[str, Any], part: Part | None) -> None:
        for key in ("layer", "forward_layer", "backward_layer", "backward_layer_config"):
            if isinstance(config.get(key), dict):
                config[key].pop("build_config", None)
        for edit in part.edits.values() if part else ():
            place: Any = config
            for step in edit.keys[:-1]:
                if isinstance(place[step], tuple):
                    place[step] = list(place[step])
                place = place[step]
            place[edit.keys[-1]] = int(staying(self._dependencies, edit.ids, self._gone).sum())


def _built(model: Any, library: str, config: dict[str, Any]) -> Any:
    own = _own_classes(model)
    try:
        with _author_trusted(library):
            return type(model).from_config(config, custom_objects=own)
    except Exception as error:
        what = " ".join(str(error).split())[:300]
        raise ModelError(
            f"the model {model.name!r} cannot be rebuilt from its configuration: {type(error).__name__}: {what}",
            hint="name the author's own layers with --custom module:name, or skip the layers that they touch",
        ) from error


@contextlib.contextmanager
def _author_trusted(library: str) -> Iterator[None]:
    """Lambda layers were judged when the model was loaded."""
    if library == "keras":
        libraries.keras()
        from keras.src.saving.serialization_lib import SafeModeScope
    else:
        libraries.tf_keras()
        from tf_keras.src.saving.serialization_lib import SafeModeScope
    with SafeModeScope(False):
        yield


def _own_classes(model: Any) -> dict[str, Any]:
    """Classes and functions that are not Keras' own, by the names that a configuration has for them."""
    found: dict[str, Any] = {}
    for _, layer in leaves(model):
        for value in (type(layer), type(getattr(layer, "layer", None)), getattr(layer, "activation", None)):
            module = str(getattr(value, "__module__", "")).partition(".")[0]
            if value is None or module in ("keras", "tf_keras", "builtins", ""):
                continue
            found[getattr(value, "__name__", type(value).__name__)] = value
    return found


def compile_alike(model: Any, new: Any) -> bool:
    """Gives a model the loss and optimizer of another; False where they cannot be carried over."""
    if not (getattr(model, "compiled", False) or getattr(model, "_is_compiled", False)):
        return True
    try:
        new.compile_from_config(model.get_compile_config())
    except Exception:  # noqa: BLE001 - losses and optimizers of the author's own may raise anything
        return False
    return True


def _fill(old: Any, new: Any, dependencies: Dependencies, gone: frozenset[int], *, fresh: bool) -> None:
    targets = dict(leaves(new))
    for path, layer in leaves(old):
        if not layer.weights:
            continue
        if fresh and type(layer).__name__ != "Normalization":
            continue
        target = targets.get(path)
        values = sliced(layer, dependencies, gone)
        if target is None or [v.shape for v in values] != [tuple(w.shape) for w in target.weights]:
            raise ModelError(
                f"{path} ({type(layer).__name__}) has other weights than expected after cutting: this is a defect of "
                "edgekit",
                hint=f"leave it alone: skip {path}",
            )
        target.set_weights(values)
        if hasattr(target, "finalize_state"):
            target.finalize_state()


def sliced(layer: Any, dependencies: Dependencies, gone: frozenset[int]) -> list[Array]:
    """A layer's weights without the channels that go."""
    import numpy

    values = [numpy.asarray(weight) for weight in layer.weights]
    part = dependencies.parts.get(id(layer))
    for cut in part.cuts.values() if part else ():
        kept = numpy.flatnonzero(staying(dependencies, cut.ids, gone))
        if kept.size != cut.ids.size:
            values[cut.weight] = numpy.take(values[cut.weight], kept, axis=cut.axis)
    return values


def derive_student(loaded: LoadedModel, width: float, seed: int, *, derive: str = "width") -> Any:
    """A smaller model of the same architecture, to be taught by the one it comes from.

    Args:
        loaded: the teacher, which stays as it is.
        width: fraction of the channels of every group that can be cut, 0 < width <= 1; at least one stays.
        seed: of the new weights.
        derive: ``width``: new initial weights; ``filters``: the teacher's weights of the channels with the largest L1
            norm.

    Raises:
        ModelError: nothing in the teacher can be cut.
    """
    from edgekit.optimize.filters.choose import Choice, choose
    from edgekit.optimize.filters.criteria import scores

    library = libraries.keras() if loaded.library == "keras" else libraries.tf_keras()
    found = analyse(loaded.model, loaded.library)
    ranked = scores("l1", loaded.model, found).values
    keep = choose(found, ranked, Choice(ratio=1 - width))
    library.utils.set_random_seed(seed)
    return narrow(loaded.model, loaded.library, keep, dependencies=found, fresh=derive == "width")
