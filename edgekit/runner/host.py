"""Runs a model on this machine with the payload: the reference where there are no golden outputs of these kernels."""

from __future__ import annotations

import base64
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edgekit.core.errors import DependencyError, EdgekitError
from edgekit.core.hashing import sha256_file
from edgekit.runner.answer import read_answer
from edgekit.runner.elf import loads
from edgekit.runner.payload_file import write_payload
from edgekit.runner.runtimes import Library, fetch_library, library_offers


def host_outputs(
    model: Path,
    samples: Sequence[Sequence[bytes]],
    *,
    kernels: Literal["delegate", "builtin"] = "delegate",
    timeout_s: float = 300.0,
) -> list[list[bytes]] | None:
    """The raw outputs that this machine's LiteRT gives for raw input samples.

    Args:
        model: a .tflite file.
        samples: per sample, the raw bytes of each input, in the model's order.
        kernels: which ones compute: see :class:`~edgekit.runner.protocol.Job`.
        timeout_s: for all samples together.

    Returns:
        Per sample the raw outputs, in the model's order; None where this machine has no LiteRT or where it fails on
        the model: then there is no reference.
    """
    library = _own_library()
    if library is None:
        return None
    with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
        request = {
            "mode": "smoke",
            "model": str(model.absolute()),
            "model_sha256": sha256_file(model),
            "library": str(library.path),
            "num_threads": 1,
            "samples": _written(Path(name), samples),
            "cpus": [],
            "kernels": kernels,
            "time_limit_s": timeout_s,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(write_payload(Path(name)))],
                input=json.dumps(request).encode() + b"\n",
                capture_output=True,
                timeout=timeout_s + 10,
                check=False,
            )
            status = done.returncode if done.returncode >= 0 else 128 - done.returncode
            answer = read_answer(done.stdout, done.stderr, status, board="this machine")
        except (EdgekitError, OSError, subprocess.TimeoutExpired):
            return None
    return [[base64.b64decode(text) for text in sample] for sample in answer["outputs"]]


def _own_library() -> Library | None:
    """The newest that loads on this machine: the installed one, else one that is fetched; None: there is none."""
    abi, glibc = platform.machine(), platform.libc_ver()[1] or None
    try:
        offers = [offer for offer in library_offers(abi) if loads(offer.glibc_needed, glibc)]
        return fetch_library(offers[0].version, abi) if offers else None
    except DependencyError:
        return None


def _written(folder: Path, samples: Sequence[Sequence[bytes]]) -> list[list[str]]:
    paths = []
    for number, sample in enumerate(samples):
        paths.append([str(folder / f"{number}-{index}.raw") for index in range(len(sample))])
        for path, raw in zip(paths[-1], sample):
            Path(path).write_bytes(raw)
    return paths
