"""``edgekit inspect --diagnose`` at the command line: its document, its table, its recipe, over ssh too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tiny_tflite
from cli_run import EXAMPLE, Edgekit
from sshd_board import Sshd

from edgekit.optimize.recipe import load_recipe


@pytest.fixture
def half_delegated(edgekit: Edgekit) -> Path:
    """ADD, which XNNPACK takes, then FLOOR_MOD, which it does not."""
    return tiny_tflite.write(edgekit.folder, tiny_tflite.dense_then_floor_mod(), "half.tflite")


def by_type(document: dict) -> dict[str, dict]:
    return {share["type"]: share for share in document["evidence"]["shares"]}


def test_the_time_of_each_op_and_who_ran_it_stand_in_the_document(edgekit, half_delegated):
    ran = edgekit("inspect", half_delegated, "--diagnose", "--device", "local", "--json")
    assert ran.status == 0, ran.err
    shares = by_type(ran.document)
    assert (shares["ADD"]["delegated"], shares["FLOOR_MOD"]["delegated"]) == (True, False)
    assert all(share["elapsed_ns"] >= 0 for share in shares.values())
    profile = ran.document["profile"]
    assert (profile["device"], profile["runtime"]["delegate"]) == ("local", "XNNPACK")
    assert profile["whole_ns"] >= profile["ops_ns"]
    assert profile["runs"] >= 25


def test_a_board_over_ssh_takes_the_time_as_well(edgekit, half_delegated, sshd_board: Sshd):
    ran = edgekit(
        *("inspect", half_delegated, "--diagnose", "--device", "pi4", "--json"),
        env={"EDGEKIT_SSH_CONFIG": str(sshd_board.config)},
    )
    assert ran.status == 0, ran.err
    assert ran.document["profile"]["device"] == "pi4"
    assert by_type(ran.document)["FLOOR_MOD"]["delegated"] is False


def test_what_could_not_be_looked_at_is_named_with_what_brings_it(edgekit, half_delegated):
    ran = edgekit("inspect", half_delegated, "--diagnose", "--json")
    parts = {item["part"]: item for item in ran.document["left_out"]}
    assert set(parts) == {
        "time per layer",
        "weight spectra",
        "sensitivity to pruning",
        "sensitivity to quantization",
    }
    assert parts["time per layer"]["hint"] == "--device NAME, or --device local"
    assert parts["sensitivity to quantization"]["hint"] == "--data FILE"
    assert all(share["elapsed_ns"] is None for share in ran.document["evidence"]["shares"])
    shown = edgekit("inspect", half_delegated, "--diagnose").out
    assert "Left out" in shown
    assert "time per layer: no device was named" in shown


def test_the_table_fits_eighty_columns_and_ends_with_the_recipe(edgekit, half_delegated):
    ran = edgekit("inspect", half_delegated, "--diagnose", "--device", "local", env={"COLUMNS": "80"})
    assert ran.status == 0, ran.err
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "What to do" in ran.out
    assert 'step = "quantize"' in ran.out
    assert "not taken by XNNPACK" in ran.out


def test_the_recipe_goes_to_the_file_and_can_be_loaded(edgekit, half_delegated):
    ran = edgekit("inspect", half_delegated, "--diagnose", "--recipe-out", "found.toml")
    assert ran.status == 0, ran.err
    assert "--recipe found.toml" in ran.out.replace("\n", " ")
    assert load_recipe(str(edgekit.folder / "found.toml")).mode == "int8"


def test_a_quantized_model_has_no_recipe_and_no_file_is_written(edgekit):
    model = tiny_tflite.write(edgekit.folder, tiny_tflite.dense_int8(), "small.tflite")
    ran = edgekit("inspect", model, "--diagnose", "--recipe-out", "found.toml", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["recipe"] is None
    assert "quantized-already" in {point["code"] for point in ran.document["points"]}
    assert not (edgekit.folder / "found.toml").exists()
    assert "found.toml was not written" in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--device", "local"), "--device is for --diagnose"),
        (("--recipe-out", "r.toml"), "--recipe-out is for --diagnose"),
        (("--diagnose", "--recipe-out", "r.txt"), "does not end in .toml"),
        (("--diagnose", "--device", "lokal"), "lokal"),
        (("--diagnose", "--scale", "1/255"), "--scale"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(edgekit, half_delegated, options, words):
    ran = edgekit("inspect", half_delegated, *options)
    assert ran.status == 2
    assert words in ran.err


def test_without_diagnose_nothing_of_it_is_imported():
    code = "import edgekit.cli.inspect, sys; print([n for n in sys.modules if 'diagnos' in n or n == 'numpy'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_keras_model_with_data_and_a_device_gets_every_part(edgekit):
    ran = edgekit(
        *("inspect", EXAMPLE / "digits.keras", "--diagnose", "--json", "--recipe-out", "r.toml"),
        *("--data", EXAMPLE / "digits.npz", "--device", "local"),
    )
    assert ran.status == 0, ran.err
    found = ran.document
    assert found["left_out"] == []
    evidence = found["evidence"]
    conv = next(share for share in evidence["shares"] if share["name"] == "conv2d_4")
    assert conv["ops"] == ["CONV_2D"]
    assert conv["macs"] / found["macs"] == pytest.approx(0.658, abs=0.001)
    assert {item["layer"] for item in evidence["quantization"]} >= {"conv2d_3", "conv2d_4", "conv2d_5", "digit"}
    assert {cut["layer"] for cut in evidence["cuts"]} == {"conv2d_3", "conv2d_4", "conv2d_5", "dense_1"}
    assert evidence["int8"]["drop"] < 2
    assert evidence["fusion"]["findings"] == []
    assert load_recipe(str(edgekit.folder / "r.toml")).steps[0].step == "filters"
