"""Runs a .tflite with every tensor inside of it kept, one row at a time. For a child process, as all of LiteRT."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy

from edgekit.core.errors import DependencyError, ModelError
from edgekit.data.block import Array
from edgekit.optimize import model_tree
from edgekit.optimize.interpreter import quantized

_THREADS = 2


class Activations:
    """A model whose inner tensors can be looked at.

    Args:
        content: of the .tflite, float or quantized, with a batch of 1.
        source: what it came from, for messages.

    Attributes:
        model: as a ``ModelT``; tensors and ops below are those of its main subgraph.

    Raises:
        ModelError: LiteRT does not take it.
        DependencyError: LiteRT is not installed.
    """

    def __init__(self, content: bytes, source: str) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise DependencyError("LiteRT is not installed", hint="pip install ai-edge-litert") from error
        self.model = model_tree.parse(content, source)
        self._source = source
        self._inputs = model_tree.inputs(self.model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that keeping all tensors takes memory
            try:
                self._interpreter = Interpreter(
                    model_content=bytes(content), num_threads=_THREADS, experimental_preserve_all_tensors=True
                )
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise self._refused(error) from error
        self._places = [int(detail["index"]) for detail in self._interpreter.get_input_details()]

    def run(self, row: Mapping[str, Array]) -> None:
        """One call.

        Args:
            row: input name → real values [1, …], as :class:`~edgekit.optimize.representative.Rows` gives them.

        Raises:
            ModelError: the call fails.
        """
        try:
            self._interpreter.reset_all_variables()
            for place, spec in zip(self._places, self._inputs, strict=True):
                self._interpreter.set_tensor(place, quantized(row[spec.name], spec))
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise self._refused(error) from error

    def value(self, tensor: int) -> Array | None:
        """What a tensor holds after the last call, in its own dtype; None where it is kept nowhere."""
        try:
            found: Array = self._interpreter.get_tensor(tensor)
        except ValueError:
            return None
        return found

    def real(self, tensor: int) -> Array | None:
        """As :meth:`value`, as float32: dequantized where it has a scale."""
        found = self.value(tensor)
        if found is None or found.dtype.kind == "f":
            return found
        quantization = self.model.subgraphs[0].tensors[tensor].quantization
        if quantization is None or quantization.scale is None or len(quantization.scale) != 1:
            return found.astype(numpy.float32)
        zero = numpy.float32(quantization.zeroPoint[0] if quantization.zeroPoint is not None else 0)
        scaled: Array = (found.astype(numpy.float32) - zero) * numpy.float32(quantization.scale[0])
        return scaled

    def _refused(self, error: Exception) -> ModelError:
        return ModelError(
            f"{self._source} does not run in LiteRT: {' '.join(str(error).split())[:300]}",
            hint="make it again with `edgekit convert`",
        )


def inner_floats(model: Any) -> dict[str, int]:
    """Name → index of the float32 tensors that ops of the main subgraph write, without the model's outputs."""
    graph = model.subgraphs[0]
    edges = {int(index) for index in graph.outputs}
    written = [int(index) for op in graph.operators or () for index in op.outputs]
    return {
        model_tree.text(graph.tensors[index].name): index
        for index in written
        if index not in edges and model_tree.dtype(graph.tensors[index]) == "float32"
    }
