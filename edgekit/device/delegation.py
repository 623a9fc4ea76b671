"""What the delegate really took of a model, counted by the runtime's own events: a name alone proves nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from edgekit.core.errors import EdgekitError
from edgekit.device import run
from edgekit.device.connect import Device
from edgekit.device.provision import BoardRuntime
from edgekit.runner.protocol import Job, RuntimeUsed, Trial

_TIME_LIMIT_S = 120.0


class Delegation:
    """Runs jobs of one model with one runtime, and says in every trial what the delegate took.

    LiteRT's C API tells only whether the delegate took all ops; where it did not, it may have taken none, and the
    built-in kernels ran under the delegate's name. Then a process of its own, which is not measured, takes the time of
    each op: what shows up there as the runtime's own op was not delegated.

    Args:
        device, runtime: where and with what.
        ops: how many ops the model has; None: nobody knows.
    """

    def __init__(self, device: Device, runtime: BoardRuntime, ops: Callable[[], int | None]) -> None:
        self._device, self._runtime, self._ops = device, runtime, ops
        self._counted: dict[tuple[str, int], tuple[int, int] | None] = {}

    def run(self, job: Job, timeout_s: float) -> Trial:
        """As :func:`edgekit.device.run.run_job`.

        Raises:
            EdgekitError: see there.
        """
        trial = run.run_job(self._device, self._runtime, job, timeout_s)
        return dataclasses.replace(trial, runtime=self._labelled(trial.runtime, job))

    def _labelled(self, used: RuntimeUsed, job: Job) -> RuntimeUsed:
        if used.delegate in ("none", "unknown") or used.fully_delegated is not False:
            return used
        key = (job.kernels, job.num_threads)
        if key not in self._counted:
            self._counted[key] = self._count(job)
        counted = self._counted[key]
        if counted is None:
            return used if self._sees_for_itself else dataclasses.replace(used, delegate="unknown")
        ops, taken = counted
        return dataclasses.replace(used, delegate=used.delegate if taken else "none", ops=ops, delegated_ops=taken)

    @property
    def _sees_for_itself(self) -> bool:
        """Python modules list their ops, and Google's program says what was delegated."""
        return self._runtime.module is not None or self._runtime.runner == "benchmark_model"

    def _count(self, job: Job) -> tuple[int, int] | None:
        """All ops, and those that the delegate took; None: this runtime does not tell."""
        if self._sees_for_itself or (ops := self._ops()) is None:
            return None
        short = dataclasses.replace(job, min_runs=1, min_s=0.0, warmup_runs=1, warmup_s=0.0, weight_cache="")
        try:
            recorded = run.profile_job(self._device, self._runtime, short, _TIME_LIMIT_S)
        except EdgekitError:
            return None
        own = sum(not op.delegated for op in recorded.ops)
        if not any(op.delegated for op in recorded.ops):
            return max(ops, own), 0
        return max(ops, own), max(1, ops - own)
