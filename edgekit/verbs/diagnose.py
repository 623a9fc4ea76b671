"""diagnose: where a model's work and bytes are, how healthy its weights, what to do about it, and the recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.model.tflite import TfliteModel
    from edgekit.optimize.diagnose.evidence import Evidence
    from edgekit.optimize.diagnose.inside import LeftOut
    from edgekit.optimize.diagnose.layers import OpTiming
    from edgekit.optimize.diagnose.recommend import Point
    from edgekit.optimize.recipe import Recipe
    from edgekit.runner.protocol import RuntimeUsed
    from edgekit.verbs.boards import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """What the times of the layers depend on.

    Attributes:
        device: name of the board; ``emulated``: its processor is a program.
        runtime, num_threads: what ran the model there.
        runs: how many count.
        whole_ns: one run with the profiler on, which costs some µs.
        ops_ns: the ops' part of it.
    """

    device: str
    emulated: bool
    runtime: RuntimeUsed
    num_threads: int
    runs: int
    whole_ns: float
    ops_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that was found out about a model.

    Attributes:
        path: of its file.
        format: what was found inside.
        parameters, macs: of the whole; None where the file does not tell.
        evidence: shares by layer, fusion, spectra, sensitivities.
        profile: the device's part; None without one.
        points: what to do, each with its reason.
        recipe: the steps that follow; None where there is nothing left to do.
        recipe_text: the same as the TOML file that ``optimize(recipe=…)`` reads.
        left_out: what could not be looked at, and why.
        notices: what the user should know.
    """

    path: str
    format: str
    parameters: int | None
    macs: int | None
    evidence: Evidence
    profile: DeviceProfile | None
    points: tuple[Point, ...]
    recipe: Recipe | None
    recipe_text: str | None
    left_out: tuple[LeftOut, ...]
    notices: tuple[Notice, ...]


def diagnose(
    model: str | PathLike[str],
    *,
    data: str | None = None,
    scale: str | float | None = None,
    mean: str | float | Sequence[float] | None = None,
    std: str | float | Sequence[float] | None = None,
    preprocess: str | None = None,
    device: str | None = None,
    reach: Reach | None = None,
    trust_model: bool = False,
    custom: Sequence[str] = (),
    on_event: EventSink = ignore,
) -> Diagnosis:
    """Looks at a model before anything is done to it, and says what would pay.

    Args:
        model: a Keras file, SavedModel folder or .tflite. Never written.
        data: rows for the sensitivity of the layers; without them that part is left out, and named.
        scale, mean, std, preprocess: of the rows; see :func:`edgekit.optimize`.
        device: a board that takes the time of each layer (``local`` is this machine); None: none is asked.
        reach: how to reach it.
        trust_model, custom: see :func:`edgekit.optimize`.
        on_event: hears of the progress.

    Raises:
        ModelError, DataError, UsageError, DependencyError: see :func:`edgekit.optimize`.
        DeviceError: the board cannot be used. One that cannot take the time of single ops is no error but left out.
    """
    from pathlib import Path

    from edgekit.model.format import detect_format
    from edgekit.optimize.diagnose.evidence import Evidence
    from edgekit.optimize.diagnose.fusion import check_fusion
    from edgekit.optimize.diagnose.inside import LeftOut, is_integer, look_inside
    from edgekit.optimize.diagnose.layers import layer_shares
    from edgekit.optimize.diagnose.prescribe import prescribe, recipe_text
    from edgekit.optimize.diagnose.recommend import recommend
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.datasets import choice

    path = Path(model)
    way = reach or Reach()
    if device is not None:
        way.target(device)  # a misspelt name is found before any work
    rows = choice({"data": data}, {"scale": scale, "mean": mean, "std": std, "preprocess": preprocess})
    fmt = detect_format(path)
    found = look_inside(path, rows, trust=trust_model, custom=tuple(custom), on_event=on_event)
    flat, layers = found.flat, found.layers
    asked = _Asked()
    if device is None:
        hint = "--device NAME, or --device local"
        asked.left_out.append(LeftOut(part="time per layer", reason="no device was named", hint=hint))
    else:
        asked = _ask_device(found.tflite, flat, device, way, on_event)
    evidence = Evidence(
        model=path.stem,
        library=fmt.library if layers else "",
        size_bytes=flat.size_bytes,
        shares=layer_shares(flat, found.owned, layers, asked.timings),
        fusion=check_fusion(flat, found.owned, layers),
        spectra=found.spectra,
        cuts=found.cuts,
        quantization=found.quantization,
        int8=found.int8,
        whole_ns=asked.profile.whole_ns if asked.profile is not None else None,
        emulated=asked.profile is not None and asked.profile.emulated,
        labels=found.labels,
        integer=is_integer(flat),
    )
    points, recipe = recommend(evidence), prescribe(evidence)
    return Diagnosis(
        path=str(path),
        format=fmt.name,
        parameters=found.network.parameters if found.network is not None else None,
        macs=(found.network.macs if found.network is not None else None) or flat.macs,
        evidence=evidence,
        profile=asked.profile,
        points=points,
        recipe=recipe,
        recipe_text=None if recipe is None else recipe_text(recipe, points),
        left_out=(*found.left_out, *asked.left_out),
        notices=tuple(dict.fromkeys((*found.notices, *asked.notices))),
    )


@dataclass(slots=True, kw_only=True)
class _Asked:
    """What a device told."""

    timings: tuple[OpTiming, ...] = ()
    profile: DeviceProfile | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    notices: tuple[Notice, ...] = ()


def _ask_device(lite: Path, flat: TfliteModel, name: str, reach: Reach, on_event: EventSink) -> _Asked:
    """The time of each op on a board.

    Raises:
        DeviceError: see :func:`edgekit.benchmark`.
    """
    from edgekit.core.errors import RuntimeMissingError
    from edgekit.optimize.diagnose.inside import LeftOut
    from edgekit.optimize.diagnose.layers import OpTiming
    from edgekit.verbs.op_times import UNSUPPORTED, time_ops

    ops = [op.name for op in flat.ops if op.subgraph == 0]
    try:
        times, notices = time_ops(lite, ops, device=name, reach=reach, on_event=on_event)
    except RuntimeMissingError as error:
        if error.details.get("code") != UNSUPPORTED:
            raise
        return _Asked(left_out=[LeftOut(part="time per layer", reason=error.message, hint=error.hint or "")])
    return _Asked(
        timings=tuple(OpTiming(elapsed_ns=op.elapsed_ns, delegated=op.delegated) for op in times.ops),
        profile=DeviceProfile(
            device=name,
            emulated=times.emulated,
            runtime=times.runtime,
            num_threads=times.num_threads,
            runs=times.runs,
            whole_ns=times.whole_ns,
            ops_ns=times.ops_ns,
        ),
        notices=notices,
    )
