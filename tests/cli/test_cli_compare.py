"""compare and selftest as their users see them."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_tflite
from cli_run import Edgekit

from edgekit.cli.pairing import fraction, keep
from edgekit.core.errors import UsageError
from edgekit.measure.compare import Comparison
from edgekit.measure.pairs import PairPlan
from edgekit.measure.plan import Plan
from edgekit.report.compared import comparison_sentence
from edgekit.results.store import open_store
from edgekit.verbs.compare import compare


def write(folder: Path, name: str, layers: int) -> Path:
    path = folder / name
    path.write_bytes(tiny_tflite.dense_chain_int8(layers=layers, columns=64))
    return path


def compared(folder: Path) -> Comparison:
    """A comparison of a model with one of ten times its work, by short processes."""
    process = Plan(name="test", memory_processes=1, cold_processes=0, min_s=0.05, warmup_s=0.02, retries=0)
    plan = PairPlan(process=process, looks=(10,), seed=3)  # enough for pairs that differ wildly
    (found,) = compare(write(folder, "light.tflite", 4), write(folder, "heavy.tflite", 40), plan=plan)
    return found


def test_a_comparison_is_kept_with_both_sides_and_all_their_samples(tmp_path: Path) -> None:
    store = open_store()
    document, notices = keep(compared(tmp_path), store)
    assert not [notice for notice in notices if notice.code == "not-stored"]
    (kept,) = store.list("comparison")
    assert (kept.id, kept.verdict) == (document["id"], document["verdict"])
    for side in ("baseline", "candidate"):
        samples = store.samples(kept.document[side]["id"])
        assert len(samples.latency) >= 10
        assert all(trial.latency_ns for trial in samples.latency)


def test_the_sentence_says_who_is_slower_by_how_much_and_how_sure_that_is(tmp_path: Path) -> None:
    found = compared(tmp_path)
    text = comparison_sentence(found)
    assert text.startswith("heavy is ")
    assert " slower than light (95 % interval " in text
    assert text.endswith(f", {found.pairs} pairs)")


def test_a_quick_comparison_is_refused_before_anything_is_read(edgekit: Edgekit) -> None:
    ran = edgekit("compare", "no.tflite", "file.tflite", "--plan", "quick", "--json")
    assert ran.status == 2
    assert "only indicative" in ran.error["message"]


@pytest.mark.parametrize("given", ["much", "-1%", "120%", "2"])
def test_a_margin_that_is_none_is_refused(edgekit: Edgekit, given: str) -> None:
    ran = edgekit("compare", "a.tflite", "b.tflite", f"--margin={given}", "--json")
    assert ran.status == 2
    assert "--margin" in ran.error["message"]


def test_a_margin_may_be_a_percentage_or_a_fraction() -> None:
    assert fraction("2%", "--margin") == fraction("2 %", "--margin") == fraction("0.02", "--margin") == 0.02
    with pytest.raises(UsageError):
        fraction("2", "--margin")


def test_a_board_that_failed_its_self_test_is_named_wherever_it_is_listed(edgekit: Edgekit) -> None:
    kept = {"device": "local", "model": "digits", "model_sha256": "0" * 64}
    open_store().add("selftest", {"reasons": ["blunt: finds slow-downs from 20 % on"]}, verdict="failed", **kept)
    for arguments in (("devices", "list"), ("devices", "show", "local", "--offline")):
        ran = edgekit(*arguments, "--json")
        assert ran.status == 0, ran.err
        assert "selftest-failed" in {warning["code"] for warning in ran.document["warnings"]}


def test_a_benchmark_on_a_board_that_failed_its_self_test_says_so(edgekit: Edgekit) -> None:
    model = write(edgekit.folder, "model.tflite", 4)
    kept = {"device": "local", "model": "digits", "model_sha256": "0" * 64}
    open_store().add("selftest", {"reasons": ["blunt: finds slow-downs from 20 % on"]}, verdict="failed", **kept)
    ran = edgekit("benchmark", model, "--quick", "--json")
    (warning,) = [one for one in ran.document["warnings"] if one["code"] == "selftest-failed"]
    assert "blunt" in warning["message"]
    assert warning["hint"] == "edgekit devices selftest local"


def test_a_self_test_that_was_too_short_says_so_and_flags_no_board(edgekit: Edgekit) -> None:
    model = write(edgekit.folder, "model.tflite", 4)
    ran = edgekit("devices", "selftest", "local", "--model", model, "--max-time", "1")
    assert ran.status == 8, ran.err
    assert "give it more time (--max-time)" in " ".join(ran.out.split())
    assert "false alarms" not in ran.out


@pytest.mark.slow
def test_the_command_compares_a_model_with_itself_and_shows_both_sides(edgekit: Edgekit) -> None:
    model = write(edgekit.folder, "model.tflite", 6)
    ran = edgekit("compare", model, model, "--seed", "5", "--margin", "50%", "--json")
    assert ran.status in (0, 8), ran.err
    document = ran.document
    assert {"ratio", "ci95", "verdict", "pairs", "id", "sentence"} <= set(document)
    assert document["verdict"] not in ("faster", "slower")
    assert (document["seed"], document["margin"]) == (5, 0.5)
    shown = edgekit("results", "show", document["id"], "--json")
    assert shown.status == 0, shown.err
