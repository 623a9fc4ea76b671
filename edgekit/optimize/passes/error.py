"""How far a quantized model's outputs are from the float model's on calibration rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy

from edgekit.core.errors import ModelError
from edgekit.data.block import Array
from edgekit.optimize.passes.activations import Activations
from edgekit.optimize.representative import Rows

MOST_ROWS = 64


class OutputError:
    """The float model's outputs for the first calibration rows, to hold quantized models against.

    Args:
        float_content: the float32 .tflite.
        source: its name, for messages.
        rows: to calibrate with; 64 are used.

    Attributes:
        rows: those that are used.

    Raises:
        ModelError: the model does not run.
    """

    def __init__(self, float_content: bytes, source: str, rows: Rows) -> None:
        self.rows: Sequence[Mapping[str, Array]] = list(islice(rows.part(), MOST_ROWS))
        self._source = source
        model = Activations(float_content, source)
        self._wanted = [self._outputs(model, row) for row in self.rows]

    def of(self, content: bytes) -> float:
        """Mean squared difference of the outputs, in units of the mean square of the float model's; infinite where
        LiteRT refuses the model.
        """
        try:
            model = Activations(content, self._source)
            noise = signal = 0.0
            for row, wanted in zip(self.rows, self._wanted, strict=True):
                for here, there in zip(self._outputs(model, row), wanted, strict=True):
                    noise += float(((here - there) ** 2).mean())
                    signal += float((there**2).mean())
        except ModelError:
            return float("inf")
        return noise / signal if signal else noise

    @staticmethod
    def _outputs(model: Activations, row: Mapping[str, Array]) -> list[Array]:
        model.run(row)
        found = [model.real(int(index)) for index in model.model.subgraphs[0].outputs]
        return [numpy.array(values, numpy.float64) for values in found if values is not None]
