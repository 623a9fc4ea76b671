"""compare and selftest with real processes on real boards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_tflite
from sshd_board import Sshd

from edgekit.core.artifact import open_artifact
from edgekit.core.errors import MeasurementError, ModelError, UsageError
from edgekit.core.events import Event, ignore
from edgekit.measure.pairs import PairPlan
from edgekit.measure.plan import Plan
from edgekit.results.store import open_store
from edgekit.verbs.boards import Board, Reach, open_board
from edgekit.verbs.compare import compare, compare_on
from edgekit.verbs.selftest import flagged, selftest_on

#: short processes: what is tested is the way, and differences that nobody overlooks
PROCESS = Plan(
    name="test",
    memory_processes=1,
    cold_processes=1,
    min_s=0.1,
    warmup_s=0.05,
    warmup_max_s=1.0,
    retries=0,
    cool_wait_s=0.0,
)
PLAN = PairPlan(process=PROCESS, seed=7)


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """A model, and one with ten times the work."""
    paths = tmp_path / "light.tflite", tmp_path / "heavy.tflite"
    for path, layers in zip(paths, (6, 60), strict=True):
        path.write_bytes(tiny_tflite.dense_chain_int8(layers=layers, columns=128))
    return paths


@pytest.fixture
def board() -> Iterator[Board]:
    """This machine."""
    with open_board("local", Reach(), "auto", ignore) as opened:
        yield opened


def test_f57_a_model_with_more_work_is_slower_and_one_with_less_is_faster(models: tuple[Path, Path]) -> None:
    light, heavy = models
    (found,) = compare(light, heavy, plan=PLAN)
    assert found.verdict == "slower", found.reasons
    assert found.ratio is not None
    assert found.ci95 is not None
    assert 1.02 < found.ci95[0] <= found.ratio <= found.ci95[1]
    (turned,) = compare(heavy, light, plan=PLAN)
    assert turned.verdict == "faster", turned.reasons
    assert found.pairs in (10, 15, 20)
    assert found.size.ratio is not None
    assert found.size.ratio > 5
    assert found.memory.baseline
    assert found.cold_start.ratio
    assert (found.baseline.model.name, found.candidate.model.name) == ("light", "heavy")
    assert found.score is None


def test_f57_a_model_against_itself_is_neither_faster_nor_slower(models: tuple[Path, Path]) -> None:
    told: list[Event] = []
    (found,) = compare(models[0], models[0], plan=PLAN, on_event=told.append)
    assert found.verdict in ("equivalent", "inconclusive"), found.reasons
    assert found.size.ratio == 1.0
    sides = {event.figures.about for event in told if event.figures}
    assert sides == {"light (A)", "light (B)"}


def test_two_models_are_compared_on_a_board_over_ssh(models: tuple[Path, Path], sshd_board: Sshd) -> None:
    # ten pairs: fewer have no interval where they differ wildly, as on a busy machine
    (found,) = compare(*models, device="pi4", plan=dataclasses.replace(PLAN, looks=(10,)))
    assert (found.device, found.verdict, found.pairs) == ("pi4", "slower", 10), (found.ci95, found.reasons)
    assert sshd_board.path(sshd_board.home).exists()


def test_an_emulated_board_is_refused_before_anything_runs(models: tuple[Path, Path], board: Board) -> None:
    emulated = dataclasses.replace(board, facts=dataclasses.replace(board.facts, emulator="qemu-aarch64"))
    artifact = open_artifact(models[0])
    told: list[Event] = []
    with pytest.raises(MeasurementError, match="emulated"):
        compare_on(emulated, artifact, artifact, plan=PLAN, on_event=told.append)
    with pytest.raises(MeasurementError, match="emulated"):
        selftest_on(emulated, artifact, on_event=told.append)
    assert told == []


def test_what_is_wrong_is_found_before_a_board_is_asked(models: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only indicative"):
        compare(*models, device="nobody-has-this", plan="quick")
    with pytest.raises(ModelError, match="no such file"):
        compare(models[0], tmp_path / "missing.tflite", device="nobody-has-this")


def test_a_board_whose_self_test_failed_is_flagged_until_one_passes(models: tuple[Path, Path]) -> None:
    store = open_store()
    kept = {"device": "pi4", "model": "digits", "model_sha256": "0" * 64}
    assert flagged("pi4") is None
    store.add("selftest", {"reasons": ["blunt: finds slow-downs from 20 % on"]}, verdict="failed", **kept)
    notice = flagged("pi4")
    assert notice is not None
    assert "blunt" in notice.message
    assert notice.hint == "edgekit devices selftest pi4"
    assert flagged("pi5") is None
    store.add("selftest", {"reasons": ["too-few-processes: 3"]}, verdict="inconclusive", **kept)
    assert flagged("pi4", store) == notice
    store.add("selftest", {"reasons": []}, verdict="passed", **kept)
    assert flagged("pi4", store) is None
    store.add("selftest", {"reasons": ["too-few-processes: 3"]}, verdict="inconclusive", **kept)
    assert flagged("pi4", store) is None


def test_a_self_test_ends_in_time_and_says_that_it_was_too_short(models: tuple[Path, Path], board: Board) -> None:
    found = selftest_on(board, open_artifact(models[0]), max_time_s=3.0)
    assert 0 < found.processes < 20
    assert found.verdict in ("inconclusive", "failed")  # failed: this machine was disturbed meanwhile
    assert found.reasons[0].code == "too-few-processes"
    assert found.measurement.samples.plan.processes == found.processes
