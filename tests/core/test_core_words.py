from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from edgekit.core import errors, files, places, units
from edgekit.core.artifact import TensorData
from edgekit.core.hashing import sha256_json, sha256_tree
from edgekit.core.suggest import nearest, unknown
from edgekit.core.toml import read_toml


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_234, "1.23 µs"),
        (34_600_000, "34.6 ms"),
        (2_500_000_000, "2.50 s"),
        (2e9, "2 s"),
        (None, "–"),
    ],
)
def test_durations_read_naturally(ns: float | None, text: str) -> None:
    assert units.duration(ns) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (46_120, "46.1 kB"), (999_900, "1.00 MB"), (None, "–")]
)
def test_sizes_read_naturally(count: float | None, text: str) -> None:
    assert units.size(count) == text


def test_a_loss_of_score_shows_as_minus() -> None:
    assert units.percentage_points(0.25) == "-0.25 pp"
    assert units.percentage_points(-0.5) == "+0.50 pp"


def test_exit_statuses_are_the_contract() -> None:
    table = {"UsageError": 2, "DependencyError": 3, "ModelError": 4, "DataError": 4, "DeviceError": 5, "StoreError": 6}
    table |= {"BudgetError": 7, "MeasurementError": 8, "HostKeyError": 5, "TransferError": 5, "EdgekitError": 1}
    assert {name: errors.by_name(name).exit_code for name in table} == table
    assert errors.by_name("SystemExit") is errors.EdgekitError


def test_a_near_name_is_suggested_and_a_far_one_is_not() -> None:
    assert nearest("prune-int", ["int8", "prune-int8"]) == "prune-int8"
    assert nearest("zzzz", ["int8"]) is None
    assert "did you mean 'int8'" in unknown("recipe", "int", ["int8"])[1]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model.tflite"
    with pytest.raises(ZeroDivisionError), files.appearing(target) as temporary:
        temporary.write_bytes(b"half" * (1 // 0))
    assert list(target.parent.iterdir()) == []
    files.write_bytes(target, b"whole")
    assert target.read_bytes() == b"whole"
    assert [path.name for path in target.parent.iterdir()] == ["model.tflite"]


def test_a_place_that_cannot_be_written_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.UsageError, match="cannot write"):
        files.check_writable(tmp_path / "file" / "model.tflite")
    with pytest.raises(errors.UsageError, match="it is a folder"):
        files.check_writable(tmp_path)
    files.check_writable(tmp_path / "model.tflite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_one_folder_holds_everything_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path))
    assert {places.config_dir(), places.cache_dir(), places.data_dir()} == {
        tmp_path / name for name in ("config", "cache", "data")
    }
    monkeypatch.delenv("EDGEKIT_HOME")
    assert places.cache_dir().name == "edgekit"


def test_tensor_bytes_survive_the_manifest() -> None:
    array = numpy.arange(12, dtype=numpy.int8).reshape(1, 3, 4) - 5
    packed = TensorData.of(array)
    assert packed.raw() == array.tobytes()
    assert (packed.array() == array).all()


def test_a_tree_hash_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    before = sha256_tree(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert sha256_tree(tmp_path) != before
    assert sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1})


def test_broken_toml_names_file_and_line(tmp_path: Path) -> None:
    broken = tmp_path / "edgekit.toml"
    broken.write_text("a = \n")
    with pytest.raises(errors.UsageError, match=r"edgekit.toml is not valid TOML.*line 1"):
        read_toml(broken)
    with pytest.raises(errors.UsageError, match="no such file"):
        read_toml(tmp_path / "absent.toml")
