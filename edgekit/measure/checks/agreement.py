"""Do the processes agree with each other, and each with itself?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.measure import statistics
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.reason import Reason, note, unstable
from edgekit.measure.samples import Samples

MAX_CV = 0.05
MAX_HALF_WIDTH = 0.025
MAX_DRIFT = 0.03


def spread(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """The medians of the processes lie close together: iterations are no replicates, so nothing else is looked at."""
    plan = samples.plan
    medians = statistics.process_medians([trial.latency_ns for trial in samples.latency])
    cv = statistics.coefficient_of_variation(medians)
    if cv is not None and cv > MAX_CV:
        yield unstable("spread", f"the processes' medians vary by {cv * 100:.1f} %, the limit is {MAX_CV * 100:.0f} %")
    center = statistics.median_of(medians)
    arm = statistics.half_width(statistics.bootstrap_interval(medians, seed=plan.seed), center)
    if arm is not None and arm > MAX_HALF_WIDTH:
        yield unstable(
            "wide-interval",
            f"the 95 % interval reaches {arm * 100:.1f} % from the median, limit {MAX_HALF_WIDTH * 100:.1f} %",
        )
    elif arm is not None and plan.most_processes and arm > plan.aim:
        why = f"{len(medians)} processes" if len(medians) >= plan.most_processes else "the time was up (--max-time)"
        yield note(
            "wider-than-aimed",
            f"the 95 % interval reaches {arm * 100:.1f} % from the median, aimed at {plan.aim * 100:g} %; {why}",
        )
    odd = statistics.outliers(medians)
    if odd:
        which = ", ".join(str(i + 1) for i in odd)
        make = unstable if len(odd) > 1 else note
        who = f"process {which} lies" if len(odd) == 1 else f"processes {which} lie"
        yield make("outliers", f"{who} far from the others")


def steadiness(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """No process was still warming up, and none, nor the row of them, became slower or quicker on the way."""
    series = [trial.latency_ns for trial in samples.latency]
    if restless := [trial for trial in samples.latency if not trial.steady]:
        yield unstable("no-steady-state", f"{len(restless)} of {len(series)} processes were still warming up")
    yield from _drifts(series, statistics.process_medians(series))


def _drifts(series: Sequence[Sequence[int]], medians: Sequence[float]) -> Iterator[Reason]:
    within = statistics.drift_within(series)
    if within is not None and abs(within) > MAX_DRIFT:
        yield unstable(
            "drift",
            f"each process ends {within * 100:+.1f} % from where it began, the limit is {MAX_DRIFT * 100:.0f} %",
        )
    across = statistics.drift(medians)
    if across is not None and abs(across) > MAX_DRIFT:
        yield unstable(
            "drift",
            f"the last processes are {across * 100:+.1f} % from the first, the limit is {MAX_DRIFT * 100:.0f} %",
        )
