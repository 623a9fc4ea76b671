"""The zoo: one small seeded model of every kind, with rows that it can learn from.

``build("residual")`` in a process with TensorFlow; ``rows`` and ``write_npz`` need numpy alone; ``saved`` makes files
in a process of its own, for tests of processes without TensorFlow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy
import zoo_models as models

Array = Any
SPARSE = "SparseCategoricalCrossentropy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A kind of model.

    Attributes:
        make: builds it with ``keras`` or ``tf_keras``.
        inputs: name → shape without the batch.
        loss: ``softmax``, ``logits``, ``pixels`` (a class for every pixel), ``same`` (autoencoder) or ``two`` (two
            outputs).
        scale: the inputs lie between 0 and this (images), or about ±1 where it is 1 and there is no image.
        custom: what ``--custom`` must name, for ``keras`` and for ``tf_keras``.
        learning_rate: of Adam.
    """

    make: Callable[[Any], Any]
    inputs: dict[str, tuple[int, ...]]
    loss: str = "softmax"
    scale: float = 1.0
    custom: dict[str, tuple[str, ...]] | None = None
    learning_rate: float = 5e-3


def _model(make: Callable[[Any], Any], *shape: int, name: str = "image", **options: Any) -> Model:
    return Model(make=make, inputs={name: shape}, **options)


_I = models.IMAGE
ZOO: dict[str, Model] = {
    "sequential": _model(models.sequential, *_I),
    "functional": _model(models.functional, *_I),
    "residual": _model(models.residual, *_I),
    "depthwise": _model(models.depthwise, 32, 32, 3),
    "keyword_spotting": _model(models.keyword_spotting, *models.SPEECH, name="speech"),
    "inception": _model(models.inception, *_I),
    "densenet": _model(models.densenet, *_I),
    "grouped": _model(models.grouped, *_I),
    "squeeze_excite": _model(models.squeeze_excite, *_I),
    "nested": _model(models.nested, *_I),
    "transfer": _model(models.transfer, 32, 32, 3, loss="logits", scale=255.0),
    "unet": _model(models.unet, *_I, loss="pixels"),
    "audio": _model(models.audio, *models.AUDIO, name="sound"),
    "autoencoder": _model(models.autoencoder, 64, name="signal", loss="same"),
    "lstm": _model(models.lstm, *models.SERIES, name="series", learning_rate=2e-2),
    "gru": _model(models.gru, *models.SERIES, name="series", learning_rate=2e-2),
    "bidirectional": _model(models.bidirectional, *models.SERIES, name="series", learning_rate=2e-2),
    "transformer": _model(models.transformer, *models.SERIES, name="series", learning_rate=1e-2),
    "multi_input": Model(make=models.multi_input, inputs={"image": _I, "meta": (5,)}),
    "multi_output": _model(models.multi_output, *_I, loss="two"),
    "logits": _model(models.logits, *_I, loss="logits"),
    "softmax_layer": _model(models.softmax_layer, 8, 8, 1),
    "custom": _model(
        models.custom,
        *_I,
        custom={
            "keras": ("zoo_custom:Gate", "zoo_custom:soft_step"),
            "tf_keras": ("zoo_custom:OldGate", "zoo_custom:soft_step"),
        },
    ),
}
CLASSES = models.CLASSES


def library_of(name: str) -> Any:
    """The module ``keras`` or ``tf_keras``."""
    if name == "keras":
        import keras

        return keras
    import tf_keras

    return tf_keras


def build(name: str, library: str = "keras", *, seed: int = 1, epochs: int = 0) -> Any:
    """The model, compiled; trained on ``rows(name, 256)`` for some epochs where they are asked for."""
    module = library_of(library)
    module.backend.clear_session()  # names of layers without one would count on
    module.utils.set_random_seed(seed)
    entry = ZOO[name]
    model = entry.make(module)
    loss: Any
    if entry.loss == "same":
        loss = "mse"
    elif entry.loss == "two":
        loss = {"kind": module.losses.SparseCategoricalCrossentropy(), "size": "mse"}
    else:
        loss = module.losses.SparseCategoricalCrossentropy(from_logits=entry.loss == "logits")
    optimizer = module.optimizers.Adam(learning_rate=entry.learning_rate)
    if entry.loss in ("same", "two"):
        model.compile(optimizer=optimizer, loss=loss)
    else:
        model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    if epochs:
        inputs, labels = rows(name, 256)
        targets = {"kind": labels, "size": labels / CLASSES} if entry.loss == "two" else labels
        given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
        model.fit(given, targets, batch_size=32, epochs=epochs, verbose=0)
    return model


