"""What a board keeps so that it is not sent again gives way when its disk is full, and nothing else does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import tiny_tflite
from sshd_board import ROOT, Sshd

from edgekit.core.errors import TransferError
from edgekit.device.board_cache import BoardCache, CachedKind, cached, described
from edgekit.device.connect import Device, connect
from edgekit.device.provision_remove import remove_workspace
from edgekit.device.target import resolve
from edgekit.measure.plan import Plan
from edgekit.verbs.benchmark import benchmark
from edgekit.verbs.provision import provision
from edgekit.verbs.rollback import on_board

QUICK = Plan(name="quick", retries=0, processes=2, memory_processes=0, min_runs=5, min_s=0.02, warmup_s=0.01)
own_disk = pytest.mark.skipif(not ROOT, reason="needs root, for a disk of its own")


def entry(digit: str) -> str:
    return f"models/{digit * 12}/model.tflite"


def there(device: Device) -> list[str]:
    """Everything in the workspace but its folders."""
    return device.workspace.sh('cd "$1" && find . ! -type d | sort', device.root).text.replace("./", "").split()


def aged(board: Sshd, device: Device, relative: str, hours: int) -> None:
    """Used so long ago, as far as the board knows."""
    path = board.path(f"{device.root}/{relative}")
    then = path.stat().st_mtime - 3600 * hours
    for each in (path, path.parent) if relative.startswith("models/") else (path,):
        os.utime(each, (then, then))


# ----------------------------------------------------------------------------------------------- over every transport


def test_all_goes_but_what_is_needed_and_what_is_not_ours(device: Device) -> None:
    workspace = device.workspace
    for digit in "abc":
        workspace.push_bytes(digit.encode() * 5000, entry(digit))
    workspace.push_bytes(b"x" * 5000, f"samples/{'5' * 24}.raw")
    workspace.push_bytes(b"x" * 5000, f"rows/{'6' * 24}.raw")
    workspace.push_bytes(b"x" * 5000, f"runtime/{'7' * 12}/packages.tar.gz")
    workspace.push_bytes(b"x" * 5000, f"releases/door/{'8' * 12}/model.tflite")
    workspace.push_bytes(b"mine", "models/notes and more/model.tflite")
    workspace.push_bytes(b"mine", "samples/notes.raw")
    workspace.sh('ln -s /etc "$1/models/dddddddddddd"', device.root)
    found = cached(workspace)
    assert {(each.kind, each.count) for each in found} == {("models", 3), ("samples", 2), ("runtimes", 1)}
    assert all(each.size_bytes >= 4096 for each in found)
    assert described(found) == "3 models, 2 sets of samples, 1 runtime file"
    cache = BoardCache("board")
    cache.needs(entry("b"))
    assert cache.make_room(workspace.sh, device.root, None)
    assert [(each.kind, each.count) for each in cache.removed] == [("models", 2), ("samples", 2), ("runtimes", 1)]
    assert there(device) == [
        f"models/{'b' * 12}/model.tflite",
        "models/dddddddddddd",
        "models/notes",
        "and",
        "more/model.tflite",
        f"releases/door/{'8' * 12}/model.tflite",
        "samples/notes.raw",
    ]
    assert not cache.make_room(workspace.sh, device.root, None)


def test_half_of_what_was_being_removed_is_swept_and_passes_for_nothing(device: Device) -> None:
    workspace = device.workspace
    workspace.push_bytes(b"x", "runtime/.edgekit-gone.4711/packages/half.py")
    workspace.push_bytes(b"x", "models/.edgekit-gone.4711/model.tflite")
    assert cached(workspace) == ()
    assert not BoardCache("board").make_room(workspace.sh, device.root, None)
    assert there(device) == []
    content = b"a runtime"
    workspace.push_bytes(content, "runtime/.edgekit-gone.4712/packages/half.py")
    workspace.push_bytes(content, f"runtime/{hashlib.sha256(content).hexdigest()[:12]}/lib.so")
    assert remove_workspace(device).left == ()
    assert workspace.sh('[ -e "$1" ]', device.root).exit_status != 0


# ------------------------------------------------------------------------------------------------------ a full disk


@own_disk
@pytest.mark.parametrize("busybox", [False, True])
def test_f17_what_was_used_longest_ago_makes_room(sshd_factory, busybox: bool) -> None:
    board = sshd_factory(disk_mb=8, busybox=busybox)
    with connect(resolve("pi4")) as device:
        for hours, digit in ((4, "a"), (3, "b"), (2, "c")):
            device.workspace.push_bytes(digit.encode() * 2_000_000, entry(digit))
            aged(board, device, entry(digit), hours)
        device.workspace.push_bytes(b"r" * 100_000, f"releases/door/{'8' * 12}/model.tflite")
    with connect(resolve("pi4")) as device:
        assert device.workspace.push_bytes(b"a" * 2_000_000, entry("a")).uploaded_bytes == 0  # used again
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(os.urandom(3_000_000), entry("d"))
        kept = f"{entry('a')} {entry('c')} {entry('d')} releases/door/{'8' * 12}/model.tflite"
        assert there(device) == kept.split()
        (notice,) = device.cache.notices
        assert notice.message.startswith("pi4: 1 model, used longest ago, made room on its disk (2")
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(b"a" * 2_000_000, entry("a"))
        with pytest.raises(TransferError, match="no space") as caught:  # not even without the others
            device.workspace.push_bytes(os.urandom(7_000_000), entry("e"))
        assert there(device) == f"{entry('a')} releases/door/{'8' * 12}/model.tflite".split()
        assert caught.value.details["free_bytes"] > 5_000_000


@own_disk
def test_f17_a_benchmark_on_a_board_full_of_old_models_finds_room(sshd_factory, tmp_path: Path) -> None:
    board = sshd_factory(disk_mb=48)
    with connect(resolve("pi4")) as device:
        for digit in "abcd":
            device.workspace.push_bytes(os.urandom(10_000_000), entry(digit))
            aged(board, device, entry(digit), 1)
        disk = os.statvfs(board.path(board.home))
        filler = disk.f_bavail * disk.f_frsize - 1_000_000
        board.path(f"{board.home}/filler").write_bytes(b"x" * filler)
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8(2))
    (measured,) = benchmark(model, device="pi4", plan=QUICK)
    assert measured.latency.median_ns
    (notice,) = [notice for notice in measured.notices if notice.code == "made-room"]
    assert "model" in notice.message
    (again,) = benchmark(model, device="pi4", plan=QUICK)  # all that it needs is there still
    assert not [notice for notice in again.notices if notice.code == "made-room"]


# ------------------------------------------------------------------------------------------------------ by the user


def test_the_user_sees_the_cache_and_empties_it_but_for_the_runtime(sshd_board: Sshd, tmp_path: Path) -> None:
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8(2))
    benchmark(model, device="pi4", plan=QUICK)
    before = {each.kind: each for each in on_board("pi4").cache}
    assert (before["models"].count, before["samples"].count) == (1, 1)
    done = provision("pi4", prune=True)
    assert [(each.kind, each.count) for each in done.pruned or ()] == [("models", 1), ("samples", 1)]
    assert on_board("pi4").cache == (before["runtimes"],)
    assert provision("pi4", prune=True).pruned == ()
    assert provision("pi4").pruned is None
    (measured,) = benchmark(model, device="pi4", plan=QUICK)
    assert measured.latency.median_ns


def test_kinds_are_added_up_and_named() -> None:
    kinds = (CachedKind(kind="models", count=1, size_bytes=1), CachedKind(kind="runtimes", count=2, size_bytes=1))
    assert described(kinds) == "1 model, 2 runtime files"
