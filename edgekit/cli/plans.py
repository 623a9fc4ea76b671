"""The plan that a command line asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.measure.plan import Plan


def chosen_plan(
    name: str,
    *,
    quick: bool,
    num_runs: int | None = None,
    warmup_runs: int | None = None,
    max_time: float | None = None,
) -> Plan:
    """The plan of ``--plan``, ``--quick`` and the options that change its numbers.

    Raises:
        UsageError: they contradict each other, or there is no such plan.
    """
    from edgekit.core.errors import UsageError
    from edgekit.measure.plan import make_plan

    if quick and name not in ("standard", "quick"):
        raise UsageError(
            f"--quick and --plan {name} contradict each other", hint="leave one out (EDGEKIT_PLAN counts as --plan)"
        )
    return make_plan("quick" if quick else name, num_runs=num_runs, warmup_runs=warmup_runs, max_time_s=max_time)
