"""compare and selftest with real processes on real boards."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_onnx
import tiny_tflite
from rich.console import Console
from sshd_board import Sshd

from edgekit.core.artifact import open_artifact
from edgekit.core.errors import MeasurementError, ModelError, UsageError
from edgekit.core.events import Event, ignore
from edgekit.measure.pairs import PairPlan
from edgekit.measure.plan import Plan
from edgekit.report.compared import comparison_sentence, comparison_table, names
from edgekit.results.store import open_store
from edgekit.verbs.boards import Board, Reach, open_board
from edgekit.verbs.compare import compare, compare_on
from edgekit.verbs.selftest import flagged, selftest, selftest_on

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
    assert 10 <= found.pairs <= PLAN.most
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
    assert (found.device, found.verdict, found.pairs >= 10) == ("pi4", "slower", True), (found.ci95, found.reasons)
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


@pytest.mark.parametrize("margin", [0.0, 0.06, 0.99])
def test_a_self_test_that_every_board_would_fail_is_refused_before_one_is_asked(margin: float) -> None:
    with pytest.raises(UsageError, match="asks whether the board finds 10 %"):
        selftest("nobody-has-this", margin=margin)


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


# ----------------------------------------------------------------------------------------------- on two runtimes

#: three pairs: which runtimes they ran on is known after the first
FEW = PairPlan(process=dataclasses.replace(PROCESS, min_s=0.02, cold_processes=0), looks=(3,), seed=7)


def test_a_model_is_compared_with_itself_on_two_runtimes(models: tuple[Path, Path]) -> None:
    told: list[Event] = []
    (found,) = compare(models[0], runtime="litert,litert-builtin", plan=FEW, on_event=told.append)
    used = [side.runtime for side in (found.baseline, found.candidate)]
    assert [(one.name, one.kernels, one.delegate) for one in used if one] == [
        ("LiteRT C API", "delegate", "XNNPACK"),
        ("LiteRT C API", "builtin", "none"),
    ]
    assert found.baseline.model.sha256 == found.candidate.model.sha256
    assert "runtimes-differ" in {reason.code for reason in found.reasons}
    sides = {event.figures.about for event in told if event.figures}
    assert sides == {"light (litert)", "light (litert-builtin)"}
    assert "light (litert-builtin)" in comparison_sentence(found)
    shown = text_of(comparison_table(found))
    assert "light (litert): LiteRT C API" in shown
    assert "light (litert-builtin): LiteRT C API" in shown
    assert "built-in kernels" in shown


def test_each_of_two_models_may_have_its_own_runtime(models: tuple[Path, Path]) -> None:
    (found,) = compare(*models, runtime=["ai_edge_litert", "litert"], plan=FEW)
    assert [side.runtime.name for side in (found.baseline, found.candidate) if side.runtime] == [
        "ai_edge_litert",
        "LiteRT C API",
    ]


def test_the_same_weights_as_tflite_and_as_onnx_are_compared_without_a_word_about_runtimes(tmp_path: Path) -> None:
    tflite = tiny_tflite.write(tmp_path, tiny_onnx.dense_tflite(), "dense.tflite")
    onnx = tiny_onnx.write(tmp_path, name="dense.onnx")
    (found,) = compare(tflite, onnx, plan=FEW)
    assert [side.runtime.name for side in (found.baseline, found.candidate) if side.runtime] == [
        "LiteRT C API",
        "onnxruntime",
    ]
    assert names(found) == ("dense", "dense.onnx")
    assert "random-samples" in {notice.code for notice in found.candidate.notices}


def test_models_that_take_other_data_are_compared_with_a_warning(models: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(tiny_tflite.dense_chain_int8(layers=2, columns=32))
    (found,) = compare(models[0], other, plan=FEW)
    (notice,) = [one for one in found.candidate.notices if one.code == "made-for-other-data"]
    assert "[1, 32], those of" in notice.message
    (same,) = compare(*models, plan=FEW)
    assert "made-for-other-data" not in {one.code for one in same.candidate.notices}


@pytest.mark.parametrize(
    ("second", "runtime", "words"),
    [
        ("", "auto", "nothing to compare"),
        ("", "litert,litert", "nothing to compare"),
        ("", "litert,onnxruntime", "onnxruntime does not run light.tflite"),
        ("heavy.tflite", "litert,native,litert-builtin", "3 runtimes are named"),
        ("heavy.tflite", "litert,litrt", "litrt"),
        ("dense.onnx", "litert", "litert does not run dense.onnx"),
    ],
)
def test_runtimes_that_do_not_go_with_their_sides_are_refused(
    models: tuple[Path, Path], tmp_path: Path, second: str, runtime: str, words: str
) -> None:
    tiny_onnx.write(tmp_path, name="dense.onnx")
    with pytest.raises(UsageError, match=words) as refused:
        compare(models[0], tmp_path / second if second else None, runtime=runtime, device="nobody-has-this")
    assert refused.value.hint


def text_of(table: Any) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]  # the buffer above
