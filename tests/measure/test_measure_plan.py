"""Plans and what users may change in them."""

from __future__ import annotations

import pytest
from synthetic_trials import JOB

from edgekit.core.errors import UsageError
from edgekit.measure.plan import make_plan


def test_the_standard_plan_is_ten_processes_of_64_iterations_and_two_seconds() -> None:
    plan = make_plan()
    assert (plan.processes, plan.warmup_runs, plan.warmup_s, plan.min_runs, plan.min_s, plan.max_s) == (
        10,
        1,
        0.5,
        64,
        2.0,
        150.0,
    )
    assert plan.indicative == ()


def test_the_quick_plan_says_that_it_is_indicative() -> None:
    assert make_plan("quick").indicative[0] == "3 processes instead of 10"


def test_fewer_iterations_than_standard_are_indicative_too() -> None:
    assert make_plan(num_runs=5).indicative == ("5 iterations instead of 64",)


def test_a_users_numbers_reach_the_board() -> None:
    job = make_plan(num_runs=200, warmup_runs=7).job(JOB, "latency")
    assert (job.min_runs, job.warmup_runs, job.mode, job.model) == (200, 7, "latency", JOB.model)


def test_a_memory_process_is_short_and_of_its_own_mode() -> None:
    job = make_plan().job(JOB, "memory")
    assert (job.mode, job.min_runs, job.min_s) == ("memory", 16, 0.5)


def test_a_misspelt_plan_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError) as caught:
        make_plan("qick")
    assert "'quick'" in (caught.value.hint or "")


@pytest.mark.parametrize("bad", [{"num_runs": 0}, {"processes": 0}, {"warmup_runs": -1}, {"num_runs": 10**9}])
def test_numbers_that_cannot_be_measured_with_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="--"):
        make_plan(**bad)
