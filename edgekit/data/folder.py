"""A folder of images as a source: one subfolder per class, or images without labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy

from edgekit.core.errors import DataError
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.data.block import Array, Block, partitions, rows_per_block
from edgekit.data.images import SUFFIXES, image_form, read_image

PART_FOLDERS = {"train": ("train", "training"), "test": ("test",), "val": ("val", "valid", "validation")}
_HINT = f"put images ({', '.join(SUFFIXES)}) into one subfolder per class"


class FolderSource:
    """Images in sorted order; classes are the sorted names of the subfolders, as Keras numbers them.

    Args:
        root: the folder.
        size: (height, width); None: of the first image.
        channels: 1, 3 or 4; None: of the first image.
        channels_first: give [channels, height, width].
    """

    input_names = ("",)
    counted = True

    def __init__(
        self, root: Path, *, size: tuple[int, int] | None, channels: int | None, channels_first: bool = False
    ) -> None:
        self.root = root
        classes = [item.name for item in _visible(root) if item.is_dir()]
        others: list[Path] = []
        self._files: list[Path] = []
        labels: list[int] = []
        for label, folder in enumerate([root / name for name in classes] or [root]):
            images = [path for path in _below(folder) if _is_image(path, others)]
            self._files += images
            labels += [label] * len(images)
        if not self._files:
            what = "is empty" if not others and not classes else "holds no images"
            raise DataError(f"the folder {root} {what}", hint=_HINT)
        self.has_labels = bool(classes)
        self.class_names = tuple(classes) or None
        self._labels = numpy.asarray(labels, numpy.int64)
        if size is None or channels is None:
            first_size, first_channels = image_form(self._files[0])
            size, channels = size or first_size, channels or first_channels
        self._size, self._channels, self._channels_first = size, channels, channels_first
        self._resized = False
        self._notices = _notices(root, classes, others, self._labels)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user should know; after a pass also whether images were resized."""
        if not self._resized:
            return self._notices
        message = f"images of {self.root} are resized to {self._size[1]}×{self._size[0]} (bilinear)"
        hint = "resize them yourself if the model was trained with another filter or with cropping"
        return (*self._notices, Notice(code="images-resized", message=message, hint=hint))

    def count(self) -> int:
        """All images."""
        return len(self._files)

    def blocks(self, rows: Array | None) -> Iterator[Block]:
        """See :class:`~edgekit.data.block.Source`."""
        block_rows = min(64, rows_per_block(self._size[0] * self._size[1] * self._channels))
        for start, stop, chosen in partitions(self.count(), block_rows, rows):
            indices = numpy.arange(start, stop) if chosen is None else chosen + start
            if not len(indices):
                continue
            images = []
            for index in indices:
                image, changed = read_image(self._files[index], size=self._size, channels=self._channels)
                images.append(image.transpose(2, 0, 1) if self._channels_first else image)
                self._resized = self._resized or changed
            labels = self._labels[indices] if self.has_labels else None
            yield Block(inputs={"": numpy.stack(images)}, labels=labels, indices=indices)

    def content_sha256(self) -> str:
        """Hash of names and contents of all images."""
        digest = hashlib.sha256()
        for path in self._files:
            digest.update(f"{path.relative_to(self.root).as_posix()}\0{sha256_file(path)}\n".encode())
        return digest.hexdigest()

    def row_hashes(self, rows: Array | None) -> Iterator[bytes]:
        """Hashes of the files: nothing is decoded."""
        for path in self._files if rows is None else [self._files[index] for index in rows]:
            yield hashlib.blake2b(path.read_bytes(), digest_size=16).digest()

    def place(self, index: int) -> str:
        """The image's path."""
        return str(self._files[index])


def folder_parts(root: Path) -> dict[str, Path]:
    """``{"train": …, "test": …}`` of a folder that is divided like this; empty for a folder of classes."""
    by_name = {item.name.lower(): item for item in _visible(root) if item.is_dir()}
    found = {part: by_name[name] for part, names in PART_FOLDERS.items() for name in names if name in by_name}
    return found if "train" in found and len(found) == len(by_name) else {}


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(item for item in folder.iterdir() if not item.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def _below(folder: Path) -> Iterator[Path]:
    for item in _visible(folder):
        if item.is_dir():
            yield from _below(item)
        else:
            yield item


def _is_image(path: Path, others: list[Path]) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    others.append(path)
    return False


def _notices(root: Path, classes: list[str], others: list[Path], labels: Array) -> tuple[Notice, ...]:
    found = []
    if classes:
        others = others + [item for item in _visible(root) if item.is_file()]
    if others:
        some = ", ".join(str(path.relative_to(root)) for path in others[:3])
        found.append(
            Notice(
                code="files-ignored",
                message=f"{len(others)} files of {root} are not used ({some}{', …' if len(others) > 3 else ''})",
                hint=_HINT,
            )
        )
    empty = [name for number, name in enumerate(classes) if not (labels == number).any()]
    if empty:
        found.append(
            Notice(
                code="empty-classes",
                message=f"no images in {', '.join(empty[:5])}: these folders still count as classes",
                hint="remove the folders that are not classes",
            )
        )
    if all(name.isdecimal() for name in classes) and classes != sorted(classes, key=int):
        found.append(
            Notice(
                code="class-order",
                message=f"class folders are numbered in the order of their names: {', '.join(classes[:4])}, …",
                hint="Keras does the same; pad the numbers (00, 01, …) if the model was trained in another order",
            )
        )
    return tuple(found)
