"""Each technique as a command of its own, on the shipped example, with as little training as shows that it works."""

from __future__ import annotations

import pytest
from cli_run import refused

# the example project has a budget, which steps would back off to
BRIEF = ["--data", "digits.npz", "--epochs", "1", "--max-drop", "100", "--json"]


def step_of(ran, name):
    assert ran.status == 0, ran.err
    (found,) = [step for step in ran.document["steps"] if step["name"] == name]
    return found


def test_prune_with_the_pattern_filters_makes_a_smaller_model_of_the_same_kind(edgekit, example):
    ran = edgekit(
        *("prune", "digits.keras", "--pattern", "filters", "--sparsity", "0.5", "--criterion", "l2"),
        *("-o", "out/small.keras", *BRIEF),
    )
    step = step_of(ran, "filters")
    assert step["parameters"]["ratio"] == 0.5
    assert {group["criterion"] for group in step["details"]["groups"]} == {"l2"}
    assert step["macs"] < 0.5 * ran.document["steps"][0]["macs"]
    again = edgekit("inspect", "out/small.keras", "--json").document
    assert again["parameters"] < 0.5 * edgekit("inspect", "digits.keras", "--json").document["parameters"]


def test_cluster_leaves_few_values_and_says_that_only_the_download_shrinks(edgekit, example):
    ran = edgekit("cluster", "digits.keras", "--clusters", "8", "-o", "out/clustered.keras", *BRIEF)
    step = step_of(ran, "cluster")
    before = ran.document["steps"][0]
    assert step["gzip_bytes"] < 0.5 * before["gzip_bytes"]
    assert step["size_bytes"] == pytest.approx(before["size_bytes"], rel=0.01)
    assert any("compressed" in note for note in step["notes"])


def test_distill_makes_a_student_without_labels(edgekit, example):
    import numpy

    arrays = numpy.load(example / "digits.npz")
    numpy.savez(example / "unlabelled.npz", x=arrays["x_train"])
    ran = edgekit(
        *("distill", "digits.keras", "--training", "unlabelled.npz", "--evaluation", "digits.npz"),
        *("--width", "0.5", "--epochs", "2", "--max-drop", "100", "-o", "out/student.keras", "--json"),
    )
    step = step_of(ran, "distill")
    assert step["macs"] < 0.4 * ran.document["steps"][0]["macs"]
    assert step["score"] > 0.5  # of ten classes


def test_quantize_with_qat_is_full_integer(edgekit, example):
    ran = edgekit("quantize", "digits.keras", "--qat", "-o", "out/qat.tflite", *BRIEF)
    assert step_of(ran, "qat")["score"] > 0.9
    assert ran.document["audit"]["full_integer"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["quantize", "--epochs", "2"], "--epochs does not go without --qat"),
        (["quantize", "--qat", "--equalize"], "--equalize does not go with --qat"),
        (["prune", "--criterion", "l2"], "--criterion does not go with --pattern unstructured"),
        (["prune", "--pattern", "filters", "--initial-sparsity", "0.1"], "does not go with --pattern filters"),
        (["optimize", "--recipe", "filter-int8"], "unknown recipe 'filter-int8'"),
        (["optimize", "--max-latency", "5ms"], "judged on a board"),
        (["cluster", "--clusters", "1"], "clusters must be between 2 and 256"),
        (["distill", "--width", "2"], "width must be between"),
        (["distill", "--student", "none.keras"], "no such student: none.keras"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_go_together_are_refused(edgekit, example, options, message):
    command, *rest = options
    refused(edgekit(command, "digits.keras", "--data", "digits.npz", *rest), 2, message)


def test_a_forecast_trains_and_writes_nothing(edgekit, example):
    ran = edgekit("optimize", "digits.keras", "--recipe", "prune-int8", "--forecast", "--json")
    assert ran.status == 0, ran.err
    assert [one["name"] for one in ran.document["forecast"]] == ["prune", "quantize"]
    assert ran.document["forecast"][0]["latency"]["kind"] == "none"
    assert not (example / "digits-prune-int8.tflite").exists()
    shown = edgekit("optimize", "digits.keras", "--recipe", "prune-int8", "--forecast")
    assert "none" in shown.out


def test_the_list_of_recipes_says_what_each_needs_and_buys(edgekit):
    ran = edgekit("optimize", "--list-recipes", "--json")
    recipes = {recipe["name"]: recipe for recipe in ran.document["recipes"]}
    assert recipes["filters-int8"]["needs"] == "a Keras model; data with labels"
    assert "latency" in recipes["filters-int8"]["buys"]
    assert all(recipe["description"] and recipe["buys"] for recipe in recipes.values())


def test_a_calibration_curve_says_how_many_rows_are_enough(edgekit, example):
    ran = edgekit("quantize", "digits.keras", "--data", "digits.npz", "--calibration-curve", "--json")
    assert ran.status == 0, ran.err
    curve = ran.document["curve"]
    counts = [point["count"] for point in curve["points"]]
    assert counts == sorted(counts)
    assert curve["points"][-1]["missing_max"] == 0.0
    assert curve["points"][0]["missing_mean"] > curve["points"][-1]["missing_mean"]
    assert str(curve["enough"] or counts[-1]) in curve["verdict"]
    shown = edgekit("quantize", "digits.keras", "--data", "digits.npz", "--calibration-curve")
    assert curve["verdict"].split(":")[0].split()[0] in shown.out
