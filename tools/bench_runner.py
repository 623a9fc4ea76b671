"""Compares the two runners on one library: the payload in Python and the native one in C, interleaved in one run.

    python tools/bench_runner.py [MODEL.tflite ...] [--num-threads 1] [--rounds 5]

Without a model it makes a MobileNet (alpha 0.25, 128×128) with TensorFlow, in float32 and int8. Prints, per model: the
median of the process medians of both, their ratio, and the memory that the model needs beyond the library (peak
resident memory minus that after loading the library) of both, with the difference.
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
from edgekit.runner import payload
from edgekit.runner.answer import read_answer
from edgekit.runner.native import native_runner
from edgekit.runner.runtimes import fetch_library

SAMPLES = 4
MAKE_MODELS = """
import sys, numpy, tensorflow as tf
model = tf.keras.applications.MobileNet((128, 128, 3), alpha=0.25, weights=None)
draw = lambda: numpy.random.default_rng(1).random((20, 1, 128, 128, 3)).astype("float32")
for kind in ("float32", "int8"):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x] for x in draw())
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    open(f"{sys.argv[1]}/mobilenet_025_128_{kind}.tflite", "wb").write(converter.convert())
"""


class Runners:
    """Both ways to run one model, with the same samples."""

    def __init__(self, model: Path, folder: Path, num_threads: int) -> None:
        self.model = model
        self.num_threads = num_threads
        self.library = str(fetch_library(version("ai-edge-litert"), machine()).path)
        self.programs = {
            "payload": [sys.executable, "-I", "-S", payload.__file__],
            "native": [str(native_runner(machine(), "glibc").path)],
        }
        self.samples = self._samples(folder)

    def trial(self, who: str, mode: str, seconds: float) -> dict[str, Any]:
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
            "cpus": [],
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


def compare(runners: Runners, rounds: int, seconds: float) -> dict[str, float]:
    """Runs both in turns, the order changing from round to round."""
    times: dict[str, list[float]] = {"payload": [], "native": []}
    for number in range(rounds):
        for who in ("payload", "native") if number % 2 else ("native", "payload"):
            times[who].append(statistics.median(runners.trial(who, "latency", seconds)["latency_ns"]))
    figures: dict[str, float] = {}
    for who in times:
        beyond, whole = zip(*(memory(runners.trial(who, "memory", 0.3)) for _ in range(3)))
        figures[f"{who}_ns"] = statistics.median(times[who])
        figures[f"{who}_memory_bytes"] = statistics.median(beyond)
        figures[f"{who}_all_memory_bytes"] = statistics.median(whole)
    return {
        **figures,
        "ratio": figures["payload_ns"] / figures["native_ns"],
        "paired_ratio": statistics.median(a / b for a, b in zip(times["payload"], times["native"])),
        "memory_ratio": figures["payload_memory_bytes"] / figures["native_memory_bytes"],
    }


def memory(trial: dict[str, Any]) -> tuple[int, int]:
    """The peak beyond the library, and the peak."""
    phases = {phase["phase"]: phase for phase in trial["memory"]}
    peak = max(phases[name]["peak_rss_bytes"] for name in ("model", "init", "first", "steady"))
    return peak - phases["library"]["rss_bytes"], peak


def describe(name: str, figures: dict[str, float]) -> str:
    """A line for people."""
    microseconds = {who: figures[f"{who}_ns"] / 1e3 for who in ("payload", "native")}
    megabytes = {who: figures[f"{who}_memory_bytes"] / 1e6 for who in ("payload", "native")}
    return (
        f"{name}: latency {microseconds['payload']:.1f} us, native {microseconds['native']:.1f} us, ratio "
        f"{figures['ratio']:.4f} (paired {figures['paired_ratio']:.4f}); memory beyond the library "
        f"{megabytes['payload']:.2f} MB, native {megabytes['native']:.2f} MB, ratio {figures['memory_ratio']:.4f}"
    )


def main() -> None:
    """Parses the command line, compiles the C program, prints a line per model and the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring per process")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as name:
        folder = Path(name)
        if not arguments.models:
            subprocess.run([sys.executable, "-c", MAKE_MODELS, name], check=True, capture_output=True)
        for model in arguments.models or sorted(folder.glob("*.tflite")):
            figures = compare(
                Runners(model.resolve(), folder, arguments.num_threads), arguments.rounds, arguments.seconds
            )
            print(describe(model.name, figures), file=sys.stderr)
            print(json.dumps({"model": model.name, "num_threads": arguments.num_threads, **figures}))


if __name__ == "__main__":
    main()
