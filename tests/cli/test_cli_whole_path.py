"""The whole path as a user walks it: a project folder, a board over SSH, releases, measurements, what is kept."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from cli_run import Edgekit, Ran, copied_example, left_behind, refused, with_steps
from emulated_board import Arm64Board
from sshd_board import Sshd, start_sshd

from edgekit.core.artifact import TensorData


@dataclass
class Journey:
    """A copy of ``examples/digits`` that was deployed to ``pi4`` twice."""

    edgekit: Edgekit
    board: Sshd
    first: Ran
    second: Ran

    def there(self, path: str) -> Path:
        """A path below the board's workspace, as this process reaches it."""
        return self.board.path(f"{self.board.home}/.edgekit/{path}")

    def active(self, name: str) -> str:
        """The id of the release that is current."""
        return str(self.there(f"releases/{name}/current").readlink())


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory, steps_of_the_example: Path) -> Iterator[Journey]:
    home = tmp_path_factory.mktemp("home")
    with_steps(home, steps_of_the_example)
    board = start_sshd(tmp_path_factory.mktemp("sshd"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EDGEKIT_SSH_CONFIG", raising=False)
        folder = copied_example(tmp_path_factory.mktemp("project") / "digits")
        edgekit = Edgekit(folder=folder, home=home, variables={"EDGEKIT_SSH_CONFIG": str(board.config)})
        first = edgekit("deploy", "--device", "pi4", "--quick", "--json")
        second = edgekit("deploy", "--device", "pi4", "--no-benchmark", "--json")
        yield Journey(edgekit=edgekit, board=board, first=first, second=second)
    board.stop()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------------------------------- deploy


def test_deploy_in_a_project_folder_does_the_whole_job(journey: Journey):
    assert journey.first.status in (0, 8), journey.first.err
    document = journey.first.document
    assert document["device"] == "pi4"
    model = journey.edgekit.folder / "build" / "digits.tflite"
    assert document["sha256"] == sha256(model)
    release = document["release"]
    assert release["name"] == "digits"
    assert release["previous"] is None
    assert sha256(journey.there(f"releases/digits/{release['id']}/model.tflite")) == sha256(model)
    assert journey.there(f"releases/digits/{release['id']}/manifest.json").is_file()
    assert journey.active("digits") == release["id"]
    assert document["uploaded_bytes"] > model.stat().st_size
    assert (document["smoke"]["ok"], document["smoke"]["max_abs_diff"]) == (True, 0)
    assert document["optimize"]["audit"]["full_integer"] is True
    assert document["optimize"]["score"]["drop"] <= 1.0
    assert document["benchmark"]["device"] == "pi4"
    assert document["benchmark"]["runtime"]["name"] == "LiteRT C API"
    assert document["benchmark"]["latency"]["median_ns"] > 0
    assert (journey.first.status == 8) is (document["benchmark"]["verdict"] != "valid")
    for task in ("push", "smoke-test on the board", "benchmark"):
        assert f"✓ {task}" in journey.first.err


def test_a_second_deploy_uploads_nothing_and_makes_no_step_again(journey: Journey):
    assert journey.second.status == 0, journey.second.err
    document = journey.second.document
    assert document["uploaded_bytes"] == 0
    assert document["benchmark"] is None
    assert [step["cached"] for step in document["optimize"]["steps"]] == [True, True, True]
    assert document["release"]["id"] == journey.first.document["release"]["id"]
    assert "tensorflow" not in journey.second.err


def test_a_model_file_can_be_deployed_alone_and_says_that_nothing_was_sent(journey: Journey):
    ran = journey.edgekit("deploy", "build/digits.tflite", "--device", "pi4", "--no-benchmark")
    assert ran.status == 0, ran.err
    assert "nothing: all was there already" in ran.out
    assert "current now" in ran.out
    assert "ok: equal to the byte" in ran.out


def test_a_bare_model_is_deployed_with_random_samples_and_says_so(journey: Journey):
    tiny_tflite.write(journey.edgekit.folder, tiny_tflite.dense_int8(), "bare.tflite")
    ran = journey.edgekit("deploy", "bare.tflite", "--device", "pi4", "--no-benchmark", "--json")
    assert ran.status == 0, ran.err
    assert "random-samples" in [warning["code"] for warning in ran.document["warnings"]]
    for warning in ran.document["warnings"]:  # each stands on a line of its own, and so does its way out
        assert f"warning: {warning['message']}\n" in ran.err
        assert f"  hint: {warning['hint']}\n" in ran.err
    assert ran.document["smoke"]["ok"] is True


def test_a_model_that_computes_something_else_is_not_activated(journey: Journey):
    folder = journey.edgekit.folder / "tampered"
    folder.mkdir()
    good = tiny_tflite.write(folder, tiny_tflite.dense_int8(), "wrong.tflite")
    deployed = journey.edgekit("deploy", good, "--device", "pi4", "--no-benchmark", "--json")
    assert deployed.status == 0, deployed.err
    active = journey.active("wrong")
    model = Path(shutil.copy(journey.edgekit.folder / "build" / "digits.tflite", good))
    manifest = json.loads((journey.edgekit.folder / "build" / "digits.edgekit.json").read_text())
    for sample in manifest["golden"]:
        packed = sample["outputs"][0]
        values = TensorData(**packed).array()
        sample["outputs"][0]["zlib_base64"] = TensorData.of(values[:, ::-1]).zlib_base64
    manifest["name"] = "wrong"
    (folder / "wrong.edgekit.json").write_text(json.dumps(manifest))
    ran = journey.edgekit("deploy", model, "--device", "pi4", "--no-benchmark", "--json")
    assert (ran.status, ran.error["class"]) == (5, "DeviceError")
    assert "smoke test failed" in ran.error["message"]
    assert "not activated" in ran.error["message"]
    assert ran.document["smoke"]["ok"] is False
    assert ran.document["smoke"]["max_abs_diff"] > 0
    assert journey.active("wrong") == active


def test_rollback_makes_the_previous_release_current_and_a_second_one_undoes_it(journey: Journey):
    folder = journey.edgekit.folder
    ids = []
    for bias in (0.0, 1.0):
        tiny_tflite.write(folder, tiny_tflite.dense(bias=bias), "two.tflite")
        ran = journey.edgekit("deploy", "two.tflite", "--device", "pi4", "--no-benchmark", "--json")
        assert ran.status == 0, ran.err
        ids.append(ran.document["release"]["id"])
    assert ran.document["release"]["previous"] == ids[0]
    for expected, other in (ids, ids[::-1]):
        ran = journey.edgekit("rollback", "--device", "pi4", "--name", "two", "--json")
        assert ran.status == 0, ran.err
        assert (ran.document["release"]["id"], ran.document["release"]["previous"]) == (expected, other)
        assert journey.active("two") == expected
    refused(journey.edgekit("rollback", "--device", "pi4", "--name", "nothing"), 5, "nothing")


def test_a_changed_host_key_is_refused_with_both_fingerprints(journey: Journey, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{journey.board.port} {other}\n")
    config = journey.board.write_config("changed", f"UserKnownHostsFile {tmp_path}/known_hosts")
    ran = journey.edgekit("deploy", "--device", "pi4", "--ssh-config", config, "--json")
    assert (ran.status, ran.error["class"]) == (5, "HostKeyError")
    for key in (tmp_path / "other.pub", journey.board.folder / "host_ed25519.pub"):
        fingerprint = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True).stdout
        assert fingerprint.split()[1] in ran.error["message"] + ran.error["hint"]
    assert ran.document["command"] == "deploy"


def test_audit_asks_the_boards_runtime(journey: Journey):
    ran = journey.edgekit("audit", "build/digits.tflite", "--device", "pi4", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["device"]["name"] == "pi4"
    assert ran.document["device"]["lacking"] == []
    assert ran.document["device"]["runtime"].startswith("LiteRT")


def test_check_says_what_the_board_is(journey: Journey):
    ran = journey.edgekit("devices", "check", "pi4", "--json")
    assert ran.status == 0, ran.err  # a profile that only has the board's name was a guess
    assert ran.document["facts"]["abi"] == os.uname().machine
    assert "architecture" in [warning["code"] for warning in ran.document["warnings"]]


# ---------------------------------------------------------------------------------------- benchmark and results


@pytest.fixture(scope="module")
def measured(journey: Journey) -> Ran:
    """Two models on two boards with two thread counts, in one call."""
    tiny_tflite.write(journey.edgekit.folder, tiny_tflite.dense_int8(), "other.tflite")
    models = ("build/digits.tflite", "other.tflite")
    return journey.edgekit("benchmark", *models, "--device", "local,pi4", "--num-threads", "1,2", "--quick", "--json")


def test_one_benchmark_measures_models_boards_and_thread_counts(journey: Journey, measured: Ran):
    assert measured.status in (0, 8), measured.err
    rows = measured.document["measurements"]
    assert {(row["model"]["name"], row["device"], row["num_threads"]) for row in rows} == {
        (model, device, threads) for model in ("digits", "other") for device in ("local", "pi4") for threads in (1, 2)
    }
    assert len(rows) == 8
    for row in rows:
        assert row["processes"] == 3
        assert row["latency"]["median_ns"] > 0
        assert Path(row["samples_file"]).is_file()
    assert (measured.status == 8) is any(row["verdict"] != "valid" for row in rows)


def test_what_was_measured_can_be_listed_shown_and_exported(journey: Journey, measured: Ran):
    edgekit = journey.edgekit
    listed = edgekit("results", "list", "--kind", "measurement", "--limit", "8", "--json").document["results"]
    wanted = sorted(row["latency"]["median_ns"] for row in measured.document["measurements"])
    assert sorted(result["document"]["latency"]["median_ns"] for result in listed) == wanted
    here = edgekit("results", "list", "--kind", "measurement", "--device", "local", "--json").document["results"]
    assert len(here) == 4
    shown = edgekit("results", "show", listed[0]["id"][:8], "--json")
    assert shown.status == 0, shown.err
    assert shown.document["result"]["document"] == listed[0]["document"]
    text = edgekit("results", "export", "--kind", "measurement", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 9  # and the one of the deploy
    ran = edgekit("results", "export", "--format", "json", "-o", "kept.json")
    assert ran.status == 0, ran.err
    kinds = {result["kind"] for result in json.loads((edgekit.folder / "kept.json").read_text())["results"]}
    assert {"measurement", "deployment"} <= kinds


# ---------------------------------------------------------------------------------------- demo


@pytest.fixture
def demonstrating(edgekit: Edgekit, steps_of_the_example: Path) -> Edgekit:
    """An empty folder; the steps of the shipped example are in the cache."""
    with_steps(Path(os.environ["EDGEKIT_HOME"]), steps_of_the_example)
    return edgekit


def test_the_demo_ends_with_a_table_and_the_path_of_the_artifact(demonstrating: Edgekit):
    ran = demonstrating("demo", "--quick")
    assert ran.status == 0, ran.err
    for word in ("float32", "pruned int8", "size", "score (top-1)", "latency (median)", "memory (peak)", "smaller"):
        assert word in ran.out
    assert any(verdict in ran.out for verdict in ("VALID", "UNSTABLE", "INVALID"))
    artifact = demonstrating.folder / "edgekit-demo" / "digits.tflite"
    assert str(artifact) in ran.out  # in one piece, however long it is
    assert artifact.is_file()
    assert max(len(line) for line in ran.out.splitlines() if str(artifact.parent) not in line) <= 80
    assert left_behind(demonstrating.folder / "edgekit-demo") == [
        *("digits-float32.edgekit.json", "digits-float32.tflite"),
        *("digits.edgekit.json", "digits.tflite"),
        "report.html",
    ]
    page = (demonstrating.folder / "edgekit-demo" / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<figure") >= 4  # the front, the processes of both models, what the steps bought


def test_the_demo_answers_in_json_too(demonstrating: Edgekit):
    ran = demonstrating("demo", "--quick", "--json")
    assert ran.status == 0, ran.err
    document = ran.document
    assert document["artifact"]["size_bytes"] < 100_000
    assert document["audit"]["full_integer"] is True
    assert document["score"]["drop"] <= 2.0
    assert document["deploy"]["smoke"]["ok"] is True
    assert [row["model"]["name"] for row in document["measurements"]] == ["digits-float32", "digits"]


# ---------------------------------------------------------------------------------------- a stateful model


MAKE_LSTM = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
keras.utils.set_random_seed(3)
layers = [keras.layers.Input((6, 4)), keras.layers.LSTM(5), keras.layers.Dense(3, activation="softmax")]
keras.Sequential(layers).save("lstm.keras")
sys.stdout.flush()
os._exit(0)
"""


def test_an_lstm_becomes_int8_and_runs_with_the_module_because_the_library_refuses_it(edgekit: Edgekit):
    made = subprocess.run([sys.executable, "-c", MAKE_LSTM], cwd=edgekit.folder, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr.decode()[-2000:]
    random = numpy.random.default_rng(0)
    numpy.savez(edgekit.folder / "data.npz", x=random.normal(size=(200, 6, 4)).astype("float32"))
    ran = edgekit("optimize", "lstm.keras", "--data", "data.npz", "--recipe", "int8", "-o", "lstm.tflite", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["audit"]["full_integer"] is True
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in ran.document["audit"]["op_versions"]
    assert ran.document["score"]["metric"] == "agreement"
    ran = edgekit("deploy", "lstm.tflite", "--quick", "--json")
    assert ran.status in (0, 8), ran.err
    assert ran.document["smoke"]["ok"] is True
    assert ran.document["benchmark"]["runtime"]["name"] == "ai_edge_litert"
    refused(edgekit("deploy", "lstm.tflite", "--runtime", "litert"), 5, "litert")


# ---------------------------------------------------------------------------------------- the emulated board


@pytest.fixture(scope="module")
def on_arm(tmp_path_factory: pytest.TempPathFactory, steps_of_the_example: Path, arm64_board: Arm64Board) -> Edgekit:
    home = tmp_path_factory.mktemp("home")
    with_steps(home, steps_of_the_example)
    folder = copied_example(tmp_path_factory.mktemp("arm") / "digits")
    config = folder / "ssh_config"
    config.write_text(
        f"Host pi4\n  HostName {arm64_board.host}\n  Port {arm64_board.port}\n  User {arm64_board.user}\n"
        f"  IdentityFile {arm64_board.key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {arm64_board.known_hosts}\n"
    )
    return Edgekit(folder=folder, home=home, variables={"EDGEKIT_SSH_CONFIG": str(config)})


@pytest.mark.board
def test_the_whole_job_is_done_on_an_emulated_board_and_its_times_are_called_emulated(on_arm: Edgekit, arm64_board):
    ran = on_arm("deploy", "--device", "pi4", "--quick", "--json")
    assert ran.status in (0, 8), ran.err
    document = ran.document
    assert document["smoke"]["ok"] is True
    assert document["uploaded_bytes"] > 1 << 20
    assert any("emulated" in reason for reason in document["benchmark"]["reasons"])
    assert (document["emulated"], document["benchmark"]["emulated"]) == (True, True)
    kept = on_arm("results", "list", "--json").document["results"]
    assert {result["device"] for result in kept if result["device"]} == {"pi4 (emulated)"}
    assert on_arm("results", "list", "--device", "pi4", "--json").document["results"] == []
    there = arm64_board.ssh(
        f"sha256sum {document['release']['model_path']}; readlink ~/.edgekit/releases/digits/current"
    )
    assert there.stdout.split()[0] == document["sha256"]
    assert there.stdout.split()[-1] == document["release"]["id"]


@pytest.mark.board
def test_the_second_deploy_to_the_emulated_board_sends_nothing(on_arm: Edgekit):
    ran = on_arm("deploy", "--device", "pi4", "--no-benchmark", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["uploaded_bytes"] == 0


@pytest.mark.board
def test_a_profile_of_another_architecture_is_refused(on_arm: Edgekit, arm64_board: Arm64Board):
    where = ("--host", arm64_board.host, "--port", arm64_board.port, "--user", arm64_board.user)
    key = ("--identity-file", arm64_board.key)
    added = on_arm("devices", "add", "lab", *where, *key, "--profile", "generic-x86_64")
    assert added.status == 0, added.err
    trusted = on_arm("devices", "trust", "lab", "--fingerprint", arm64_board.fingerprint)
    assert trusted.status == 0, trusted.err
    refused(on_arm("deploy", "build/digits.tflite", "--device", "lab"), 5, "x86_64", "aarch64")
