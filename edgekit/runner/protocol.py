"""What the host asks of the payload, and what the payload answers: one record each way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.core.artifact import TensorSpec
from edgekit.runner.conditions import Conditions, During, SensorSources


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One fresh process on the board.

    Attributes:
        mode: ``latency`` times runs; ``memory`` follows memory by phase without timing claims; ``cold`` drops the
            cached pages of the files that are read, loads, builds and runs once; ``smoke`` runs each sample once and
            sends the outputs back; ``profile`` takes the time of each op and answers with a :class:`Profile`.
        model: path of the .tflite on the board.
        model_sha256: what the file must hash to there.
        library: path of ``libLiteRt*.so`` on the board; None: use ``module``.
        module: Python module of the board to use instead: ``ai_edge_litert``, ``tflite_runtime`` or ``onnxruntime``.
        module_path: our folder there that ``module`` is imported from first; None: where Python looks anyway.
        num_threads: of the interpreter.
        samples: per sample the raw tensors in the model's input order, each a file on the board: ``PATH``, or
            ``PATH@OFFSET`` where a file holds many.
        warmup_runs: least number of warm-up runs; ``warmup_s`` least time for them.
        warmup_max_s: where the pace is not steady by then, measuring begins all the same.
        min_runs: least number of measured runs; ``min_s`` least time, ``max_s`` most.
        cpus: cores to run on; empty: leave it to the scheduler.
        kernels: ``delegate`` lets XNNPACK take what it can, as every runtime does by default; ``builtin`` runs all ops
            in the runtime's own kernels, whose int8 results differ. LiteRT's library before 2.1.3 refuses ``builtin``.
        rebuild: smoke mode: a fresh interpreter for every sample, as models that remember need it; it takes the time
            of many runs.
        library_version: what ``library`` is; the file itself does not tell.
        time_limit_s: the process ends itself after this long; 0: it does not.
        weight_cache: file on the board that XNNPACK keeps its packed weights in, made by the first process that names
            it; empty: none. LiteRT's library from 2.1.3 on; everything else refuses it.
        sensors: the board's own, which its profile names.
        sampler: latency mode: follow the sensors during the measured loop from a process on another core. Off only to
            show that it does not disturb.
    """

    mode: Literal["latency", "memory", "cold", "smoke", "profile"]
    model: str
    model_sha256: str
    library: str | None
    module: str | None
    num_threads: int
    samples: tuple[tuple[str, ...], ...]
    warmup_runs: int = 1
    warmup_s: float = 0.5
    warmup_max_s: float = 10.0
    min_runs: int = 64
    min_s: float = 2.0
    max_s: float = 150.0
    cpus: tuple[int, ...] = ()
    kernels: Literal["delegate", "builtin"] = "delegate"
    rebuild: bool = True
    library_version: str = ""
    time_limit_s: float = 0.0
    module_path: str | None = None
    weight_cache: str = ""
    sensors: SensorSources = field(default_factory=SensorSources)
    sampler: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The payload's answer to ``{"mode": "probe", "library" or "module": …}``: the runtime works on the board.

    Attributes:
        name: as in :class:`RuntimeUsed`.
        version: of the module; empty for a library, which does not tell.
        python: version of the board's Python.
    """

    name: str
    version: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The payload's answer to ``{"mode": "describe", …}``: inputs and outputs in the model's order, batch 1."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeUsed:
    """The runtime as it reported itself on the board.

    Attributes:
        name: ``LiteRT C API``, ``ai_edge_litert``, ``tflite_runtime`` or ``onnxruntime``.
        version: of the library or module.
        delegate: ``XNNPACK``, ``CPUExecutionProvider`` (ONNX Runtime's own kernels), ``none`` or ``unknown``. One that
            took not a single op is not named.
        fully_delegated: every op ran in the delegate; None where the runtime cannot tell.
        kernels: which ones were asked for: :attr:`Job.kernels`.
        weight_cache: XNNPACK read its packed weights from a file.
        ops, delegated_ops: how many the model has, and how many of them the delegate took; None: nobody counted.
    """

    name: str
    version: str
    delegate: str
    fully_delegated: bool | None
    kernels: Literal["delegate", "builtin"] = "delegate"
    weight_cache: bool = False
    ops: int | None = None
    delegated_ops: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPhase:
    """Memory of the process at the end of one phase, from ``/proc/self/status``; bytes; None where unreadable.

    Phases: ``start``, ``library``, ``model``, ``init``, ``first``, ``steady``. The peak is that of the phase alone
    where the kernel lets it be reset (:attr:`Trial.peak_resets`).
    """

    phase: str
    rss_bytes: int | None
    peak_rss_bytes: int | None
    anon_bytes: int | None
    file_bytes: int | None
    swap_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """How cold a start was: what became of the cached pages of the files that it reads.

    Attributes:
        dropped: ``yes``: none of their pages was left in memory, and the kernel said so; ``partly``: some were (another
            process has them mapped); ``no``: the kernel kept them or does not tell, and ``reason`` says why.
        files, bytes: that count: model, library or module, weight cache.
        left_bytes: of them still in memory just before the start.
        everything: the whole page cache had to be dropped for it, not only these files.
        major_faults: pages that had to come from storage during library, load, init and first run.
        read_bytes: what storage delivered to this process meanwhile; None: the kernel does not tell.
    """

    dropped: Literal["yes", "partly", "no"]
    reason: str
    files: int
    bytes: int
    left_bytes: int
    everything: bool
    major_faults: int | None
    read_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one fresh process measured. Raw samples, nothing derived.

    Attributes:
        latency_ns: one entry per measured iteration (the mean of ``batch`` calls where ``batch`` > 1).
        batch: calls per entry; more than 1 only for models too quick for the clock.
        call_ns: what a call from Python costs, measured with an empty C function; subtracted from every entry.
        warmup_ns: the warm-up series (capped).
        library_ns, load_ns, init_ns, first_ns: open the library, load the model, build the interpreter, first run.
        cpu_ns, wall_ns: process CPU time and wall time of the measured loop.
        calibration_ns: a fixed piece of CPU work before and after the loop; it shows throttling without sensors.
        pace_ns, pace_at: the same piece of work, smaller, every 50 ms or after every iteration that takes longer, and
            how many entries of ``latency_ns`` there were then; the first before, the last after all of them. Empty
            where the runner does not do it.
        cpu_latency_ns: CPU time of each entry of ``latency_ns``, of the thread that runs the model where there is one,
            of the whole process else; read before and after the timed region, with the cost of reading subtracted. A
            busy board does not lengthen it, a slow clock does. None: ``cpu_latency_missing`` says why.
        busy_ns: time for which the cores that the process may run on were busy during the loop, with whatever (the
            kernel counts in steps of about 10 ms); beyond ``cpu_ns`` it was other programs, or a hypervisor's guests.
        involuntary_switches: context switches that the scheduler forced during the measured loop.
        voluntary_switches: those where the process waited for something.
        pressure_us: CPU pressure (PSI) that the board gathered during the loop; None where it has none.
        samples_used: input samples that took turns; fewer than the job named where they are too large for memory.
        steady: the pace was steady when the measured loop began.
        during: the sensors over the measured loop; latency mode only.
        major_faults: pages read from disk during the measured loop.
        memory: by phase; only in memory mode all phases are trustworthy.
        memory_runs: runs between the phases ``first`` and ``steady`` in memory mode.
        peak_resets: the kernel let the peak be reset between the phases; else a peak is that since the start.
        pss_bytes, uss_bytes: proportional and unique set size at the end, memory mode only.
        outputs: smoke mode: per sample, per output, base64 of the raw tensor.
        output_sha256: hash of the last run's outputs: the same in every process of a deterministic model.
        finite: no NaN or infinity in the float outputs.
        cold: cold mode: what became of the cached pages before the start.
    """

    mode: str
    pid: int
    runtime: RuntimeUsed
    num_threads: int
    model_sha256: str
    inputs: tuple[dict[str, Any], ...]
    outputs_info: tuple[dict[str, Any], ...]
    latency_ns: tuple[int, ...] = ()
    batch: int = 1
    call_ns: int = 0
    warmup_ns: tuple[int, ...] = ()
    library_ns: int | None = None
    load_ns: int | None = None
    init_ns: int | None = None
    first_ns: int | None = None
    cpu_ns: int | None = None
    wall_ns: int | None = None
    cpu_latency_ns: tuple[int, ...] | None = None
    cpu_latency_missing: str = ""
    busy_ns: int | None = None
    calibration_ns: tuple[int, ...] = ()
    pace_ns: tuple[int, ...] = ()
    pace_at: tuple[int, ...] = ()
    involuntary_switches: int | None = None
    voluntary_switches: int | None = None
    pressure_us: int | None = None
    samples_used: int = 0
    steady: bool = True
    during: During | None = None
    major_faults: int | None = None
    memory: tuple[MemoryPhase, ...] = ()
    memory_runs: int | None = None
    peak_resets: bool = True
    pss_bytes: int | None = None
    uss_bytes: int | None = None
    outputs: tuple[tuple[str, ...], ...] = ()
    output_sha256: str | None = None
    finite: bool = True
    cold: Cold | None = None
    before: Conditions
    after: Conditions
    python: str = ""
    cpus: tuple[int, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledOp:
    """One op as the runtime recorded it.

    Attributes:
        tag: the runtime's name for it: ``SOFTMAX`` for its own kernels, ``Convolution (NHWC, F32) IGEMM`` for
            those of the delegate.
        delegated: the delegate ran it.
        node: position in the model for the runtime's own ops; within the delegate's part for the others.
        elapsed_us: one entry per run, whole microseconds.
    """

    tag: str
    delegated: bool
    node: int
    elapsed_us: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The payload's answer to a job of mode ``profile``: time per op, raw.

    Attributes:
        ops: in the order in which they ran.
        whole_us: each run as a whole; it holds what lies between the ops too.
        other_runs: runs that went another way through the model and were left out.
    """

    ops: tuple[ProfiledOp, ...]
    whole_us: tuple[int, ...]
    other_runs: int
    runtime: RuntimeUsed
    num_threads: int
    model_sha256: str
    samples_used: int
    before: Conditions
    after: Conditions
    python: str
    cpus: tuple[int, ...]
