"""Runs the user's ``benchmark_model`` on a board: a fresh process, its figures, its memory as the kernel saw it."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from edgekit.core.errors import DeviceError, RuntimeMissingError, TransferError, UsageError
from edgekit.device import android_facts
from edgekit.device.connect import Device
from edgekit.device.facts import Facts
from edgekit.device.transport.protocol import Completed
from edgekit.runner.benchmark_model import as_extra, read_report, statistic
from edgekit.runner.conditions import Conditions
from edgekit.runner.protocol import Job, MemoryPhase, RuntimeUsed, Trial

if TYPE_CHECKING:
    from edgekit.device.provision import BoardRuntime

_OUTPUT_LIMIT_BYTES = 4 << 20
_GRACE_S = 10.0
_HELP_LIMIT_S = 60.0
_THROTTLED = 0x4  # as vcgencmd's bit: slowed down now
_NO_MODEL, _OTHER_MODEL, _NO_TASKSET = 40, 41, 42

# $1 marker, $2 model, $3 its hash, $4 result file, $5 mask of cores or nothing, then the tool and its arguments.
# The parent is this small shell on purpose: ru_maxrss, which the tool's memory figures come from, survives exec. The
# peak is the child's own VmHWM, read until its end (a dead child that nobody has waited for is in state Z): often while
# it starts, seldom while it measures. Of one that is gone at once it would be the shell's.
_RUN = r"""
mark=$1 model=$2 wanted=$3 result=$4 mask=$5; shift 5
[ -r "$model" ] || exit 40
digest=$( { sha256sum < "$model" || toybox sha256sum < "$model" || busybox sha256sum < "$model"; } 2>/dev/null )
case ${digest%% *} in ''|"$wanted") ;; *) exit 41 ;; esac
if [ -n "$mask" ]; then
  command -v taskset >/dev/null 2>&1 || exit 42
  set -- taskset "$mask" "$@"
fi
rm -f -- "$result"
"$@" </dev/null &
child=$! peak=- looks=0 pause=0.02
while :; do
  state=
  while read -r key value rest; do
    case $key in State:) state=$value ;; VmHWM:) peak=$value ;; esac
  done 2>/dev/null < "/proc/$child/status"
  case $state in ''|Z*|X*) break ;; esac
  looks=$((looks + 1))
  [ $looks -lt 50 ] || pause=0.2
  sleep $pause 2>/dev/null || sleep 1
