"""The steps of a run as cached calls in child processes; each gives what the next one needs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from edgekit.core.child import ChildDied
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import EventSink
from edgekit.core.hashing import sha256_file
from edgekit.data.findings import FirstLayers
from edgekit.data.prepare import PreparedData
from edgekit.model import config as keras_config
from edgekit.optimize.cache import StepCache
from edgekit.optimize.conversions import Conversions, Finishing
from edgekit.optimize.converter_errors import explain_death
from edgekit.optimize.made import Made, Source, ending_of, notices_of, specs_of
from edgekit.optimize.steps import (
    CALIBRATED,
    DistillStep,
    LastStep,
    QatStep,
    QuantizeStep,
    TrainingOnlyStep,
    TrainingStep,
    parameters,
)
from edgekit.optimize.tuning import FineTuning
from edgekit.optimize.versions import versions
from edgekit.optimize.workers import Workers

_TFLITE = "model.tflite"

#: step → the function that does it in the TensorFlow child
_FUNCTIONS = {
    "prune": "edgekit.optimize.prune:prune",
    "filters": "edgekit.optimize.filters.step:prune_filters",
    "cluster": "edgekit.optimize.cluster:cluster",
    "distill": "edgekit.optimize.distill.step:distill",
    "xnnpack-sparse": "edgekit.optimize.sparse.xnnpack:xnnpack_sparse",
    "batch-norm": "edgekit.optimize.refit.batch_norm:batch_norm",
    "training-only": "edgekit.optimize.refit.training_only:training_only",
    "qat": "edgekit.optimize.qat.step:qat",
}
_WORK = {"filters": "remove filters from", "batch-norm": "normalise", "training-only": "take out", "qat": "train"}
_TUNING = tuple(field.name for field in fields(FineTuning))
#: of a step's record, what is not a figure of its own
_NO_DETAILS = ("path", "notes", "notices", "seconds", "inputs", "outputs", "mode", "size_bytes")


class Stages:
    """The steps, each looked up in the cache before a child process does it."""

    def __init__(self, source: Source, cache: StepCache, workers: Workers, on_event: EventSink) -> None:
        self.source = source
        self.cache = cache
        self._workers = workers
        self._on_event = on_event
        self._versions = versions()
        self._conversions = Conversions(source, cache, workers, on_event, self._versions)

    def has_baseline(self) -> bool:
        """Whether the baseline needs no work any more."""
        return self._conversions.has_baseline()

    def baseline(self) -> Made:
        """The source as a float32 .tflite: what every score is compared with."""
        return self._conversions.baseline()

    def transform(self, made: Made, step: TrainingStep, prepared: PreparedData) -> Made:
        """Changes the model at this point and converts it again.

        Raises:
            ModelError: there is no Keras model at this point, or the step cannot be done on it.
            ChildDied: TensorFlow crashed.
        """
        source = self._layers(made, step.step)
        record, folder, cached = self._trained(made, step, prepared, f"model{ending_of(self.source.format)}", source)
        changed = folder / record["path"]
        converted = self._conversions.float32(step.step, changed, sha256_file(changed), model=changed)
        return Made(
            name=step.step,
            parameters=parameters(step),
            tflite=converted.tflite,
            model=changed,
            export=converted.export,
            exported=converted.exported,
            inputs=converted.inputs,
            outputs=converted.outputs,
            seconds=record["seconds"],
            cached=cached,
            notes=tuple(record.get("notes", ())),
            details=_details(record),
            notices=notices_of(record),
        )

    def finish(self, made: Made, step: LastStep, prepared: PreparedData, options: Finishing) -> Made:
        """Makes the .tflite that the recipe ends with.

        Args:
            made: the model at this point.
            step: the last one.
            prepared: rows.
            options: of the run.

        Raises:
            ModelError: the model cannot be converted to this mode.
        """
        if isinstance(step, QatStep):
            return self._qat(made, step, prepared)
        return self._quantize(made, step, prepared, options)

    def _layers(self, made: Made, step: str) -> Path:
        """The Keras model at this point."""
        if made.export is None:
            raise ModelError(
                f"{self.source.path.name} is a .tflite, which has no layers to {_WORK.get(step, step)}",
                hint="start from the Keras model that it was made from",
            )
        return made.model or self.source.path

    def _trained(
        self, made: Made, step: TrainingStep | QatStep, prepared: PreparedData, name: str, source: Path
    ) -> tuple[dict[str, Any], Path, bool]:
        """The record of a step that TensorFlow does, its folder, and whether it was there already."""
        own, tuning = _divided(step)
        arguments: dict[str, Any] = dict(own)
        if not isinstance(step, TrainingOnlyStep):
            arguments["data"] = prepared.splits.training
        used: dict[str, Any] = {}
        if isinstance(step, FineTuning):
            arguments["tuning"] = tuning
            if step.fine_tune == "distill":
                teacher = self.baseline().tflite
                arguments["teacher"], used["teacher"] = str(teacher), sha256_file(teacher)
        if isinstance(step, DistillStep) and step.student is not None:
            used["student"] = sha256_file(_existing(step.student))
        if isinstance(step, QatStep):
            arguments["representative"] = prepared.splits.representative
            used["representative"] = prepared.fingerprints.get("representative")
        key = {
            "source": self.source.sha256 if made.model is None else sha256_file(made.model),
            "trust": self.source.trust,
            "code": self.source.code,
            "parameters": parameters(step),
            "data": prepared.fingerprints.get("training"),
            "versions": self._versions,
            **used,
        }
        found = self.cache.lookup(step.step, key)
        if found is not None:
            self._conversions.from_cache(step.step)
            return found[1], found[0], True
        with self.cache.making(step.step, key) as making:
            begin = time.perf_counter()
            answer = self._workers.heavy(
                _FUNCTIONS[step.step],
                source=str(source),
                out=str(making.folder / name),
                trust=self.source.trust,
                **arguments,
            )
            making.record = {**answer, "path": Path(answer["path"]).name, "seconds": time.perf_counter() - begin}
        return making.record, making.folder, False

    def _qat(self, made: Made, step: QatStep, prepared: PreparedData) -> Made:
        source = self._layers(made, step.step)
        try:
            record, folder, cached = self._trained(made, step, prepared, _TFLITE, source)
        except ChildDied as died:
            raise explain_death(died, mode=step.mode, exported=made.exported) from died
        return self._finished(made, step, record, folder / _TFLITE, cached=cached)

    def _quantize(self, made: Made, step: QuantizeStep, prepared: PreparedData, options: Finishing) -> Made:
        searched = step.selective and not step.keep
        key = {
            "tflite": sha256_file(made.tflite),
            "quantizer": "ai-edge-quantizer" if made.export is None else "tensorflow",
            "parameters": parameters(step),
            "allow_float": options.allow_float and step.mode == "int16x8",
            "data": prepared.fingerprints.get("representative") if step.mode in CALIBRATED else None,
            "search": [options.max_drop, options.metric, prepared.fingerprints.get("training")] if searched else None,
            "versions": self._versions,
        }
        found = self.cache.lookup("quantize", key)
        if found is None:
            with self.cache.making("quantize", key) as making:
                begin = time.perf_counter()
                answer = self._conversions.quantized(made, step, prepared, making.folder / _TFLITE, options)
                making.record = {**answer, "seconds": time.perf_counter() - begin}
            folder, record, cached = making.folder, making.record, False
        else:
            (folder, record), cached = found, True
            self._conversions.from_cache(f"quantize to {step.mode}")
        return self._finished(made, step, record, folder / _TFLITE, cached=cached)

    def _finished(self, made: Made, step: LastStep, record: Mapping[str, Any], tflite: Path, *, cached: bool) -> Made:
        return Made(
            name=step.step,
            parameters={**parameters(step), "samples": record.get("samples", 0)},
            tflite=tflite,
            model=None,
            export=None,
            exported=made.exported,
            inputs=specs_of(record["inputs"]),
            outputs=specs_of(record["outputs"]),
            seconds=record["seconds"],
            cached=cached,
            notes=tuple(note for note in record.get("notes", ()) if note not in made.notes),
            details=_details(record),
            notices=notices_of(record),
        )

    def first_layers(self) -> FirstLayers | None:
        """What the source's layers say about the input that they expect; None where the file does not tell."""
        if self.source.format.library not in ("keras", "tf_keras") or self.source.path.is_dir():
            return None
        config = keras_config.read_config(self.source.path, self.source.format.name, isolated=True)
        kinds = {str(item.get("class_name")) for _, item in keras_config.layers_of(config.model)}
        return FirstLayers(has_rescaling="Rescaling" in kinds, has_normalization="Normalization" in kinds)


def _divided(step: TrainingStep | QatStep) -> tuple[dict[str, Any], dict[str, Any]]:
    """A step's own parameters, and those of its fine-tuning."""
    values = parameters(step)
    tuning = {key: values.pop(key) for key in _TUNING if key in values}
    return values, tuning


def _details(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _NO_DETAILS}


def _existing(path: str) -> Path:
    if not Path(path).exists():
        raise UsageError(f"no such student: {path}", hint="name a Keras model, or leave it out to have one derived")
    return Path(path)
