"""Were they the right runs, and enough of them?"""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.measure.conditions import BoardLimits
from edgekit.measure.reason import Reason, invalid, note
from edgekit.measure.samples import Samples, short_of


def same_work(samples: Samples, limits: BoardLimits) -> Iterator[Reason]:
    """Every process ran the same model in the same runtime on the same boot, and computed the same."""
    trials = samples.latency + samples.memory
    if not samples.latency and not samples.hot_start:
        yield invalid("nothing-measured", "no process measured anything")
    if wrong := [trial.model_sha256 for trial in trials if trial.model_sha256 != samples.model_sha256]:
        yield invalid("model-differs", f"the board ran {wrong[0][:12]}…, not {samples.model_sha256[:12]}…")
    if not all(trial.finite for trial in trials):
        yield invalid("not-finite", "the model's output has NaN or infinity")
    outputs = {trial.output_sha256 for trial in trials if trial.output_sha256 is not None}
    if limits.deterministic and len(outputs) > 1:
        yield invalid("output-differs", f"{len(outputs)} different outputs for the same input")
    runtimes = {(trial.runtime.name, trial.runtime.version, trial.runtime.delegate) for trial in trials}
    if len(runtimes) > 1:
        names = "; ".join(sorted(" ".join(runtime) for runtime in runtimes))
        yield invalid("runtime-differs", f"not every process used the same runtime ({names})")
    boots = {c.boot_id for trial in trials for c in (trial.before, trial.after) if c.boot_id}
    if len(boots) > 1:
        yield invalid("rebooted", "the board was restarted in between")


def delegate(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """The delegate that was asked for is the one that computed.

    A delegate that takes not a single op leaves all to the runtime's own kernels. The result names no delegate then,
    and this says why; it is the truth about this model in this runtime, so it is no fault of the measurement.
    """
    asked = [trial.runtime for trial in samples.latency if trial.runtime.kernels == "delegate"]
    without = [runtime for runtime in asked if runtime.delegate == "none"]
    if without and len(without) < len(asked):
        yield invalid("delegate-fell-back", f"{len(without)} of {len(asked)} processes ran without their delegate")
    elif without:
        what = "any op" if without[0].ops is None else f"any of the {without[0].ops} ops"
        yield note("delegate-fell-back", f"no delegate took {what}: the runtime's own kernels computed them")
    unasked = {trial.runtime.delegate for trial in samples.latency if trial.runtime.kernels == "builtin"}
    for name in sorted(unasked - {"none", "unknown"}):
        yield invalid("delegate-fell-back", f"{name} took ops although the runtime's own kernels were asked for")


def amount(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """There are as many processes and iterations as the plan asks for."""
    counts = [len(trial.latency_ns) * trial.batch for trial in samples.latency]
    plan = samples.plan
    if counts and min(counts) < plan.min_runs:
        yield invalid(
            "too-few-iterations",
            f"{min(counts)} in {plan.max_s:g} s, the plan needs {plan.min_runs} (--num-runs)",
        )
    if samples.hot_start:  # that says why there are not more
        return
    if counts and len(counts) < plan.processes:
        yield invalid("too-few-processes", f"{len(counts)}, the plan needs {plan.processes}")
    elif counts and (lacking := short_of(samples.latency, plan)):
        yield invalid("too-little-in-all", lacking)
