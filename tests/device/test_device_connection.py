"""Connections that fail, one way each: the message says which way, in bounded time."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from processes import SOON_S, wait_until
from sshd_board import ROOT, free_port, ssh_agent

from edgekit.core.errors import (
    AuthenticationError,
    DeadlineError,
    DeviceError,
    HostKeyError,
    UnreachableError,
)
from edgekit.device import inventory, trust
from edgekit.device.connect import connect
from edgekit.device.inventory import InventoryEntry
from edgekit.device.target import resolve


def fails(kind, match, *, timeout_s=30.0, ask=None, **options):
    """The error of a connection that must fail."""
    with pytest.raises(kind, match=match) as caught, connect(resolve("pi4", **options), ask=ask, timeout_s=timeout_s):
        pass
    assert caught.value.exit_code == 5
    assert caught.value.hint
    return caught.value


def works(ask=None, **options):
    """Whether a command runs."""
    with connect(resolve("pi4", **options), ask=ask) as device:
        return device.transport.run(["echo", "hello"]).stdout == b"hello\n"


# ------------------------------------------------------------------------------------------------ reaching the server


def test_f07_a_name_that_nobody_knows(sshd_board):
    config = sshd_board.write_config("no_name", "HostName no-such-board.invalid")
    fails(UnreachableError, "cannot find 'no-such-board.invalid'", ssh_config=config)


def test_a_profile_without_an_ssh_alias_says_what_to_write(tmp_path):
    (tmp_path / "empty").write_text("")
    error = fails(UnreachableError, "cannot find 'pi4'", ssh_config=tmp_path / "empty")
    assert "Host pi4" in error.hint


def test_f07_a_port_where_nobody_listens(sshd_board):
    fails(UnreachableError, "refuses connections", port=free_port())


def test_f07_a_board_that_does_not_answer(sshd_board):
    # a listener with a full queue drops further connections, as a board that is off would
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):
            extra = stack.enter_context(socket.socket())
            extra.setblocking(False)
            extra.connect_ex(full.getsockname())
        fails(UnreachableError, "did not answer within 1 s", port=full.getsockname()[1], timeout_s=1)


def test_f08_a_server_that_accepts_and_stays_silent(sshd_board, faulty_network):
    network = faulty_network(sshd_board, "silent")
    fails(UnreachableError, "does not greet as an ssh server", port=network.port, timeout_s=1)


def test_f08_a_server_that_is_no_ssh_server(sshd_board):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with contextlib.suppress(OSError):
                client, _ = server.accept()
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)
                client.close()

        threading.Thread(target=greet, daemon=True).start()
        fails(UnreachableError, "does not greet as an ssh server", port=server.getsockname()[1], timeout_s=2)


@pytest.mark.parametrize("after", [30, 1000])
def test_f08_a_server_that_stalls_during_the_key_exchange(sshd_board, faulty_network, after):
    network = faulty_network(sshd_board, "stall", after=after)
    config = sshd_board.write_config("stalled", port=network.port)
    fails(UnreachableError, "key exchange", ssh_config=config, timeout_s=5)


def test_f10_a_connection_that_is_reset_at_once(sshd_board, faulty_network):
    network = faulty_network(sshd_board, "reset")
    config = sshd_board.write_config("reset", port=network.port)
    fails(UnreachableError, "key exchange|greet", ssh_config=config)


def test_f15_a_server_with_old_algorithms_only_is_named(sshd_factory):
    sshd_factory(extra="Ciphers aes128-cbc,3des-cbc")
    error = fails(UnreachableError, "no algorithm in common")
    assert "too old" in error.hint


# ------------------------------------------------------------------------------------------------------- host keys


def test_f01_an_unknown_host_key_is_refused_with_fingerprint_and_command(sshd_board):
    sshd_board.known_hosts.rename(sshd_board.known_hosts.with_suffix(".away"))
    try:
        error = fails(HostKeyError, "is unknown: SHA256:")
    finally:
        sshd_board.known_hosts.with_suffix(".away").rename(sshd_board.known_hosts)
    said = subprocess.run(
        ["ssh-keygen", "-lf", str(sshd_board.folder / "host_ed25519.pub")], check=True, capture_output=True, text=True
    )
    assert f"edgekit devices trust pi4 --fingerprint {said.stdout.split()[1]}" in error.hint
    assert "Accepted" not in (sshd_board.folder / "log").read_text().rpartition("Connection from")[2]


def test_f01_the_command_of_the_hint_makes_the_board_known(sshd_board, tmp_path):
    config = sshd_board.write_config("unknown", f"UserKnownHostsFile {tmp_path}/none")
    error = fails(HostKeyError, "is unknown", ssh_config=config)
    key = trust.fetch_host_key(resolve("pi4", ssh_config=config))
    assert key.fingerprint == error.details["fingerprint"]
    trust.require(key, key.fingerprint, name="pi4")
    entry = trust.pin("pi4", key)
    assert (entry.host, entry.host_key) == ("pi4", sshd_board.public_key())
    assert resolve("pi4").profile.name == "pi4"
    assert works(ssh_config=config)


def test_f01_another_fingerprint_than_the_given_one_is_not_pinned(sshd_board):
    key = trust.fetch_host_key(resolve("pi4"))
    with pytest.raises(HostKeyError, match="not SHA256:AAAA"):
        trust.require(key, "SHA256:AAAA", name="pi4")


def test_f02_a_changed_host_key_is_fatal_and_shows_both(sshd_board, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sshd_board.port} {other}\n")
    config = sshd_board.write_config("changed", f"UserKnownHostsFile {tmp_path}/known", "StrictHostKeyChecking no")
    error = fails(HostKeyError, "HAS CHANGED", ssh_config=config)
    assert error.message.count("SHA256:") == 2


def test_f02_a_pin_in_the_inventory_wins_over_known_hosts(sshd_board, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    inventory.add(InventoryEntry(name="pi4", host="pi4", host_key=other))
    fails(HostKeyError, "HAS CHANGED")


def test_the_known_one_of_several_host_keys_is_asked_for(sshd_factory):
    board = sshd_factory(host_keys=("rsa", "ecdsa", "ed25519"))
    for kind in ("rsa", "ecdsa", "ed25519"):
        board.known_hosts.write_text(f"[127.0.0.1]:{board.port} {board.public_key(kind)}\n")
        assert works()


def test_f03_a_revoked_host_key_is_refused(sshd_board, tmp_path):
    (tmp_path / "known").write_text(
        f"{sshd_board.known_hosts.read_text()}@revoked * {sshd_board.public_key()}\n@cert-authority * ssh-rsa broken\n"
    )
    config = sshd_board.write_config("revoked", f"UserKnownHostsFile {tmp_path}/known")
    fails(HostKeyError, "revoked", ssh_config=config)
    with pytest.raises(HostKeyError, match="revoked"):
        trust.fetch_host_key(resolve("pi4", ssh_config=config))


def test_f03_lines_that_paramiko_cannot_read_do_not_stop_us(sshd_board, tmp_path):
    lines = f"@cert-authority *.corp {sshd_board.public_key()}\ngarbage\n@revoked other {sshd_board.public_key()}\n"
    (tmp_path / "known").write_text(lines + sshd_board.known_hosts.read_text())
    assert works(ssh_config=sshd_board.write_config("odd", f"UserKnownHostsFile {tmp_path}/known"))


# --------------------------------------------------------------------------------------------------- authentication


def test_f05_a_wrong_key_gets_one_clear_error(sshd_board, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "wrong")], check=True)
    error = fails(AuthenticationError, "was not let in", identity_file=tmp_path / "wrong")
    assert error.details["tried"] == [str(tmp_path / "wrong")]
    assert f"`ssh-copy-id -p {sshd_board.port} {sshd_board.user}@127.0.0.1`" in error.hint


def test_f05_a_wrong_user_gets_one_clear_error(sshd_board):
    fails(AuthenticationError, "nobody-here@127.0.0.1 was not let in", user="nobody-here")


def test_no_key_at_all_is_said(sshd_board):
    config = sshd_board.write_config("no_key", "IdentityFile none")
    config.write_text(config.read_text().replace(f"  IdentityFile {sshd_board.key}\n", ""))
    fails(AuthenticationError, "no key was found", ssh_config=config)


def test_a_key_that_is_no_key_is_said(sshd_board, tmp_path):
    (tmp_path / "key").write_text("not a key")
    (tmp_path / "key").chmod(0o600)
    error = fails(AuthenticationError, "was not let in", identity_file=tmp_path / "key")
    assert "not a private key" in error.hint


def test_a_key_that_other_users_may_read_is_not_used_as_with_ssh(sshd_board, tmp_path):
    open_to_all = tmp_path / "key"
    open_to_all.write_bytes(sshd_board.key.read_bytes())
    open_to_all.chmod(0o640)
    error = fails(AuthenticationError, "no key was found", identity_file=open_to_all)
    assert f"`chmod 600 {open_to_all}`" in error.hint
    open_to_all.chmod(0o600)
    assert works(identity_file=open_to_all)


@pytest.fixture
def encrypted_key(sshd_board, tmp_path) -> Path:
    """The user's key behind the passphrase ``open sesame``."""
    path = tmp_path / "encrypted"
    shutil.copy(sshd_board.key, path)
    shutil.copy(f"{sshd_board.key}.pub", f"{path}.pub")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(path)], check=True)
    return path


