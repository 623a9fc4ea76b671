"""Compares the two runners on one library: the payload in Python and the native one in C, interleaved in one run.

    python tools/bench_runner.py [MODEL.tflite ...] [--num-threads 1] [--rounds 5] [--cpus 0]

Without a model it makes a MobileNet (alpha 0.25, 128×128) and a MobileNetV2 (224×224) with TensorFlow, each in float32
and int8. Prints a table with a row for each model and each pair that is compared, from fresh processes whose order
changes from round to round:

    latency     median of the process medians: payload against native; each with its sampler against without
    CPU time    the same of the CPU time per inference
    memory      what the model needs beyond the library (peak resident memory minus that after loading the library),
                and its anonymous part: payload against native

The paired ratio is the median over the rounds of the ratio within a round: what drifts in between does not touch it.
The interval is the bootstrap's for that median. A sampler is made to work as on a Raspberry Pi: three programs are
started for every glance.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from platform import machine
from typing import Any

from edgekit.core.hashing import sha256_file
from edgekit.measure.statistics import bootstrap_interval
from edgekit.runner.answer import read_answer
from edgekit.runner.native import native_runner
from edgekit.runner.payload_file import write_payload
from edgekit.runner.runtimes import fetch_library

SAMPLES = 4
MAKE_MODELS = """
import sys, numpy, tensorflow as tf
models = {
    "mobilenet_025_128": (128, tf.keras.applications.MobileNet((128, 128, 3), alpha=0.25, weights=None)),
    "mobilenet_v2_224": (224, tf.keras.applications.MobileNetV2((224, 224, 3), weights=None)),
}
for name, (side, model) in models.items():
    draw = lambda: numpy.random.default_rng(1).random((20, 1, side, side, 3)).astype("float32")
    for kind in ("float32", "int8"):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if kind == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([x] for x in draw())
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        open(f"{sys.argv[1]}/{name}_{kind}.tflite", "wb").write(converter.convert())
"""


FIRMWARE = """#!/bin/sh
case $1 in
measure_temp) echo "temp=48.2'C" ;;
measure_clock) echo "frequency(48)=1800404352" ;;
*) echo "throttled=0x0" ;;
esac
"""
SENSORS = {"temperature": "measure_temp", "clock": "measure_clock", "throttled": "get_throttled"}


class Runners:
    """Both ways to run one model, with the same samples."""

    def __init__(self, model: Path, folder: Path, num_threads: int, cpus: list[int]) -> None:
        self.model = model
        self.num_threads = num_threads
        self.cpus = cpus
        self.library = str(fetch_library(version("ai-edge-litert"), machine()).path)
        self.programs = {
            "payload": [sys.executable, "-I", "-S", str(write_payload(folder))],
            "native": [str(native_runner(machine(), "glibc").path)],
        }
        self.firmware = folder / "vcgencmd"
        self.firmware.write_text(FIRMWARE)
        self.firmware.chmod(0o755)
        self.samples = self._samples(folder)

    def trial(self, who: str, mode: str, seconds: float, *, sampler: bool = True) -> dict[str, Any]:
        """One fresh process of ``payload`` or ``native``."""
        request = {
            "mode": mode,
            "model": str(self.model),
            "model_sha256": sha256_file(self.model),
            "library": self.library,
            "num_threads": self.num_threads,
            "samples": self.samples,
            "warmup_runs": 1,
            "warmup_s": 0.3,
            "warmup_max_s": 3.0,
            "min_runs": 64,
            "min_s": seconds,
            "max_s": 60.0,
            "cpus": self.cpus,
            "sensors": {kind: {"argv": [str(self.firmware), word]} for kind, word in SENSORS.items()},
            "sampler": sampler,
        }
        return self._ask(who, request)

    def _ask(self, who: str, request: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(request).encode() + b"\n"
        done = subprocess.run(self.programs[who], input=text, capture_output=True, check=False)
        return read_answer(done.stdout, done.stderr, done.returncode, board=who)

    def _samples(self, folder: Path) -> list[list[str]]:
        import numpy

        generator = numpy.random.default_rng(3)
        inputs = self._ask("payload", {"mode": "describe", "library": self.library, "model": str(self.model)})["inputs"]
        samples = []
        for number in range(SAMPLES):
            paths = []
            for index, tensor in enumerate(inputs):
                dtype = numpy.dtype(tensor["dtype"])
                values = generator.random(tensor["shape"])
                if dtype.kind in "iu":
                    values = values * 255 + numpy.iinfo(dtype).min
                path = folder / f"{self.model.stem}-{number}-{index}.raw"
                values.astype(dtype).tofile(path)
                paths.append(str(path))
            samples.append(paths)
        return samples


def compare(runners: Runners, rounds: int, seconds: float) -> dict[str, tuple[list[float], list[float]]]:
    """What is compared → the two sides' values, one per round; nobody always comes after the same other."""
    turns = [(who, sampler) for sampler in (True, False) for who in ("payload", "native")]
    trials: dict[Any, list[dict[str, Any]]] = {key: [] for key in [*turns, ("payload", None), ("native", None)]}
    for number in range(rounds):
        order = turns[number % len(turns) :] + turns[: number % len(turns)]
        for who, sampler in order if number % 2 else reversed(order):
            trials[who, sampler].append(runners.trial(who, "latency", seconds, sampler=sampler))
        for who in ("payload", "native") if number % 2 else ("native", "payload"):
            trials[who, None].append(runners.trial(who, "memory", 0.3))
    seen = [trial["during"]["cpu"] for key in turns[:2] for trial in trials[key]]
    if None in seen and None not in (runners.cpus or [None]):
        sys.exit("the sampler did not run on a core of its own: choose --cpus that leave one")
    pairs = {"payload / native": (("payload", True), ("native", True))}
    pairs |= {f"{who}: sampler on / off": ((who, True), (who, False)) for who in ("payload", "native")}
    found: dict[str, tuple[list[float], list[float]]] = {}
    for field, title in (("latency_ns", "latency [us]"), ("cpu_latency_ns", "CPU time [us]")):
        for name, sides in pairs.items():
            values = [[statistics.median(trial[field]) / 1e3 for trial in trials[side]] for side in sides]
            found[f"{title}, {name}"] = (values[0], values[1])
    for index, title in enumerate(("memory beyond the library [kB]", "of it anonymous [kB]")):
        values = [[memory(trial)[index] / 1e3 for trial in trials[who, None]] for who in ("payload", "native")]
        found[f"{title}, payload / native"] = (values[0], values[1])
    return found


