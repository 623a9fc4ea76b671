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
GLANCE_NS = 1_000_000_000  # sensors are looked at this often during the measured loop

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


SILENT_PROGRAMS: List[str] = []  # programs that did not answer in time: they are not asked again


class Failure(Exception):
    """Something that the host turns into an error of its own: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        Exception.__init__(self, message)
        self.code = code
        self.message = message


# ------------------------------------------------------------------------------------------------------ the process


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


def end_with_the_host(answer: int) -> None:
    """Ends this process when the host goes away: its end of our output closes, or our parent dies."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
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
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(descriptor, 16384).decode("utf-8", "replace").strip()
    except OSError:  # a sensor without a reading
        return None
    finally:
        os.close(descriptor)


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


def temperature() -> Optional[float]:
    """Degrees Celsius of the hottest thermal zone; None where there is none."""
    zones = "/sys/class/thermal"
    names = [name for name in list_folder(zones) if name.startswith("thermal_zone")]
    readings = [read_number("%s/%s/temp" % (zones, name)) for name in names]
    known = [reading for reading in readings if reading is not None]
    return max(known) / 1000.0 if known else None


def frequencies() -> List[int]:
    """Hz of each core that has cpufreq, in the order of the cores."""
    folder = "/sys/devices/system/cpu"
    cores = sorted(int(name[3:]) for name in list_folder(folder) if name.startswith("cpu") and name[3:].isdigit())
    readings = [read_number("%s/cpu%d/cpufreq/scaling_cur_freq" % (folder, core)) for core in cores]
    return [reading * 1000 for reading in readings if reading is not None]


def throttle_bits_of_kernel() -> Optional[int]:
    """The Raspberry Pi's throttle bits as its kernel driver shows them; None elsewhere."""
    return read_number("/sys/devices/platform/soc/soc:firmware/get_throttled", 16)


def vcgencmd(*words: str) -> Optional[str]:
    """What the Raspberry Pi's firmware answers, after the ``=``; None where there is no such program."""
    if SILENT_PROGRAMS:
        return None
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/bin", "/opt/vc/bin"):
        program = os.path.join(folder, "vcgencmd")
        if folder and os.access(program, os.X_OK):
            break
    else:
        return None
    reading, writing = os.pipe()
    try:
        pid = spawn((program, *words), writing)
    except OSError:
        os.close(reading)
        os.close(writing)
        return None
    os.close(writing)
    text = b""
    if select.select([reading], [], [], 2.0)[0]:
        text = os.read(reading, 1024)
    else:
        os.kill(pid, signal.SIGKILL)
        SILENT_PROGRAMS.append(program)
    os.close(reading)
    status = os.waitpid(pid, 0)[1]
    return text.decode("ascii", "replace").strip().partition("=")[2] if status == 0 else None


def spawn(argv: Tuple[str, ...], output: int) -> int:
    """Starts a program without the module subprocess, which would show in the memory figures; returns its pid."""
    if hasattr(os, "posix_spawn"):
        return os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, output, 1)])
    pid = os.fork()  # Python 3.7
    if pid == 0:
        try:
            os.dup2(output, 1)
            os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted
        finally:
            os._exit(127)
    return pid


def number(text: Optional[str], base: int = 10) -> Optional[int]:
    """A whole number from a text or None."""
    try:
        return int(text or "", base)
    except ValueError:
        return None