def test_f06_an_encrypted_key_and_nobody_to_ask_is_a_named_error(encrypted_key):
    error = fails(AuthenticationError, "encrypted", identity_file=encrypted_key)
    assert f"ssh-add {encrypted_key}" in error.hint


def test_f06_an_encrypted_key_opens_with_its_passphrase(encrypted_key):
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "open sesame"

    assert works(ask=ask, identity_file=encrypted_key)
    assert asked == [f"passphrase of {encrypted_key}: "]


def test_f06_a_wrong_passphrase_is_said_and_not_repeated(encrypted_key):
    error = fails(AuthenticationError, "was not let in", identity_file=encrypted_key, ask=lambda _: "sesame close")
    assert "wrong passphrase" in error.hint
    assert "sesame" not in f"{error}{error.hint}{error.details}"


def test_f04_an_agent_holds_the_key(sshd_board, encrypted_key, monkeypatch, tmp_path, never_asked):
    monkeypatch.chdir(tmp_path)
    with ssh_agent():
        environment = {**os.environ, "SSH_AUTH_SOCK": str(tmp_path / "agent")}
        subprocess.run(["ssh-add", "-q", str(sshd_board.key)], check=True, env=environment)
        config = sshd_board.write_config(
            "agent", f"IdentityAgent {tmp_path}/agent", f"IdentityFile {encrypted_key}", "IdentitiesOnly yes"
        )
        config.write_text(config.read_text().replace(f"  IdentityFile {sshd_board.key}\n", ""))
        assert works(ask=never_asked, ssh_config=config)


