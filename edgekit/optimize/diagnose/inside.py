"""What of a diagnosis needs TensorFlow or LiteRT here: the float32 .tflite, layers, spectra, sensitivities."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgekit.core import decode
from edgekit.core.child import ChildDied
from edgekit.core.errors import DependencyError, ModelError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_tree
from edgekit.core.notice import Notice
from edgekit.core.places import cache_dir
from edgekit.data.prepare import PreparedData, prepare_data
from edgekit.data.spec import DataChoice
from edgekit.model import safety
from edgekit.model.description import LayerDescription, Network
from edgekit.model.format import detect_format
from edgekit.model.tflite import TfliteModel, read_tflite
from edgekit.optimize.cache import StepCache
from edgekit.optimize.diagnose.evidence import CutSensitivity, Int8Loss, QuantizationSensitivity
from edgekit.optimize.diagnose.owners import OwnedOp, owned_ops
from edgekit.optimize.diagnose.quantization import Int8Scan, by_layer
from edgekit.optimize.diagnose.spectrum import LayerSpectrum
from edgekit.optimize.filters.sensitivity import Sensitivity
from edgekit.optimize.made import Made, Source
from edgekit.optimize.stages import Stages
from edgekit.optimize.workers import Workers

_FEWEST_ROWS, _MOST_ROWS = 64, 1024
_WORK = 1e11  # multiply-accumulates per ratio and layer of the scan: minutes for an ImageNet model


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
        flat: the same, read.
        owned: its ops with their layers.
        network: None for a .tflite.
        spectra: of a Keras model.
        cuts: sensitivity to removing filters.
        quantization: sensitivity to int8, by layer.
        int8: what int8 throughout loses.
        labels: whether the rows have labels; None: there are no rows.
        left_out: what could not be looked at.
        notices: what the user should know.
    """

    tflite: Path
    flat: TfliteModel
    owned: tuple[OwnedOp, ...]
    network: Network | None
    spectra: tuple[LayerSpectrum, ...] = ()
    cuts: tuple[CutSensitivity, ...] = ()
    quantization: tuple[QuantizationSensitivity, ...] = ()
    int8: Int8Loss | None = None
    labels: bool | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    @property
    def layers(self) -> tuple[LayerDescription, ...]:
        """Of the network; empty where there is none."""
        return self.network.layers if self.network is not None else ()


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
    notices = safety.refuse_code(model, fmt, trust=trust) if fmt.name != "tflite" else ()
    with Workers(on_event, custom=custom) as workers:
        source = Source(path=model, format=fmt, sha256=sha256_tree(model), trust=trust)
        baseline = Stages(source, StepCache(cache_dir() / "steps", reuse=True), workers, on_event).baseline()
        network = None if fmt.name == "tflite" else _network(model, workers, trust=trust, on_event=on_event)
        flat = read_tflite(baseline.tflite)
        found = Inside(
            tflite=baseline.tflite,
            flat=flat,
            owned=owned_ops(flat, network.layers if network is not None else ()),
            network=network,
            notices=[*notices, *(network.notices if network is not None else ())],
        )
        _spectra(found, model, workers, trust=trust)
        if rows.data is None:
            for part in ("sensitivity to pruning", "sensitivity to quantization"):
                found.left_out.append(LeftOut(part=part, reason="there are no data", hint="--data FILE"))
        else:
            _sensitivities(found, baseline, rows, workers, model, trust=trust, on_event=on_event)
    return found


def _network(model: Path, workers: Workers, *, trust: bool, on_event: EventSink) -> Network:
    with task("look at the layers", on_event):
        answer = workers.heavy("edgekit.model.describe:describe_keras", path=str(model), trust=trust)
    return decode.from_json(Network, answer, source=model.name, error=ModelError)


def _spectra(found: Inside, model: Path, workers: Workers, *, trust: bool) -> None:
    if not found.layers:
        kind = "a .tflite" if found.network is None else "a plain SavedModel"
        reason = f"{model.name} is {kind}, which has no layers"
        found.left_out.append(
            LeftOut(part="weight spectra", reason=reason, hint="name the Keras model that it was made from")
        )
        return
    spectra = workers.heavy("edgekit.optimize.diagnose.spectrum:spectra", source=str(model), trust=trust)
    found.spectra = decode.from_json(tuple[LayerSpectrum, ...], spectra, source=model.name, error=ModelError)


def _sensitivities(
    found: Inside,
    baseline: Made,
    rows: DataChoice,
    workers: Workers,
    model: Path,
    *,
    trust: bool,
    on_event: EventSink,
) -> None:
    """Both scans look at training rows: those that score a recipe later must not have chosen it."""
    prepared = prepare_data(
        rows, inputs=baseline.inputs, needs_training=True, child=workers.light_child, on_event=on_event
    )
    found.labels = any(prepared.has_labels.values())
    found.notices += prepared.notices
    _cuts(found, prepared, workers, model, trust=trust)
    _int8(found, baseline, prepared, workers)


def _cuts(found: Inside, prepared: PreparedData, workers: Workers, model: Path, *, trust: bool) -> None:
    part = "sensitivity to pruning"
    if not found.layers:
        reason = "there are no layers whose filters could be removed"
        found.left_out.append(LeftOut(part=part, reason=reason, hint="name the Keras model that it was made from"))
        return
    rows = max(_FEWEST_ROWS, min(_MOST_ROWS, int(_WORK // max(found.flat.macs, 1))))
    try:
        answer = workers.heavy(
            "edgekit.optimize.filters.sensitivity:scan",
            source=str(model),
            data=prepared.splits.training,
            rows=rows,
            trust=trust,
        )
    except (ChildDied, ModelError) as error:
        found.left_out.append(LeftOut(part=part, reason=error.message, hint=error.hint or ""))
        return
    scan = decode.from_json(Sensitivity, answer, source="the sensitivity scan")
    found.notices += (notice for notice in scan.notices if notice not in found.notices)
    found.cuts = tuple(
        CutSensitivity(layer=group.name, layers=group.layers, ratios=scan.ratios, drops=group.drops)
        for group in scan.groups
    )


def _int8(found: Inside, baseline: Made, prepared: PreparedData, workers: Workers) -> None:
    part = "sensitivity to quantization"
    if is_integer(found.flat):
        found.left_out.append(LeftOut(part=part, reason="the model is quantized already"))
        return
    call = workers.heavy if found.network is not None else workers.light
    try:
        answer = call(
            "edgekit.optimize.diagnose.quantization:scan_int8",
            float_model=str(baseline.tflite),
            representative=prepared.splits.representative,
            search=prepared.splits.training,
            recurrent=baseline.exported.get("recurrent", ()),
        )
    except (ChildDied, ModelError, DependencyError) as error:  # GRU in int8 crashes the converter
        found.left_out.append(LeftOut(part=part, reason=error.message, hint=error.hint or ""))
        return
    scan = decode.from_json(Int8Scan, answer, source="the int8 scan")
    found.int8, found.quantization = scan.loss, by_layer(scan, found.flat, found.owned)


def is_integer(flat: TfliteModel) -> bool:
    """Whether integers flow between the ops, as in a model that was quantized."""
    flowing = {
        flat.tensors[i].dtype
        for op in flat.ops
        for i in (*op.inputs, *op.outputs)
        if i >= 0 and not flat.tensors[i].constant
    }
    return bool(flowing & {"int8", "uint8", "int16"})
