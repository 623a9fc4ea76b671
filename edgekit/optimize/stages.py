"""The steps of a run as cached calls: float32 baseline, prune, quantize; each gives what the next one needs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.core import decode
from edgekit.core.artifact import TensorSpec
from edgekit.core.child import ChildDied
from edgekit.core.errors import ModelError
from edgekit.core.events import Event, EventSink
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.data.findings import FirstLayers
from edgekit.data.prepare import PreparedData
from edgekit.model import config as keras_config
from edgekit.model.format import ModelFormat
from edgekit.optimize.cache import StepCache
from edgekit.optimize.converter_errors import explain_death
from edgekit.optimize.recipe import CALIBRATED, PruneStep, QuantizeStep, parameters
from edgekit.optimize.versions import versions
from edgekit.optimize.workers import Workers

_TFLITE = "model.tflite"
_EXPORT = "saved_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The model that a run starts from."""

    path: Path
    format: ModelFormat
    sha256: str
    trust: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a step made.

    Attributes:
        name: of the step.
        parameters: everything the result depends on, beside its inputs.
        tflite: the model at this point as a .tflite; float32 until the quantize step.
        model: the trainable model at this point; None after the quantize step and where the source is a .tflite.
        export: the SavedModel that ``tflite`` was converted from; None where the source is a .tflite.
        exported: its record, for messages.
        inputs, outputs: of ``tflite``.
        seconds: of the work, when it was done.
        cached: it was done before.
        notes, details, notices: see :class:`~edgekit.core.artifact.StepRecord`.
    """

    name: str
    parameters: dict[str, Any]
    tflite: Path
    model: Path | None
    export: Path | None
    exported: Mapping[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    seconds: float
    cached: bool
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()


class Stages:
    """The steps, each looked up in the cache before a child process does it."""

    def __init__(self, source: Source, cache: StepCache, workers: Workers, on_event: EventSink) -> None:
        self.source = source
        self.cache = cache
        self._workers = workers
        self._on_event = on_event
        self._versions = versions()

    def has_baseline(self) -> bool:
        """Whether the baseline needs no work any more."""
        return self.source.format.name == "tflite" or self.cache.lookup("float32", self._float32_key()) is not None

    def baseline(self) -> Made:
        """The source as a float32 .tflite: what every score is compared with."""
        if self.source.format.name == "tflite":
            return self._given_tflite()
        return self._float32("float32", self.source.path, self.source.sha256, model=None)

    def prune(self, made: Made, step: PruneStep, prepared: PreparedData) -> Made:
        """Prunes the model at this point and converts it again."""
        if made.export is None:
            raise ModelError(
                f"{self.source.path.name} is a .tflite, which has no layers to prune",
                hint="start from the Keras model that it was made from",
            )
        source = made.model or self.source.path
        values = parameters(step)
        key = {
            "source": self.source.sha256 if made.model is None else sha256_file(made.model),
            "trust": self.source.trust,
            "parameters": values,
            "data": prepared.fingerprints.get("training"),
            "versions": self._versions,
        }
        found = self.cache.lookup("prune", key)
        if found is None:
            with self.cache.making("prune", key) as making:
                begin = time.perf_counter()
                answer = self._workers.heavy(
                    "edgekit.optimize.prune:prune",
                    source=str(source),
                    out=str(making.folder / f"pruned{ending_of(self.source.format)}"),
                    data=prepared.splits.training,
                    trust=self.source.trust,
                    **values,
                )
                making.record = {**answer, "path": Path(answer["path"]).name, "seconds": time.perf_counter() - begin}
            folder, record, cached = making.folder, making.record, False
        else:
            (folder, record), cached = found, True
            self._cached("prune")
        pruned = folder / record["path"]
        converted = self._float32("prune", pruned, sha256_file(pruned), model=pruned)
        return Made(
            name="prune",
            parameters=values,
            tflite=converted.tflite,
            model=pruned,
            export=converted.export,
            exported=converted.exported,
            inputs=converted.inputs,
            outputs=converted.outputs,
            seconds=record["seconds"],
            cached=cached,
            notes=tuple(record.get("notes", ())),
            details={
                k: record[k] for k in ("sparsity", "layers", "unpruned", "engine", "rebuilt_difference") if k in record
            },
            notices=_notices(record),
        )

    def quantize(self, made: Made, step: QuantizeStep, prepared: PreparedData, *, allow_float: bool) -> Made:
        """Converts to the numeric mode of the step."""
        calibrated = step.mode in CALIBRATED
        key = {
            "tflite": sha256_file(made.tflite),
            "mode": step.mode,
            "allow_float": allow_float and step.mode == "int16x8",
            "data": prepared.fingerprints.get("representative") if calibrated else None,
            "versions": self._versions,
        }
        found = self.cache.lookup("quantize", key)
        if found is None:
            with self.cache.making("quantize", key) as making:
                begin = time.perf_counter()
                answer = self._quantized(made, step, prepared, making.folder / _TFLITE, allow_float=allow_float)
                making.record = {**answer, "seconds": time.perf_counter() - begin}
            folder, record, cached = making.folder, making.record, False
        else:
            (folder, record), cached = found, True
            self._cached(f"quantize to {step.mode}")
        return Made(
            name="quantize",
            parameters={**parameters(step), "samples": record.get("samples", 0)},
            tflite=folder / _TFLITE,
            model=None,
            export=None,
            exported=made.exported,
            inputs=_specs(record["inputs"]),
            outputs=_specs(record["outputs"]),
            seconds=record["seconds"],
            cached=cached,
            notes=tuple(note for note in record.get("notes", ()) if note not in made.notes),
            notices=_notices(record),
        )

    def first_layers(self) -> FirstLayers | None:
        """What the source's layers say about the input that they expect; None where the file does not tell."""
        if self.source.format.library not in ("keras", "tf_keras") or self.source.path.is_dir():
            return None
        config = keras_config.read_config(self.source.path, self.source.format.name, isolated=True)
        kinds = {str(item.get("class_name")) for _, item in keras_config.layers_of(config.model)}
        return FirstLayers(has_rescaling="Rescaling" in kinds, has_normalization="Normalization" in kinds)

    def _given_tflite(self) -> Made:
        from edgekit.model.tflite import read_tflite

        found = read_tflite(self.source.path)
        return Made(
            name="float32",
            parameters={},
            tflite=self.source.path,
            model=None,
            export=None,
            exported={},
            inputs=found.inputs,
            outputs=found.outputs,
            seconds=0.0,
            cached=True,
            notes=("the source is a .tflite already",),
        )

    def _float32_key(self, sha256: str | None = None) -> dict[str, Any]:
        return {"source": sha256 or self.source.sha256, "trust": self.source.trust, "versions": self._versions}

    def _float32(self, name: str, source: Path, sha256: str, *, model: Path | None) -> Made:
        key = self._float32_key(sha256)
        found = self.cache.lookup("float32", key)
        if found is None:
            with self.cache.making("float32", key) as making:
                begin = time.perf_counter()
                export = str(making.folder / _EXPORT)
                exported = self._workers.heavy(
                    "edgekit.optimize.export:export", source=str(source), out=export, trust=self.source.trust
                )
                converted = self._converting("float32", exported, export, making.folder / _TFLITE)
                making.record = {"exported": exported, **converted, "seconds": time.perf_counter() - begin}
            folder, record, cached = making.folder, making.record, False
        else:
            (folder, record), cached = found, True
            self._cached("convert to float32")
        return Made(
            name=name,
            parameters={},
            tflite=folder / _TFLITE,
            model=model,
            export=folder / _EXPORT,
            exported=record["exported"],
            inputs=_specs(record["inputs"]),
            outputs=_specs(record["outputs"]),
            seconds=record["seconds"],
            cached=cached,
            notes=tuple(record.get("notes", ())),
            details={"rebuilt_difference": record["exported"].get("rebuilt_difference")},
        )

    def _quantized(
        self, made: Made, step: QuantizeStep, prepared: PreparedData, out: Path, *, allow_float: bool
    ) -> dict[str, Any]:
        if made.export is None:
            answer: dict[str, Any] = self._workers.light(
                "edgekit.optimize.quantize_tflite:quantize_tflite",
                source=str(made.tflite),
                out=str(out),
                mode=step.mode,
                representative=prepared.splits.representative,
            )
            return answer
        if step.mode not in CALIBRATED:
            return self._converting(step.mode, made.exported, str(made.export), out)
        try:
            answer = self._workers.heavy(
                "edgekit.optimize.quantize:quantize",
                float_model=str(made.tflite),
                out=str(out),
                mode=step.mode,
                representative=prepared.splits.representative,
                recurrent=made.exported.get("recurrent", ()),
                allow_float=allow_float,
            )
        except ChildDied as died:
            raise explain_death(died, mode=step.mode, exported=made.exported) from died
        return answer

    def _converting(self, mode: str, exported: Mapping[str, Any], export: str, out: Path) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._workers.heavy(
                "edgekit.optimize.convert:convert", saved_model=export, out=str(out), mode=mode
            )
        except ChildDied as died:
            raise explain_death(died, mode=mode, exported=exported) from died
        return answer

    def _cached(self, name: str) -> None:
        self._on_event(Event(state="note", task=name, message="from the cache"))


def ending_of(fmt: ModelFormat) -> str:
    """Of the file that holds a trainable model of this format; ``.keras`` for those that are folders."""
    if fmt.name == "saved-model":
        return ".keras"
    return ".h5" if fmt.name.endswith("-h5") else ".keras"


def _specs(values: Any) -> tuple[TensorSpec, ...]:
    return tuple(decode.from_json(TensorSpec, item, source="step", lenient=True) for item in values)


def _notices(record: Mapping[str, Any]) -> tuple[Notice, ...]:
    return tuple(decode.from_json(Notice, item, source="step") for item in record.get("notices", ()))
