"""Filter pruning as a step: what is ranked, how much goes, the file that comes out, and what is told about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import zoo

from edgekit.core import decode
from edgekit.core.errors import DataError, ModelError, UsageError
from edgekit.core.events import Event
from edgekit.model import load
from edgekit.model.format import detect_format
from edgekit.optimize.filters.choose import Choice, choose
from edgekit.optimize.filters.criteria import CRITERIA, scores
from edgekit.optimize.filters.graph import analyse
from edgekit.optimize.filters.records import FiltersPruned
from edgekit.optimize.filters.sensitivity import Sensitivity, scan
from edgekit.optimize.filters.step import prune_filters

Array = Any


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Trained models and their rows."""
    place = tmp_path_factory.mktemp("filters")
    for name, library, ending, epochs in (
        ("residual", "keras", ".keras", 4),
        ("nested", "tf_keras", ".h5", 2),
        ("functional", "keras", ".h5", 2),
        ("lstm", "keras", ".keras", 0),
    ):
        zoo.save(name, place, library, ending, epochs=epochs)
    for name in ("residual", "nested", "functional"):
        zoo.write_npz(name, place / f"{name}.npz")
        zoo.write_npz(name, place / f"{name}-bare.npz", labels=False)
    yield place
    load.forget()


def rows(folder: Path, name: str) -> dict[str, Any]:
    return {"source": str(folder / f"{name}.npz")}


# ------------------------------------------------------------------------------------------------- ranking


def two_layers(library: Any) -> Any:
    layers = library.layers
    image = layers.Input((6, 6, 1))
    x = layers.Conv2D(4, 1, use_bias=False, name="first")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(4, 1, use_bias=False, activation="relu", name="second")(x)
    return library.Model(image, layers.Dense(2, name="out")(layers.GlobalAveragePooling2D()(x)))


def ranked(criterion: str, **weights: list[Any]) -> tuple[dict[str, list[float]], dict[str, str]]:
    model = two_layers(zoo.library_of("keras"))
    for name, values in weights.items():
        layer = model.get_layer(name)
        fill = [numpy.array(value, "float32").reshape(w.shape) for value, w in zip(values, layer.weights)]
        layer.set_weights([*fill, *layer.get_weights()[len(fill) :]])
    found = scores(criterion, model, analyse(model, "keras"))
    return {name: value.tolist() for name, value in found.values.items()}, dict(found.used)


def test_l1_is_the_sum_of_magnitudes_and_l2_the_length_of_a_filter() -> None:
    kernel = [[3, -1, 0, 2], [4, 1, 0, 2], [0, 1, 0, -2], [0, 1, 0, 2]]  # inputs by outputs
    assert ranked("l1", second=[kernel])[0]["second"] == [7, 4, 0, 8]
    assert ranked("l2", second=[kernel])[0]["second"] == [5, 2, 0, 4]


def test_the_scale_of_the_normalization_ranks_the_filters_before_it_and_l1_those_without() -> None:
    found, used = ranked("bn-scale", norm=[[0.5, -2.0, 0.1, 1.0]], second=[numpy.eye(4)])
    assert found["first"] == pytest.approx([0.5, 2.0, 0.1, 1.0])
    assert found["second"] == [1, 1, 1, 1]
    assert used == {"first": "bn-scale", "second": "l1", "out": "l1"}


def test_the_filter_nearest_to_all_others_is_worth_least_by_the_geometric_median() -> None:
    found = ranked("geometric-median", first=[[0.0, 1.0, 2.0, 10.0]])[0]["first"]
    assert found == pytest.approx([13, 11, 11, 27])


def test_a_misspelt_criterion_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="unknown criterion 'geometric_medium'") as caught:
        scores("geometric_medium", None, None)  # type: ignore[arg-type]
    assert "did you mean 'geometric-median'?" in str(caught.value.hint)


@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_taylor_ranks_last_what_the_outputs_do_not_depend_on(folder: Path, tmp_path: Path, library: str) -> None:
    model = zoo.build("functional", library, epochs=1)
    layer = model.get_layer("hidden")
    kernel, bias = layer.get_weights()
    head, offset = model.get_layer("classes").get_weights()
    head[:10] = 0  # nobody listens to the first ten
    model.get_layer("classes").set_weights([head, offset])
    kernel[:, :10] *= 5  # and yet they are large
    layer.set_weights([kernel, bias + 9])  # every unit is at work, or else it would not matter either
    path = tmp_path / "deaf.keras"
    model.save(path)
    out = tmp_path / "out.keras"
    prune_filters(
        str(path),
        str(out),
        rows(folder, "functional"),
        ratio=0,
        ratios={"hidden": 0.625},
        criterion="taylor",
        tuning={"epochs": 0},
    )
    assert numpy.array_equal(load.load_model(out).model.get_layer("classes").get_weights()[0], head[10:])


# ------------------------------------------------------------------------------------------------- choosing


