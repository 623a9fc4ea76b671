"""Recipes: the built-in ones, files of one's own, and every way in which those can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import UsageError
from edgekit.optimize.recipe import BUILTIN, Recipe, for_step, load_recipe
from edgekit.optimize.steps import MODES, STEPS, FiltersStep, PruneStep, QatStep, QuantizeStep, parameters

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


NAMES = [
    "int8",
    "prune-int8",
    "filters-int8",
    "cluster-int8",
    "qat-int8",
    "pqat-int8",
    "cqat-int8",
    "pcqat-int8",
    "distill-int8",
    "filters-distill-int8",
    "selective-int8",
    "int16x8",
    "dynamic",
    "float16",
    "float32",
    "xnnpack-sparse",
]


def test_the_built_in_recipes_are_those_that_scripts_rely_on():
    assert list(BUILTIN) == NAMES
    assert all(recipe.name == name and recipe.description and recipe.buys for name, recipe in BUILTIN.items())
    calibrated = {name for name, recipe in BUILTIN.items() if recipe.calibrates}
    assert calibrated == {name for name in NAMES if name.endswith("int8")} | {"int16x8"}
    trained = {"prune", "filters", "cluster", "qat", "pqat", "cqat", "pcqat", "distill", "filters-distill"}
    assert {name for name, recipe in BUILTIN.items() if recipe.trains} == {
        *(f"{name}-int8" for name in trained),
        "xnnpack-sparse",
    }
    assert {name for name, recipe in BUILTIN.items() if recipe.keeps_float} == {"selective-int8"}


def test_every_recipe_says_what_it_needs():
    assert BUILTIN["float16"].needs == "nothing"
    assert BUILTIN["int8"].needs == "data"
    assert BUILTIN["filters-int8"].needs == "a Keras model; data with labels"
    assert BUILTIN["filters-distill-int8"].needs == "a Keras model; data (labels help)"


def test_every_recipe_ends_with_the_step_that_makes_the_tflite():
    for recipe in (*BUILTIN.values(), *(for_step(QuantizeStep(mode=mode)) for mode in MODES)):
        assert isinstance(recipe.steps[-1], (QuantizeStep, QatStep))
        assert sum(isinstance(step, (QuantizeStep, QatStep)) for step in recipe.steps) == 1
        assert recipe.mode == recipe.steps[-1].mode


def test_every_step_can_be_written_in_a_file_with_its_defaults(tmp_path):
    for name, kind in STEPS.items():
        last = "" if kind in (QuantizeStep, QatStep) else QUANTIZE
        tables = [f'step = "{name}"', last] if last else [f'step = "{name}"']
        assert load_recipe(written(tmp_path, steps(*tables))).steps[0] == kind()


def test_ratios_by_layer_are_read(tmp_path):
    table = 'step = "filters"\nratio = 0.4\nratios = {conv2d = 0.6, "inner/conv" = 0}\nskip = ["stem"]'
    recipe = load_recipe(written(tmp_path, steps(table, QUANTIZE)))
    assert recipe.steps[0] == FiltersStep(ratio=0.4, ratios={"conv2d": 0.6, "inner/conv": 0.0}, skip=("stem",))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('step = "filters"\nratio = 1', "ratio must be between 0 and 0.95"),
        ('step = "filters"\nratios = {stem = -1}', "ratios.stem must be between"),
        ('step = "filters"\ncriterion = "l1norm"', "expected one of l1"),
        ('step = "cluster"\nclusters = 1', "clusters must be between 2 and 256"),
        ('step = "distill"\nwidth = 0', "width must be between"),
        ('step = "xnnpack-sparse"\nsparsity = 0.5', "sparsity must be between 0.7"),
        ('step = "prune"\nfine_tune = "teacher"', "expected one of labels, distill"),
    ],
)
def test_a_parameter_out_of_range_is_named(tmp_path, table, message):
    with pytest.raises(UsageError) as caught:
        load_recipe(written(tmp_path, steps(table, QUANTIZE)))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('mode = "float16"\nselective = true', "selective is for the modes int8"),
        ('mode = "int16x8"\nranges = "mse"', "ranges is for the modes int8"),
        ('mode = "int8"\nsparse = true', "int8 has no sparse kernels"),
    ],
)
def test_a_choice_that_a_mode_does_not_have_is_refused(tmp_path, table, message):
    with pytest.raises(UsageError) as caught:
        load_recipe(written(tmp_path, steps(f'step = "quantize"\n{table}')))
    assert message in caught.value.message


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
    assert parameters(QuantizeStep(mode="dynamic")) == {
        "mode": "dynamic",
        "selective": False,
        "keep": [],
        "keep_as": "float32",
        "equalize": False,
        "bias_correction": False,
        "ranges": "minmax",
        "sparse": False,
    }
    assert set(parameters(PruneStep())) == {
        *("sparsity", "initial_sparsity", "pattern", "epochs", "batch_size"),
        *("optimizer", "learning_rate", "loss", "seed", "fine_tune", "temperature", "alpha"),
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
        (steps("sparsity = 0.5\nepochs = 1", QUANTIZE), "the key 'step' is missing", "prune, filters, cluster"),
        (steps("step = 3"), "the key 'step'", "prune, filters, cluster"),
        (steps(f'{QUANTIZE}\nmode = "int9"'), "found 'int9'", "'int8'"),
        (steps('step = "prune"\npattern = "blok"', QUANTIZE), "found 'blok'", "'block'"),
        (steps('step = "prune"\noptimizer = "adan"', QUANTIZE), "found 'adan'", "'adam'"),
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
        (steps('step = "prune"'), "ends with exactly one 'quantize' or 'qat' step", 'step = "quantize"'),
        (steps(QUANTIZE, 'step = "prune"'), "ends with exactly one 'quantize' or 'qat' step", 'step = "quantize"'),
        (steps(QUANTIZE, QUANTIZE), "ends with exactly one 'quantize' or 'qat' step", 'step = "quantize"'),
        ("steps = []", "ends with exactly one 'quantize' or 'qat' step", 'step = "quantize"'),
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


@pytest.mark.parametrize(
    ("steps", "macs", "epochs"),
    [
        (20, 2_000_000, 30),  # some thousand small rows
        (188, 2_000_000, 7),
        (782, 12_500_000, 4),  # a small residual network on CIFAR-10
        (16, 300_000_000, 16),  # a MobileNetV2 on a thousand photographs
        (5000, 300_000_000, 1),
    ],
)
def test_epochs_follow_the_rows_and_what_a_processor_can_do(steps, macs, epochs):
    assert PruneStep().epochs_of(steps, macs) == epochs
    assert PruneStep(epochs=9).epochs_of(steps, macs) == 9
