from __future__ import annotations

import sys
from pathlib import Path

import numpy
import pytest

from edgekit.core.errors import DataError, UsageError
from edgekit.data.spec import DataSpec, data_spec
from edgekit.data.split import Splits, in_part, split


def saved(path: Path, rows: int, *, start: int = 0) -> DataSpec:
    numpy.savez(path, x=numpy.arange(start * 4, (start + rows) * 4).reshape(rows, 4), y=numpy.arange(rows) % 3)
    return data_spec(path)


def codes(splits: Splits) -> list[str]:
    return [notice.code for notice in splits.notices]


def test_without_training_a_fifth_calibrates_and_the_rest_evaluates(tmp_path: Path) -> None:
    found = split(saved(tmp_path / "d.npz", 100))
    assert found.training is None
    assert len(found.representative.rows) == 20
    assert len(found.evaluation.rows) == 80
    assert sorted(found.representative.rows + found.evaluation.rows) == list(range(100))


def test_at_most_200_rows_calibrate(tmp_path: Path) -> None:
    assert len(split(saved(tmp_path / "d.npz", 5000)).representative.rows) == 200


def test_with_training_a_fifth_is_held_out_and_calibration_rows_are_trained_ones(tmp_path: Path) -> None:
    found = split(saved(tmp_path / "d.npz", 1000), needs_training=True)
    assert len(found.evaluation.rows) == 200
    assert len(found.training.rows) == 800
    assert not set(found.training.rows) & set(found.evaluation.rows)
    assert set(found.representative.rows) <= set(found.training.rows)
    assert len(found.representative.rows) == 200


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    data = saved(tmp_path / "d.npz", 100)
    assert split(data, seed=1) == split(data, seed=1)
    assert split(data, seed=1) != split(data, seed=2)


def test_a_file_with_parts_is_used_by_its_parts(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x_train=numpy.arange(900).reshape(300, 3), x_test=-numpy.arange(30).reshape(10, 3))
    found = split(data_spec(tmp_path / "d.npz"), needs_training=True)
    assert (found.training.part, found.training.rows) == ("train", None)
    assert (found.representative.part, len(found.representative.rows)) == ("train", 200)
    assert (found.evaluation.part, found.evaluation.rows) == ("test", None)
    assert in_part(data_spec(tmp_path / "d.npz"), "representative").part == "train"


def test_datasets_given_for_a_role_are_used_whole(tmp_path: Path) -> None:
    data, other = saved(tmp_path / "d.npz", 100), saved(tmp_path / "e.npz", 50, start=1000)
    found = split(data, evaluation=other)
    assert found.evaluation == other
    assert len(found.representative.rows) == 100
    found = split(data, representative=other)
    assert found.representative == other
    assert found.evaluation == data
    found = split(data, evaluation=other, needs_training=True)
    assert found.training == data
    assert split(None, representative=data).evaluation is None


def test_overlapping_datasets_are_noticed(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "d.npz", 100), saved(tmp_path / "e.npz", 100, start=90)
    found = split(None, one, other)
    assert codes(found) == ["overlapping-rows"]
    assert "10 of 100 representative rows" in found.notices[0].message
    assert codes(split(None, one, one)) == ["overlapping-rows"]
    assert codes(split(None, one, saved(tmp_path / "f.npz", 100, start=500))) == []


def test_training_rows_that_evaluate_are_noticed(tmp_path: Path) -> None:
    data, other = saved(tmp_path / "d.npz", 100), saved(tmp_path / "e.npz", 50, start=1000)
    found = split(None, other, data, data, needs_training=True)
    assert codes(found) == ["overlapping-rows"]
    assert "training rows" in found.notices[0].message


def test_divided_rows_of_one_file_do_not_overlap(tmp_path: Path) -> None:
    assert codes(split(saved(tmp_path / "d.npz", 100), needs_training=True)) == []


def test_roles_without_data_are_usage_errors(tmp_path: Path) -> None:
    data = saved(tmp_path / "d.npz", 10)
    with pytest.raises(UsageError, match="no data to calibrate with"):
        split(None, evaluation=data)
    with pytest.raises(UsageError, match="no data to train with"):
        split(None, representative=data, needs_training=True)


def test_a_single_row_cannot_calibrate_and_evaluate(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot calibrate and evaluate"):
        split(saved(tmp_path / "d.npz", 1))


def test_a_function_that_yields_another_order_each_time_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_random.py").write_text(
        "import numpy\nstate = numpy.random.default_rng()\n"
        "def rows():\n    for _ in range(20):\n        yield state.random(3)\n"
        "def seeded():\n    yield from numpy.random.default_rng(0).random((20, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert codes(split(data_spec("my_random:rows"))) == ["data-order-changes"]
    assert codes(split(data_spec("my_random:seeded"))) == []
