"""Runs jobs on a board: one fresh process each, its answer checked."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.core import decode
from edgekit.core.artifact import Artifact
from edgekit.core.errors import DeviceError
from edgekit.core.notice import Notice
from edgekit.device.connect import Device
from edgekit.device.provision import BoardRuntime
from edgekit.device.random_inputs import random_inputs
from edgekit.runner.answer import read_answer, read_profile, read_trial
from edgekit.runner.conditions import SensorSources
from edgekit.runner.protocol import Description, Job, Profile, Trial

__all__ = [
    "PushedSamples",
    "decoded",
    "describe_model",
    "new_job",
    "profile_job",
    "push_samples",
    "run_job",
]

_OUTPUT_LIMIT_BYTES = 256 << 20  # smoke outputs in base64, or minutes of samples
_GRACE_S = 10.0  # the payload ends itself first; the transport's own deadline is for a board that hangs
_SEED = 20_240_501
_REAL_SAMPLES = "`edgekit optimize` makes a .tflite with real samples in its manifest"
_NO_SAMPLES = "a .onnx file carries none; few models take longer for some inputs than for others"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedSamples:
    """Input samples on a board.

    Attributes:
        paths: where the raw tensors are there, per sample in the model's input order: a job's ``samples``.
        uploaded_bytes: what had to be sent.
        contents: the same tensors, raw.
        notices: says so where the samples are random.
    """

    paths: tuple[tuple[str, ...], ...]
    uploaded_bytes: int
    contents: tuple[tuple[bytes, ...], ...] = field(repr=False)
    notices: tuple[Notice, ...] = ()


def new_job(
    runtime: BoardRuntime,
    *,
    model_path: str,
    model_sha256: str,
    samples: tuple[tuple[str, ...], ...],
    mode: Literal["latency", "memory", "cold", "smoke", "profile"] = "latency",
    num_threads: int = 1,
    cpus: tuple[int, ...] = (),
    kernels: Literal["delegate", "builtin"] = "delegate",
    weight_cache: str = "",
    sensors: SensorSources | None = None,
) -> Job:
    """A job for a model and samples that are on the board already; a plan then fills in the counts and times."""
    return Job(
        mode=mode,
        model=model_path,
        model_sha256=model_sha256,
        library=runtime.library_path,
        module=runtime.module,
        library_version=runtime.version,
        num_threads=num_threads,
        samples=samples,
        cpus=cpus,
        kernels=kernels,
        weight_cache=weight_cache,
        sensors=sensors or SensorSources(),
    )


def run_job(device: Device, runtime: BoardRuntime, job: Job, timeout_s: float) -> Trial:
    """Runs one job in a fresh process on the board.

    Args:
        device: the board.
        runtime: from :func:`edgekit.device.provision.prepare_runtime`.
        job: what to do; library and module are taken from ``runtime``.
        timeout_s: the process ends itself after this long.

    Raises:
        DeadlineError: it did not end within ``timeout_s``.
        RuntimeMissingError: the runtime does not load (any more).
        ModelError: the runtime cannot use this model.
        DeviceError: crash, kill, out of memory, no answer, an implausible answer.
    """
    if runtime.runner == "benchmark_model":
        from edgekit.device.benchmark_model import run_benchmark_model

        return run_benchmark_model(device, runtime, job, timeout_s)
    answer = _answer(device, runtime, job, timeout_s)
    return read_trial(answer, board=device.name, mode=job.mode, model_sha256=job.model_sha256)


def profile_job(device: Device, runtime: BoardRuntime, job: Job, timeout_s: float) -> Profile:
    """Runs a job of mode ``profile``: the time of each op, by the runtime's own clock, in a process of its own.

    Raises:
        RuntimeMissingError: the runtime does not tell the time of single ops (LiteRT before 2.1.3, Python modules).
        EdgekitError: see :func:`run_job`.
    """
    answer = _answer(device, runtime, dataclasses.replace(job, mode="profile"), timeout_s)
    return read_profile(answer, board=device.name, model_sha256=job.model_sha256)


def _answer(device: Device, runtime: BoardRuntime, job: Job, timeout_s: float) -> dict[str, Any]:
    job = dataclasses.replace(
        job,
        library=runtime.library_path,
        module=runtime.module,
        module_path=runtime.module_path,
        library_version=runtime.version,
        time_limit_s=timeout_s,
    )
    return _ask(device, runtime, decode.to_json(job), timeout_s)


def describe_model(device: Device, runtime: BoardRuntime, *, model_path: str, timeout_s: float = 120.0) -> Description:
    """What the board's runtime says about the inputs and outputs of a model there.

    Raises:
        ModelError: the runtime cannot use this model.
        DeviceError: see :func:`run_job`.
    """
    request = {
        "mode": "describe",
        "model": model_path,
        "library": runtime.library_path,
        "module": runtime.module,
        "module_path": runtime.module_path,
        "time_limit_s": timeout_s,
    }
    answer = _ask(device, runtime, request, timeout_s)
    return decode.from_json(Description, answer, source=f"{device.name}: the runner's answer", error=DeviceError)


def push_samples(
    device: Device, artifact: Artifact, *, runtime: BoardRuntime, model_path: str, seed: int = _SEED
) -> PushedSamples:
    """Brings input samples onto the board: the artifact's golden inputs, which are real.

    A bare ``.tflite`` has none: it gets seeded random ones, and the notice says so. Zeros are never used: some kernels
    are quicker on zeros. ``benchmark_model`` takes none.

    Raises:
        ModelError: the board's runtime cannot use the model (bare files only: it is asked for the inputs).
        DeviceError: the samples could not be pushed.
    """
    notices: tuple[Notice, ...] = ()
    if runtime.runner == "benchmark_model":
        notice = Notice(
            code="random-samples",
            message="benchmark_model makes its own random inputs, and warms up in its own way",
            hint="compare its figures with each other only",
        )
        return PushedSamples(paths=(), uploaded_bytes=0, contents=(), notices=(notice,))
    if artifact.manifest is not None and artifact.manifest.golden:
        samples = [[tensor.raw() for tensor in sample.inputs] for sample in artifact.manifest.golden]
    else:
        inputs = describe_model(device, runtime, model_path=model_path).inputs
        samples = random_inputs(inputs, seed)
        notices = (
            Notice(
                code="random-samples",
                message=f"{artifact.path.name} has no samples of its own: its inputs are random (seed {seed})",
                hint=_REAL_SAMPLES if artifact.path.suffix != ".onnx" else _NO_SAMPLES,
            ),
        )
    paths, uploaded = _push_raw(device, samples)
    contents = tuple(map(tuple, samples))
    return PushedSamples(paths=paths, uploaded_bytes=uploaded, contents=contents, notices=notices)


def _ask(device: Device, runtime: BoardRuntime, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    done = device.transport.run(
        list(runtime.argv),
        stdin=json.dumps(request).encode() + b"\n",
        timeout_s=timeout_s + _GRACE_S,
        output_limit_bytes=_OUTPUT_LIMIT_BYTES,
    )
    return read_answer(done.stdout, done.stderr, done.exit_status, board=device.name)


def _push_raw(device: Device, samples: list[list[bytes]]) -> tuple[tuple[tuple[str, ...], ...], int]:
    """All tensors go in one file, because every push takes several round trips."""
    import hashlib

    content = b"".join(raw for sample in samples for raw in sample)
    pushed = device.workspace.push_bytes(content, f"samples/{hashlib.sha256(content).hexdigest()[:24]}.raw")
    places, offset = [], 0
    for sample in samples:
        row = []
        for raw in sample:
            row.append(f"{pushed.path}@{offset}")
            offset += len(raw)
        places.append(tuple(row))
    return tuple(places), pushed.uploaded_bytes


def decoded(text: str, device: Device) -> bytes:
    """A raw output tensor from the text that the runner sends it as.

    Raises:
        DeviceError: it is damaged.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DeviceError(f"{device.name}: the runner's outputs are damaged: {error}") from error