def conditions() -> Record:
    """The state of the board: the fields of ``protocol.Conditions``."""
    bits = throttle_bits_of_kernel()
    available = None
    for line in (read_text("/proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = None
    return {
        "temperature_c": temperature(),
        "frequency_hz": frequencies(),
        "clock_hz": number(vcgencmd("measure_clock", "arm")),
        "governor": read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "throttle_bits": number(vcgencmd("get_throttled"), 16) if bits is None else bits,
        "load_1min": load,
        "memory_available_bytes": available,
        "boot_id": read_text("/proc/sys/kernel/random/boot_id"),
    }


class Glances:
    """What the sensors showed during the measured loop; one glance a second, between two timed runs."""

    def __init__(self) -> None:
        self.count = 0
        self.bits: Optional[int] = None
        self.hottest: Optional[float] = None
        self.slowest: Optional[int] = None
        self.fastest: Optional[int] = None

    def look(self) -> None:
        """Reads the sensors that are plain files."""
        self.count += 1
        bits = throttle_bits_of_kernel()
        if bits is not None:
            self.bits = bits | (self.bits or 0)
        heat = temperature()
        if heat is not None:
            self.hottest = heat if self.hottest is None else max(heat, self.hottest)
        for reading in frequencies():
            self.slowest = reading if self.slowest is None else min(reading, self.slowest)
            self.fastest = reading if self.fastest is None else max(reading, self.fastest)

    def record(self) -> Record:
        """The fields of ``protocol.During``."""
        return {
            "glances": self.count,
            "throttle_bits": self.bits,
            "hottest_c": self.hottest,
            "slowest_hz": self.slowest,
            "fastest_hz": self.fastest,
        }


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
            buffers[index] = self._new(
                "LiteRtCreateManagedTensorBuffer",
                (_pointer, ctypes.c_int, ctypes.POINTER(_TensorType), _size),
                (self.environment, _HOST_MEMORY, ctypes.byref(kind), needed),
            )
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


def module_version(name: str) -> str:
    """The version of an installed module; empty where it cannot be found out."""
    version = getattr(sys.modules.get(name), "__version__", "")
    if not version:
        try:
            version = importlib.import_module("importlib.metadata").version(name.replace("_", "-"))
        except ImportError:  # Python 3.7, or a module without metadata
            version = ""
    return str(version)


if TYPE_CHECKING:
    Engine = Union[LiteRtLibrary, PythonModule]

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


def measure(engine: Engine, samples: Samples, job: Record, typical_ns: int, glances: Glances) -> Record:
    """The measured loop. Inputs change before every entry, outside the timed region.

    What the call from Python costs is measured and subtracted, so that an entry is what a native program would see.

    Returns:
        The fields of the trial that come from the loop.
    """
    run, arguments, now = engine.run, engine.arguments, time.perf_counter_ns
    batch = 1 if typical_ns >= QUICK_NS else min(1000, max(2, BATCH_NS // max(1, typical_ns)))
    calls = range(batch)
    least_ns, most_ns, least_runs = int(job["min_s"] * 1e9), int(job["max_s"] * 1e9), job["min_runs"]
    entries = array.array("q", bytes(8 * (least_runs + 2 * least_ns // max(1, typical_ns * batch) + 1024)))
    room = array.array("q", bytes(8 * 1024))
    cost = call_cost(engine, batch)
    count = status = 0
    pressure = pressure_us()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = time.process_time_ns()
    begin = now()
    next_glance = begin + GLANCE_NS
    while True:
        samples.put_next()
        if batch == 1:
            start = now()
            status = run(*arguments)
            stop = now()
        else:
            start = now()
            for _ in calls:
                status = run(*arguments)
            stop = now()
        entries[count] = max(1, (stop - start) // batch - cost)
        count += 1
        if status:
            check(status, "the model failed to run")
        if (count >= least_runs and stop - begin >= least_ns) or stop - begin >= most_ns:
            break
        if count == len(entries):
            entries.extend(room)
        if stop >= next_glance:
            glances.look()
            next_glance = now() + GLANCE_NS
    wall = now() - begin
    cpu = time.process_time_ns() - cpu
    after = resource.getrusage(resource.RUSAGE_SELF)
    waited = pressure_us()
    return {
        "latency_ns": entries[:count].tolist(),
        "batch": batch,
        "call_ns": cost,
        "cpu_ns": cpu,
        "wall_ns": wall,
        "involuntary_switches": after.ru_nivcsw - usage.ru_nivcsw,
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
        engine = PythonModule(request["module"])
    else:
        raise Failure("request", "the request names neither a library nor a module")
    engine.kernels = request.get("kernels") or "delegate"
    if engine.kernels not in ("delegate", "builtin"):
        raise Failure("request", "there are no kernels called %s" % engine.kernels)
    return engine


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


def trial(job: Record) -> Record:
    """One trial: the fields of ``protocol.Trial``."""
    mode = job["mode"]
    set_cpus(job["cpus"])
    digest = sha256_file(job["model"])
    if digest != job["model_sha256"]:
        raise Failure("model-sha256", "%s hashes to %s, not to %s" % (job["model"], digest, job["model_sha256"]))
    calibration = [calibrate()] if mode == "latency" else []
    before = conditions()
    engine, memory, glances = engine_of(job), Memory(), Glances()
    gc.collect()
    gc.disable()
    give_back()
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
    finite = True
    if mode == "latency":
        series, typical_ns, steady = warm_up(engine, samples, job)
        result.update(measure(engine, samples, job, typical_ns, glances))
        result.update(warmup_ns=series, steady=steady, during=glances.record())
        calibration.append(calibrate())
    elif mode == "memory":
        result["memory_runs"] = repeat(engine, samples, job)
    else:
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
        runtime={
            "name": engine.name,
            "version": engine.version,
            "delegate": engine.delegate,
            "fully_delegated": engine.fully_delegated,
        },
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
    usual = max(sequences, key=sequences.count)
    alike = [run for run, sequence in zip(runs, sequences) if sequence == usual]
    ops = [place for place, event in enumerate(usual) if event[0] != _WHOLE]
    whole = [place for place, event in enumerate(usual) if event[0] == _WHOLE]
    if not ops:
        raise Failure("profile-unsupported", "the runtime recorded no op of this model")
    return {
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
        "runtime": {
            "name": engine.name,
            "version": engine.version,
            "delegate": engine.delegate,
            "fully_delegated": engine.fully_delegated,
        },
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
    answer = take_standard_output()
    status = 0
    try:
        try:
            request = json.loads(sys.stdin.buffer.readline().decode())
            limit_time(request.get("time_limit_s"))
        except (ValueError, AttributeError) as error:
            raise Failure("request", "the request is not JSON: %s" % error) from error
        end_with_the_host(answer)
        answers = {"probe": probe, "describe": describe, "profile": profile}
        send(answer, answers.get(request.get("mode"), trial)(request))
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
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
