"""Conversions to .tflite as cached calls in child processes: float32 at every point, one mode at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.child import ChildDied
from edgekit.core.errors import ModelError
from edgekit.core.events import Event, EventSink
from edgekit.data.prepare import PreparedData
from edgekit.optimize.cache import StepCache
from edgekit.optimize.converter_errors import explain_death
from edgekit.optimize.made import Made, Source, specs_of
from edgekit.optimize.steps import CALIBRATED, QuantizeStep
from edgekit.optimize.workers import Workers

_TFLITE = "model.tflite"
_EXPORT = "saved_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finishing:
    """What the last step needs to know of the run.

    Attributes:
        allow_float: let ops without an int16x8 kernel stay in float.
        max_drop: percentage points that a selective step may lose, by ``metric``.
    """

    allow_float: bool
    max_drop: float
    metric: str


class Conversions:
    """From what is there at one point to a .tflite; what was converted before comes from the cache."""

    def __init__(
        self, source: Source, cache: StepCache, workers: Workers, on_event: EventSink, versions: Mapping[str, str]
    ) -> None:
        self._source = source
        self._cache = cache
        self._workers = workers
        self._on_event = on_event
        self._versions = versions

    def has_baseline(self) -> bool:
        """Whether the baseline needs no work any more."""
        return self._source.format.name == "tflite" or self._cache.lookup("float32", self._key()) is not None

    def baseline(self) -> Made:
        """The source as a float32 .tflite."""
        if self._source.format.name == "tflite":
            return self._given_tflite()
        return self.float32("float32", self._source.path, self._source.sha256, model=None)

    def float32(self, name: str, source: Path, sha256: str, *, model: Path | None) -> Made:
        """A Keras model or SavedModel converted as it is.

        Args:
            name: of the point in the recipe.
            source: the file, with its ``sha256``.
            model: the Keras file that the next step begins with; None: the user's own.
        """
        key = self._key(sha256)
        found = self._cache.lookup("float32", key)
        if found is None:
            with self._cache.making("float32", key) as making:
                begin = time.perf_counter()
                export = str(making.folder / _EXPORT)
                exported = self._workers.heavy(
                    "edgekit.optimize.export:export", source=str(source), out=export, trust=self._source.trust
                )
                converted = self._converting("float32", exported, export, making.folder / _TFLITE)
                making.record = {"exported": exported, **converted, "seconds": time.perf_counter() - begin}
            folder, record, cached = making.folder, making.record, False
        else:
            (folder, record), cached = found, True
            self.from_cache("convert to float32")
        return Made(
            name=name,
            parameters={},
            tflite=folder / _TFLITE,
            model=model,
            export=folder / _EXPORT,
            exported=record["exported"],
            inputs=specs_of(record["inputs"]),
            outputs=specs_of(record["outputs"]),
            seconds=record["seconds"],
            cached=cached,
            notes=tuple(record.get("notes", ())),
            details={"rebuilt_difference": record["exported"].get("rebuilt_difference")},
        )

    def quantized(
        self, made: Made, step: QuantizeStep, prepared: PreparedData, out: Path, finishing: Finishing
    ) -> dict[str, Any]:
        """Writes ``out`` in the mode of ``step``; the record of what was done.

        Raises:
            ModelError: the model cannot be converted to this mode.
        """
        splits = prepared.splits
        if step.mode not in CALIBRATED and made.export is not None:
            if step.sparse:
                return self._converting(
                    step.mode, made.exported, str(made.export), out, "sparse.convert:convert_sparse"
                )
            return self._converting(step.mode, made.exported, str(made.export), out)
        if step.sparse:
            raise ModelError(
                f"{self._source.path.name} is a .tflite, whose weights cannot be stored anew in the sparse encoding",
                hint="start from the Keras model that it was made from",
            )
        passes = {"equalize": step.equalize, "bias_correction": step.bias_correction, "ranges": step.ranges}
        passes = {key: value for key, value in passes.items() if value not in (False, "minmax")}
        arguments: dict[str, Any] = {"out": str(out), "mode": step.mode, "representative": splits.representative}
        bare = made.export is None  # a .tflite of the user's: ai-edge-quantizer, and no TensorFlow
        call = self._workers.light if bare else self._workers.heavy
        if step.keeps_float:
            function = "selective.quantize:quantize_selectively"
            arguments |= {
                "float_model": str(made.tflite),
                "search": splits.training,
                "quantizer": "ai-edge-quantizer" if bare else "tensorflow",
                "max_drop": finishing.max_drop,
                "metric": finishing.metric,
                "recurrent": made.exported.get("recurrent", ()),
                "keep": list(step.keep) or None,
                "keep_as": step.keep_as,
            }
        elif bare:
            function = "quantize_tflite:quantize_tflite"
            arguments["source"] = str(made.tflite)
        else:
            function = "quantize:quantize"
            arguments |= {
                "float_model": str(made.tflite),
                "recurrent": made.exported.get("recurrent", ()),
                "allow_float": finishing.allow_float,
            }
        try:
            answer: dict[str, Any] = call(f"edgekit.optimize.{function}", **arguments, **passes)
        except ChildDied as died:
            raise explain_death(died, mode=step.mode, exported=made.exported) from died
        return answer

    def from_cache(self, name: str) -> None:
        """Says that a step had been done before."""
        self._on_event(Event(state="note", task=name, message="from the cache"))

    def _given_tflite(self) -> Made:
        from edgekit.model.tflite import read_tflite

        found = read_tflite(self._source.path)
        return Made(
            name="float32",
            parameters={},
            tflite=self._source.path,
            model=None,
            export=None,
            exported={},
            inputs=found.inputs,
            outputs=found.outputs,
            seconds=0.0,
            cached=True,
            notes=("the source is a .tflite already",),
        )

    def _key(self, sha256: str | None = None) -> dict[str, Any]:
        return {
            "source": sha256 or self._source.sha256,
            "trust": self._source.trust,
            "code": self._source.code,
            "versions": self._versions,
        }

    def _converting(
        self, mode: str, exported: Mapping[str, Any], export: str, out: Path, function: str = "convert:convert"
    ) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._workers.heavy(
                f"edgekit.optimize.{function}", saved_model=export, out=str(out), mode=mode
            )
        except ChildDied as died:
            raise explain_death(died, mode=mode, exported=exported) from died
        return answer
