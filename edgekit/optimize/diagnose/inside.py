"""What of a diagnosis needs TensorFlow or LiteRT here: the float32 .tflite, layers, spectra, sensitivities."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgekit.core import decode
from edgekit.core.errors import ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_tree
from edgekit.core.notice import Notice
from edgekit.core.places import cache_dir
from edgekit.data.spec import DataChoice
from edgekit.model import safety
from edgekit.model.description import Network
from edgekit.model.format import detect_format
from edgekit.optimize.cache import StepCache
from edgekit.optimize.diagnose.evidence import CutSensitivity, QuantizationSensitivity
from edgekit.optimize.diagnose.spectrum import LayerSpectrum
from edgekit.optimize.made import Source
from edgekit.optimize.stages import Stages
from edgekit.optimize.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A part of a diagnosis that could not be made.

    Attributes:
        part: which.
        reason: why.
        hint: what brings it; empty where nothing does.
    """

    part: str
    reason: str
    hint: str = ""


@dataclass(slots=True, kw_only=True)
class Inside:
    """What was found, one part after the other.

    Attributes:
        tflite: the model as a float32 .tflite; the model itself where it is one.
        network: None for a .tflite.
        spectra: of a Keras model.
        cuts: sensitivity to removing filters.
        quantization: sensitivity to int8.
        labels: whether the rows have labels; None: there are no rows.
        left_out: what could not be looked at.
        notices: what the user should know.
    """

    tflite: Path
    network: Network | None = None
    spectra: tuple[LayerSpectrum, ...] = ()
    cuts: tuple[CutSensitivity, ...] = ()
    quantization: tuple[QuantizationSensitivity, ...] = ()
    labels: bool | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def look_inside(
    model: Path,
    rows: DataChoice,
    *,
    trust: bool = False,
    custom: tuple[str, ...] = (),
    on_event: EventSink = ignore,
) -> Inside:
    """Everything that can be found out on this machine.

    Args:
        model: a Keras file, SavedModel folder or .tflite.
        rows: for the sensitivities; empty: they are left out.
        trust: run code inside the model file.
        custom: ``module:name`` of the user's own layers.
        on_event: hears of the progress.

    Raises:
        ModelError: it cannot be loaded or converted.
        DataError, UsageError: the rows cannot be used.
    """
    fmt = detect_format(model)
    found = Inside(tflite=model)
    with Workers(on_event, custom=custom) as workers:
        if fmt.name == "tflite":
            _without_layers(found, f"{model.name} is a .tflite, which has no layers")
        else:
            found.notices += safety.refuse_code(model, fmt, trust=trust)
            workers.warm_up()
            source = Source(path=model, format=fmt, sha256=sha256_tree(model), trust=trust)
            stages = Stages(source, StepCache(cache_dir() / "steps", reuse=True), workers, on_event)
            found.tflite = stages.baseline().tflite
            _network(found, model, workers, trust=trust, on_event=on_event)
        if rows.data is None:
            parts = ("sensitivity to pruning",) if found.network and found.network.layers else ()
            for part in (*parts, "sensitivity to quantization"):
                found.left_out.append(LeftOut(part=part, reason="there are no data", hint="--data FILE"))
    return found


def _network(found: Inside, model: Path, workers: Workers, *, trust: bool, on_event: EventSink) -> None:
    with task("look at the layers", on_event):
        answer = workers.heavy("edgekit.model.describe:describe_keras", path=str(model), trust=trust)
    found.network = decode.from_json(Network, answer, source=model.name, error=ModelError)
    found.notices += found.network.notices
    if not found.network.layers:
        _without_layers(found, f"{model.name} is a plain SavedModel, which has no layers")
        return
    spectra = workers.heavy("edgekit.optimize.diagnose.spectrum:spectra", source=str(model), trust=trust)
    found.spectra = decode.from_json(tuple[LayerSpectrum, ...], spectra, source=model.name, error=ModelError)


def _without_layers(found: Inside, reason: str) -> None:
    for part in ("weight spectra", "sensitivity to pruning"):
        found.left_out.append(LeftOut(part=part, reason=reason, hint="name the Keras model that it was made from"))
