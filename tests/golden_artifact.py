"""Artifacts for tests: a very small .tflite with a manifest whose golden outputs are those of Google's interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy

from edgekit.core import artifact as artifacts
from edgekit.core.artifact import Artifact, Audit, GoldenSample, Manifest, TensorData, TensorSpec
from edgekit.core.hashing import sha256_file


def with_golden(
    model: Path, samples: Sequence[Sequence[numpy.ndarray]], outputs: tuple[TensorSpec, ...], *, kind: str = "int8"
) -> Artifact:
    """Writes the manifest beside ``model``."""
    manifest = Manifest(
        name=model.name.removesuffix(".tflite"),
        sha256=sha256_file(model),
        size_bytes=model.stat().st_size,
        gzip_bytes=1,
        kind=kind,
        source="model.keras",
        source_sha256="0" * 64,
        recipe={},
        data={},
        preprocessing={},
        steps=(),
        score=None,
        audit=Audit(full_integer=kind == "int8", float_ops=(), flex_ops=(), min_runtime=None),
        inputs=(),
        outputs=outputs,
        golden=tuple(_golden(model, sample) for sample in samples),
        float_reference=None,
        warnings=(),
        versions={},
        created="2026-01-01T00:00:00+00:00",
    )
    artifacts.write_manifest(model, manifest)
    return artifacts.open_artifact(model)


def _golden(model: Path, sample: Sequence[numpy.ndarray]) -> GoldenSample:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), sample):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    return GoldenSample(inputs=tuple(map(TensorData.of, sample)), outputs=tuple(map(TensorData.of, outputs)))
