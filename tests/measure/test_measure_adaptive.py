"""How many processes are run: as many as planned, and more until the interval is narrow or the time is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy
import pytest
from played_board import Clock, PlayedBoard
from synthetic_trials import CALM, JOB, make_samples

from edgekit.core.events import Event
from edgekit.measure import statistics
from edgekit.measure.collect import collect, collect_many
from edgekit.measure.plan import Plan, make_plan
from edgekit.measure.samples import Samples
from edgekit.measure.verdict import judge

ENDLESS = make_plan(max_time_s=86_400)


def noisy(spread: float, seed: int = 0) -> Callable[[int], float]:
    drawn = numpy.random.default_rng(seed).lognormal(0, spread, 64) * 2e6
    return lambda n: float(drawn[n])


def measured(board: PlayedBoard, plan: Plan = ENDLESS) -> Samples:
    return collect(board.run, plan=plan, base_job=JOB, **board.circumstances())


def width(samples: Samples) -> float:
    medians = statistics.process_medians([trial.latency_ns for trial in samples.latency])
    interval = statistics.bootstrap_interval(medians, seed=samples.plan.seed)
    found = statistics.half_width(interval, statistics.median_of(medians))
    assert found is not None
    return found


def test_a_quiet_board_is_done_with_the_planned_processes() -> None:
    assert len(measured(PlayedBoard(median_ns=noisy(0.002))).latency) == 10


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spread", [0.005, 0.01, 0.03])
def test_it_ends_as_soon_as_the_interval_is_narrow_or_at_thirty(spread: float, seed: int) -> None:
    samples = measured(PlayedBoard(median_ns=noisy(spread, seed)))
    count = len(samples.latency)
    assert 10 <= count <= 30
    assert count == 30 or width(samples) <= 0.01
    if count > 10:  # the last one was needed
        assert width(replace(samples, latency=samples.latency[:-1])) > 0.01


def test_memory_processes_come_after_all_timed_ones() -> None:
    board = PlayedBoard(median_ns=noisy(0.05))
    measured(board)
    assert board.log[-2:] == ["a-memory"] * 2
    assert board.log[:-2] == ["a-latency"] * 30


def test_it_takes_at_most_as_long_again_as_planned() -> None:
    board = PlayedBoard(median_ns=noisy(0.2), process_s=3.0)
    samples = measured(board, make_plan())
    assert len(samples.latency) == 20


def test_a_user_may_give_it_less_time_or_more() -> None:
    assert len(measured(PlayedBoard(median_ns=noisy(0.2)), make_plan(max_time_s=36.0)).latency) == 12
    assert len(measured(PlayedBoard(median_ns=noisy(0.2)), make_plan(max_time_s=0.0)).latency) == 10


@pytest.mark.parametrize(
    ("plan", "why"), [(make_plan(max_time_s=0.0), "the time was up (--max-time)"), (ENDLESS, "30 processes")]
)
def test_what_ended_it_too_early_is_said(plan: Plan, why: str) -> None:
    board = PlayedBoard(median_ns=lambda n: 2e6 * (1 + 0.015 * (-1) ** n))  # the interval stays at 1.5 %
    verdict = judge(measured(board, plan))
    assert verdict.status == "valid"
    (said,) = [reason.message for reason in verdict.reasons if reason.code == "wider-than-aimed"]
    assert said == f"the 95 % interval reaches 1.5 % from the median, aimed at 1 %; {why}"


def test_each_model_gets_as_many_as_it_needs_and_they_stay_interleaved() -> None:
    clock, log = Clock(), []
    calm = PlayedBoard(clock=clock, log=log, name="calm", median_ns=noisy(0.001))
    wild, wilder = (PlayedBoard(clock=clock, log=log, name=name, median_ns=noisy(0.2, 7)) for name in ("x", "y"))
    collected = collect_many(
        {board.name: (board.run, JOB) for board in (calm, wild, wilder)}, plan=ENDLESS, **calm.circumstances()
    )
    assert {name: len(samples.latency) for name, samples in collected.samples.items()} == {"calm": 10, "x": 30, "y": 30}
    added = [entry for entry in log[30:] if entry.endswith("latency")]
    assert added[:4] == ["x-latency", "y-latency", "y-latency", "x-latency"]
    assert all(set(pair) == {"x-latency", "y-latency"} for pair in zip(added[::2], added[1::2], strict=True))


@pytest.mark.parametrize("plan", [make_plan("quick"), make_plan(processes=5)])
def test_quick_and_an_exact_number_are_never_added_to(plan: Plan) -> None:
    assert len(measured(PlayedBoard(median_ns=noisy(0.2)), plan).latency) == plan.processes


def test_nothing_is_added_to_what_is_invalid_already() -> None:
    hot = replace(CALM, throttle_bits=4)
    board = PlayedBoard(median_ns=noisy(0.2), trial=lambda trial, n: replace(trial, after=hot))
    samples = measured(board)
    assert len(samples.latency) == 10
    assert len(samples.repeated) == 2  # the first process, twice; then it was certain


def test_who_watches_sees_the_plan_grow() -> None:
    events: list[Event] = []
    board = PlayedBoard(median_ns=noisy(0.2))
    collect_many({"net, 1 thread:": (board.run, JOB)}, plan=ENDLESS, on_event=events.append, **board.circumstances())
    figures = [event.figures for event in events if event.figures]
    assert {one.about for one in figures} == {"net, 1 thread"}
    assert (figures[0].done, figures[0].planned, figures[0].median_ns) == (0, 10, None)
    assert max(one.planned for one in figures) == 30
    assert figures[-1].ci95_ns is not None
    fractions = [event.fraction for event in events if event.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] < 1


def test_f53_nobody_who_sets_the_clock_can_shorten_or_lengthen_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(range(100_000))
    monkeypatch.setattr("time.time", lambda: 1.7e9 + (-1) ** next(steps) * 1e6)  # to and fro by eleven days
    board = PlayedBoard(median_ns=noisy(0.2), process_s=3.0)
    assert len(measured(board, make_plan()).latency) == 20


# ------------------------------------------------------------------------------------------------------- publish


def test_publish_needs_1024_inferences_and_a_minute_in_all() -> None:
    plan = make_plan("publish")
    job = plan.job(JOB, "latency")
    assert plan.processes * job.min_runs >= 1024
    assert plan.processes * job.min_s >= 60
    assert plan.indicative == ()


def test_publish_goes_on_until_there_is_enough_in_all() -> None:
    plan = make_plan("publish", num_runs=64, max_time_s=86_400)  # a slow model: its processes end at their longest
    board = PlayedBoard(trial=lambda trial, n: replace(trial, latency_ns=trial.latency_ns[:70], wall_ns=int(6.2e9)))
    samples = measured(board, plan)
    assert len(samples.latency) == 15  # of 70 inferences each
    assert "too-little-in-all" not in [reason.code for reason in judge(samples).reasons]


def test_publish_with_too_little_in_all_is_invalid() -> None:
    samples = make_samples(plan=make_plan("publish"), iterations=103, wall_ns=int(2e9))
    (reason,) = [one for one in judge(samples).reasons if one.weight == "invalid"]
    assert str(reason) == "too-little-in-all: 20.0 s measured in all, the plan publish needs 60"


def test_publish_accepts_no_unknown_sensor() -> None:
    def verdict(plan: str, **changes: object):
        watched = {"iterations": 103, "wall_ns": int(6.1e9), "cpu_ns": int(6.1e9)}
        blind = replace(CALM, clock_hz=None, frequency_hz=())
        return judge(make_samples(plan=make_plan(plan), before=blind, after=blind, **watched, **changes))

    assert verdict("standard").status == "valid"
    assert verdict("publish").status == "unstable"
    assert "uncontrolled: clock: the plan publish needs to know" in map(str, verdict("publish").reasons)
