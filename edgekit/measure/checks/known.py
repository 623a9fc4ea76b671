"""What else must be known: what was not controlled, what does not count, what is only indicative."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.measure.conditions import BoardLimits, unknown_sensors
from edgekit.measure.reason import Reason, note, unstable
from edgekit.measure.samples import Samples


def sensors(samples: Samples, _: BoardLimits) -> Iterator[Reason]:
    """The sensors that did not tell; a plan may insist on all of them."""
    if not samples.latency or not (silent := unknown_sensors(samples.latency)):
        return
    if samples.plan.needs_all_sensors:
        yield unstable("uncontrolled", f"{', '.join(silent)}: the plan {samples.plan.name} needs to know")
    else:
        yield note("uncontrolled", ", ".join(silent))


def circumstances(samples: Samples, limits: BoardLimits) -> Iterator[Reason]:
    """Emulated, indicative, repeated."""
    if limits.emulated:
        yield note("emulated", "an emulated processor: the times say nothing about a real board")
    if weaker := samples.plan.indicative:
        yield note("indicative", f"{', '.join(weaker)} (not for comparing or publishing)")
    if samples.repeated:
        by_code = {repeated.reason.partition(":")[0]: repeated.reason for repeated in reversed(samples.repeated)}
        causes = "; ".join(reversed(by_code.values()))  # the first of each kind; all are kept with the samples
        times = "1 process was" if len(samples.repeated) == 1 else f"{len(samples.repeated)} processes were"
        yield note("repeated", f"{times} run again ({causes})")
