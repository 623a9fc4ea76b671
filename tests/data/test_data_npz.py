from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy
import pytest

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.spec import DataSpec, data_spec


def image(*shape: int, name: str = "image", dtype: str = "float32") -> list[TensorSpec]:
    return [TensorSpec(name=name, dtype=dtype, shape=(1, *shape))]


def everything(dataset: Dataset, name: str) -> numpy.ndarray:
    return numpy.stack([row.inputs[name] for row in dataset.rows()])


@pytest.fixture
def pixels() -> numpy.ndarray:
    return numpy.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), numpy.uint8)


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_x_and_y_of_an_npz_are_samples_and_labels(tmp_path: Path, pixels: numpy.ndarray, save) -> None:
    save(tmp_path / "d.npz", x=pixels, y=numpy.arange(50))
    dataset = open_dataset(data_spec(tmp_path / "d.npz"), inputs=image(6, 5, 3))
    rows = list(dataset.rows())
    assert dataset.count == 50
    assert dataset.has_labels
    assert rows[7].inputs["image"].dtype == numpy.float32
    assert [row.label for row in rows] == list(range(50))
    assert numpy.array_equal(everything(dataset, "image"), pixels)


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_arrays_in_column_order_are_read_right(tmp_path: Path, pixels: numpy.ndarray, save) -> None:
    save(tmp_path / "d.npz", x=numpy.asfortranarray(pixels))
    dataset = open_dataset(data_spec(tmp_path / "d.npz"), inputs=image(6, 5, 3))
    assert numpy.array_equal(everything(dataset, "image"), pixels)


def test_big_endian_numbers_are_read_right(tmp_path: Path) -> None:
    numpy.save(tmp_path / "d.npy", numpy.arange(12, dtype=">i4").reshape(3, 4))
    rows = list(open_dataset(data_spec(tmp_path / "d.npy"), inputs=image(4)).rows())
    assert rows[2].inputs["image"].tolist() == [8, 9, 10, 11]
    assert rows[2].label is None


def test_without_a_model_the_only_input_has_no_name(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((3, 2)))
    dataset = open_dataset(data_spec(tmp_path / "d.npz"))
    assert dataset.input_names == ("",)
    assert next(dataset.rows()).inputs[""].shape == (2,)


def test_chosen_rows_come_in_the_order_of_the_file(tmp_path: Path, pixels: numpy.ndarray) -> None:
    numpy.savez_compressed(tmp_path / "d.npz", x=pixels, y=numpy.arange(50))
    spec = DataSpec(source=str(tmp_path / "d.npz"), rows=(49, 3, 20, 3))
    dataset = open_dataset(spec, inputs=image(6, 5, 3))
    assert [row.index for row in dataset.rows()] == [3, 20, 49]
    assert numpy.array_equal(everything(dataset, "image"), pixels[[3, 20, 49]])
    assert dataset.count == 3


def test_a_row_that_is_not_there_is_a_named_error(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((3, 2)))
    with pytest.raises(DataError, match="3 rows, there is no row 7"):
        list(open_dataset(DataSpec(source=str(tmp_path / "d.npz"), rows=(1, 7))).rows())


def test_batches_have_the_asked_size_and_all_rows(tmp_path: Path) -> None:
    big = numpy.arange(2500 * 4, dtype=numpy.float32).reshape(2500, 4)
    numpy.savez_compressed(tmp_path / "d.npz", x=big, y=numpy.arange(2500))
    batches = list(open_dataset(data_spec(tmp_path / "d.npz"), inputs=image(4)).batches(300))
    assert [len(batch.indices) for batch in batches] == [300] * 8 + [100]
    assert numpy.array_equal(numpy.concatenate([batch.inputs["image"] for batch in batches]), big)
    assert numpy.array_equal(numpy.concatenate([batch.labels for batch in batches]), numpy.arange(2500))


def test_a_file_with_parts_gives_the_test_part_unless_told(tmp_path: Path) -> None:
    numpy.savez(
        tmp_path / "d.npz",
        x_train=numpy.zeros((5, 2)),
        y_train=numpy.zeros(5, int),
        x_test=numpy.ones((3, 2)),
        y_test=numpy.ones(3, int),
    )
    assert open_dataset(data_spec(tmp_path / "d.npz")).count == 3
    assert open_dataset(DataSpec(source=str(tmp_path / "d.npz"), part="train")).count == 5
    with pytest.raises(DataError, match="no val part, only train, test"):
        open_dataset(DataSpec(source=str(tmp_path / "d.npz"), part="val"))


def test_several_inputs_are_matched_by_name(tmp_path: Path) -> None:
    numpy.savez(
        tmp_path / "d.npz", meta=numpy.full((4, 2), 2.0), image=numpy.full((4, 3, 3), 1.0), label=numpy.arange(4)
    )
    inputs = [*image(3, 3, name="serving_default_image:0"), *image(2, name="meta")]
    row = next(open_dataset(data_spec(tmp_path / "d.npz"), inputs=inputs).rows())
    assert row.inputs["serving_default_image:0"].tolist() == numpy.ones((3, 3)).tolist()
    assert row.inputs["meta"].tolist() == [2, 2]
    assert row.label == 0


def test_a_missing_input_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", image=numpy.ones((4, 3, 3)), y=numpy.arange(4))
    with pytest.raises(DataError, match="'meta' is missing; the data have: image") as caught:
        open_dataset(data_spec(tmp_path / "d.npz"), inputs=[*image(3, 3), *image(2, name="meta")])
    assert "image, meta" in caught.value.hint


