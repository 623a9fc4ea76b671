"""The contract of the command line: help, one JSON document, streams, exit statuses, where options come from."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import tiny_tflite
import typer
from cli_run import ESCAPE, Edgekit, Ran, refused

import edgekit as package
from edgekit.cli.commands import COMMANDS

HEAVY = ("tensorflow", "keras", "tf_keras", "paramiko", "sqlalchemy", "numpy", "ai_edge_litert", "rich", "typer")


def leaves() -> list[tuple[str, ...]]:
    """Every command and subcommand."""
    found: list[tuple[str, ...]] = []
    for name, (module, _) in COMMANDS.items():
        app: typer.Typer = importlib.import_module(module).app
        names = [command.name for command in app.registered_commands]
        found += [(name,)] if names == [name] else [(name, str(inner)) for inner in names]
    return found


def imported(report: str) -> set[str]:
    """Names of the packages in what ``python -X importtime`` says."""
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in report.splitlines() if "|" in line}


@pytest.fixture
def model(edgekit: Edgekit) -> Path:
    return tiny_tflite.write(edgekit.folder, tiny_tflite.dense_int8())


@pytest.fixture
def float_model(edgekit: Edgekit) -> Path:
    return tiny_tflite.write(edgekit.folder, tiny_tflite.dense(), "float.tflite")


# ---------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", leaves(), ids=" ".join)
def test_every_command_has_help_with_one_example_and_imports_nothing_heavy_for_it(edgekit, command):
    edgekit.flags = ("-X", "importtime")
    ran = edgekit(*command, "--help")
    assert ran.status == 0
    report = ran.err
    text = " ".join(ran.out.split())
    assert text.count("Example: ") == 1
    assert f"Example: edgekit {' '.join(command)}" in text
    for option in ("--json", "--quiet", "--verbose", "--debug", "--help"):
        assert option in text
    assert max(map(len, ran.out.splitlines())) <= 80
    assert not imported(report) & set(HEAVY[:-2])


@pytest.mark.parametrize("group", ["results", "devices"])
def test_the_help_of_a_group_has_an_example_and_says_each_command_whole(edgekit, group):
    ran = edgekit(group, "--help")
    assert ran.status == 0
    assert f"Example: edgekit {group} " in ran.out
    assert "..." not in ran.out.partition("Commands:")[2]
    assert max(map(len, ran.out.splitlines())) <= 80


def test_the_root_help_lists_exactly_the_commands_and_imports_nothing_heavy(edgekit):
    edgekit.flags = ("-X", "importtime")
    ran = edgekit("--help")
    assert ran.status == 0
    listed = re.findall(r"^  (\w+) +\w", ran.out.partition("Commands:\n")[2].partition("\n\n")[0], re.MULTILINE)
    assert listed == list(COMMANDS)
    assert max(map(len, ran.out.splitlines())) <= 100
    assert not imported(ran.err) & set(HEAVY)


def test_help_needs_no_sound_project_file(edgekit):
    (edgekit.folder / "edgekit.toml").write_text('modle = "x"\n')
    assert edgekit("optimize", "--help").status == 0


def test_help_for_a_command_can_be_asked_for_in_both_orders(edgekit):
    assert edgekit("help", "audit").out == edgekit("audit", "--help").out == edgekit("--help", "audit").out


def test_the_version_is_the_packages(edgekit):
    assert edgekit("--version").out == f"edgekit {package.__version__}\n"


def test_without_a_command_the_help_is_shown_and_the_status_is_that_of_wrong_usage(edgekit):
    ran = edgekit()
    assert (ran.status, ran.out) == (2, edgekit("--help").out)


# ---------------------------------------------------------------------------------------- JSON


def test_json_is_one_document_with_schema_version_and_command(edgekit, model, float_model):
    for arguments in (
        ("inspect", model),
        ("audit", model),
        ("convert", float_model, "-o", "out.tflite"),
        ("optimize", "--list-recipes"),
        ("deploy", model, "--no-benchmark"),
        ("results", "list"),
        ("results", "export", "--format", "json"),
        ("devices", "list"),
        ("devices", "show", "local"),
        ("devices", "add", "lab", "--host", "192.0.2.7", "--profile", "pi4"),
        ("devices", "remove", "lab"),
        ("devices", "check", "local"),
        ("doctor",),
    ):
        ran = edgekit(*arguments, "--json")
        assert ran.status == 0, ran.err
        name = " ".join(map(str, arguments[: 2 if arguments[0] in ("results", "devices") else 1]))
        document = ran.document
        assert document["schema"] == f"edgekit.{name.replace(' ', '-')}/1"
        assert document["edgekit"] == package.__version__
        assert document["command"] == name
        assert "error" not in document


@pytest.mark.parametrize(
    ("arguments", "name", "kind", "status"),
    [
        (("audit", "none.tflite"), "audit", "ModelError", 4),
        (("devices", "show", "pi44"), "devices show", "UsageError", 2),
        (("quantize", "model.tflite", "--mode", "int9"), "quantize", "UsageError", 2),
        (("audit", "--no-such-option"), "audit", "UsageError", 2),
        (("results", "show", "none"), "results show", "UsageError", 2),
        (("rollback",), "rollback", "DeviceError", 5),
    ],
)
def test_an_error_is_one_document_too_and_a_sentence_on_stderr(edgekit, model, arguments, name, kind, status):
    ran = edgekit(*arguments, "--json")
    assert ran.status == status
    assert ran.document["command"] == name
    assert (ran.error["class"], ran.error["exit_code"]) == (kind, status)
    assert ran.error["message"]
    assert ran.error["hint"]
    assert "Traceback" not in ran.err
    plain = edgekit(*arguments)
    assert (plain.status, plain.out) == (status, "")
    assert plain.err == f"error: {ran.error['message']}\nhint:  {ran.error['hint']}\n"


def test_audit_says_whether_a_model_is_full_integer_and_what_it_needs(edgekit, model, float_model):
    audit = edgekit("audit", model, "--json").document["audit"]
    assert (audit["full_integer"], audit["float_ops"], audit["flex_ops"]) == (True, [], [])
    assert audit["min_runtime"]
    audit = edgekit("audit", float_model, "--json").document["audit"]
    assert (audit["full_integer"], audit["float_ops"]) == (False, ["FULLY_CONNECTED (1)"])


ARTIFACT = {"path", "format", "sha256", "size_bytes", "gzip_bytes", "inputs", "outputs"}
STEP = {"name", "parameters", "size_bytes", "score", "drop", "seconds", "cached", "notes"}
SCORE = {"metric", "float", "final", "drop", "count"}
AUDIT = {"full_integer", "float_ops", "flex_ops"}
WARNING = {"code", "message", "hint"}
LATENCY = {
    *("median_ns", "ci95_ns", "p90_ns", "p99_ns", "min_ns"),
    *("first_ns", "load_ns", "init_ns", "cold_start_ns"),
}


def promised_of_an_artifact(document: dict[str, typing.Any], folder: Path) -> None:
    assert set(document["artifact"]) >= ARTIFACT
    assert (folder / document["artifact"]["path"]).stat().st_size == document["artifact"]["size_bytes"]
    assert all(set(step) >= STEP for step in document["steps"])
    assert set(document["score"]) >= SCORE
    assert all(set(warning) >= WARNING for warning in document["warnings"])


def promised_of_a_measurement(document: dict[str, typing.Any]) -> None:
    assert document["device"] == "local"
    assert set(document["runtime"]) >= {"name", "version", "delegate", "fully_delegated"}
    assert document["num_threads"] == 1
    assert document["processes"] == 3
    assert set(document["latency"]) >= LATENCY
    low, high = document["latency"]["ci95_ns"]
    assert low <= document["latency"]["median_ns"] <= high
    assert all(isinstance(document["latency"][name], int) for name in ("median_ns", "min_ns", "first_ns", "load_ns"))
    assert set(document["memory"]) >= {"peak_rss_bytes", "model_bytes", "baseline_bytes"}
    assert document["verdict"] in ("valid", "unstable", "invalid")
    assert any("indicative" in reason for reason in document["reasons"])
    assert set(document["facts"]) == {"before", "after"}
    assert Path(document["samples_file"]).is_file()


def test_optimize_prune_and_quantize_keep_the_promised_fields(edgekit, example):
    ran = edgekit("optimize", "--json")
    assert ran.status == 0, ran.err
    document = ran.document
    promised_of_an_artifact(document, example)
    assert document["artifact"]["path"] == "build/digits.tflite"
    assert document["artifact"]["format"] == "tflite"
    assert document["artifact"]["inputs"][0]["dtype"] == "int8"
    assert [step["name"] for step in document["steps"]] == ["float32", "prune", "quantize"]
    assert all(step["cached"] for step in document["steps"])
    assert document["score"]["metric"] == "top-1"
    assert document["score"]["count"] == 500
    assert document["score"]["drop"] <= 1.0
    assert document["audit"]["full_integer"] is True
    assert set(document["audit"]) >= AUDIT
    ran = edgekit("prune", "--sparsity", "0.5", "--json")  # edgekit.toml names the model and the data
    assert ran.status == 0, ran.err
    promised_of_an_artifact(ran.document, example)
    assert ran.document["artifact"]["format"] == "keras"
    ran = edgekit("quantize", "--mode", "dynamic", "-o", "dynamic.tflite", "--json")
    assert ran.status == 0, ran.err
    promised_of_an_artifact(ran.document, example)
    assert set(ran.document["audit"]) >= AUDIT
    kinds = [result["kind"] for result in edgekit("results", "list", "--json").document["results"]]
    assert kinds == ["artifact", "artifact"]  # the pruned model is no .tflite, and not kept


def test_deploy_and_benchmark_keep_the_promised_fields(edgekit, model, tmp_path):
    environment = {"HOME": str(tmp_path)}
    ran = edgekit("deploy", model, "--quick", "--json", env=environment)
    assert ran.status in (0, 8), ran.err
    document = ran.document
    assert document["device"] == "local"
    assert set(document["release"]) >= {"id", "path", "previous"}
    assert document["release"]["previous"] is None
    assert document["uploaded_bytes"] > 0
    assert document["sha256"].startswith(document["release"]["id"])
    assert document["smoke"]["ok"] is True
    assert set(document["smoke"]) >= {"ok", "max_abs_diff", "cosine"}
    promised_of_a_measurement(document["benchmark"])
    ran = edgekit("benchmark", model, "--quick", "--json", env=environment)
    assert ran.status in (0, 8), ran.err
    promised_of_a_measurement(ran.document)
    assert len(ran.document["measurements"]) == 1


# ---------------------------------------------------------------------------------------- where options come from


def test_an_option_comes_from_the_command_line_then_the_environment_then_the_project_file(edgekit, float_model):
    (edgekit.folder / "edgekit.toml").write_text('model = "float.tflite"\noutput = "project.tflite"\n')
    environment = {"EDGEKIT_OUTPUT": "environment.tflite"}
    made = [
        edgekit(*arguments, "--json", env=variables).document["artifact"]["path"]
        for arguments, variables in (
            (("convert", "-o", "line.tflite"), environment),
            (("convert",), environment),
            (("convert",), {}),
        )
    ]
    assert made == ["line.tflite", "environment.tflite", "project.tflite"]
    (edgekit.folder / "edgekit.toml").unlink()
    assert edgekit("convert", "float.tflite", "--json").document["artifact"]["path"] == "float-float32.tflite"


def test_deploy_takes_the_environment_before_the_project_file_too(edgekit, float_model):
    (edgekit.folder / "edgekit.toml").write_text('model = "none.keras"\nrecipe = "int9"\noutput = "project.tflite"\n')
    environment = {"EDGEKIT_MODEL": "float.tflite", "EDGEKIT_RECIPE": "float32", "EDGEKIT_OUTPUT": "mine.tflite"}
    ran = edgekit("deploy", "--no-benchmark", "--json", env=environment)
    assert ran.status == 0, ran.err
    assert ran.document["release"]["name"] == "mine"


def test_numbers_and_the_budget_come_from_the_project_file(edgekit, model):
    (edgekit.folder / "edgekit.toml").write_text('num_threads = 2\ndevice = "local"\n')
    ran = edgekit("benchmark", model, "--quick", "--json")
    assert ran.status in (0, 8), ran.err
    assert ran.document["num_threads"] == 2
    (edgekit.folder / "edgekit.toml").write_text("[budget]\nmax_drop = 0.5\n")
    refused(edgekit("convert", model), 2, "--max-drop needs rows to score with")


def test_a_projects_board_is_not_asked_when_a_file_is_audited(edgekit, model):
    (edgekit.folder / "edgekit.toml").write_text('device = "a board that is not there"\n')
    assert edgekit("audit", model).status == 0


def test_a_misspelt_key_in_the_project_file_is_named_with_the_right_one(edgekit):
    (edgekit.folder / "edgekit.toml").write_text('model = "a.keras"\n[budget]\nmax_drp = 0.5\n')
    refused(edgekit("optimize"), 2, "edgekit.toml at budget.max_drp", "did you mean 'max_drop'?")
    (edgekit.folder / "edgekit.toml").write_text("model = [\n")
    refused(edgekit("optimize"), 2, "edgekit.toml is not valid TOML")


def test_prune_ignores_the_projects_output_but_not_the_users(edgekit, example):
    refused(edgekit("prune", "-o", "pruned.tflite"), 2, "pruned.tflite", ".keras")
    assert not (example / "digits-pruned.keras").exists()


# ---------------------------------------------------------------------------------------- streams


def test_progress_goes_to_stderr_only_and_quiet_keeps_it_back(edgekit, float_model):
    loud = edgekit("convert", float_model, "-o", "out.tflite")
    assert "audit" in loud.err
    assert "out.tflite" in loud.out
    assert "✓" not in loud.out
    quiet = edgekit("convert", float_model, "-o", "out.tflite", "-q")
    assert (quiet.out, quiet.err) == (loud.out, "")
    chatty = edgekit("convert", float_model, "-o", "out.tflite", "-v")
    assert len(chatty.err) > len(loud.err)


def test_an_error_is_shown_however_quiet_the_command_is(edgekit):
    assert "no such file" in edgekit("audit", "none.tflite", "-q").err


def test_there_are_no_escape_codes_without_a_terminal_or_with_no_color(edgekit, float_model):
    arguments = ("convert", float_model, "-o", "out.tflite")
    piped = edgekit(*arguments)
    assert "\x1b" not in piped.out + piped.err
    colourful = edgekit.on_terminal(*arguments)
    assert re.search(r"\x1b\[[0-9;]*m", colourful.out)
    plain = edgekit.on_terminal(*arguments, env={"NO_COLOR": "1"})
    assert plain.status == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain.out)
    assert not ESCAPE.search(edgekit.on_terminal(*arguments, env={"TERM": "dumb"}).out)


def test_tables_fit_80_columns(edgekit, model, tmp_path):
    long = tiny_tflite.write(
        edgekit.folder, tiny_tflite.dense(), "a-model-with-a-name-that-is-much-longer-than-most.tflite"
    )
    narrow = {"COLUMNS": "80", "HOME": str(tmp_path)}
    measured = edgekit("benchmark", model, long, "--quick", env=narrow)
    assert measured.status in (0, 8), measured.err
    fits(measured)
    for arguments in (
        ("inspect", long.name),
        ("audit", long.name),
        ("results", "list"),
        ("devices", "list"),
        ("devices", "show", "pi4"),
        ("devices", "check", "local"),
        ("doctor",),
        ("optimize", "--list-recipes"),
    ):
        ran = edgekit.on_terminal(*arguments, "-q")
        assert ran.status == 0, ran.out
        fits(ran)


def fits(ran: Ran) -> None:
    assert max(map(len, ESCAPE.sub("", ran.out).splitlines())) <= 80


def test_a_strange_width_of_the_terminal_is_no_error(edgekit):
    for columns in ("", "abc", "0", "-3"):
        assert edgekit("devices", "list", env={"COLUMNS": columns}).status == 0


def test_a_stream_that_cannot_show_every_character_is_no_error(edgekit, float_model):
    environment = {"PYTHONIOENCODING": "ascii"}
    ran = edgekit("convert", float_model, "-o", "out.tflite", env=environment)
    assert ran.status == 0, ran.err
    assert "out.tflite" in ran.out


def test_names_with_brackets_are_shown_as_they_are(edgekit, float_model):
    odd = float_model.rename(edgekit.folder / "[bold]m:bug:.tflite")
    ran = edgekit("convert", odd.name, "-o", "[red]/[x:bug:.tflite")
    assert ran.status == 0, ran.err
    assert "[red]/[x:bug:.tflite" in ran.out
    refused(edgekit("audit", "[bold]none[/bold]:bug:.tflite"), 4, "[bold]none[/bold]:bug:.tflite")


@pytest.mark.parametrize(
    "arguments", [("--help",), ("results", "list", "--json"), ("results", "list"), ("audit", "-h")]
)
def test_a_reader_that_leaves_early_causes_no_noise(edgekit, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    command = edgekit.argv(*arguments)
    ran = subprocess.run(command, cwd=edgekit.folder, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert ran.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("options", [("--json",), ()])
def test_an_answer_that_cannot_be_written_is_an_error_and_no_traceback(edgekit, options):
    with Path("/dev/full").open("w") as full:
        command = edgekit.argv("results", "list", *options)
        ran = subprocess.run(command, cwd=edgekit.folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ran.returncode == 2
    assert "No space left" in ran.stderr
    assert "Traceback" not in ran.stderr


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_the_traceback_and_keeps_status_and_document(edgekit, how):
    options = ("--debug",) if how == "option" else ()
    ran = edgekit("audit", "none.tflite", "--json", *options, env={} if options else {"EDGEKIT_DEBUG": "1"})
    assert "Traceback (most recent call last)" in ran.err
    assert "ModelError: no such file: none.tflite" in ran.err
    assert ran.status == 4
    assert ran.error["class"] == "ModelError"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("optimise", "model.keras"), "did you mean 'optimize'?"),
        (("results", "lst"), "Did you mean 'list'?"),
        (("results", "export", "--formt", "csv"), "--format"),
        (("results", "export", "--format", "cvs"), "did you mean 'csv'?"),
        (("results", "list", "--kind", "measurment"), "did you mean 'measurement'?"),
        (("optimize", "model.tflite", "--recipe", "prune-int"), "did you mean 'prune-int8'?"),
        (("quantize", "model.tflite", "--mode", "dynamc"), "did you mean 'dynamic'?"),
        (("prune", "model.tflite", "--pattern", "blok"), "did you mean 'block'?"),
        (("prune", "model.tflite", "--optimizer", "adm"), "did you mean 'adam'?"),
        (("benchmark", "model.tflite", "--runtime", "litrt"), "did you mean 'litert'?"),
        (("benchmark", "model.tflite", "--device", "locl"), "did you mean 'local'?"),
        (("benchmark", "model.tflite", "--num-threads", "1,x"), "--num-threads 1  or  1,2,4"),
        (("devices", "show", "pi44"), "did you mean 'pi4'?"),
        (("devices", "add", "lab", "--profile", "pi44"), "did you mean 'pi4'?"),
        (("evaluate", "model.tflite", "--data", "data.npz", "--metric", "top1"), "did you mean 'top-1'?"),
        (("evaluate", "model.tflite", "--data", "data.npz", "--scale", "1/x"), "1/255"),
        (("--json", "audit", "model.tflite"), "after the command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_misspelt_word_is_wrong_usage_with_the_word_that_was_meant(edgekit, model, arguments, meant):
    import numpy

    numpy.savez(edgekit.folder / "data.npz", x=numpy.zeros((4, 16), "float32"), y=numpy.zeros(4, "int64"))
    refused(edgekit(*arguments), 2, meant)


def test_usage_errors_of_a_subcommand_point_to_its_own_help(edgekit):
    refused(edgekit("results", "export", "--formt", "csv"), 2, "edgekit results export --help")


def test_the_exit_statuses_are_those_of_the_contract(edgekit, model, tmp_path):
    found = {
        0: edgekit("audit", model),
        2: edgekit("benchmark", model, "--device", "nowhere"),
        4: edgekit("audit", "none.tflite"),
        5: edgekit("devices", "check", "pi4", "--host", "127.0.0.1:9"),
        6: edgekit("results", "list", env={"EDGEKIT_STORE": "sqlite:////proc/no/such/folder/results.sqlite"}),
    }
    assert {expected: ran.status for expected, ran in found.items()} == {status: status for status in found}


def test_a_missing_package_is_status_3_with_the_command_that_installs_it(edgekit, example, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "tensorflow.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')\n"
    )
    ran = edgekit("optimize", "--no-cache", env={"PYTHONPATH": str(hidden)})
    refused(ran, 3, "tensorflow", "pip install 'edgekit[optimize]'")
    assert not (example / "build" / "digits.tflite").exists()


def test_a_module_of_the_working_folder_takes_no_librarys_place(edgekit, float_model):
    """``python -m`` puts the working folder first; a user's json.py or numpy.py there must not break anything."""
    done = subprocess.run(
        [Path(sys.executable).with_name("edgekit"), "audit", float_model, "--json"],
        cwd=_with_modules(edgekit.folder),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["audit"]["full_integer"] is False


def _with_modules(folder: Path) -> Path:
    for name in ("json", "numpy", "typing", "flatbuffers"):
        (folder / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    return folder
