"""Which source a dataset specification means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.data import fit
from edgekit.data.block import Source
from edgekit.data.spec import KINDS, DataSpec


def parts_of(spec: DataSpec) -> tuple[str, ...]:
    """Which parts (``train``, ``test``, ``val``) the source has; empty where it is one piece.

    Raises:
        DataError: see :func:`open_dataset`.
    """
    path = Path(spec.source).expanduser()
    if path.suffix.lower() == ".npz" and path.is_file():
        from edgekit.data.npz import parts_of_npz

        return parts_of_npz(path)
    if path.is_dir():
        from edgekit.data.folder import folder_parts

        return tuple(folder_parts(path))
    return ()


def open_source(spec: DataSpec, inputs: Sequence[TensorSpec] | None) -> Source:
    """The source that a spec names, understood with the model's inputs where they are known.

    Raises:
        DataError: missing, empty, damaged, of an unknown kind.
    """
    path = Path(spec.source).expanduser()
    if spec.kind() == "function":
        from edgekit.data.function import FunctionSource

        return FunctionSource(spec.source)
    name = path.name.lower()
    if name.endswith(".npz"):
        from edgekit.data.npz import open_npz_source

        return open_npz_source(path, part=spec.part, wanted=tuple(fit.plain(item.name) for item in inputs or ()))
    if name.endswith(".npy"):
        from edgekit.data.npz import open_npy_source

        return open_npy_source(path)
    if path.is_dir():
        return _open_folder(spec, path, inputs)
    if name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
        from edgekit.data.table import TableSource

        wanted = math.prod(inputs[0].shape[1:]) if inputs is not None and len(inputs) == 1 else None
        return TableSource(path, features=wanted)
    raise DataError(f"{spec.source}: not a kind of dataset that edgekit reads", hint=f"a dataset is one of {KINDS}")


def _open_folder(spec: DataSpec, path: Path, inputs: Sequence[TensorSpec] | None) -> Source:
    from edgekit.data.folder import FolderSource, folder_parts

    parts = folder_parts(path)
    if parts:
        part = spec.part or ("test" if "test" in parts else next(reversed(parts)))
        if part not in parts:
            raise DataError(f"{path} has no {part} part, only {', '.join(parts)}", hint=f"add the folder {path / part}")
        path = parts[part]
    elif spec.part is not None:
        raise DataError(f"{path} has no {spec.part} part", hint=f"it needs the folders train and {spec.part}")
    size, channels, first = spec.image_size, spec.channels, False
    if inputs is not None and len(inputs) == 1:
        shape = tuple(inputs[0].shape[1:])
        if len(shape) not in (2, 3):
            raise DataError(
                f"{path} holds images, but the model's input {fit.plain(inputs[0].name)!r} is no image (shape {shape})",
                hint="give the data as .npz",
            )
        first = fit.is_channels_first(shape)
        height, width, depth = (*shape[1:], shape[0]) if first else (*shape, 1)[:3]
        size = size or ((height, width) if height > 0 and width > 0 else None)
        channels = channels or (depth if depth in (1, 3, 4) else None)
    return FolderSource(path, size=size, channels=channels, channels_first=first)
