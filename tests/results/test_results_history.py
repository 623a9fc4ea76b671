"""One model on one board over time: what belongs together, what does not, and where the level changed."""

from __future__ import annotations

import itertools
import json
import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy
import pytest
from synthetic_trials import RUNTIME, make_samples

from edgekit.core.errors import UsageError
from edgekit.core.places import data_dir
from edgekit.measure.measurement import MeasuredModel, measurement_from
from edgekit.measure.plan import make_plan
from edgekit.report.headlines import headline
from edgekit.results.changes import mann_whitney, steps
from edgekit.results.history import CAVEAT, HistoryPoint, history
from edgekit.results.query import Query, before_now, moment
from edgekit.results.store import Store, open_store

SHA = "aa" * 32


@pytest.fixture
def store() -> Store:
    return open_store()


def keep(
    store: Store, median_ns: float = 2e6, *, seed: int = 0, sha: str = SHA, plan: str = "standard", **other: Any
) -> str:
    values = {"device": "pi4", "name": "digits.tflite", "kind": "int8", "source": "cd" * 32} | other
    model = MeasuredModel(
        name=values.pop("name"), sha256=sha, kind=values.pop("kind"), source_sha256=values.pop("source")
    )
    device = values.pop("device")
    samples = make_samples(plan=make_plan(plan), median_ns=median_ns, seed=seed, iterations=70, **values)
    return store.add_measurement(measurement_from(samples, device=device, model=model))


def sessions(*levels: float, seed: int = 0, noise: float = 0.004) -> list[list[float]]:
    generator = numpy.random.default_rng(seed)
    return [list(generator.lognormal(0, noise, 10) * level) for level in levels]


def changed(points: tuple[HistoryPoint, ...]) -> list[int]:
    return [place for place, point in enumerate(points) if point.change]


# -------------------------------------------------------------------------------------------------- the test itself


def exact_p(one: list[float], other: list[float]) -> float:
    """Two-sided p by going through every way to draw the first side."""
    ranks = {value: rank for rank, value in enumerate(sorted(one + other), 1)}
    size, total = len(one), len(ranks)
    middle = size * (total + 1) / 2
    found = abs(sum(ranks[value] for value in one) - middle)
    sums = [abs(sum(drawn) - middle) for drawn in itertools.combinations(range(1, total + 1), size)]
    return sum(value >= found for value in sums) / len(sums)


@pytest.mark.parametrize("shift", [0.0, 2.5, 4.5, 5.5, 6.5])
def test_the_rank_test_agrees_with_going_through_every_draw(shift: float) -> None:
    one, other = [float(value) for value in range(9)], [value + shift + 0.25 for value in range(9)]
    exact, found = exact_p(one, other), mann_whitney(one, other)
    assert 0.95 * exact <= found <= 1.25 * exact + 2e-3  # where it errs, it errs on the side of "no change"


def test_values_that_are_all_alike_show_nothing() -> None:
    assert mann_whitney([5.0] * 10, [5.0] * 10) == 1.0


def test_a_step_is_found_where_it_is() -> None:
    (step,) = steps(sessions(1.0, 1.0, 1.0, 1.05, 1.05))
    assert (step.at, step.before, step.after) == (3, 30, 20)
    assert step.ratio == pytest.approx(1.05, abs=0.01)
    assert step.p < 0.002


def test_two_steps_are_two() -> None:
    assert [step.at for step in steps(sessions(1.0, 1.0, 1.1, 1.1, 1.0, 1.0))] == [2, 4]


def test_less_than_two_percent_is_nobodys_business() -> None:
    assert steps(sessions(1.0, 1.0, 1.015, 1.015)) == ()


def test_fewer_than_nine_processes_a_side_prove_nothing() -> None:
    assert steps([[1.0, 1.01, 1.02] * 2, [2.0, 2.01, 2.02] * 2]) == ()


def test_sessions_that_differ_anyhow_are_no_change() -> None:
    false = 0
    for seed in range(200):
        weather = numpy.random.default_rng(seed).lognormal(0, 0.02, 12)
        false += bool(steps(sessions(*weather, seed=seed)))
    assert false <= 10  # in 5 % of histories at most, with sessions 2 % apart and nothing changed


# ----------------------------------------------------------------------------------------------------- what is joined


def test_a_change_is_marked_with_what_it_is_worth(store: Store) -> None:
    for seed, level in enumerate((2e6, 2e6, 2.2e6, 2.2e6)):
        keep(store, level, seed=seed)
    points = history(store, "digits", "pi4")
    assert changed(points) == [2]
    change = points[2].change
    assert change is not None
    assert (change.before, change.after, change.cause, change.caveat) == (20, 20, "unknown", CAVEAT)
    assert change.ratio == pytest.approx(1.1, abs=0.01)


def test_a_new_runtime_breaks_the_row_and_is_no_change_of_the_model(store: Store) -> None:
    import dataclasses

    for seed in range(2):
        keep(store, seed=seed)
    newer = dataclasses.replace(RUNTIME, version="2.4.0")
    for seed in range(2, 4):
        keep(store, 2.4e6, seed=seed, runtime=newer)
    points = history(store, "digits", "pi4")
    assert points[2].breaks == ("new runtime version: 2.3.0 → 2.4.0",)
    assert changed(points) == []


