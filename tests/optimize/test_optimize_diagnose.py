"""A diagnosis of small models: which layer an op belongs to, what was folded, what is recommended, which recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import zoo

from edgekit.model.describe import describe
from edgekit.model.flatbuffer import read
from edgekit.model.load import load_model
from edgekit.optimize.convert import convert
from edgekit.optimize.diagnose.evidence import CutSensitivity, Evidence, Int8Loss, QuantizationSensitivity
from edgekit.optimize.diagnose.fusion import check_fusion
from edgekit.optimize.diagnose.layers import OpTiming, layer_shares
from edgekit.optimize.diagnose.owners import owned_ops
from edgekit.optimize.diagnose.prescribe import prescribe, recipe_text
from edgekit.optimize.diagnose.recommend import recommend
from edgekit.optimize.export import export
from edgekit.optimize.recipe import load_recipe
from edgekit.optimize.steps import FiltersStep


def opened(path: Path, folder: Path):
    """Description, .tflite and ops with their layers of a model file."""
    network = describe(load_model(path))
    export(str(path), str(folder / "export"))
    convert(str(folder / "export"), str(folder / "model.tflite"))
    flat = read(str(folder / "model.tflite"))
    return network, flat, owned_ops(flat, network.layers)


def evidence_of(path: Path, folder: Path, **more) -> Evidence:
    network, flat, owned = opened(path, folder)
    timings = more.pop("timings", ())
    return Evidence(
        model=path.stem,
        library=network.library,
        size_bytes=flat.size_bytes,
        shares=layer_shares(flat, owned, network.layers, timings),
        fusion=check_fusion(flat, owned, network.layers),
        **more,
    )


@pytest.fixture(scope="module")
def residual(tmp_path_factory) -> Evidence:
    folder = tmp_path_factory.mktemp("residual")
    return evidence_of(zoo.save("residual", folder), folder)


def codes(found: Evidence) -> list[str]:
    return [point.code for point in recommend(found)]


# ----------------------------------------------------------------------------------------------------- owners, shares


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("residual", "keras"),
        ("nested", "tf_keras"),
        ("nested", "keras"),
        ("grouped", "keras"),
        ("multi_output", "keras"),
        pytest.param("bidirectional", "tf_keras", marks=pytest.mark.slow),
    ],
)
def test_every_op_with_work_belongs_to_the_layer_that_has_this_work(name, library, tmp_path):
    network, _, owned = opened(zoo.save(name, tmp_path, library), tmp_path)
    known = {layer.name: layer.macs for layer in network.layers}
    work: dict[str | None, int] = {}
    for item in owned:
        if item.op.macs:
            work[item.owner] = work.get(item.owner, 0) + item.op.macs
    assert work
    for owner, macs in work.items():
        assert owner is not None
        assert known[owner] in (macs, None) or "both" in owner  # recurrent layers: gates are counted another way
    assert [name for name, macs in known.items() if macs and name not in work] == []


def test_the_second_name_of_a_layer_of_keras_3_is_told_from_the_layer_that_has_this_name(tmp_path):
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(3, 3, name="conv"),
            layers.Conv2D(5, 3, name="conv_1"),
            layers.Conv2D(7, 3, name="conv_2"),
        ]
    )
    model.save(tmp_path / "m.keras")
    network, _, owned = opened(tmp_path / "m.keras", tmp_path)
    known = {layer.name: layer.macs for layer in network.layers}
    assert [item.owner for item in owned if item.op.macs] == ["conv", "conv_1", "conv_2"]
    assert all(item.op.macs == known[item.owner] for item in owned if item.op.macs)


def test_shares_hold_all_work_all_bytes_and_all_time_once(tmp_path):
    network, flat, owned = opened(zoo.save("residual", tmp_path), tmp_path)
    timings = [OpTiming(elapsed_ns=1000.0 + index, delegated=index != 3) for index in range(len(owned))]
    shares = layer_shares(flat, owned, network.layers, timings)
    assert sum(share.macs or 0 for share in shares) == flat.macs
    assert sum(share.elapsed_ns for share in shares) == pytest.approx(sum(t.elapsed_ns for t in timings))
    assert sum(len(share.ops) for share in shares) == len(owned)
    assert [share.name for share in shares if share.delegated is False] == [owned[3].owner]


# ------------------------------------------------------------------------------------------------------------- fusion


def not_folded(tmp_path: Path):
    """Each layer that cannot be folded, once."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = layers.Input((32, 32, 3), name="image")
    x = layers.BatchNormalization(name="first_norm")(image)
    x = layers.ZeroPadding2D(((2, 1), (1, 2)), name="pad")(x)
    x = layers.Conv2D(8, 3, strides=2, name="conv")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.BatchNormalization(name="late_norm")(x)
    y = layers.Conv2D(8, 3, padding="same", name="branching")(x)
    x = layers.Add(name="add")([layers.ReLU(name="branch_relu")(y), layers.Conv2D(8, 1, name="side")(y)])
    x = layers.Conv2D(8, 3, padding="same", activation="elu", name="bent")(x)
    x = layers.Dropout(0.3, name="drop")(x)
    x = layers.Permute((3, 1, 2), name="turn")(x)
    model = keras.Model(image, layers.Dense(3, name="classes")(layers.Flatten()(x)))
    random = numpy.random.default_rng(1)
    for layer in model.layers:
        if layer.name.endswith("norm"):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    model.save(tmp_path / "odd.keras")
    return evidence_of(tmp_path / "odd.keras", tmp_path)