def memory(trial: dict[str, Any]) -> tuple[int, int]:
    """The peak beyond the library, and what is anonymous beyond it in the end."""
    phases = {phase["phase"]: phase for phase in trial["memory"]}
    peak = max(phases[name]["peak_rss_bytes"] for name in ("model", "init", "first", "steady"))
    library = phases["library"]
    return peak - library["rss_bytes"], phases["steady"]["anon_bytes"] - library["anon_bytes"]


def figures(left: list[float], right: list[float]) -> dict[str, Any]:
    """Medians of both sides, their ratio, the paired ratio with its interval."""
    ratios = [a / b for a, b in zip(left, right)]
    interval = bootstrap_interval(ratios, seed=0)
    return {
        "left": statistics.median(left),
        "right": statistics.median(right),
        "ratio": statistics.median(left) / statistics.median(right),
        "paired_ratio": statistics.median(ratios),
        "ci95": None if interval is None else list(interval),
    }


def row(name: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    low, high = found["ci95"] or (float("nan"), float("nan"))
    return (
        f"  {name:<50} {found['left']:>10.1f} {found['right']:>10.1f}   {found['ratio']:.4f}   "
        f"{found['paired_ratio']:.4f} [{low:.4f}, {high:.4f}]"
    )


def main() -> None:
    """Parses the command line, compiles the C program, prints a table per model and the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring per process")
    parser.add_argument("--cpus", type=int, nargs="*", default=[], help="cores to run on; none: the scheduler's choice")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as name:
        folder = Path(name)
        if not arguments.models:
            subprocess.run([sys.executable, "-c", MAKE_MODELS, name], check=True, capture_output=True)
        for model in arguments.models or sorted(folder.glob("*.tflite")):
            runners = Runners(model.resolve(), folder, arguments.num_threads, arguments.cpus)
            compared = compare(runners, arguments.rounds, arguments.seconds)
            print(f"{model.name}, {arguments.rounds} rounds", file=sys.stderr)
            print(f"  {'':<50} {'left':>10} {'right':>10}   ratio    paired [95 %]", file=sys.stderr)
            for title, (left, right) in compared.items():
                print(row(title, figures(left, right)), file=sys.stderr)
            document = {title: figures(left, right) for title, (left, right) in compared.items()}
            print(json.dumps({"model": model.name, "num_threads": arguments.num_threads, **document}))


if __name__ == "__main__":
    main()
