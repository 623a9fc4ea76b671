"""The pace of a board: what is left out of a comparison, when, and that it is left out of both sides alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy
import pytest
from synthetic_trials import JOB, SHA, make_memory_trial, make_samples, make_trial

from edgekit.measure import pace, paired
from edgekit.measure.checks.board import clocks
from edgekit.measure.compare import compare_pairs
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.measurement import MeasuredModel, measurement_from
from edgekit.measure.pairs import PairPlan, Pairs, collect_pairs
from edgekit.measure.plan import Plan
from edgekit.runner.plausible import implausible
from edgekit.runner.protocol import Job, Trial

PROBE_NS = 100_000
SLICE = 20


def played(speed: list[float], *, median_ns: float = 2e6, seed: int = 0) -> Trial:
    """A process on a board of that speed, slice by slice: 1 is undisturbed, at 1.3 all takes 1.3 times as long.

    The fixed work suffers more than the model, as on the machine where this was measured.
    """
    trial = make_trial(median_ns=median_ns, iterations=SLICE * len(speed), seed=seed)
    latency = tuple(int(value * speed[index // SLICE]) for index, value in enumerate(trial.latency_ns))
    probes = [int(PROBE_NS * (1 + 2.3 * (value - 1))) for value in (*speed, speed[-1])]
    return replace(
        trial,
        latency_ns=latency,
        wall_ns=sum(latency),
        pace_ns=tuple(probes),
        pace_at=tuple(range(0, len(latency) + 1, SLICE)),
    )


def bursts(seed: int, slices: int = 20) -> list[float]:
    """A neighbour that comes and goes: for several slices, about half of the time, each visit as bad as it likes."""
    lot = numpy.random.default_rng(seed)
    speed: list[float] = []
    slow = bool(lot.integers(2))
    while len(speed) < slices:
        speed += [float(lot.uniform(1.15, 1.5)) if slow else 1.0] * int(lot.integers(2, 12))
        slow = not slow
    return speed[:slices]


def sides(effect: float, *, pairs: int = 20, seed: int = 0) -> tuple[list[Trial], list[Trial]]:
    one = [played(bursts(2 * index + 1000 * seed), seed=2 * index) for index in range(pairs)]
    other = [
        played(bursts(2 * index + 1 + 1000 * seed), median_ns=2e6 * (1 + effect), seed=2 * index + 1)
        for index in range(pairs)
    ]
    return one, other


def without_pace(trials: list[Trial]) -> list[Trial]:
    return [replace(trial, pace_ns=(), pace_at=()) for trial in trials]


def decision(one: list[Trial], other: list[Trial]) -> str:
    return paired.decide(paired.interval(pace.log_ratios(one, other)), 0.02)


def test_iterations_between_two_quick_probes_are_undisturbed() -> None:
    trial = played([1.0, 1.3, 1.0, 1.0, 1.3])
    best = pace.undisturbed_ns([trial])
    assert best == PROBE_NS
    # the slice before a slow probe is not known to be undisturbed: the neighbour came somewhere in it
    assert pace.calm_iterations(trial, best) == list(trial.latency_ns[2 * SLICE : 3 * SLICE])
    assert pace.disturbed_share([trial]) == pytest.approx(0.8)


def test_beside_a_neighbour_that_comes_and_goes_five_percent_are_found_which_all_iterations_hide() -> None:
    found = [decision(*sides(0.05, seed=seed)) for seed in range(20)]
    assert found.count("slower") >= 19
    hidden = [decision(*map(without_pace, sides(0.05, seed=seed))) for seed in range(20)]
    assert hidden.count("slower") <= 5


def test_beside_such_a_neighbour_a_model_is_never_told_from_itself() -> None:
    assert {decision(*sides(0.0, seed=seed)) for seed in range(40)} == {"equivalent"}


def test_a_board_that_is_always_disturbed_is_compared_as_it_is() -> None:
    one, other = ([played([1.3] * 10, median_ns=2e6 * times, seed=i) for i in range(10)] for times in (1, 1.1))
    assert len(pace.log_ratios(one, other)) == 10
    assert decision(one, other) == "slower"


def test_processes_without_an_undisturbed_moment_leave_their_pairs_out_while_enough_are_left() -> None:
    one, other = ([played([1.0] * 5, seed=i + 50 * side) for i in range(12)] for side in (0, 1))
    other[3] = played([1.4] * 5)
    assert len(pace.log_ratios(one, other)) == 11
    assert [value is None for value in pace.calm_medians(one, other)[1]] == [i == 3 for i in range(12)]
    for index in (5, 6):
        one[index] = played([1.4] * 5)
    assert len(pace.log_ratios(one, other)) == 12  # nine are too few: all are taken, and the interval shows it


def test_a_runner_that_does_not_tell_its_pace_is_taken_whole() -> None:
    one, other = (without_pace(side) for side in sides(0.0, pairs=10))
    other[0] = played([1.0] * 5)  # one that does is not enough
    assert pace.calm_log_ratios(one, other) is None
    assert pace.disturbed_share(one) is None
    assert len(pace.log_ratios(one, other)) == 10


@dataclass
class Played:
    """A model that is ready on a board whose speed is played."""

    name: str
    speed: Callable[[int], float]
    limits: BoardLimits = field(default_factory=BoardLimits)
    job: Job = JOB
    starts_cold: bool = False
    ran: int = 0

    @property
    def model(self) -> MeasuredModel:
        return MeasuredModel(name=self.name, sha256=SHA)

    def run(self, job: Job, time_limit_s: float) -> Trial:
        if job.mode == "memory":
            return make_memory_trial()
        self.ran += 1
        return played([self.speed(self.ran - 1)] * 5, seed=self.ran)


PLAN = PairPlan(process=Plan(name="test", memory_processes=1, cold_processes=0, retries=0, cooldown_s=0.0), seed=1)


def test_for_each_disturbed_pair_there_is_another_one() -> None:
    disturbed = Played("b", lambda index: 1.3 if index in (2, 5, 6) else 1.0)
    pairs = collect_pairs(Played("a", lambda index: 1.0), disturbed, plan=PLAN)
    assert (len(pairs.baseline.latency), len(pairs.log_ratios), len(pairs.order)) == (13, 10, 13)
    assert pairs.calm
    assert pairs.disturbed == pytest.approx(3 / 26)


@pytest.mark.parametrize(("calm_of_twelve", "pairs"), [(5, 17), (9, 13)])
def test_undisturbed_pairs_are_waited_for_while_there_are_some(calm_of_twelve: int, pairs: int) -> None:
    disturbed = Played("b", lambda index: 1.3 if index % 12 >= calm_of_twelve else 1.0)
    found = collect_pairs(Played("a", lambda index: 1.0), disturbed, plan=PLAN)
    assert (len(found.baseline.latency), len(found.log_ratios), found.calm) == (pairs, 10, True)


def test_on_a_board_that_begins_quicker_than_it_goes_on_nobody_waits_for_undisturbed_pairs() -> None:
    sides = [Played(name, lambda index: 1.0 if index < 3 else 1.3) for name in ("a", "b")]
    found = collect_pairs(sides[0], sides[1], plan=PLAN)
    assert (len(found.baseline.latency), len(found.log_ratios), found.calm) == (10, 10, False)


@pytest.mark.parametrize(
    ("speed", "words"), [([1.0, 1.0, 1.0, 1.3, 1.3], "; left out"), ([1.0, 1.3, 1.3, 1.3], "not left out")]
)
def test_what_was_disturbed_is_a_note_of_the_comparison_and_spoils_nothing(speed: list[float], words: str) -> None:
    one, other = (tuple(played(speed, seed=i + 50 * side) for i in range(10)) for side in (0, 1))
    pairs = Pairs(
        baseline=make_samples(trials=one), candidate=make_samples(trials=other), order=PLAN.order()[:10], seed=1
    )
    sides = [
        measurement_from(samples, device="pi4", model=MeasuredModel(name="a", sha256=SHA))
        for samples in (pairs.baseline, pairs.candidate)
    ]
    found = compare_pairs(pairs, *sides)
    assert found.disturbed == pairs.disturbed
    (reason,) = [reason for reason in found.reasons if reason.code == "disturbed"]
    assert (reason.weight, words in reason.message) == ("note", True)
    assert found.verdict != "invalid"


def test_processes_that_were_slowed_down_make_a_measurement_unstable_where_they_are_many() -> None:
    def weight(slow: int) -> list[str]:
        trials = tuple(played([1.3 if i < slow else 1.0] * 5, seed=i) for i in range(10))
        reasons = clocks(make_samples(trials=trials), BoardLimits())
        return [reason.weight for reason in reasons if reason.code == "uneven-pace"]

    assert [weight(slow) for slow in (0, 1, 2, 3)] == [[], ["note"], ["note"], ["unstable"]]


@pytest.mark.parametrize(
    ("pace_ns", "pace_at", "words"),
    [
        ((1,), (), "without its place"),
        ((1, 1), (5, 3), "without its place"),
        ((1, 1), (0, 101), "iterations that there are not"),
        ((1, 1), (-1, 100), "iterations that there are not"),
        ((-1,), (0,), "negative time"),
    ],
)
def test_a_pace_that_cannot_be_is_refused(pace_ns: tuple[int, ...], pace_at: tuple[int, ...], words: str) -> None:
    wrong = implausible(make_trial(iterations=100, pace_ns=pace_ns, pace_at=pace_at))
    assert wrong is not None
    assert words in wrong
