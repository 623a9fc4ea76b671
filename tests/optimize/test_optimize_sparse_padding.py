"""Where equal padding reads what SAME reads: counted out on real rows."""

from __future__ import annotations

import numpy
import pytest

from edgekit.optimize.sparse.padding import Window, explicit, offset_in, same


def convolved(row: numpy.ndarray, kernel: numpy.ndarray, window: Window) -> list[float]:
    padded = numpy.concatenate([numpy.zeros(window.before), row, numpy.zeros(max(0, window.after))])
    begins = [at * window.stride for at in range(window.out)]
    return [float(padded[at : at + window.kernel] @ kernel) for at in begins]


@pytest.mark.parametrize("size", range(4, 13))
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("larger", [3, 5])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_kernel_that_is_found_reads_the_same_values(size: int, stride: int, larger: int, flipped: bool) -> None:
    row = numpy.random.default_rng(size).normal(size=size)
    kernel = numpy.array([1.0, 10.0, 100.0])
    windows = [same(size, 3, stride), *(explicit(size, 3, stride, a, b) for a in (0, 1, 2) for b in (0, 1, 2))]
    for window in windows:
        offset = offset_in(window, larger, flipped=flipped)
        if offset is None:
            continue
        new = numpy.zeros(larger)
        new[offset : offset + 3] = kernel[::-1] if flipped else kernel
        equal = explicit(size, larger, stride, larger // 2, larger // 2)
        found = convolved(row[::-1] if flipped else row, new, equal)
        assert (found[::-1] if flipped else found) == pytest.approx(convolved(row, kernel, window))


@pytest.mark.parametrize("size", [8, 32, 96, 224])
def test_same_with_stride_2_on_an_even_size_fits_only_when_it_is_turned_or_made_larger(size: int) -> None:
    window = same(size, 3, 2)
    assert offset_in(window, 3, flipped=False) is None
    assert offset_in(window, 3, flipped=True) == 0
    assert offset_in(window, 5, flipped=False) == 2


@pytest.mark.parametrize("size", [7, 49, 97])
def test_same_on_an_odd_size_has_equal_padding_already(size: int) -> None:
    assert offset_in(same(size, 3, 2), 3, flipped=False) == 0
