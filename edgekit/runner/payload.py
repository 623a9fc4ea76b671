"""Runs one model on the board in one fresh process and prints what it measured.

This file is all that edgekit needs on a board besides ``libLiteRt.so``: standard library only, Python 3.7 or newer, no
import of edgekit. It is one file so that it can be pushed by its hash; that is why it is longer than other modules.

    python3 -I -S payload.py < request.json     (for the Python-module runtimes without -I -S: they need site-packages)

The first line of standard input is the request: a ``Job`` of ``edgekit.runner.protocol`` (its mode says what comes
back: a ``Trial``, or a ``Profile``) or ``{"mode": "probe", …}``.
The answer is one line of JSON between the lines ``BEGIN`` and ``END`` below: the record, or
``{"error": {code, message}}`` with exit status 3. What libraries print to standard output goes to standard error.
"""

from __future__ import annotations

import array
import binascii
import ctypes
import gc
import importlib
import json
import math
import os
import resource
import select
import signal
import sys
import threading
import time

TYPE_CHECKING = False  # the module typing is not imported on the board: it would show in the memory figures
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, NoReturn, Optional, Sequence, Tuple, Union

    Record = Dict[str, Any]
    Source = Union[bytes, Tuple[str, int]]

BEGIN = "@@edgekit-answer-begin@@"
END = "@@edgekit-answer-end@@"
FAILED = 3  # exit status of a failure that was understood
ABANDONED = 4  # exit status when the host went away

PRELOAD_BYTES = 64 << 20  # samples beyond this are not rotated in: a small board must not swap for its inputs
WARMUP_KEPT = 1000
QUICK_NS = 100_000  # a run below this is timed in batches ...
BATCH_NS = 200_000  # ... of about this length, so that clock and call cost stay below 1 %
GLANCE_NS = 800_000_000  # sensors are looked at this often during the measured loop: never less than once a second
PACE_NS = 50_000_000  # after so long the pace is taken again
MOST_READINGS = 600  # of one loop that are kept
PATIENCE_S = 2.0  # a program that takes longer to tell a sensor's reading does not tell it

# the numbers of the element types are those of the TensorFlow Lite schema: name, bytes per element
DTYPES = {
    1: ("float32", 4),
    2: ("int32", 4),
    3: ("uint8", 1),
    4: ("int64", 8),
    6: ("bool", 1),
    7: ("int16", 2),
    9: ("int8", 1),
    10: ("float16", 2),
    11: ("float64", 8),
    13: ("uint64", 8),
    16: ("uint32", 4),
    17: ("uint16", 2),
}
STATUS = {
    1: "invalid argument",
    2: "out of memory",
    3: "runtime failure",
    4: "missing input",
    5: "unsupported",
    6: "not found",
    8: "wrong version",
    500: "the file cannot be read",
    501: "not a valid FlatBuffer",
    502: "a library cannot be loaded",
    504: "compilation failed",
}
# a whole .tflite without a single op: enough for a module runtime to show that it can build an interpreter
EMPTY_MODEL = (
    "1800000054464c3300000e00140010000c000800000004000e000000100000001c00000050000000030000000100000008000000"
    "040004000400000001000000100000000c00140010000c00080004000c0000001000000010000000100000001000000000000000"
    "00000000000000000000000000000000"
)
# the same for ONNX Runtime: y = x, one float
EMPTY_ONNX = (
    "08073a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a0808011204"
    "0a02080142040a00100d"
)


SILENT_PROGRAMS: List[str] = []  # programs that did not answer in time, or may not: they are not asked again
SENSORS: Record = {}  # the board's own, as the job names them: protocol.SensorSources
SAMPLING: List[bool] = []  # not empty in the sampler's own process: what it starts must end with it


class Failure(Exception):
    """Something that the host turns into an error of its own: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        Exception.__init__(self, message)
        self.code = code
        self.message = message


# ------------------------------------------------------------------------------------------------------ the process


def leave_inheritance() -> None:
    """Undoes what whoever started this process may have set: closed streams, pipes that do not wait, held signals."""
    for descriptor in range(3):
        try:
            os.set_blocking(descriptor, True)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an ignored one takes the exit status of sensors' programs away
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def take_standard_output() -> int:
    """Keeps standard output for the answer alone; everything else that prints goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def send(answer: int, value: Record) -> None:
    """Writes the framed answer."""
    data = ("\n%s\n%s\n%s\n" % (BEGIN, json.dumps(value), END)).encode()
    while data:
        data = data[os.write(answer, data) :]


def die_with_parent() -> None:
    """Lets the kernel end this process when its parent dies."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def end_with_the_host(answer: int) -> None:
    """Ends this process when the host goes away: its end of our output closes, or our parent dies."""
    die_with_parent()
    poll = select.poll()
    poll.register(answer, 0)  # errors and hang-ups are always reported

    def watch() -> None:
        if poll.poll():
            os._exit(ABANDONED)

    threading.Thread(target=watch, daemon=True).start()


def limit_time(seconds: float) -> None:
    """Ends this process by SIGALRM after ``seconds``, even inside the library."""
    if seconds:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


# ------------------------------------------------------------------------------------------- files, sensors, memory


def read_text(path: str) -> Optional[str]:
    """The text of a small file; None where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not be waited for
    except OSError:
        return None
    text = b""
    try:
        part = os.read(descriptor, 16384)
        while part and len(text) < 1 << 20:  # the kernel gives its longer lists page by page
            text += part
            part = os.read(descriptor, 16384)
    except OSError:  # a sensor without a reading
        return None
    finally:
        os.close(descriptor)
    return text.decode("utf-8", "replace").strip()


def read_number(path: str, base: int = 10) -> Optional[int]:
    """The whole number in a small file; None where there is none."""
    try:
        return int(read_text(path) or "", base)
    except ValueError:
        return None


def list_folder(path: str) -> List[str]:
    """The names in a folder, none where it cannot be read."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def new_sha256() -> Any:
    """A SHA-256 object without OpenSSL where this Python has one: OpenSSL would be 3 MB in every memory figure."""
    for module in ("_sha2", "_sha256"):
        try:
            return importlib.import_module(module).sha256()
        except (ImportError, AttributeError):
            pass
    import hashlib

    return hashlib.sha256()


def sha256_file(path: str) -> str:
    """The SHA-256 of a file, read through one small buffer that leaves no trace in the memory figures."""
    digest = new_sha256()
    block = bytearray(16384)
    view = memoryview(block)
    try:
        with open(path, "rb", buffering=0) as stream:
            count = stream.readinto(block)
            while count:
                digest.update(view[:count])
                count = stream.readinto(block)
    except OSError as error:
        raise Failure("model-missing", "cannot read %s: %s" % (path, error.strerror)) from error
    return str(digest.hexdigest())


def celsius(text: Optional[str], scale: float = 1.0) -> Optional[float]:
    """``temp=48.2'C``, or a number that ``scale`` turns into °C; None beyond what silicon survives."""
    plain = (text or "").strip()
    plain = plain[5:] if plain.startswith("temp=") else plain
    plain = plain[:-2] if plain.endswith("'C") else plain
    if not plain or len(plain) > 20 or not set(plain) <= set("-.0123456789"):
        return None
    try:
        value = round(float(plain) * scale, 3)
    except ValueError:
        return None
    return value if -60 <= value <= 200 else None


def hertz(text: Optional[str], scale: float = 1.0) -> Optional[int]:
    """``frequency(48)=1500345728``, or a number that ``scale`` turns into Hz."""
    plain = (text or "").strip()
    name, equals, value = plain.partition("=")
    if equals and name.startswith("frequency(") and name.endswith(")"):
        plain = value
    return round(int(plain) * scale) or None if plain.isdigit() and plain.isascii() and len(plain) <= 15 else None


def throttle_bits(text: Optional[str], _scale: float = 1.0) -> Optional[int]:
    """``throttled=0x50000``, ``0x50000`` or ``50000`` → 0x50000; always hexadecimal."""
    plain = (text or "").strip()
    plain = plain[10:] if plain.startswith("throttled=") else plain
    plain = plain[2:] if plain.startswith("0x") else plain
    return int(plain, 16) if 0 < len(plain) <= 8 and set(plain) <= set("0123456789abcdefABCDEF") else None


def zone_celsius(kind: Optional[str] = None) -> Optional[float]:
    """Degrees Celsius of the hottest thermal zone (of those of one type); None where there is none."""
    zones = "/sys/class/thermal"
    known = []
    for name in list_folder(zones):
        if name.startswith("thermal_zone") and kind in (None, read_text("%s/%s/type" % (zones, name))):
            reading = celsius(read_text("%s/%s/temp" % (zones, name)), 0.001)
            if reading is not None:
                known.append(reading)
    return max(known) if known else None


def named_sensor(kind: str, parse: Callable[..., Any], programs: bool) -> Any:
    """The reading of a sensor that the job names; None where it names none, or that one does not tell."""
    source = SENSORS.get(kind) or {}
    if source.get("zone"):
        return zone_celsius(source["zone"])
    text = None
    if source.get("file"):
        text = read_text(source["file"])
    elif source.get("argv") and programs:
        text = ask(source["argv"])
    return parse(text, source.get("scale", 1.0))


def read_temperature(programs: bool = True) -> Optional[float]:
    """Degrees Celsius: of the job's own sensor, else of the hottest thermal zone."""
    named = named_sensor("temperature", celsius, programs)
    return zone_celsius() if named is None else named


def read_clock(programs: bool = True) -> Optional[int]:
    """Hz of the real clock: of the job's own sensor, else of the Raspberry Pi's firmware."""
    named = named_sensor("clock", hertz, programs)
    return hertz(ask(("vcgencmd", "measure_clock", "arm"))) if named is None and programs else named


