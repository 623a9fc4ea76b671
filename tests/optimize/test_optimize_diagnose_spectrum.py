"""The exponent of a spectrum: on values whose law is known, on random matrices, on what has no spectrum."""

from __future__ import annotations

import numpy
import pytest

from edgekit.optimize.diagnose.spectrum import (
    FEWEST_EIGENVALUES,
    eigenvalues,
    fit_power_law,
    layer_spectrum,
    random_edge,
)


def power_law_values(alpha: float, count: int, seed: int = 0) -> numpy.ndarray:
    """Drawn by inverting the distribution function of a power law from 1 upwards."""
    uniform = numpy.random.default_rng(seed).uniform(size=count)
    return numpy.sort((1 - uniform) ** (-1 / (alpha - 1)))


def spectrum_of(matrix: numpy.ndarray):
    matrices = matrix if matrix.ndim == 3 else matrix[None]
    return layer_spectrum("layer", "kernel", matrices, matrices.shape)


@pytest.mark.parametrize("alpha", [2.0, 2.5, 3.5, 5.0])
def test_the_exponent_that_values_were_drawn_with_is_found_within_its_error(alpha):
    law = fit_power_law(power_law_values(alpha, 5000))
    assert abs(law.alpha - alpha) < 4 * law.sigma
    assert law.sigma < 0.1 * alpha


def test_a_tail_that_begins_later_is_found_where_it_begins():
    below = numpy.random.default_rng(1).uniform(0.01, 1.0, size=2000)
    law = fit_power_law(numpy.sort(numpy.concatenate([below, power_law_values(2.5, 2000)])))
    assert 0.8 < law.xmin < 1.6
    assert abs(law.alpha - 2.5) < 0.2


def test_the_estimate_is_that_of_the_paper():
    """Clauset, Shalizi, Newman 2009, equation 3.1, for the whole list as tail."""
    values = numpy.array([1.0, 1.0, 2.0, 4.0])
    law = fit_power_law(values[1:])
    assert law.alpha == pytest.approx(1 + 3 / (numpy.log(2) + numpy.log(4)))
    assert law.tail == 3


def test_values_that_are_all_alike_have_no_law():
    assert fit_power_law(numpy.ones(100)) is None


def test_eigenvalues_are_the_squares_of_the_singular_values_of_all_matrices_pooled():
    matrices = numpy.random.default_rng(2).normal(size=(3, 7, 5))
    expected = numpy.sort(numpy.concatenate([numpy.linalg.svd(m, compute_uv=False) ** 2 for m in matrices]))
    assert numpy.allclose(eigenvalues(matrices), expected)
    assert numpy.allclose(eigenvalues(matrices.transpose(0, 2, 1)), expected)


def test_a_random_matrix_is_told_from_one_that_learnt_whatever_its_alpha():
    random = numpy.random.default_rng(3)
    noise = random.normal(size=(200, 300))
    assert spectrum_of(noise).verdict == "like random"
    assert spectrum_of(noise).spikes == 0
    learnt = noise + 5 * random.normal(size=(200, 3)) @ random.normal(size=(3, 300)) / 3**0.5
    found = spectrum_of(learnt)
    assert found.spikes == 3
    assert found.verdict != "like random"


def test_the_edge_of_a_random_matrix_is_where_its_largest_eigenvalue_is():
    noise = numpy.random.default_rng(4).normal(scale=0.3, size=(1, 400, 600))
    largest = eigenvalues(noise)[-1]
    assert 0.85 < largest / random_edge(noise) < 1.0


@pytest.mark.parametrize(("alpha", "verdict"), [(3.0, "well trained"), (9.0, "under-trained"), (7.0, "unclear")])
def test_an_alpha_outside_its_range_counts_only_where_its_error_leaves_no_doubt(alpha, verdict):
    matrix = numpy.diag(power_law_values(alpha, 60, seed=5) ** 0.5)
    found = spectrum_of(numpy.pad(matrix, ((0, 400), (0, 0))))
    assert found.verdict == verdict
    assert abs(found.law.alpha - alpha) < 2 * found.law.sigma


def test_the_fit_is_weightwatchers():
    """The reference values are those of weightwatcher 0.7.7 (WWFit) for the same eigenvalues."""
    law = fit_power_law(eigenvalues(numpy.random.default_rng(11).standard_t(2.5, size=(1, 300, 200))))
    assert law.alpha == pytest.approx(3.107969977115248, rel=1e-6)
    assert law.distance == pytest.approx(0.03621522237536623, rel=1e-6)
    assert law.tail == 42


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [((1, 10, FEWEST_EIGENVALUES - 1), "too small"), ((4, 5, 12), "too small"), ((9, 6, 12), None)],
)
def test_a_layer_with_few_eigenvalues_says_that_it_is_too_small(shape, verdict):
    found = spectrum_of(numpy.random.default_rng(6).normal(size=shape))
    assert (found.verdict == "too small") is (verdict == "too small")
    assert (found.law is None) is (verdict == "too small")


def test_a_layer_that_was_pruned_to_few_directions_is_too_small_however_wide_it_is():
    random = numpy.random.default_rng(7)
    thin = random.normal(size=(300, 5)) @ random.normal(size=(5, 300))
    assert spectrum_of(thin).verdict == "too small"
