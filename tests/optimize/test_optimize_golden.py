from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from tiny_tflite import dense, dense_int8, subtract, write

from edgekit.core.artifact import GoldenSample
from edgekit.core.decode import from_json, to_json
from edgekit.core.errors import DataError, ModelError
from edgekit.data.spec import DataSpec, data_spec
from edgekit.optimize.golden import golden_samples


def test_golden_samples_are_real_rows_in_the_models_dtypes(tmp_path: Path) -> None:
    rows = numpy.random.default_rng(0).random((20, 16)).astype(numpy.float32)
    numpy.savez(tmp_path / "d.npz", x=rows)
    samples = golden_samples(write(tmp_path, dense_int8()), data_spec(tmp_path / "d.npz"))
    assert len(samples) == 3
    for sample, row in zip(samples, (rows[0], rows[9], rows[19])):
        assert (sample.inputs[0].dtype, sample.inputs[0].shape) == ("int8", (1, 16))
        assert numpy.array_equal(sample.inputs[0].array()[0], numpy.rint(row / numpy.float32(0.05)) + 3)
        assert (sample.outputs[0].dtype, sample.outputs[0].shape) == ("int8", (1, 10))
    assert len({sample.outputs[0].zlib_base64 for sample in samples}) == 3
    assert from_json(tuple[GoldenSample, ...], to_json(samples), source="test") == samples


def test_the_outputs_are_what_the_model_computes(tmp_path: Path) -> None:
    left, right = numpy.random.default_rng(1).random((2, 6, 4)).astype(numpy.float32)
    numpy.savez(tmp_path / "d.npz", a_left=left, b_right=right)
    model = write(tmp_path, subtract(reversed_signature=True))
    (sample,) = golden_samples(model, data_spec(tmp_path / "d.npz"), count=1)
    # the graph's order, whatever the signature says
    assert numpy.array_equal(sample.inputs[0].array()[0], left[0])
    assert numpy.array_equal(sample.inputs[1].array()[0], right[0])
    assert numpy.allclose(sample.outputs[0].array()[0], left[0] - right[0])
    assert numpy.allclose(sample.outputs[1].array()[0], 2 * left[0])


def test_fewer_rows_give_fewer_samples_and_chosen_rows_are_respected(tmp_path: Path) -> None:
    rows = numpy.random.default_rng(0).random((9, 8)).astype(numpy.float32)
    numpy.savez(tmp_path / "d.npz", x=rows)
    chosen = DataSpec(source=str(tmp_path / "d.npz"), rows=(7, 4))
    samples = golden_samples(write(tmp_path, dense()), chosen)
    assert len(samples) == 2
    assert numpy.array_equal(samples[0].inputs[0].array()[0], rows[4])


def test_a_model_of_a_fixed_batch_gets_the_row_in_every_place(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((4, 8)))
    (sample, *_) = golden_samples(write(tmp_path, dense(batch=2)), data_spec(tmp_path / "d.npz"))
    assert sample.inputs[0].shape == (2, 8)
    assert sample.outputs[0].shape == (2, 4)


def test_faults_of_model_and_data_are_named(tmp_path: Path) -> None:
    numpy.savez(tmp_path / "d.npz", x=numpy.ones((4, 5)))
    with pytest.raises(DataError, match="the shape is 5"):
        golden_samples(write(tmp_path, dense()), data_spec(tmp_path / "d.npz"))
    with pytest.raises(ModelError, match=r"not a \.tflite"):
        golden_samples(write(tmp_path, b"no", "bad.tflite"), data_spec(tmp_path / "d.npz"))
