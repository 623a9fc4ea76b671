"""Pairs: their order, when they end, what is repeated, what those who watch are told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from synthetic_trials import CALM, JOB, make_memory_trial, make_trial

from edgekit.core.errors import DeviceError, UsageError
from edgekit.core.events import Event
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.measurement import MeasuredModel
from edgekit.measure.pairs import PairPlan, collect_pairs, make_pair_plan
from edgekit.measure.plan import Plan
from edgekit.runner.protocol import Job, Trial

PROCESS = replace(Plan(name="test"), memory_processes=2, cold_processes=0, retries=1, cooldown_s=0.0)
PLAN = PairPlan(process=PROCESS, seed=1)


@dataclass
class Model:
    """A model that is ready on a board; its processes take what ``times`` says, one after the other."""

    name: str
    log: list[str]
    times: Callable[[int], float] = lambda index: 2e6
    crashes: set[int] = field(default_factory=set)
    job: Job = JOB
    limits: BoardLimits = field(default_factory=BoardLimits)
    starts_cold: bool = False
    ran: int = 0

    @property
    def model(self) -> MeasuredModel:
        return MeasuredModel(name=self.name, sha256=JOB.model_sha256)

    def run(self, job: Job, time_limit_s: float) -> Trial:
        self.ran += 1
        self.log.append(f"{self.name} {job.mode}")
        if self.ran in self.crashes:
            raise DeviceError("killed by SIGSEGV")
        if job.mode == "memory":
            return make_memory_trial(seed=self.ran)
        return make_trial(median_ns=self.times(self.ran), iterations=20, noise=0.0001, seed=self.ran)


def two(**options: Callable[[int], float]) -> tuple[Model, Model, list[str]]:
    log: list[str] = []
    return Model("a", log, options.get("a", lambda index: 2e6)), Model("b", log, options.get("b", lambda i: 2e6)), log


def test_every_two_pairs_are_abba_or_baab_by_a_lot_that_is_recorded() -> None:
    a, b, log = two()
    pairs = collect_pairs(a, b, plan=PLAN)
    timed = [entry[0] for entry in log if entry.endswith("latency")]
    blocks = ["".join(timed[index : index + 4]) for index in range(0, 20, 4)]
    assert set(blocks) == {"abba", "baab"}
    assert pairs.order == PLAN.order()[: len(pairs.order)]
    assert pairs.seed == 1
    assert replace(PLAN, seed=2).order() != PLAN.order()
    assert PairPlan().seed != PairPlan().seed


def test_ten_pairs_are_enough_where_they_agree() -> None:
    a, b, _ = two(b=lambda index: 2.4e6)
    pairs = collect_pairs(a, b, plan=PLAN)
    assert len(pairs.log_ratios) == len(pairs.baseline.latency) == len(pairs.candidate.latency) == 10
    assert (pairs.baseline.plan.processes, pairs.candidate.plan.processes) == (10, 10)


def test_pairs_are_added_up_to_twenty_while_it_is_open() -> None:
    a, b, _ = two(b=lambda index: 2e6 * (1.05 if index % 2 else 0.97))
    assert len(collect_pairs(a, b, plan=PLAN).log_ratios) == 20


def test_memory_has_processes_of_its_own_after_the_timed_ones() -> None:
    a, b, log = two()
    pairs = collect_pairs(a, b, plan=PLAN)
    assert [entry.split()[1] for entry in log[-4:]] == ["memory"] * 4
    assert (len(pairs.baseline.memory), len(pairs.candidate.memory)) == (2, 2)
    assert pairs.cold_problem == "the board's runner cannot start cold"


def test_a_crashed_process_is_repeated_within_its_pair() -> None:
    a, b, _ = two()
    b.crashes = {3}
    pairs = collect_pairs(a, b, plan=PLAN)
    assert [(one.index, one.reason) for one in pairs.candidate.repeated] == [(2, "crashed: killed by SIGSEGV")]
    assert len(pairs.log_ratios) == 10


def test_a_side_that_keeps_crashing_ends_the_comparison_with_its_own_error() -> None:
    a, b, _ = two()
    b.crashes = {3, 4}
    with pytest.raises(DeviceError, match="SIGSEGV"):
        collect_pairs(a, b, plan=PLAN)


def test_a_board_that_never_cools_leaves_whole_pairs_only() -> None:
    a, b, _ = two()
    glances = itertools.count()
    warm = replace(CALM, temperature_c=79.0)
    limits = BoardLimits(temperature_limit_c=80.0)
    a.limits = b.limits = limits
    pairs = collect_pairs(
        a,
        b,
        plan=replace(PLAN, process=replace(PROCESS, cool_wait_s=20.0)),
        read_now=lambda: CALM if next(glances) < 7 else warm,
        pause=lambda seconds: None,
        clock=itertools.count(0, 5).__next__,
    )
    assert len(pairs.baseline.latency) == len(pairs.candidate.latency) == 3
    assert "79 °C" in pairs.baseline.hot_start + pairs.candidate.hot_start


def test_those_who_watch_see_both_sides_apart_even_of_one_model() -> None:
    a, _, log = two()
    events: list[Event] = []
    collect_pairs(a, Model("a", log), plan=PLAN, on_event=events.append)
    seen = [event.figures for event in events if event.figures]
    assert {figures.about for figures in seen} == {"a (A)", "a (B)"}
    assert seen[-1].planned == 10
    assert any(figures.ci95_ns for figures in seen)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"plan": "quick"}, "only indicative"),
        ({"num_runs": 5}, "5 iterations instead of 64"),
        ({"margin": 0.0}, "out of range"),
        ({"margin": 0.9}, "out of range"),
        ({"plan": "qick"}, "unknown|no plan"),
    ],
)
def test_nothing_is_compared_with_a_plan_that_is_no_good(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_pair_plan(**given)  # type: ignore[arg-type]  # parametrized


def test_what_publish_asks_of_all_processes_is_shared_out_among_ten() -> None:
    plan = make_pair_plan("publish").process
    assert plan.min_s * 10 >= plan.total_s > 0
    assert plan.min_runs * 10 >= plan.total_runs > 0
