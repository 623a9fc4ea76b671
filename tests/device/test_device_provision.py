"""Provisioning real boards: with and without Python, with wheels, with the user's files; and taking all of it away."""

from __future__ import annotations

import shutil
from pathlib import Path
from platform import machine

import pytest
import tiny_tflite
from sshd_board import ROOT

from edgekit.core import artifact as artifacts
from edgekit.core.errors import BusyError, DependencyError, DeviceError, RuntimeMissingError, UsageError
from edgekit.core.events import ignore
from edgekit.core.places import cache_dir
from edgekit.device import inventory
from edgekit.device.connect import connect
from edgekit.device.lock import held
from edgekit.device.provision import plan_runtime, prepare_runtime
from edgekit.device.provision_present import look
from edgekit.device.smoke import smoke_test
from edgekit.device.target import resolve
from edgekit.runner.native import native_runner
from edgekit.runner.runtimes import cached_library
from edgekit.verbs.boards import Reach
from edgekit.verbs.provision import provision, remove_from_board
from edgekit.verbs.provision_download import download_runtimes


def tree(board, *folders: str) -> set[str]:
    """Every file and folder of a board below some folders."""
    return {
        f"{folder}/{path.relative_to(board.path(folder))}"
        for folder in folders
        for path in board.path(folder).rglob("*")
    }


def everything(board) -> set[str]:
    return tree(board, board.home, *(("/tmp", "/run/lock") if ROOT else ()))


def models_run(device, runtime, folder: Path, content: bytes) -> bool:
    model = artifacts.open_artifact(tiny_tflite.write(folder, content))
    path = device.workspace.push_file(model.path, "models/0123456789ab/model.tflite").path
    return smoke_test(device, runtime, path, model).ok


