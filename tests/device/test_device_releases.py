"""Releases on a board: published aside, activated at once, rolled back, a few kept."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from sshd_board import ROOT

from edgekit.core.artifact import Artifact
from edgekit.core.errors import DeviceError, TransferError
from edgekit.device import released, releases
from edgekit.device.connect import connect
from edgekit.device.target import resolve
from edgekit.device.transport.local import LocalTransport
from edgekit.device.workspace import Workspace


@pytest.fixture
def artifact(tmp_path):
    def make(content: bytes | None = None, name: str = "digits") -> Artifact:
        path = tmp_path / f"{name}.tflite"
        # without X, which is what damages a model here
        path.write_bytes(os.urandom(1000).replace(b"X", b"Y") if content is None else content)
        return Artifact(path=path, manifest=None)

    return make


def deploy(device, artifact, keep=5):
    return deploy_in(device.workspace, artifact, keep)


def deploy_in(workspace, artifact, keep=5):
    release = releases.activate(workspace, releases.publish(workspace, artifact))
    releases.prune(workspace, release.name, keep=keep)
    return release


def link(device, release, name) -> str:
    return device.transport.run(["readlink", f"{release.path}/../{name}"]).text.strip()


def test_a_published_release_is_not_active(device, artifact):
    release = releases.publish(device.workspace, artifact(b"one"))
    assert release.path.endswith(f"releases/digits/{release.id}")
    assert release.sha256.startswith(release.id)
    assert device.transport.run(["cat", release.model_path]).stdout == b"one"
    assert releases.state(device.workspace, "digits") == (None, None)
    assert released.names(device.workspace) == ()


def test_an_activated_release_is_current_and_the_old_one_previous(device, artifact):
    first = deploy(device, artifact())
    assert first.previous is None
    second = deploy(device, artifact())
    assert second.previous == first.id
    assert releases.state(device.workspace, "digits") == (second.id, first.id)
    assert (link(device, second, "current"), link(device, second, "previous")) == (second.id, first.id)
    assert released.names(device.workspace) == ("digits",)


def test_activating_twice_keeps_the_previous_release(device, artifact):
    first = deploy(device, artifact())
    second = deploy(device, artifact(b"two"))
    again = deploy(device, artifact(b"two"))
    assert (again.id, again.previous, again.uploaded_bytes) == (second.id, first.id, 0)


def test_rolling_back_twice_comes_back(device, artifact):
    first, second = deploy(device, artifact()), deploy(device, artifact())
    back = releases.rollback(device.workspace, "digits")
    assert (back.id, back.previous) == (first.id, second.id)
    assert releases.rollback(device.workspace, "digits").id == second.id


def test_f31_rolling_back_without_a_previous_release_changes_nothing(device, artifact):
    with pytest.raises(DeviceError, match="no release of digits is active"):
        releases.rollback(device.workspace, "digits")
    first = deploy(device, artifact())
    with pytest.raises(DeviceError, match="digits has no previous release"):
        releases.rollback(device.workspace, "digits")
    assert releases.state(device.workspace, "digits") == (first.id, None)


def test_rolling_back_a_wrong_name_lists_what_is_there(device, artifact):
    deploy(device, artifact())
    with pytest.raises(DeviceError, match="no release of digit is active") as caught:
        releases.rollback(device.workspace, "digit")
    assert "digits" in caught.value.hint


def test_what_is_kept_can_be_named_where_there_is_no_previous_release(device, artifact):
    first, second = deploy(device, artifact()), deploy(device, artifact())
    device.transport.run(["rm", f"{second.path}/../previous"])
    with pytest.raises(DeviceError, match="digits has no previous release") as caught:
        releases.rollback(device.workspace, "digits")
    assert f"--to {first.id}" in caught.value.hint


def test_f33_five_releases_are_kept_and_the_previous_and_foreign_ones_always(device, artifact):
    made = [deploy(device, artifact()) for _ in range(3)]
    releases.rollback(device.workspace, "digits")  # current: the second, previous: the third
    folder = made[0].path.rpartition("/")[0]
    device.transport.run(["sh", "-c", 'cd "$1" && mkdir notes abcdefabcdef.bak && echo x > note', "sh", folder])
    device.transport.run(["touch", "-t", "200001010000", made[0].path])
    for _ in range(5):
        published = releases.publish(device.workspace, artifact())
    last = releases.activate(device.workspace, published)
    releases.prune(device.workspace, "digits", keep=5)
    listed = set(device.transport.run(["ls", folder]).text.split())
    assert {"notes", "note", "abcdefabcdef.bak", "current", "previous", last.id, made[1].id} <= listed
    assert len([name for name in listed if len(name) == 12]) <= 6
    assert made[0].id not in listed


def test_a_release_that_is_not_there_cannot_be_activated(device, artifact):
    release = releases.publish(device.workspace, artifact())
    device.transport.run(["rm", "-r", release.path])
    with pytest.raises(DeviceError, match="not there or damaged"):
        releases.activate(device.workspace, release)
    assert releases.state(device.workspace, "digits") == (None, None)


@pytest.mark.parametrize("target", ["/etc", "../elsewhere", "no release"])
def test_f22_a_link_of_somebody_else_counts_as_no_release_and_is_replaced(device, artifact, target):
    first = deploy(device, artifact())
    device.transport.run(["sh", "-c", 'cd "$1/.." && rm current && ln -s "$2" current', "sh", first.path, target])
    assert releases.state(device.workspace, "digits") == (None, None)
    second = deploy(device, artifact())
    assert releases.state(device.workspace, "digits") == (second.id, None)


def test_f22_a_folder_in_the_place_of_the_link_is_left_alone(device, artifact):
    release = releases.publish(device.workspace, artifact())
    device.transport.run(["mkdir", f"{release.path}/../current"])
    with pytest.raises(DeviceError, match="current is not a link") as caught:
        releases.activate(device.workspace, release)
    assert "move what is in the way" in caught.value.hint
    assert device.transport.run(["ls", "-A", f"{release.path}/../current"]).text == ""


def test_a_manifest_lies_beside_its_model(device, artifact, tmp_path):
    import dataclasses

    from edgekit.core.artifact import Audit, Manifest, open_artifact, write_manifest
    from edgekit.core.hashing import sha256_file

    bare = artifact(b"content")
    manifest = Manifest(
        name="digits",
        sha256=sha256_file(bare.path),
        size_bytes=7,
        gzip_bytes=7,
        kind="int8",
        source="m.keras",
        source_sha256="0",
        recipe={},
        data={},
        preprocessing={},
        steps=(),
        score=None,
        audit=Audit(full_integer=True, float_ops=(), flex_ops=(), min_runtime=None),
        inputs=(),
        outputs=(),
        golden=(),
        float_reference=None,
        warnings=(),
        versions={},
        created="",
    )
    write_manifest(bare.path, manifest)
    release = deploy(device, open_artifact(bare.path))
    assert b'"kind": "int8"' in device.transport.run(["cat", f"{release.path}/manifest.json"]).stdout
    write_manifest(bare.path, dataclasses.replace(manifest, kind="int16x8"))
    again = deploy(device, open_artifact(bare.path))
    assert (again.id, again.uploaded_bytes > 0) == (release.id, True)


@pytest.mark.parametrize("name", ["a b", "$(touch canary)", "-x", "it's", "*", "漢字", "x" * 240])
def test_f23_odd_model_names_are_taken_literally(device, artifact, name):
    first, second = deploy(device, artifact(name=name)), deploy(device, artifact(name=name))
    assert releases.state(device.workspace, name) == (second.id, first.id)
    assert releases.rollback(device.workspace, name).id == first.id
    assert released.names(device.workspace) == (name,)


def test_f23_a_model_name_with_a_slash_is_refused(device):
    with pytest.raises(TransferError):
        releases.state(device.workspace, "a/b")
    with pytest.raises(TransferError):
        releases.rollback(device.workspace, "../x")


# ------------------------------------------------------------------------------------------------- damage and links


def folder_of(release) -> str:
    return release.path.rpartition("/")[0]


def sh(device, script: str, *arguments: str) -> str:
    done = device.transport.run(["sh", "-c", script, "sh", *arguments])
    assert done.exit_status == 0, done.stderr
    return done.text


def test_f19_a_release_that_was_damaged_on_the_disk_is_never_activated(device, artifact):
    first = deploy(device, artifact())
    second = releases.publish(device.workspace, artifact())
    sh(device, 'printf X | dd of="$1" bs=1 seek=500 conv=notrunc 2>/dev/null', second.model_path)
    with pytest.raises(DeviceError, match="damaged"):
        releases.activate(device.workspace, second)
    assert releases.state(device.workspace, "digits") == (first.id, None)


def test_f19_a_damaged_previous_release_is_not_rolled_back_to(device, artifact):
    first, second = deploy(device, artifact()), deploy(device, artifact())
    sh(device, 'printf X | dd of="$1" bs=1 seek=500 conv=notrunc 2>/dev/null', first.model_path)
    with pytest.raises(DeviceError, match="damaged") as caught:
        releases.rollback(device.workspace, "digits")
    assert "deploy that version again" in caught.value.hint
    assert releases.state(device.workspace, "digits") == (second.id, first.id)


def test_f29_a_release_that_is_there_and_damaged_is_sent_again(device, artifact):
    first = deploy(device, artifact(b"one" * 100))
    sh(device, 'printf X | dd of="$1" bs=1 seek=5 conv=notrunc 2>/dev/null', first.model_path)
    again = deploy(device, artifact(b"one" * 100))
    assert (again.id, again.uploaded_bytes) == (first.id, 300)
    assert device.transport.run(["cat", again.stable_path]).stdout == b"one" * 100


def test_f22_a_release_that_is_a_link_is_replaced_and_not_followed(device, artifact):
    first = deploy(device, artifact())
    model = artifact(b"two")
    identity = releases.publish(device.workspace, model).id
    sh(device, 'cd "$1" && rm -r "$2" && mkdir elsewhere && ln -s elsewhere "$2"', folder_of(first), identity)
    second = deploy(device, model)
    assert sh(device, 'ls -A "$1/elsewhere"; [ ! -L "$1/$2" ] && echo real', folder_of(first), second.id) == "real\n"


def test_f22_a_model_whose_folder_is_a_link_is_refused(device, artifact):
    device.workspace.push_bytes(b"x", "releases/other")
    sh(device, 'cd "$1/releases" && mkdir elsewhere && ln -s elsewhere digits', device.root)
    with pytest.raises(DeviceError, match="its folder is a link"):
        releases.publish(device.workspace, artifact())
    assert sh(device, 'ls -A "$1/releases/elsewhere"', device.root) == ""


# --------------------------------------------------------------------------------------- what interrupted runs leave


def test_f20_what_an_interrupted_run_left_is_gone_after_the_next(device, artifact):
    first = deploy(device, artifact())
    script = (
        'cd "$1" && mkdir 0123456789ab .edgekit-links && echo "{}" > 0123456789ab/manifest.json && '
        'ln -s 0123456789ab .edgekit-links/current && : > 0123456789ab/.edgekit-0123.part && : > "$2/.edgekit-1.part"'
    )
    sh(device, script, folder_of(first), device.root)
    deploy(device, artifact())
    assert sh(device, 'find "$1" -name ".edgekit-*" ! -path "$1"; ls "$1"', folder_of(first)).count("0123456789ab") == 0
    assert sh(device, 'find "$1" -name "*.part"', device.root) == ""


@pytest.mark.parametrize("switched", [False, True])
def test_f21_a_power_cut_between_the_two_links_is_finished_by_the_next_run(device, artifact, switched):
    """A switch from b to c was prepared, and maybe made, when the power went."""
    a, b = deploy(device, artifact()), deploy(device, artifact())
    c = releases.publish(device.workspace, artifact())
    script = 'cd "$1" && ln -s "$2" .edgekit-previous && : > "$3/activated"'
    sh(device, script + (' && rm current && ln -s "$3" current' if switched else ""), folder_of(a), b.id, c.id)
    expected = (c.id, b.id) if switched else (b.id, a.id)
    assert releases.tidy(device.workspace, "digits") == expected
    assert sh(device, 'ls -A "$1"', folder_of(a)).count(".edgekit") == 0
    back = releases.rollback(device.workspace, "digits")
    assert (back.id, back.previous) == expected[::-1]


def test_f30_going_back_restores_both_links_and_marks_the_failed_release(device, artifact):
    a, b = deploy(device, artifact()), deploy(device, artifact())
    before = releases.state(device.workspace, "digits")
    c = deploy(device, artifact())
    releases.put_back(device.workspace, "digits", before, failed=c.id, report={"reason": "it's $(bad)"})
    assert releases.state(device.workspace, "digits") == (b.id, a.id)
    assert device.transport.run(["cat", f"{c.path}/failed"]).text == '{"reason": "it\'s $(bad)"}\n'
    (listed,) = released.deployed(device.workspace)
    assert {release.id: release.state for release in listed.releases} == {
        a.id: "previous",
        b.id: "current",
        c.id: "failed",
    }
    with pytest.raises(DeviceError, match="it failed, or was never active"):
        releases.rollback(device.workspace, "digits", to=c.id)


def test_f33_failed_releases_do_not_pile_up(device, artifact):
    good = deploy(device, artifact())
    for _ in range(4):
        bad = releases.publish(device.workspace, artifact())
        releases.put_back(device.workspace, "digits", (good.id, None), failed=bad.id, report={}, keep=2)
    (listed,) = released.deployed(device.workspace)
    assert len(listed.releases) <= 3
    assert listed.current == good.id


def test_f33_what_a_deploy_may_have_to_go_back_to_is_not_removed_before_it_has_proved_itself(device, artifact):
    a, b = deploy(device, artifact(), 2), deploy(device, artifact(), 2)
    before = releases.state(device.workspace, "digits")
    c = releases.activate(device.workspace, releases.publish(device.workspace, artifact()))
    releases.put_back(device.workspace, "digits", before, failed=c.id, report={}, keep=2)
    assert releases.state(device.workspace, "digits") == (b.id, a.id)


@pytest.mark.skipif(not ROOT, reason="needs root, for a disk of its own")
@pytest.mark.parametrize("room_bytes", [0, 8192, 300_000])
@pytest.mark.parametrize("first", [True, False])
def test_f17_a_deploy_onto_a_full_disk_leaves_nothing_and_the_old_model(sshd_factory, artifact, room_bytes, first):
    board = sshd_factory(disk_mb=2)
    home = board.path(board.home)
    with connect(resolve("pi4")) as device:
        old = None if first else deploy(device, artifact())
        disk = os.statvfs(home)
        (home / "filler").write_bytes(b"x" * (disk.f_bavail * disk.f_frsize - room_bytes))
        before = sorted(home.rglob("*"))
        with pytest.raises(TransferError, match=r"no space|No space"):
            deploy(device, artifact(os.urandom(500_000)))
        new = [path for path in home.rglob("*") if path not in before]
        assert [path for path in new if path != home / ".edgekit"] == []
        assert releases.state(device.workspace, "digits") == (None if first else old.id, None)
        (home / "filler").unlink()
        assert deploy(device, artifact(os.urandom(500_000))).previous == (None if first else old.id)


@pytest.mark.skipif(not ROOT, reason="needs root, for a disk of its own")
def test_f17_a_disk_without_inodes_leaves_the_old_model_and_nothing_half(sshd_factory, artifact):
    board = sshd_factory(disk_mb=2)
    folder = board.path(f"{board.home}/.edgekit/releases/digits")

    def inodes(most: int) -> None:
        mount = ["mount", "-o", f"remount,nr_inodes={most}", "/home"]
        subprocess.run(["nsenter", "-t", str(board.process.pid), "-m", *mount], check=True)

    with connect(resolve("pi4")) as device:
        old = deploy(device, artifact())
        new = releases.publish(device.workspace, artifact())
        used = os.statvfs(board.path(board.home))
        # `activated`, the waiting link, the folder for links and the link in it: each is the one that has no room
        for room in range(4):
            inodes(used.f_files - used.f_ffree + room)
            with pytest.raises(DeviceError, match=r"No space left.*nothing was changed") as caught:
                releases.activate(device.workspace, new)
            assert "some space" in caught.value.hint
            assert sorted(path.name for path in folder.iterdir()) == sorted([old.id, new.id, "current"])
            assert sorted(path.name for path in (folder / new.id).iterdir()) == ["manifest.json", "model.tflite"]
            assert releases.state(device.workspace, "digits") == (old.id, None)
        inodes(10_000)
        assert releases.activate(device.workspace, new).previous == old.id


def test_f33_a_release_with_somebody_elses_file_in_it_stays(device, artifact):
    first = deploy(device, artifact())
    sh(device, 'echo mine > "$1/notes.txt" && touch -t 200001010000 "$1"', first.path)
    for _ in range(4):
        last = deploy(device, artifact(), 2)
    assert sh(device, 'ls "$1"', first.path).split() == ["activated", "manifest.json", "model.tflite", "notes.txt"]
    assert last.previous != first.id


# -------------------------------------------------------------------------------------------------------- listing


def test_releases_are_listed_with_size_date_and_state(device, artifact):
    a = deploy(device, artifact(b"a" * 10))
    b = deploy(device, artifact(b"b" * 20))
    c = releases.publish(device.workspace, artifact(b"c" * 30))
    (model,) = released.deployed(device.workspace)
    assert (model.name, model.current, model.previous) == ("digits", b.id, a.id)
    assert model.stable_path == b.stable_path
    found = {release.id: (release.state, release.size_bytes) for release in model.releases}
    assert found == {a.id: ("previous", 10), b.id: ("current", 20), c.id: ("published", 30)}
    assert all(release.since_s is not None and release.since_s > 1_700_000_000 for release in model.releases)


def test_a_board_without_releases_lists_none(device):
    assert released.deployed(device.workspace) == ()
    assert released.runtimes(device.workspace) == ()


def test_what_is_no_listing_is_left_out():
    text = "noise\nmodel - - a\nrelease xyz 1 2 activated -\nmodel ../.. - b\nrelease 0123456789ab 5 - - failed\n"
    a, b = released.parse_deployed(text, "/w/releases")
    assert (a.name, a.current, a.releases) == ("a", None, ())
    assert (b.current, b.releases[0].state, b.releases[0].since_s) == (None, "failed", None)


# ------------------------------------------------------------------------------------------- shells and tools of boards


@pytest.mark.parametrize(
    ("shell", "tools"), [("mksh", "toybox"), ("dash", ""), ("bash", ""), ("busybox sh", "busybox"), ("mksh", "")]
)
def test_the_scripts_run_in_the_shells_and_with_the_tools_of_boards(shell, tools, tmp_path, artifact):
    programs = [shell.split()[0], *([tools] if tools else [])]
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"no {missing[0]} here: apt-get install {missing[0]}")
    path = os.environ["PATH"]
    if tools:
        path = str(tmp_path / "tools")
        (tmp_path / "tools").mkdir()
        for tool in _APPLETS:
            (tmp_path / "tools" / tool).symlink_to(shutil.which(tools))

    class Other:
        """This machine with another shell and other tools."""

        def __init__(self) -> None:
            self.local = LocalTransport()

        def run(self, argv, **options):
            words = [shutil.which(shell.split()[0]), *shell.split()[1:]] if argv[0] == "sh" else [argv[0]]
            return self.local.run(["/usr/bin/env", f"PATH={path}", *words, *argv[1:]], **options)

        def push(self, *arguments):
            return self.local.push(*arguments)

    workspace = Workspace(Other(), str(tmp_path / "w"), name="board")
    a = deploy_in(workspace, artifact(b"a"), 2)
    b = deploy_in(workspace, artifact(b"b"), 2)
    assert releases.rollback(workspace, "digits").id == a.id
    assert releases.rollback(workspace, "digits").id == b.id
    c = releases.activate(workspace, releases.publish(workspace, artifact(b"c")))
    releases.put_back(workspace, "digits", (b.id, a.id), failed=c.id, report={"stage": "smoke"})
    (model,) = released.deployed(workspace)
    states = {release.id: release.state for release in model.releases}
    assert states == {b.id: "current", a.id: "previous", c.id: "failed"}
    assert all(release.since_s for release in model.releases)
    assert [path.name for path in (tmp_path / "w").rglob(".edgekit-*")] == []


_APPLETS = (
    *("mv", "ln", "rm", "mkdir", "rmdir", "readlink", "touch", "ls", "find", "cat", "wc", "date", "sync", "df"),
    *("chmod", "printf", "sha256sum", "sh", "stat"),
)
