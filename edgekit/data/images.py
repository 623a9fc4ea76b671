"""The door to Pillow: an image file as an array of the size and channels that a model takes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy

from edgekit.core.errors import DataError
from edgekit.data.block import Array

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def image_form(path: Path) -> tuple[tuple[int, int], int]:
    """(height, width) and channels (1 or 3) of an image file, from its header.

    Raises:
        DataError: not an image, or damaged.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            return (image.height, image.width), 1 if image.mode in ("1", "L", "LA") else 3
    except _errors() as error:
        raise _broken(path, error) from error


def read_image(path: Path, *, size: tuple[int, int], channels: int) -> tuple[Array, bool]:
    """An image as uint8 [height, width, channels], and whether it had to be resized.

    Other sizes are stretched with Pillow's bilinear filter. Colours become grey by ITU-R 601-2 (Pillow's ``L``).

    Raises:
        DataError: not an image, damaged, or of 16 bits a channel.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(
                    f"{path} has more than 8 bits a channel ({image.mode})",
                    hint="save it with 8 bits, or give the data as .npz",
                )
            wanted = (size[1], size[0])
            resized = image.size != wanted
            converted = image.convert(_MODES[channels])
            if resized:
                converted = converted.resize(wanted, Image.Resampling.BILINEAR)
            return numpy.asarray(converted, numpy.uint8).reshape(*size, channels), resized
    except _errors() as error:
        raise _broken(path, error) from error


def _errors() -> tuple[type[Exception], ...]:
    from PIL import Image

    # what Pillow's decoders raise on damaged files; DecompressionBombError guards against absurd sizes
    return (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, Image.DecompressionBombError)


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a readable image: {error}"[:500], hint="replace or remove this file")