def test_a_new_model_is_a_point_of_its_own_and_the_cause_of_its_change(store: Store) -> None:
    keep(store, seed=0)
    keep(store, 1.8e6, seed=1, sha="bb" * 32)
    points = history(store, "digits", "pi4")
    assert points[1].breaks == ("new model: aaaaaaaa → bbbbbbbb",)
    change = points[1].change
    assert change is not None
    assert change.cause == "new model"
    assert change.ratio == pytest.approx(0.9, abs=0.01)


def test_what_happened_later_is_not_put_on_the_new_model(store: Store) -> None:
    for seed, (level, sha) in enumerate([(2e6, "aa"), (2e6, "aa"), (2e6, "bb"), (2e6, "bb"), (2.2e6, "bb")]):
        keep(store, level, seed=seed, sha=sha * 32)
    assert changed(history(store, "digits", "pi4")) == [4]


def test_other_threads_boards_plans_and_kinds_are_other_rows(store: Store) -> None:
    keep(store)
    keep(store, plan="quick")
    keep(store, kind="float32")
    keep(store, device="pi5")
    keep(store, runtime=replace(RUNTIME, weight_cache=True))
    assert len({point.series for point in history(store, "digits", "pi4")}) == 4
    assert len(history(store, "digits", "pi5")) == 1
    assert history(store, "digits", "local") == ()


def test_another_labs_board_of_the_same_name_is_another_board(store: Store) -> None:
    for seed in range(2):
        keep(store, seed=seed)
    with sqlite3.connect(data_dir() / "results.sqlite") as connection:
        connection.execute("UPDATE runs SET lab = 'munich', row_sha256 = NULL WHERE id = ?", (store.list()[0].id,))
    points = history(store, "digits", "pi4")
    assert {point.series.lab for point in points} == {None, "munich"}
    assert not any(point.breaks for point in points)


@pytest.mark.parametrize("name", ["digits", "digits.tflite", "aaaa", "cdcdcd"])
def test_a_model_is_found_by_name_by_hash_and_by_where_it_came_from(store: Store, name: str) -> None:
    keep(store)
    keep(store, name="other.tflite", sha="ee" * 32, source="ef" * 32)
    assert len(history(store, name, "pi4")) == 1


def test_lost_samples_are_told_and_the_rest_is_tested(store: Store) -> None:
    lost = keep(store)
    (data_dir() / "samples" / f"{lost}.json.gz").unlink()
    for seed, level in enumerate((2e6, 2.2e6)):
        keep(store, level, seed=seed)
    points = history(store, "digits", "pi4")
    assert "are gone" in points[0].missing
    assert changed(points) == [2]


# ------------------------------------------------------------------------------------------------------------ queries


def test_results_are_found_by_time_and_verdict(store: Store) -> None:
    days = [keep(store, plan="quick", seed=seed) for seed in range(3)]
    with sqlite3.connect(data_dir() / "results.sqlite") as connection:
        for day, result_id in enumerate(days, 1):
            created = f"2026-11-0{day}T12:00:00.000000+00:00"
            connection.execute("UPDATE runs SET created = ?, row_sha256 = NULL WHERE id = ?", (created, result_id))
    connection.close()

    def found(**query: Any) -> list[str]:
        return [result.id for result in reversed(store.list(query=Query(**query)))]

    assert found(since=moment("2026-11-02", option="--since")) == days[1:]
    assert found(until=moment("2026-11-02", option="--until", end=True)) == days[:2]
    assert found(since=moment("2026-11-02T12:30+01:00", option="--since")) == days[1:]
    assert found(since=moment("2026-11-02T12:30", option="--since")) == days[2:]
    assert found(verdict="invalid") == []
    assert found(verdict=str(store.get(days[0]).verdict)) == days


def test_a_length_of_time_is_counted_back_from_now() -> None:
    now = datetime(2026, 11, 8, tzinfo=timezone.utc)
    assert before_now("7d", option="--last", now=lambda: now) == now - timedelta(days=7)
    assert before_now("90min", option="--last", now=lambda: now) == now - timedelta(minutes=90)
    assert before_now("99999w", option="--last", now=lambda: now).year <= 111


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "7 days ago", "1e9d"])
def test_what_is_no_length_of_time_is_a_usage_error_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="is not a length of time") as caught:
        before_now(text, option="--last")
    assert "7d" in (caught.value.hint or "")


def test_what_is_no_date_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--since 'yesterday' is not a date"):
        moment("yesterday", option="--since")


# ---------------------------------------------------------------------------------------------------------- headlines


@pytest.mark.parametrize(
    ("kind", "document", "text"),
    [
        (
            "comparison",
            {"ratio": 0.912, "ci95": [0.905, 0.921], "pairs": 10},
            "faster: latency × 0.912 (0.905–0.921), 10 pairs",
        ),
        ("comparison", {"ratio": None, "ci95": None, "pairs": 0}, "faster, 0 pairs"),
        ("gate", {"checks": [{"outcome": "faster", "message": "latency × 1.08"}]}, "faster: latency × 1.08"),
        (
            "selftest",
            {"false_alarm_rate": 0.0, "detectable": 0.018},
            "faster: finds changes from 1.8 %, 0.0% false alarms",
        ),
        ("profile", {"ops": []}, "faster"),
        ("dream", {"anything": 1}, "faster"),
        ("measurement", {}, "faster"),
    ],
)
def test_every_kind_has_a_headline_and_strange_ones_their_verdict(kind: str, document: Any, text: str) -> None:
    assert headline({"kind": kind, "verdict": "faster", "document": json.loads(json.dumps(document))}) == text