def save(
    name: str, folder: Path, library: str = "keras", ending: str = ".keras", *, seed: int = 1, epochs: int = 0
) -> Path:
    """The model as a file ``NAME-LIBRARY.keras`` (or ``.h5``), made in this process."""
    path = folder / f"{name}-{library}{ending}"
    model = build(name, library, seed=seed, epochs=epochs)
    model.save(str(path), **({"save_format": ending.lstrip(".")} if library == "tf_keras" else {}))
    return path


def saved(
    name: str, folder: Path, library: str = "keras", ending: str = ".keras", *, seed: int = 1, epochs: int = 0
) -> Path:
    """As :func:`save`, in a process of its own; made once for a folder."""
    path = folder / f"{name}-{library}{ending}"
    if not path.exists():
        command = [sys.executable, __file__, name, str(folder), library, ending, str(seed), str(epochs)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert run.returncode == 0, run.stderr[-3000:]
    return path


def rows(name: str, count: int = 256, seed: int = 0) -> tuple[dict[str, Array], Array]:
    """Rows that a model can learn from: every class has waves of its own direction and frequency, with noise on them.

    Returns:
        Inputs by name, float32 [count, …]; labels [count] int64, of ``pixels`` [count, height, width], of ``same`` the
        input.
    """
    entry = ZOO[name]
    random = numpy.random.default_rng([seed, 7])
    labels = random.permutation(numpy.arange(count) % CLASSES).astype("int64")
    inputs = {key: _waves(shape, labels, random) for key, shape in entry.inputs.items()}
    if len(shape := next(iter(entry.inputs.values()))) == 3:
        unit = {key: 0.5 + 0.25 * value if value.ndim == 4 else value for key, value in inputs.items()}
        inputs = {k: numpy.clip(v, 0, 1) * entry.scale if v.ndim == 4 else v for k, v in unit.items()}
    if entry.loss == "pixels":
        key = next(iter(inputs))
        other = random.permutation(labels)
        right = _waves(shape, other, random)
        half = shape[1] // 2
        inputs[key][:, :, half:] = numpy.clip(0.5 + 0.25 * right[:, :, half:], 0, 1)
        pixels = numpy.repeat(labels[:, None], shape[0], axis=1)[:, :, None].repeat(shape[1], axis=2)
        pixels[:, :, half:] = other[:, None, None]
        labels = pixels
    inputs = {key: value.astype("float32") for key, value in inputs.items()}
    return inputs, (next(iter(inputs.values())) if entry.loss == "same" else labels)


def _waves(shape: tuple[int, ...], labels: Array, random: Any) -> Array:
    """[rows, …], about ±1: a wave per class along the first two axes (images) or the first one, in a random phase."""
    fixed = numpy.random.default_rng(3)
    count = len(labels)
    if len(shape) == 1:
        templates = fixed.normal(size=(CLASSES, shape[0]))
        return templates[labels] * 0.7 + 0.4 * random.normal(size=(count, shape[0]))
    steps = shape[0]
    phase = random.uniform(0, 1.2, size=(count, 1, 1))
    along = numpy.arange(steps)[None, :, None]
    across = numpy.arange(shape[1])[None, None, :] if len(shape) == 3 else numpy.zeros((1, 1, 1))
    if len(shape) == 3:
        directions = numpy.array([[1.6, 0.0], [0.0, 1.6], [0.5, 0.5], [1.3, -1.3]])
    else:
        directions = numpy.array([[0.3, 0.0], [0.7, 0.0], [1.3, 0.0], [2.2, 0.0]])
    wave = numpy.sin(phase + directions[labels, 0, None, None] * along + directions[labels, 1, None, None] * across)
    channels = shape[-1]
    tint = fixed.uniform(0.4, 1.0, size=(CLASSES, channels))[labels]
    body = wave[..., None] if len(shape) == 3 else wave  # [rows, height, width, 1] or [rows, steps, 1]
    tints = tint.reshape(count, *([1] * (len(shape) - 1)), channels)
    return body * tints + (0.9 if len(shape) == 3 else 0.6) * random.normal(size=(count, *shape))


def write_npz(name: str, path: Path, count: int = 256, seed: int = 0, *, labels: bool = True) -> Path:
    """Rows as ``--data`` takes them: ``x`` and ``y``, or the inputs by name where there are several."""
    inputs, truth = rows(name, count, seed)
    arrays = dict(inputs) if len(inputs) > 1 else {"x": next(iter(inputs.values()))}
    if labels:
        arrays["y"] = truth
    numpy.savez(path, **arrays)
    return path


if __name__ == "__main__":
    which, where, kind, end, number, training = sys.argv[1:]
    save(which, Path(where), kind, end, seed=int(number), epochs=int(training))
    os._exit(0)  # TensorFlow's destructors take a second