def kept(choice: Choice, values: dict[str, Array] | None = None, **more: Any) -> dict[str, int]:
    model = zoo.build("residual")
    found = analyse(model, "keras")
    made = {group.name: numpy.arange(group.channels.size) + 1.0 for group in found.groups}
    return {name: len(keep) for name, keep in choose(found, {**made, **(values or {})}, choice, **more).items()}


def test_a_ratio_holds_for_every_layer_and_ratios_for_the_ones_that_they_name() -> None:
    assert kept(Choice(ratio=0.25)) == {
        "stem": 6,
        "stage1_a": 6,
        "stage2_a": 12,
        "stage2_b": 12,
        "stage3_a": 18,
        "stage3_b": 18,
    }
    assert kept(Choice(ratio=0, ratios={"stage2_shortcut": 0.5, "stage1_a": 0.25})) == {"stage2_b": 8, "stage1_a": 6}
    assert kept(Choice(ratio=0.5, skip=("stem", "stage2_b_norm", "stage3_shortcut"))) == {
        "stage1_a": 4,
        "stage2_a": 8,
        "stage3_a": 12,
    }


def test_the_whole_model_gives_what_it_can_spare_but_no_layer_everything() -> None:
    weak = {"stage3_a": numpy.linspace(0.001, 0.002, 24), "stage2_a": numpy.full(16, 5.0)}
    weak["stage3_a"][0] = 9.0  # the others are worth little beside it
    found = kept(Choice(ratio=0.25, scope="global"), weak)
    assert found["stage3_a"] == 3  # a tenth stays
    assert "stage2_a" not in found  # all are worth the same, and more than most
    sizes = {"stem": 8, "stage1_a": 8, "stage2_a": 16, "stage2_b": 16, "stage3_a": 24, "stage3_b": 24}
    assert sum(sizes.values()) - sum({**sizes, **found}.values()) == 24


def test_what_stays_is_a_multiple_of_what_was_asked_for() -> None:
    assert set(kept(Choice(ratio=0.4, round_to=8)).values()) == {16}
    assert kept(Choice(ratio=0.3, round_to=4)) == {
        "stage2_a": 12,
        "stage2_b": 12,
        "stage3_a": 20,
        "stage3_b": 20,
    }


def test_at_least_a_tenth_stays() -> None:
    assert kept(Choice(ratio=0.99))["stage3_a"] == 3


def test_an_unknown_layer_and_one_that_must_stay_are_named() -> None:
    with pytest.raises(UsageError, match="skip: unknown layer 'stage1_c'") as caught:
        kept(Choice(skip=("stage1_c",)))
    assert "did you mean 'stage1_" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"ratios\.classes: its channels must stay: they are an output"):
        kept(Choice(ratios={"classes": 0.5}))
    with pytest.raises(UsageError, match="ratio must be between 0 and below 1, found 1"):
        Choice(ratio=1)


