"""The Pareto front of latency and score."""

from __future__ import annotations

import kept_results
import pytest
from kept_results import measurement, restless_samples

from edgekit.report.collected import collect
from edgekit.report.pareto import Panel, panels
from edgekit.results.store import open_store


def scored(*models: tuple[str, float, float], metric: str = "top-1", **other: object) -> tuple[Panel, ...]:
    """Panels of models, each with a latency in ms and a score."""
    store = open_store()
    for place, (name, milliseconds, score) in enumerate(models):
        sha256 = f"{place:02x}" * 32
        kept = kept_results.manifest(name, sha256, "int8", score)
        store.add_optimization({**kept, "score": {**kept["score"], "metric": metric, "final": score}})
        store.add_measurement(measurement(name, sha256=sha256, median_ns=milliseconds * 1e6, **other))  # type: ignore[arg-type]
    return panels(collect(store).measurements)


def test_a_model_that_another_one_beats_in_both_is_not_on_the_front():
    (panel,) = scored(("quick", 1, 0.90), ("good", 3, 0.99), ("neither", 4, 0.95), ("between", 2, 0.95))
    assert [point.name for point in panel.points if point.front] == ["quick", "between", "good"]


def test_of_an_error_less_is_better():
    (panel,) = scored(("quick", 1, 0.5), ("worse", 2, 0.7), ("good", 3, 0.1), metric="mse")
    assert [point.name for point in panel.points if point.front] == ["quick", "good"]


def test_metrics_and_boards_are_never_in_one_panel():
    store = open_store()
    for place, (device, metric) in enumerate((("pi4", "top-1"), ("pi4", "mse"), ("pi5", "top-1"))):
        sha256 = f"{place:02x}" * 32
        kept = kept_results.manifest(f"m{place}", sha256, "int8", 0.9)
        store.add_optimization({**kept, "score": {**kept["score"], "metric": metric}})
        store.add_measurement(measurement(f"m{place}", sha256=sha256, device=device))
    found = panels(collect(store).measurements)
    assert {(panel.board, panel.metric, len(panel.points)) for panel in found} == {
        ("pi4", "top-1", 1),
        ("pi4", "mse", 1),
        ("pi5", "top-1", 1),
    }


@pytest.mark.parametrize(("emulated", "front"), [(True, 0), (False, 1)])
def test_an_emulated_board_has_no_front(emulated: bool, front: int):
    (panel,) = scored(("one", 1, 0.9), emulated=emulated)
    assert sum(point.front for point in panel.points) == front
    assert panel.emulated == emulated


def test_an_invalid_measurement_is_never_on_the_front_and_pushes_nobody_off_it():
    store = open_store()
    for name, sha256 in (("broken", "01" * 32), ("sound", "02" * 32)):
        store.add_optimization(kept_results.manifest(name, sha256, "int8", 0.9))
    wrong = measurement("broken", sha256="03" * 32, median_ns=1e6)
    store.add_measurement(wrong)
    store.add_measurement(measurement("sound", sha256="02" * 32, samples=restless_samples()))
    (panel,) = panels(collect(store).measurements)
    assert panel.lacking == ("broken",)
    assert [(point.name, point.verdict, point.front) for point in panel.points] == [("sound", "unstable", True)]