def read_throttle_bits(programs: bool = True) -> Optional[int]:
    """The job's own sensor, else what the Raspberry Pi's kernel driver or its firmware says."""
    bits = named_sensor("throttled", throttle_bits, programs)
    if bits is None:
        bits = throttle_bits(read_text("/sys/devices/platform/soc/soc:firmware/get_throttled"))
    return throttle_bits(ask(("vcgencmd", "get_throttled"))) if bits is None and programs else bits


def read_thermal_status(programs: bool = True) -> Optional[int]:
    """Android's, 0 (none) to 6 (shutdown); None elsewhere, and where it may not be asked for (Termux)."""
    text = ask(("dumpsys", "thermalservice")) if programs else None
    for line in (text or "").splitlines():
        name, _, value = line.rstrip().partition(": ")
        if name == "Thermal Status" and value in ("0", "1", "2", "3", "4", "5", "6"):
            return int(value)
    if text is not None:
        SILENT_PROGRAMS.append("dumpsys")
    return None


def of_each_core(name: str) -> Dict[int, int]:
    """Hz by core, from one of cpufreq's files."""
    folder = "/sys/devices/system/cpu"
    cores = sorted(int(entry[3:]) for entry in list_folder(folder) if entry.startswith("cpu") and entry[3:].isdigit())
    readings = {core: read_number("%s/cpu%d/cpufreq/%s" % (folder, core, name)) for core in cores}
    return {core: reading * 1000 for core, reading in readings.items() if reading is not None}


def core_of(process: str) -> Optional[int]:
    """The core that a process ran on last (its first thread: the one that runs the model)."""
    after_name = (read_text("/proc/%s/stat" % process) or "").rpartition(")")[2].split()
    return int(after_name[36]) if len(after_name) > 36 else None


def find_program(name: str) -> Optional[str]:
    """The path of a program: in the folders of PATH, then where Raspberry Pi OS and Android have it."""
    if "/" in name:
        return name
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/bin", "/opt/vc/bin", "/system/bin"):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    return None


def ask(argv: Sequence[str]) -> Optional[str]:
    """What a program prints; None where it is not there, fails, or does not end in time."""
    path = None if argv[0] in SILENT_PROGRAMS else find_program(argv[0])
    if path is None:
        return None
    reading, writing = os.pipe()
    try:
        pid = spawn((path, *argv[1:]), writing)
    except OSError:
        os.close(reading)
        return None
    finally:
        os.close(writing)
    end = time.monotonic() + PATIENCE_S
    text = read_until(reading, end)
    os.close(reading)
    status = None
    while text is not None and status is None and time.monotonic() < end:
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = code
        else:
            time.sleep(0.0005)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        SILENT_PROGRAMS.append(argv[0])
    return text.decode("utf-8", "replace") if text is not None and status == 0 else None


def read_until(descriptor: int, end: float) -> Optional[bytes]:
    """All that comes out of a pipe; None where it is not closed before ``end`` (monotonic seconds)."""
    text = b""
    while select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(descriptor, 65536)
        if not part:
            return text
        text += part
        if len(text) > 1 << 20:
            return None
    return None


def spawn(argv: Tuple[str, ...], output: int) -> int:
    """Starts a program without the module subprocess, which would show in the memory figures; returns its pid."""
    if hasattr(os, "posix_spawn") and not SAMPLING:
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, output, 1)]
        return os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    pid = os.fork()  # of a small process with one thread, or in Python 3.7
    if pid == 0:
        try:
            if SAMPLING:
                die_with_parent()
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted
        finally:
            os._exit(127)
    return pid


def counters(path: str) -> Dict[str, int]:
    """The numbers of a file of lines such as ``MemTotal: 123 kB`` or ``pswpin 123``."""
    found = {}
    for line in (read_text(path) or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[1].isdigit():
            found[words[0].rstrip(":")] = int(words[1])
    return found


def conditions() -> Record:
    """The state of the board: the fields of ``protocol.Conditions``."""
    memory = counters("/proc/meminfo")
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = None
    runnable = (read_text("/proc/loadavg") or "").partition("/")[0].rpartition(" ")[2]
    uptime = (read_text("/proc/uptime") or "").partition(" ")[0]
    governor = "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor"
    swap = memory["SwapTotal"] - memory["SwapFree"] if {"SwapTotal", "SwapFree"} <= set(memory) else None
    return {
        "temperature_c": read_temperature(),
        "frequency_hz": list(of_each_core("scaling_cur_freq").values()),
        "clock_hz": read_clock(),
        "governor": read_text(governor % min(os.sched_getaffinity(0))),
        "throttle_bits": read_throttle_bits(),
        "load_1min": load,
        "memory_available_bytes": memory["MemAvailable"] * 1024 if "MemAvailable" in memory else None,
        "boot_id": read_text("/proc/sys/kernel/random/boot_id"),
        "thermal_status": read_thermal_status(),
        "runnable": max(0, int(runnable) - 1) if runnable.isdigit() else None,
        "swap_used_bytes": None if swap is None else swap * 1024,
        "swapped_in_pages": counters("/proc/vmstat").get("pswpin"),
        "uptime_s": float(uptime) if uptime else None,
        "min_frequency_hz": list(of_each_core("scaling_min_freq").values()),
        "max_frequency_hz": list(of_each_core("scaling_max_freq").values()),
        "wall_s": time.time(),
        "monotonic_s": time.monotonic(),
    }


class Glances:
    """What the sensors showed over the measured loop."""

    def __init__(self, process: str, programs: bool) -> None:
        self.process = process  # the one that runs the model
        self.programs = programs  # whether they may be asked too
        self.count = 0
        self.keep_every = 1
        self.bits: Optional[int] = None
        self.hottest: Optional[float] = None
        self.status: Optional[int] = None
        self.clocks: List[int] = []
        self.frequencies: List[int] = []
        self.readings: List[Record] = []

    def look(self) -> None:
        """Reads the sensors once."""
        at = time.monotonic_ns()
        core = core_of(self.process)
        speed = None if core is None else read_number("/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq" % core)
        bits = read_throttle_bits(self.programs)
        clock = read_clock(self.programs)
        heat = read_temperature(self.programs)
        status = read_thermal_status(self.programs)
        if bits is not None:
            self.bits = bits | (self.bits or 0)
        if heat is not None:
            self.hottest = heat if self.hottest is None else max(heat, self.hottest)
        if status is not None:
            self.status = status if self.status is None else max(status, self.status)
        if clock is not None:
            self.clocks = [min([*self.clocks, clock]), max([*self.clocks, clock])]
        if speed is not None:
            speed *= 1000
            self.frequencies = [min([*self.frequencies, speed]), max([*self.frequencies, speed])]
        if self.count % self.keep_every == 0:
            self.readings.append(
                {
                    "at_ns": at,
                    "temperature_c": heat,
                    "clock_hz": clock,
                    "throttle_bits": bits,
                    "thermal_status": status,
                    "frequency_hz": speed,
                }
            )
        self.count += 1
        if len(self.readings) > MOST_READINGS:
            self.readings = self.readings[::2]
            self.keep_every *= 2

    def record(self) -> Record:
        """The fields of ``protocol.During`` but for the loop's own."""
        slowest, fastest = self.clocks or self.frequencies or (None, None)
        return {
            "glances": self.count,
            "throttle_bits": self.bits,
            "hottest_c": self.hottest,
            "slowest_hz": slowest,
            "fastest_hz": fastest,
            "thermal_status": self.status,
            "readings": self.readings,
        }


class Sampler:
    """Looks at the sensors over the measured loop: from a process of its own on another core, where there is one.

    It is forked while this process is small and has one thread. A thread would share Python's lock with the loop, and
    programs that tell a sensor's reading would be started by the process that is measured.
    """

    def __init__(self, job: Record) -> None:
        self.glances = Glances("self", programs=False)  # where there is no other core
        self.pid = 0
        self.cpu: Optional[int] = None
        self.began: Optional[int] = None
        cores, spare = cores_beside(job)
        if not cores or not job.get("sampler", True):
            return
        parent = os.getpid()
        go_reading, self.go = os.pipe()
        self.answer, answer_writing = os.pipe()
        try:
            self.pid = os.fork()
        except OSError:  # no memory, or no more processes: the loop looks itself
            return
        if self.pid == 0:
            try:
                follow_sensors(parent, cores, spare, go_reading, answer_writing)
            finally:
                os._exit(0)
        os.close(go_reading)
        os.close(answer_writing)

    @property
    def between_runs(self) -> bool:
        """Whether the sensors must be looked at between two runs, because nobody else does."""
        return self.pid == 0

    def begin(self) -> None:
        """The measured loop begins."""
        try:
            if self.pid:  # it has long been ready, or something keeps it from that
                ready = select.select([self.answer], [], [], 1.0)[0] and os.read(self.answer, 1)
                os.write(self.go if ready else -1, b"\n")
        except OSError:
            self._forget()
        self.began = time.monotonic_ns()

    def end(self) -> Record:
        """The measured loop has ended: the fields of ``protocol.During``."""
        found = self.glances.record()
        if self.pid:
            os.close(self.go)
            text = read_until(self.answer, time.monotonic() + PATIENCE_S + 1)
            found.update(json.loads(text.decode()) if text else {})
            self._forget()
        found["began_ns"] = self.began
        return found

    def _forget(self) -> None:
        """The other process is no more."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0


def cores_beside(job: Record) -> Tuple[List[int], bool]:
    """Cores for the sampler, and whether they are spare: none where the model needs them all.

    Where the model is kept to some cores, the slowest other one. Where it may use more cores than it has threads, all
    of these, for the scheduler to choose from.
    """
    here = sorted(os.sched_getaffinity(0))
    measured = job.get("cpus") or here
    most = of_each_core("cpuinfo_max_freq")
    others = [core for core in here if core not in measured]
    if others:
        return [min(others, key=lambda core: (most.get(core, 0), core))], True
    return (here if len(measured) > job.get("num_threads", 1) else []), False


def follow_sensors(parent: int, cores: Sequence[int], spare: bool, go: int, answer: int) -> None:
    """The sampler's own process: begins with the loop, ends when the other end of ``go`` is closed.

    That happens also where the measured process dies; besides, the kernel then ends this one.
    """
    SAMPLING.append(True)
    die_with_parent()
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):  # the host waits until nobody holds its ends of these
        os.dup2(null, descriptor)
    low, high = sorted((go, answer))
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, 256)
    os.sched_setaffinity(0, cores)
    if not spare and hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # it gives way to the model wherever they meet
    if os.getppid() != parent:
        return
    os.write(answer, b"\n")
    if not os.read(go, 1):
        return
    glances = Glances(str(parent), programs=True)
    due = time.monotonic()
    ended = False
    while not ended:
        glances.look()
        due = max(due + GLANCE_NS / 1e9, time.monotonic() + 0.05)
        ended = bool(select.select([go], [], [], max(0.0, due - time.monotonic()))[0])
    data = json.dumps({**glances.record(), "cpu": core_of("self")}).encode()
    while data:
        data = data[os.write(answer, data) :]


def pressure_us() -> Optional[int]:
    """Microseconds for which some task waited for a CPU since boot; None without PSI."""
    for word in (read_text("/proc/pressure/cpu") or "").split("\n")[0].split():
        if word.startswith("total="):
            return int(word[6:])
    return None


class Memory:
    """This process's memory by phase, from ``/proc/self/status``; the peak starts anew with each phase."""

    def __init__(self) -> None:
        self.phases: List[Record] = []
        self.resets = True

    def end_phase(self, phase: str) -> None:
        """Notes the memory at the end of ``phase`` and resets the kernel's peak for the next one."""
        values = {}
        for line in (read_text("/proc/self/status") or "").splitlines():
            key, _, value = line.partition(":")
            if key in ("VmRSS", "VmHWM", "RssAnon", "RssFile", "VmSwap"):
                values[key] = int(value.split()[0]) * 1024
        self.phases.append(
            {
                "phase": phase,
                "rss_bytes": values.get("VmRSS"),
                "peak_rss_bytes": values.get("VmHWM"),
                "anon_bytes": values.get("RssAnon"),
                "file_bytes": values.get("RssFile"),
                "swap_bytes": values.get("VmSwap"),
            }
        )
        self.reset_peak()

    def reset_peak(self) -> None:
        """Sets the peak to the present size (``man 5 proc``, clear_refs)."""
        try:
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
            try:
                os.write(descriptor, b"5")
            finally:
                os.close(descriptor)
        except OSError:
            self.resets = False


def give_back() -> None:
    """Returns freed memory to the kernel: else the library would live in what compiling this file has left behind."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def forget_system_libraries() -> None:
    """Takes the pages of the C and the maths library out of this process, as far as nobody has written to them.

    Python has touched many of them. The runtime touches them too, and in a program without Python they are part of
    what a model costs: up to 3 % of it with small models. Whoever needs a page again finds it in the kernel's cache.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "madvise"):
        return
    found: List[List[Any]] = []  # address, bytes, whether some pages are its own
    try:
        with open("/proc/self/smaps", buffering=4096, encoding="utf-8", errors="replace") as stream:
            inside = False  # line by line: a large buffer would change how the library's own memory is laid out
            for line in stream:
                words = line.split()
                if "-" in words[0] and len(words) > 4:
                    name = os.path.basename(words[-1])
                    inside = name.startswith(("libc.", "libc-", "libm.", "libm-")) and "w" not in words[1]
                    if inside:
                        begin, _, end = words[0].partition("-")
                        found.append([int(begin, 16), int(end, 16) - int(begin, 16), False])
                elif inside and words[0] in ("Anonymous:", "Swap:") and words[1] != "0":
                    found[-1][2] = True
    except OSError:
        return
    for address, length, own in found:
        if not own:
            libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), 4)  # MADV_DONTNEED


