"""The public Python API: light to import, pinned, and every verb from Python on tiny input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import tiny_tflite

import edgekit
from edgekit.core.errors import DeviceError, ModelError, UsageError
from edgekit.core.events import Event
from edgekit.core.hashing import sha256_file
from edgekit.measure.plan import Plan

PUBLIC = [
    *("Artifact", "EdgekitError", "Manifest", "Reach"),
    *(
        "audit",
        "benchmark",
        "calibration_curve",
        "cluster",
        "compare",
        "convert",
        "deploy",
        "diagnose",
        "distill",
        "evaluate",
        "forecast",
        "gate",
        "inspect",
    ),
    *(
        "open_artifact",
        "open_store",
        "optimize",
        "profile",
        "provision",
        "prune",
        "quantize",
        "report",
        "rollback",
        "selftest",
    ),
]


def printed(code: str) -> str:
    """What a fresh Python prints."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


# ------------------------------------------------------------------------------------------------------ the package


def test_the_public_names_are_these_and_all_of_them_work():
    assert edgekit.__all__ == PUBLIC
    assert all(callable(getattr(edgekit, name)) for name in PUBLIC)
    assert edgekit.__version__.count(".") == 2


def test_importing_edgekit_imports_nothing_heavy():
    heavy = ("numpy", "tensorflow", "keras", "tf_keras", "typer", "rich", "paramiko", "sqlalchemy", "ai_edge_litert")
    heavy += ("matplotlib", "jinja2")
    assert printed(f"import edgekit, sys; print([name for name in {heavy!r} if name in sys.modules])") == "[]"


def test_no_verb_brings_tensorflow_into_the_users_process():
    code = f"import edgekit, sys; [getattr(edgekit, name) for name in {PUBLIC!r}]; print('tensorflow' in sys.modules)"
    assert printed(code) == "False"


@pytest.mark.parametrize(
    "statement",
    [
        "import edgekit.optimize.pipeline",
        "from edgekit.optimize import recipe",
        "from edgekit.optimize.cache import StepCache",
    ],
)
def test_optimize_stays_the_verb_whatever_else_is_imported(statement):
    code = (
        f"import edgekit; {statement}; import edgekit; print(callable(edgekit.optimize), edgekit.optimize.__module__)"
    )
    assert printed(code) == "True edgekit.verbs.optimize"
    assert printed(code.removeprefix("import edgekit; ")) == "True edgekit.verbs.optimize"


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'optimise'"):
        _ = edgekit.optimise


def test_an_unexpected_option_is_refused_by_python_itself():
    with pytest.raises(TypeError, match="sparsity"):
        edgekit.optimize("model.keras", sparsity=0.5)


# -------------------------------------------------------------------------------------------------------- the verbs


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_tflite.write(tmp_path, tiny_tflite.dense())


@pytest.fixture
def rows(tmp_path: Path) -> str:
    random = numpy.random.default_rng(0)
    numpy.savez(tmp_path / "rows.npz", x=random.normal(size=(150, 8)).astype("float32"), y=random.integers(0, 4, 150))
    return str(tmp_path / "rows.npz")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine as a board, with a home of its own; what has no place is written beside the model."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)


#: as quick as it gets: what the figures are is not the question here
PLAN = Plan(name="quick", processes=2, memory_processes=1, warmup_s=0.0, min_runs=3, min_s=0.01, cooldown_s=0.0)


def test_optimize_returns_an_artifact_that_the_other_verbs_take(model, rows, tmp_path):
    events: list[Event] = []
    artifact = edgekit.optimize(
        model, data=rows, recipe="int8", output=tmp_path / "int8.tflite", on_event=events.append
    )
    assert isinstance(artifact, edgekit.Artifact)
    assert artifact == edgekit.open_artifact(tmp_path / "int8.tflite")
    assert {event.task for event in events} >= {"audit", "quantize to int8", "take golden samples"}
    assert edgekit.audit(artifact.path).full_integer
    deployed = edgekit.deploy(artifact, plan=None)
    assert deployed.smoke.ok
    assert deployed.smoke.reference == "golden outputs of the artifact"
    assert deployed.benchmark is None
    assert (Path(deployed.release.model_path)).read_bytes() == artifact.path.read_bytes()


def test_without_an_output_the_result_is_named_after_model_and_recipe(model, tmp_path):
    assert edgekit.optimize("model.tflite", recipe="dynamic").path == Path("model-dynamic.tflite")
    assert edgekit.quantize("model.tflite", mode="dynamic", output="other.tflite").path == Path("other.tflite")
    (tmp_path / "mine.toml").write_text('[[steps]]\nstep = "quantize"\nmode = "dynamic"\n')
    assert edgekit.optimize("model.tflite", recipe=Path("mine.toml")).path == Path("model-mine.tflite")


