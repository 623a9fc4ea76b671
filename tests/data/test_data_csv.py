from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.spec import DataSpec, data_spec


def opened(tmp_path: Path, text: str, *shape: int, name: str = "d.csv") -> Dataset:
    (tmp_path / name).write_text(text)
    inputs = [TensorSpec(name="in", dtype="float32", shape=(1, *shape))] if shape else None
    return open_dataset(data_spec(tmp_path / name), inputs=inputs)


def test_the_last_column_is_the_label(tmp_path: Path) -> None:
    dataset = opened(tmp_path, "1,2,3,4,0\n5,6,7,8,1\n", 2, 2)
    rows = list(dataset.rows())
    assert dataset.count == 2
    assert rows[1].inputs["in"].tolist() == [[5, 6], [7, 8]]
    assert [row.label for row in rows] == [0, 1]


def test_a_header_names_the_label_column(tmp_path: Path) -> None:
    dataset = opened(tmp_path, "Label,a,b\n1,10,20\n0,30,40\n", 2)
    rows = list(dataset.rows())
    assert [row.label for row in rows] == [1, 0]
    assert rows[0].inputs["in"].tolist() == [10, 20]
    assert dataset.place(0).startswith("line 2 of")


def test_as_many_columns_as_the_model_takes_are_all_features(tmp_path: Path) -> None:
    dataset = opened(tmp_path, "a,b\n1,2\n3,4\n", 2)
    assert not dataset.has_labels
    assert next(dataset.rows()).inputs["in"].tolist() == [1, 2]


def test_labels_that_are_words_become_classes_by_name(tmp_path: Path) -> None:
    dataset = opened(tmp_path, "5.1,3.5,setosa\n4.9,3.0,virginica\n6.2,2.9,iris\n", 2)
    assert dataset.class_names == ("iris", "setosa", "virginica")
    assert [row.label for row in dataset.rows()] == [1, 2, 0]


def test_labels_with_fractions_stay_values(tmp_path: Path) -> None:
    assert [row.label for row in opened(tmp_path, "1,2,0.5\n3,4,1\n", 2).rows()] == [0.5, 1.0]


def test_semicolons_tabs_and_blank_lines_are_read(tmp_path: Path) -> None:
    assert opened(tmp_path, "1;2;0\n\n3;4;1\n\n", 2).count == 2
    assert opened(tmp_path, "1\t2\t0\n", 2, name="d.tsv").count == 1


def test_gzip_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"1,2,0\n3,4,1\n", mtime=0))
    assert open_dataset(data_spec(tmp_path / "d.csv.gz")).count == 2


def test_chosen_rows_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b,y\n" + "".join(f"{n},{n},{n}\n" for n in range(3000)))
    spec = DataSpec(source=str(tmp_path / "d.csv"), rows=(2999, 0, 1500))
    assert [row.label for row in open_dataset(spec).rows()] == [0, 1500, 2999]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b,label\n", "holds no rows"),
        ("1,2,0\n3,4\n", "line 2 of .* has 2 columns, the first has 3"),
        ("1,2,0\n3,x,1\n", "line 2 of .*: column 2 holds 'x', not a number"),
        ("a,b,y\n1,2,0\n,4,1\n", r"line 3 of .*: column 1 \(a\) is empty"),
        ("1,2,0\n3,4,\n", "line 2 of .* has no label"),
        ("1,2,3,4,5,0\n", "has 6 columns, the model takes 2 numbers"),
    ],
)
def test_a_fault_in_a_csv_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(opened(tmp_path, text, 2).rows())


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\x01\x80", b"\x1f\x8b broken gzip", gzip.compress(b"1,2,3\n" * 900, mtime=0)[:30]]
)
def test_a_file_that_is_no_csv_is_a_named_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d.csv").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as CSV"):
        list(open_dataset(data_spec(tmp_path / "d.csv")).rows())
