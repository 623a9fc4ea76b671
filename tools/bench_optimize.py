"""``edgekit optimize --recipe int8`` against a plain TFLiteConverter script, same model and data, in one run.

    .venv/bin/python tools/bench_optimize.py [--rounds 3] [--model efficientnetb0]

Prints the ratio of the wall times (limit 1.25) and of the peak memory of the largest process (limit 1.1). Both sides
start from the same .keras file and calibrate with the same 200 rows; edgekit scores, audits and writes the manifest
in its time, the script only converts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAKE = """
import sys, numpy, keras
keras.utils.set_random_seed(0)
factories = {"mobilenetv2": keras.applications.MobileNetV2, "efficientnetb0": keras.applications.EfficientNetB0}
factories[sys.argv[1]](weights=None).save("model.keras")
x = numpy.random.default_rng(0).random((250, 224, 224, 3), dtype=numpy.float32)
x *= 255 if sys.argv[1] == "efficientnetb0" else 1
numpy.savez("calibration.npz", x=x[:200])
numpy.savez("evaluation.npz", x=x[200:], y=numpy.arange(50))
"""

PLAIN = """
import numpy, tensorflow as tf, keras
model = keras.saving.load_model("model.keras")
x = numpy.load("calibration.npz")["x"]
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([row[None]] for row in x)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
open("plain.tflite", "wb").write(converter.convert())
"""


def measured(command: list[str], folder: Path) -> tuple[float, int]:
    """Wall seconds, and the peak resident bytes of the largest process of the tree."""
    begin = time.perf_counter()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "EDGEKIT_HOME": str(folder / "home")}
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit((folder / "log.txt").read_text()[-3000:])
    return time.perf_counter() - begin, usage.ru_maxrss * 1024


def main() -> None:
    """Runs both sides in turn and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="mobilenetv2", choices=["mobilenetv2", "efficientnetb0"])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="edgekit-bench-"))
    try:
        measured([sys.executable, "-c", MAKE, options.model], folder)
        ours = [sys.executable, "-m", "edgekit", "optimize", "model.keras", "--representative", "calibration.npz"]
        ours += ["--evaluation", "evaluation.npz", "--recipe", "int8", "-o", "ours.tflite"]
        sides: dict[str, list[tuple[float, int]]] = {"plain": [], "edgekit": []}
        for _ in range(options.rounds):
            sides["plain"].append(measured([sys.executable, "-c", PLAIN], folder))
            shutil.rmtree(folder / "home", ignore_errors=True)
            sides["edgekit"].append(measured(ours, folder))
        for name, runs in sides.items():
            shown = ", ".join(f"{seconds:.1f} s / {peak / 1e6:.0f} MB" for seconds, peak in runs)
            print(f"{name:8} {shown}")
        middle = {n: [statistics.median(run[i] for run in runs) for i in (0, 1)] for n, runs in sides.items()}
        print(f"wall   edgekit / plain = {middle['edgekit'][0] / middle['plain'][0]:.2f}  (limit 1.25)")
        print(f"memory edgekit / plain = {middle['edgekit'][1] / middle['plain'][1]:.2f}  (limit 1.10)")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
