"""Faults of the way to a board that need more than one server, client or setting: each against real OpenSSH."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sshd_board import ROOT, Sshd, free_port, ssh_agent

from edgekit.core.errors import AuthenticationError, BusyError, TransferError, UnreachableError
from edgekit.device import inventory
from edgekit.device.connect import connect
from edgekit.device.inventory import InventoryEntry
from edgekit.device.lock import held
from edgekit.device.target import resolve
from edgekit.device.transport import session
from edgekit.device.transport.session import Deadlines, open_session


def says_hello(config: Path) -> bool:
    with connect(resolve("pi4", ssh_config=config), timeout_s=30) as device:
        return device.transport.run(["echo", "hello"]).stdout == b"hello\n"


def key_pair(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


# ---------------------------------------------------------------------------------------------------- configuration


@pytest.fixture
def agent(sshd_board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The path of an ssh-agent's socket."""
    monkeypatch.chdir(tmp_path)
    with ssh_agent():
        yield str(tmp_path / "agent")


def test_f04_include_match_jump_host_and_agent_together_count_as_they_do_for_ssh(
    sshd_board: Sshd, sshd_factory, agent: str, tmp_path: Path
):
    behind = sshd_factory()
    for key in (sshd_board.key, behind.key):
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env={**os.environ, "SSH_AUTH_SOCK": "agent"})
    (tmp_path / "hop").write_text(
        f"Host hop\n  HostName 127.0.0.1\n  Port {sshd_board.port}\n  UserKnownHostsFile {sshd_board.known_hosts}\n"
    )
    config = tmp_path / "config"
    config.write_text(
        f"Include {tmp_path}/hop\n"
        f'Match originalhost pi4 exec "true"\n  Port {behind.port}\n  ProxyJump hop\n'
        f'Match originalhost pi4 exec "false"\n  HostName 192.0.2.1\n'
        f"Host pi4\n  HostName 127.0.0.1\n  UserKnownHostsFile {behind.known_hosts}\n"
        f"Host *\n  User {behind.user}\n  IdentityFile none\n  IdentityAgent {agent}\n"
    )
    said = subprocess.run(["ssh", "-G", "-F", config, "pi4"], check=True, capture_output=True, text=True).stdout
    wanted = dict(line.partition(" ")[::2] for line in said.splitlines())
    settings = resolve("pi4", ssh_config=config).ssh
    assert settings is not None
    assert (settings.hostname, str(settings.port), settings.user) == (
        wanted["hostname"],
        wanted["port"],
        wanted["user"],
    )
    assert (settings.jumps, settings.identity_agent) == ((wanted["proxyjump"],), wanted["identityagent"])
    through = (sshd_board.folder / "log").read_text().count("Accepted publickey")
    assert subprocess.run(["ssh", "-F", config, "pi4", "true"], capture_output=True).returncode == 0
    assert says_hello(config)
    assert (sshd_board.folder / "log").read_text().count("Accepted publickey") == through + 2


def test_f04_a_certificate_of_the_users_key_lets_in(sshd_factory, tmp_path: Path):
    authority, key = key_pair(tmp_path / "authority"), key_pair(tmp_path / "mine")
    place = "/run/sshd" if ROOT else str(tmp_path)
    board = sshd_factory(extra=f"TrustedUserCAKeys {place}/ca.pub")
    board.path(f"{place}/ca.pub").write_text((tmp_path / "authority.pub").read_text())
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", board.user, f"{key}.pub"], check=True)
    (tmp_path / "mine-cert.pub").rename(tmp_path / "elsewhere.pub")
    known = f"IdentityFile {key}"
    without = _only(board.write_config("bare", known), board)
    with pytest.raises(AuthenticationError, match="was not let in"):
        says_hello(without)
    config = _only(board.write_config("signed", known, f"CertificateFile {tmp_path}/elsewhere.pub"), board)
    assert subprocess.run(["ssh", "-F", config, "pi4", "true"], capture_output=True).returncode == 0
    assert says_hello(config)
    (tmp_path / "elsewhere.pub").rename(tmp_path / "mine-cert.pub")
    assert says_hello(without)


def _only(config: Path, board: Sshd) -> Path:
    """Without the key that the board knows anyhow."""
    config.write_text(config.read_text().replace(f"  IdentityFile {board.key}\n", ""))
    return config


# ---------------------------------------------------------------------------------------------------------- servers


def test_f05_a_wrong_key_is_offered_once_and_nobody_tries_again(sshd_board: Sshd, tmp_path: Path):
    log = sshd_board.folder / "log"
    before = log.read_text().count("Connection from")
    with pytest.raises(AuthenticationError):
        connect(resolve("pi4", identity_file=key_pair(tmp_path / "wrong")), timeout_s=30)
    assert log.read_text().count("Connection from") == before + 1


