"""Releases on a board: published aside, activated at once, rolled back, a few kept."""

from __future__ import annotations

import os

import pytest

from edgekit.core.artifact import Artifact
from edgekit.core.errors import DeviceError, TransferError
from edgekit.device import releases


@pytest.fixture
def artifact(tmp_path):
    def make(content: bytes | None = None, name: str = "digits") -> Artifact:
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(os.urandom(1000) if content is None else content)
        return Artifact(path=path, manifest=None)

    return make


def deploy(device, artifact):
    return releases.activate(device.workspace, releases.publish(device.workspace, artifact))


def link(device, release, name) -> str:
    return device.transport.run(["readlink", f"{release.path}/../{name}"]).text.strip()


def test_a_published_release_is_not_active(device, artifact):
    release = releases.publish(device.workspace, artifact(b"one"))
    assert release.path.endswith(f"releases/digits/{release.id}")
    assert release.sha256.startswith(release.id)
    assert device.transport.run(["cat", release.model_path]).stdout == b"one"
    assert releases.state(device.workspace, "digits") == (None, None)
    assert releases.names(device.workspace) == ()


def test_an_activated_release_is_current_and_the_old_one_previous(device, artifact):
    first = deploy(device, artifact())
    assert first.previous is None
    second = deploy(device, artifact())
    assert second.previous == first.id
    assert releases.state(device.workspace, "digits") == (second.id, first.id)
    assert (link(device, second, "current"), link(device, second, "previous")) == (second.id, first.id)
    assert releases.names(device.workspace) == ("digits",)


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


def test_rolling_back_without_a_previous_release_changes_nothing(device, artifact):
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


def test_five_releases_are_kept_and_never_the_previous_or_foreign_ones(device, artifact):
    made = [deploy(device, artifact()) for _ in range(3)]
    releases.rollback(device.workspace, "digits")  # current: the second, previous: the third
    folder = made[0].path.rpartition("/")[0]
    device.transport.run(["sh", "-c", 'cd "$1" && mkdir notes abcdefabcdef.bak && echo x > note', "sh", folder])
    device.transport.run(["touch", "-t", "200001010000", made[0].path])
    for _ in range(5):
        published = releases.publish(device.workspace, artifact())
    last = releases.activate(device.workspace, published)
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


def test_a_folder_in_the_place_of_the_link_is_left_alone(device, artifact):
    release = releases.publish(device.workspace, artifact())
    device.transport.run(["mkdir", f"{release.path}/../current"])
    with pytest.raises(DeviceError, match="current is not a link"):
        releases.activate(device.workspace, release)
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


@pytest.mark.parametrize("name", ["a b", "$(touch canary)", "-x", "it's"])
def test_odd_model_names_are_taken_literally(device, artifact, name):
    first, second = deploy(device, artifact(name=name)), deploy(device, artifact(name=name))
    assert releases.state(device.workspace, name) == (second.id, first.id)
    assert releases.rollback(device.workspace, name).id == first.id
    assert releases.names(device.workspace) == (name,)


def test_a_model_name_with_a_slash_is_refused(device):
    with pytest.raises(TransferError):
        releases.state(device.workspace, "a/b")
    with pytest.raises(TransferError):
        releases.rollback(device.workspace, "../x")
