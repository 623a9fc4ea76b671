"""A model that simulates int8 → a full-integer ``.tflite``; what was not simulated is calibrated."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgekit.model import libraries
from edgekit.model.load import LoadedModel
from edgekit.optimize import converter_errors, model_tree
from edgekit.optimize.convert import check_weights
from edgekit.optimize.export import SIGNATURE, export_loaded
from edgekit.optimize.qat.requantize import requantize
from edgekit.optimize.representative import Rows


def convert(model: Any, loaded: LoadedModel, output_names: Sequence[str], rows: Rows, mode: str) -> bytes:
    """The int8 file: trained ranges where there are some, calibrated ones elsewhere.

    Args:
        model: tf_keras, with the simulation in it.
        loaded: the user's model, for messages.
        output_names: of the user's model, in the order of its outputs.
        rows: representative.
        mode: ``int8`` or ``int8-float-io``.

    Raises:
        DataError: representative rows that would ruin the model.
        ModelError: the converter refuses it, or loses the weights.
    """
    tf = libraries.tensorflow()
    plain = _without_layers(model, output_names)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        exported = export_loaded(
            dataclasses.replace(loaded, model=plain, library="tf_keras"), Path(folder) / "simulated"
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(exported.path, signature_keys=[SIGNATURE])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

        def representative() -> Iterator[dict[str, Any]]:
            for row in rows():  # the exported names have no blanks
                yield {spec.name: row[own.name] for spec, own in zip(exported.inputs, rows.inputs, strict=True)}

        converter.representative_dataset = representative
        # ops without an int8 kernel may stay float; the audit names them
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.inference_input_type = tf.int8 if mode == "int8" else tf.float32
        converter.inference_output_type = converter.inference_input_type
        try:
            content = requantize(bytes(converter.convert()))
        except Exception as error:
            raise converter_errors.explain(error, mode=mode, recurrent=exported.recurrent) from error
    check_weights(model_tree.parse(content, "the converted file"), exported, mode)
    return content


def _without_layers(model: Any, output_names: Sequence[str]) -> Any:
    """The model as its variables and a function: TensorFlow cannot save layers whose kernels are simulated."""
    tf = libraries.tensorflow()

    class Simulated(tf.Module):  # type: ignore[misc, name-defined, unused-ignore]
        """What the export asks a model for."""

        def __init__(self) -> None:
            super().__init__()
            self.held = list(model.variables)

        inputs = property(lambda _: model.inputs)
        outputs = property(lambda _: model.outputs)
        output_names = property(lambda _: names)
        layers = property(lambda _: model.layers)

        def __call__(self, inputs: Any, training: bool) -> Any:
            return model(inputs, training=training)

    names = list(output_names)
    return Simulated()