def test_a_second_deploy_uploads_nothing_and_can_be_taken_back(model, rows, tmp_path):
    first = edgekit.deploy(model, name="door", plan=None)
    assert first.uploaded_bytes > model.stat().st_size
    again = edgekit.deploy(model, name="door", plan=None)
    assert again.uploaded_bytes == 0
    other = tiny_tflite.write(tmp_path, tiny_tflite.dense(bias=1.0), "other.tflite")
    second = edgekit.deploy(other, name="door", plan=None)
    assert second.release.previous == first.release.id
    assert edgekit.rollback("door", device="local").id == first.release.id
    with pytest.raises(DeviceError):
        edgekit.rollback("window", device="local")


def test_benchmark_measures_every_model_with_every_thread_count(model, tmp_path):
    other = tiny_tflite.write(tmp_path, tiny_tflite.dense(bias=1.0), "other.tflite")
    measured = edgekit.benchmark([model, edgekit.open_artifact(other)], num_threads=[1, 2], plan=PLAN)
    assert [(item.model.name, item.num_threads) for item in measured] == [
        ("model", 1),
        ("model", 2),
        ("other", 1),
        ("other", 2),
    ]
    assert all(item.device == "local" and item.latency.median_ns for item in measured)
    assert {item.model.sha256 for item in measured} == {sha256_file(model), sha256_file(other)}


def test_what_was_measured_is_stored_only_when_asked(model):
    (measured,) = edgekit.benchmark(model, plan=PLAN)
    store = edgekit.open_store()
    assert list(store.list()) == []
    assert store.get(store.add_measurement(measured)).document["device"] == "local"


def test_inspect_describes_a_model_without_tensorflow(model):
    found = edgekit.inspect(model)
    assert found.format.name == "tflite"
    assert [spec.shape for spec in found.inputs] == [(1, 8)]


def test_audit_says_what_is_float(model):
    found = edgekit.audit(model)
    assert not found.full_integer
    assert found.float_ops == ("FULLY_CONNECTED (1)",)


def test_evaluate_scores_a_model(model, rows):
    found = edgekit.evaluate(model, data=rows)
    assert (found.metric, found.count) == ("top-1", 150)
    assert found.value == edgekit.evaluate(str(model), data=rows, scale=1.0).value


# ------------------------------------------------------------------------------------------------------- bad options


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: edgekit.optimize(model, recipe="int9"), "unknown recipe 'int9'"),
        (lambda model: edgekit.quantize(model, mode="int9"), "unknown mode 'int9'"),
        (lambda model: edgekit.optimize(model, recipe="dynamic", scale="1/255"), "--scale"),
        (lambda model: edgekit.benchmark(model, runtime="litrt"), "unknown runtime 'litrt'"),
        (lambda model: edgekit.benchmark(model, device="locla"), "unknown device 'locla'"),
        (lambda model: edgekit.benchmark(model, plan="slow"), "slow"),
        (lambda model: edgekit.deploy(model, device="locla"), "unknown device 'locla'"),
        (lambda model: edgekit.prune(model, sparsty=0.5), "unknown key 'sparsty'"),
        (lambda model: edgekit.prune(model, sparsity=1.5), "sparsity must be between"),
    ],
)
def test_a_wrong_option_is_a_usage_error_that_names_it(model, rows, call, message):
    with pytest.raises(UsageError) as caught:
        call(model)
    assert message in caught.value.message


def test_preprocessing_without_data_is_not_dropped_in_silence(model, rows):
    with pytest.raises(UsageError, match="there are no data that --mean, --std could prepare") as caught:
        edgekit.optimize(model, recipe="dynamic", mean=1, std=2)
    assert "--data" in str(caught.value.hint)
    with pytest.raises(UsageError, match="--scale 'a' is not a number"):
        edgekit.optimize(model, data=rows, recipe="dynamic", scale="a")


@pytest.mark.parametrize(
    "verb", ["audit", "benchmark", "deploy", "evaluate", "inspect", "optimize", "prune", "quantize"]
)
def test_a_missing_file_is_a_model_error_for_every_verb(verb, rows, tmp_path):
    options = {"data": rows} if verb in ("evaluate", "optimize", "prune", "quantize") else {}
    with pytest.raises(ModelError, match=r"none\.keras") as caught:
        getattr(edgekit, verb)(tmp_path / "none.keras", **options)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("verb", ["benchmark", "deploy"])
def test_boards_get_tflite_files_only(verb, tmp_path):
    from edgekit.verbs.demo import example_folder

    with pytest.raises(ModelError, match=r"boards run \.tflite files") as caught:
        getattr(edgekit, verb)(example_folder() / "digits.keras")
    assert "edgekit optimize" in str(caught.value.hint)
