"""A model that a step changes: read, and written back as the kind of file that it was, the user's own untouched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.core import files
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink, task
from edgekit.model import load
from edgekit.model.load import LoadedModel
from edgekit.optimize.export import release_memory

_ENDINGS = {
    "keras3-keras": ".keras",
    "keras3-h5": ".h5",
    "tf-keras-keras": ".keras",
    "tf-keras-h5": ".h5",
    "saved-model": ".keras",
}


@contextmanager
def changing(source: str, *, trust: bool, on_event: EventSink) -> Iterator[LoadedModel]:
    """The model in ``source`` for a step that changes its weights or layers: it is forgotten afterwards.

    Args:
        source: any format that can be loaded; the file stays as it is.
        trust: allow code inside the model file.
        on_event: hears of the loading.

    Raises:
        ModelError: it cannot be loaded.
    """
    with task("load the model", on_event):
        loaded = load.load_model(Path(source), trust=trust)
    try:
        yield loaded
    finally:
        load.forget()
        release_memory(Path(source).stat().st_size)


def check_kind(loaded: LoadedModel, out: Path, done: str) -> None:
    """Refuses what cannot be written back before any work is done.

    Args:
        loaded: the source.
        out: where the new file shall go.
        done: what happens to the model, for messages: ``clustered``.

    Raises:
        ModelError: a SavedModel without layers.
        UsageError: another ending than the source's, or the source itself.
    """
    check_layers(loaded, done)
    ending = _ENDINGS[loaded.format.name]
    if out.suffix != ending:
        raise UsageError(
            f"{loaded.path.name} is written back as a {ending} file, and {out.name} does not end like that",
            hint=f"-o {out.with_suffix(ending)}",
        )
    check_other(loaded, out)


def check_layers(loaded: LoadedModel, done: str) -> None:
    """Refuses a SavedModel that is a graph without layers.

    Raises:
        ModelError: it is one.
    """
    if loaded.library == "tensorflow":
        raise ModelError(
            f"{loaded.path.name} is a SavedModel without Keras layers: its graph can be quantized, but not {done}",
            hint="start from the .keras or .h5 that it was exported from",
        )


def check_other(loaded: LoadedModel, out: Path) -> None:
    """Refuses to write over the source.

    Raises:
        UsageError: ``out`` is the source.
    """
    if out.exists() and loaded.path.exists() and out.samefile(loaded.path):
        raise UsageError(f"{out} is the model itself, which is never written to", hint="choose another name with -o")


def reloaded(loaded: LoadedModel, weights: list[Any] | None = None) -> Any:
    """The user's model as it is in the file, loss and optimizer included, with new weights where some are given."""
    load.forget()
    fresh = load.load_model(loaded.path, trust=True)  # it was judged when it was loaded first
    if weights is not None:
        fresh.model.set_weights(weights)
    return fresh.model


def write(model: Any, out: Path) -> None:
    """Saves a model whose weights have changed; appears whole or not at all.

    The optimizer starts afresh: its moments belong to the old weights, and would triple the file.

    Raises:
        UsageError: ``out`` cannot be written.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        model.optimizer = type(optimizer).from_config(optimizer.get_config())
    with files.appearing(out) as temporary:
        model.save(str(temporary))
