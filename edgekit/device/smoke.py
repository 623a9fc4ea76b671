"""The smoke test: what a pushed model computes on the board, compared with outputs of the same kernels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from edgekit.core.artifact import Artifact, GoldenSample, Manifest, TensorSpec
from edgekit.core.errors import DeviceError
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.device.connect import Device
from edgekit.device.provision import BoardRuntime
from edgekit.device.run import PushedSamples, decoded, new_job, push_samples, run_job
from edgekit.runner.compare import SmokeResult, compare_outputs
from edgekit.runner.host import host_outputs
from edgekit.runner.protocol import Job, Trial

_KERNELS = {"XNNPACK": "XNNPACK", "none": "built-in"}
_NO_OUTPUTS = "no outputs"
_BETTER = ("exact", "rounding", "close", "broken")


def smoke_test(
    device: Device,
    runtime: BoardRuntime,
    model_path: str,
    artifact: Artifact,
    *,
    samples: PushedSamples | None = None,
    num_threads: int = 1,
    kernels: Literal["delegate", "builtin"] = "delegate",
    timeout_s: float = 300.0,
) -> SmokeResult:
    """Runs the artifact's golden inputs on the board and compares what comes out with the golden outputs.

    Golden outputs are XNNPACK's. Where the board's runtime computes with its own kernels instead, the same inputs are
    run with those kernels on this machine, and that is what the board's outputs are compared with.

    A user's ``benchmark_model`` gives no outputs: then the model is only seen to load and to run.

    A bare ``.tflite`` has no golden outputs: it is run with random inputs, and what comes out is compared with what
    LiteRT gives on this machine; where this machine has no LiteRT, only crashes and NaN can be seen.

    Args:
        device, runtime: the board and what runs there.
        model_path: of the .tflite on the board.
        artifact: the same model here.
        samples: from :func:`~edgekit.device.run.push_samples`, where that was done already.
        num_threads: of the interpreter.
        kernels: which ones shall compute there; see :class:`~edgekit.runner.protocol.Job`.
        timeout_s: for all samples together.

    Raises:
        EdgekitError: see :func:`~edgekit.device.run.run_job`; a wrong output is no error but a result that is not
            ``ok``.
    """
    manifest = artifact.manifest
    sha256 = manifest.sha256 if manifest else sha256_file(artifact.path)
    pushed = samples or push_samples(device, artifact, runtime=runtime, model_path=model_path)
    job = new_job(
        runtime,
        mode="smoke",
        model_path=model_path,
        model_sha256=sha256,
        samples=pushed.paths,
        num_threads=num_threads,
    )
    job = dataclasses.replace(job, kernels=kernels)
    if runtime.runner == "benchmark_model":
        return _only_runs(device, runtime, job, timeout_s)
    trial = run_job(device, runtime, job, timeout_s)
    found = [[decoded(text, device) for text in sample] for sample in trial.outputs]
    if manifest is None or not manifest.golden:
        return _compared_with_host(artifact, pushed, trial, found)
    if len(found) != len(manifest.golden):
        raise DeviceError(f"{device.name}: {len(found)} of {len(manifest.golden)} golden samples were run")
    return _compared_with_golden(artifact, manifest, pushed, trial, found)


def notices(smoke: SmokeResult, artifact: Artifact, *, board: str) -> tuple[Notice, ...]:
    """What the user should know about outputs that are right, but not the same, or that nobody saw."""
    if smoke.reference == _NO_OUTPUTS:
        hint = f"supply LiteRT's library for this board: `edgekit devices provision {board} --library FILE`"
        return (Notice(code="outputs-not-compared", message=f"{board}: {smoke.reason}", hint=hint),)
    if smoke.verdict != "close":
        return ()
    message = f"{board} does not compute quite what this machine does: {smoke.reason}"
    hint = f"`edgekit evaluate {artifact.path.name} --data DATA --device {board}` shows what that does to the score"
    return (Notice(code="smoke-not-exact", message=message, hint=hint),)


def _only_runs(device: Device, runtime: BoardRuntime, job: Job, timeout_s: float) -> SmokeResult:
    job = dataclasses.replace(job, mode="latency", min_runs=1, min_s=0.0, warmup_s=0.0)
    trial = run_job(device, runtime, job, timeout_s)
    return SmokeResult(
        ok=True,
        exact=False,
        max_abs_diff=None,
        cosine=None,
        samples=0,
        reference=_NO_OUTPUTS,
        reason="the model loads and runs; benchmark_model gives no outputs to compare",
        kernels=_KERNELS.get(trial.runtime.delegate, "unknown"),
    )


def _compared_with_golden(
    artifact: Artifact, manifest: Manifest, pushed: PushedSamples, trial: Trial, found: list[list[bytes]]
) -> SmokeResult:
    golden = [[tensor.raw() for tensor in sample.outputs] for sample in manifest.golden]
    specs = _specs(manifest.outputs, manifest.golden[0])
    used = trial.runtime
    float_kernels = manifest.kind == "float32"
    delegated = used.delegate == "XNNPACK" and used.fully_delegated is True
    result = compare_outputs(
        golden,
        found,
        specs,
        float_kernels=float_kernels,
        reference="golden outputs of the artifact",
        same_kernels=delegated and manifest.kind == "int8" and manifest.audit.full_integer,
        kernels=_KERNELS.get(used.delegate, "unknown"),
    )
    if result.exact or used.delegate == "XNNPACK":
        return result
    here = host_outputs(artifact.path, pushed.contents, kernels="builtin")
    if here is None or len(here) != len(found):
        return dataclasses.replace(result, reference="golden outputs of the artifact, made by other kernels")
    other = compare_outputs(
        here,
        found,
        specs,
        float_kernels=float_kernels,
        reference="the built-in kernels on this machine",
        kernels=result.kernels,
    )
    if other.ok and not result.ok:  # the kernels are right; that they differ so much from XNNPACK's must be known
        reason = f"{other.reason} as {other.reference}, but far from {result.reference}: {result.reason}"
        return dataclasses.replace(other, verdict="close", reason=reason)
    return min(other, result, key=lambda each: _BETTER.index(each.verdict))


def _compared_with_host(
    artifact: Artifact, pushed: PushedSamples, trial: Trial, found: list[list[bytes]]
) -> SmokeResult:
    builtin = trial.runtime.delegate == "none"
    here = host_outputs(artifact.path, pushed.contents, kernels="builtin" if builtin else "delegate")
    kernels = _KERNELS.get(trial.runtime.delegate, "unknown")
    if here is None or not trial.finite or len(here) != len(found):
        reason = "ran with random inputs; there is nothing to compare the outputs with"
        return SmokeResult(
            ok=trial.finite,
            exact=False,
            max_abs_diff=None,
            cosine=None,
            samples=len(found),
            reference="none",
            reason=reason if trial.finite else "broken: NaN or infinity on the board",
            verdict="not compared" if trial.finite else "broken",
            kernels=kernels,
        )
    return compare_outputs(
        here,
        found,
        _unscaled(trial),
        float_kernels=False,
        reference="the built-in kernels on this machine" if builtin else "LiteRT on this machine",
        kernels=kernels,
    )


def _unscaled(trial: Trial) -> list[TensorSpec]:
    """The outputs as the runner tells them: without scales, so in steps as far as a dtype is a quantized one."""
    quantized = ("int8", "uint8", "int16")
    return [
        TensorSpec(
            name=tensor["name"],
            dtype=tensor["dtype"],
            shape=tuple(tensor["shape"]),
            scale=1.0 if tensor["dtype"] in quantized else None,
        )
        for tensor in trial.outputs_info
    ]


def _specs(outputs: Sequence[TensorSpec], sample: GoldenSample) -> tuple[TensorSpec, ...]:
    """The manifest's outputs; dtypes from the golden data itself."""
    if len(outputs) != len(sample.outputs):
        outputs = tuple(
            TensorSpec(name=str(index), dtype=data.dtype, shape=data.shape) for index, data in enumerate(sample.outputs)
        )
    return tuple(dataclasses.replace(spec, dtype=data.dtype) for spec, data in zip(outputs, sample.outputs))
