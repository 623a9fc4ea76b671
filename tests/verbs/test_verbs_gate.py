"""gate with real processes on real boards: baselines in files, in folders and on boards, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from sshd_board import Sshd

import edgekit
from edgekit.core.artifact import manifest_path, open_artifact
from edgekit.core.errors import DeviceError, MeasurementError, ModelError, UsageError
from edgekit.core.events import ignore
from edgekit.device import releases
from edgekit.measure.gate import Gate
from edgekit.measure.gate_checks import GateLimits
from edgekit.measure.pairs import PairPlan
from edgekit.measure.plan import Plan
from edgekit.results.store import open_store
from edgekit.verbs.baselines import CURRENT, accept, pair_up
from edgekit.verbs.boards import Board, Reach, open_board
from edgekit.verbs.gate import gate, gate_plan, gating

#: short processes: what is tested is the way, and differences that nobody overlooks
PROCESS = Plan(
    name="test",
    memory_processes=2,
    cold_processes=0,
    min_s=0.05,
    warmup_s=0.02,
    warmup_max_s=2.0,
    retries=0,
    cool_wait_s=0.0,
)
#: up to 20 pairs: twelve that differ wildly, as on a busy machine, could not be sure enough for several tests at once
PLAN = PairPlan(process=PROCESS, looks=(8, 12, 20), seed=7)
#: a quarter slower is allowed: tests must not depend on how busy this machine is
LIMITS = GateLimits(latency=0.25, memory=0.5)


def write(folder: Path, layers: int, name: str = "kws.tflite") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(tiny_tflite.dense_chain_int8(layers=layers, columns=96))
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "baselines", 8)


def outcomes(found: Gate) -> dict[str, str]:
    return {check.name: check.outcome for check in found.checks}


def test_the_same_model_is_never_failed(base: Path, tmp_path: Path) -> None:
    found = gate(write(tmp_path / "new", 8), baseline=base.parent, plan=PLAN, limits=LIMITS)
    assert found.verdict != "failed", [check.sentence for check in found.checks]
    assert (outcomes(found)["memory"], outcomes(found)["size"]) == ("passed", "passed")
    (comparison,) = found.comparisons
    assert comparison.baseline.model.sha256 == comparison.candidate.model.sha256


def test_a_model_with_really_more_work_fails_by_its_latency_and_its_size(base: Path, tmp_path: Path) -> None:
    found = edgekit.gate(write(tmp_path / "new", 160), baseline=base, plan=PLAN, limits=LIMITS)
    assert found.verdict == "failed"
    assert (outcomes(found)["latency"], outcomes(found)["size"]) == ("failed", "failed")
    (latency,) = [check for check in found.checks if check.name == "latency"]
    assert latency.change.ci95 is not None
    assert latency.change.ci95[0] > 1.25


def test_pairs_go_on_until_they_decide_at_the_gates_own_limit(tmp_path: Path) -> None:
    plan = gate_plan(PLAN, limits=LIMITS, tests=16)
    twice, within = [numpy.log(2.0)] * 8, [numpy.log(1.1)] * 8
    assert not plan.decides([*twice, 0.0])  # one pair of nine is odd
    assert not plan.decides(twice)  # eight pairs can never be sure enough for sixteen tests
    assert plan.decides(twice + twice)
    assert plan.decides(within)  # slower, but shown to be within the limit: it is enough
    assert gate_plan(PLAN, limits=dataclasses.replace(LIMITS, latency=None), tests=1).decides([])


def test_a_gate_over_ssh_takes_the_release_that_is_current_there_as_its_baseline(
    base: Path, tmp_path: Path, sshd_board: Sshd
) -> None:
    slow = write(tmp_path / "slow", 40)
    with pytest.raises(DeviceError, match="no current release of kws") as none_there:
        gate(slow, baseline=CURRENT, device="pi4", plan=PLAN)
    assert none_there.value.hint is not None
    assert f"edgekit deploy {slow} --device pi4" in none_there.value.hint
    with open_board("pi4", Reach(), "auto", ignore) as board:
        release = releases.publish(board.device.workspace, open_artifact(base))
        releases.activate(board.device.workspace, release)
    found = gate(slow, baseline=CURRENT, device="pi4", plan=PLAN, limits=LIMITS)
    assert found.verdict == "failed"
    (comparison,) = found.comparisons
    assert comparison.baseline.model.sha256.startswith(release.id)
    damaged = sshd_board.path(release.model_path)
    damaged.write_bytes(b"\0" + damaged.read_bytes()[1:])
    with pytest.raises(DeviceError, match="is damaged"):
        gate(slow, baseline=CURRENT, device="pi4", plan=PLAN)


def test_two_models_on_two_boards_are_one_decision(base: Path, tmp_path: Path, sshd_board: Sshd) -> None:
    new = [write(tmp_path / "new", 8), write(tmp_path / "new", 40, "other.tflite")]
    write(base.parent, 8, "other.tflite")
    found = gate(new, baseline=base.parent, device=["local", "pi4"], plan=PLAN, limits=LIMITS)
    failed = {(check.model, check.device) for check in found.of("failed") if check.name == "latency"}
    assert failed == {("other", "local"), ("other", "pi4")}, [check.sentence for check in found.checks]
    assert len(found.comparisons) == 4


def test_scores_are_taken_from_rows_that_are_named_and_a_drop_fails(base: Path, tmp_path: Path) -> None:
    rng = numpy.random.default_rng(1)
    rows = tmp_path / "rows.npz"
    model = tiny_tflite.dense(columns=8)
    good, bad = tmp_path / "baselines" / "c.tflite", tmp_path / "c.tflite"
    good.write_bytes(model)
    bad.write_bytes(tiny_tflite.dense(columns=8, bias=0.0))
    x = rng.normal(size=(60, 8)).astype("float32")
    numpy.savez(rows, x=x, y=labels_of(good, x))
    only_score = GateLimits(latency=None, memory=None, size=None)
    plan = dataclasses.replace(PLAN, looks=(2,))
    worse = gate(bad, baseline=good, data=str(rows), plan=plan, limits=only_score)
    (check,) = worse.checks
    assert (check.outcome, check.change.baseline) == ("failed", 1.0), check.sentence
    same = gate(good, baseline=good, data=str(rows), plan=plan, limits=only_score)
    assert same.verdict == "passed"


def labels_of(model: Path, rows: numpy.ndarray) -> numpy.ndarray:
    """What a model says of rows: by these labels it is right every time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    found = []
    for row in rows:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row[None])
        interpreter.invoke()
        found.append(int(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).argmax()))
    return numpy.array(found)