# ------------------------------------------------------------------------------------------------- the step


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "source", "kind"),
    [
        ("residual", "residual-keras.keras", "keras3-keras"),
        ("nested", "nested-tf_keras.h5", "tf-keras-h5"),
        ("functional", "functional-keras.h5", "keras3-h5"),
    ],
)
def test_half_the_filters_go_and_the_file_is_of_its_kind(folder: Path, name: str, source: str, kind: str) -> None:
    before = sha256(folder / source)
    events: list[Event] = []
    out = folder / f"half-{source}"
    record = prune_filters(
        str(folder / source),
        str(out),
        rows(folder, name),
        ratio=0.5,
        iterations=2,
        tuning={"epochs": 3, "batch_size": 32},
        on_event=events.append,
    )
    assert sha256(folder / source) == before
    assert detect_format(out).name == kind
    assert all(group.after == (group.before + 1) // 2 for group in record.groups)
    assert record.parameters < 0.5 * record.parameters_before
    assert record.macs is not None
    assert record.macs_before is not None
    assert record.macs < 0.55 * record.macs_before
    assert [item.rebuilt for item in record.exactness] == [0, 0]
    assert all(item.masked < 1e-4 * item.scale for item in record.exactness)
    assert len(record.losses) == 3
    assert {e.task for e in events if e.state == "progress"} >= {"filters, round 1 of 2", "filters, round 2 of 2"}
    assert decode.from_json(FiltersPruned, json.loads(json.dumps(decode.to_json(record))), source="record") == record
    new = load.load_model(out)
    assert sum(int(numpy.prod(w.shape)) for w in new.model.weights) == record.parameters
    assert new.model.optimizer is not None
    assert new.model.loss is not None
    old = load.load_model(folder / source)
    assert load.output_names(old) == load.output_names(new)


def test_the_notes_say_what_it_buys_that_it_is_exact_and_what_was_left(folder: Path) -> None:
    record = prune_filters(
        str(folder / "residual-keras.keras"), str(folder / "noted.keras"), ratio=0.5, skip=["stage1_a"]
    )
    buys, exact, left = record.notes
    assert "44 of 100 channels in 5 groups of layers are gone: 14,532 → " in buys
    assert "latency fall in every runtime and after int8 too" in buys
    assert exact.startswith("the cut is exact: with the same channels set to zero the big model gives the same outputs")
    assert "stage1_a (skipped, as asked for)" in left
    assert "classes (they are an output of the model)" in left
    assert [notice.code for notice in record.notices] == ["not-fine-tuned"]
    assert record.statistics_rows == 0


def test_without_labels_the_statistics_are_put_right_all_the_same(folder: Path) -> None:
    source, out = folder / "residual-keras.keras", folder / "unlabelled.keras"
    record = prune_filters(str(source), str(out), rows(folder, "residual-bare"), ratio=0.5)
    assert record.statistics_rows == 256
    assert record.losses == ()
    inputs, labels = zoo.rows("residual", 256, seed=1)
    bare = prune_filters(str(source), str(folder / "left.keras"), ratio=0.5)
    assert bare.statistics_rows == 0
    right = []
    for path in (out, folder / "left.keras"):
        loaded = load.load_model(path)
        scores_ = next(iter(load.forward(loaded, inputs).values()))
        right.append(float((scores_.argmax(axis=1) == labels).mean()))
    assert right[0] > right[1]


def test_a_ratio_of_zero_changes_no_weight_and_says_that_nothing_went(folder: Path) -> None:
    source, out = folder / "functional-keras.h5", folder / "same.h5"
    record = prune_filters(str(source), str(out), rows(folder, "functional"), ratio=0, tuning={"epochs": 0})
    assert record.groups == ()
    assert "nothing-removed" in [notice.code for notice in record.notices]
    old = [numpy.array(value) for value in load.load_model(source).model.get_weights()]
    new = load.load_model(out).model.get_weights()
    assert all(numpy.array_equal(left, right) for left, right in zip(old, new, strict=True))


def test_a_model_without_filters_to_remove_is_refused_with_the_reasons(folder: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no filters can be removed from lstm-keras\.keras: classes: they are an output"
    ):
        prune_filters(str(folder / "lstm-keras.keras"), str(folder / "no.keras"))


def test_taylor_without_labels_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="'taylor' needs training rows with labels"):
        prune_filters(
            str(folder / "functional-keras.h5"),
            str(folder / "no.h5"),
            rows(folder, "functional-bare"),
            criterion="taylor",
        )


def test_every_criterion_of_the_recipe_is_known_here() -> None:
    from typing import get_args

    from edgekit.optimize.steps import Criterion

    assert get_args(Criterion) == CRITERIA


# ---------------------------------------------------------------------------------------------- sensitivity


def test_the_scan_finds_the_layers_to_leave_alone(folder: Path) -> None:
    source = folder / "residual-keras.keras"
    before = sha256(source)
    found = scan(str(source), rows(folder, "residual"), ratios=(0.5, 0.125))
    assert sha256(source) == before
    assert found.metric == "top-1"
    assert found.count == 256
    assert found.ratios == (0.125, 0.5)
    assert [group.name for group in found.groups] == [
        "stem",
        "stage1_a",
        "stage2_a",
        "stage2_b",
        "stage3_a",
        "stage3_b",
    ]
    assert all(len(group.drops) == 2 for group in found.groups)
    worst = max(found.groups, key=lambda group: group.drops[1])
    assert worst.drops[1] > 5
    proposed = found.proposed_ratios(2.0)
    assert proposed[worst.name] < 0.5
    assert set(found.skip(2.0)) == {group.name for group in found.groups if group.drops[0] > 2.0}
    assert decode.from_json(Sensitivity, json.loads(json.dumps(decode.to_json(found))), source="scan") == found


def test_without_labels_the_scan_compares_with_the_model_itself(folder: Path) -> None:
    found = scan(str(folder / "functional-keras.h5"), rows(folder, "functional-bare"), ratios=(0.5,), rows=64)
    assert (found.metric, found.reference, found.count) == ("agreement", 1.0, 64)
    assert found.notes[0] == "no labels: the score is the agreement with the whole model"
    assert all(0 <= group.scores[0] <= 1 for group in found.groups)


def test_proposed_ratios_are_read_off_the_curve() -> None:
    from edgekit.optimize.filters.sensitivity import _reached

    assert _reached((0.25, 0.5, 0.75), (0.0, 1.0, 5.0), 2.0) == 0.56
    assert _reached((0.25, 0.5, 0.75), (4.0, 1.0, 5.0), 1.0) == 0.06
    assert _reached((0.25, 0.5), (-1.0, 0.5), 2.0) == 0.5


def test_a_grouped_convolution_is_cut_in_several_rounds(tmp_path: Path) -> None:
    source = zoo.save("grouped", tmp_path)
    found = prune_filters(str(source), str(tmp_path / "small.keras"), ratio=0.75, iterations=3)
    stem = next(group for group in found.groups if group.name == "stem")
    assert stem.after < stem.before
    assert max(item.masked / item.scale for item in found.exactness) < 1e-5
