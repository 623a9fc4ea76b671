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


# ------------------------------------------------------------------------------------ exact, rounding, close, broken


def stepped(steps: int, count: int, *, same_kernels: bool):
    right = RANDOM.integers(-90, 90, 200)
    found = right.copy()
    found[:count] += steps
    spec = TensorSpec(name="y", dtype="int8", shape=(1, 200), scale=0.5, zero_point=-3)
    return compare_outputs(
        [[numpy.asarray(right, "int8").tobytes()]],
        [[numpy.asarray(found, "int8").tobytes()]],
        [spec],
        float_kernels=False,
        reference="test",
        same_kernels=same_kernels,
    )


@pytest.mark.parametrize(
    ("steps", "same", "other"), [(0, "exact", "exact"), (1, "rounding", "rounding"), (2, "close", "close")]
)
def test_a_step_is_rounding_whatever_the_kernels(steps, same, other):
    assert stepped(steps, 20, same_kernels=True).verdict == same
    assert stepped(steps, 20, same_kernels=False).verdict == other


def test_many_steps_are_broken_on_the_same_kernels_and_close_on_others_while_the_direction_agrees():
    assert stepped(20, 1, same_kernels=True).verdict == "broken"
    assert stepped(20, 1, same_kernels=False).verdict == "close"
    assert stepped(20, 200, same_kernels=False).max_steps == 20
    assert stepped(80, 100, same_kernels=False).verdict == "broken"


def test_the_reason_says_how_many_values_differ_and_by_how_much():
    result = stepped(1, 50, same_kernels=True)
    assert (
        result.reason == "rounding only: 25.0% of the values differ by at most 1 step of quantization (output y, test)"
    )
    assert (result.differing, result.max_steps, result.max_abs_diff) == (0.25, 1, 0.5)


def test_the_same_class_is_told_of_outputs_with_several_values():
    right = [numpy.array(row, "float32").tobytes() for row in ([1, 2, 3], [3, 2, 1])]
    found = [numpy.array(row, "float32").tobytes() for row in ([1, 2, 3], [1, 2, 3])]
    spec = TensorSpec(name="y", dtype="float32", shape=(1, 3))
    result = compare_outputs([[r] for r in right], [[f] for f in found], [spec], float_kernels=True, reference="test")
    assert (result.same_class, result.verdict) == (0.5, "broken")
    assert "the same class for 50%" in result.reason
