"""The times of ops that the payload reads are those that the runtime itself sums up, for the same run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from payload_process import PAYLOAD

from edgekit.core.decode import to_json
from edgekit.core.hashing import sha256_file
from edgekit.runner import payload
from edgekit.runner.protocol import Job

BUILTIN, DELEGATE = 2, 8


def profiled(tmp_path: Path, library: str, content: bytes, columns: int, kernels: str) -> dict[str, Any]:
    """The payload's answer with its last run summed up by the runtime."""
    from importlib.metadata import version

    model = tiny_tflite.write(tmp_path, content)
    raw = tmp_path / "x.raw"
    raw.write_bytes(numpy.random.default_rng(0).integers(-100, 100, columns).astype("int8").tobytes())
    job = Job(
        mode="profile",
        model=str(model),
        model_sha256=sha256_file(model),
        library=library,
        library_version=version("ai-edge-litert"),
        module=None,
        num_threads=1,
        samples=((f"{raw}@0",),),
        kernels=kernels,  # type: ignore[arg-type]
        min_runs=20,
        min_s=0.05,
        warmup_s=0.0,
    )
    request = {**to_json(job), "summary": True}
    argv = [sys.executable, "-I", "-S", str(PAYLOAD)]
    done = subprocess.run(
        argv, input=json.dumps(request) + "\n", capture_output=True, text=True, timeout=60, check=False
    )
    answer = json.loads(done.stdout.partition(payload.BEGIN)[2].partition(payload.END)[0])
    assert "error" not in answer, answer
    return dict(answer)


def run_order(text: str) -> list[tuple[str, int]]:
    """The rows under "Run Order": kernel, microseconds (the third column of figures, in ms)."""
    part = text.partition("Run Order")[2].partition("Top by")[0]
    rows = re.findall(r"^ *(\S.*?) {2,}[\d.]+ +[\d.]+ +([\d.]+) +[\d.]+%", part, flags=re.MULTILINE)
    return [(name, round(float(ms) * 1000)) for name, ms in rows]


@pytest.mark.parametrize("kernels", ["delegate", "builtin"])
def test_our_times_are_the_runtimes_own_summary_of_the_same_run(tmp_path: Path, library: str, kernels: str) -> None:
    answer = profiled(tmp_path, library, tiny_tflite.dense_chain_int8(6, 512), 512, kernels)
    summary = answer["summary"]
    ours = [(tag, elapsed) for kind, tag, _, elapsed in summary["events"] if kind in (BUILTIN, DELEGATE)]
    theirs = [(name.removeprefix("Delegate/"), elapsed) for name, elapsed in run_order(summary["text"])]
    assert len(ours) >= 6
    assert ours == theirs
    total = int(summary["text"].partition("Timings (microseconds):")[2].partition("curr=")[2].split()[0])
    assert sum(elapsed for _, elapsed in ours) == total
    assert [op["tag"] for op in answer["ops"]] == [tag for tag, _ in ours]


def test_ops_never_take_longer_than_the_run_that_they_are_in(tmp_path: Path, library: str) -> None:
    answer = profiled(tmp_path, library, tiny_tflite.dense_chain_int8(6, 512), 512, "builtin")
    for run, whole in enumerate(answer["whole_us"]):
        assert sum(op["elapsed_us"][run] for op in answer["ops"]) <= whole + 1
