"""Recipes: the built-in ones, files of one's own, and every way in which those can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import UsageError
from edgekit.optimize.recipe import (
    BUILTIN,
    MODES,
    PruneStep,
    QuantizeStep,
    Recipe,
    for_mode,
    load_recipe,
    parameters,
)

OWN = """
name = "small"
description = "for the door sensor"

[[steps]]
step = "prune"
sparsity = 0.7
pattern = "2:4"
epochs = 2
learning_rate = 1

[[steps]]
step = "quantize"
mode = "int8-float-io"
"""


def written(folder: Path, text: str, name: str = "own.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def steps(*tables: str) -> str:
    return "\n".join(f"[[steps]]\n{table}" for table in tables)


QUANTIZE = 'step = "quantize"'


def test_the_built_in_recipes_are_those_of_the_contract():
    assert set(BUILTIN) == {"int8", "prune-int8", "int16x8", "dynamic", "float16", "float32"}
    assert all(recipe.name == name and recipe.description for name, recipe in BUILTIN.items())
    assert {name for name, recipe in BUILTIN.items() if recipe.calibrates} == {"int8", "prune-int8", "int16x8"}
    assert {name for name, recipe in BUILTIN.items() if recipe.trains} == {"prune-int8"}


def test_every_recipe_ends_with_the_step_that_makes_the_tflite():
    for recipe in (*BUILTIN.values(), *map(for_mode, MODES)):
        assert isinstance(recipe.steps[-1], QuantizeStep)
        assert sum(isinstance(step, QuantizeStep) for step in recipe.steps) == 1
        assert recipe.mode == recipe.steps[-1].mode


def test_a_file_of_ones_own_is_read_with_all_its_parameters(tmp_path):
    recipe = load_recipe(written(tmp_path, OWN))
    assert recipe == Recipe(
        name="small",
        description="for the door sensor",
        steps=(
            PruneStep(sparsity=0.7, pattern="2:4", epochs=2, learning_rate=1.0),
            QuantizeStep(mode="int8-float-io"),
        ),
    )
    assert recipe.trains
    assert recipe.calibrates


def test_a_file_without_a_name_is_called_after_itself(tmp_path):
    assert load_recipe(written(tmp_path, steps(QUANTIZE), "door.toml")).name == "door"


def test_a_step_without_epochs_trains_nothing(tmp_path):
    text = steps('step = "prune"\nepochs = 0', QUANTIZE)
    assert not load_recipe(written(tmp_path, text)).trains


def test_parameters_are_all_that_a_step_depends_on():
    assert parameters(QuantizeStep(mode="dynamic")) == {"mode": "dynamic"}
    assert set(parameters(PruneStep())) == {
        *("sparsity", "initial_sparsity", "pattern", "epochs", "batch_size"),
        *("optimizer", "learning_rate", "loss", "seed"),
    }


@pytest.mark.parametrize(
    ("name", "nearest"), [("int4", "int8"), ("prune_int8", "prune-int8"), ("dinamic", "dynamic"), ("zzz", "--recipe")]
)
def test_an_unknown_recipe_gets_the_nearest_name(name, nearest):
    with pytest.raises(UsageError, match=f"unknown recipe {name!r}") as caught:
        load_recipe(name)
    assert nearest in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (steps('step = "prune"\nsparsty = 0.5', QUANTIZE), "at sparsty: unknown key 'sparsty'", "'sparsity'"),
        (steps(f'{QUANTIZE}\nmoed = "int8"'), "unknown key 'moed'", "'mode'"),
        (f"stps = []\n{steps(QUANTIZE)}", "unknown key 'stps'", "'steps'"),
        (steps('step = "prnue"', QUANTIZE), "unknown step 'prnue'", "'prune'"),
        (steps("sparsity = 0.5\nepochs = 1", QUANTIZE), "the key 'step' is missing", "prune, quantize"),
        (steps("step = 3"), "the key 'step'", "prune, quantize"),
        (steps(f'{QUANTIZE}\nmode = "int9"'), "found 'int9'", "'int8'"),
        (steps('step = "prune"\npattern = "blok"', QUANTIZE), "found 'blok'", "'block'"),
        (steps('step = "prune"\noptimizer = "adamw"', QUANTIZE), "found 'adamw'", "'adam'"),
        (steps('step = "prune"\nsparsity = "half"', QUANTIZE), "expected a number, found 'half'", ""),
        (steps('step = "prune"\nepochs = 1.5', QUANTIZE), "expected a whole number, found 1.5", ""),
        (steps('step = "prune"\nepochs = true', QUANTIZE), "expected a whole number, found True", ""),
        (steps('step = "prune"\nsparsity = 1.0', QUANTIZE), "sparsity must be between 0 and 0.99, found 1", ""),
        (steps('step = "prune"\nsparsity = -0.1', QUANTIZE), "sparsity must be between", ""),
        (steps('step = "prune"\nsparsity = nan', QUANTIZE), "sparsity must be between", ""),
        (steps('step = "prune"\ninitial_sparsity = 0.6', QUANTIZE), "initial_sparsity must be between 0 and 0.5", ""),
        (steps('step = "prune"\nepochs = -1', QUANTIZE), "epochs must be between", ""),
        (steps('step = "prune"\nbatch_size = 0', QUANTIZE), "batch_size must be between", ""),
        (steps('step = "prune"\nlearning_rate = 0', QUANTIZE), "learning_rate must be between", ""),
        (steps('step = "prune"'), "ends with exactly one 'quantize' step", 'step = "quantize"'),
        (steps(QUANTIZE, 'step = "prune"'), "ends with exactly one 'quantize' step", 'step = "quantize"'),
        (steps(QUANTIZE, QUANTIZE), "ends with exactly one 'quantize' step", 'step = "quantize"'),
        ("steps = []", "ends with exactly one 'quantize' step", 'step = "quantize"'),
        ("", "the key 'steps' is missing", ""),
        ('steps = ["quantize"]', "at steps[0]: expected a table, found 'quantize'", ""),
        ("steps = [", "own.toml", ""),
    ],
)
def test_a_wrong_file_is_an_error_that_names_the_place_and_the_way_out(tmp_path, text, message, hint):
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert message in caught.value.message
    assert path in caught.value.message
    assert hint in str(caught.value.hint)


def test_the_second_step_of_a_file_is_named_by_its_number(tmp_path):
    path = written(tmp_path, steps('step = "prune"', f"{QUANTIZE}\nmode = 8"))
    with pytest.raises(UsageError, match=r"steps\[1\]"):
        load_recipe(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml"):
        load_recipe(str(tmp_path / "none.toml"))