def proportional_memory() -> Record:
    """PSS and USS in bytes; an empty dict where the kernel does not tell. Slow: once, at the end."""
    values = {}
    for line in (read_text("/proc/self/smaps_rollup") or "").splitlines():
        key, _, value = line.partition(":")
        if key in ("Pss", "Private_Clean", "Private_Dirty"):
            values[key] = int(value.split()[0]) * 1024
    if "Pss" not in values:
        return {}
    return {"pss_bytes": values["Pss"], "uss_bytes": values.get("Private_Clean", 0) + values.get("Private_Dirty", 0)}


# ------------------------------------------------------------------------------------------------ runtime: the C API


class _Layout(ctypes.Structure):
    _fields_ = [
        ("rank", ctypes.c_uint32, 7),
        ("has_strides", ctypes.c_uint32, 1),
        ("dimensions", ctypes.c_int32 * 8),
        ("strides", ctypes.c_uint32 * 8),
    ]


class _TensorType(ctypes.Structure):
    _fields_ = [("element_type", ctypes.c_int32), ("layout", _Layout)]


class _EnvironmentOption(ctypes.Structure):
    # the value is a tagged union, aligned to 8 bytes; type 2 is an integer
    _fields_ = [
        ("tag", ctypes.c_int32),
        ("alignment", ctypes.c_int32),
        ("value_type", ctypes.c_int32),
        ("value", ctypes.c_int64),
    ]


class _Event(ctypes.Structure):
    # node is an op's position: in the model for the runtime's own ops, within the part that it took for a delegate's
    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("node", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int32),
    ]


_WHOLE, _BUILTIN_OP, _DELEGATE_OP = 1, 2, 8  # types of events; a run as a whole has the tag "Invoke"
_MIN_LOG_SEVERITY = 25  # tag of an environment option
_ERROR_SEVERITY = 3
_CPU = 1  # the accelerator
_HOST_MEMORY = 1  # the kind of tensor buffer
_READ, _WRITE = 0, 1

_pointer = ctypes.c_void_p
_size = ctypes.c_size_t
_to_pointer = ctypes.POINTER(ctypes.c_void_p)
_to_size = ctypes.POINTER(ctypes.c_size_t)


