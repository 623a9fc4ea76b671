"""Small models of every kind with samples for them, and what Google's own interpreter makes of these."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy
import tiny_tflite


def interpret(model: Path, sample: list[numpy.ndarray]) -> list[bytes]:
    """The outputs of Google's own Python interface."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), sample):
        interpreter.set_tensor(detail["index"], array.reshape(detail["shape"]))
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]).tobytes() for detail in interpreter.get_output_details()]


def raw(answer: dict) -> list[list[bytes]]:
    return [[base64.b64decode(text) for text in sample] for sample in answer["outputs"]]


def normal(*shape: int, seed: int = 0) -> numpy.ndarray:
    return numpy.random.default_rng(seed).normal(size=shape).astype("float32")


MODELS = {
    "float": (tiny_tflite.dense(), [[normal(1, 8, seed=n)] for n in range(3)]),
    "int8": (
        tiny_tflite.dense_int8(),
        [[numpy.random.default_rng(n).integers(-128, 128, (1, 16)).astype("int8")] for n in range(3)],
    ),
    "dynamic batch": (tiny_tflite.dense(dynamic=True), [[normal(1, 8)]]),
    "two inputs": (tiny_tflite.subtract(), [[normal(1, 4, seed=1), normal(1, 4, seed=2)]]),
    "signature in another order": (
        tiny_tflite.subtract(reversed_signature=True),
        [[normal(1, 4, seed=1), normal(1, 4, seed=2)]],
    ),
    "int64": (tiny_tflite.cast("int64", "float32"), [[numpy.arange(5, dtype="int64").reshape(1, 5)]]),
    "bool": (tiny_tflite.cast("bool", "int32"), [[numpy.array([[True, False, True, True, False]])]]),
    "int16": (tiny_tflite.cast("int16", "uint8"), [[numpy.array([[1, 2, 3, 250, 5]], "int16")]]),
    "float16": (tiny_tflite.cast("float16", "float32"), [[normal(1, 5).astype("float16")]]),
}
