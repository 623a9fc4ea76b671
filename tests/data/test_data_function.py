from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DataError, EdgekitError, UsageError
from edgekit.data.dataset import open_dataset
from edgekit.data.spec import DataSpec, data_spec

CODE = """
import numpy

def arrays():
    for n in range(5):
        yield numpy.full((2, 2), n)

def pairs():
    return [(numpy.full(3, n), n % 2) for n in range(5)]

def named():
    for n in range(4):
        yield {"a": numpy.full(2, n), "b": numpy.full(3, 10.0 * n)}, n

def nothing():
    return iter(())

def number():
    return 5

def breaks():
    yield numpy.zeros(2)
    raise RuntimeError("disk on fire")

def grows():
    yield numpy.zeros(2)
    yield numpy.zeros(3)

def words():
    yield "hello"

def unequal():
    yield {"a": numpy.zeros(2)}
    yield {"b": numpy.zeros(2)}

def half_labelled():
    yield numpy.zeros(2), 1
    yield numpy.zeros(2)

state = numpy.random.default_rng()

def shuffled():
    for _ in range(20):
        yield state.random(3)

not_a_function = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_samples.py").write_text(CODE)
    (tmp_path / "my_broken.py").write_text("raise OSError('no camera')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("my_samples", "my_broken"):
        sys.modules.pop(name, None)


def spec(name: str) -> DataSpec:
    return data_spec(f"my_samples:{name}")


def test_arrays_are_samples_and_can_be_read_again() -> None:
    dataset = open_dataset(spec("arrays"), inputs=[TensorSpec(name="in", dtype="float32", shape=(1, 2, 2, 1))])
    assert dataset.count == 5
    assert not dataset.has_labels
    for _ in range(2):
        assert [row.inputs["in"][0, 0, 0] for row in dataset.rows()] == [0, 1, 2, 3, 4]


def test_pairs_have_labels_and_rows_can_be_chosen() -> None:
    chosen = DataSpec(source="my_samples:pairs", rows=(1, 4))
    assert [(row.index, row.label) for row in open_dataset(chosen).rows()] == [(1, 1), (4, 0)]


def test_dicts_are_inputs_by_name() -> None:
    inputs = [TensorSpec(name=name, dtype="float32", shape=(1, size)) for name, size in (("b", 3), ("a", 2))]
    rows = list(open_dataset(spec("named"), inputs=inputs).rows())
    assert rows[3].inputs["b"].tolist() == [30, 30, 30]
    assert rows[3].label == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "yields no samples"),
        ("number", "returned a int, not an iterable"),
        ("breaks", "failed at sample 1: RuntimeError: disk on fire"),
        ("words", "is a str .*not numbers"),
        ("unequal", "sample 1 of my_samples:unequal has the inputs b; sample 0 had a"),
        ("half_labelled", "sample 1 of .* lacks a label"),
    ],
)
def test_what_a_function_does_wrong_is_named(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(open_dataset(spec(name)).rows())


def test_a_sample_of_another_shape_is_named() -> None:
    inputs = [TensorSpec(name="in", dtype="float32", shape=(1, 2))]
    with pytest.raises(DataError, match="sample 1 of my_samples:grows: the shape is 3"):
        list(open_dataset(spec("grows"), inputs=inputs).rows())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("my_samples:array", "no function 'array'"),
        ("my_samples:not_a_function", "not a function"),
        ("no_such_module_here:f", "cannot import 'no_such_module_here'"),
        ("my_broken:f", "importing my_broken failed: OSError: no camera"),
    ],
)
def test_a_function_that_cannot_be_found_is_a_usage_error(source: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_dataset(data_spec(source))


def test_a_misspelt_function_gets_the_nearest_name() -> None:
    with pytest.raises(EdgekitError) as caught:
        open_dataset(data_spec("my_samples:array"))
    assert "my_samples:arrays" in str(caught.value.hint)


def test_the_fingerprint_is_of_the_samples() -> None:
    assert open_dataset(spec("pairs")).fingerprint() == open_dataset(spec("pairs")).fingerprint()
    assert open_dataset(spec("pairs")).fingerprint() != open_dataset(spec("arrays")).fingerprint()
