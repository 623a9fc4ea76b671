"""What Google's ``benchmark_model`` says: its four text formats and its result file, as one record; pure functions.

Formats, by the lines that tell them apart (sources: TensorFlow, tensorflow/lite/tools/benchmark; LiteRT,
tools/benchmark_litert_model.h and ai-edge-litert's console script ``litert-benchmark``):
``Average inference timings in us:`` (until 2019), ``Inference timings in us:`` (TensorFlow Lite since), ``Model
initialization:`` with ``[benchmark_litert_model.h:N]`` (LiteRT 2.1), and the same words without it (litert-benchmark).
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NoReturn

from edgekit.core.errors import DeviceError, ModelError, RuntimeMissingError
from edgekit.runner.benchmark_result import read_result_file

_TAIL_BYTES = 4000
_MIB = 1 << 20

_NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
# logcat's header, the log level, and the place in the source; builds differ in which of them they print
_PREFIX = re.compile(r"^(?:.*?\bI (?:tflite|litert)\s*: )?(?:INFO: )?(?:\[[\w./]+:\d+\] ?)?")
_COUNT = re.compile(r"^count=(\d+) (.*)$")
_PAIR = re.compile(rf"\b(\w+)={_NUMBER}")
_2019 = re.compile(rf"^Average inference timings in us: Warmup: {_NUMBER}, Init: {_NUMBER}, [\w ]+: {_NUMBER}")
_CLASSIC = re.compile(
    rf"^Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}"
)
_FOOTPRINT = re.compile(
    rf"^(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): "
    rf"init={_NUMBER} overall={_NUMBER}"
)
_MONITORED = re.compile(rf"^Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}")
_LINE = re.compile(
    rf"^\s*(Model initialization|Warmup|Inference|Init footprint|Overall footprint|Peak memory)(?: \((\w+)\))?:\s+"
    rf"{_NUMBER}(?: (?:ms|MB))?(?: \((\d+) runs\))?\s*$"
)
_DELEGATE = re.compile(
    r"applied (.+?) delegate, and the model graph will be (completely|partially) executed by the delegate"
    r"(?: w/ (\d+) delegate kernels)?"
)

_ACCELERATED = re.compile(r"^Fully accelerated:\s+(True|False)\s*$", re.MULTILINE)

# what the labels of the newer formats are called here
_FIELDS = {
    ("Model initialization", None): "init_ns",
    ("Warmup", "first"): "first_ns",
    ("Warmup", "avg"): "warmup_avg_ns",
    ("Inference", "avg"): "avg_ns",
    ("Inference", "min"): "min_ns",
    ("Inference", "max"): "max_ns",
    ("Inference", "std"): "std_ns",
    ("Inference", "median"): "median_ns",
    ("Inference", "p5"): "p5_ns",
    ("Inference", "p95"): "p95_ns",
    ("Init footprint", None): "memory_init_bytes",
    ("Overall footprint", None): "memory_overall_bytes",
    ("Peak memory", None): "memory_peak_bytes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkModelReport:
    """One run of the tool. None: this build does not say.

    Attributes:
        avg_ns, min_ns, max_ns, std_ns, median_ns, p5_ns, p95_ns: of one inference, over ``runs``; builds differ in
            how many digits they keep.
        runs, warmup_runs: how many there were.
        init_ns: until the model could run; ``first_ns``: the first inference; ``warmup_avg_ns``: of all warm-up runs.
        memory_init_bytes, memory_overall_bytes: growth of ``ru_maxrss`` since the start of the tool. Approximate:
            ``ru_maxrss`` is a peak, survives ``exec``, and so shrinks the difference under a large parent.
        memory_peak_bytes: highest ``ru_maxrss`` seen. Approximate, for the same reason.
        delegate: as the tool names it (``XNNPACK``, ``GPU``, …).
        fully_delegated: the delegate runs the whole graph.
        delegate_kernels: parts of the graph that it runs.
        from_result_file: the numbers are those of the result file.
    """

    avg_ns: int
    min_ns: int | None = None
    max_ns: int | None = None
    std_ns: int | None = None
    median_ns: int | None = None
    p5_ns: int | None = None
    p95_ns: int | None = None
    runs: int | None = None
    warmup_runs: int | None = None
    init_ns: int | None = None
    first_ns: int | None = None
    warmup_avg_ns: int | None = None
    memory_init_bytes: int | None = None
    memory_overall_bytes: int | None = None
    memory_peak_bytes: int | None = None
    delegate: str | None = None
    fully_delegated: bool | None = None
    delegate_kernels: int | None = None
    from_result_file: bool = False


def read_report(
    stdout: str, stderr: str, exit_status: int, *, board: str, result: bytes | None = None
) -> BenchmarkModelReport:
    """What a run of the tool measured.

    Args:
        stdout, stderr: everything that it printed; on Android its log lines.
        exit_status: as a POSIX shell gives it.
        board: the board's name, for messages.
        result: the file of ``--result_file_path`` (binary) or ``--result_json``, where there is one; its numbers win.

    Raises:
        RuntimeMissingError: the tool does not start on this board, or not with this processor.
        ModelError: it cannot load the model.
        DeviceError: it failed, was killed, fell back to the CPU where that was disallowed, or printed no timings.
    """
    text = f"{stdout}\n{stderr}"
    if exit_status != 0 or "Benchmarking failed" in text:
        _failed(text, exit_status, board)
    lines = [_PREFIX.sub("", line.rstrip("\r")) for line in text.splitlines()]
    try:
        found = _timings(lines)
    except (ValueError, OverflowError) as error:
        raise DeviceError(f"{board}: benchmark_model's answer is implausible: {error}") from error
    if result:
        found = {**found, **_of_file(result, board)}
    if "avg_ns" not in found:
        raise DeviceError(
            f"{board}: benchmark_model printed no timings",
            hint="is it Google's benchmark_model? its own words are in the details (--json)",
            details={"stderr": text[-_TAIL_BYTES:]},
        )
    report = BenchmarkModelReport(**{**found, **_delegation(text)})
    wrong = [field.name for field in fields(report) if _is_negative(getattr(report, field.name))]
    if wrong or report.runs == 0:
        raise DeviceError(f"{board}: benchmark_model's answer is implausible: {', '.join(wrong) or 'no runs'}")
    if report.first_ns is None and report.warmup_runs == 1:
        return replace(report, first_ns=report.warmup_avg_ns)
    return report


def _timings(lines: list[str]) -> dict[str, Any]:
    """The numbers of whichever text format it is."""
    found: dict[str, Any] = {}
    series: list[dict[str, Any]] = []
    for line in lines:
        if count := _COUNT.match(line):
            series.append(_series(int(count[1]), count[2]))
        elif old := _2019.match(line):
            found.update(zip(("warmup_avg_ns", "init_ns", "avg_ns"), map(_us, old.groups())))
        elif classic := _CLASSIC.match(line):
            found.update(zip(("init_ns", "first_ns", "warmup_avg_ns", "avg_ns"), map(_us, classic.groups())))
        elif footprint := _FOOTPRINT.match(line):
            found.update(zip(("memory_init_bytes", "memory_overall_bytes"), map(_mb, footprint.groups())))
        elif monitored := _MONITORED.match(line):
            found["memory_peak_bytes"] = _mb(monitored[1])
        elif (item := _LINE.match(line)) and (item[1], item[2]) in _FIELDS:
            name = _FIELDS[item[1], item[2]]
            found[name] = _mb(item[3]) if name.endswith("_bytes") else _ms(item[3])
            if item[4]:
                found["warmup_runs" if item[1] == "Warmup" else "runs"] = int(item[4])
    if len(series) >= 2:
        found.setdefault("warmup_runs", series[-2]["runs"])
    # the last series is that of the measured runs; the summary's own numbers win over it
    return {**(series[-1] if series else {}), **found}


def _series(runs: int, text: str) -> dict[str, Any]:
    """``first=… curr=… min=… max=… avg=… std=…``; equal runs print ``curr`` only."""
    said = {name: _us(number) for name, number in _PAIR.findall(text)}
    names = {"avg": "avg_ns", "min": "min_ns", "max": "max_ns", "std": "std_ns", "median": "median_ns"}
    names.update(p5="p5_ns", p95="p95_ns")
    if "avg" not in said and "curr" in said:
        said = {**dict.fromkeys(("avg", "min", "max", "median", "p5", "p95"), said["curr"]), "std": 0}
    return {"runs": runs, **{names[key]: value for key, value in said.items() if key in names}}


def _delegation(text: str) -> dict[str, Any]:
    """The last word on who runs the graph."""
    applied = _DELEGATE.findall(text)
    if applied:
        name, how, kernels = applied[-1]
        return {
            "delegate": name[:40],
            "fully_delegated": how == "completely",
            "delegate_kernels": int(kernels) if kernels else None,
        }
    if "will not be executed by the delegate" in text:
        return {"delegate": "none", "fully_delegated": False}
    accelerated = _ACCELERATED.search(text)
    return {"fully_delegated": accelerated[1] == "True"} if accelerated else {}


def _of_file(content: bytes, board: str) -> dict[str, Any]:
    """The numbers of a result file, binary or JSON."""
    if content.lstrip()[:1] == b"{":
        return {**_of_json(content, board), "from_result_file": True}
    said = read_result_file(content, board=board)
    times = {
        "avg": "avg_ns",
        "min": "min_ns",
        "max": "max_ns",
        "stddev": "std_ns",
        "median": "median_ns",
        "p5": "p5_ns",
        "p95": "p95_ns",
        "init": "init_ns",
        "first": "first_ns",
        "avg_warmup": "warmup_avg_ns",
    }
    found: dict[str, Any] = {name: _ms(said[key]) for key, name in times.items() if key in said}
    for key, name, unit in (
        ("init_kb", "memory_init_bytes", 1024),
        ("overall_kb", "memory_overall_bytes", 1024),
        ("peak_mem_mb", "memory_peak_bytes", _MIB),
    ):
        if said.get(key, 0) > 0:
            found[name] = round(said[key] * unit)
    counts = {
        name: int(said[key]) for key, name in (("num_runs", "runs"), ("num_warmup", "warmup_runs")) if key in said
    }
    return {**found, **counts, "from_result_file": True}


def _of_json(content: bytes, board: str) -> dict[str, Any]:
    """``litert-benchmark --result_json``."""
    try:
        document = json.loads(content)
        latency = document["latency"]
        found: dict[str, Any] = {
            name: _ms(latency[key])
            for key, name in (
                ("avg_ms", "avg_ns"),
                ("min_ms", "min_ns"),
                ("max_ms", "max_ns"),
                ("std_ms", "std_ns"),
                ("median_ms", "median_ns"),
                ("p5_ms", "p5_ns"),
                ("p95_ms", "p95_ns"),
                ("init_ms", "init_ns"),
                ("warmup_first_ms", "first_ns"),
                ("warmup_avg_ms", "warmup_avg_ns"),
            )
            if latency.get(key) is not None
        }
        for key, name in (("num_runs", "runs"), ("num_warmup_runs", "warmup_runs")):
            if latency.get(key) is not None:
                found[name] = int(latency[key])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DeviceError(f"{board}: benchmark_model's result file is damaged: {type(error).__name__}") from error
    return found


def _failed(text: str, status: int, board: str) -> NoReturn:
    """Raises the error that a failed run stands for."""
    details: dict[str, object] = {"exit_status": status, "stderr": text[-_TAIL_BYTES:]}
    last = _complaint(text)
    if status in (126, 127):
        raise RuntimeMissingError(
            f"{board}: benchmark_model does not start there: {last or f'status {status}'}",
            hint="it must be built for this board: its processor, its 32 or 64 bits, and for phones bionic, not glibc",
            details=details,
        )
    if "CPU fallback" in text and "isallowed" in text:
        raise DeviceError(
            f"{board}: the delegate does not take the whole model, and falling back to the CPU was disallowed",
            hint="see `edgekit audit MODEL.tflite` for its ops",
            details=details,
        )
    if any(words in text for words in ("Failed to load model", "Could not open", "Failed to mmap model")):
        raise ModelError(f"{board}: benchmark_model cannot load the model: {last}", details=details)
    try:
        name = signal.Signals(status - 128).name
    except ValueError:
        raise DeviceError(
            f"{board}: benchmark_model failed (status {status}){': ' + last if last else ''}", details=details
        ) from None
    if name == "SIGILL":
        raise RuntimeMissingError(
            f"{board}: benchmark_model was built for a newer processor (SIGILL)",
            hint="use a build for this one",
            details=details,
        )
    reason = ": most likely the board ran out of memory" if name == "SIGKILL" else ""
    raise DeviceError(f"{board}: benchmark_model was ended by {name}{reason}", details=details)


def _complaint(text: str) -> str:
    """The line that says what is wrong, without control characters."""
    lines = [line.strip() for line in text[-_TAIL_BYTES:].splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "FATAL")) and "Benchmarking failed" not in line]
    chosen = (errors or lines or [""])[-1]
    return "".join(character if character.isprintable() else " " for character in chosen)[:300]


def _us(number: str) -> int:
    return round(float(number) * 1_000)


def _ms(number: str | float) -> int:
    return round(float(number) * 1_000_000)


def _mb(number: str) -> int:
    return round(float(number) * _MIB)


def _is_negative(value: object) -> bool:
    return isinstance(value, int) and value < 0


def statistic(report: BenchmarkModelReport) -> tuple[str, int]:
    """The number that stands for a run: its median where the build prints one, else its mean."""
    return ("median", report.median_ns) if report.median_ns is not None else ("mean", report.avg_ns)


def as_extra(report: BenchmarkModelReport) -> Mapping[str, object]:
    """What a trial has no field for; names say what is approximate."""
    said = {
        "min_ns": report.min_ns,
        "max_ns": report.max_ns,
        "std_ns": report.std_ns,
        "p5_ns": report.p5_ns,
        "p95_ns": report.p95_ns,
        "mean_ns": report.avg_ns,
        "approximate_memory_init_bytes": report.memory_init_bytes,
        "approximate_memory_overall_bytes": report.memory_overall_bytes,
        "approximate_memory_peak_bytes": report.memory_peak_bytes,
        "delegate_kernels": report.delegate_kernels,
    }
    return {key: value for key, value in said.items() if value is not None}