@pytest.fixture(scope="session")
def _built(tmp_path_factory) -> Path:
    """The native runner, built once for all tests of this module, where edgekit is not installed with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_HOME", str(tmp_path_factory.mktemp("built")))
        native_runner(machine(), "glibc")
        return cache_dir() / "native"


@pytest.fixture
def native(_built) -> None:
    """It is in the cache already."""
    if _built.is_dir():
        shutil.copytree(_built, cache_dir() / "native")


# ----------------------------------------------------------------------------------------------------------- the plan


def test_a_dry_run_changes_nothing_on_the_board_and_nothing_here(sshd_board):
    before = everything(sshd_board)
    done = provision("pi4", dry_run=True)
    assert done.runtime is None
    assert done.plan.chosen.runner == "payload"
    assert done.plan.chosen.bytes_to_send > 1_000_000
    assert everything(sshd_board) == before
    assert inventory.entries() == ()


def test_what_is_there_already_is_seen(sshd_board):
    done = provision("pi4")
    assert done.runtime.uploaded_bytes == done.plan.chosen.bytes_to_send
    again = provision("pi4")
    assert again.plan.chosen.bytes_to_send == again.runtime.uploaded_bytes == 0
    assert all(item.on_board for item in again.plan.chosen.items)


def test_the_boards_own_modules_are_seen(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with connect(resolve("local")) as device:
        present = look(device, device.facts())
    assert present.modules["ai_edge_litert"].startswith("2.")
    assert present.files == {}


# ------------------------------------------------------------------------------------------------------ without Python


@pytest.mark.usefixtures("native")
def test_a_board_without_python_runs_models_by_the_native_runner(sshd_factory, tmp_path):
    sshd_factory(without=("python3", "python"))
    with connect(resolve("pi4")) as device:
        facts = device.facts()
        assert facts.python is None
        runtime = prepare_runtime(device, facts)
        assert (runtime.runner, runtime.python) == ("native", None)
        assert models_run(device, runtime, tmp_path, tiny_tflite.dense_int8())
        assert prepare_runtime(device, facts).uploaded_bytes == 0


@pytest.mark.usefixtures("native")
def test_f18_a_noexec_workspace_is_named_with_the_way_out(sshd_factory):
    sshd_factory(noexec=True)
    with connect(resolve("pi4")) as device:
        facts = device.facts()
        with pytest.raises(RuntimeMissingError) as caught:
            prepare_runtime(device, facts)
        assert "noexec" in caught.value.hint
        with pytest.raises(RuntimeMissingError) as caught:
            prepare_runtime(device, facts, runtime="native")
        assert "noexec" in caught.value.hint


def test_f18_another_workspace_helps_a_board_whose_home_is_noexec(sshd_factory):
    board = sshd_factory(noexec=True)
    folder = "/tmp/edgekit-workspace"
    inventory.add(inventory.InventoryEntry(name="elsewhere", host=board.alias, workspace=folder))
    with connect(resolve("elsewhere")) as device:
        assert prepare_runtime(device, device.facts()).library_path.startswith(folder)


# ------------------------------------------------------------------------------------------------------------- wheels


@pytest.mark.slow
def test_a_board_without_pip_or_network_runs_models_that_remember(sshd_factory, tmp_path):
    sshd_factory(disk_mb=256)
    with connect(resolve("pi4")) as device:
        facts = device.facts()
        runtime = prepare_runtime(device, facts, stateful=True)
        assert (runtime.runner, runtime.name) == ("payload", "ai_edge_litert")
        assert runtime.module_path.startswith(device.root + "/runtime/")
        assert [notice.code for notice in runtime.notices] == ["module-runtime"]
        assert models_run(device, runtime, tmp_path, tiny_tflite.remembers())
        assert prepare_runtime(device, facts, stateful=True).uploaded_bytes == 0
        # a file that is lost there: said, taken away, and sent again by the next run
        device.workspace.sh('rm -rf -- "$1"/ai_edge_litert/interpreter.py', runtime.module_path)
        with pytest.raises(RuntimeMissingError):
            prepare_runtime(device, facts, runtime="ai_edge_litert")
        assert prepare_runtime(device, facts, runtime="ai_edge_litert").uploaded_bytes > 1_000_000


@pytest.mark.slow
def test_f17_a_module_that_does_not_fit_the_disk_is_not_sent(sshd_factory):
    sshd_factory(disk_mb=40)
    with connect(resolve("pi4")) as device:
        with pytest.raises(DeviceError, match="no space"):
            prepare_runtime(device, device.facts(), runtime="tflite_runtime")
        assert device.workspace.sh('ls "$1"/runtime/*/packages* 2>/dev/null', device.root).text == ""


# ---------------------------------------------------------------------------------------------------- the user's files


def the_users_library(folder: Path) -> Path:
    return Path(shutil.copy(cached_library("2.3.0", machine()).path, folder / "libLiteRt-2.3.0.so"))


def test_a_library_of_the_users_is_kept_sent_and_remembered(sshd_board, tmp_path):
    own = the_users_library(tmp_path)
    done = provision("pi4", library=own)
    assert done.plan.chosen.origin == "supplied"
    assert done.runtime.version == "2.3.0"
    own.unlink()
    entry = inventory.find("pi4")
    assert entry.host == "pi4"
    assert Path(entry.library).is_file()
    again = provision("pi4")
    assert (again.plan.chosen.origin, again.runtime.uploaded_bytes) == ("supplied", 0)


def test_f32_a_file_that_is_no_library_is_refused_and_not_remembered(sshd_board, tmp_path):
    wrong = tmp_path / "libLiteRt.so"
    wrong.write_bytes(b"PK\x03\x04 an archive")
    with pytest.raises(DependencyError) as caught:
        provision("pi4", library=wrong)
    assert "--library" in caught.value.hint
    assert inventory.entries() == ()
    assert everything(sshd_board) == set()


def test_f32_a_library_that_does_not_load_is_found_before_any_model_and_not_remembered(sshd_board, tmp_path):
    own = the_users_library(tmp_path)
    content = bytearray(own.read_bytes())
    content[len(content) // 3 :] = bytes(len(content) - len(content) // 3 - 70_000) + content[-70_000:]
    own.write_bytes(content)
    with pytest.raises((DeviceError, DependencyError)):
        provision("pi4", library=own)
    assert inventory.find("pi4") is None


def test_this_machine_and_unknown_boards_remember_no_file(sshd_board, tmp_path):
    own = the_users_library(tmp_path)
    with pytest.raises(UsageError, match="local"):
        provision("local", library=own)
    with pytest.raises(UsageError, match="--host"):
        provision("pi4", library=own, reach=Reach(host="pi@192.0.2.7"))


# -------------------------------------------------------------------------------------------------- for another machine


@pytest.mark.usefixtures("native")
def test_a_copied_cache_serves_a_machine_without_a_network(sshd_board, tmp_path, monkeypatch):
    got = download_runtimes(abi=machine(), libc_version="2.36")
    assert "runtimes" in got.folders
    assert all(each.path.is_relative_to(got.cache) for each in got.files)
    other = tmp_path / "other"
    for folder in got.folders:
        shutil.copytree(got.cache / folder, other / "cache" / folder)
    monkeypatch.setenv("EDGEKIT_HOME", str(other))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setattr("edgekit.runner.runtimes._installed_version", lambda: None)
    done = provision("pi4")
    assert done.plan.chosen.downloads == ()
    assert done.plan.chosen.items[1].source == "cache"
    assert done.runtime.uploaded_bytes > 1_000_000


def test_what_cannot_be_downloaded_is_a_usage_error():
    with pytest.raises(UsageError, match="riscv64"):
        download_runtimes(abi="riscv64")
    with pytest.raises(UsageError, match="ABI"):
        download_runtimes("generic")
    with pytest.raises(UsageError, match=r"glibc 2\.5"):
        download_runtimes(abi="aarch64", libc_version="2.5", runtime="tflite_runtime")
    with pytest.raises(UsageError, match=r"3\.13"):
        download_runtimes(abi="armv7l", python="3.13")


@pytest.mark.slow
def test_every_library_for_an_arm_board_is_fetched_where_its_glibc_is_not_known():
    got = download_runtimes("generic-arm64")
    needs = {each.what: each.glibc_needed for each in got.files if each.what.startswith("LiteRT")}
    assert needs == {
        "LiteRT 2.3.0 for aarch64": "2.34",
        "LiteRT 2.1.0 for aarch64": "2.30",
        "LiteRT 1.4.0 for aarch64": "2.30",
    }


# ------------------------------------------------------------------------------------------------------- taking it away


def test_removing_leaves_nothing_behind(sshd_board, tmp_path):
    before = everything(sshd_board)
    provision("pi4")
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(b"sample", "samples/0123456789abcdef01234567.raw")
        device.workspace.push_bytes(b"rows", "rows/0123456789abcdef01234567.raw")
        device.workspace.push_bytes(b"model", "models/0123456789ab/model.tflite")
        release = device.workspace.push_bytes(b"model", "releases/my model/0123456789ab/model.tflite")
        device.workspace.sh('ln -s 0123456789ab "${1%/*/*}/current"', release.path)
    assert len(everything(sshd_board)) > len(before) + 8
    gone = remove_from_board("pi4")
    assert (gone.existed, gone.left) == (True, ())
    assert everything(sshd_board) == before
    assert not remove_from_board("pi4").existed


def test_empty_folders_of_ours_prove_themselves_and_go(sshd_board):
    before = everything(sshd_board)
    with connect(resolve("pi4")) as device:
        pushed = device.workspace.push_bytes(b"rows", "rows/0123456789abcdef01234567.raw")
        device.workspace.sh('rm -- "$1"', pushed.path)
    assert remove_from_board("pi4").left == ()
    assert everything(sshd_board) == before


def test_f22_an_empty_folder_that_is_not_ours_stays_and_is_named(sshd_board):
    provision("pi4")
    mine = sshd_board.path(sshd_board.home) / ".edgekit" / "mine"
    mine.mkdir()
    gone = remove_from_board("pi4")
    assert mine.is_dir()
    assert [Path(path).name for path in gone.left] == ["mine"]


def test_f22_files_that_are_not_ours_stay_and_are_named(sshd_board):
    provision("pi4")
    root = sshd_board.path(sshd_board.home) / ".edgekit"
    (root / "thesis.txt").write_text("years of work")
    (root / "models").mkdir(exist_ok=True)
    (root / "models" / "mine.tflite").write_text("not ours")
    target = sshd_board.path(sshd_board.home) / "photos"
    target.mkdir()
    (target / "one.jpg").write_text("a picture")
    (root / "runtime" / "abcdefabcdef").symlink_to("../../photos")
    gone = remove_from_board("pi4")
    assert (root / "thesis.txt").read_text() == "years of work"
    assert (root / "models" / "mine.tflite").read_text() == "not ours"
    assert (target / "one.jpg").read_text() == "a picture"
    assert {Path(path).name for path in gone.left} == {"thesis.txt", "mine.tflite", "abcdefabcdef"}


def test_f22_a_folder_that_is_not_provably_ours_is_not_touched(sshd_board):
    home = sshd_board.path(sshd_board.home)
    (home / ".edgekit" / "models" / "0123456789ab").mkdir(parents=True)
    (home / ".edgekit" / "models" / "0123456789ab" / "model.tflite").write_text("whose name is no hash of it")
    before = everything(sshd_board)
    with pytest.raises(DeviceError, match="nothing was removed"):
        remove_from_board("pi4")
    assert everything(sshd_board) >= before


def test_f22_a_workspace_that_is_a_link_is_not_followed(sshd_board):
    provision("pi4")
    home = sshd_board.path(sshd_board.home)
    (home / ".edgekit").rename(home / "elsewhere")
    (home / ".edgekit").symlink_to("elsewhere")
    with pytest.raises(DeviceError, match="link"):
        remove_from_board("pi4")
    assert (home / "elsewhere" / "runtime").is_dir()


def test_f34_a_board_that_somebody_uses_is_not_emptied(sshd_board):
    provision("pi4")
    before = tree(sshd_board, sshd_board.home)
    with connect(resolve("pi4")) as other, held(other, purpose="a benchmark", on_event=ignore):
        with pytest.raises(BusyError):
            remove_from_board("pi4")
        with pytest.raises(BusyError):
            provision("pi4")
        assert provision("pi4", dry_run=True).plan.chosen is not None
    assert tree(sshd_board, sshd_board.home) == before


# -------------------------------------------------------------------------------------------------------- other systems


def add_emulated(board) -> None:
    entry = inventory.InventoryEntry(
        name="emulated",
        host=board.host,
        port=board.port,
        user=board.user,
        identity_file=str(board.key),
        host_key=" ".join(board.known_hosts.read_text().split()[1:3]),
    )
    inventory.add(entry)


@pytest.mark.slow
def test_a_32_bit_board_runs_models_by_wheels_that_are_pushed(emulated_boards, tmp_path):
    add_emulated(emulated_boards("--arch", "armhf", "--with", "python3-numpy"))
    done = provision("emulated")
    assert done.plan.system.startswith("armv7l, glibc 2.36, Python 3.11")
    assert (done.runtime.name, done.runtime.version) == ("tflite_runtime", "2.14.0")
    assert not done.plan.chosen.with_numpy
    with connect(resolve("emulated")) as device:
        assert models_run(device, done.runtime, tmp_path, tiny_tflite.dense_int8())
        assert prepare_runtime(device, device.facts()).uploaded_bytes == 0
    assert remove_from_board("emulated").left == ()


@pytest.mark.slow
def test_f32_an_arm_board_gets_a_library_for_its_own_processor(arm64_board, tmp_path):
    add_emulated(arm64_board)
    done = provision("emulated")
    assert done.plan.system.startswith("aarch64, glibc 2.36")
    assert (done.runtime.name, done.runtime.version) == ("LiteRT C API", "2.3.0")
    assert any("no LSE" in why for why in done.plan.chosen.why)
    native = provision("emulated", runtime="native")
    assert native.runtime.runner == "native"
    with connect(resolve("emulated")) as device:
        assert models_run(device, native.runtime, tmp_path, tiny_tflite.dense_int8())
        plan = plan_runtime(device, device.facts(), runtime="ai_edge_litert")
        assert plan.chosen.with_numpy
    assert remove_from_board("emulated").left == ()
