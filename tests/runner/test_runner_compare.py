"""When outputs of a board count as right."""

from __future__ import annotations

import numpy
import pytest

from edgekit.core.artifact import TensorSpec
from edgekit.runner.compare import compare_outputs

INT8 = TensorSpec(name="y", dtype="int8", shape=(1, 50), scale=0.5, zero_point=-3)
FLOAT = TensorSpec(name="y", dtype="float32", shape=(1, 50))
INT32 = TensorSpec(name="y", dtype="int32", shape=(1, 50))
RANDOM = numpy.random.default_rng(5)


def compare(right, found, spec, *, float_kernels=False):
    raw = [[[numpy.asarray(array, spec.dtype).tobytes()]] for array in (right, found)]
    return compare_outputs(*raw, [spec], float_kernels=float_kernels, reference="test")


def test_equal_bytes_are_exact():
    values = RANDOM.integers(-128, 128, 50)
    result = compare(values, values, INT8)
    assert (result.ok, result.exact, result.max_abs_diff) == (True, True, 0.0)


def test_a_rounding_step_is_fine_and_is_told_in_real_units():
    values = RANDOM.integers(-100, 100, 50)
    result = compare(values, values + 1, INT8)
    assert (result.ok, result.exact, result.max_abs_diff) == (True, False, 0.5)


def test_kernels_that_differ_by_twenty_steps_pass_while_the_direction_agrees():
    values = RANDOM.integers(-100, 100, 50)
    noise = numpy.zeros(50, int)
    noise[3] = 20
    assert compare(values, values + noise, INT8).ok


@pytest.mark.parametrize("spec", [INT8, FLOAT, INT32], ids=lambda spec: spec.dtype)
def test_other_numbers_fail(spec):
    right, found = RANDOM.integers(-100, 100, (2, 50))
    result = compare(right, found, spec)
    assert not result.ok
    assert "y" in result.reason


def test_float_rounding_is_fine_and_more_is_not_where_all_kernels_are_float():
    values = RANDOM.normal(size=50)
    assert compare(values, values * (1 + 1e-5), FLOAT, float_kernels=True).ok
    bent = values.copy()
    bent[0] += 0.01 * abs(values).max()
    assert not compare(values, bent, FLOAT, float_kernels=True).ok
    assert compare(values, bent, FLOAT).ok  # int8 inside, float at the border


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_fail(bad):
    values = RANDOM.normal(size=50)
    broken = values.copy()
    broken[7] = bad
    result = compare(values, broken, FLOAT)
    assert not result.ok
    assert "NaN" in result.reason
    assert not compare(broken, broken, FLOAT).ok


def test_one_class_index_in_twenty_may_differ():
    right = numpy.arange(50)
    found = right.copy()
    found[:2] = 49
    assert compare(right, found, INT32).ok
    found[:20] = 49
    assert not compare(right, found, INT32).ok


def test_outputs_of_another_size_fail():
    result = compare_outputs([[b"1234"]], [[b"12"]], [INT8], float_kernels=False, reference="test")
    assert not result.ok


def test_outputs_that_are_all_zero_on_both_sides_are_equal():
    result = compare(numpy.zeros(50), numpy.zeros(50), FLOAT)
    assert (result.ok, result.cosine) == (True, 1.0)
