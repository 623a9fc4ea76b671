"""What bad input gets: a named error and the right exit status in bounded time; nothing half-written."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import bad_models
import numpy
import pytest
import tiny_tflite
from cli_run import Edgekit, Ran, left_behind, npz, refused
from PIL import Image
from sshd_board import Sshd


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Attempt:
    """``edgekit optimize`` of the example with something wrong; the output folder must stay as it was."""

    def __init__(self, edgekit: Edgekit, folder: Path) -> None:
        self.edgekit, self.folder = edgekit, folder
        (folder / "edgekit.toml").unlink()
        (folder / "out").mkdir()

    def __call__(self, *arguments: object, model: str = "digits.keras", data: str | None = "digits.npz") -> Ran:
        source = self.folder / model
        before = sha256(source) if source.is_file() else None
        given = () if data is None else ("--data", data)
        ran = self.edgekit("optimize", model, *given, "-o", "out/model.tflite", *arguments)
        assert left_behind(self.folder / "out") == []
        assert before == (sha256(source) if source.is_file() else None)
        steps = Path(os.environ["EDGEKIT_HOME"]) / "cache" / "steps"
        assert not [path.name for path in steps.glob(".*")], "a half-made step is left in the cache"
        return ran


@pytest.fixture
def attempt(edgekit: Edgekit, example: Path) -> Attempt:
    return Attempt(edgekit, example)


# ---------------------------------------------------------------------------------------- models


def test_a_missing_model_is_a_named_error(attempt):
    refused(attempt(model="none.keras"), 4, "no such file: none.keras")


@pytest.mark.parametrize("ending", ["keras", "h5", "tflite"])
def test_a_text_file_with_a_models_name_is_a_named_error(attempt, ending):
    (attempt.folder / f"text.{ending}").write_text("This is my model. I trained it for three days.\n" * 40)
    refused(attempt(model=f"text.{ending}"), 4, f"text.{ending}", "text")


@pytest.mark.parametrize("ending", ["keras", "h5", "tflite"])
def test_a_truncated_model_is_a_named_error(attempt, ending, edgekit):
    whole = {
        "keras": lambda: attempt.folder / "digits.keras",
        "h5": lambda: bad_models.hdf5(attempt.folder / "whole.h5"),
        "tflite": lambda: tiny_tflite.write(attempt.folder, tiny_tflite.dense(columns=64), "whole.tflite"),
    }[ending]()
    bad_models.truncated(whole, attempt.folder / f"half.{ending}")
    refused(attempt(model=f"half.{ending}"), 4, f"half.{ending}")
    refused(edgekit("inspect", f"half.{ending}"), 4, f"half.{ending}")


def test_an_empty_file_is_a_named_error(attempt):
    (attempt.folder / "empty.keras").touch()
    refused(attempt(model="empty.keras"), 4, "empty.keras", "empty")


def test_an_unknown_custom_layer_is_named_with_its_class(attempt):
    bad_models.with_custom_layer(attempt.folder / "custom.keras")
    refused(attempt(model="custom.keras"), 4, "Doubling")


def test_a_lambda_layer_is_refused_by_name_and_its_code_does_not_run(attempt, tmp_path):
    bad_models.with_lambda(attempt.folder / "lambda.keras", tmp_path / "canary")
    refused(attempt(model="lambda.keras"), 4, "payload", "--trust-model")
    refused(attempt.edgekit("inspect", "lambda.keras"), 4, "payload", "--trust-model")
    assert not (tmp_path / "canary").exists()


def test_a_project_with_a_lambda_layer_can_be_trusted_when_it_is_deployed(attempt, tmp_path):
    bad_models.with_lambda(attempt.folder / "lambda.keras", tmp_path / "canary")
    (attempt.folder / "edgekit.toml").write_text('model = "lambda.keras"\ndata = "digits.npz"\n')
    refused(attempt.edgekit("deploy"), 4, "--trust-model")
    assert "--trust-model" in attempt.edgekit("deploy", "--help").out


# ---------------------------------------------------------------------------------------- data


def digits_like(folder: Path, **arrays: object) -> str:
    """A dataset for the example's model with something else in it."""
    npz(folder / "other.npz", rows=200, shape=(8, 8, 1), classes=10, **arrays)
    return "other.npz"


def test_a_missing_dataset_is_a_named_error(attempt):
    refused(attempt(data="none.npz"), 4, "none.npz")


def test_rows_of_another_shape_are_a_named_error(attempt):
    data = digits_like(attempt.folder, x=numpy.zeros((200, 9, 9, 1), "float32"))
    refused(attempt(data=data), 4, "9", "8")