@pytest.mark.parametrize("named", ["key.pub", "key", "encrypted"])
def test_f04_the_public_half_says_which_key_of_the_agent_is_meant(
    sshd_board, encrypted_key, monkeypatch, tmp_path, never_asked, named
):
    """As with ssh: IdentityFile is a public key, has one beside it, or is private in OpenSSH's own form."""
    monkeypatch.chdir(tmp_path)
    with ssh_agent():
        environment = {**os.environ, "SSH_AUTH_SOCK": str(tmp_path / "agent")}
        for number in range(6):  # more wrong ones than a server takes
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"wrong{number}"], check=True)
            subprocess.run(["ssh-add", "-q", f"wrong{number}"], env=environment, check=True)
        subprocess.run(["ssh-add", "-q", str(sshd_board.key)], env=environment, check=True)
        shutil.copy(sshd_board.key.with_name("user.pub"), tmp_path / "key.pub")
        Path(f"{encrypted_key}.pub").unlink()
        config = sshd_board.write_config(
            "agent", f"IdentityAgent {tmp_path}/agent", f"IdentityFile {tmp_path}/{named}", "IdentitiesOnly yes"
        )
        config.write_text(config.read_text().replace(f"  IdentityFile {sshd_board.key}\n", ""))
        assert works(ask=never_asked, ssh_config=config)
        subprocess.run(["ssh-add", "-q", "-d", str(sshd_board.key)], env=environment, check=True)
        error = fails(AuthenticationError, "encrypted" if named == "encrypted" else "was not let in", ssh_config=config)
        assert ("is a public key" in error.hint) == (named == "key.pub")


