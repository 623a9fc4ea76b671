"""Compares the payload with a C program that calls the same library: latency and memory, interleaved in one run.

    python tools/bench_runner.py [MODEL.tflite ...] [--num-threads 1] [--rounds 5]

Without a model it makes a MobileNet (alpha 0.25, 128×128) with TensorFlow, in float32 and int8. Needs gcc. Prints, per
model: the median of the process medians of both, their ratio, and the memory that the model needs beyond the library
(peak resident memory minus that after loading the library) of both, with the difference.
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

    def __init__(self, model: Path, reference: Path, folder: Path, num_threads: int) -> None:
        self.model = model
        self.reference = reference
        self.num_threads = num_threads
        self.library = str(fetch_library(version("ai-edge-litert"), machine()).path)
        self.samples = self._samples(folder)

    def payload(self, mode: str, seconds: float) -> dict[str, Any]:
        """One fresh process of the payload."""
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
        return self._ask(request)

    def c_program(self, mode: str, seconds: float) -> dict[str, int]:
        """One fresh process of the C program."""
        paths = [path for sample in self.samples for path in sample]
        numbers = [str(self.num_threads), "0.3", "64", str(seconds)]
        argv = [str(self.reference), mode, self.library, str(self.model), *numbers, *paths]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return {key: int(value) for key, value in (line.split() for line in done.stdout.splitlines())}

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        argv = [sys.executable, "-I", "-S", payload.__file__]
        done = subprocess.run(argv, input=json.dumps(request).encode() + b"\n", capture_output=True, check=False)
        return read_answer(done.stdout, done.stderr, done.returncode, board="payload")

    def _samples(self, folder: Path) -> list[list[str]]:
        import numpy

        generator = numpy.random.default_rng(3)
        inputs = self._ask({"mode": "describe", "library": self.library, "model": str(self.model)})["inputs"]
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
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        for who in ("payload", "c") if number % 2 else ("c", "payload"):
            if who == "payload":
                ours.append(statistics.median(runners.payload("latency", seconds)["latency_ns"]))
            else:
                theirs.append(runners.c_program("latency", seconds)["median_ns"])
    memory: dict[str, list[int]] = {"payload": [], "c": [], "payload_all": [], "c_all": []}
    for _ in range(3):
        phases = {phase["phase"]: phase for phase in runners.payload("memory", 0.3)["memory"]}
        after = [phases[name] for name in ("model", "init", "first", "steady")]
        peak = max(phase["peak_rss_bytes"] for phase in after)
        memory["payload"].append(peak - phases["library"]["rss_bytes"])
        memory["payload_all"].append(peak)
        numbers = runners.c_program("memory", 0.3)
        peak = 1024 * max(numbers[f"{name}_peak_kb"] for name in ("model", "init", "first", "steady"))
        memory["c"].append(peak - 1024 * numbers["library_rss_kb"])
        memory["c_all"].append(peak)
    figures = {name: statistics.median(values) for name, values in memory.items()}
    return {
        "payload_ns": statistics.median(ours),
        "c_ns": statistics.median(theirs),
        "ratio": statistics.median(ours) / statistics.median(theirs),
        "paired_ratio": statistics.median(a / b for a, b in zip(ours, theirs)),
        **{f"{name}_memory_bytes": value for name, value in figures.items()},
        "memory_difference_bytes": figures["payload"] - figures["c"],
    }


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
        reference = folder / "bench_runner"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", str(reference), str(source), "-ldl"], check=True)
        if not arguments.models:
            subprocess.run([sys.executable, "-c", MAKE_MODELS, name], check=True, capture_output=True)
        for model in arguments.models or sorted(folder.glob("*.tflite")):
            runners = Runners(model.resolve(), reference, folder, arguments.num_threads)
            figures = compare(runners, arguments.rounds, arguments.seconds)
            print(
                f"{model.name}: latency {figures['payload_ns'] / 1e3:.1f} us, C {figures['c_ns'] / 1e3:.1f} us, ratio "
                f"{figures['ratio']:.4f} (paired {figures['paired_ratio']:.4f}); memory beyond the library "
                f"{figures['payload_memory_bytes'] / 1e6:.2f} MB, C {figures['c_memory_bytes'] / 1e6:.2f} MB, "
                f"difference {figures['memory_difference_bytes'] / 1e6:+.2f} MB",
                file=sys.stderr,
            )
            print(json.dumps({"model": model.name, "num_threads": arguments.num_threads, **figures}))


if __name__ == "__main__":
    main()