class LiteRtLibrary:
    """LiteRT through its C API (``libLiteRt.so``, ``libLiteRtRuntimeCApi.so``; 1.4.0 to 2.3.0).

    The API changed between releases. What a library needs is seen by its symbols, never by its version:
    ``LiteRtCreateModelFromFd`` came together with the environment as first argument of ``LiteRtCreateModelFromFile``
    (2.1.6), and ``LiteRtCreateCpuOptions`` went away when options became TOML text (2.1.3).
    """

    name = "LiteRT C API"

    def __init__(self, path: str, version: str) -> None:
        self.path = path
        self.version = version
        self.inputs: List[Record] = []
        self.outputs: List[Record] = []
        self.delegate = "unknown"
        self.fully_delegated: Optional[bool] = None
        self.profiled = False  # set before build: the runtime then takes the time of each op, which costs 68 MB
        self.kernels = "delegate"  # set before build
        self.weight_cache = ""  # set before build

    def files(self) -> List[str]:
        """What is read when the runtime is loaded."""
        return [self.path]

    def open(self) -> None:
        """Loads the library itself."""
        if not os.path.exists(self.path):
            raise Failure("library-missing", "no such file: %s" % self.path)
        try:
            self.library = ctypes.CDLL(self.path)
        except OSError as error:
            raise Failure("library-load", str(error)) from error
        if not self._has("LiteRtRunCompiledModel"):
            raise Failure("library-load", "%s does not export LiteRT's C API" % self.path)

    def load(self, model: str) -> None:
        """Opens the model file."""
        self.environment = _pointer()
        option = _EnvironmentOption(_MIN_LOG_SEVERITY, 0, 2, _ERROR_SEVERITY)
        known = 0 if self._typed_options() else 1  # releases with typed options do not know the tag
        self._call("LiteRtCreateEnvironment", ctypes.c_int, _pointer, _to_pointer)(
            known, ctypes.byref(option), ctypes.byref(self.environment)
        )
        name = os.fsencode(model)
        try:
            if self._has("LiteRtCreateModelFromFd"):
                kinds, arguments = (_pointer, ctypes.c_char_p), (self.environment, name)
                self.model = self._new("LiteRtCreateModelFromFile", kinds, arguments)
            else:
                self.model = self._new("LiteRtCreateModelFromFile", (ctypes.c_char_p,), (name,))
        except Failure as failure:
            raise Failure("model-unreadable", "the runtime cannot read %s: %s" % (model, failure.message)) from failure

    def build(self, num_threads: int) -> None:
        """Builds the interpreter and its input and output buffers."""
        self.delegate = "none" if self.kernels == "builtin" else "XNNPACK"  # the default of this API
        options = self._new("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", _pointer, ctypes.c_int)(options, _CPU)
        add = self._call("LiteRtAddOpaqueOptions", _pointer, _pointer)
        add(options, self._cpu_options(num_threads))
        if self.profiled:
            self._check_profiler()
            add(options, self._text_options(b"runtime_options_string", b"enable_profiling = true\n"))
        try:
            self.compiled = self._new(
                "LiteRtCreateCompiledModel", (_pointer,) * 3, (self.environment, self.model, options)
            )
        except Failure as failure:
            raise Failure("model-unsupported", "the runtime cannot build the model: %s" % failure.message) from failure
        subgraph = self._subgraph()
        self._inputs, self.inputs = self._buffers(subgraph, "Input")
        self._outputs, self.outputs = self._buffers(subgraph, "Output")
        answer = ctypes.c_bool()
        ask = self._call("LiteRtCompiledModelIsFullyAccelerated", _pointer, ctypes.POINTER(ctypes.c_bool))
        ask(self.compiled, ctypes.byref(answer))
        self.fully_delegated = answer.value and self.kernels == "delegate"
        # no argtypes, ready-made arguments: ctypes then costs half a microsecond a call
        self.run = self.library.LiteRtRunCompiledModel
        self.nothing = ctypes.CDLL(None).abs  # a C function that takes no time, to see what a call from Python costs
        self.arguments = (
            self.compiled,
            _size(0),
            _size(len(self.inputs)),
            self._inputs,
            _size(len(self.outputs)),
            self._outputs,
        )

    def rebuild(self, num_threads: int) -> None:
        """A fresh interpreter for the same model: without what stateful ops remember."""
        destroy = self.library.LiteRtDestroyCompiledModel  # it returns nothing, unlike the others
        destroy.restype, destroy.argtypes = None, (_pointer,)
        destroy(self.compiled)
        self.build(num_threads)

    def put(self, index: int, source: Source) -> None:
        """Fills an input from bytes, or straight from a place in a file without a copy on the Python side."""
        count = self.inputs[index]["bytes"]
        address = self._lock(self._inputs[index], _WRITE)
        try:
            if isinstance(source, bytes):
                ctypes.memmove(address, source, count)
            else:
                with open(source[0], "rb", buffering=0) as stream:
                    stream.seek(source[1])
                    stream.readinto((ctypes.c_char * count).from_address(address))
        finally:
            self._unlock(self._inputs[index])

    def get(self, index: int) -> bytes:
        """The raw bytes of an output."""
        address = self._lock(self._outputs[index], _READ)
        try:
            return ctypes.string_at(address, self.outputs[index]["bytes"])
        finally:
            self._unlock(self._outputs[index])

    def start_profile(self) -> None:
        """Begins to take the time of every op."""
        self.profiler = self._new("LiteRtCompiledModelGetProfiler", (_pointer,), (self.compiled,))
        self._call("LiteRtStartProfiler", _pointer)(self.profiler)

    def take_events(self) -> List[Tuple[int, str, int, int]]:
        """What was recorded since the last time: type, tag, node, microseconds; of the ops of the model itself only."""
        self._call("LiteRtStopProfiler", _pointer)(self.profiler)
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", _pointer, ctypes.POINTER(ctypes.c_int))(
            self.profiler, ctypes.byref(count)
        )
        events = (_Event * max(1, count.value))()
        if count.value:  # none at all are an error to the library
            self._call("LiteRtGetProfilerEvents", _pointer, ctypes.c_int, _pointer)(
                self.profiler, count, ctypes.cast(events, _pointer)
            )
        found = []
        for event in events[: count.value]:
            tag = (event.tag or b"").decode("utf-8", "replace")
            if event.type in (_BUILTIN_OP, _DELEGATE_OP) and event.subgraph == 0:
                found.append((event.type, tag, event.node, event.elapsed_us))
            elif event.type == _WHOLE and tag == "Invoke":
                found.append((event.type, tag, 0, event.elapsed_us))
        self._call("LiteRtResetProfiler", _pointer)(self.profiler)
        self._call("LiteRtStartProfiler", _pointer)(self.profiler)
        return found

    def summarized_run(self, samples: Samples) -> Record:
        """One more run, as the runtime itself sums it up (text), and as its events tell it."""
        samples.put_next()
        self.take_events()  # of putting the sample
        timed(self)
        text = ctypes.c_void_p()
        self._call("LiteRtGetProfileSummary", _pointer, _pointer, _to_pointer)(
            self.profiler, self.compiled, ctypes.byref(text)
        )
        found = ctypes.string_at(text).decode("utf-8", "replace") if text.value else ""
        if text.value:
            free = ctypes.CDLL(None).free
            free.restype, free.argtypes = None, (_pointer,)
            free(text)
        return {"text": found, "events": self.take_events()}

    def _check_profiler(self) -> None:
        if self._typed_options() or not self._has("LiteRtCompiledModelGetProfiler"):
            text = "LiteRT %s does not tell the time of single ops; 2.1.3 and later do"
            raise Failure("profile-unsupported", text % (self.version or "before 2.1.3"))

    def _has(self, name: str) -> bool:
        return hasattr(self.library, name)

    def _typed_options(self) -> bool:
        return self._has("LiteRtCreateCpuOptions")

    def _call(self, name: str, *kinds: Any) -> Any:
        """The C function ``name``; it raises Failure where its status is not zero."""
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise Failure("library-abi", "%s has no %s" % (self.path, name)) from None
        function.restype, function.argtypes = ctypes.c_int, kinds
        function.errcheck = lambda status, _function, _arguments: check(status, name)
        return function

    def _new(self, name: str, kinds: Tuple[Any, ...] = (), arguments: Tuple[Any, ...] = ()) -> Any:
        """Calls a function whose last parameter receives a new object, and returns that."""
        made = _pointer()
        self._call(name, *kinds, _to_pointer)(*arguments, ctypes.byref(made))
        return made

    def _cpu_options(self, num_threads: int) -> Any:
        if self.weight_cache and (self.kernels == "builtin" or self._typed_options()):
            reason = "only XNNPACK in LiteRT 2.1.3 or later keeps packed weights in a file; this is %s"
            raise Failure("weight-cache-unsupported", reason % (self.version or "another one"))
        if self._typed_options():
            if self.kernels == "builtin":
                reason = "LiteRT %s always computes with XNNPACK; 2.1.3 and later can do without"
                raise Failure("kernels-unsupported", reason % (self.version or "before 2.1.3"))
            options = self._new("LiteRtCreateCpuOptions")
            identifier = self.library.LiteRtGetCpuOptionsIdentifier
            identifier.restype, identifier.argtypes = ctypes.c_char_p, ()
            data = self._new("LiteRtFindOpaqueOptionsData", (_pointer, ctypes.c_char_p), (options, identifier()))
            self._call("LiteRtSetCpuOptionsNumThread", _pointer, ctypes.c_int)(data, num_threads)
            return options
        text = b"num_threads = %d\n" % num_threads
        if self.kernels == "builtin":
            text += b'kernel_mode = "builtin"\n'
        if self.weight_cache:
            if not set(self.weight_cache).isdisjoint('"\\\n'):  # the library does not read escapes
                raise Failure("request", "a weight cache cannot be called %s" % self.weight_cache)
            text += b'weight_cache_file_path = "%s"\n' % os.fsencode(self.weight_cache)
        return self._text_options(b"xnnpack", text)

    def _text_options(self, identifier: bytes, text: bytes) -> Any:
        libc = ctypes.CDLL(None)  # the library frees the text itself, so the text must come from malloc
        libc.strdup.restype, libc.strdup.argtypes = _pointer, (ctypes.c_char_p,)
        return self._new(
            "LiteRtCreateOpaqueOptions",
            (ctypes.c_char_p, _pointer, _pointer),
            (identifier, libc.strdup(text), ctypes.cast(libc.free, _pointer)),
        )

    def _subgraph(self) -> Any:
        count = _size()
        self._call("LiteRtGetNumModelSignatures", _pointer, _to_size)(self.model, ctypes.byref(count))
        if count.value == 0:
            return self._new("LiteRtGetModelSubgraph", (_pointer, _size), (self.model, 0))
        signature = self._new("LiteRtGetModelSignature", (_pointer, _size), (self.model, 0))
        return self._new("LiteRtGetSignatureSubgraph", (_pointer,), (signature,))

    def _buffers(self, subgraph: Any, side: str) -> Tuple[Any, List[Record]]:
        """The tensor buffers of one side in the model's order, and what they hold."""
        count = _size()
        self._call("LiteRtGetNumSubgraph%ss" % side, _pointer, _to_size)(subgraph, ctypes.byref(count))
        buffers = (_pointer * count.value)()
        tensors = []
        for index in range(count.value):
            tensor = self._new("LiteRtGetSubgraph%s" % side, (_pointer, _size), (subgraph, index))
            kind, name = self._describe(tensor)
            shape = list(kind.layout.dimensions[: kind.layout.rank])
            tensors.append(tensor_record(name, kind.element_type, shape))
            requirements = self._new(
                "LiteRtGetCompiledModel%sBufferRequirements" % side,
                (_pointer, _size, _size),
                (self.compiled, 0, index),
            )
            needed = _size()
            self._call("LiteRtGetTensorBufferRequirementsBufferSize", _pointer, _to_size)(
                requirements, ctypes.byref(needed)
            )
            if needed.value < tensors[-1]["bytes"]:
                raise Failure("model-unsupported", "%s %s has no fixed size" % (side.lower(), name))
            try:
                buffers[index] = self._new(
                    "LiteRtCreateManagedTensorBuffer",
                    (_pointer, ctypes.c_int, ctypes.POINTER(_TensorType), _size),
                    (self.environment, _HOST_MEMORY, ctypes.byref(kind), needed),
                )
            except Failure as failure:  # its size is known and its kind is plain memory: nothing else can be wrong
                text = "the runtime cannot get %d bytes for %s %s"
                raise Failure("out-of-memory", text % (needed.value, side.lower(), name)) from failure
        return buffers, tensors

    def _describe(self, tensor: Any) -> Tuple[_TensorType, str]:
        """Type and name of a tensor; a batch (or another dimension) that is not fixed becomes 1."""
        kind = _TensorType()
        name = ctypes.c_char_p()
        self._call("LiteRtGetTensorName", _pointer, ctypes.POINTER(ctypes.c_char_p))(tensor, ctypes.byref(name))
        text = (name.value or b"").decode("utf-8", "replace")
        try:
            self._call("LiteRtGetRankedTensorType", _pointer, ctypes.POINTER(_TensorType))(tensor, ctypes.byref(kind))
        except Failure:
            raise Failure("model-unsupported", "the tensor %s has no fixed rank" % text) from None
        for axis in range(kind.layout.rank):
            if kind.layout.dimensions[axis] < 0:
                kind.layout.dimensions[axis] = 1
        return kind, text

    def _lock(self, buffer: Any, access: int) -> int:
        address = _pointer()
        self._call("LiteRtLockTensorBuffer", _pointer, _to_pointer, ctypes.c_int)(buffer, ctypes.byref(address), access)
        return address.value or 0

    def _unlock(self, buffer: Any) -> None:
        self._call("LiteRtUnlockTensorBuffer", _pointer)(buffer)


