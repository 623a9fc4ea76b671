"""Strict host keys: what known_hosts may contain, and what each case means."""

from __future__ import annotations

import base64
import hmac

import pytest

from edgekit.core.errors import HostKeyError
from edgekit.device.transport import host_keys
from edgekit.device.transport.host_keys import HostKey, KnownKeys
from edgekit.device.transport.openssh_config import SshSettings

SUPPORTED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")


def key(seed: int, kind: str = "ssh-ed25519") -> HostKey:
    blob = len(kind).to_bytes(4, "big") + kind.encode() + bytes([0, 0, 0, 4, seed, seed, seed, seed])
    return HostKey(type=kind, blob=blob)


ONE, TWO = key(1), key(2)


@pytest.fixture
def settings(tmp_path):
    def with_lines(*lines: str, hostname: str = "board", port: int = 22, alias: str | None = None) -> SshSettings:
        path = tmp_path / "known_hosts"
        path.write_text("\n".join(lines) + "\n")
        return SshSettings(
            alias="pi4", hostname=hostname, port=port, user="pi", known_hosts=(path,), host_key_alias=alias
        )

    return with_lines


def trusted(ssh: SshSettings) -> list[HostKey]:
    return [found for found, _ in host_keys.known_keys(ssh, pinned=None).trusted]


def hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, name.encode(), "sha1").digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("pattern", "hostname", "port", "found"),
    [
        ("board", "board", 22, True),
        ("BOARD", "board", 22, True),
        ("board", "board", 2222, False),
        ("[board]:2222", "board", 2222, True),
        ("[board]:2222", "b", 2222, False),
        ("other,board,third", "board", 22, True),
        ("*.lab", "pi.lab", 22, True),
        ("*.lab,!pi.lab", "pi.lab", 22, False),
        ("p?.lab", "pi.lab", 22, True),
        (hashed("board"), "board", 22, True),
        (hashed("[board]:2222"), "board", 2222, True),
        (hashed("else"), "board", 22, False),
        ("|1|garbage", "board", 22, False),
    ],
)
def test_a_line_is_about_the_hosts_that_it_names(settings, pattern, hostname, port, found):
    assert (trusted(settings(f"{pattern} {ONE.text} comment", hostname=hostname, port=port)) == [ONE]) is found


def test_tabs_part_words_too(settings):
    kind, blob = ONE.text.split()
    assert trusted(settings(f"board\t{kind}\t{blob}")) == [ONE]
    assert host_keys.known_keys(settings(f"@revoked\tboard\t{kind}\t{blob}"), pinned=None).revoked == (ONE,)


def test_f03_markers_and_garbage_do_not_hide_the_other_lines(settings):
    ssh = settings(
        "# a comment",
        f"@cert-authority *.corp {TWO.text}",
        f"@revoked elsewhere {TWO.text}",
        f"@strange board {TWO.text}",
        "board ssh-ed25519 not-base64!!",
        "board ssh-ed25519 AAAA",
        "board",
        "\x00\xff binary",
        f"board {ONE.text}",
    )
    known = host_keys.known_keys(ssh, pinned=None)
    assert [found for found, _ in known.trusted] == [ONE]
    assert known.revoked == ()
    assert known.authority is None


def test_f03_a_revoked_key_is_refused_even_when_it_is_also_known(settings):
    ssh = settings(f"board {ONE.text}", f"@revoked * {ONE.text}")
    with pytest.raises(HostKeyError, match="revoked"):
        host_keys.verify(ONE, host_keys.known_keys(ssh, pinned=None), ssh, name="pi4")


def test_f03_a_revoked_key_is_refused_even_when_it_is_pinned(settings):
    ssh = settings(f"@revoked board {ONE.text}")
    with pytest.raises(HostKeyError, match="revoked"):
        host_keys.verify(ONE, host_keys.known_keys(ssh, pinned=ONE.text), ssh, name="pi4")


