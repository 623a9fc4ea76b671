"""Profiles and inventories that somebody else wrote: whatever stands in a field, no command of theirs runs."""

from __future__ import annotations

import dataclasses
import json
import secrets
from pathlib import Path

import pytest

from edgekit.core.errors import EdgekitError, UsageError
from edgekit.device import inventory
from edgekit.device.connect import Device, connect
from edgekit.device.facts import gather
from edgekit.device.inventory import InventoryEntry
from edgekit.device.profile import Cluster, Profile, Sensor, Sensors, load_profile, read_profile
from edgekit.device.target import resolve

HOSTILE = {
    "command substitution": "$(touch CANARY)",
    "backticks": "`touch CANARY`",
    "semicolon": "x; touch CANARY; #",
    "single quote": "x'; touch CANARY; '",
    "double quote": 'x"; touch CANARY; "',
    "pipe": "x | touch CANARY",
    "background": "x & touch CANARY &",
    "redirection": "x > CANARY",
    "newline": "x\ntouch CANARY\n",
    "return": "x\rtouch CANARY",
    "escape": "\x1b]0;touch CANARY\x07",
    "option": "-oProxyCommand=touch CANARY",
    "backslash": "x\\'; touch CANARY; \\'",
    "direction": "touch \u202e CANARY",
    "line separator": "x\u2028touch CANARY",
    "long": "x" * 5000 + "$(touch CANARY)",
}


@pytest.fixture
def canary(sshd_board):
    """A file that a command, here or on the board, could make; looked for in both at the end."""
    name = Path(f"/tmp/edgekit-canary-{secrets.token_hex(6)}")
    with connect(resolve("pi4")) as device:
        device.transport.run(["sh", "-c", f"touch {name}"])
    on_board = sshd_board.path(str(name))
    assert on_board.exists(), "the board cannot make the canary: this test would prove nothing"
    on_board.unlink()
    yield name
    assert not on_board.exists(), "a command out of a field was run on the board"
    assert not name.exists(), "a command out of a field was run here"


def toml(place: str, value: object) -> str:
    """A profile with one value at a place, as somebody would write it; JSON's strings are TOML's."""
    written = json.dumps(value)
    table, _, key = place.rpartition(".")
    if table == "clusters":
        return f'title = "x"\n[[clusters]]\n{"" if key == "core" else "core = " + json.dumps("A")}\n' + (
            f"{key} = {written}\n{'cpus = [0]' if key == 'core' else ''}\n"
        )
    if table:
        kind, _, part = place.removeprefix("sensors.").partition(".")
        return f'title = "x"\n[sensors]\n{kind} = {{ {part} = {written} }}\n'
    return f"{key} = {written}\n" + ("" if key == "title" else 'title = "x"\n')


# field → how hostile text gets into it
PROFILE = {
    "title": lambda v: v,
    "transport": lambda v: v,
    "model": lambda v: v,
    "compatible": lambda v: [v],
    "soc": lambda v: v,
    "abi": lambda v: v,
    "libc": lambda v: v,
    "clusters.core": lambda v: v,
    "clusters.cpus": lambda v: [v],
    "clusters.max_mhz": lambda v: v,
    "ram_mb": lambda v: [v],
    "throttle_c": lambda v: v,
    "sensors.temperature.zone": lambda v: v,
    "sensors.temperature.command": lambda v: ["echo", v],
    "sensors.clock.file": lambda v: f"/{v}",
    "sensors.clock.scale": lambda v: v,
    "sensors.throttled.command": lambda v: [v],
    "num_threads": lambda v: v,
    "cpus": lambda v: [v],
    "workspace": lambda v: f"~/{v}",
    "port": lambda v: v,
    "keep_releases": lambda v: v,
    "keep_models": lambda v: v,
    "after_activate": lambda v: ["echo", v],
}