@pytest.mark.skipif(not ROOT, reason="needs root, for a user with a password")
class TestPasswords:
    """A board that takes passwords."""

    @pytest.fixture(autouse=True)
    def board(self, sshd_factory, tmp_path, monkeypatch):
        board = sshd_factory(password="raspberry")
        config = board.write_config("passwords", "PubkeyAuthentication no")
        monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(config))

    def test_the_right_password_lets_in(self):
        asked: list[str] = []

        def ask(question: str) -> str:
            asked.append(question)
            return "raspberry"

        assert works(ask=ask)
        assert asked == ["password of pi@127.0.0.1: "]

    def test_f05_a_wrong_password_gets_one_clear_error_without_the_password(self):
        asked: list[str] = []

        def ask(question: str) -> str:
            asked.append(question)
            return "strawberry"

        error = fails(AuthenticationError, "was not let in", ask=ask)
        assert len(asked) == 3
        assert "strawberry" not in f"{error}{error.hint}{error.details}"

    def test_f05_nobody_to_ask_is_said(self):
        error = fails(AuthenticationError, "was not let in")
        assert "only on a terminal" in error.hint

    def test_an_empty_answer_gives_up(self):
        fails(AuthenticationError, "was not let in", ask=lambda _: "")


# ----------------------------------------------------------------------------------------------------- in between


def test_f04_a_jump_host_is_gone_through(sshd_board, sshd_factory):
    log = sshd_board.folder / "log"
    before = log.read_text().count("Accepted publickey")
    behind = sshd_factory()
    config = behind.write_config("jumping", "ProxyJump hop")
    config.write_text(config.read_text() + sshd_board.config.read_text().replace("Host pi4", "Host hop"))
    assert works(ssh_config=config)
    assert log.read_text().count("Accepted publickey") == before + 1


def test_f01_an_unknown_key_of_a_jump_host_is_refused_by_its_name(sshd_board, sshd_factory, tmp_path):
    behind = sshd_factory()
    config = behind.write_config("jumping", f"ProxyJump pi@127.0.0.1:{sshd_board.port}")
    config.write_text(config.read_text() + f"Host *\n  UserKnownHostsFile {tmp_path}/none\n  IdentityAgent none\n")
    error = fails(HostKeyError, rf"jump host pi@\[127.0.0.1\]:{sshd_board.port}: the host key of", ssh_config=config)
    assert f"ssh -p {sshd_board.port} pi@127.0.0.1" in error.hint
    assert error.details["changed"] is False


def test_f16_a_board_that_the_jump_host_cannot_reach_says_which_hop(sshd_board):
    config = sshd_board.write_config("jumping", "ProxyJump hop", f"Port {free_port()}")
    config.write_text(config.read_text() + sshd_board.config.read_text().replace("Host pi4", "Host hop"))
    fails(UnreachableError, "the jump host hop cannot reach", ssh_config=config)


def test_f16_a_jump_host_that_is_down_is_named(sshd_board):
    config = sshd_board.write_config("jumping", f"ProxyJump hop@127.0.0.1:{free_port()}")
    fails(UnreachableError, r"jump host hop@\[127.0.0.1\]:.* refuses connections", ssh_config=config)


def test_f04_a_proxy_command_carries_the_connection(sshd_board, tmp_path):
    relay = tmp_path / "relay.py"
    relay.write_text(
        "import os, select, socket, sys\n"
        "peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "while True:\n"
        "    for ready in select.select([0, peer], [], [])[0]:\n"
        "        block = os.read(0, 65536) if ready == 0 else peer.recv(65536)\n"
        "        if not block: sys.exit()\n"
        "        peer.sendall(block) if ready == 0 else os.write(1, block)\n"
    )
    config = sshd_board.write_config("proxied", f"ProxyCommand python3 {relay} %h %p")
    assert works(ssh_config=config)


