"""What a board keeps so that it is not sent again gives way when its disk is full, and nothing else does."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
import tiny_tflite
from processes import SOON_S
from sshd_board import ROOT, Sshd

from edgekit.core.errors import TransferError
from edgekit.core.events import ignore
from edgekit.device import lock
from edgekit.device.board_cache import BoardCache, CachedKind, cached, described
from edgekit.device.connect import Device, connect
from edgekit.device.provision_remove import remove_workspace
from edgekit.device.target import resolve
from edgekit.device.transport.protocol import Completed
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


def ago(device: Device, relative: str, hours: int) -> None:
    """The same, on any board."""
    then = time.strftime("%Y%m%d%H%M", time.gmtime(time.time() - 3600 * hours))
    folder = relative.rpartition("/")[0] if relative.startswith("models/") else relative
    done = device.workspace.sh('cd "$1" && TZ=UTC0 touch -t "$2" "$3" "$4"', device.root, then, relative, folder)
    assert done.exit_status == 0, done.stderr


# ----------------------------------------------------------------------------------------------- over every transport


def test_all_goes_but_what_is_needed_and_what_is_not_ours(every_device: Device) -> None:
    device = every_device
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
    cache.make_room(workspace.sh, device.root, None)
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
    again = BoardCache("board")
    again.needs(entry("b"))
    again.make_room(workspace.sh, device.root, None)
    assert again.removed == () == again.notices


def test_half_of_what_was_being_removed_is_swept_and_passes_for_nothing(every_device: Device) -> None:
    device = every_device
    workspace = device.workspace
    workspace.push_bytes(b"x", "runtime/.edgekit-gone.4711/packages/half.py")
    workspace.push_bytes(b"x", "models/.edgekit-gone.4711/model.tflite")
    assert cached(workspace) == ()
    workspace.sh('ln -s "$1/releases" "$1/models/dddddddddddd"', device.root)
    for unfinished in (entry("a"), f"runtime/{'7' * 12}/lib", "samples/x", "releases/x"):
        workspace.push_bytes(b"x", unfinished.rpartition("/")[0] + "/.edgekit-0.part")
    cache = BoardCache("board")
    cache.needs(entry("a"))
    cache.needs(f"runtime/{'7' * 12}/lib")
    cache.make_room(workspace.sh, device.root, None)
    assert cache.removed == ()
    assert there(device) == ["models/dddddddddddd", "releases/.edgekit-0.part"]  # a link is not followed
    workspace.sh('rm -rf "$1"', device.root)
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
        with pytest.raises(TransferError, match=r"no space: model\.tflite needs 7 MB"):
            device.workspace.push_bytes(os.urandom(7_000_000), entry("e"))
        assert there(device) == kept.split()  # not even without the others: so they stay
        assert device.cache.notices == ()


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


@own_disk
def test_f17_room_that_an_interrupted_removal_leaves_behind_is_room(sshd_factory) -> None:
    sshd_factory(disk_mb=8)
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(b"x" * 6_000_000, "models/.edgekit-gone.4711/model.tflite")
        device.workspace.push_bytes(os.urandom(4_000_000), entry("a"))
        assert there(device) == [entry("a")]


def test_f17_a_phone_makes_room_too(adb_factory) -> None:
    phone = adb_factory(disk_mb=8)
    for digit in "abc":
        with connect(resolve("phone", host=phone.serial, profile="android-arm64-adb")) as device:
            device.workspace.push_bytes(digit.encode() * 3_000_000, entry(digit))
            ago(device, entry(digit), 5 - "abc".index(digit))
    with connect(resolve("phone", host=phone.serial, profile="android-arm64-adb")) as device:
        assert there(device) == [entry("b"), entry("c")]


@own_disk
def test_f17_a_reserve_is_kept_as_far_as_the_cache_can_give_it(sshd_factory) -> None:
    board = sshd_factory(disk_mb=32)  # 1 MiB of it
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(os.urandom(3_000_000), entry("a"))
    disk = os.statvfs(board.path(board.home))
    filler = board.path(f"{board.home}/filler")
    filler.write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - 2_500_000))
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(os.urandom(2_000_000), entry("b"))  # it would fit
        assert there(device) == [entry("b")]
    with connect(resolve("pi4")) as device:
        device.workspace.push_bytes(os.urandom(3_000_000), entry("c"))
        assert there(device) == [entry("c")]
        device.workspace.push_bytes(os.urandom(2_000_000), entry("d"))  # it fits, and nothing can give a reserve
        assert there(device) == [entry("c"), entry("d")]


# ------------------------------------------------------------------------------------------------------ by the user


def test_the_user_sees_the_cache_and_empties_it_but_for_the_runtime(sshd_board: Sshd, tmp_path: Path) -> None:
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8(2))
    benchmark(model, device="pi4", plan=QUICK)
    before = {each.kind: each for each in on_board("pi4").cache}
    assert (before["models"].count, before["samples"].count) == (1, 1)
    would = provision("pi4", prune=True, dry_run=True)
    assert [(each.kind, each.count) for each in would.pruned or ()] == [("models", 1), ("samples", 1)]
    assert {each.kind: each for each in on_board("pi4").cache} == before
    done = provision("pi4", prune=True)
    assert [(each.kind, each.count) for each in done.pruned or ()] == [("models", 1), ("samples", 1)]
    assert on_board("pi4").cache == (before["runtimes"],)
    assert provision("pi4", prune=True).pruned == ()
    assert provision("pi4").pruned is None
    assert provision("pi4", dry_run=True).pruned is None
    (measured,) = benchmark(model, device="pi4", plan=QUICK)
    assert measured.latency.median_ns


def test_kinds_are_added_up_and_named() -> None:
    kinds = (CachedKind(kind="models", count=1, size_bytes=1), CachedKind(kind="runtimes", count=2, size_bytes=1))
    assert described(kinds) == "1 model, 2 runtime files"


# --------------------------------------------------------------------------------------------------------- by policy


def test_only_so_many_models_stay_and_those_used_last(device: Device) -> None:
    device.cache = BoardCache("board", most=2)
    workspace = device.workspace
    workspace.push_bytes(b"mine", "models/notes and more/model.tflite")
    for hours, digit in ((4, "a"), (3, "b"), (2, "c")):
        workspace.push_bytes(digit.encode(), entry(digit))
        workspace.push_bytes(digit.encode(), f"samples/{digit * 24}.raw")
        ago(device, entry(digit), hours)
        ago(device, f"samples/{digit * 24}.raw", hours)
    models = [entry(digit) for digit in "abc"]
    assert [name for name in there(device) if name in models] == models  # this command needs them all
    device.cache = BoardCache("board", most=2)
    assert device.workspace.push_bytes(b"a", entry("a")).uploaded_bytes == 0  # used again: nothing is sent, all stay
    assert [name for name in there(device) if name in models] == models
    device.workspace.push_bytes(b"d", entry("d"))
    kept = [entry("a"), entry("d"), "models/notes", "and", "more/model.tflite"]
    assert there(device) == [*kept, f"samples/{'b' * 24}.raw", f"samples/{'c' * 24}.raw"]
    assert device.cache.notices == ()  # room was not what it was about


def test_the_profile_says_how_many_models_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sshd_board: Sshd
) -> None:
    (tmp_path / "pi4.toml").write_text('title = "a board"\nkeep_models = 1\n')
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path))
    for digit in "ab":
        with connect(resolve("pi4")) as device:
            device.workspace.push_bytes(digit.encode(), entry(digit))
            assert there(device) == [entry(digit)]


# ------------------------------------------------------------------------------------------- interrupted, and at once


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(("chmod", ""), id="before anything"),
        pytest.param(("chmod", 'chmod "$@"'), id="before the renaming"),
        pytest.param(("mv", 'mv "$@"'), id="after the renaming"),
        pytest.param(("rm", "rm -f runtime/.edgekit-gone.*/packages/y.py"), id="halfway"),
        pytest.param(("rm", 'rm "$@"'), id="after all of it"),
    ],
)
def test_a_removal_that_is_killed_leaves_whole_entries_and_the_next_one_ends_it(
    device: Device, last: tuple[str, str]
) -> None:
    workspace = device.workspace
    for hours, digit in ((3, "a"), (2, "b")):
        for name in "xyz":
            workspace.push_bytes(b"x", f"runtime/{digit * 12}/packages/{name}.py")
        ago(device, f"runtime/{digit * 12}", hours)
    program, does = last
    # the sweep before it calls rm too: only the turn of the entry is deadly
    deadly = f"""#!/bin/sh
