"""Either of the two quantizers, calibrated: TensorFlow's where it is loaded, else ai-edge-quantizer."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgekit.core.events import EventSink, ignore, task
from edgekit.optimize.convert import check_mode
from edgekit.optimize.edge_quantizer import EdgeQuantizer, open_edge_quantizer
from edgekit.optimize.export import RecurrentLayer
from edgekit.optimize.passes.choice import NO_PASSES, Passes
from edgekit.optimize.quantize import TensorflowQuantizer, open_quantizer

Int8Mode = Literal["int8", "int8-float-io"]
INT8_MODES: tuple[Int8Mode, ...] = ("int8", "int8-float-io")
_QUANTIZERS = ("tensorflow", "ai-edge-quantizer")


def open_engine(
    float_model: str,
    mode: Int8Mode,
    keep_as: str,
    representative: Mapping[str, Any],
    *,
    quantizer: str | None = None,
    recurrent: Sequence[Mapping[str, str]] = (),
    passes: Passes = NO_PASSES,
    on_event: EventSink = ignore,
) -> TensorflowQuantizer | EdgeQuantizer:
    """Calibrates a float .tflite with the quantizer that fits.

    Args:
        float_model: the file.
        mode: of the result.
        keep_as: ``int16`` needs ai-edge-quantizer.
        representative: a :class:`edgekit.data.spec.DataSpec` as JSON values.
        quantizer: ``tensorflow`` or ``ai-edge-quantizer``; None: the first where this process has TensorFlow loaded.
        recurrent: for error messages.
        passes: before quantization.

    Raises:
        UsageError: no such quantizer.
        DataError: rows that would ruin the model.
        DependencyError: the quantizer is not installed.
        ModelError: not a float model, or one that the calibrator refuses.
    """
    engine = quantizer or ("tensorflow" if "tensorflow" in sys.modules else "ai-edge-quantizer")
    check_mode(engine, _QUANTIZERS, "quantizer")
    with task("calibrate", on_event):
        if engine == "ai-edge-quantizer" or keep_as == "int16":
            return open_edge_quantizer(Path(float_model), mode, representative, passes, on_event)
        layers = tuple(RecurrentLayer(name=item["name"], type=item["type"]) for item in recurrent)
        return open_quantizer(Path(float_model), mode, representative, layers, passes, on_event)
