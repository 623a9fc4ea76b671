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
    """How the models were made, put on boards and measured, in that order."""
    found = [_optimize(result) for result in reversed(collected.artifacts)]
    found += [_deploy(result) for result in reversed(collected.deployments)]
    found += [_benchmark(held) for held in collected.measurements]
    asked = [part for name, value in collected.wanted for part in (f"--{name}", value)]
    found.append(Command(text=shlex.join(["edgekit", "report", *asked]), about="this report"))
    return tuple(found)


def of_measurement(document: Mapping[str, Any], model: str) -> str:
    """The benchmark of one model."""
    name = f"{words.model(model)}.tflite"
    argv = ["edgekit", "benchmark", *_operand(name), "--device", str(document["device"])]
    argv += ["--num-threads", str(document["num_threads"]), *_plan(document.get("plan") or {})]
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
    argv = ["edgekit", "deploy", *_operand(f"{words.model(result.model)}.tflite"), "--device", device]
    return Command(text=shlex.join(argv), about=f"makes release {release} the current one on {result.device}")


def _benchmark(held: Held) -> Command:
    about = (
        f"{held.model} on {held.board}, {words.circumstances(held.document)}; SHA-256 {held.result.model_sha256[:12]}…"
    )
    return Command(text=of_measurement(held.document, held.result.model), about=about)


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