def test_an_input_called_like_a_label_is_an_input(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", y=numpy.ones((4, 2)), labels=numpy.arange(4))
    row = next(open_dataset(data_spec(tmp_path / "d.npz"), inputs=image(2, name="y")).rows())
    assert row.inputs["y"].tolist() == [1, 1]
    assert row.label == 0


def test_arrays_that_nobody_asked_for_are_ignored_aloud(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((4, 2)), ids=numpy.arange(4), y=numpy.arange(4))
    dataset = open_dataset(data_spec(tmp_path / "d.npz"), inputs=image(2))
    assert next(dataset.rows()).inputs["image"].tolist() == [1, 1]
    assert "ids" in dataset.notices[0].message


def test_an_unclear_choice_of_arrays_asks_for_names(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", a=numpy.ones((4, 2)), b=numpy.ones((4, 2)))
    with pytest.raises(DataError, match="holds a, b: which of them"):
        open_dataset(data_spec(tmp_path / "d.npz"), inputs=image(2))


def test_labels_of_another_length_are_a_named_error(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((10, 2)), y=numpy.arange(9))
    with pytest.raises(DataError, match="10 samples but 9 labels"):
        open_dataset(data_spec(tmp_path / "d.npz"))


def test_pickled_objects_are_refused_and_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    numpy.savez(tmp_path / "d.npz", x=numpy.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="never unpickled"):
        open_dataset(data_spec(tmp_path / "d.npz"))
    assert not (tmp_path / "exploded").exists()


def test_objects_in_arrays_that_nobody_asked_for_do_no_harm(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((2, 2)), meta=numpy.array([{}, {}], dtype=object))
    assert open_dataset(data_spec(tmp_path / "d.npz"), inputs=image(2)).count == 2


def test_labels_that_are_words_say_how_to_make_classes(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((2, 2)), y=numpy.array(["cat", "dog"]))
    with pytest.raises(DataError, match=r"the label at row 0 .*: found text") as caught:
        list(open_dataset(data_spec(tmp_path / "d.npz")).rows())
    assert "return_inverse" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"this is text", b"PK\x03\x04 cut off"], ids=["an empty file", "text", "half a zip"]
)
@pytest.mark.parametrize("name", ["d.npz", "d.npy"])
def test_a_file_that_is_not_numpys_is_a_named_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="is not an"):
        open_dataset(data_spec(tmp_path / name))


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_a_damaged_npz_is_a_named_error(tmp_path: Path, pixels: numpy.ndarray, save) -> None:
    save(tmp_path / "d.npz", x=pixels)
    raw = bytearray((tmp_path / "d.npz").read_bytes())
    for place in range(400, len(raw) - 200):
        raw[place] ^= 0x55
    (tmp_path / "d.npz").write_bytes(raw)
    if save is numpy.savez:
        return  # mapped pixels have no checksum
    with pytest.raises(DataError, match=r"damaged|cut off"):
        list(open_dataset(data_spec(tmp_path / "d.npz")).rows())


def test_a_truncated_npy_is_a_named_error(tmp_path: Path) -> None:
    numpy.save(tmp_path / "d.npy", numpy.ones((100, 10)))
    raw = (tmp_path / "d.npy").read_bytes()
    (tmp_path / "d.npy").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match="cut off"):
        list(open_dataset(data_spec(tmp_path / "d.npy")).rows())


@pytest.mark.parametrize("name", ["d.npz", "d.npy"])
def test_random_damage_ends_in_named_errors_only(tmp_path: Path, name: str) -> None:
    generator = numpy.random.default_rng(0)
    (numpy.save if name == "d.npy" else numpy.savez_compressed)(tmp_path / name, numpy.ones((20, 3)))
    raw = (tmp_path / name).read_bytes()
    errors = 0
    for _ in range(100):
        damaged = bytearray(raw)
        for place in generator.integers(0, min(len(raw), 200), 4):
            damaged[place] = generator.integers(0, 256)
        (tmp_path / name).write_bytes(damaged)
        try:
            list(open_dataset(data_spec(tmp_path / name)).rows())
        except DataError:
            errors += 1
    assert errors > 50


def test_an_array_without_rows_is_a_named_error(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((0, 4)))
    with pytest.raises(DataError, match="holds no rows"):
        open_dataset(data_spec(tmp_path / "d.npz"))


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_a_large_npz_is_never_all_in_memory(tmp_path: Path, save) -> None:
    save(tmp_path / "d.npz", x=numpy.zeros((1500, 128, 128), numpy.float32))  # 98 MB
    dataset = open_dataset(data_spec(tmp_path / "d.npz"), inputs=image(128, 128))
    tracemalloc.start()
    for _ in dataset.batches(16):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20


def test_the_fingerprint_follows_content_rows_and_preprocessing(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "a.npz", x=numpy.ones((4, 2)))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes())
    numpy.savez(tmp_path / "c.npz", x=numpy.zeros((4, 2)))
    found = [
        open_dataset(spec).fingerprint()
        for spec in (
            data_spec(tmp_path / "a.npz"),
            data_spec(tmp_path / "c.npz"),
            data_spec(tmp_path / "a.npz", scale=0.5),
            DataSpec(source=str(tmp_path / "a.npz"), rows=(0, 1)),
            DataSpec(source=str(tmp_path / "a.npz"), rows=(0, 2)),
        )
    ]
    assert len(set(found)) == 5
    assert open_dataset(data_spec(tmp_path / "b.npz")).fingerprint() == found[0]


def test_a_missing_file_and_an_unknown_kind_are_named_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        open_dataset(data_spec(tmp_path / "none.npz"))
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a kind of dataset"):
        open_dataset(data_spec(tmp_path / "x.parquet"))