def test_every_field_of_a_profile_is_attacked():
    fields = {field.name for field in dataclasses.fields(Profile)} - {"name"}
    assert {place.partition(".")[0] for place in PROFILE} == fields
    inner = {"clusters": Cluster, "sensors": Sensor}
    for table, kind in inner.items():
        attacked = {place.rpartition(".")[2] for place in PROFILE if place.startswith(f"{table}.")}
        assert attacked == {field.name for field in dataclasses.fields(kind)}
    attacked = {place.split(".")[1] for place in PROFILE if place.startswith("sensors.")}
    assert attacked == {field.name for field in dataclasses.fields(Sensors)}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_f24_a_hostile_profile_field_is_refused_by_name_or_stays_text(kind, canary, tmp_path):
    text = HOSTILE[kind].replace("CANARY", str(canary))
    accepted, refused = {}, {}
    for place, made in PROFILE.items():
        path = tmp_path / "hostile.toml"
        path.write_text(toml(place, made(text)), encoding="utf-8")
        try:
            accepted[place] = read_profile(path)
        except UsageError as error:
            refused[place] = error.message
    for place, message in refused.items():
        assert f"{tmp_path}/hostile.toml:" in message
        assert f" at {place.split('.')[0]}" in message
        assert message.isprintable()
    assert bool(accepted) == (text.isprintable() and len(text) <= 200)
    with connect(resolve("pi4")) as opened:
        for place in accepted.keys() & {"workspace", "sensors.temperature.command", "sensors.clock.file"}:
            profile = accepted[place]
            device = Device(dataclasses.replace(opened.target, profile=profile), opened.transport)
            facts = gather(opened.transport, profile)
            assert facts.kernel, place
            if place == "workspace":
                assert facts.workspace == f"/home/pi/{text}"
                device.workspace.push_bytes(b"x", "file")
                assert device.transport.run(["cat", f"{device.root}/file"]).stdout == b"x"
        if "sensors.throttled.command" in accepted:
            assert gather(opened.transport, accepted["sensors.throttled.command"]).throttle_bits is None
        if "after_activate" in accepted:  # run as it stands: an argv, never text for a shell
            done = opened.transport.run(accepted["after_activate"].after_activate)
            assert done.text == f"{text}\n"


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_f24_a_hostile_inventory_field_is_refused_by_name_or_stays_text(kind, canary):
    text = HOSTILE[kind].replace("CANARY", str(canary))
    plain = {"host": "pi4", "user": "pi"}
    for field in dataclasses.fields(InventoryEntry):
        if field.name == "name":
            with pytest.raises(UsageError):
                inventory.add(InventoryEntry(**{**plain, "name": text}))
            continue
        value = f"~/{text}" if field.name == "workspace" else text
        inventory.path().parent.mkdir(parents=True, exist_ok=True)
        rows = {**plain, field.name: value}
        inventory.path().write_text("[lab]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in rows.items()))
        problem = None
        try:
            with connect(resolve("lab"), timeout_s=30) as device:
                device.facts()
        except EdgekitError as error:
            problem = error
        if field.name in ("workspace", "library", "benchmark_model"):
            assert problem is None or f"at lab.{field.name}: " in problem.message
        else:
            assert problem is not None
            assert problem.message.isprintable()
            assert f"at lab.{field.name}: " in problem.message or field.name == "identity_file"
        if field.name in ("host", "user", "port", "profile", "host_key"):
            with pytest.raises(UsageError):
                inventory.add(InventoryEntry(**{**plain, "name": "other", field.name: value}))
    inventory.path().unlink()


@pytest.mark.parametrize(
    "kind", ["command substitution", "backticks", "semicolon", "background", "pipe", "redirection"]
)
def test_f24_a_proxy_command_gets_no_hostile_host_or_user(kind, canary, sshd_board, monkeypatch):
    """ssh gives a ProxyCommand its host and user as text for a shell; so do we."""
    text = HOSTILE[kind].replace("CANARY", str(canary))
    config = sshd_board.write_config("proxied", "ProxyCommand echo %h %r %n")
    config.write_text(config.read_text() + "Host *\n  ProxyCommand echo %h %r %n\n")
    monkeypatch.setenv("EDGEKIT_SSH_CONFIG", str(config))
    for entry in ({"host": text}, {"host": "pi4", "user": text}):
        inventory.path().parent.mkdir(parents=True, exist_ok=True)
        inventory.path().write_text("[lab]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in entry.items()))
        with pytest.raises(EdgekitError), connect(resolve("lab"), timeout_s=30):
            pass
    inventory.path().unlink()
    for given in ({"host": text}, {"host": "pi4", "user": text}, {"host": f"{text}@pi4"}):
        with pytest.raises(EdgekitError), connect(resolve(None, **given), timeout_s=30):
            pass


@pytest.mark.parametrize(
    "rows",
    [
        {"host": "-oProxyCommand=touch CANARY"},
        {"host": "pi4", "user": "-oProxyCommand=touch CANARY"},
        {"host": "pi4", "identity_file": "-oProxyCommand=touch CANARY"},
        {"host": "pi4", "workspace": "-oProxyCommand=touch CANARY"},
        {"host": "pi4", "ProxyCommand": "touch CANARY"},
        {"host": "pi4", "proxy_command": "touch CANARY"},
        {"host": "pi4", "LocalCommand": "touch CANARY"},
    ],
)
def test_f25_an_inventory_cannot_pass_options_or_commands_to_ssh(rows, canary):
    inventory.path().parent.mkdir(parents=True)
    written = {key: value.replace("CANARY", str(canary)) for key, value in rows.items()}
    inventory.path().write_text("[lab]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in written.items()))
    key = list(rows)[-1]
    with pytest.raises(UsageError, match=f":{len(rows) + 1} at lab.{key}: "):
        resolve("lab")


@pytest.mark.parametrize(
    "key", ["ProxyCommand", "proxy_command", "host", "user", "identity_file", "LocalCommand", "env"]
)
def test_f25_a_profile_cannot_name_hosts_users_or_commands_for_ssh(key, canary, tmp_path, monkeypatch):
    (tmp_path / "pi4.toml").write_text(f'title = "x"\n{key} = "touch {canary}"\n')
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path))
    with pytest.raises(UsageError, match=f"pi4.toml:2 at {key}: unknown key"):
        resolve("pi4")


@pytest.mark.parametrize("value", ["-oProxyCommand=touch CANARY", "-l", "a b", "$(touch CANARY)", "", "x\ny"])
def test_f25_a_host_or_user_that_is_an_option_is_refused_from_the_command_line_too(value, canary):
    value = value.replace("CANARY", str(canary))
    for given in ({"host": value}, {"host": f"{value}@pi4"}, {"host": "pi4", "user": value}):
        with pytest.raises(UsageError):
            resolve(None, **given)


def test_f25_a_profiles_file_may_not_be_called_like_an_option(tmp_path: Path, monkeypatch):
    (tmp_path / "-oProxyCommand=x.toml").write_text('title = "x"\n')
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path))
    with pytest.raises(UsageError, match="unknown device profile"):
        load_profile("-oProxyCommand=x")
