from __future__ import annotations

import sys
from pathlib import Path

import numpy
import pytest

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError, UsageError
from edgekit.data.dataset import open_dataset
from edgekit.data.prepare import prepare_data
from edgekit.data.spec import DataChoice, DataSpec, data_spec

INPUTS = [TensorSpec(name="in", dtype="float32", shape=(1, 4))]


def test_the_roles_get_rows_reports_and_fingerprints(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.random.default_rng(0).random((1000, 4)), y=numpy.arange(1000) % 3)
    events = []
    found = prepare_data(
        DataChoice(data=data_spec(tmp_path / "d.npz")),
        inputs=INPUTS,
        needs_training=True,
        num_classes=3,
        on_event=events.append,
    )
    assert {role: report.count for role, report in found.reports.items()} == {
        "evaluation": 200,
        "representative": 200,
        "training": 800,
    }
    assert len(set(found.fingerprints.values())) == 3
    assert found.fingerprints["evaluation"] == open_dataset(found.splits.evaluation, inputs=INPUTS).fingerprint()
    assert found.has_labels["training"]
    assert found.notices == ()
    assert [event.task for event in events if event.state == "finished"] == [
        "check the evaluation data",
        "check the representative data",
        "check the training data",
    ]


def test_representative_data_of_another_scale_than_the_evaluation_data_are_noticed(tmp_path: Path) -> None:
    generator = numpy.random.default_rng(0)
    numpy.savez(tmp_path / "a.npz", x=generator.random((200, 4)) * 255)
    numpy.savez(tmp_path / "b.npz", x=generator.random((200, 4)))
    found = prepare_data(
        DataChoice(representative=data_spec(tmp_path / "a.npz"), evaluation=data_spec(tmp_path / "b.npz")),
        inputs=INPUTS,
    )
    assert [notice.code for notice in found.notices] == ["range-differs"]


def test_the_users_function_runs_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_child_data.py").write_text(
        "import numpy\ndef rows():\n    print('hello')\n    yield from numpy.random.default_rng(0).random((300, 4))\n"
        "def quits():\n    import os\n    yield numpy.zeros(4)\n    os.abort()\n"
    )
    monkeypatch.chdir(tmp_path)
    found = prepare_data(DataChoice(data=data_spec("my_child_data:rows")), inputs=INPUTS)
    assert found.reports["evaluation"].count == 240
    assert "my_child_data" not in sys.modules
    assert capfd.readouterr().out == ""
    with pytest.raises(DataError, match="reading of the data crashed"):
        prepare_data(DataChoice(data=data_spec("my_child_data:quits")), inputs=INPUTS)
    with pytest.raises(DataError, match="ended before sample 900"):
        prepare_data(DataChoice(representative=DataSpec(source="my_child_data:rows", rows=(1, 900))), inputs=INPUTS)


def test_faults_come_back_with_their_class_and_hint(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.full((200, 4), numpy.nan))
    with pytest.raises(DataError, match="NaN") as caught:
        prepare_data(DataChoice(data=data_spec(tmp_path / "d.npz")), inputs=INPUTS)
    assert "isfinite" in caught.value.hint
    with pytest.raises(UsageError, match="no data to calibrate"):
        prepare_data(DataChoice(), inputs=INPUTS)


def test_rows_that_no_step_calibrates_with_are_all_scored(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.random.default_rng(0).random((300, 4)), y=numpy.arange(300) % 3)
    found = prepare_data(DataChoice(data=data_spec(tmp_path / "d.npz")), inputs=INPUTS, needs_representative=False)
    assert found.splits.representative is None
    assert {role: report.count for role, report in found.reports.items()} == {"evaluation": 300}