def test_a_proxy_command_that_fails_is_named(sshd_board):
    config = sshd_board.write_config("proxied", "ProxyCommand sh -c 'echo no way through >&2'")
    fails(UnreachableError, "the ProxyCommand failed: no way through", ssh_config=config)
    config = sshd_board.write_config("proxied", "ProxyCommand false")
    fails(UnreachableError, "the ProxyCommand failed: it ended with status 1", ssh_config=config)
    config = sshd_board.write_config("proxied", "ProxyCommand true")
    fails(UnreachableError, "does not greet", ssh_config=config)


# ------------------------------------------------------------------------------------------------ once connected


def test_f11_a_board_that_allows_one_session_still_works(sshd_factory, tmp_path):
    sshd_factory(max_sessions=1)
    with connect(resolve("pi4")) as device:
        for _ in range(3):
            assert device.transport.run(["echo", "hello"]).stdout == b"hello\n"
        pushed = device.workspace.push_bytes(b"content", "file")
        assert pushed.uploaded_bytes == 7


def test_f11_a_board_that_allows_no_session_is_named(sshd_factory):
    sshd_factory(max_sessions=0)
    with connect(resolve("pi4")) as device, pytest.raises(DeviceError, match="allows no further session") as caught:
        device.transport.run(["true"])
    assert "MaxSessions" in caught.value.hint


def test_f12_a_board_without_sftp_takes_files(sshd_factory):
    sshd_factory(sftp=False)
    with connect(resolve("pi4")) as device:
        assert device.workspace.push_bytes(b"content", "file").uploaded_bytes == 7


@pytest.mark.skipif(not ROOT, reason="needs root, for a user of its own")
def test_f13_what_the_login_shell_prints_is_not_the_commands_output(sshd_factory):
    board = sshd_factory(bashrc="echo welcome to {json} 1234\necho warning: no locale >&2\nprintf 'no end of line'\n")
    with connect(resolve("pi4")) as device:
        done = device.transport.run(["sh", "-c", "echo out; echo err >&2"])
        assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
        pushed = device.workspace.push_bytes(b"content", "file")
        assert board.path(pushed.path).read_bytes() == b"content"
        assert device.facts().home == "/home/pi"


def test_an_account_that_runs_no_commands_is_named(sshd_factory):
    sshd_factory(extra="ForceCommand echo This account is currently not available.")
    with connect(resolve("pi4")) as device, pytest.raises(DeviceError, match="currently not available"):
        device.transport.run(["true"])


def test_f10_a_session_that_dies_during_a_command_is_said(sshd_board):
    with connect(resolve("pi4")) as device:
        nap = f"{random.randrange(100_000, 999_999)}"

        def die() -> None:
            wait_until(lambda: nap in sshd_board.commands())
            sshd_board.kill_sessions()

        dying = threading.Thread(target=die)
        dying.start()
        with pytest.raises(UnreachableError, match=f"connection was lost while running `sleep {nap}`"):
            device.transport.run(["sleep", nap], timeout_s=600)
        dying.join()
        with pytest.raises(UnreachableError):
            device.transport.run(["true"])


def test_f09_a_board_that_freezes_runs_into_the_deadline(sshd_board):
    with connect(resolve("pi4")) as device:
        device.transport.run(["true"])
        with sshd_board.frozen(), pytest.raises(DeadlineError, match="did not end within 1 s"):
            device.transport.run(["true"], timeout_s=1)


def test_f09_a_board_that_freezes_for_a_moment_goes_on(sshd_board):
    with connect(resolve("pi4")) as device:
        device.transport.run(["true"])
        with sshd_board.frozen():
            result: list[bytes] = []
            waiting = threading.Thread(target=lambda: result.append(device.transport.run(["echo", "hello"]).stdout))
            waiting.start()
            waiting.join(0.5)
            assert not result
        waiting.join(SOON_S)
        assert result == [b"hello\n"]