def test_keys_of_a_revocation_file_are_refused(settings, tmp_path):
    import dataclasses

    ssh = settings(f"board {ONE.text}")
    (tmp_path / "revoked").write_text(f"{ONE.text}\n")
    ssh = dataclasses.replace(ssh, revoked_host_keys=tmp_path / "revoked")
    with pytest.raises(HostKeyError, match="revoked"):
        host_keys.verify(ONE, host_keys.known_keys(ssh, pinned=None), ssh, name="pi4")
    (tmp_path / "revoked").write_bytes(b"SSHKRL\n\0\0\0")
    with pytest.raises(HostKeyError, match="binary revocation list"):
        host_keys.known_keys(ssh, pinned=None)


def test_a_known_key_passes(settings):
    ssh = settings(f"board {ONE.text}")
    host_keys.verify(ONE, host_keys.known_keys(ssh, pinned=None), ssh, name="pi4")


def test_an_unknown_key_shows_its_fingerprint_and_the_command(settings):
    ssh = settings(port=2222)
    with pytest.raises(HostKeyError, match="is unknown") as caught:
        host_keys.verify(ONE, host_keys.known_keys(ssh, pinned=None), ssh, name="pi4")
    assert ONE.fingerprint in caught.value.message
    assert f"edgekit devices trust pi4 --fingerprint {ONE.fingerprint}" in caught.value.hint


def test_f02_a_changed_key_shows_both_fingerprints(settings):
    ssh = settings(f"board {ONE.text}")
    with pytest.raises(HostKeyError, match="HAS CHANGED") as caught:
        host_keys.verify(TWO, host_keys.known_keys(ssh, pinned=None), ssh, name="pi4")
    assert ONE.fingerprint in caught.value.message
    assert TWO.fingerprint in caught.value.message


def test_f02_a_key_of_another_type_counts_as_changed(settings):
    ssh = settings(f"board {ONE.text}")
    with pytest.raises(HostKeyError, match="HAS CHANGED"):
        host_keys.verify(key(9, "ssh-rsa"), host_keys.known_keys(ssh, pinned=None), ssh, name="pi4")


def test_a_pinned_key_stands_alone(settings):
    ssh = settings(f"board {ONE.text}")
    known = host_keys.known_keys(ssh, pinned=TWO.text)
    host_keys.verify(TWO, known, ssh, name="pi4")
    with pytest.raises(HostKeyError, match="HAS CHANGED"):
        host_keys.verify(ONE, known, ssh, name="pi4")


def test_a_pin_that_is_no_key_is_named(settings):
    with pytest.raises(HostKeyError, match="is not a key"):
        host_keys.known_keys(settings(), pinned="ssh-ed25519 nonsense")


def test_f03_a_certificate_authority_is_said_not_to_be_used(settings):
    ssh = settings(f"@cert-authority board {TWO.text}")
    with pytest.raises(HostKeyError, match="certificate authority"):
        host_keys.verify(ONE, host_keys.known_keys(ssh, pinned=None), ssh, name="pi4")


def test_host_key_alias_replaces_name_and_port(settings):
    assert trusted(settings(f"farm {ONE.text}", hostname="192.0.2.1", port=2222, alias="farm")) == [ONE]


def test_the_types_of_known_keys_are_asked_for_first():
    rsa = KnownKeys(trusted=((key(1, "ssh-rsa"), "here"),))
    assert host_keys.algorithms(rsa, SUPPORTED)[:2] == ("rsa-sha2-512", "rsa-sha2-256")
    assert host_keys.algorithms(KnownKeys(), SUPPORTED)[0] == "ssh-ed25519"
    assert set(host_keys.algorithms(rsa, SUPPORTED)) == set(SUPPORTED)


def test_the_fingerprint_is_the_one_of_ssh_keygen(tmp_path):
    import subprocess

    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    said = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "k.pub")], check=True, capture_output=True, text=True)
    assert HostKey.parse((tmp_path / "k.pub").read_text()).fingerprint == said.stdout.split()[1]
