"""What the user names with --custom is loaded, from every kind of file; everything else stays untrusted."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zoo

from edgekit.core.child import Child
from edgekit.core.errors import ModelError, UsageError
from edgekit.model import custom
from edgekit.model.format import detect_format
from edgekit.model.safety import refuse_code

HERE = Path(__file__).parent
NAMES = {
    "keras": ["zoo_custom:Gate", "zoo_custom:soft_step"],
    "tf_keras": ["zoo_custom:OldGate", "zoo_custom:soft_step"],
}
KINDS = [("keras", ".keras"), ("keras", ".h5"), ("tf_keras", ".keras"), ("tf_keras", ".h5")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("custom")
    for library, ending in KINDS:
        zoo.saved("custom", folder, library, ending)
    shutil.copy(HERE.parent / "zoo_custom.py", folder)
    (folder / "mine.py").write_text("from pathlib import Path\nNUMBER = 7\n\ndef scale(x):\n    return x\n")
    (folder / "broken.py").write_text("import a_module_that_nobody_has\n")
    return folder


@pytest.fixture
def light(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """A process in the folder of the user's modules."""
    monkeypatch.chdir(folder)
    with Child(log=tmp_path / "log.txt", purpose="test") as process:
        yield process


@pytest.fixture
def fresh(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """A new process with TensorFlow in the folder of the user's module: nothing is registered in it."""
    monkeypatch.chdir(folder)
    environment = {"PYTHONPATH": str(HERE)}
    with Child(log=tmp_path / "log.txt", purpose="test", preload=("tensorflow",), environment=environment) as process:
        yield process


def run(child: Child, names: list[str], path: Path, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = child.call(
        "model_checks:register_and_run", time_limit_s=120, names=names, path=str(path), **options
    )
    return found


def test_named_it_loads_from_every_kind_of_file_with_loss_and_weights(folder: Path, fresh: Child) -> None:
    names = [*NAMES["keras"], *NAMES["tf_keras"]]
    values = {}
    for library, ending in KINDS:
        found = run(fresh, names, folder / f"custom-{library}{ending}")
        assert found["library"] == library
        assert found["loss"] not in ("None", "")  # it was loaded compiled
        values[library, ending] = found["values"]["classes"]
    assert values["keras", ".keras"] == pytest.approx(values["keras", ".h5"], abs=1e-6)
    assert values["tf_keras", ".keras"] == pytest.approx(values["tf_keras", ".h5"], abs=1e-6)


def test_a_name_twice_or_registered_again_changes_nothing_and_an_unused_one_is_named(
    folder: Path, fresh: Child
) -> None:
    names = [*NAMES["keras"], *NAMES["keras"]]
    first = run(fresh, names, folder / "custom-keras.keras")
    again = run(fresh, [*names, "zoo_custom:gentle_loss"], folder / "custom-keras.keras")
    assert first["values"] == again["values"]
    assert first["notices"] == []
    assert again["notices"] == ["custom-unused"]


def test_a_function_that_is_not_named_is_missed_by_name(folder: Path, fresh: Child) -> None:
    for library, layer in (("keras", "Gate"), ("tf_keras", "OldGate")):
        for ending in (".keras", ".h5"):
            with pytest.raises(ModelError, match="uses the function soft_step") as caught:
                run(fresh, [f"zoo_custom:{layer}"], folder / f"custom-{library}{ending}")
            assert "--custom my_layers:soft_step" in str(caught.value.hint)


def test_a_class_of_the_other_keras_is_refused_by_name(folder: Path, fresh: Child, tmp_path: Path) -> None:
    other = _with_layer(folder / "custom-keras.keras", tmp_path / "other.keras", registered_name="OldGate")
    with pytest.raises(UsageError, match=r"zoo_custom:OldGate is a class of tf_keras.*written by keras"):
        run(fresh, ["zoo_custom:OldGate", "zoo_custom:soft_step"], other)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("mien:scale", "no module mien", "in the folder of mien.py"),
        ("mine:scael", "mine has nothing called scael", "did you mean mine:scale?"),
        ("mine:NUMBER", "of type int, neither a layer nor a function", "keras.layers.Layer"),
        ("mine:Path", "a class, but not one of Keras", "derive it from keras.layers.Layer"),
        ("broken:scale", "importing broken .* failed: ModuleNotFoundError", "python -c 'import broken'"),
    ],
)
def test_what_cannot_be_registered_says_why(light: Child, name: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        light.call("edgekit.model.custom:register", time_limit_s=30, names=[name])
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("text", ["Gate", "zoo_custom", "zoo_custom.Gate", "zoo_custom:", "a b:c", "x.py:Gate()"])
def test_a_name_in_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="does not say where") as caught:
        custom.parse([text])
    assert "my_layers:Scale" in str(caught.value.hint)


