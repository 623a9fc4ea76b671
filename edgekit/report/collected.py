"""What a report is of: the newest results of the store, their raw samples, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from edgekit.core.errors import StoreError
from edgekit.measure.emulated import is_emulated
from edgekit.measure.samples import Samples
from edgekit.report import words
from edgekit.results.history import HistoryPoint, history
from edgekit.results.query import Query
from edgekit.results.record import Kind, StoredResult, is_selftest
from edgekit.results.store import Store

#: with more, a page is no longer read, and no longer small
DRAWN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A kept measurement with its raw samples.

    Attributes:
        samples: None where they are lost, and ``missing`` says why; and of measurements that are only in tables.
        manifest: of the model that ran; None: edgekit did not make it, or it was not kept.
    """

    result: StoredResult
    samples: Samples | None
    missing: str
    manifest: Mapping[str, Any] | None

    @property
    def document(self) -> dict[str, Any]:
        """The measurement in JSON values."""
        return self.result.document

    @property
    def board(self) -> str:
        """``pi4``, or ``pi4 (emulated)``."""
        return words.device(self.document)

    @property
    def emulated(self) -> bool:
        """Its times say nothing about a real board."""
        return is_emulated(self.document)

    @property
    def model(self) -> str:
        """The model's name for people."""
        return words.model(self.result.model)

    @property
    def score(self) -> Mapping[str, Any]:
        """``metric``, ``final``, ``drop``, … of the model; empty where it was not scored."""
        found = (self.manifest or {}).get("score")
        return found if isinstance(found, Mapping) else {}

    @property
    def size_bytes(self) -> int | None:
        """Of the .tflite."""
        found = self.document["model"].get("size_bytes") or (self.manifest or {}).get("size_bytes")
        return None if found is None else int(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Everything that a report shows, newest first.

    Attributes:
        store: where it is from, without any password.
        wanted: what was asked for, as (option, value).
        created: when, ISO 8601 in UTC.
        measurements: the newest that may be used of each board, model, runtime (its kernels and weight cache too) and
            thread count; by board, then quickest first.
        artifacts: the newest of each name.
        histories: rows of two points and more, each of one model on one board under the same circumstances.
        left_out: what the report does not show, and why.
    """

    store: str
    wanted: tuple[tuple[str, str], ...]
    created: str
    measurements: tuple[Held, ...]
    artifacts: tuple[StoredResult, ...]
    deployments: tuple[StoredResult, ...]
    comparisons: tuple[StoredResult, ...]
    gates: tuple[StoredResult, ...]
    profiles: tuple[StoredResult, ...]
    selftests: tuple[StoredResult, ...]
    histories: tuple[tuple[HistoryPoint, ...], ...]
    left_out: tuple[str, ...]

    def told_apart(self, held: Held) -> str:
        """What follows a measurement's model and board: its threads, and its runtime where the report has several."""
        threads = words.count(held.document["num_threads"], "thread")
        return f"{words.runtime_in_short(held.document)}, {threads}" if self.has_runtimes else threads

    @property
    def has_runtimes(self) -> bool:
        """More than one: its name must stand beside every figure."""
        return len({words.runtime_in_short(held.document) for held in self.measurements}) > 1

    @property
    def drawn(self) -> tuple[Held, ...]:
        """The measurements that are drawn: the newest, those that may be used before others; in the table's order."""
        return _drawn(self.measurements)

    @property
    def results(self) -> tuple[StoredResult, ...]:
        """All of them, oldest first, for machines."""
        every = (
            *(held.result for held in self.measurements),
            *self.artifacts,
            *self.deployments,
            *self.comparisons,
            *self.gates,
            *self.profiles,
            *self.selftests,
        )
        return tuple(sorted(every, key=lambda result: (result.created, result.id)))

    @property
    def boards(self) -> tuple[str, ...]:
        """Real ones first; emulated ones are kept apart."""
        names = {held.board: held.emulated for held in self.measurements}
        return tuple(sorted(names, key=lambda name: (names[name], name)))


def collect(
    store: Store, *, device: str | None = None, model: str | None = None, since: datetime | None = None
) -> Collected:
    """Reads what a report needs.

    Args:
        store: of record.
        device: only of this board; models that were not measured there are left out.
        model: only of this one: its name, or the beginning of its SHA-256.
        since: only from then on.

    Raises:
        StoreError: the store cannot be read.
    """
    begin = since.astimezone(timezone.utc).isoformat(timespec="seconds") if since else ""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")

    def found(kind: Kind) -> list[StoredResult]:
        on = None if kind == "artifact" else device
        return list(store.list(limit=None, query=Query(kind=kind, device=on, model=model, since=since)))

    measurements, passed_over = _usable(one for one in found("measurement") if not is_selftest(one.document))
    kept_before = {result.model_sha256: result.document for result in reversed(store.list("artifact", limit=None))}
    deployments = _newest(found("deployment"), lambda result: (result.device, result.document.get("name")))
    artifacts = _newest(found("artifact"), lambda result: result.model)
    if device:
        there = {result.model_sha256 for result in (*measurements, *deployments)}
        artifacts = [result for result in artifacts if result.model_sha256 in there]
    held = [
        Held(result=result, samples=None, missing="", manifest=kept_before.get(result.model_sha256))
        for result in measurements
    ]
    held.sort(key=lambda one: (one.emulated, one.board, one.document["latency"]["median_ns"] or 0))
    held = _with_samples(store, held)
    comparisons = tuple(_newest(found("comparison"), _pair))
    gates = tuple(_newest(found("gate"), _pair))
    profiles = tuple(_newest(found("profile"), lambda result: (result.device, result.model)))
    selftests = tuple(_newest(found("selftest"), lambda result: result.device))
    damaged = [notice.message for notice in store.notices if notice.code == "result-damaged"]
    left_out = [*damaged, *passed_over] + [
        f"{len(rows)} {name}; the newest {DRAWN} are drawn, the others are in the tables only (--device and --model "
        "choose)"
        for name, rows in (("measurements", held), ("models", artifacts))
        if len(rows) > DRAWN
    ]
    return Collected(
        store=store.url,
        wanted=tuple(
            (name, value) for name, value in (("device", device), ("model", model), ("since", begin)) if value
        ),
        created=now,
        measurements=tuple(held),
        artifacts=tuple(artifacts),
        deployments=tuple(deployments),
        comparisons=comparisons,
        gates=gates,
        profiles=profiles,
        selftests=selftests,
        histories=_histories(store, held, begin),
        left_out=tuple(left_out),
    )


def _newest(results: Iterable[StoredResult], key: Callable[[StoredResult], object]) -> list[StoredResult]:
    """The first of each kind; results come newest first."""
    found: dict[object, StoredResult] = {}
    for result in results:
        found.setdefault(key(result), result)
    return list(found.values())


def _usable(results: Iterable[StoredResult]) -> tuple[list[StoredResult], list[str]]:
    """The newest that may be used of each, and in words the newer ones that may not."""
    rows: dict[object, list[StoredResult]] = {}
    for result in results:
        rows.setdefault(_circumstances(result), []).append(result)
    chosen, told = [], []
    for row in rows.values():
        newest = row[0]
        found = next((result for result in row if result.verdict != "invalid"), newest)
        chosen.append(found)
        if found is not newest:
            threads = words.count(newest.document["num_threads"], "thread")
            reason = next(iter(newest.document["reasons"]), "no reason was kept")
            runtime = words.runtime_in_short(newest.document)
            told.append(
                f"{words.model(newest.model)} on {newest.device}, {runtime}, {threads}: measured again on "
                f"{_when(newest)}, but invalid ({reason}); shown is the measurement of {_when(found)}."
            )
    return chosen, told


def _when(result: StoredResult) -> str:
    return f"{result.created[:16].replace('T', ' ')} UTC"


def _circumstances(result: StoredResult) -> object:
    runtime = result.document.get("runtime") or {}
    return (
        result.device,
        result.lab,
        result.model,
        runtime.get("name"),
        runtime.get("delegate"),
        runtime.get("kernels") or "delegate",
        bool(runtime.get("weight_cache")),
        result.document["num_threads"],
    )


def _pair(result: StoredResult) -> object:
    baseline = result.document.get("baseline")
    before = baseline.get("model") if isinstance(baseline, Mapping) else baseline
    sides = (result.document.get(name) for name in ("baseline", "candidate"))
    used = tuple(
        words.runtime_in_short(side) if isinstance(side, Mapping) and side.get("runtime") else None for side in sides
    )
    return (result.device, result.model_sha256, str(before), used)


def _drawn(measurements: Sequence[Held]) -> tuple[Held, ...]:
    newest = sorted(measurements, key=lambda held: held.result.created, reverse=True)
    newest.sort(key=lambda held: held.result.verdict == "invalid")
    chosen = {held.result.id for held in newest[:DRAWN]}
    return tuple(held for held in measurements if held.result.id in chosen)


def _with_samples(store: Store, measurements: Sequence[Held]) -> list[Held]:
    """With the samples of those that need them: what is drawn, and the newest of each board, for its state."""
    newest = {held.board: held for held in sorted(measurements, key=lambda held: held.result.created)}
    needed = {held.result.id for held in (*_drawn(measurements), *newest.values())}
    return [_read(store, held) if held.result.id in needed else held for held in measurements]


def _read(store: Store, held: Held) -> Held:
    try:
        return replace(held, samples=store.samples(held.result.id))
    except StoreError as error:
        return replace(held, missing=error.message)


def _histories(store: Store, held: Sequence[Held], begin: str) -> tuple[tuple[HistoryPoint, ...], ...]:
    rows: dict[object, list[HistoryPoint]] = {}
    wanted = dict.fromkeys((one.result.model, one.result.device) for one in held)
    for name, device in wanted:
        for point in history(store, name, device or ""):
            if point.created >= begin:
                rows.setdefault((point.series, name), []).append(point)
    return tuple(tuple(row) for row in rows.values() if len(row) > 1)