def check(status: int, what: str) -> int:
    """The status of a C function; raises Failure where it is not zero."""
    if status:
        raise Failure("runtime", "%s: status %d (%s)" % (what, status, STATUS.get(status, "unknown")))
    return status


def tensor_record(name: str, element_type: int, shape: List[int]) -> Record:
    """Name, dtype, shape and size in bytes of one input or output."""
    if element_type not in DTYPES:
        raise Failure("model-unsupported", "the tensor %s has element type %d: not supported" % (name, element_type))
    dtype, width = DTYPES[element_type]
    count = width
    for length in shape:
        count *= length
    return {"name": name, "dtype": dtype, "shape": shape, "bytes": count}


# ------------------------------------------------------------------------------------------ runtime: a Python module


class PythonModule:
    """``ai_edge_litert`` or ``tflite_runtime`` as it is installed on the board."""

    def __init__(self, module: str) -> None:
        self.name = module
        self.version = ""
        self.inputs: List[Record] = []
        self.outputs: List[Record] = []
        self.delegate = "unknown"
        self.fully_delegated: Optional[bool] = None
        self.arguments: Tuple[Any, ...] = ()
        self.nothing = None
        self.kernels = "delegate"  # set before build
        self.weight_cache = ""  # set before build

    def files(self) -> List[str]:
        """What may be read when the runtime is loaded: the Python files and libraries of the module and of numpy."""
        find = importlib.import_module("importlib.util").find_spec
        specs = [find(name) for name in ("numpy", self.name)]
        folders = [folder for spec in specs if spec for folder in spec.submodule_search_locations or ()]
        found = []
        for folder in (*folders, *(folder + ".libs" for folder in folders)):
            for place, _folders, names in os.walk(folder):
                found += [
                    os.path.join(place, name) for name in names if name.endswith((".py", ".pyc")) or ".so" in name
                ]
        return found

    def open(self) -> None:
        """Imports the module."""
        try:
            self.numpy = importlib.import_module("numpy")
            self.interpreter_module = importlib.import_module(self.name + ".interpreter")
            self.interpreter_class = self.interpreter_module.Interpreter
        except ImportError as error:
            code = "module-missing" if error.name in ("numpy", self.name) else "module-broken"
            raise Failure(code, "import %s: %s" % (self.name, error)) from error
        except Exception as error:  # an extension module may raise anything
            raise Failure("module-broken", "import %s: %r" % (self.name, error)) from error
        self.version = module_version(self.name)

    def prove(self) -> None:
        """Builds an interpreter for an empty model: tflite_runtime beside numpy 2 imports well and fails here."""
        try:
            self.interpreter_class(model_content=bytes.fromhex(EMPTY_MODEL)).allocate_tensors()
        except Exception as error:  # an extension module may raise anything
            raise Failure("module-broken", "%s %s: %r" % (self.name, self.version, error)) from error

    def load(self, model: str) -> None:
        """Opens the model file; these modules want the number of threads here, so :meth:`build` does the work."""
        self.model = model

    def build(self, num_threads: int) -> None:
        """Builds the interpreter and its buffers."""
        refuse_weight_cache(self)
        resolver = self._resolver()
        try:
            interpreter = self.interpreter_class(model_path=self.model, num_threads=num_threads, **resolver)
            interpreter.allocate_tensors()
        except Exception as error:  # an extension module may raise anything
            raise Failure("model-unreadable", "%s cannot use %s: %s" % (self.name, self.model, error)) from error
        self.interpreter = interpreter
        self._inputs = interpreter.get_input_details()
        self._outputs = interpreter.get_output_details()
        self.inputs = [self._record(detail) for detail in self._inputs]
        self.outputs = [self._record(detail) for detail in self._outputs]
        self._find_delegate()
        self.run = interpreter.invoke

    def _resolver(self) -> Record:
        """What an interpreter without the default delegate is made with."""
        if self.kernels == "delegate":
            return {}
        try:
            kind = self.interpreter_module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        except AttributeError:
            text = "%s %s cannot leave its delegate out" % (self.name, self.version)
            raise Failure("kernels-unsupported", text) from None
        return {"experimental_op_resolver_type": kind}

    def rebuild(self, num_threads: int) -> None:
        """A fresh interpreter for the same model: without what stateful ops remember."""
        self.build(num_threads)

    def put(self, index: int, source: Source) -> None:
        """Fills an input from bytes or from a place in a file."""
        if not isinstance(source, bytes):
            with open(source[0], "rb") as stream:
                stream.seek(source[1])
                source = stream.read(self.inputs[index]["bytes"])
        detail = self._inputs[index]
        value = self.numpy.frombuffer(source, dtype=detail["dtype"]).reshape(detail["shape"])
        self.interpreter.set_tensor(detail["index"], value)

    def get(self, index: int) -> bytes:
        """The raw bytes of an output."""
        return bytes(self.interpreter.get_tensor(self._outputs[index]["index"]).tobytes())

    def _record(self, detail: Record) -> Record:
        dtype = self.numpy.dtype(detail["dtype"])
        for number_, (name, _width) in DTYPES.items():
            if name == dtype.name:
                return tensor_record(detail["name"], number_, [int(n) for n in detail["shape"]])
        raise Failure("model-unsupported", "the tensor %s has type %s: not supported" % (detail["name"], dtype))

    def _find_delegate(self) -> None:
        """Sees from the ops whether a delegate (XNNPACK is the only one here) took the model, and all of it."""
        try:
            delegates = [op for op in self.interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
        except Exception:  # noqa: BLE001 - a private method: where it is gone, the answer is "unknown"
            return
        self.delegate = "XNNPACK" if delegates else "none"
        self.fully_delegated = False
        if len(delegates) == 1:
            variable = {detail["index"] for detail in self._inputs}
            taken = {int(index) for index in delegates[0]["inputs"]}
            given = {int(index) for index in delegates[0]["outputs"]}
            wanted = {detail["index"] for detail in self._outputs}
            # whatever another op computed before or after it would show as a further input, or as a missing output
            self.fully_delegated = variable <= taken and wanted <= given | variable


def refuse_weight_cache(engine: PythonModule) -> None:
    """Raises Failure where a file for packed weights is asked of a Python module."""
    if engine.weight_cache:
        text = "%s has no option for a file with packed weights; LiteRT's library of 2.1.3 or later has"
        raise Failure("weight-cache-unsupported", text % engine.name)


def module_version(name: str) -> str:
    """The version of an installed module; empty where it cannot be found out."""
    version = getattr(sys.modules.get(name), "__version__", "")
    if not version:
        try:
            version = importlib.import_module("importlib.metadata").version(name.replace("_", "-"))
        except ImportError:  # Python 3.7, or a module without metadata
            version = ""
    return str(version)


# ------------------------------------------------------------------------------------------ runtime: ONNX Runtime


class OnnxRuntime(PythonModule):
    """ONNX Runtime with its CPU execution provider, through its Python API.

    Inputs and outputs are bound once and their memory is reused, so that a run copies nothing. What the call itself
    costs is part of every figure and cannot be told apart; :meth:`call_overhead` says how much it is.
    """

    def open(self) -> None:
        """Imports the module."""
        try:
            self.numpy = importlib.import_module("numpy")
            self.onnxruntime = importlib.import_module(self.name)
        except ImportError as error:
            code = "module-missing" if error.name in ("numpy", self.name) else "module-broken"
            raise Failure(code, "import %s: %s" % (self.name, error)) from error
        except Exception as error:  # an extension module may raise anything
            raise Failure("module-broken", "import %s: %r" % (self.name, error)) from error
        self.version = module_version(self.name)

    def prove(self) -> None:
        """Runs a model that does nothing."""
        try:
            self.call_overhead(1)
        except Failure:
            raise
        except Exception as error:  # an extension module may raise anything
            raise Failure("module-broken", "%s %s: %r" % (self.name, self.version, error)) from error

    def build(self, num_threads: int) -> None:
        """Builds the session and its buffers; these have the model's fixed sizes, and 1 for every other."""
        refuse_weight_cache(self)
        if self.kernels == "builtin":
            raise Failure("kernels-unsupported", "%s has one set of kernels for the CPU" % self.name)
        try:
            session = self._session(self.model, num_threads)
        except Exception as error:  # an extension module may raise anything
            raise Failure("model-unreadable", "%s cannot use %s: %s" % (self.name, self.model, error)) from error
        self.inputs = [self._tensor(value) for value in session.get_inputs()]
        self.outputs = [self._tensor(value) for value in session.get_outputs()]
        taken = session.get_providers()
        self.delegate = taken[0] if taken else "none"
        self.fully_delegated = len(taken) == 1
        self.session = session
        self.binding, self.values = self._bound(session, self.inputs, self.outputs)
        self.run = self._run
        self.arguments = (self.binding,)

    def put(self, index: int, source: Source) -> None:
        """Fills an input from bytes or from a place in a file."""
        tensor = self.inputs[index]
        if not isinstance(source, bytes):
            with open(source[0], "rb") as stream:
                stream.seek(source[1])
                source = stream.read(tensor["bytes"])
        array_ = self.numpy.frombuffer(source, dtype=tensor["dtype"]).reshape(tensor["shape"])
        self.values[index].update_inplace(array_)

    def get(self, index: int) -> bytes:
        """The raw bytes of an output; only now is the shape of one known that the model leaves open."""
        value = self.binding.get_outputs()[index].numpy()
        tensor = self.outputs[index]
        tensor.update(shape=[int(length) for length in value.shape], bytes=int(value.nbytes))
        return bytes(value.tobytes())

    def call_overhead(self, runs: int = 200) -> int:
        """Nanoseconds of a run of a model that does nothing: the call from Python and the session's own work."""
        session = self._session(bytes.fromhex(EMPTY_ONNX), 1)
        tensors = [[self._tensor(value) for value in side] for side in (session.get_inputs(), session.get_outputs())]
        binding, values = self._bound(session, *tensors)
        values[0].update_inplace(self.numpy.zeros(1, dtype="float32"))
        costs = []
        for _ in range(runs):
            start = time.perf_counter_ns()
            session.run_with_iobinding(binding)
            costs.append(time.perf_counter_ns() - start)
        return middle(costs)

    def _run(self, binding: Any) -> int:
        try:
            self.session.run_with_iobinding(binding)
        except Exception as error:  # the session's own exceptions have no class in common
            text = "%s cannot run the model with lengths of 1 where it leaves them open: %s"
            raise Failure("model-unsupported", text % (self.name, error)) from error
        return 0

    def _session(self, model: Union[str, bytes], num_threads: int) -> Any:
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return self.onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _bound(self, session: Any, inputs: List[Record], outputs: List[Record]) -> Tuple[Any, List[Any]]:
        """Where a session reads and writes, and the inputs' memory."""
        binding, values = session.io_binding(), []
        for tensor in inputs:
            make = self.onnxruntime.OrtValue.ortvalue_from_shape_and_type
            values.append(make(tensor["shape"], self.numpy.dtype(tensor["dtype"]).type, "cpu"))
            binding.bind_ortvalue_input(tensor["name"], values[-1])
        for tensor in outputs:
            binding.bind_output(tensor["name"], "cpu")
        return binding, values

    def _tensor(self, value: Any) -> Record:
        """One input or output as the session describes it: ``tensor(float)``, ``['batch', 3, 224, 224]``."""
        kind = value.type[7:-1] if value.type.startswith("tensor(") else value.type
        name = {"float": "float32", "double": "float64"}.get(kind, kind)
        for number_, (known, _width) in DTYPES.items():
            if name == known:
                lengths = [length if isinstance(length, int) and length >= 0 else 1 for length in value.shape]
                return tensor_record(value.name, number_, lengths)
        raise Failure("model-unsupported", "the tensor %s has type %s: not supported" % (value.name, value.type))


if TYPE_CHECKING:
    Engine = Union[LiteRtLibrary, PythonModule]

# ---------------------------------------------------------------------------------------------------- a cold start

_PROT_READ, _MAP_SHARED, _MAP_FAILED = 1, 1, ctypes.c_void_p(-1).value


def forget_pages(path: str) -> None:
    """Asks the kernel to drop the cached pages of a file; what was not written yet is written first."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        try:  # noqa: SIM105 - contextlib would show in the memory figures
            os.fsync(descriptor)
        except OSError:  # what is read-only has nothing to be written
            pass
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except (OSError, AttributeError):  # it is left in memory, which is seen afterwards
        pass
    finally:
        os.close(descriptor)


def cached_bytes(path: str) -> Optional[int]:
    """How much of a file lies in the page cache: mincore(2). The kernel says "all" of a file of somebody else's.

    None: it does not tell.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    page = os.sysconf("SC_PAGE_SIZE")
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            return 0
        address = libc.mmap(None, _size(size), _PROT_READ, _MAP_SHARED, descriptor, ctypes.c_long(0))
        if address in (None, _MAP_FAILED):
            return None
        pages = (ctypes.c_ubyte * ((size + page - 1) // page))()
        failed = libc.mincore(_pointer(address), _size(size), pages)
        libc.munmap(_pointer(address), _size(size))
        return None if failed else min(size, page * sum(flags & 1 for flags in pages))
    finally:
        os.close(descriptor)


def file_system(path: str) -> str:
    """The kind of file system that a file lies on; empty where that is hidden."""
    try:
        device = os.stat(path).st_dev
    except OSError:
        return ""
    wanted = "%d:%d" % (os.major(device), os.minor(device))
    descriptor = -1
    try:
        descriptor = os.open("/proc/self/mountinfo", os.O_RDONLY)
        text = b"".join(iter(lambda: os.read(descriptor, 65536), b"")).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    for line in text.splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split()[2:3] == [wanted]:
            return kind.split(" ")[0]
    return ""


def drop_pages(paths: Sequence[str]) -> Record:
    """Drops the cached pages of exactly these files, and looks whether they are gone: fields of ``protocol.Cold``.

    Only where a whole file stays and this is root are all clean pages of the system dropped, once; pages that another
    process has mapped would stay all the same.
    """
    sizes = {path: os.stat(path).st_size for path in paths if os.path.exists(path)}
    for path in sizes:
        forget_pages(path)
    left, untold = pages_left(sizes)
    in_memory = [path for path in left if file_system(path) in ("tmpfs", "ramfs")]
    whole = [path for path in left if path not in (*in_memory, *untold) and left[path] == sizes[path]]
    everything = False
    if whole and os.geteuid() == 0:
        os.sync()
        try:
            descriptor = os.open("/proc/sys/vm/drop_caches", os.O_WRONLY)
        except OSError:  # a container
            pass
        else:
            try:
                os.write(descriptor, b"1")
                everything = True
            except OSError:
                pass
            finally:
                os.close(descriptor)
        left, untold = pages_left(sizes)
    total, kept = sum(sizes.values()), sum(left.values())
    return {
        "dropped": "yes" if not kept else "no" if 10 * kept >= 9 * total else "partly",
        "reason": why_kept(left, in_memory, untold),
        "files": len(sizes),
        "bytes": total,
        "left_bytes": kept,
        "everything": everything,
    }


def pages_left(sizes: Dict[str, int]) -> Tuple[Dict[str, int], List[str]]:
    """What of files is in memory, all of it where the kernel does not tell; and of which files it does not."""
    found = {path: cached_bytes(path) for path in sizes}
    untold = [path for path, cached in found.items() if cached is None]
    left = {path: sizes[path] if cached is None else cached for path, cached in found.items() if cached != 0}
    return left, untold


def why_kept(left: Dict[str, int], in_memory: Sequence[str], untold: Sequence[str]) -> str:
    """Why pages of files are still in memory; empty where none are."""
    if not left:
        return ""
    path = max(left, key=lambda name: left[name])
    name = os.path.basename(path)
    if path in in_memory:
        return "%s lies on a file system in memory (%s), which keeps its pages" % (name, file_system(path))
    if path in untold:
        return "the kernel does not tell whether the pages of %s are gone" % name
    if os.geteuid() not in (0, os.stat(path).st_uid) and not os.access(path, os.W_OK):
        return "%s belongs to somebody else: the kernel does not tell whether its pages are gone" % name
    return "the kernel keeps pages of %s: another process may use it" % name


class ColdStart:
    """What a start from storage took besides time."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.record = drop_pages(paths)
        self.faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        self.read = counters("/proc/self/io").get("read_bytes")

    def end(self) -> Record:
        """The first run has ended: the fields of ``protocol.Cold``."""
        read = counters("/proc/self/io").get("read_bytes")
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt - self.faults
        came = None if read is None or self.read is None else read - self.read
        return dict(self.record, major_faults=faults, read_bytes=came)


# ---------------------------------------------------------------------------------------------------------- a trial


class Samples:
    """The input samples: in memory for timing, straight from their files when memory is what is measured."""

    def __init__(self, engine: Engine, paths: Sequence[Sequence[str]], in_memory: bool) -> None:
        self.engine = engine
        self.sources: List[List[Source]] = []
        self.index = 0
        total = 0
        for number_, files in enumerate(paths):
            if len(files) != len(engine.inputs):
                text = "sample %d has %d files for a model with %d inputs"
                raise Failure("samples", text % (number_, len(files), len(engine.inputs)))
            total += sum(tensor["bytes"] for tensor in engine.inputs)
            if self.sources and total > PRELOAD_BYTES:
                break
            self.sources.append([self._source(*pair, in_memory=in_memory) for pair in zip(files, engine.inputs)])
        if not self.sources:
            raise Failure("samples", "no input samples")

    def put(self, index: int) -> None:
        """Gives sample ``index`` to the model."""
        for position, source in enumerate(self.sources[index]):
            self.engine.put(position, source)

    def put_next(self) -> None:
        """Gives the next sample in turn."""
        self.put(self.index)
        self.index = (self.index + 1) % len(self.sources)

    @staticmethod
    def _source(place: str, tensor: Record, in_memory: bool) -> Source:
        """One tensor: a file of its own, or ``PATH@OFFSET`` in a file of many."""
        path, _, offset = place.rpartition("@")
        if not (path and offset.isdigit()):
            path, offset = place, ""
        start = int(offset or 0)
        try:
            size = os.stat(path).st_size - start
            if size != tensor["bytes"] if offset == "" else size < tensor["bytes"]:
                text = "%s has %d bytes; the input %s (%s %s) needs %d"
                raise Failure(
                    "samples", text % (place, size, tensor["name"], tensor["dtype"], tensor["shape"], tensor["bytes"])
                )
            if not in_memory:
                return path, start
            with open(path, "rb") as stream:
                stream.seek(start)
                return stream.read(tensor["bytes"])
        except OSError as error:
            raise Failure("samples", "cannot read %s: %s" % (path, error.strerror)) from error


def calibrate() -> int:
    """Nanoseconds of a fixed piece of work that needs no memory: a core that is throttled or shared takes longer."""
    best = 0
    for _ in range(5):
        start = time.perf_counter_ns()
        value = 1
        for _ in range(10000):
            value = (value * 69069 + 1) & 0xFFFFFFFF
        spent = time.perf_counter_ns() - start
        best = min(best, spent) if best else spent
    return best


class Paces:
    """The pace over the measured runs: what a small fixed piece of work took, and how many entries there were then.

    A neighbour on the other half of a core slows it down more than most models, and says so when nothing else does.
    """

    def __init__(self) -> None:
        self.spent = array.array("q")
        self.at = array.array("q")
        self.next = 0

    def add(self, entries: int) -> None:
        """Does the work, quickest of three, after so many entries."""
        now, best = time.perf_counter_ns, 0
        for _ in range(3):
            start = now()
            value = 1
            for _ in range(1000):
                value = (value * 69069 + 1) & 0xFFFFFFFF
            spent = now() - start
            best = min(best, spent) if best else spent
        self.spent.append(best)
        self.at.append(entries)
        self.next = now() + PACE_NS


def timed(engine: Engine) -> int:
    """Nanoseconds of one run."""
    start = time.perf_counter_ns()
    status = engine.run(*engine.arguments)
    spent = time.perf_counter_ns() - start
    if status:
        check(status, "the model failed to run")
    return spent


def middle(values: Sequence[int]) -> int:
    """The median of a few values (the upper one of two)."""
    return sorted(values)[len(values) // 2]


def warm_up(engine: Engine, samples: Samples, job: Record) -> Tuple[List[int], int, bool]:
    """Runs until the least number, the least time and a steady pace are reached.

    Returns:
        The series in ns (the first ``WARMUP_KEPT``), the typical run in ns, and whether the pace became steady:
        the last five runs are at most 5 % quicker than the five before them.
    """
    series = array.array("q", bytes(8 * WARMUP_KEPT))
    recent = array.array("q", bytes(8 * 10))
    least_ns = int(job["warmup_s"] * 1e9)
    most_ns = max(least_ns, int(job["warmup_max_s"] * 1e9))
    begin = time.perf_counter_ns()
    count = 0
    while True:
        samples.put_next()
        spent = timed(engine)
        recent[count % 10] = spent
        if count < WARMUP_KEPT:
            series[count] = spent
        count += 1
        elapsed = time.perf_counter_ns() - begin
        if count < job["warmup_runs"] or elapsed < least_ns:
            continue
        ordered = [recent[(count + offset) % 10] for offset in range(10)] if count >= 10 else None
        steady = ordered is None or middle(ordered[5:]) >= 0.95 * middle(ordered[:5])
        if steady or elapsed >= most_ns:
            break
    return series[: min(count, WARMUP_KEPT)].tolist(), middle(recent[: min(count, 10)]), steady


def call_cost(engine: Engine, batch: int) -> int:
    """Nanoseconds that a call from Python costs: an empty C function with the same arguments, in the same loop."""
    nothing, arguments, now = engine.nothing, engine.arguments, time.perf_counter_ns
    if nothing is None:  # a Python module's own call cannot be told apart
        return 0
    calls = range(batch)
    costs = []
    for _ in range(25):
        start = now()
        if batch == 1:
            nothing(*arguments)
        else:
            for _ in calls:
                nothing(*arguments)
        costs.append((now() - start) // batch)
    return middle(costs)


def cpu_clock(threads: int) -> Callable[[], int]:
    """Nanoseconds of CPU time: of this thread where it alone runs the model, else of the process."""
    return time.thread_time_ns if threads == 1 else time.process_time_ns


def cpu_cost(engine: Engine, batch: int, spent: Callable[[], int]) -> int:
    """What an entry's CPU time holds besides the model: reading both clocks, and the calls from Python."""
    nothing, arguments, now = engine.nothing or int, engine.arguments, time.perf_counter_ns
    costs = []
    for _ in range(25):
        before = spent()
        now()
        for _ in range(batch if engine.nothing else 0):
            nothing(*arguments)
        now()
        costs.append(spent() - before)
    return middle(costs)


def clock_step(spent: Callable[[], int]) -> int:
    """Nanoseconds by which a CPU clock goes forward at a time; old kernels count in ticks of the scheduler."""
    steps = []
    for _ in range(3):
        before = after = spent()
        while after == before:
            after = spent()
        steps.append(after - before)
    return min(steps)


def busy_ns() -> Optional[int]:
    """Nanoseconds for which the cores that this process may run on have been busy; None where that is hidden."""
    cores = {"cpu%d" % core for core in os.sched_getaffinity(0)}
    total = None
    for line in (read_text("/proc/stat") or "").splitlines():
        words = line.split()
        if words and words[0] in cores:  # all but idle and iowait; guest time is in user time already
            total = (total or 0) + sum(int(word) for word in words[1:4] + words[6:9])
    return None if total is None else total * 1000000000 // os.sysconf("SC_CLK_TCK")


def measure(engine: Engine, samples: Samples, job: Record, typical_ns: int, sampler: Sampler) -> Record:
    """The measured loop. Inputs change before every entry, outside the timed region.

    What the call from Python costs is measured and subtracted, so that an entry is what a native program would see.
    CPU time is read outside the timed region, so that the system call does not lengthen the entry.

    Returns:
        The fields of the trial that come from the loop.
    """
    run, arguments, now = engine.run, engine.arguments, time.perf_counter_ns
    batch = 1 if typical_ns >= QUICK_NS else min(1000, max(2, BATCH_NS // max(1, typical_ns)))
    calls = range(batch)
    least_ns, most_ns, least_runs = int(job["min_s"] * 1e9), int(job["max_s"] * 1e9), job["min_runs"]
    entries = array.array("q", bytes(8 * (least_runs + 2 * least_ns // max(1, typical_ns * batch) + 1024)))
    room = array.array("q", bytes(8 * 1024))
    cpu_entries = array.array("q", bytes(8 * len(entries)))
    spent = cpu_clock(job["num_threads"])
    cost, reading_cost, step_ns = call_cost(engine, batch), cpu_cost(engine, batch, spent), clock_step(spent)
    count = status = 0
    paces = Paces()
    sampler.begin()
    paces.add(0)
    pressure, busy = pressure_us(), busy_ns()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = time.process_time_ns()
    begin = now()
    next_glance = begin if sampler.between_runs else sys.maxsize
    while True:
        samples.put_next()
        cpu_start = spent()
        if batch == 1:
            start = now()
            status = run(*arguments)
            stop = now()
        else:
            start = now()
            for _ in calls:
                status = run(*arguments)
            stop = now()
        cpu_entries[count] = max(0, spent() - cpu_start - reading_cost) // batch
        entries[count] = max(1, (stop - start) // batch - cost)
        count += 1
        if status:
            check(status, "the model failed to run")
        if (count >= least_runs and stop - begin >= least_ns) or stop - begin >= most_ns:
            break
        if count == len(entries):
            entries.extend(room)
            cpu_entries.extend(room)
        if stop >= paces.next:
            paces.add(count)
        if stop >= next_glance:
            sampler.glances.look()
            next_glance = now() + GLANCE_NS
    wall = now() - begin
    cpu = time.process_time_ns() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF)
    waited, worked = pressure_us(), busy_ns()
    paces.add(count)
    coarse = step_ns > 0.05 * middle(entries[:count]) * batch
    missing = "this kernel counts CPU time in steps of %d us, which is too coarse" % (step_ns // 1000)
    return {
        "latency_ns": entries[:count].tolist(),
        "cpu_latency_ns": None if coarse else cpu_entries[:count].tolist(),
        "cpu_latency_missing": missing if coarse else "",
        "busy_ns": None if busy is None or worked is None else worked - busy,
        "pace_ns": paces.spent.tolist(),
        "pace_at": paces.at.tolist(),
        "during": sampler.end(),
        "batch": batch,
        "call_ns": cost,
        "cpu_ns": cpu,
        "wall_ns": wall,
        "involuntary_switches": after.ru_nivcsw - usage.ru_nivcsw,
        "voluntary_switches": after.ru_nvcsw - usage.ru_nvcsw,
        "major_faults": after.ru_majflt - usage.ru_majflt,
        "pressure_us": None if pressure is None or waited is None else waited - pressure,
    }


def repeat(engine: Engine, samples: Samples, job: Record) -> int:
    """The same runs without a clock around each, for the memory figures."""
    begin = time.perf_counter()
    count = 0
    while True:
        samples.put_next()
        timed(engine)
        count += 1
        elapsed = time.perf_counter() - begin
        if (count >= job["min_runs"] and elapsed >= job["min_s"]) or elapsed >= job["max_s"]:
            return count


def all_finite(raw: bytes, dtype: str) -> bool:
    """Whether a raw output holds neither NaN nor infinity."""
    if dtype == "float16":
        return all(bits & 0x7C00 != 0x7C00 for bits in array.array("H", raw))
    if dtype in ("float32", "float64"):
        return all(map(math.isfinite, array.array("f" if dtype == "float32" else "d", raw)))
    return True


def read_outputs(engine: Engine, samples: Samples, index: int) -> Tuple[List[bytes], bool]:
    """Runs sample ``index`` once: its raw outputs and whether they are finite."""
    samples.put(index)
    timed(engine)
    raw = [engine.get(position) for position in range(len(engine.outputs))]
    return raw, all(all_finite(data, tensor["dtype"]) for data, tensor in zip(raw, engine.outputs))


def engine_of(request: Record) -> Engine:
    """The runtime that a request names."""
    engine: Engine
    if request.get("library"):
        engine = LiteRtLibrary(request["library"], request.get("library_version") or "")
    elif request.get("module"):
        if request.get("module_path"):
            sys.path.insert(0, request["module_path"])
        engine = OnnxRuntime("onnxruntime") if request["module"] == "onnxruntime" else PythonModule(request["module"])
    else:
        raise Failure("request", "the request names neither a library nor a module")
    engine.kernels = request.get("kernels") or "delegate"
    if engine.kernels not in ("delegate", "builtin"):
        raise Failure("request", "there are no kernels called %s" % engine.kernels)
    engine.weight_cache = request.get("weight_cache") or ""
    return engine


def runtime_of(engine: Engine) -> Record:
    """The fields of ``protocol.RuntimeUsed``."""
    cache = engine.weight_cache
    return {
        "name": engine.name,
        "version": engine.version,
        "delegate": engine.delegate,
        "fully_delegated": engine.fully_delegated,
        "kernels": engine.kernels,
        "weight_cache": bool(cache) and os.path.exists(cache) and os.stat(cache).st_size > 0,
    }


def set_cpus(cpus: Sequence[int]) -> None:
    """Keeps this process (and the threads that it will start) on the given cores."""
    if not cpus:
        return
    try:
        os.sched_setaffinity(0, cpus)
    except (OSError, ValueError, OverflowError) as error:
        raise Failure("cpus", "cannot run on the cores %s: %s" % (list(cpus), error)) from error


def step(memory: Memory, phase: str, action: Callable[..., object], *arguments: Any) -> int:
    """Runs one phase; returns its nanoseconds."""
    start = time.perf_counter_ns()
    action(*arguments)
    spent = time.perf_counter_ns() - start
    memory.end_phase(phase)
    return spent


def trial(job: Record, sampler: Optional[Sampler] = None) -> Record:
    """One trial: the fields of ``protocol.Trial``. The sampler is for mode ``latency``."""
    mode = job["mode"]
    set_cpus(job["cpus"])
    if mode == "memory":
        # How large the pieces are that the kernel maps of a file depends on how it came into the page cache: up to a
        # third of what is resident of a library. Here both come in always the same way.
        forget_pages(job["model"])
        forget_pages(job.get("library") or "")
    digest = sha256_file(job["model"])
    if digest != job["model_sha256"]:
        raise Failure("model-sha256", "%s hashes to %s, not to %s" % (job["model"], digest, job["model_sha256"]))
    calibration = [calibrate()] if mode == "latency" else []
    before = conditions()
    engine, memory = engine_of(job), Memory()
    gc.collect()
    gc.disable()
    give_back()
    if mode == "memory":
        forget_system_libraries()
        Memory().end_phase("rehearsal")  # what following the memory needs of them is there again
    cache = [engine.weight_cache] if engine.weight_cache else []
    # as the last thing before the start, so that nothing of ours brings pages back
    cold = ColdStart([job["model"], *engine.files(), *cache]) if mode == "cold" else None
    memory.reset_peak()
    memory.end_phase("start")
    result = {
        "mode": mode,
        "pid": os.getpid(),
        "library_ns": step(memory, "library", engine.open),
        "load_ns": step(memory, "model", engine.load, job["model"]),
        "init_ns": step(memory, "init", engine.build, job["num_threads"]),
    }
    samples = Samples(engine, job["samples"], in_memory=mode == "latency")
    samples.put_next()
    memory.reset_peak()
    result["first_ns"] = step(memory, "first", timed, engine)
    if cold is not None:
        result["cold"] = cold.end()
    finite = True
    if sampler is not None:
        series, typical_ns, steady = warm_up(engine, samples, job)
        result.update(measure(engine, samples, job, typical_ns, sampler))
        result.update(warmup_ns=series, steady=steady)
        calibration.append(calibrate())
        if isinstance(engine, OnnxRuntime):
            result["extra"] = {"call_overhead_ns": engine.call_overhead()}
    elif mode == "memory":
        result["memory_runs"] = repeat(engine, samples, job)
    elif mode != "cold":
        outputs = []
        for index in range(len(samples.sources)):
            if job.get("rebuild", True):  # fused LSTM ops keep their state from one run to the next
                engine.rebuild(job["num_threads"])
            raw, sound = read_outputs(engine, samples, index)
            finite = finite and sound
            outputs.append([binascii.b2a_base64(data, newline=False).decode() for data in raw])
        result["outputs"] = outputs
    memory.end_phase("steady")
    if mode == "memory":
        result.update(proportional_memory())
    raw, sound = read_outputs(engine, samples, 0)
    hashed = new_sha256()
    for data in raw:
        hashed.update(data)
    result.update(
        samples_used=len(samples.sources),
        runtime=runtime_of(engine),
        num_threads=job["num_threads"],
        model_sha256=digest,
        inputs=engine.inputs,
        outputs_info=engine.outputs,
        calibration_ns=calibration,
        memory=memory.phases,
        peak_resets=memory.resets,
        output_sha256=hashed.hexdigest(),
        finite=finite and sound,
        before=before,
        after=conditions(),
        python=sys.version.split()[0],
        cpus=sorted(os.sched_getaffinity(0)),
    )
    return result


def profile(job: Record) -> Record:
    """Time per op by the runtime's own clock: the fields of ``protocol.Profile``."""
    set_cpus(job["cpus"])
    digest = sha256_file(job["model"])
    if digest != job["model_sha256"]:
        raise Failure("model-sha256", "%s hashes to %s, not to %s" % (job["model"], digest, job["model_sha256"]))
    before = conditions()
    engine = engine_of(job)
    if not isinstance(engine, LiteRtLibrary):
        raise Failure("profile-unsupported", "%s does not tell the time of single ops" % engine.name)
    engine.profiled = True
    engine.open()
    engine.load(job["model"])
    engine.build(job["num_threads"])
    samples = Samples(engine, job["samples"], in_memory=True)
    warm_up(engine, samples, job)
    engine.start_profile()
    runs = profiled_runs(engine, samples, job)
    # what an IF runs may differ from one sample to the next: only alike runs can be put in columns
    sequences = [tuple(event[:3] for event in run) for run in runs]
    counts: Dict[Tuple[Any, ...], int] = {}
    for sequence in sequences:
        counts[sequence] = counts.get(sequence, 0) + 1
    usual = max(counts, key=lambda sequence: counts[sequence])
    alike = [run for run, sequence in zip(runs, sequences) if sequence == usual]
    told = {"summary": engine.summarized_run(samples)} if job.get("summary") else {}  # only tests ask for it
    ops = [place for place, event in enumerate(usual) if event[0] != _WHOLE]
    whole = [place for place, event in enumerate(usual) if event[0] == _WHOLE]
    if not ops:
        raise Failure("profile-unsupported", "the runtime recorded no op of this model")
    return {
        **told,
        "ops": [
            {
                "tag": usual[place][1],
                "delegated": usual[place][0] == _DELEGATE_OP,
                "node": usual[place][2],
                "elapsed_us": [run[place][3] for run in alike],
            }
            for place in ops
        ],
        "whole_us": [sum(run[place][3] for place in whole) for run in alike],
        "other_runs": len(runs) - len(alike),
        "runtime": runtime_of(engine),
        "num_threads": job["num_threads"],
        "model_sha256": digest,
        "samples_used": len(samples.sources),
        "before": before,
        "after": conditions(),
        "python": sys.version.split()[0],
        "cpus": sorted(os.sched_getaffinity(0)),
    }


def profiled_runs(engine: LiteRtLibrary, samples: Samples, job: Record) -> List[List[Tuple[int, str, int, int]]]:
    """The events of each run. Read after every run: the runtime's buffer is finite."""
    begin = time.perf_counter()
    runs = []
    while True:
        samples.put_next()
        engine.take_events()  # of putting the sample
        timed(engine)
        runs.append(engine.take_events())
        elapsed = time.perf_counter() - begin
        if (len(runs) >= job["min_runs"] and elapsed >= job["min_s"]) or elapsed >= job["max_s"]:
            return runs


def probe(request: Record) -> Record:
    """Whether the runtime works here at all: the fields of ``protocol.Probe``."""
    engine = engine_of(request)
    engine.open()
    if isinstance(engine, PythonModule):
        engine.prove()
    return {"name": engine.name, "version": engine.version, "python": sys.version.split()[0]}


def describe(request: Record) -> Record:
    """Inputs and outputs of a model as this runtime sees them: the fields of ``protocol.Description``."""
    engine = engine_of(request)
    engine.open()
    engine.load(request["model"])
    engine.build(1)
    fields = ("name", "dtype", "shape")
    return {
        side: [{key: tensor[key] for key in fields} for tensor in tensors]
        for side, tensors in (("inputs", engine.inputs), ("outputs", engine.outputs))
    }


def main() -> NoReturn:
    """Reads the request, answers it, ends without running C++ destructors."""
    leave_inheritance()
    answer = take_standard_output()
    status = 0
    try:
        try:
            request = json.loads(sys.stdin.buffer.readline().decode())
            limit_time(request.get("time_limit_s"))
        except (ValueError, AttributeError) as error:
            raise Failure("request", "the request is not JSON: %s" % error) from error
        try:
            SENSORS.update({kind: dict(source) for kind, source in (request.get("sensors") or {}).items() if source})
        except (AttributeError, TypeError, ValueError) as error:
            raise Failure("request", "sensors in the request is not an object of sensors") from error
        mode = request.get("mode")
        sampler = Sampler(request) if mode == "latency" else None  # it is forked while there is one thread
        end_with_the_host(answer)
        answers = {"probe": probe, "describe": describe, "profile": profile}
        send(answer, answers[mode](request) if mode in answers else trial(request, sampler))
    except Failure as failure:
        status = FAILED
        send(answer, {"error": {"code": failure.code, "message": failure.message}})
    except MemoryError:
        status = FAILED
        send(answer, {"error": {"code": "out-of-memory", "message": "Python ran out of memory on the board"}})
    except Exception as error:  # noqa: BLE001 - the process boundary: whatever it was, the host must hear of it
        import traceback

        traceback.print_exc()
        status = FAILED
        send(answer, {"error": {"code": "unexpected", "message": "%s: %s" % (type(error).__name__, error)}})
    if sys.stderr is not None:
        sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