def test_one_class_from_two_modules_is_refused() -> None:
    with pytest.raises(UsageError, match=r"two classes Gate: one:Gate and two:Gate"):
        custom.parse(["one:Gate", "two:Gate"])


@pytest.mark.parametrize(("library", "ending"), KINDS)
def test_the_scan_passes_named_classes_without_importing_them(folder: Path, library: str, ending: str) -> None:
    path = folder / f"custom-{library}{ending}"
    if ending == ".keras":  # an .h5 says so little of its layers that they are found missing when it is loaded
        with pytest.raises(ModelError, match=r"'gate'") as caught:
            refuse_code(path, detect_format(path), trust=False)
        assert f"--custom {NAMES[library][0]}" in str(caught.value.hint)
    nowhere = [name.replace("zoo_custom", "a_module_that_nobody_has") for name in NAMES[library]]
    assert refuse_code(path, detect_format(path), trust=False, custom=nowhere) == ()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"registered_name": None, "module": "evil"}, r"evil\.Gate"),  # tf_keras would import that module
        ({"registered_name": "Other"}, r"zoo_custom\.Gate"),  # Keras would look for Other
        ({"class_name": "Lambda", "registered_name": "Gate"}, "a Lambda layer"),
        ({"config": {"name": "gate", "inner": {"class_name": "__lambda__", "config": {"value": "4w"}}}}, "bytecode"),
        (
            {"config": {"name": "gate", "inner": {"module": "os", "class_name": "function", "config": "system"}}},
            r"os\.system",
        ),
    ],
)
def test_what_only_resembles_the_named_class_stays_untrusted(
    folder: Path, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    path = _with_layer(folder / "custom-keras.keras", tmp_path / "odd.keras", **changes)
    with pytest.raises(ModelError, match=what):
        refuse_code(path, detect_format(path), trust=False, custom=NAMES["keras"])


def test_the_hash_of_the_modules_follows_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("class Scale: pass\n")
    before = custom.source_sha256(["mine:Scale"])
    assert before == custom.source_sha256(["mine:Scale"])
    (tmp_path / "mine.py").write_text("class Scale: pass  # changed\n")
    os.utime(tmp_path / "mine.py", (0, 0))
    assert before != custom.source_sha256(["mine:Scale"])
    assert custom.source_sha256(["not_there:Scale"])


def test_a_keras_3_model_with_a_named_activation_is_rebuilt_as_tf_keras(fresh: Child) -> None:
    assert fresh.call("model_checks:rebuild_with_own_activation", time_limit_s=120) < 1e-5


def _with_layer(source: Path, out: Path, **changes: Any) -> Path:
    """The model with other words in the configuration of its custom layer."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(out, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                layer = next(item for item in config["config"]["layers"] if item["config"]["name"] == "gate")
                layer.update(changes)
                if "OldGate" in str(changes):
                    layer["class_name"] = "OldGate"
                content = json.dumps(config).encode()
            changed.writestr(name, content)
    return out
