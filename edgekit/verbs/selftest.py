"""selftest: what a board's comparisons are worth, by comparing a model with itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgekit.core.errors import UsageError
from edgekit.core.events import ignore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.core.notice import Notice
    from edgekit.measure.cool import ReadNow
    from edgekit.measure.plan import Plan
    from edgekit.measure.samples import Samples
    from edgekit.measure.selftest import SelfTest
    from edgekit.results.store import Store
    from edgekit.verbs.boards import Board, Reach
    from edgekit.verbs.ready import Ready

MOST_PROCESSES = 80
MAX_TIME_S = 300.0
#: with a larger margin no board finds the 10 % that a self-test asks for
MARGINS = (0.001, 0.05)
_TASK = "self-test"
_DECIDED = ("passed", "failed")


def selftest(
    device: str = "local",
    *,
    model: str | PathLike[str] | Artifact | None = None,
    num_threads: int | None = None,
    margin: float = 0.02,
    max_time_s: float = MAX_TIME_S,
    runtime: str = "auto",
    reach: Reach | None = None,
    on_event: EventSink = ignore,
) -> SelfTest:
    """Compares a model with itself many times over, from up to 80 processes of it on a board.

    Args:
        device: the board's name.
        model: a .tflite or artifact; None: the shipped digits classifier, converted to float32.
        num_threads: of the interpreter; default: what the board's profile says.
        margin: of the comparisons.
        max_time_s: no process begins later than this after the first; 20 are needed at least.
        runtime: as in :func:`edgekit.verbs.benchmark.benchmark`.
        reach: how to reach the board, where its name does not say it all.
        on_event: hears of the progress.

    Returns:
        What was found. Nothing is stored.

    Raises:
        UsageError: a margin beyond :data:`MARGINS`.
        DependencyError: TensorFlow is missing, which converts the shipped model; a model of one's own needs none.
        MeasurementError: an emulated board; nothing was run.
        ModelError, DeviceError: as in :func:`edgekit.verbs.benchmark.benchmark`.
    """
    from edgekit.verbs.benchmark import check_runtime, open_model
    from edgekit.verbs.boards import Reach, open_board
    from edgekit.verbs.ready import is_stateful

    if not MARGINS[0] <= margin <= MARGINS[1]:
        raise UsageError(
            f"a margin of {margin * 100:g} % is out of range: a self-test asks whether the board finds 10 %",
            hint=f"it is {MARGINS[0] * 100:g} to {MARGINS[1] * 100:g} %: --margin 2%",
        )
    name_of_runtime = check_runtime(runtime)
    artifact = shipped_model(on_event) if model is None else open_model(model)
    with open_board(device, reach or Reach(), name_of_runtime, on_event, stateful=is_stateful(artifact)) as board:
        return selftest_on(
            board, artifact, num_threads=num_threads, margin=margin, max_time_s=max_time_s, on_event=on_event
        )


def selftest_on(
    board: Board,
    artifact: Artifact,
    *,
    num_threads: int | None = None,
    margin: float = 0.02,
    max_time_s: float = MAX_TIME_S,
    on_event: EventSink = ignore,
) -> SelfTest:
    """:func:`selftest` of an open board."""
    from edgekit.measure.emulated import refuse_emulated_board
    from edgekit.measure.plan import Plan
    from edgekit.measure.selftest import self_test
    from edgekit.verbs.ready import make_ready, push_model

    refuse_emulated_board(board.device.name, board.limits.emulated, doing="self-test")
    threads = board.profile.num_threads if num_threads is None else num_threads
    ready = make_ready(board, push_model(board, artifact), num_threads=threads)
    plan = Plan(name="selftest", processes=MOST_PROCESSES, memory_processes=0, cold_processes=0, min_s=1.0)
    samples = _collect(ready, plan, max_time_s, board.read_now, on_event)
    return self_test(ready.measurement(samples), margin=margin)


def _collect(ready: Ready, plan: Plan, max_time_s: float, read_now: ReadNow, on_event: EventSink) -> Samples:
    """As many processes as the time allows."""
    from dataclasses import replace

    from edgekit.core.events import task
    from edgekit.measure.cool import CoolGate
    from edgekit.measure.turn import Turn

    turn = Turn(
        run=ready.run,
        job=ready.job,
        plan=plan,
        limits=ready.limits,
        pause=time.sleep,
        on_event=on_event,
        task=_TASK,
        about=f"{ready.model.name} against itself",
        gate=CoolGate(read_now=read_now, wait_s=plan.cool_wait_s, pause=time.sleep, clock=time.monotonic),
    )
    with task(_TASK, on_event):
        began = time.monotonic()
        for index in range(plan.processes):
            spent = time.monotonic() - began
            if spent > max_time_s or turn.hot_start:
                break
            done = max(index / plan.processes, min(spent / max_time_s, 1.0) if max_time_s else 1.0)
            turn.tell(f"process {index + 1} of {plan.processes} at most", fraction=done)
            turn.process("latency", index)
    samples = turn.samples()
    return replace(samples, plan=replace(plan, processes=len(samples.latency)))


def shipped_model(on_event: EventSink = ignore) -> Artifact:
    """The digits classifier that comes with edgekit, as a float32 .tflite; converted once and kept.

    Raises:
        DependencyError: TensorFlow is not installed.
    """
    from edgekit.core.artifact import open_artifact
    from edgekit.core.errors import DependencyError
    from edgekit.core.places import cache_dir
    from edgekit.verbs.demo import example_folder
    from edgekit.verbs.optimize import optimize

    made = cache_dir() / "selftest" / "digits-float32.tflite"
    if made.is_file():
        return open_artifact(made)
    source = example_folder()
    made.parent.mkdir(parents=True, exist_ok=True)
    try:
        return optimize(
            source / "digits.keras",
            data=str(source / "digits.npz"),
            recipe="float32",
            output=made,
            on_event=on_event,
        )
    except DependencyError as error:
        hint = f"{error.hint}; or test with a model of your own: --model model.tflite"
        raise DependencyError(error.message, hint=hint) from error


def flagged(device: str, store: Store | None = None) -> Notice | None:
    """What is to be said of a board whose last self-test failed; None where it passed, or where there was none.

    Tests that were too short to tell neither flag a board nor clear it.

    Args:
        device: the board's name.
        store: None: the usual one; one that cannot be read flags nothing.
    """
    return next(iter(all_flagged([device], store)), None)


def all_flagged(devices: Sequence[str], store: Store | None = None) -> tuple[Notice, ...]:
    """:func:`flagged` of several boards: those that failed."""
    from edgekit.core.errors import EdgekitError
    from edgekit.core.notice import Notice
    from edgekit.results.store import open_store

    try:
        opened = store or open_store()
        last = [
            (
                device,
                next(
                    (test for test in opened.list("selftest", device=device, limit=None) if test.verdict in _DECIDED),
                    None,
                ),
            )
            for device in devices
        ]
    except EdgekitError:
        return ()
    return tuple(
        Notice(
            code="selftest-failed",
            message=f"{device} failed its self-test on {test.created[:10]}: "
            f"{next(iter(test.document.get('reasons') or ()), 'it is not kept why')}",
            hint=f"edgekit devices selftest {device}",
        )
        for device, test in last
        if test is not None and test.verdict == "failed"
    )