done
wait "$child"; status=$?
[ $looks -gt 3 ] || peak=-
printf '\n%s %s %s %s\n' "$mark" "$status" "$peak" "$child"
[ -f "$result" ] && od -An -v -tx1 "$result"
rm -f -- "$result"
exit 0
"""


def run_benchmark_model(device: Device, runtime: BoardRuntime, job: Job, timeout_s: float) -> Trial:
    """Runs one job of mode ``latency`` or ``memory`` with the user's tool.

    The trial has one latency: the tool prints no samples. ``extra`` says which statistic it is. Inputs are the tool's
    own random ones, and it counts warm-up in its own way.

    Args:
        device: the board.
        runtime: with the runner ``benchmark_model``, Google's in any version, or ai-edge-litert's litert-benchmark.
        job: what to do; the samples are not used.
        timeout_s: for the whole run.

    Raises:
        RuntimeMissingError: the tool does not start there, or the job needs a runner that can do more.
        ModelError: the tool cannot load the model.
        DeadlineError: it did not end in time; it was killed.
        DeviceError: it failed, or printed nothing that can be used.
    """
    if job.mode not in ("latency", "memory"):
        what = "no outputs" if job.mode == "smoke" else "no times of single ops"
        raise RuntimeMissingError(
            f"{device.name}: benchmark_model gives {what}, so it cannot do this",
            hint=f"supply LiteRT's library for this board: `edgekit devices provision {device.name} --library FILE`",
        )
    result = f"{runtime.runner_path}.result"
    options = _options(device, runtime, job, result)
    mark = f"edgekit-{secrets.token_hex(8)}"
    mask = f"{sum(1 << cpu for cpu in set(job.cpus)):x}" if job.cpus else ""
    before = _conditions(device.facts())
    done = device.transport.run(
        ["sh", "-c", _RUN, "sh", mark, job.model, job.model_sha256, result, mask, *runtime.argv, *options],
        timeout_s=timeout_s + _GRACE_S,
        output_limit_bytes=_OUTPUT_LIMIT_BYTES,
    )
    after = _conditions(device.facts())
    text, status, peak, pid, content = _parts(done, mark, device.name)
    report = read_report(
        text, done.stderr.decode("utf-8", "replace"), status, board=device.name, result=content or None
    )
    name, value = statistic(report)
    if value <= 0:
        raise DeviceError(
            f"{device.name}: the model is too quick for benchmark_model's clock: it says 0 ms",
            hint=f"supply LiteRT's library for this board: `edgekit devices provision {device.name} --library FILE`",
        )
    extra: dict[str, object] = {
        "statistic": name,
        "memory": "peak: the kernel's VmHWM, read until the end; approximate_*: ru_maxrss, from the tool",
        "inputs": "random, made by the tool",
        "from_result_file": report.from_result_file,
    }
    return Trial(
        mode=job.mode,
        pid=pid,
        runtime=RuntimeUsed(
            name=runtime.name,
            version=runtime.version,
            delegate=report.delegate or "unknown",
            fully_delegated=report.fully_delegated,
        ),
        num_threads=job.num_threads,
        model_sha256=job.model_sha256,
        inputs=(),
        outputs_info=(),
        latency_ns=(value,),
        batch=report.runs or 1,
        init_ns=report.init_ns,
        first_ns=report.first_ns,
        memory=(MemoryPhase(phase="steady", rss_bytes=None, peak_rss_bytes=peak, anon_bytes=None, file_bytes=None),),
        memory_runs=report.runs,
        peak_resets=False,
        before=before,
        after=after,
        cpus=job.cpus,
        extra={**extra, **as_extra(report)},
    )


def _options(device: Device, runtime: BoardRuntime, job: Job, result: str) -> list[str]:
    """The tool's options. litert-benchmark has other ones; builds that lack the result file say so and go on."""
    told = device.transport.run([*runtime.argv, "--help"], timeout_s=_HELP_LIMIT_S, output_limit_bytes=1 << 20)
    if b"--result_json" in told.stdout + told.stderr:
        return [
            f"--model={job.model}",
            f"--num_threads={job.num_threads}",
            f"--num_runs={job.min_runs}",
            f"--warmup_runs={job.warmup_runs}",
            f"--result_json={result}",
        ]
    options = [
        f"--graph={job.model}",
        f"--num_threads={job.num_threads}",
        f"--num_runs={job.min_runs}",
        f"--min_secs={job.min_s:g}",
        f"--max_secs={job.max_s:g}",
        f"--warmup_runs={job.warmup_runs}",
        f"--warmup_min_secs={job.warmup_s:g}",
        f"--result_file_path={result}",
    ]
    return [*options, "--use_xnnpack=false"] if job.kernels == "builtin" else options


def _parts(done: Completed, mark: str, board: str) -> tuple[str, int, int | None, int, bytes]:
    """What the tool printed, its exit status, its peak in bytes, its process id, its result file."""
    if done.exit_status == _NO_MODEL:
        raise DeviceError(f"{board}: the model is not on the board", hint="push the model again: `edgekit deploy`")
    if done.exit_status == _OTHER_MODEL:
        raise TransferError(f"{board}: the model on the board was changed or damaged", hint="push it again")
    if done.exit_status == _NO_TASKSET:
        raise UsageError(f"{board}: the board has no `taskset`, so no cores can be chosen", hint="leave --cpus out")
    text, _, rest = done.text.rpartition(f"\n{mark} ")
    line, _, dump = rest.partition("\n")
    words = line.split()
    if len(words) != 3 or not (words[0].isdigit() and words[2].isdigit()):
        raise DeviceError(
            f"{board}: the run of benchmark_model was cut off: {done.complaint or f'status {done.exit_status}'}"
        )
    peak = int(words[1]) * 1024 if words[1].isdigit() else None
    content = b""
    with contextlib.suppress(ValueError):  # a board whose `od` is another one: the text is read then
        content = bytes.fromhex(dump)
    return text, int(words[0]), peak, int(words[2]), content


def _conditions(facts: Facts) -> Conditions:
    bits = facts.throttle_bits
    if bits is None and facts.thermal_status is not None:
        bits = _THROTTLED if facts.thermal_status >= android_facts.THROTTLES_FROM else 0
    return Conditions(
        temperature_c=facts.temperature_c,
        frequency_hz=tuple(core.current_hz for core in facts.cores if core.current_hz),
        clock_hz=facts.clock_hz,
        governor=facts.governor,
        throttle_bits=bits,
        load_1min=facts.load_1min,
        memory_available_bytes=facts.memory_available_bytes,
        boot_id=facts.boot_id,
    )
