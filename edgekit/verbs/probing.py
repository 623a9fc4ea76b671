"""A board in the midst of optimizing: what measures candidates on it, and what a forecast knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgekit.core.artifact import Measured
    from edgekit.core.events import EventSink
    from edgekit.measure.measurement import Measurement
    from edgekit.optimize.request import Probe
    from edgekit.verbs.boards import Reach


def probe(device: str, num_threads: int | None, reach: Reach | None, on_event: EventSink) -> Probe:
    """What measures .tflite files on a board, side by side.

    Raises:
        UsageError: no such board.
    """
    from edgekit.core.artifact import Artifact
    from edgekit.verbs.benchmark import benchmark
    from edgekit.verbs.boards import Reach

    (reach or Reach()).target(device)  # a misspelt name is found before minutes of work

    def measure(models: Sequence[Path]) -> dict[Path, Measured]:
        artifacts = [Artifact(path=path, manifest=None) for path in models]
        found = benchmark(
            artifacts, device=device, num_threads=num_threads, plan="quick", reach=reach, on_event=on_event
        )
        return {path: _measured(one) for path, one in zip(models, found, strict=True)}

    return measure


def forecast_target(device: str, reach: Reach | None) -> dict[str, str | None]:
    """What a forecast goes by; where the profile does not tell the processor, latency stays unknown."""
    import platform

    from edgekit.verbs.boards import Reach

    found = (reach or Reach()).target(device)
    abi = found.profile.abi or (platform.machine() if found.is_local else None)
    return {"device": device, "abi": abi}


def _measured(measurement: Measurement) -> Measured:
    from edgekit.core.artifact import Measured

    runtime = measurement.runtime
    return Measured(
        device=measurement.device,
        latency_ns=measurement.latency.median_ns,
        ci95_ns=measurement.latency.ci95_ns,
        peak_rss_bytes=measurement.memory.peak_rss_bytes,
        runtime="unknown" if runtime is None else f"{runtime.name} {runtime.version}",
        num_threads=measurement.num_threads,
        processes=measurement.processes,
        verdict=measurement.verdict,
        reasons=tuple(map(str, measurement.reasons)),
        emulated=measurement.emulated,
    )
