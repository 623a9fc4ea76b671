"""The commands that repeat what a report shows, quoted for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.report import words
from edgekit.report.collected import Collected, Held
from edgekit.results.record import StoredResult

#: what the user has to put there: the store knows the rows by their hash, not by their place
DATA = "DATA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        text: as it is typed.
        about: what it repeats, and what the result must hash to.
    """

    text: str
    about: str


def commands(collected: Collected) -> tuple[Command, ...]:
    """How the models were made, put on boards, measured, compared, gated and profiled, in that order."""
    found = [_optimize(result) for result in reversed(collected.artifacts)]
    found += [_deploy(result) for result in reversed(collected.deployments)]
    found += [_benchmark(held) for held in collected.measurements]
    found += [_selftest(result) for result in reversed(collected.selftests)]
    found += [one for result in reversed(collected.comparisons) if (one := _compare(result))]
    found += [one for result in reversed(collected.gates) if (one := _gate(result))]
    found += [_profile(result) for result in reversed(collected.profiles)]
    asked = [part for name, value in collected.wanted for part in (f"--{name}", value)]
    found.append(Command(text=shlex.join(["edgekit", "report", *asked]), about="this report"))
    return tuple(found)


def of_measurement(document: Mapping[str, Any], model: str) -> str:
    """The benchmark of one model."""
    argv = ["edgekit", "benchmark", *_file(model), "--device", str(document["device"])]
    argv += ["--num-threads", str(document["num_threads"]), *_runtime(document), *_plan(document.get("plan") or {})]
    return shlex.join(argv)


def _optimize(result: StoredResult) -> Command:
    manifest = result.document
    recipe = str((manifest.get("recipe") or {}).get("name") or "")
    argv = ["edgekit", "optimize", *_operand(str(manifest["source"])), "--data", DATA]
    argv += ["--recipe", recipe] if recipe else []
    rows = ", ".join(f"{role} {digest[:12]}" for role, digest in (manifest.get("data") or {}).items())
    about = (
        f"makes {result.model}.tflite, SHA-256 {result.model_sha256[:12]}…, from {str(manifest['source_sha256'])[:12]}…"
    )
    return Command(
        text=shlex.join([*argv, "-o", f"{result.model}.tflite"]),
        about=about + (f"; {DATA}: the rows with the fingerprints {rows}" if rows else ""),
    )


def _deploy(result: StoredResult) -> Command:
    device = str(result.document.get("device") or result.device or "")
    release = (result.document.get("release") or {}).get("id")
    argv = ["edgekit", "deploy", *_file(result.model), "--device", device]
    return Command(text=shlex.join(argv), about=f"makes release {release} the current one on {result.device}")


def _benchmark(held: Held) -> Command:
    about = (
        f"{held.model} on {held.board}, {words.circumstances(held.document)}; SHA-256 {held.result.model_sha256[:12]}…"
    )
    return Command(text=of_measurement(held.document, held.result.model), about=about)


def _selftest(result: StoredResult) -> Command:
    device = str(result.document.get("device") or result.device or "")
    return Command(text=shlex.join(["edgekit", "devices", "selftest", device]), about=f"whether {device} can compare")


def _compare(result: StoredResult) -> Command | None:
    document = result.document
    argv = _pair("compare", document)
    if argv is None:
        return None
    seed = document.get("seed")
    argv += [] if seed is None else ["--seed", str(seed)]
    margin = document.get("margin")
    argv += [] if margin in (None, 0.02) else ["--margin", f"{margin:.4g}"]
    return Command(text=shlex.join(argv), about=f"the comparison {result.id[:8]}, in the same order")


def _gate(result: StoredResult) -> Command | None:
    """One model of a gate with its limits; None where its sides were not kept."""
    pairs = result.document.get("comparisons")
    argv = _pair("gate", pairs[0]) if isinstance(pairs, list) and pairs and isinstance(pairs[0], Mapping) else None
    if argv is None:
        return None
    limits = result.document.get("limits")
    for name, usual, scale in _LIMITS:
        limit = limits.get(name, usual) if isinstance(limits, Mapping) else usual
        if limit != usual:
            given = "off" if limit is None else f"{limit * scale:.6g}{'%' if scale != 1 else ''}"
            argv += [f"--{name.replace('_', '-')}", given]
    return Command(text=shlex.join(argv), about=f"the gate {result.id[:8]}")


_LIMITS = (("latency", 0.05, 100), ("memory", 0.05, 100), ("size", 0.01, 100), ("max_drop", 1.0, 1))


def _pair(verb: str, document: Mapping[str, Any]) -> list[str] | None:
    sides = [_side(document.get(name)) for name in ("baseline", "candidate")]
    if not all(sides):
        return None
    first, second = (_file(side) for side in sides)
    both = [*first, *second] if verb == "compare" else [*second, "--baseline", *first]
    argv = ["edgekit", verb, *both, "--device", str(document.get("device"))]
    threads = document.get("num_threads")
    argv += [] if threads is None else ["--num-threads", str(threads)]
    used = [
        words.runtime_in_short(side) if isinstance(side, Mapping) and side.get("runtime") else None
        for side in (document.get(name) for name in ("baseline", "candidate"))
    ]
    apart = verb == "compare" and all(used) and used[0] != used[1]
    return [*argv, *(["--runtime", ",".join(map(str, used))] if apart else _runtime(document))]


def _side(side: object) -> str:
    model = side.get("model") if isinstance(side, Mapping) else None
    return str(model.get("name") or "") if isinstance(model, Mapping) else ""


def _profile(result: StoredResult) -> Command:
    document = result.document
    device = str(document.get("device") or result.device or "")
    argv = ["edgekit", "profile", *_file(result.model), "--device", device]
    argv += ["--num-threads", str(document["num_threads"])] if document.get("num_threads") else []
    argv += ["--kernels", "builtin"] if document.get("kernels") == "builtin" else []
    return Command(text=shlex.join(argv), about=f"the times of ops of {words.model(result.model)} on {result.device}")


def _runtime(document: Mapping[str, Any]) -> list[str]:
    """Options for another runtime than the usual one."""
    used = document.get("runtime") or {}
    if not used:
        return []
    name = str(words.runtime_in_short({**document, "runtime": {**used, "weight_cache": False}}))
    found = [] if name in ("litert", "onnxruntime") else ["--runtime", name]
    return [*found, *(["--weight-cache"] if used.get("weight_cache") else [])]


def _file(model: str) -> list[str]:
    """The file of a model, as an operand: artifacts are kept without their ending."""
    name = words.model(model)
    return _operand(name if name.endswith(".onnx") else f"{name}.tflite")


def _plan(plan: Mapping[str, Any]) -> Sequence[str]:
    from edgekit.measure.plan import PLANS

    name = str(plan.get("name") or "standard")
    chosen = [] if name == "standard" else ["--plan", name]
    usual = PLANS.get(name)
    for option, key in (("--num-runs", "min_runs"), ("--warmup-runs", "warmup_runs")):
        if usual is not None and plan.get(key) not in (None, getattr(usual, key)):
            chosen += [option, str(plan[key])]
    return chosen


def _operand(name: str) -> list[str]:
    """A file whose name looks like an option still is a file."""
    return [f"./{name}" if name.startswith("-") else name]
