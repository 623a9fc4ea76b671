"""A board against a profile: what differs, and which profile fits best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgekit.core.notice import Notice
from edgekit.device import android_facts
from edgekit.device.facts import GENERIC, Facts
from edgekit.device.profile import Profile, Sensor

_CLOCK_TOLERANCE = 0.02  # a clock of 1 401 MHz is one of 1 400
_LOW_BATTERY_PERCENT = 20  # where Android offers to save power


def differences(profile: Profile, facts: Facts) -> tuple[Notice, ...]:
    """Where the board differs from its profile, what it does not tell, and what it will be short of."""
    found = (*_system(profile, facts), *_cores(profile, facts), *_sensors(profile, facts), *_now(profile, facts))
    return tuple(Notice(code=code, message=message, hint=hint) for code, message, hint in found)


_Found = Iterator[tuple[str, str, str]]


def _system(profile: Profile, facts: Facts) -> _Found:
    if profile.abi and facts.abi and profile.abi != facts.abi:
        bits = "; its kernel has 64 bits, its programs 32" if _mixed(facts) else ""
        yield "architecture", f"the board runs {facts.abi}, the profile says {profile.abi}{bits}", ""
    elif profile.abi is None and _mixed(facts):
        yield "userland-bits", f"{facts.userland_bits}-bit programs on a {facts.machine} kernel: it is {facts.abi}", ""
    if profile.libc and facts.libc and profile.libc != facts.libc:
        yield "libc", f"the board has {facts.libc}, the profile says {profile.libc}", ""
    named = facts.model and profile.model and not facts.model.startswith(profile.model)
    if named and not set(profile.compatible) & set(facts.compatible):
        yield "model", f"the board calls itself {facts.model!r}, the profile says {profile.model!r}", ""
    memory = facts.memory_total_bytes
    if memory and profile.ram_mb and memory > max(profile.ram_mb) << 20:
        yield "memory", "the board has more memory than any board of its profile", ""
    elif memory and profile.ram_mb and memory < (min(profile.ram_mb) << 20) * 0.6:  # firmware and GPU take some of it
        yield "memory", "the board has less memory than any board of its profile", ""
    if facts.python is None and facts.system != "Android":
        hint = "`edgekit devices provision NAME --dry-run` says what can run there instead"
        yield "no-python", "no Python 3 on the board", hint


def _cores(profile: Profile, facts: Facts) -> _Found:
    cores, sold = len(facts.cores) or None, profile.cores
    if cores and sold and cores != sold:
        yield "cores", f"{cores} cores are online, the profile says {sold}", ""
    there = {core.cpu: core for core in facts.cores}
    for cluster in profile.clusters:
        kinds = {there[cpu].kind for cpu in cluster.cpus if cpu in there} - {None, cluster.core}
        if kinds:
            names = ", ".join(sorted(map(str, kinds)))
            yield "clusters", f"cores {_numbers(cluster.cpus)} are {names}, the profile says {cluster.core}", ""
        clocks = {there[cpu].max_hz for cpu in cluster.cpus if cpu in there} - {None}
        top = max((hz for hz in clocks if hz), default=None)
        if top and cluster.max_mhz and abs(top / 1e6 / cluster.max_mhz - 1) > _CLOCK_TOLERANCE:
            said = f"cores {_numbers(cluster.cpus)} go up to {top / 1e6:.0f} MHz, the profile says {cluster.max_mhz}"
            yield "clock", said, "some boards of a kind are sold or set slower: name the clock with every result"
    missing = [cpu for cpu in profile.cpus if there and cpu not in there]
    if missing:
        yield (
            "cpus",
            f"the profile runs models on cores {_numbers(profile.cpus)}; {_numbers(missing)} are not online",
            "",
        )


def _sensors(profile: Profile, facts: Facts) -> _Found:
    """A sensor that the profile names and that does not answer leaves its fact unknown; it never means "fine"."""
    readings = {"temperature": facts.sensor_c, "clock": facts.clock_hz, "throttled": facts.throttle_bits}
    for kind, reading in readings.items():
        sensor: Sensor | None = getattr(profile.sensors, kind)
        if sensor is not None and reading is None:
            place = " ".join(sensor.command) or sensor.file or f"thermal zone {sensor.zone}"
            hint = "is the user in the group `video`?" if sensor.command[:1] == ("vcgencmd",) else ""
            what = "throttle bits" if kind == "throttled" else kind
            yield "sensor-silent", f"`{place}` gives no {what} that can be read: unknown", hint


def _now(profile: Profile, facts: Facts) -> _Found:
    if facts.throttle_bits:
        what = "is throttled or short of power now" if facts.throttle_bits & 0xF else "has throttled since it started"
        yield (
            "throttled",
            f"the board {what} (throttled=0x{facts.throttle_bits:x})",
            "check power supply and cooling",
        )
    slowed = [kind for kind, state in facts.cooling.items() if state > 0]
    if slowed:
        yield "throttled", f"the kernel slows the cores down to cool them ({', '.join(slowed)})", "check its cooling"
    if (facts.thermal_status or 0) >= android_facts.THROTTLES_FROM:
        status = android_facts.THERMAL_STATUSES[facts.thermal_status or 0]
        yield "throttled", f"Android slows the device down to cool it (thermal status {status})", "let it cool down"
    battery = facts.battery
    if battery and not battery.charging and (battery.percent or 100) < _LOW_BATTERY_PERCENT:
        yield "battery", f"the battery is at {battery.percent} % and not charging: Android may save power", "plug it in"
    if profile.throttle_c and facts.temperature_c is not None and facts.temperature_c >= profile.throttle_c:
        yield "hot", f"{facts.temperature_c:.0f} °C: it slows down from {profile.throttle_c:.0f} °C", "let it cool down"
    if facts.governor not in (None, "performance"):
        hint = (
            "for steadier times: echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
        )
        yield "governor", f"the governor is {facts.governor}: clocks follow the load", hint
    if facts.container:
        yield "container", f"commands there run in a container ({facts.container}): limits of its own may apply", ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A profile that fits a board.

    Attributes:
        score: more is better; only the order means something.
        reasons: why, in words.
    """

    profile: str
    score: int
    reasons: tuple[str, ...]


