"""From a name to a board: inventory, profile with ssh alias, address; resolved as OpenSSH resolves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import UsageError
from edgekit.device import inventory
from edgekit.device.address import Address, parse_address
from edgekit.device.inventory import InventoryEntry
from edgekit.device.target import resolve


@pytest.fixture
def ssh_config(tmp_path, monkeypatch):
    """Writes the ssh configuration that ``EDGEKIT_SSH_CONFIG`` names."""

    def write(text: str) -> Path:
        path = tmp_path / "ssh_config"
        path.write_text(text)
        monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(path))
        return path

    write("")
    return write


def test_local_needs_nothing():
    target = resolve("local")
    assert (target.name, target.profile.name, target.ssh) == ("local", "local", None)


def test_a_profiles_name_is_an_ssh_alias(ssh_config):
    ssh_config(
        "Host pi4\n  HostName 192.0.2.4\n  Port 2204\n  User kim\n  IdentityFile /keys/one\n  IdentityFile /k/2\n"
    )
    target = resolve("pi4")
    assert target.profile.name == "pi4"
    assert (target.ssh.hostname, target.ssh.port, target.ssh.user) == ("192.0.2.4", 2204, "kim")
    assert target.ssh.identity_files == (Path("/keys/one"), Path("/k/2"))


def test_an_inventory_entry_wins_over_the_profile_of_the_same_name(ssh_config):
    ssh_config("Host pi4\n  HostName 192.0.2.4\n")
    inventory.add(InventoryEntry(name="pi4", host="192.0.2.9", user="lab", profile="pi5", workspace="/data/ek"))
    target = resolve("pi4")
    assert (target.ssh.hostname, target.ssh.user, target.profile.name) == ("192.0.2.9", "lab", "pi5")
    assert target.workspace == "/data/ek"


def test_an_entrys_host_may_be_an_ssh_alias(ssh_config):
    ssh_config("Host bench-3\n  HostName 192.0.2.33\n  User root\n")
    inventory.add(InventoryEntry(name="third", host="bench-3"))
    target = resolve("third")
    assert (target.ssh.hostname, target.ssh.user, target.profile.name) == ("192.0.2.33", "root", "generic")


def test_options_win_over_inventory_and_configuration(ssh_config, tmp_path):
    (tmp_path / "key").write_text("x")
    ssh_config("Host pi4\n  HostName 192.0.2.4\n  Port 2204\n  User kim\n")
    target = resolve("pi4", port=9, user="root", identity_file=tmp_path / "key")
    assert (target.ssh.port, target.ssh.user, target.ssh.identity_files) == (9, "root", (tmp_path / "key",))
    assert target.ssh.identities_only


def test_another_host_is_another_board_of_the_same_kind(ssh_config):
    inventory.add(InventoryEntry(name="pi4", host="192.0.2.9", port=23, user="lab", host_key="ssh-ed25519 AAAA"))
    target = resolve("pi4", host="kim@192.0.2.10")
    assert (target.ssh.hostname, target.ssh.port, target.ssh.user) == ("192.0.2.10", 22, "kim")
    assert target.host_key is None


def test_a_host_alone_is_a_generic_board(ssh_config):
    target = resolve(host="kim@192.0.2.10:77")
    assert (target.name, target.profile.name, target.ssh.port) == ("192.0.2.10", "generic", 77)


def test_termuxs_port_is_used_where_nothing_else_names_one(ssh_config):
    ssh_config("Host android-arm64-termux\n  HostName 192.0.2.5\n")
    assert resolve("android-arm64-termux").ssh.port == 8022
    assert resolve("android-arm64-termux", port=22).ssh.port == 22


def test_an_unknown_device_gets_the_nearest_name_of_inventory_and_profiles():
    inventory.add(InventoryEntry(name="kitchen", host="192.0.2.9"))
    with pytest.raises(UsageError, match="unknown device 'kitchn'") as caught:
        resolve("kitchn")
    assert "did you mean 'kitchen'?" in caught.value.hint
    assert "pi4" in caught.value.hint


def test_no_name_at_all_is_a_usage_error():
    with pytest.raises(UsageError, match="no board is named"):
        resolve()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi4", Address(host="pi4")),
        ("kim@pi4", Address(host="pi4", user="kim")),
        ("kim@pi4:2222", Address(host="pi4", user="kim", port=2222)),
        ("kim@[2001:db8::7]:22", Address(host="2001:db8::7", user="kim", port=22)),
        ("[fe80::1%eth0]", Address(host="fe80::1%eth0")),
        ("2001:db8::7", Address(host="2001:db8::7")),
        ("a@b@host", Address(host="host", user="a@b")),
    ],
)
def test_addresses_are_read_as_people_write_them(text, expected):
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "-oX", "kim@-x", "-l@host", "host:0", "host:70000", "host:x", "a b", "h;id", "$(id)", "@h", "h:", "[::1"],
)
def test_an_address_that_cannot_be_is_refused(text):
    with pytest.raises(UsageError):
        parse_address(text)


def test_f04_include_and_match_count_as_they_do_for_ssh(ssh_config, tmp_path):
    (tmp_path / "more").write_text("Host pi4\n  HostName 192.0.2.44\n")
    ssh_config(f"Include {tmp_path}/more\nMatch originalhost pi4\n  User matched\n  Port 2244\n")
    ssh = resolve("pi4").ssh
    assert (ssh.hostname, ssh.user, ssh.port) == ("192.0.2.44", "matched", 2244)


def test_tokens_and_quoted_paths_are_expanded(ssh_config):
    ssh_config(
        "Host pi4\n  HostName 192.0.2.4\n  User kim\n  IdentityFile /keys/%h-%r\n"
        '  UserKnownHostsFile /one "/two three" /four\n  GlobalKnownHostsFile none\n'
        "  ProxyCommand nc %h %p # %%\n  IdentityAgent /run/agent-%i\n"
    )
    ssh = resolve("pi4").ssh
    assert ssh.identity_files == (Path("/keys/192.0.2.4-kim"),)
    assert ssh.known_hosts == (Path("/one"), Path("/two three"), Path("/four"))
    assert ssh.proxy_command.startswith("nc 192.0.2.4 22")
    assert ssh.identity_agent.startswith("/run/agent-")


def test_a_token_that_we_do_not_know_is_refused(ssh_config):
    ssh_config("Host pi4\n  IdentityFile /keys/%C\n")
    with pytest.raises(UsageError, match="%C"):
        resolve("pi4")


def test_f04_jump_hosts_are_taken_over_in_order(ssh_config):
    ssh_config("Host pi4\n  ProxyJump a@one:23,two\n")
    assert resolve("pi4").ssh.jumps == ("a@one:23", "two")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("PKCS11Provider /x.so", "ssh-pkcs11provider"),
        ("KnownHostsCommand /bin/true", "ssh-knownhostscommand"),
        ("RemoteCommand tmux", "ssh-remotecommand"),
        ("StrictHostKeyChecking no", "ssh-stricthostkeychecking"),
    ],
)
def test_f04_a_setting_that_is_not_followed_is_said(ssh_config, line, code):
    ssh_config(f"Host pi4\n  {line}\n")
    assert code in {notice.code for notice in resolve("pi4").ssh.notices}


def test_a_configuration_that_ssh_refuses_is_named(ssh_config):
    path = ssh_config("Host pi4\n  Prot 22\n")
    with pytest.raises(UsageError, match="prot") as caught:
        resolve("pi4")
    assert str(path) in caught.value.message


def test_a_missing_configuration_file_is_named(monkeypatch):
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", "/nowhere/ssh_config")
    with pytest.raises(UsageError, match="no such file: /nowhere/ssh_config"):
        resolve("pi4")


def test_a_missing_identity_file_is_named(ssh_config):
    with pytest.raises(UsageError, match="no such key file: /nowhere/key"):
        resolve("pi4", identity_file=Path("/nowhere/key"))


@pytest.mark.parametrize("options", [{"host": "-oProxyCommand=touch x"}, {"user": "-oProxyCommand=x"}])
def test_f25_a_host_or_user_that_looks_like_an_option_is_refused(ssh_config, options):
    with pytest.raises(UsageError):
        resolve("pi4", **options)


def test_without_an_ssh_client_the_configuration_is_still_read(ssh_config, monkeypatch):
    ssh_config("Host pi4\n  HostName 192.0.2.4\n  Port 2204\n  User kim\n  IdentityFile /keys/one\n")
    monkeypatch.setenv("PATH", "/nowhere")
    ssh = resolve("pi4").ssh
    assert (ssh.hostname, ssh.port, ssh.user, ssh.identity_files) == ("192.0.2.4", 2204, "kim", (Path("/keys/one"),))
    assert [notice.code for notice in ssh.notices] == ["no-ssh-client"]


@pytest.mark.parametrize("option", ["ssh_config", "identity_file"])
def test_a_path_that_no_file_system_can_have_is_no_such_file(option, tmp_path, ssh_config):
    with pytest.raises(UsageError, match="no such"):
        resolve("pi4", **{option: tmp_path / ("a" * 300) / "id"})
