"""Which cores a model runs on: those that the profile names, else the fastest kind that the board has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.core.errors import DeviceError
from edgekit.core.notice import Notice
from edgekit.device.facts import Facts
from edgekit.device.profile import Profile

#: clocks of cores that differ by less belong to one kind of core: the makers of processors sort them so finely
_ALIKE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Affinity:
    """The cores that a process is kept to.

    Attributes:
        cpus: their numbers; empty: the scheduler chooses among all.
        reason: why these, for people.
        notices: what the user should know about threads and cores.
    """

    cpus: tuple[int, ...]
    reason: str
    notices: tuple[Notice, ...] = ()


def choose_cpus(name: str, profile: Profile, facts: Facts, num_threads: int) -> Affinity:
    """The cores for a model with so many threads.

    On a board with big and little cores a measurement that wanders between them says nothing. So it stays on the
    cluster with the highest clock, unless more threads are asked for than that has cores: then it gets all cores, and
    a notice says so.

    Args:
        name: the board's.
        profile: its ``cpus`` come first, where it has some.
        facts: the cores that are online, and their clocks.
        num_threads: of the interpreter.

    Raises:
        DeviceError: the profile names a core that is not there, not online, or not for this user.
    """
    if profile.cpus:
        _check_usable(name, profile, facts)
        return Affinity(
            cpus=profile.cpus,
            reason=f"the profile {profile.name} names them",
            notices=_crowded(name, profile.cpus, num_threads),
        )
    big = _big(facts)
    if not big:
        return Affinity(cpus=(), reason="all cores are alike, or the board does not tell their clocks")
    if num_threads > len(big):
        notice = Notice(
            code="beyond-the-big-cores",
            message=f"{name}: {num_threads} threads, but only {len(big)} big core{'s' * (len(big) > 1)} "
            f"({_listed(big)}): the slower ones work too, and the slowest sets the pace",
            hint=f"see whether it is faster without them: --num-threads {len(big)}",
        )
        return Affinity(cpus=(), reason="more threads than big cores", notices=(notice,))
    return Affinity(cpus=big, reason="the cluster with the highest clock")


def _big(facts: Facts) -> tuple[int, ...]:
    """The usable cores with the highest clock, where others have a lower one; empty: all are alike, or nobody knows."""
    usable = [core for core in facts.cores if not facts.allowed_cpus or core.cpu in facts.allowed_cpus]
    clocks = {core.cpu: core.max_hz for core in usable if core.max_hz is not None}
    if len(clocks) < len(usable) or not clocks:
        return ()
    highest = max(clocks.values())
    fast = tuple(sorted(cpu for cpu, clock in clocks.items() if clock >= highest * (1 - _ALIKE)))
    return fast if len(fast) < len(clocks) else ()


def _check_usable(name: str, profile: Profile, facts: Facts) -> None:
    online = [core.cpu for core in facts.cores]
    gone = [cpu for cpu in profile.cpus if cpu not in online]
    barred = [cpu for cpu in profile.cpus if facts.allowed_cpus and cpu not in facts.allowed_cpus]
    if barred and not gone:
        raise DeviceError(
            f"{name}: the profile {profile.name!r} says to run on core{'s' * (len(profile.cpus) > 1)} "
            f"{_listed(profile.cpus)}, and this user's processes are kept off {_listed(barred)} there "
            f"(they may run on {_listed(facts.allowed_cpus)})",
            hint="look for a container's cpuset, a service's CPUAffinity, or taskset; or correct `cpus` in the profile",
            details={"cpus": list(profile.cpus), "allowed": list(facts.allowed_cpus)},
        )
    if online and gone:
        raise DeviceError(
            f"{name}: the profile {profile.name!r} says to run on core{'s' * (len(profile.cpus) > 1)} "
            f"{_listed(profile.cpus)}, and {_listed(gone)} {'are' if len(gone) > 1 else 'is'} not online there "
            f"(online: {_listed(online)})",
            hint=f"correct `cpus` in the profile, or bring the core back; `edgekit devices check {name}` shows both",
            details={"cpus": list(profile.cpus), "online": online},
        )


def _crowded(name: str, cpus: Sequence[int], num_threads: int) -> tuple[Notice, ...]:
    if num_threads <= len(cpus):
        return ()
    return (
        Notice(
            code="more-threads-than-cores",
            message=f"{name}: {num_threads} threads share the {len(cpus)} cores that the profile names "
            f"({_listed(cpus)})",
            hint=f"--num-threads {len(cpus)}, or another `cpus` in the profile",
        ),
    )


def _listed(cpus: Sequence[int]) -> str:
    """``4-7`` or ``0, 2, 5``."""
    ordered = sorted(cpus)
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]}-{ordered[-1]}"
    return ", ".join(map(str, ordered))