def proposals(facts: Facts, profiles: Iterable[Profile], *, transport: str = "ssh") -> tuple[Proposal, ...]:
    """The profiles that the board may be of, the best first; those that contradict it are left out."""
    found = [_proposal(facts, profile) for profile in profiles if profile.transport == transport]
    fitting = [proposal for proposal in found if proposal is not None]
    return tuple(sorted(fitting, key=lambda proposal: (-proposal.score, proposal.profile)))


def _proposal(facts: Facts, profile: Profile) -> Proposal | None:
    pairs = ((profile.abi, facts.abi), (profile.libc, facts.libc))
    if any(said and there and said != there for said, there in pairs):
        return None
    if profile.libc == "bionic" and facts.libc is None:
        return None  # Android would have said so
    score, reasons = 0, []
    exact = [name for name in facts.compatible if name in profile.compatible]
    if exact:
        # a device tree goes from the board to its chip: an earlier name says more
        score += 100 - facts.compatible.index(exact[0])
        reasons.append(f"its device tree says {exact[0]}")
    elif profile.model and facts.model and facts.model.startswith(profile.model):
        score += 80
        reasons.append(f"it calls itself {facts.model}")
    elif profile.libc == "bionic" and facts.libc == "bionic":
        score += 20
        reasons.append("it runs Android")
    elif profile.clusters or profile.compatible or profile.soc:
        return None  # a kind of board, and nothing says that it is this one
    if profile.abi and profile.abi == facts.abi:
        score += 10
        reasons.append(f"its programs are built for {facts.abi}")
    if profile.name not in {*GENERIC.values(), "generic"} and not reasons:
        return None  # a profile that says nothing fits every board
    return Proposal(profile=profile.name, score=score, reasons=tuple(reasons))


def _mixed(facts: Facts) -> bool:
    return facts.userland_bits == 32 and facts.machine in ("aarch64", "x86_64")


def _numbers(cpus: Iterable[int]) -> str:
    """``0, 1, 2, 5`` → ``0-2, 5``."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