@pytest.mark.skipif(not ROOT, reason="needs root, for a command of the server")
def test_f08_a_server_that_stalls_while_it_checks_our_key_is_given_up(sshd_factory, tmp_path: Path):
    sshd_factory(extra="AuthorizedKeysCommand /usr/bin/sleep 600\nAuthorizedKeysCommandUser pi")
    settings = resolve("pi4", identity_file=key_pair(tmp_path / "wrong")).ssh
    assert settings is not None
    with pytest.raises(UnreachableError, match="stopped answering while we authenticated"):
        open_session(settings, name="pi4", pinned=None, ask=None, deadlines=Deadlines(connect_s=60, auth_s=1.0))


def test_f11_a_server_with_too_many_waiting_is_tried_again_and_lets_in_later(sshd_factory, monkeypatch):
    monkeypatch.setattr(
        session, "_RETRIES_S", (0.3,) * 300
    )  # as often as it takes the server to see that a place is free
    board = sshd_factory(extra="MaxStartups 1:100:1")
    with socket.create_connection((board.host, board.port)) as first:
        assert first.recv(4) == b"SSH-"
        letting_go = threading.Thread(target=lambda: _let_go(board, first))
        letting_go.start()
        assert says_hello(board.config)
        letting_go.join()
    assert "MaxStartups" in (board.folder / "log").read_text()


def _let_go(board: Sshd, connection: socket.socket) -> None:
    """Frees the one place once somebody else was turned away."""
    while "MaxStartups" not in (board.folder / "log").read_text():
        threading.Event().wait(0.02)
    connection.shutdown(socket.SHUT_RDWR)


def test_f11_a_server_that_stays_full_is_named_after_a_few_tries(sshd_factory):
    board = sshd_factory(extra="MaxStartups 1:100:1")
    with socket.create_connection((board.host, board.port)) as first:
        assert first.recv(4) == b"SSH-"
        with pytest.raises(UnreachableError, match="does not greet") as caught:
            says_hello(board.config)
    assert "MaxStartups" in caught.value.hint
    tries = [line for line in (board.folder / "log").read_text().splitlines() if line.startswith("drop connection")]
    assert 1 <= len(tries) <= 4


def test_f15_the_refusal_of_an_old_server_names_the_kind_of_algorithm(sshd_factory):
    sshd_factory(extra="KexAlgorithms diffie-hellman-group1-sha1")
    with pytest.raises(UnreachableError, match=r"no algorithm in common with us: .*(kex|key exchange)"):
        connect(resolve("pi4"), timeout_s=30)


def test_f16_of_two_jump_hosts_the_one_that_is_down_is_named(sshd_board: Sshd):
    down = free_port()
    config = sshd_board.write_config("jumping", f"ProxyJump hop,deep@127.0.0.1:{down}")
    config.write_text(config.read_text() + sshd_board.config.read_text().replace("Host pi4", "Host hop"))
    with pytest.raises(UnreachableError, match=rf"jump host deep@.*:{down}: the jump host hop cannot reach"):
        connect(resolve("pi4", ssh_config=config), timeout_s=30)


# ------------------------------------------------------------------------------------------------- what a board sends


def test_f26_what_the_board_calls_a_result_has_no_say_in_where_it_lands(sshd_board: Sshd, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    with connect(resolve("pi4")) as device:
        device.transport.run(["sh", "-c", 'mkdir deep; echo content > "$1"; ln -s "../$1" deep/link', "sh", "..\n%2e"])
        device.transport.pull(f"{sshd_board.home}/deep/link", tmp_path / "mine" / "result", limit_bytes=100)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["mine", "mine/result"]
    assert (tmp_path / "mine" / "result").read_text() == "content\n"


def test_f26_a_link_planted_here_is_not_written_through(sshd_board: Sshd, tmp_path: Path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "result").symlink_to(tmp_path / "victim")
    with connect(resolve("pi4")) as device:
        device.transport.run(["sh", "-c", "echo evil > result"])
        with pytest.raises(TransferError, match="cannot write"):
            device.transport.pull(f"{sshd_board.home}/result", tmp_path / "result", limit_bytes=100)
    assert (tmp_path / "victim").read_text() == "precious"


def test_f26_a_device_in_the_place_of_a_result_ends_at_the_limit(sshd_board: Sshd, tmp_path: Path):
    with connect(resolve("pi4")) as device:
        device.transport.run(["ln", "-s", "/dev/zero", "result"])
        with pytest.raises(TransferError, match="larger than 5000 bytes"):
            device.transport.pull(f"{sshd_board.home}/result", tmp_path / "result", limit_bytes=5000)
    assert (tmp_path / "result").stat().st_size <= 5000


# ------------------------------------------------------------------------------------------------ one board, two names


def test_f44_a_board_under_two_names_is_still_one_board_to_its_lock(sshd_board: Sshd):
    inventory.add(InventoryEntry(name="first", host="pi4"))
    inventory.add(InventoryEntry(name="second", host="pi4"))
    with (
        connect(resolve("first")) as one,
        connect(resolve("second")) as two,
        held(one, purpose="a", on_event=print),
        pytest.raises(BusyError),
        held(two, purpose="b", on_event=print),
    ):
        raise AssertionError
