"""A model's profile on a board: each op with its layer, its time, what took it, and what its time says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.core.decode import to_json
from edgekit.core.notice import Notice
from edgekit.measure.profile import OpTimes, op_times, owners_of
from edgekit.measure.profile_hints import Work, hint, roofs
from edgekit.runner.protocol import Profile, RuntimeUsed


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOp:
    """An op as the file has it.

    Attributes:
        name: ``CONV_2D``, …
        layer: of the trained model, or what its output is called after; empty where nothing tells.
        tensor: name of its first output.
        work: what it has to do.
    """

    name: str
    layer: str
    tensor: str
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledFileOp:
    """An op with its time.

    Attributes:
        index: position in the model.
        name, layer, tensor: see :class:`FileOp`.
        elapsed_ns: in one run; ``share`` of all ops.
        delegated: the delegate took it; ``kernels``: what ran for it, in the runtime's words.
        macs, moved_bytes, macs_per_s, bytes_per_s: its work and pace; None where unknown or too short to tell.
        hint: what that says, in words.
    """

    index: int
    name: str
    layer: str
    tensor: str
    elapsed_ns: float
    share: float
    delegated: bool
    kernels: tuple[str, ...]
    macs: int | None
    moved_bytes: int | None
    macs_per_s: float | None
    bytes_per_s: float | None
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KindTime:
    """All ops of one name together; ``delegated`` is how many of them the delegate took."""

    name: str
    count: int
    delegated: int
    elapsed_ns: float
    share: float
    macs: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilingCost:
    """What taking the time of every op costs: why these times are never a headline.

    Attributes:
        with_ns, without_ns: a run with and without it, mean of the quicker half, in a process each on the same board.
        ratio: of the two; None where a run is too short for the runtime's clock.
    """

    with_ns: float
    without_ns: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One kernel as it ran: for traces. ``op`` is the position of the op that it ran for."""

    tag: str
    op: int
    delegated: bool
    elapsed_us: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """Where the time of a model goes on a board.

    Attributes:
        device: its name; ``emulated``: its processor is a program, and the times say nothing about a real board.
        model, sha256, kind: of the .tflite.
        kernels: ``delegate`` or ``builtin``.
        runs: that count; ``other_runs``: that went another way through an IF or WHILE, and were left out.
        whole_ns: one run with profiling on; ``ops_ns``: all ops; ``between_ns``: what lies between them.
        outside_delegate_ns, outside_delegate_share: of the ops that the delegate did not take; None: there is none.
        delegated_ops: how many ops it took, of ``len(ops)``.
        names: where layer names come from: ``source`` (the trained model) or ``tensors``.
        best_macs_per_s, best_bytes_per_s: of the best op of this model.
        recorded, whole_us: raw, one entry per run.
    """

    device: str
    emulated: bool
    model: str
    sha256: str
    kind: str | None
    runtime: RuntimeUsed
    kernels: str
    num_threads: int
    cpus: tuple[int, ...]
    runs: int
    other_runs: int
    whole_ns: float
    ops_ns: float
    between_ns: float
    outside_delegate_ns: float | None
    outside_delegate_share: float | None
    delegated_ops: int
    names: str
    best_macs_per_s: float | None
    best_bytes_per_s: float | None
    cost: ProfilingCost
    ops: tuple[ProfiledFileOp, ...]
    kinds: tuple[KindTime, ...]
    notices: tuple[Notice, ...]
    created: str
    recorded: tuple[Recorded, ...]
    whole_us: tuple[int, ...]


