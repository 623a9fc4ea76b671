"""The cool gate: what a board must get over before it is timed, and for how long that is waited for."""

from __future__ import annotations

import math

import pytest
from played_board import Clock, PlayedBoard, at
from synthetic_trials import CALM, JOB

from edgekit.core.events import Event
from edgekit.measure.collect import collect, collect_many
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.cool import CoolGate, cool_gate
from edgekit.measure.plan import make_plan
from edgekit.measure.verdict import judge
from edgekit.runner.conditions import Conditions

LIMITS = BoardLimits(temperature_limit_c=80.0)
PLAN = make_plan(processes=4)


# ------------------------------------------------------------------------------------------------------- the policy


@pytest.mark.parametrize(
    ("now_c", "limit_c", "idle_c", "aim"),
    [
        (49.9, 80.0, 45.0, None),
        (50.4, 80.0, 45.0, "50 °C"),  # five above its rest
        (66.0, 80.0, 63.0, "65 °C"),  # fifteen below its limit, although its rest is warmer than that
        (66.0, 80.0, None, "65 °C"),
        (90.0, None, 45.0, "50 °C"),
        (90.0, None, None, None),
        (None, 80.0, 45.0, None),
    ],
)
def test_a_board_is_cool_near_its_rest_and_well_below_its_limit(now_c, limit_c, idle_c, aim) -> None:
    waits_for = cool_gate(at(now_c), BoardLimits(temperature_limit_c=limit_c), idle_c)
    assert waits_for is None if aim is None else waits_for is not None and f"to cool down to {aim}" in waits_for


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"throttle_bits": 0x50005}, "to be over its throttling (under-voltage, throttled)"),
        ({"thermal_status": 3}, "to come back to thermal status NONE (SEVERE now)"),
        ({"throttle_bits": 0x50000}, None),  # it remembers having been throttled
        ({"thermal_status": 0}, None),
        ({"throttle_bits": None, "thermal_status": None}, None),
    ],
)
def test_a_board_that_slows_itself_down_is_not_timed(changes, words) -> None:
    assert cool_gate(at(48.0, **changes), LIMITS, 48.0) == words


# ------------------------------------------------------------------------------------------------------- the waiting


def cooling(warm_c: float, rest_c: float, half_life_s: float, clock: Clock):
    """Sensors of a board that was warm when the clock began and cools down by Newton's law."""
    began = clock.now

    def sensors(now: float) -> Conditions:
        return at(rest_c + (warm_c - rest_c) * 0.5 ** ((now - began) / half_life_s))

    return sensors


def test_a_warm_board_is_waited_for_and_then_timed() -> None:
    clock = Clock()
    board = PlayedBoard(clock=clock, sensors=cooling(78.0, 50.0, 40.0, clock))
    samples = collect(board.run, plan=PLAN, base_job=JOB, limits=LIMITS, **board.circumstances())
    assert len(samples.latency) == 4
    assert samples.hot_start == ""
    until_65 = 40.0 * math.log2(28 / 15)
    assert until_65 <= sum(clock.waits) <= until_65 + 10.0


def test_a_cool_board_is_not_waited_for() -> None:
    board = PlayedBoard()
    collect(board.run, plan=PLAN, base_job=JOB, limits=LIMITS, **board.circumstances())
    assert board.clock.waits == []


def test_every_timed_process_waits_for_itself_and_memory_processes_do_not() -> None:
    clock = Clock()
    heated: list[float] = []

    def sensors(now: float) -> Conditions:
        """Each process heats the board by 12 degrees, which it loses within 20 s."""
        since = now - heated[-1] if heated else math.inf
        return at(48.0 + max(0.0, 12.0 - since * 0.6))

    board = PlayedBoard(clock=clock, sensors=sensors)

    def run(job, time_limit_s):
        trial = board.run(job, time_limit_s)
        heated.append(clock.now)
        return trial

    collect(run, plan=PLAN, base_job=JOB, limits=LIMITS, **board.circumstances())
    rests = math.ceil((12 - 5) / 0.6)
    assert 3 * rests <= sum(clock.waits) <= 3 * (rests + 10)  # before all but the first