def test_each_layer_that_was_not_folded_is_named_with_what_to_do(tmp_path):
    found = not_folded(tmp_path)
    faults = {(finding.code, place) for finding in found.fusion.findings for place in finding.where}
    assert faults == {
        ("batch-norm-left", "first_norm"),
        ("pad-left", "pad"),
        ("batch-norm-left", "late_norm"),
        ("activation-left", "branch_relu"),
        ("activation-left", "bent"),
        ("transpose", "turn"),
    }
    assert found.fusion.batch_norms == (0, 2)
    assert found.fusion.activations == (1, 2)
    assert found.fusion.training_only == ("drop",)
    assert all(finding.advice for finding in found.fusion.findings)


def test_a_model_that_folds_whole_has_no_finding(residual):
    assert residual.fusion.findings == ()
    folded, all_of_them = residual.fusion.batch_norms
    assert folded == all_of_them > 0


def test_float_islands_and_select_tf_ops_are_found_out(tmp_path_factory):
    import model_making

    made = model_making.made(tmp_path_factory.getbasetemp(), "tflite")
    island = read(str(made / "island.tflite"))
    assert "quantize-island" in {f.code for f in check_fusion(island, owned_ops(island, ())).findings}
    flex = read(str(made / "flex.tflite"))
    found = {f.code for f in check_fusion(flex, owned_ops(flex, ())).findings}
    assert "not-builtin" in found
    whole = read(str(made / "int8.tflite"))
    assert "quantize-island" not in {f.code for f in check_fusion(whole, owned_ops(whole, ())).findings}


# ---------------------------------------------------------------------------------------------- recommendation, recipe


def test_convolutions_with_most_of_the_work_are_told_with_their_share(residual):
    point = next(point for point in recommend(residual) if point.code == "filters")
    share = residual.part(lambda share: share.kind == "3×3 convolution")
    assert f"{share:.0%} of the multiply-accumulates" in point.reason
    assert "3×3 convolutions" in point.reason


def test_depthwise_convolutions_warn_of_dynamic_range_and_others_do_not(residual, tmp_path):
    assert "not-dynamic" not in codes(residual)
    assert "not-dynamic" in codes(evidence_of(zoo.save("depthwise", tmp_path), tmp_path))


def test_what_int8_loses_decides_between_int8_and_selective(residual):
    noise = (QuantizationSensitivity(layer="stem", snr_db=8.0), QuantizationSensitivity(layer="head", snr_db=44.0))
    fine = replace(
        residual, quantization=noise, int8=Int8Loss(drop=0.1, unit="pp", metric="top-1", rows=500, snr_db=40)
    )
    hurt = replace(fine, int8=replace(fine.int8, drop=7.5))
    assert "int8" in codes(fine)
    assert prescribe(fine).steps[-1].selective is False
    point = next(point for point in recommend(hurt) if point.code == "sensitive-to-int8")
    assert "7.5 pp" in point.reason
    assert "stem" in point.text
    assert "head" not in point.text
    assert prescribe(hurt).steps[-1].selective is True


def test_sensitive_layers_are_skipped_and_robust_ones_cut_deeper(residual):
    cuts = (
        CutSensitivity(layer="tender", layers=("tender",), ratios=(0.25, 0.5), drops=(25.0, 60.0)),
        CutSensitivity(layer="usual", layers=("usual",), ratios=(0.25, 0.5), drops=(0.8, 4.0)),
        CutSensitivity(layer="robust", layers=("robust",), ratios=(0.25, 0.5, 0.75), drops=(0.0, 0.4, 0.9)),
    )
    step = prescribe(replace(residual, cuts=cuts)).steps[0]
    assert isinstance(step, FiltersStep)
    assert step.skip == ("tender",)
    assert dict(step.ratios) == {"robust": 0.5}
    assert {"sensitive-to-cuts", "robust-to-cuts"} <= set(codes(replace(residual, cuts=cuts)))


def test_without_labels_the_recipe_learns_from_the_model_itself(residual):
    assert prescribe(replace(residual, labels=False)).steps[0].fine_tune == "distill"
    assert prescribe(replace(residual, labels=True)).steps[0].fine_tune == "labels"


def test_a_quantized_model_needs_no_recipe(residual):
    assert prescribe(replace(residual, integer=True)) is None


def test_the_written_recipe_is_the_one_that_is_loaded(residual, tmp_path):
    cuts = (
        CutSensitivity(layer='odd "name"/conv', layers=("a",), ratios=(0.25, 0.5), drops=(0.0, 0.2)),
        CutSensitivity(layer="tender", layers=("b",), ratios=(0.25, 0.5), drops=(30.0, 60.0)),
    )
    found = replace(residual, cuts=cuts, labels=False)
    recipe = prescribe(found)
    path = tmp_path / "r.toml"
    path.write_text(recipe_text(recipe, recommend(found)), encoding="utf-8")
    assert load_recipe(str(path)).steps == recipe.steps
    assert load_recipe(str(path)).name == recipe.name


def test_a_loop_gets_dynamic_range_unless_int8_was_seen_to_be_good(tmp_path):
    found = evidence_of(zoo.save("gru", tmp_path), tmp_path)
    assert next(share.kind for share in found.shares if share.name == "memory") == "recurrent"
    assert prescribe(found).mode == "dynamic"
    assert "int8" not in codes(found)
    good = replace(found, int8=Int8Loss(drop=0.0, unit="pp", metric="top-1", rows=100, snr_db=40.0))
    assert prescribe(good).mode == "int8"
    assert "recurrent" not in codes(good)