PATH=${{PATH#*:}}
case "$*" in *edgekit-gone.[0-9]* | *aaaaaaaaaaaa) ;; *) exec {program} "$@" ;; esac
{does}
kill -9 $PPID
"""
    folder = workspace.push_bytes(deadly.encode(), f"deadly/{program}", executable=True).path.rpartition("/")[0]
    whole = [f"runtime/{digit * 12}/packages/{name}.py" for digit in "ab" for name in "xyz"]

    def dying(script: str, *arguments: str, timeout_s: float) -> Completed:
        done = workspace.sh(f"PATH={folder}:$PATH; export PATH\n{script}", *arguments, timeout_s=timeout_s)
        assert done.exit_status not in (0, None)
        return done

    cache = BoardCache("board")
    cache.make_room(dying, device.root, None)
    assert cache.removed == ()
    workspace.sh('rm -r "$1/deadly"', device.root)
    kept = [name for name in there(device) if "/.edgekit-gone." not in name]
    assert kept == (whole if program == "chmod" else whole[3:])
    assert sum(each.count for each in cached(workspace)) == len(kept) / 3
    cache.make_room(workspace.sh, device.root, None)
    assert there(device) == []


@own_disk
def test_f17_two_clients_on_a_full_disk_each_find_what_they_pushed(sshd_factory) -> None:
    sshd_factory(disk_mb=8)
    found: list[bool] = []

    def use(digit: str) -> None:
        for _ in range(3):
            with connect(resolve("pi4")) as mine, lock.held(mine, purpose=digit, wait_s=SOON_S, on_event=ignore):
                mine.workspace.push_bytes(digit.encode() * 5_000_000, entry(digit))
                found.append(entry(digit) in there(mine))

    threads = [threading.Thread(target=use, args=(digit,)) for digit in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert found == [True] * 6
