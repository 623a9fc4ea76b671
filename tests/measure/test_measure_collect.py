"""The loop: order, repetition, and what ends it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from synthetic_trials import CALM, JOB, make_memory_trial, make_trial

from edgekit.core.errors import DeviceError, HostKeyError, UnreachableError
from edgekit.core.events import Event
from edgekit.measure.collect import collect, collect_many
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.plan import make_plan
from edgekit.runner.protocol import Job, Trial

PLAN = replace(make_plan("quick"), processes=4, memory_processes=1)
HOT = replace(CALM, throttle_bits=0x4)


@dataclass
class Board:
    """Answers jobs from a list of what to do; when it is used up, calmly."""

    name: str = "a"
    script: list[Trial | BaseException] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __call__(self, job: Job, time_limit_s: float) -> Trial:
        self.jobs.append(job)
        self.log.append(f"{self.name}-{job.mode}")
        assert time_limit_s > job.max_s
        answer: Trial | BaseException
        if self.script:
            answer = self.script.pop(0)
        else:
            answer = make_memory_trial() if job.mode == "memory" else make_trial(seed=len(self.jobs))
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_latency_processes_come_first_and_memory_processes_of_their_own_follow() -> None:
    board = Board()
    samples = collect(board, plan=PLAN, base_job=JOB)
    assert [job.mode for job in board.jobs] == ["latency"] * 4 + ["memory"]
    assert (len(samples.latency), len(samples.memory), samples.repeated) == (4, 1, ())
    assert samples.model_sha256 == JOB.model_sha256


def test_a_crashed_process_is_repeated_and_told() -> None:
    board = Board(script=[make_trial(), DeviceError("killed by SIGSEGV")])
    samples = collect(board, plan=PLAN, base_job=JOB)
    assert len(samples.latency) == 4
    assert [(r.index, r.reason) for r in samples.repeated] == [(1, "crashed: killed by SIGSEGV")]


def test_a_process_that_keeps_crashing_ends_the_run_with_its_own_error() -> None:
    board = Board(script=[DeviceError("killed by SIGSEGV")] * 3)
    with pytest.raises(DeviceError, match="SIGSEGV"):
        collect(board, plan=PLAN, base_job=JOB)
    assert len(board.jobs) == 3


@pytest.mark.parametrize("error", [UnreachableError("gone"), HostKeyError("changed")])
def test_a_lost_board_is_not_tried_again(error: DeviceError) -> None:
    board = Board(script=[error])
    with pytest.raises(type(error)):
        collect(board, plan=PLAN, base_job=JOB)
    assert len(board.jobs) == 1


def test_a_throttled_process_is_repeated_after_a_pause_and_never_counted() -> None:
    pauses: list[float] = []
    board = Board(script=[make_trial(after=HOT)])
    samples = collect(board, plan=PLAN, base_job=JOB, pause=pauses.append)
    assert pauses == [PLAN.cooldown_s]
    assert all(trial.after == CALM for trial in samples.latency)
    assert samples.repeated[0].reason == "throttled: throttled"
    assert samples.repeated[0].trial is not None


def test_a_board_that_never_cools_down_keeps_its_throttled_samples_for_the_verdict() -> None:
    pauses: list[float] = []
    board = Board(script=[make_trial(after=HOT)] * 12)
    samples = collect(board, plan=PLAN, base_job=JOB, pause=pauses.append)
    assert len(samples.latency) == 4
    assert all(trial.after == HOT for trial in samples.latency)
    assert len(pauses) == 2  # one was kept although it was throttled: the verdict is certain, and waiting would be idle


def test_a_board_above_its_limit_is_repeated() -> None:
    warm = make_trial(after=replace(CALM, temperature_c=84.0))
    pauses: list[float] = []
    limits = BoardLimits(temperature_limit_c=80)
    samples = collect(Board(script=[warm]), plan=PLAN, base_job=JOB, limits=limits, pause=pauses.append)
    assert samples.repeated[0].reason == "too-hot: 84 °C, the limit is 80 °C"


def test_processes_of_several_models_take_turns_and_change_their_order() -> None:
    log: list[str] = []
    boards = {name: (Board(name=name, log=log), JOB) for name in ("a", "b")}
    collected = collect_many(boards, plan=PLAN)
    assert log == [
        "a-latency", "b-latency", "b-latency", "a-latency", "a-latency", "b-latency", "b-latency", "a-latency",
        "a-memory", "b-memory",
    ]  # fmt: skip
    assert set(collected.samples) == {"a", "b"}


def test_an_error_ends_only_the_turn_of_its_own_model() -> None:
    boards = {"a": (Board(script=[UnreachableError("gone")]), JOB), "b": (Board(), JOB)}
    collected = collect_many(boards, plan=PLAN)
    assert set(collected.samples) == {"b"}
    assert isinstance(collected.errors["a"], UnreachableError)


def test_ctrl_c_gets_through_at_once() -> None:
    board = Board(script=[make_trial(), KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        collect(board, plan=PLAN, base_job=JOB)
    assert len(board.jobs) == 2


def test_a_pause_is_announced_with_its_reason() -> None:
    events: list[Event] = []
    board = Board(script=[make_trial(after=HOT)])
    collect(board, plan=PLAN, base_job=JOB, pause=lambda _: None, on_event=events.append)
    notes = [event.message for event in events if event.state == "note"]
    assert notes == ["throttled: throttled; waiting 5 s before running it again"]


def test_every_process_is_announced() -> None:
    events: list[Event] = []
    collect_many({"tiny on pi4": (Board(), JOB)}, plan=PLAN, on_event=events.append)
    told = [event.message for event in events if event.state == "progress"]
    assert told[0] == "tiny on pi4 latency, process 1 of 4"
    assert told[1].startswith("tiny on pi4 latency, process 1 of 4: 2")
    assert told[-1] == "tiny on pi4 memory, process 1 of 1"
    assert len(told) == 2 * 4 + 1
    assert (events[0].state, events[-1].state) == ("started", "finished")
    assert events[-2].fraction == pytest.approx(0.8)
