"""Seeded data sets, generated: images of shapes with textures, and features of spoken-like words.

Each function gives ``x_train``, ``y_train``, ``x_test``, ``y_test`` and the same values on every machine. They are hard
on purpose (low contrast, noise, a stripe across the image, other words in the background): a model that is right in
all of the test rows could not show a loss.
"""

from __future__ import annotations

import sys

import numpy as np

IMAGE_CLASSES = 10
WORD_CLASSES = 12
_SIDE = 32
_FRAMES, _BANDS = 49, 10
_TRACKS = 3


def images(train_rows: int = 4000, test_rows: int = 4000, seed: int = 1) -> dict[str, np.ndarray]:
    """uint8 [rows, 32, 32, 3]; the class is one of five shapes, filled with stripes or with checks."""
    return _divided(*_images(train_rows + test_rows, seed), train_rows)


def words(train_rows: int = 4000, test_rows: int = 4000, seed: int = 2) -> dict[str, np.ndarray]:
    """float32 [rows, 49, 10, 1], as the cepstral features of a second of sound: ten words, silence, and other words."""
    return _divided(*_words(train_rows + test_rows, seed), train_rows)


SETS = {"images": images, "words": words}


def _divided(x: np.ndarray, y: np.ndarray, train_rows: int) -> dict[str, np.ndarray]:
    return {
        "x_train": x[:train_rows],
        "y_train": y[:train_rows],
        "x_test": x[train_rows:],
        "y_test": y[train_rows:],
    }


def _images(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = random.integers(IMAGE_CLASSES, size=rows)
    shape, texture = label % 5, label // 5
    v, u = np.mgrid[:_SIDE, :_SIDE].astype(np.float32)
    one = (rows, 1, 1)
    size = random.uniform(9, 13, one).astype(np.float32)
    room = (_SIDE - 2 * size) / 2
    du = u - (_SIDE - 1) / 2 - room * random.uniform(-1, 1, one)
    dv = v - (_SIDE - 1) / 2 - room * random.uniform(-1, 1, one)
    angle = random.uniform(-0.3, 0.3, one)
    a = (du * np.cos(angle) + dv * np.sin(angle)) / size
    b = (dv * np.cos(angle) - du * np.sin(angle)) / size
    inside = _inside(a, b, shape[:, None, None])

    # the texture turns on its own, so that only its kind tells, never its direction
    turn, phase = random.uniform(0, np.pi, one), random.uniform(0, 2 * np.pi, one)
    pace = 2 * np.pi / random.uniform(4.5, 6, one)
    stripes = np.sin(pace * (u * np.cos(turn) + v * np.sin(turn)) + phase)
    across = np.sin(pace * (v * np.cos(turn) - u * np.sin(turn)) + phase)
    fill = np.where(texture[:, None, None] == 0, stripes, np.sign(stripes * across))

    ground, contrast = random.uniform(80, 175, (rows, 1, 1, 3)), random.uniform(20, 65, (rows, 1, 1, 3))
    image = ground + contrast * (inside * fill)[..., None]
    slope = random.uniform(-25, 25, (rows, 1, 1, 3)) * ((u + v) / _SIDE - 1)[None, ..., None]
    where, lean = random.uniform(4, 28, one), random.uniform(-1, 1, one)
    stripe = np.abs(u + lean * (v - _SIDE / 2) - where) < 1.2
    image = np.where(stripe[..., None], random.uniform(0, 255, (rows, 1, 1, 3)), image + slope)
    image = image + random.normal(0, 16, image.shape)
    return image.clip(0, 255).astype(np.uint8), label.astype(np.int64)


def _inside(a: np.ndarray, b: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Disk, square, triangle, ring, cross; ``a`` and ``b`` are the pixel's place in the shape, -1 to 1."""
    radius = np.hypot(a, b)
    wide = np.maximum(np.abs(a), np.abs(b))
    narrow = np.minimum(np.abs(a), np.abs(b))
    return np.select(
        [shape == 0, shape == 1, shape == 2, shape == 3],
        [radius < 0.95, wide < 0.85, (b < 0.8) & (b > 2 * np.abs(a) - 1), (radius < 1.05) & (radius > 0.5)],
        (wide < 1.0) & (narrow < 0.36),
    )


def _words(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    # a word: three tracks, each a path through the bands with a loudness of its own
    spoken = random.uniform(0, _BANDS - 1, (WORD_CLASSES - 2, _TRACKS, 4))
    loud = random.uniform(0.4, 1.2, (WORD_CLASSES - 2, _TRACKS, 4))
    label = random.integers(WORD_CLASSES, size=rows)
    path = random.uniform(0, _BANDS - 1, (rows, _TRACKS, 4))
    gain = random.uniform(0.4, 1.2, (rows, _TRACKS, 4))
    known = label < WORD_CLASSES - 2
    path[known] = spoken[label[known]] + random.normal(0, 1.2, (known.sum(), _TRACKS, 4))
    gain[known] = loud[label[known]] * random.uniform(0.7, 1.3, (known.sum(), _TRACKS, 4))
    gain[label == WORD_CLASSES - 2] = 0

    begin, length = random.uniform(2, 16, (rows, 1)), random.uniform(22, 32, (rows, 1))
    moment = (np.arange(_FRAMES) - begin) / length  # 0 to 1 while the word is spoken
    voiced = (moment > 0) & (moment < 1)
    moment = np.clip(moment, 0, 0.999) * 3
    left, part = moment.astype(int), moment - moment.astype(int)
    band = np.arange(_BANDS)
    features = random.normal(0, 0.75, (rows, _FRAMES, _BANDS))
    for track in range(_TRACKS):
        place = _between(path[:, track], left, part)
        height = _between(gain[:, track], left, part) * voiced
        features += 1.6 * height[..., None] * np.exp(-((band - place[..., None]) ** 2) / 1.4)
    features += random.normal(0, 0.3, (rows, 1, _BANDS))  # the room
    return features[..., None].astype(np.float32), label.astype(np.int64)


def _between(values: np.ndarray, left: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Values at four points of time, joined by straight lines: [rows, 4] to [rows, frames]."""
    joined: np.ndarray = np.take_along_axis(values, left, 1) * (1 - part)
    joined += np.take_along_axis(values, left + 1, 1) * part
    return joined


if __name__ == "__main__":
    for name, make in SETS.items():
        arrays = make()
        sys.stdout.write(f"{name}: " + ", ".join(f"{key} {value.shape}" for key, value in arrays.items()) + "\n")
