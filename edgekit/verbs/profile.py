"""profile: the time of each op of a .tflite on a board, which ops the delegate took, and whose layer they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgekit.core.events import ignore, task

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.measure.profile_hints import Work
    from edgekit.measure.profile_model import FileOp, ModelProfile
    from edgekit.model.description import LayerDescription
    from edgekit.model.tflite import Op, TfliteModel
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.ready import Ready

_BITS = {"int2": 2, "int4": 4, "uint4": 4, "bool": 8, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "float16": 16}
_BITS |= {"bfloat16": 16, "int32": 32, "uint32": 32, "float32": 32, "int64": 64, "uint64": 64, "float64": 64}

#: what the converter calls the work of an op within a layer, in lower case
_CALLED = {
    "CONV_2D": ("conv",),
    "DEPTHWISE_CONV_2D": ("depthwise", "conv"),
    "TRANSPOSE_CONV": ("conv",),
    "FULLY_CONNECTED": ("matmul", "tensordot", "einsum"),
    "BATCH_MATMUL": ("matmul", "einsum"),
}
_NO_LAYERS = ("StatefulPartitionedCall", "PartitionedCall", "batchnorm")


def profile(
    model: str | PathLike[str] | Artifact,
    *,
    device: str = "local",
    num_threads: int | None = None,
    runtime: str = "auto",
    kernels: str = "delegate",
    source: str | PathLike[str] | None = None,
    trust_model: bool = False,
    reach: Reach | None = None,
    on_event: EventSink = ignore,
) -> ModelProfile:
    """Takes the time of each op, by the runtime's own clock, in a process that does nothing else.

    Taking these times costs memory and some µs a run: a few % of a run of a millisecond, half as much again of one of
    30 µs. They say where the time goes, and are no benchmark. What they cost is measured with them.

    Args:
        model: a .tflite or an artifact.
        device: the board; ``local`` is this machine.
        num_threads: of the interpreter; default: what the board's profile says.
        runtime: ``auto``, ``litert`` or ``native``; the Python modules do not tell the time of ops.
        kernels: ``delegate``, or ``builtin``: the runtime's own kernels for everything.
        source: the trained model that the .tflite was made from: gives the names of its layers.
        trust_model: run code inside ``source``.
        reach: how to reach the board, where its name does not say it all.
        on_event: hears of the progress.

    Raises:
        ModelError: a file that is missing or cannot be run.
        RuntimeMissingError: the board's runtime does not tell the time of single ops (LiteRT before 2.1.3).
        DeviceError: the board cannot be used.
        UsageError: no such board, runtime or kind of kernels.
    """
    import dataclasses
    from datetime import datetime, timezone

    from edgekit.device.run import profile_job
    from edgekit.measure.profile_model import model_profile
    from edgekit.verbs.benchmark import check_runtime, open_model
    from edgekit.verbs.boards import Reach, open_board
    from edgekit.verbs.op_times import LEAST_RUNS, LEAST_S, MOST_S, TIME_LIMIT_S
    from edgekit.verbs.ready import is_stateful, make_ready, push_model

    artifact = open_model(model)
    chosen = _kernels(kernels)
    way = reach or Reach()
    way.target(device)  # a misspelt name is found before any work
    name = check_runtime(runtime)
    ops, names = _file_ops(artifact.path, source, trust_model, on_event)
    with open_board(device, way, name, on_event, stateful=is_stateful(artifact)) as board:
        pushed = push_model(board, artifact)
        threads = num_threads or board.profile.num_threads
        ready = make_ready(board, pushed, num_threads=threads, kernels=chosen)
        job = dataclasses.replace(ready.job, min_runs=LEAST_RUNS, min_s=LEAST_S, max_s=MOST_S)
        with task(f"take the time of each op on {device}", on_event):
            recorded = profile_job(board.device, board.runtime, job, TIME_LIMIT_S)
        with task("the same without taking times, to see what that costs", on_event):
            without = _without(ready)
        return model_profile(
            recorded,
            ops,
            device=device,
            emulated=board.limits.emulated,
            model=artifact.path.name,
            kind=artifact.manifest.kind if artifact.manifest else None,
            kernels=chosen,
            names=names,
            without_ns=without,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            notices=ready.notices,
        )


def _kernels(name: str) -> Literal["delegate", "builtin"]:
    from edgekit.core.errors import UsageError
    from edgekit.core.suggest import unknown

    if name == "delegate":
        return "delegate"
    if name == "builtin":
        return "builtin"
    message, hint = unknown("kind of kernels", name, ("delegate", "builtin"))
    raise UsageError(message, hint=hint)


def _without(ready: Ready) -> float:
    """A run in a process that takes no times of ops: mean of the quicker half, as of the one that did."""
    import dataclasses

    from edgekit.verbs.op_times import LEAST_RUNS, LEAST_S, MOST_S, TIME_LIMIT_S

    job = dataclasses.replace(ready.job, mode="latency", min_runs=LEAST_RUNS, min_s=LEAST_S, max_s=MOST_S)
    quick = sorted(ready.run(job, TIME_LIMIT_S).latency_ns)
    quick = quick[: (len(quick) + 1) // 2]
    return sum(quick) / len(quick)


def _file_ops(
    path: Path, source: str | PathLike[str] | None, trust_model: bool, on_event: EventSink
) -> tuple[list[FileOp], str]:
    """The ops of the file with what each has to do and its layer; and where the names of layers come from."""
    from edgekit.measure.profile_model import FileOp
    from edgekit.model.tflite import read_tflite
    from edgekit.optimize.diagnose.owners import owned_ops

    flat = read_tflite(path)
    layers = _layers(source, trust_model, on_event) if source is not None else ()
    found = []
    for item in owned_ops(flat, layers):
        outputs = [flat.tensors[place].name for place in item.op.outputs if place >= 0]
        tensor = outputs[0] if outputs else ""
        layer = item.owner or _layer_in(tensor, item.op.name)
        found.append(FileOp(name=item.op.name, layer=layer, tensor=tensor, work=_work(flat, item.op)))
    return found, "source" if layers else "tensors"


def _layer_in(tensor: str, op: str) -> str:
    """The layer that a tensor's name tells of: the scope of the op's own part of it, else of the last one.

    ``net/re_lu/Relu;net/bn/add;net/conv/convolution`` of a CONV_2D is ``conv``; empty where no part has a scope.
    """
    scopes, paths = [], []
    for part in tensor.split(";"):
        *path, what = part.split("/")
        if path[-1:] == ["separable_conv2d"] and len(path) > 1:
            path.pop()  # Keras' own scope within the layer
        named = [scope for scope in path if not scope.startswith(_NO_LAYERS)]
        if named:
            scopes.append((named[-1], what.lower()))
            paths.append(named)
    own = [scope for scope, what in scopes if any(word in what for word in _CALLED.get(op, ()))]
    if own:  # a constant that ops share is called after one of them, and stands in the names of all
        return max(own, key=lambda scope: sum(scope in path for path in paths))
    return scopes[-1][0] if scopes else ""


def _layers(source: str | PathLike[str], trust_model: bool, on_event: EventSink) -> tuple[LayerDescription, ...]:
    """The layers of a trained model.

    Raises:
        UsageError: it has none: a .tflite, or a plain SavedModel.
        ModelError: it cannot be loaded.
    """
    from pathlib import Path

    from edgekit.core import decode
    from edgekit.core.errors import ModelError, UsageError
    from edgekit.model import safety
    from edgekit.model.description import Network
    from edgekit.model.format import detect_format
    from edgekit.optimize.workers import Workers

    path = Path(source)
    fmt = detect_format(path)
    hint = "name the Keras model that the .tflite was made from, or leave out --source"
    if fmt.name == "tflite":
        raise UsageError(f"{path.name} is a .tflite, which has no layers", hint=hint)
    safety.refuse_code(path, fmt, trust=trust_model)
    with task("look at the layers", on_event), Workers(on_event) as workers:
        answer = workers.heavy("edgekit.model.describe:describe_keras", path=str(path), trust=trust_model)
    network = decode.from_json(Network, answer, source=path.name, error=ModelError)
    if not network.layers:
        raise UsageError(f"{path.name} has no layers that ops could be named after", hint=hint)
    return network.layers


def _work(flat: TfliteModel, op: Op) -> Work:
    """What an op has to do: its multiply-accumulates, and its inputs, weights and outputs in bytes."""
    import math

    from edgekit.measure.profile_hints import Work

    moved = 0
    for place in dict.fromkeys((*op.inputs, *op.outputs)):
        tensor = flat.tensors[place] if place >= 0 else None
        if tensor is None:
            continue
        if tensor.constant:
            moved += tensor.size_bytes
        elif tensor.dtype not in _BITS or min(tensor.shape, default=1) < 0:
            return Work(macs=op.macs, moved_bytes=None)
        else:
            moved += math.prod(tensor.shape) * _BITS[tensor.dtype] // 8
    return Work(macs=op.macs, moved_bytes=moved)