def test_channels_first_is_named(edgekit):
    model = tiny_tflite.write(edgekit.folder, tiny_tflite.build(*doubling((1, 8, 8, 3)), ["x"], ["y"]))
    npz(edgekit.folder / "other.npz", shape=(3, 8, 8))
    refused(edgekit("evaluate", model, "--data", "other.npz", "--metric", "agreement"), 4, "NCHW")


def doubling(shape: tuple[int, ...]) -> tuple[list[tiny_tflite.Tensor], list[tiny_tflite.Op]]:
    tensors = [tiny_tflite.Tensor(name, "float32", shape) for name in ("x", "y")]
    options = (tiny_tflite.schema.AddOptionsT(), tiny_tflite.OPTIONS.AddOptions)
    return tensors, [tiny_tflite.Op(tiny_tflite.OPS.ADD, ["x", "x"], ["y"], *options)]


def test_labels_of_another_length_are_a_named_error(attempt):
    refused(attempt(data=digits_like(attempt.folder, y=numpy.zeros(150, "int64"))), 4, "150", "200")


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf])
def test_nan_in_the_data_is_a_named_error(attempt, value):
    x = numpy.random.default_rng(0).uniform(0, 16, (200, 8, 8, 1)).astype("float32")
    x[:, 3, 3, 0] = value
    refused(attempt(data=digits_like(attempt.folder, x=x)), 4, "NaN" if numpy.isnan(value) else "inf")


def test_a_missing_input_is_a_named_error(edgekit):
    model = tiny_tflite.write(edgekit.folder, tiny_tflite.subtract())
    numpy.savez(edgekit.folder / "one.npz", left=numpy.ones((20, 4), "float32"))
    refused(edgekit("evaluate", model, "--data", "one.npz"), 4, "'right'")
    assert left_behind(edgekit.folder) == ["model.tflite", "one.npz"]


def test_a_truncated_dataset_is_a_named_error(attempt):
    bad_models.truncated(attempt.folder / "digits.npz", attempt.folder / "half.npz")
    refused(attempt(data="half.npz"), 4, "half.npz")


def images(folder: Path) -> Path:
    random = numpy.random.default_rng(0)
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 17, (8, 8)).astype("uint8")
            Image.fromarray(pixels).save(folder / str(label) / f"{number}.png")
    return folder


def test_an_empty_folder_is_a_named_error(attempt):
    (attempt.folder / "photos").mkdir()
    refused(attempt(data="photos"), 4, "photos")


def test_a_corrupt_image_is_named_with_its_path(attempt):
    photos = images(attempt.folder / "photos")
    bad_models.truncated(photos / "3" / "5.png", photos / "3" / "5.png")
    refused(attempt(data="photos"), 4, "5.png")


def test_a_function_that_fails_is_a_named_error(attempt):
    (attempt.folder / "mine.py").write_text("def rows():\n    raise KeyError('no such column')\n")
    refused(attempt(data="mine:rows"), 4, "mine:rows", "no such column")
    refused(attempt(data="mine:row"), 2, "did you mean mine:rows?")


# ---------------------------------------------------------------------------------------- recipes and places


def test_a_misspelt_key_of_a_recipe_file_is_named_with_the_right_one(attempt):
    (attempt.folder / "own.toml").write_text('[[steps]]\nstep = "prune"\nsparsty = 0.5\n')
    refused(attempt("--recipe", "own.toml"), 2, "sparsty", "did you mean 'sparsity'?")


def test_an_unknown_recipe_is_named_with_the_nearest(attempt):
    refused(attempt("--recipe", "prune-int"), 2, "unknown recipe 'prune-int'", "did you mean 'prune-int8'?")


