"""Trials as a board would send them, made from a seed, for the tests of measuring, keeping and showing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy

from edgekit.measure.plan import Plan, make_plan
from edgekit.measure.samples import Samples
from edgekit.runner.conditions import Conditions, During
from edgekit.runner.protocol import Job, MemoryPhase, RuntimeUsed, Trial

SHA = "5e" * 32
RUNTIME = RuntimeUsed(name="LiteRT C API", version="2.3.0", delegate="XNNPACK", fully_delegated=True)
CALM = Conditions(
    temperature_c=48.2,
    frequency_hz=(1_800_000_000,) * 4,
    clock_hz=1_800_400_000,
    governor="performance",
    throttle_bits=0,
    load_1min=0.1,
    memory_available_bytes=1_500_000_000,
    boot_id="11111111-2222-3333-4444-555555555555",
)
BLIND = Conditions(
    temperature_c=None,
    frequency_hz=(),
    clock_hz=None,
    governor=None,
    throttle_bits=None,
    load_1min=0.4,
    memory_available_bytes=900_000_000,
    boot_id="11111111-2222-3333-4444-555555555555",
)
#: what a sampler on another core saw of a calm board
WATCHED = During(glances=3, throttle_bits=0, hottest_c=49.1, slowest_hz=1_800_400_000, fastest_hz=1_800_400_000, cpu=3)
JOB = Job(
    mode="latency",
    model="/home/pi/.edgekit/model.tflite",
    model_sha256=SHA,
    library="/home/pi/.edgekit/libLiteRt.so",
    module=None,
    num_threads=1,
    samples=(("/home/pi/.edgekit/0.bin",),),
)


def make_trial(
    *, median_ns: float = 2e6, iterations: int = 100, noise: float = 0.01, seed: int = 0, **other: Any
) -> Trial:
    """One timed process whose iterations scatter around ``median_ns``."""
    drawn = numpy.random.default_rng(seed).lognormal(0, noise, iterations) * median_ns
    latency = tuple(int(value) for value in drawn)
    values: dict[str, Any] = {
        "mode": "latency",
        "pid": 1000 + seed,
        "runtime": RUNTIME,
        "num_threads": 1,
        "model_sha256": SHA,
        "inputs": ({"name": "x", "dtype": "int8", "shape": [1, 8, 8, 1]},),
        "outputs_info": ({"name": "y", "dtype": "int8", "shape": [1, 10]},),
        "latency_ns": latency,
        "warmup_ns": (int(median_ns * 1.5),),
        "library_ns": 4_000_000,
        "load_ns": 1_000_000,
        "init_ns": 3_000_000,
        "first_ns": 2_500_000,
        "cpu_ns": int(sum(latency) * 0.99),
        "wall_ns": sum(latency),
        "calibration_ns": (9_000_000, 9_010_000),
        "involuntary_switches": 3,
        "pressure_us": 0,
        "major_faults": 0,
        "output_sha256": "0a" * 32,
        "during": WATCHED,
        "before": CALM,
        "after": CALM,
        "python": "3.11.2",
    }
    return Trial(**{**values, **other})


def make_memory_trial(*, seed: int = 0, **other: Any) -> Trial:
    """One memory process: 9 MB with the library, 14 MB at its highest."""
    sizes = {"start": 7, "library": 9, "model": 10, "init": 12, "first": 14, "steady": 13}
    phases = tuple(
        MemoryPhase(
            phase=name,
            rss_bytes=megabytes * 1_000_000,
            peak_rss_bytes=megabytes * 1_000_000 + 1000,
            anon_bytes=megabytes * 400_000,
            file_bytes=megabytes * 600_000,
        )
        for name, megabytes in sizes.items()
    )
    return replace(make_trial(seed=seed, iterations=16), mode="memory", **{"memory": phases, **other})


def make_samples(
    *,
    plan: Plan | None = None,
    median_ns: float = 2e6,
    between: float = 0.002,
    seed: int = 0,
    trials: tuple[Trial, ...] | None = None,
    **other: Any,
) -> Samples:
    """A calm run of a whole plan; ``between`` is how much the processes differ."""
    plan = plan or make_plan()
    levels = numpy.random.default_rng(seed + 10_000).lognormal(0, between, plan.processes) * median_ns
    if trials is None:
        trials = tuple(make_trial(median_ns=level, seed=seed * 1000 + i, **other) for i, level in enumerate(levels))
    return Samples(
        plan=plan,
        latency=trials,
        memory=tuple(make_memory_trial(seed=i) for i in range(plan.memory_processes)),
        repeated=(),
        model_sha256=SHA,
        num_threads=1,
        created="2026-01-02T03:04:05+00:00",
    )