# --------------------------------------------------------------------------------------------------- refusals


def test_a_board_that_failed_its_self_test_is_refused_before_it_is_asked(base: Path) -> None:
    kept = {"device": "local", "model": "digits", "model_sha256": "0" * 64}
    open_store().add("selftest", {"reasons": ["blunt: finds slow-downs from 20 % on"]}, verdict="failed", **kept)
    with pytest.raises(MeasurementError, match="failed its self-test") as refused:
        gate(base, baseline=base, plan=PLAN)
    assert (refused.value.exit_code, refused.value.hint) == (8, "edgekit devices selftest local")


def test_an_emulated_board_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Board.limits.fget  # type: ignore[attr-defined]  # the property's own function
    monkeypatch.setattr(Board, "limits", property(lambda board: dataclasses.replace(limits(board), emulated=True)))
    with pytest.raises(MeasurementError, match="emulated"):
        gate(base, baseline=base, plan=PLAN)


@pytest.mark.parametrize(
    ("candidates", "baseline", "words"),
    [
        (("a", "b"), ("a",), "2 candidates and 1 baselines"),
        (("a", "a"), ("a", "b"), "two candidates are called a.tflite"),
    ],
)
def test_candidates_and_baselines_must_go_together(
    tmp_path: Path, candidates: Sequence[str], baseline: Sequence[str], words: str
) -> None:
    paths = {name: write(tmp_path, 2, f"{name}.tflite") for name in ("a", "b")}
    with pytest.raises(UsageError, match=words):
        pair_up([paths[name] for name in candidates], [paths[name] for name in baseline])


def test_a_model_without_a_baseline_is_told_how_to_become_the_first(base: Path, tmp_path: Path) -> None:
    new = write(tmp_path, 2, "new.tflite")
    with pytest.raises(ModelError, match="no baseline yet") as missing:
        pair_up(new, base.parent)
    assert missing.value.hint is not None
    assert missing.value.hint.endswith("--accept")


def test_a_baseline_that_cannot_be_used_is_named_with_its_folder(base: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new", 2)
    base.write_bytes(base.read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"the baseline .*baselines/kws\.tflite cannot be used: .*damaged"):
        pair_up(new, base)
    with pytest.raises(UsageError, match="device:previous: of what is on a board only device:current"):
        pair_up(new, "device:previous")


def test_a_plan_that_is_only_indicative_is_refused_before_a_board_is_asked(base: Path) -> None:
    with pytest.raises(UsageError, match="only indicative"):
        gate(base, baseline=base, device="nobody-has-this", plan="quick")
    with pytest.raises(ModelError, match="no such file"):
        gate("missing.tflite", baseline=base, device="nobody-has-this")


def test_what_cannot_be_scored_is_found_before_a_board_is_asked(base: Path) -> None:
    from edgekit.verbs.gate import scoring

    with pytest.raises(edgekit.EdgekitError, match=r"missing\.npz"):
        gating(
            [(open_artifact(base), open_artifact(base))],
            boards=1,
            limits=LIMITS,
            score=scoring("missing.npz", {}, metric="auto"),
        )


def test_an_accepted_model_lies_in_its_baselines_place_with_its_manifest_or_without_any(tmp_path: Path) -> None:
    new = write(tmp_path / "new", 2)
    place = tmp_path / "baselines" / "deep" / "kws.tflite"
    accept(new, place)
    assert place.read_bytes() == new.read_bytes()
    stale = manifest_path(place)
    stale.write_text(json.dumps({"of": "another model"}))
    accept(new, place)
    assert not stale.exists()
    accept(place, place)
    assert open_artifact(place).path.is_file()
