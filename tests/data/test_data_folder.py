from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from PIL import Image

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.data.dataset import open_dataset
from edgekit.data.sources import parts_of
from edgekit.data.spec import DataSpec, data_spec


def image(*shape: int) -> list[TensorSpec]:
    return [TensorSpec(name="image", dtype="float32", shape=(1, *shape))]


def save(path: Path, value: int = 100, mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "I;16") else (value,) * len(mode)).save(path)


def test_subfolders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, suffix in (("dog", ".png"), ("cat", ".bmp"), ("ant", ".webp")):
        save(tmp_path / name / f"1{suffix}")
        save(tmp_path / name / f"0{suffix}")
    dataset = open_dataset(data_spec(tmp_path), inputs=image(4, 6, 3))
    assert dataset.class_names == ("ant", "cat", "dog")
    assert [row.label for row in dataset.rows()] == [0, 0, 1, 1, 2, 2]
    assert dataset.place(2).endswith("cat/0.bmp")
    assert dataset.count == 6
    assert dataset.notices == ()


def test_images_get_the_size_and_channels_of_the_model(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.png", 200, "L", (10, 10))
    save(tmp_path / "a" / "y.jpg", 200, "RGB", (8, 8))
    dataset = open_dataset(data_spec(tmp_path, scale=0.5), inputs=image(8, 8, 3))
    rows = [row.inputs["image"] for row in dataset.rows()]
    assert [row.shape for row in rows] == [(8, 8, 3), (8, 8, 3)]
    assert rows[0].max() == 100
    assert rows[0].dtype == numpy.float32
    assert "are resized to 8×8" in dataset.notices[0].message
    assert next(open_dataset(data_spec(tmp_path), inputs=image(8, 8)).rows()).inputs["image"].shape == (8, 8)


def test_a_channels_first_model_gets_channels_first_images(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.png")
    Image.merge("RGB", [Image.new("L", (6, 4), n) for n in (1, 2, 3)]).save(tmp_path / "a" / "x.png")
    row = next(open_dataset(data_spec(tmp_path), inputs=image(3, 4, 6)).rows())
    assert row.inputs["image"][:, 0, 0].tolist() == [1, 2, 3]


def test_images_without_subfolders_have_no_labels(tmp_path: Path) -> None:
    save(tmp_path / "x.png")
    dataset = open_dataset(data_spec(tmp_path))
    assert not dataset.has_labels
    assert next(dataset.rows()).inputs[""].shape == (4, 6, 3)


def test_hidden_files_are_ignored_and_others_are_mentioned(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.png")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"junk")
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("hello")
    dataset = open_dataset(data_spec(tmp_path))
    assert dataset.class_names == ("a",)
    assert [notice.code for notice in dataset.notices] == ["files-ignored"]
    assert "a/notes.txt" in dataset.notices[0].message
    assert ".DS_Store" not in dataset.notices[0].message


def test_an_empty_folder_and_one_without_images_are_named_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        open_dataset(data_spec(tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_text("no")
    with pytest.raises(DataError, match="holds no images"):
        open_dataset(data_spec(tmp_path))


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_a_corrupt_image_is_named(tmp_path: Path, suffix: str, damage: str) -> None:
    save(tmp_path / "a" / f"0{suffix}", size=(40, 40))
    bad = tmp_path / "a" / f"1{suffix}"
    pixels = numpy.random.default_rng(0).integers(0, 256, (40, 40, 3), numpy.uint8)
    Image.fromarray(pixels).save(bad)
    raw = bad.read_bytes()
    bad.write_bytes({"text": b"this is no image", "cut": raw[: len(raw) // 2], "empty": b""}[damage])
    dataset = open_dataset(data_spec(tmp_path), inputs=image(40, 40, 3))
    with pytest.raises(DataError, match=f"1{suffix} is not a readable image") as caught:
        list(dataset.rows())
    assert caught.value.hint


def test_sixteen_bit_images_are_refused_and_not_clipped(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(numpy.full((4, 4), 60000, numpy.uint16)).save(tmp_path / "a" / "x.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        list(open_dataset(data_spec(tmp_path), inputs=image(4, 4, 1)).rows())


def test_a_divided_folder_gives_its_test_part_unless_told(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "x.png")
    save(tmp_path / "train" / "a" / "y.png")
    save(tmp_path / "test" / "a" / "x.png")
    assert parts_of(data_spec(tmp_path)) == ("train", "test")
    assert open_dataset(data_spec(tmp_path)).count == 1
    assert open_dataset(DataSpec(source=str(tmp_path), part="train")).count == 2


def test_numbered_classes_out_of_order_are_mentioned(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        save(tmp_path / str(number) / "x.png")
    dataset = open_dataset(data_spec(tmp_path))
    assert dataset.class_names == ("1", "10", "2")
    assert [notice.code for notice in dataset.notices] == ["class-order"]


def test_an_empty_class_still_counts_and_is_mentioned(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    save(tmp_path / "b" / "x.png")
    dataset = open_dataset(data_spec(tmp_path))
    assert next(dataset.rows()).label == 1
    assert [notice.code for notice in dataset.notices] == ["empty-classes"]


def test_images_for_a_model_without_images_are_a_named_error(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.png")
    with pytest.raises(DataError, match="is no image"):
        open_dataset(data_spec(tmp_path), inputs=image(10))


def test_the_fingerprint_follows_names_and_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.png", 1)
    before = open_dataset(data_spec(tmp_path)).fingerprint()
    (tmp_path / "a" / ".hidden").write_text("no matter")
    assert open_dataset(data_spec(tmp_path)).fingerprint() == before
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = open_dataset(data_spec(tmp_path)).fingerprint()
    save(tmp_path / "b" / "x.png", 2)
    assert len({before, renamed, open_dataset(data_spec(tmp_path)).fingerprint()}) == 3