def model_profile(
    profile: Profile,
    ops: Sequence[FileOp],
    *,
    device: str,
    emulated: bool,
    model: str,
    kind: str | None,
    kernels: str,
    names: str,
    without_ns: float | None,
    created: str,
    notices: Sequence[Notice] = (),
) -> ModelProfile:
    """Everything that follows from what a board recorded.

    Args:
        profile: what it recorded.
        ops: of the file's first subgraph, in order.
        without_ns: a run without profiling; None: none was measured.
        device, emulated, model, kind, kernels, names, created, notices: see :class:`ModelProfile`.

    Raises:
        DeviceError: the runtime recorded an op that the model does not have.
    """
    file_names = [op.name for op in ops]
    times = op_times(profile, file_names, emulated=emulated)
    rows = _rows(times, ops, delegate=profile.runtime.delegate != "none" and kernels != "builtin")
    best = roofs(times.ops, [op.work for op in ops])
    has_delegate = any(op.delegated for op in profile.ops)
    outside = sum(row.elapsed_ns for row in rows if not row.delegated)
    return ModelProfile(
        device=device,
        emulated=emulated,
        model=model,
        sha256=profile.model_sha256,
        kind=kind,
        runtime=profile.runtime,
        kernels=kernels,
        num_threads=profile.num_threads,
        cpus=profile.cpus,
        runs=times.runs,
        other_runs=profile.other_runs,
        whole_ns=times.whole_ns,
        ops_ns=times.ops_ns,
        between_ns=max(0.0, times.whole_ns - times.ops_ns),
        outside_delegate_ns=outside if has_delegate else None,
        outside_delegate_share=outside / times.ops_ns if has_delegate and times.ops_ns else None,
        delegated_ops=sum(row.delegated for row in rows),
        names=names,
        best_macs_per_s=best.macs_per_s,
        best_bytes_per_s=best.bytes_per_s,
        cost=ProfilingCost(
            with_ns=times.whole_ns,
            without_ns=without_ns,
            ratio=times.whole_ns / without_ns if without_ns and without_ns >= 20_000 else None,
        ),
        ops=rows,
        kinds=_kinds(rows),
        notices=(*notices, *_notices(profile, rows)),
        created=created,
        recorded=tuple(
            Recorded(tag=op.tag, op=owner, delegated=op.delegated, elapsed_us=op.elapsed_us)
            for op, owner in zip(profile.ops, owners_of(profile, file_names))
        ),
        whole_us=profile.whole_us,
    )


def profile_document(found: ModelProfile) -> dict[str, Any]:
    """As JSON values, without the raw times of every run."""
    left_out = ("recorded", "whole_us")
    return {name: to_json(getattr(found, name)) for name in ModelProfile.__slots__ if name not in left_out}


def _rows(times: OpTimes, ops: Sequence[FileOp], *, delegate: bool) -> tuple[ProfiledFileOp, ...]:
    best = roofs(times.ops, [op.work for op in ops])
    rows = []
    for time, op in zip(times.ops, ops):
        share = time.elapsed_ns / times.ops_ns if times.ops_ns else 0.0
        telling = time.elapsed_ns >= 5000.0
        macs, moved = op.work.macs, op.work.moved_bytes
        rows.append(
            ProfiledFileOp(
                index=time.index,
                name=op.name,
                layer=op.layer,
                tensor=op.tensor,
                elapsed_ns=time.elapsed_ns,
                share=share,
                delegated=time.delegated,
                kernels=time.kernels,
                macs=macs,
                moved_bytes=moved,
                macs_per_s=macs / time.elapsed_ns * 1e9 if macs and telling else None,
                bytes_per_s=moved / time.elapsed_ns * 1e9 if moved and telling else None,
                hint=hint(time, op.work, best, share=share, delegate=delegate),
            )
        )
    return tuple(rows)


def _kinds(rows: Sequence[ProfiledFileOp]) -> tuple[KindTime, ...]:
    found = []
    for name in dict.fromkeys(row.name for row in rows):
        own = [row for row in rows if row.name == name]
        macs = [row.macs for row in own if row.macs is not None]
        found.append(
            KindTime(
                name=name,
                count=len(own),
                delegated=sum(row.delegated for row in own),
                elapsed_ns=sum(row.elapsed_ns for row in own),
                share=sum(row.share for row in own),
                macs=sum(macs) if macs else None,
            )
        )
    return tuple(sorted(found, key=lambda kind: -kind.elapsed_ns))


def _notices(profile: Profile, rows: Sequence[ProfiledFileOp]) -> list[Notice]:
    found = []
    bodies = [row.name for row in rows if row.name in ("WHILE", "IF")]
    if bodies:
        names = " and ".join(dict.fromkeys(bodies))
        message = (
            f"the time of {names} is that of everything inside; the runtime does not say which op of it took how long"
        )
        found.append(Notice(code="control-flow", message=message))
    if profile.other_runs:
        message = f"{profile.other_runs} runs went another way through the model than the usual one and do not count"
        found.append(Notice(code="other-runs", message=message))
    return found