def test_f51_a_board_that_never_cools_is_given_300_seconds_and_no_figure_is_made() -> None:
    board = PlayedBoard(sensors=lambda now: at(71.4))
    samples = collect(board.run, plan=PLAN, base_job=JOB, limits=LIMITS, **board.circumstances())
    assert sum(board.clock.waits) == pytest.approx(300.0)
    assert (samples.latency, len(samples.memory)) == ((), 2)
    verdict = judge(samples, LIMITS)
    assert verdict.status == "invalid"
    assert [reason.code for reason in verdict.reasons if reason.weight == "invalid"] == ["hot-start"]
    assert "waited 300 s in vain for the board to cool down to 65 °C (71 °C now)" in verdict.reasons[0].message


def test_f51_a_board_that_gets_hot_on_the_way_keeps_what_was_measured_and_is_invalid() -> None:
    board = PlayedBoard()
    board.sensors = lambda now: at(48.0 if board.log.count("a-latency") < 2 else 70.0)
    samples = collect(board.run, plan=PLAN, base_job=JOB, limits=LIMITS, **board.circumstances())
    assert len(samples.latency) == 2
    verdict = judge(samples, LIMITS)
    assert [reason.code for reason in verdict.reasons if reason.weight == "invalid"] == ["hot-start"]


def test_f51_models_that_share_a_hot_board_wait_once_in_all() -> None:
    board = PlayedBoard(sensors=lambda now: at(71.4))
    collected = collect_many(
        {"a": (board.run, JOB), "b": (board.run, JOB)},
        plan=make_plan("quick"),
        limits=dict.fromkeys("ab", LIMITS),
        **board.circumstances(),
    )
    assert sum(board.clock.waits) == pytest.approx(60.0)  # quick is less patient
    assert all(samples.hot_start for samples in collected.samples.values())


def test_f52_sensors_that_do_not_tell_hold_nothing_up_and_are_named() -> None:
    blind = at(None, throttle_bits=None)
    board = PlayedBoard(
        sensors=lambda now: blind, trial=lambda trial, n: type(trial)(**{**as_fields(trial), "before": blind})
    )
    samples = collect(board.run, plan=PLAN, base_job=JOB, limits=LIMITS, **board.circumstances())
    assert board.clock.waits == []
    (reason,) = [one for one in judge(samples, LIMITS).reasons if one.code == "uncontrolled"]
    assert {"temperature", "throttle bits"} <= set(reason.message.split(", "))


def as_fields(record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__slots__}


def test_who_watches_sees_what_is_waited_for_and_until_when() -> None:
    clock = Clock()
    board = PlayedBoard(clock=clock, sensors=cooling(78.0, 50.0, 40.0, clock))
    events: list[Event] = []
    collect(board.run, plan=PLAN, base_job=JOB, limits=LIMITS, on_event=events.append, **board.circumstances())
    waits = [event.figures for event in events if event.figures and event.figures.waits_for]
    assert waits[0].waits_for == "to cool down to 65 °C (78 °C now)"
    assert waits[0].temperature_c == 78.0
    assert waits[0].until is not None
    temperatures = [one.temperature_c or 0 for one in waits]
    assert temperatures == sorted(temperatures, reverse=True)
    assert len([event for event in events if event.state == "note"]) == 1  # for those who only read lines


def test_the_temperature_at_rest_is_that_before_anything_ran() -> None:
    readings = iter([at(40.0), at(60.0), at(44.0)])
    clock = Clock()
    gate = CoolGate(read_now=lambda: next(readings), wait_s=10.0, pause=clock.pause, clock=clock)
    told: list[str] = []
    assert gate.pass_through(LIMITS, lambda waits_for, now, **_: told.append(waits_for))
    assert gate.pass_through(LIMITS, lambda waits_for, now, **_: told.append(waits_for))
    assert told == ["to cool down to 45 °C (60 °C now)"]
    assert CALM.temperature_c != gate.idle_c == 40.0
