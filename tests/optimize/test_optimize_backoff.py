"""Backing off: the strength that holds all budgets, found in few tries."""

from __future__ import annotations

import pytest

from edgekit.optimize.backoff import STRONGEST, Search, at_strength, can_back_off, described
from edgekit.optimize.recipe import BUILTIN, Recipe
from edgekit.optimize.steps import ClusterStep, DistillStep, FiltersStep, PruneStep, QuantizeStep, SparseStep


def searched(*, accurate_up_to: float, small_from: float = 0.0, resources: bool = False) -> tuple[float | None, int]:
    """The strength that a search ends with where budgets hold like this, and how often it tried."""
    search = Search(resources=resources)
    strength: float | None = search.first()
    while strength is not None:
        strength = search.following(strength, accurate=strength <= accurate_up_to, small=strength >= small_from)
    return search.best, len(search.tried)


def test_a_recipe_that_holds_its_budget_is_carried_out_as_it_stands():
    assert searched(accurate_up_to=2.0) == (1.0, 1)


@pytest.mark.parametrize("limit", [0.95, 0.8, 0.6, 0.5, 0.3, 0.13])
def test_with_an_accuracy_budget_the_strongest_that_holds_it_is_found(limit):
    best, tries = searched(accurate_up_to=limit)
    assert best is not None
    assert limit - 0.13 <= best <= limit
    assert tries <= 6


def test_where_even_a_little_costs_too_much_the_steps_are_left_out():
    assert searched(accurate_up_to=0.01)[0] == 0.0


def test_where_the_plain_conversion_costs_too_much_nothing_is_found():
    best, tries = searched(accurate_up_to=-1.0)
    assert best is None
    assert tries <= 6


def test_with_a_size_budget_the_plain_conversion_is_tried_first_and_is_good_enough():
    assert searched(accurate_up_to=1.0, small_from=0.0, resources=True) == (0.0, 1)


@pytest.mark.parametrize(("small", "accurate"), [(0.4, 1.0), (0.9, 1.3), (1.4, 1.9), (0.55, 0.75)])
def test_with_a_size_budget_a_strength_between_both_limits_is_found(small, accurate):
    best, tries = searched(accurate_up_to=accurate, small_from=small, resources=True)
    assert best is not None
    assert small <= best <= accurate
    assert tries <= 6


def test_budgets_that_exclude_each_other_are_given_up_soon():
    best, tries = searched(accurate_up_to=0.3, small_from=0.9, resources=True)
    assert best is None
    assert tries <= 3


def recipe(*steps):
    return Recipe(name="own", description="", steps=(*steps, QuantizeStep()))


def test_strength_one_is_the_recipe_itself():
    for given in BUILTIN.values():
        assert at_strength(given, 1.0) is given


def test_half_the_strength_removes_half_as_much():
    found = at_strength(
        recipe(
            FiltersStep(ratio=0.4, ratios={"stem": 0.2}), PruneStep(sparsity=0.8), DistillStep(width=0.5), ClusterStep()
        ),
        0.5,
    ).steps
    assert found[0] == FiltersStep(ratio=0.2, ratios={"stem": 0.1})
    assert found[1] == PruneStep(sparsity=0.4)
    assert found[2] == DistillStep(width=0.75)
    assert found[3] == ClusterStep(clusters=64)


def test_without_strength_only_the_conversion_is_left():
    for given in BUILTIN.values():
        assert not can_back_off(at_strength(given, 0.0))
        assert at_strength(given, 0.0).steps[-1] == given.steps[-1]


def test_the_strongest_goes_to_nine_tenths_and_no_further():
    found = at_strength(recipe(FiltersStep(ratio=0.5), PruneStep(sparsity=0.95)), STRONGEST).steps
    assert found[0] == FiltersStep(ratio=0.9)
    assert found[1] == PruneStep(sparsity=0.95)


def test_two_of_four_is_kept_or_left_out_but_never_weakened():
    given = recipe(PruneStep(pattern="2:4"))
    assert at_strength(given, 0.75).steps[0] == PruneStep(pattern="2:4", sparsity=0.5)
    assert len(at_strength(given, 0.25).steps) == 1


def test_sparse_kernels_need_two_thirds_so_less_is_not_tried():
    given = recipe(SparseStep(sparsity=0.8))
    assert at_strength(given, 0.75).steps[0] == SparseStep(sparsity=0.75)
    assert len(at_strength(given, 0.4).steps) == 1


def test_a_strength_is_described_by_what_it_does():
    given = recipe(FiltersStep(ratio=0.5), ClusterStep())
    assert described(at_strength(given, 0.5)) == "filters ratio 0.25, cluster 64 values"
    assert described(at_strength(given, 0.0)) == "int8 alone"