def on_a_disk(folder: Path, options: str) -> tuple[str, ...]:
    """What runs a command with another file system over ``folder``, and lists on stderr what is left there."""
    script = 'mount -t tmpfs -o "$0" tmpfs "$1" && folder=$1 && shift && "$@"; s=$?; ls -A "$folder" >&2; exit $s'
    wrap = ("unshare", "-m", "sh", "-c", script, options, str(folder))
    if os.getuid() != 0 or subprocess.run([*wrap, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root that may mount, for a disk of its own")
    return wrap


def test_a_full_disk_is_a_named_error_and_leaves_nothing(attempt, edgekit):
    wrap = on_a_disk(attempt.folder / "out", "size=40k")
    arguments = ("convert", "digits.keras", "-o", "out/model.tflite")
    ran = edgekit(*arguments, wrap=wrap)
    refused(ran, 2, "cannot write out/model.tflite", "No space left on device")
    assert ran.err.splitlines()[-1].startswith("hint: ")  # what `ls` found would come after it


def test_a_full_cache_is_a_named_error(attempt, edgekit, tmp_path):
    (tmp_path / "small").mkdir()
    wrap = on_a_disk(tmp_path / "small", "size=40k")
    tiny_tflite.write(attempt.folder, tiny_tflite.dense(columns=8192), "large.tflite")
    home = {"EDGEKIT_HOME": str(tmp_path / "small")}
    npz(attempt.folder / "rows.npz", shape=(8192,), classes=4)
    arguments = ("quantize", "large.tflite", "--data", "rows.npz", "-o", "out/model.tflite")
    refused(edgekit(*arguments, wrap=wrap, env=home), 2, "No space left on device", "EDGEKIT_HOME")
    assert left_behind(attempt.folder / "out") == []


def test_a_read_only_output_is_found_before_the_work(attempt, edgekit):
    wrap = on_a_disk(attempt.folder / "out", "ro")
    ran = edgekit("convert", "digits.keras", "-o", "out/model.tflite", wrap=wrap)
    refused(ran, 2, "cannot write out/model.tflite", "Read-only file system", "-o/--output")
    assert "✓" not in ran.err


def test_an_output_that_is_a_folder_is_refused(attempt, edgekit):
    refused(edgekit("convert", "digits.keras", "-o", "out"), 2, "out", "folder")


# ---------------------------------------------------------------------------------------- boards


@pytest.fixture
def model(edgekit: Edgekit) -> Path:
    return tiny_tflite.write(edgekit.folder, tiny_tflite.dense_int8())


def test_a_board_where_nobody_listens_is_unreachable(edgekit, model):
    refused(edgekit("deploy", model, "--device", "pi4", "--host", "pi@127.0.0.1:9"), 5, "[127.0.0.1]:9 refuses")


def test_a_silent_board_is_given_up(edgekit, model, sshd_board: Sshd, faulty_network):
    net = faulty_network(sshd_board, "silent")
    config = sshd_board.write_config("silent", port=net.port)
    refused(edgekit("deploy", model, "--device", "pi4", "--ssh-config", config), 5, "does not greet")


def test_a_wrong_key_is_one_clear_error(edgekit, model, sshd_board: Sshd, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    config = sshd_board.write_config("wrong", f"IdentityFile {tmp_path}/other", "IdentitiesOnly yes")
    config.write_text(config.read_text().replace(f"  IdentityFile {sshd_board.key}\n", ""))
    ran = edgekit("deploy", model, "--device", "pi4", "--ssh-config", config, "--json")
    assert (ran.status, ran.error["class"]) == (5, "AuthenticationError")
    assert "other" in ran.err


def test_a_wrong_password_is_asked_for_on_the_terminal_and_refused(edgekit, model, sshd_factory):
    board = sshd_factory(password="right")
    config = board.write_config("password", "PubkeyAuthentication no")
    arguments = ("devices", "check", "pi4", "--ssh-config", config)
    ran = edgekit.on_terminal(*arguments, answers=("wrong", "wrong", "wrong"))
    assert ran.status == 5, ran.out
    assert "password of pi@127.0.0.1" in ran.out
    assert "wrong" not in ran.out
    assert "Traceback" not in ran.out
    assert edgekit.on_terminal(*arguments, answers=("right",)).status == 0
    refused(edgekit(*arguments), 5, "terminal")  # nobody is there to be asked


def test_an_unknown_host_key_is_refused_with_fingerprint_and_command(edgekit, model, sshd_board: Sshd, tmp_path):
    config = sshd_board.write_config("unknown", f"UserKnownHostsFile {tmp_path}/none")
    ran = edgekit("deploy", model, "--device", "pi4", "--ssh-config", config, "--json")
    assert (ran.status, ran.error["class"]) == (5, "HostKeyError")
    fingerprint = ran.error["hint"].partition("SHA256:")[2][:43]
    assert f"edgekit devices trust pi4 --fingerprint SHA256:{fingerprint}" in ran.error["hint"]
    assert not sshd_board.path(f"{sshd_board.home}/.edgekit").exists()
    # what the hint says works, and then the board is known
    environment = {"EDGEKIT_SSH_CONFIG": str(config)}
    trusted = edgekit("devices", "trust", "pi4", "--fingerprint", f"SHA256:{fingerprint}", env=environment)
    assert trusted.status == 0, trusted.err
    assert edgekit("devices", "check", "pi4", env=environment).status == 0


def shadowed(factory, **programs: str) -> Sshd:
    """A board on which some programs are others."""
    board: Sshd = factory(bashrc='export PATH="$HOME/bin:$PATH"\n')
    folder = board.path(f"{board.home}/bin")
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return board


def test_a_board_with_a_glibc_that_is_too_old_is_a_named_error(edgekit, model, sshd_factory):
    said = '[ "$1" = GNU_LIBC_VERSION ] && echo glibc 2.12 || /usr/bin/getconf "$@"'
    shadowed(sshd_factory, getconf=said, python3='exec /usr/bin/env -i /usr/bin/python3 "$@"')
    ran = edgekit("deploy", model, "--device", "pi4", "--runtime", "litert", "--json")
    assert (ran.status, ran.error["class"]) == (5, "RuntimeMissingError")
    assert "2.12" in ran.error["message"]
    assert ran.error["hint"]


def test_a_board_of_another_architecture_than_its_profile_is_a_named_error(edgekit, model, sshd_board: Sshd):
    added = edgekit("devices", "add", "lab", "--host", "pi4", "--profile", "jetson-orin-nano")
    assert added.status == 0, added.err
    refused(edgekit("deploy", model, "--device", "lab"), 5, "aarch64", os.uname().machine)
    assert edgekit("devices", "check", "lab").status == 5
    assert not list(sshd_board.path(sshd_board.home).rglob("*.tflite"))


def test_a_board_without_room_is_a_named_error_and_keeps_nothing_half(edgekit, model, sshd_factory):
    board = sshd_factory(disk_mb=4)
    ran = edgekit("deploy", model, "--device", "pi4", "--json")
    assert (ran.status, ran.error["class"]) == (5, "TransferError")
    assert "space" in ran.error["message"]
    assert not [path for path in board.path(board.home).rglob("*") if path.is_file() and path.stat().st_size > 1 << 20]


# ---------------------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_during_tensorflows_work_ends_everything_and_a_rerun_goes_on_from_there(edgekit, tmp_path):
    example = Path(__file__).resolve().parents[2] / "examples" / "digits"
    arguments = ("optimize", example / "digits.keras", "--data", example / "digits.npz", "-o", "out/digits.tflite")
    (edgekit.folder / "out").mkdir()
    own = edgekit.folder / "own.toml"
    own.write_text('[[steps]]\nstep = "prune"\nepochs = 6\n[[steps]]\nstep = "quantize"\nmode = "int8"\n')
    steps = Path(os.environ["EDGEKIT_HOME"]) / "cache" / "steps"
    with edgekit.running(*arguments, "--recipe", own, "-v", "--json") as run:
        run.wait_for(lambda run: any(steps.glob("float32-*")) and any(steps.glob(".prune-*")))
        assert len(run.alive()) > 1
        ran = run.ctrl_c()
        assert ran.status == 130, ran.err
        assert "interrupted" in ran.err
        assert "Traceback" not in ran.err
        assert ran.error["exit_code"] == 130
        gone(run)
    assert left_behind(edgekit.folder / "out") == []
    finished = [path.name.partition("-")[0] for path in steps.iterdir() if not path.name.startswith(".")]
    assert set(finished) <= {"float32", "score"}
    rerun = edgekit(*arguments, "--recipe", own, "--json")
    assert rerun.status == 0, rerun.err
    assert [(step["name"], step["cached"]) for step in rerun.document["steps"]] == [
        ("float32", True),
        ("prune", False),
        ("quantize", False),
    ]


def test_ctrl_c_during_a_benchmark_leaves_nothing_running_here_or_on_the_board(edgekit, model, sshd_board: Sshd):
    with edgekit.running("benchmark", model, "--device", "pi4", "-v") as run:
        run.wait_for(lambda run: "1/10" in run.err)
        assert sshd_board.sessions()
        ran = run.ctrl_c()
        assert ran.status == 130, ran.err
        assert "Traceback" not in ran.err
        gone(run)
    end = time.monotonic() + 30
    while sshd_board.sessions() and time.monotonic() < end:
        time.sleep(0.1)
    assert sshd_board.sessions() == []
    assert edgekit("results", "list", "--json").document["results"] == []
    again = edgekit("deploy", model, "--device", "pi4", "--no-benchmark")  # nothing is locked
    assert again.status == 0, again.err


def test_ctrl_c_while_a_command_is_being_imported_is_no_traceback(edgekit, model, tmp_path):
    """A module that is interrupted stands for a key that is pressed at that moment."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    ran = edgekit("audit", model, env={"PYTHONPATH": str(tmp_path)})
    assert (ran.status, ran.out, ran.err) == (130, "", "interrupted\n")


def gone(run) -> None:
    """No process of the command is left; its helpers get a moment to be reaped."""
    end = time.monotonic() + 10
    while run.alive() and time.monotonic() < end:
        time.sleep(0.05)
    assert run.alive() == []
