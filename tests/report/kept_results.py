"""A store with one of everything that a report shows, made from synthetic trials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from synthetic_trials import BLIND, make_samples, make_trial

from edgekit.measure.conditions import BoardLimits
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from, to_document
from edgekit.measure.plan import make_plan
from edgekit.measure.samples import Repeated, Samples
from edgekit.results.store import Store
from edgekit.runner.conditions import During, Reading

FLOAT, INT8, OTHER = "f0" * 32, "18" * 32, "0e" * 32
SOURCE = "5c" * 32
SECOND = 1_000_000_000
LATENCY_CHECK = {
    "name": "latency",
    "device": "pi4",
    "model": "digits-int8",
    "outcome": "failed",
    "message": "8.1 % slower (95 % interval 6.2 to 9.9 %), 5 % is allowed",
}


def warm_board(*, hot: bool = False) -> During:
    """What a sampler saw of three seconds: the board gets warmer, and slower where it is ``hot``."""
    clocks = (1_800_000_000, 1_500_000_000, 1_000_000_000) if hot else (1_800_000_000,) * 3
    readings = tuple(
        Reading(at_ns=7 * SECOND + place * SECOND, temperature_c=48.0 + 5 * place, clock_hz=clock, throttle_bits=0)
        for place, clock in enumerate(clocks)
    )
    return During(
        glances=3,
        throttle_bits=0x4 if hot else 0,
        hottest_c=58.0,
        slowest_hz=min(clocks),
        fastest_hz=max(clocks),
        cpu=3,
        began_ns=7 * SECOND,
        readings=readings,
    )


def measurement(
    name: str = "digits-int8.tflite",
    *,
    device: str = "pi4",
    sha256: str = INT8,
    median_ns: float = 2e6,
    samples: Samples | None = None,
    emulated: bool = False,
    kind: str = "int8",
    **other: Any,
) -> Measurement:
    """One measurement; without samples of a calm board that tells everything."""
    found = samples or make_samples(median_ns=median_ns, during=warm_board(), **other)
    latency = tuple(replace(trial, model_sha256=sha256) for trial in found.latency)
    memory = tuple(replace(trial, model_sha256=sha256) for trial in found.memory)
    model = MeasuredModel(name=name, sha256=sha256, kind=kind, size_bytes=71_440, source_sha256=SOURCE)
    return measurement_from(
        replace(found, model_sha256=sha256, latency=latency, memory=memory),
        device=device,
        model=model,
        limits=BoardLimits(temperature_limit_c=80.0, emulated=emulated),
    )


def restless_samples() -> Samples:
    """Processes that do not agree, on a board without sensors."""
    trials = tuple(
        make_trial(median_ns=level, seed=place, before=BLIND, after=BLIND, during=None)
        for place, level in enumerate((2e6, 2.9e6, 2.1e6, 3.3e6))
    )
    return make_samples(plan=make_plan(processes=4), trials=trials)


def repeated_samples() -> Samples:
    """A throttled process was thrown away and run again; another one never answered."""
    samples = make_samples(during=warm_board())
    throttled = make_trial(median_ns=3e6, seed=77, during=warm_board(hot=True))
    thrown = (
        Repeated(mode="latency", index=2, reason="throttled: throttled", trial=throttled),
        Repeated(mode="latency", index=5, reason="crashed: no answer", trial=None),
    )
    return replace(samples, repeated=thrown)


def manifest(name: str, sha256: str, kind: str, score: float, *, steps: bool = True) -> dict[str, Any]:
    """What the store keeps of an artifact."""
    sizes = [246_256, 246_256, 71_440] if steps else [246_256]
    rows = [
        {
            "name": step,
            "size_bytes": size,
            "gzip_bytes": size // 2,
            "score": score,
            "drop": 0.2,
            "score_ci95": [score - 0.01, min(score + 0.004, 1.0)],
            "macs": 1_792_640,
            "notes": [f"a note of {step}"],
            "measured": _measured(size) if size != sizes[0] or step == "float32" else None,
        }
        for step, size in zip(("float32", "prune", "quantize"), sizes)
    ]
    return {
        "name": name,
        "sha256": sha256,
        "kind": kind,
        "size_bytes": sizes[-1],
        "gzip_bytes": sizes[-1] // 2,
        "source": "digits.keras",
        "source_sha256": SOURCE,
        "recipe": {"name": "prune-int8" if steps else "float32"},
        "data": {"evaluation": "ab" * 32},
        "steps": rows,
        "score": {
            "metric": "top-1",
            "float": 0.994,
            "final": score,
            "drop": 0.2,
            "count": 500,
            "ci95": [score - 0.01, min(score + 0.004, 1.0)],
            "drop_ci95": [-0.4, 0.8],
        },
    }


def comparison(baseline: Measurement, candidate: Measurement, verdict: str, ratio: float) -> dict[str, Any]:
    """What ``edgekit compare`` keeps."""
    return {
        "device": "pi4",
        "verdict": verdict,
        "ratio": ratio,
        "ci95": [ratio - 0.03, ratio + 0.03],
        "pairs": 10,
        "margin": 0.02,
        "reasons": ["baseline: uncontrolled: governor"],
        "memory": {"name": "peak_rss_bytes", "ratio": 0.91},
        "cold_start": {"name": "cold_start_ns", "ratio": 0.97},
        "size": {"name": "size_bytes", "ratio": 0.29},
        "baseline": to_document(baseline),
        "candidate": to_document(candidate),
    }


def fill(store: Store) -> None:
    """One of everything: two real boards, an emulated one, every verdict, decisions, a profile, a history."""
    whole = measurement("digits-float32.tflite", sha256=FLOAT, median_ns=6e6, kind="float32")
    quick = measurement(samples=repeated_samples())
    for result in (
        manifest("digits-float32", FLOAT, "float32", 0.994, steps=False),
        manifest("digits-int8", INT8, "int8", 0.992),
    ):
        store.add_optimization(result)
    for place, level in enumerate((2.3e6, 2.31e6, 2.3e6)):
        store.add_measurement(measurement(median_ns=level, seed=place + 1))
    store.add_measurement(whole)
    store.add_measurement(quick)
    store.add_measurement(measurement("unscored.tflite", sha256=OTHER, median_ns=4e6))
    store.add_measurement(measurement(device="local", samples=restless_samples()))
    store.add_measurement(measurement(device="board", emulated=True))
    store.add_deployment(
        {
            "device": "pi4",
            "release": {"id": "18aa", "previous": None},
            "smoke": {"ok": True},
            "uploaded_bytes": 8_000_000,
        },
        device="pi4",
        model="digits-int8",
        model_sha256=INT8,
    )
    about = {"device": "pi4", "model": "digits-int8", "model_sha256": INT8}
    store.add("comparison", comparison(whole, quick, "faster", 0.35), verdict="faster", **about)
    gate = {"reasons": ["latency: 1.081 is above 1.05, lower bound 1.062"], "checks": [LATENCY_CHECK]}
    store.add("gate", gate, verdict="failed", **about)
    store.add("selftest", {"false_alarm_rate": 0.0, "detectable": 0.018}, verdict="passed", **{**about, "model": "A/A"})
    store.add("profile", profile(), **about)


def profile() -> dict[str, Any]:
    """What ``edgekit profile`` keeps."""
    times = {"conv2d_3": 900_000, "conv2d_4": 500_000, "dense": 120_000, "softmax": 9_000}
    ops = [
        {"name": "CONV_2D", "layer": layer, "elapsed_ns": ns, "share": ns / 1_529_000, "delegated": layer != "softmax"}
        for layer, ns in times.items()
    ]
    return {"ops": ops, "ops_ns": 1_529_000, "num_threads": 1, "outside_delegate_share": 0.006}


def _measured(size: int) -> dict[str, Any]:
    return {
        "device": "pi4",
        "latency_ns": size * 20.0,
        "ci95_ns": [size * 19.5, size * 20.4],
        "peak_rss_bytes": 22_000_000,
        "runtime": "LiteRT C API 2.3.0",
        "num_threads": 1,
        "processes": 3,
        "verdict": "valid",
    }
