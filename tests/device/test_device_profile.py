"""Profiles: what is shipped, what a user adds, what is refused."""

from __future__ import annotations

import json
import os

import jsonschema
import pytest

from edgekit.core.errors import UsageError
from edgekit.device import profile_schema
from edgekit.device.profile import (
    all_profiles,
    load_profile,
    origin,
    profile_paths,
    read_profile,
    shipped_folder,
    users_folder,
)

SHIPPED = {
    "local",
    "generic",
    "generic-arm64",
    "generic-armv7",
    "generic-x86_64",
    "pi-zero-2w",
    "pi3",
    "pi3-32",
    "pi4",
    "pi4-32",
    "pi5",
    "rock5b",
    "orange-pi-5",
    "jetson-orin-nano",
    "coral-dev-board",
    "beagleplay",
    "imx8mp",
    "android-arm64-termux",
    "android-arm64-adb",
}


def test_every_shipped_profile_loads_and_has_no_address():
    assert set(profile_paths()) >= SHIPPED
    for name in profile_paths():
        profile = load_profile(name)
        assert profile.name == name
        assert not {"host", "user", "address"} & set(profile.__slots__)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_profile_names_its_sources_and_its_schema(name):
    text = (shipped_folder() / f"{name}.toml").read_text()
    if load_profile(name).soc:
        assert "Source" in text
    assert text.splitlines()[0] == profile_schema.DIRECTIVE


def test_the_pi_4_is_what_its_maker_says():
    pi4 = load_profile("pi4")
    assert (pi4.soc, pi4.abi, pi4.cores, pi4.throttle_c) == ("BCM2711", "aarch64", 4, 80.0)
    assert pi4.sensors.throttled.command == ("vcgencmd", "get_throttled")


@pytest.mark.parametrize("name", ["pi3", "pi4"])
def test_the_32_bit_profile_of_a_board_differs_in_its_programs_only(name):
    both = [json.loads(json.dumps(profile_fields(each))) for each in (name, f"{name}-32")]
    assert {key for key in both[0] if both[0][key] != both[1][key]} == {"name", "title", "abi"}
    assert both[1]["abi"] == "armv7l"


def profile_fields(name):
    from edgekit.core.decode import to_json

    return to_json(load_profile(name))


@pytest.mark.parametrize("name", ["rock5b", "orange-pi-5"])
def test_models_run_on_the_big_cores_where_a_board_has_small_ones(name):
    profile = load_profile(name)
    big = {cpu for cluster in profile.clusters if cluster.core == "Cortex-A76" for cpu in cluster.cpus}
    assert set(profile.cpus) == big == {4, 5, 6, 7}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_profile_leaves_the_cores_to_the_scheduler_where_all_are_alike(name):
    profile = load_profile(name)
    if len({cluster.core for cluster in profile.clusters}) < 2:
        assert profile.cpus == ()


def test_an_unknown_profile_gets_the_nearest_name():
    with pytest.raises(UsageError, match="unknown device profile 'p4'") as caught:
        load_profile("p4")
    assert "did you mean 'pi4'?" in caught.value.hint


def test_the_search_path_goes_from_the_environment_to_the_user_to_us(tmp_path, monkeypatch):
    users_folder().mkdir(parents=True)
    for number, folder in enumerate((tmp_path / "a", tmp_path / "b", users_folder()), 1):
        folder.mkdir(exist_ok=True)
        (folder / "pi4.toml").write_text(f'title = "mine"\nnum_threads = {number}\n')
    found = []
    for listed in (f"{tmp_path}/a:{tmp_path}/b", f"{tmp_path}/b", ""):
        monkeypatch.setenv("EDGEKIT_PROFILES", listed)
        found.append((load_profile("pi4").num_threads, origin(profile_paths()["pi4"])))
    (users_folder() / "pi4.toml").unlink()
    found.append((load_profile("pi4").num_threads, origin(profile_paths()["pi4"])))
    assert found == [(1, "EDGEKIT_PROFILES"), (2, "EDGEKIT_PROFILES"), (3, "yours"), (1, "edgekit")]


def test_a_broken_profile_of_the_user_is_named_and_the_others_work(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text("title = 3\n")
    (tmp_path / "a b.toml").write_text('title = "x"\n')
    monkeypatch.setenv("EDGEKIT_PROFILES", f"{tmp_path}:{tmp_path}/absent")
    found, notices = all_profiles()
    assert set(found) >= SHIPPED
    assert {notice.code for notice in notices} == {"broken-profile", "profile-name", "no-profile-folder"}
    assert f"{tmp_path}/mine.toml:1 at title" in next(n.message for n in notices if n.code == "broken-profile")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('title = "x"\nnum_thread = 2', ":2 at num_thread: unknown key 'num_thread'"),
        ('title = "x"\nabi = "arm64"', ":2 at abi: expected one of aarch64"),
        ('title = "x"\nnum_threads = "two"', ":2 at num_threads: expected a whole number"),
        ('title = "x"\nnum_threads = 0', ":2 at num_threads: 0 makes no sense here; expected at least 1"),
        ('title = "x"\nport = 70000', ":2 at port: 70000 makes no sense here; expected at most 65535"),
        ('title = "x"\nthrottle_c = nan', ":2 at throttle_c: nan makes no sense"),
        ('title = "x"\nworkspace = "../up"', ":2 at workspace: '../up' makes no sense"),
        ('title = "x"\nworkspace = "/a/../b"', ":2 at workspace: '/a/../b' makes no sense"),
        ('title = "x"\ncpus = [9]\n[[clusters]]\ncore = "A"\ncpus = [0, 1]', ":2 at cpus: core 9 is in none"),
        ('title = "x"\ncpus = [1, 1]', ":2 at cpus: .*each only once"),
        ('title = "x"\n\n[[clusters]]\ncore = "A"\ncpus = [0]\n[[clusters]]\ncore = "B"\ncpus = [0]', ":3 at clusters"),
        ('title = "x"\nname = "y"', ":2: unknown key 'name'"),
        ('title = "x', "is not valid TOML"),
        ("num_threads = 1", "the key 'title' is missing"),
        ('title = "x"\n[[clusters]]\ncore = "A"\ncpu = [0]', r":4 at clusters\[0\].cpu: unknown key"),
        ('title = "x"\n[sensors]\nfan = { file = "/f" }', ":3 at sensors.fan: unknown key"),
        ('title = "x"\n[sensors]\nclock = ["vcgencmd"]', ":3 at sensors.clock: expected a table"),
        ('title = "x"\n[sensors]\nclock = { }', ":3 at sensors.clock: write exactly one of"),
        ('title = "x"\n[sensors]\nclock = { zone = "cpu" }', ":3 at sensors.clock: a thermal zone has a temperature"),
        ('title = "x"\n[sensors]\nclock = { file = "f" }', ":3 at sensors.clock.file: 'f' makes no sense"),
        ('title = "x"\nProxyCommand = "touch /tmp/x"', ":2 at ProxyCommand: unknown key"),
    ],
)
def test_a_wrong_profile_is_refused_with_file_line_and_key(tmp_path, text, complaint):
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint) as caught:
        read_profile(path)
    assert str(path) in caught.value.message


def test_the_keys_that_are_proposed_are_those_that_a_file_may_have(tmp_path):
    path = tmp_path / "board.toml"
    path.write_text('title = "x"\nProxyCommand = "y"')
    with pytest.raises(UsageError) as caught:
        read_profile(path)
    assert caught.value.hint.startswith("known keys: title, ")


def test_a_profile_that_is_nested_too_deeply_is_refused(tmp_path):
    path = tmp_path / "board.toml"
    path.write_text("title = " + "[" * 100_000)
    with pytest.raises(UsageError, match="nested too deeply"):
        read_profile(path)


def test_a_profile_that_is_not_utf_8_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "board.toml"
    path.write_bytes('title = "Plättchen"'.encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8") as caught:
        read_profile(path)
    assert "UTF-8" in caught.value.hint


def test_a_pipe_in_the_search_path_is_named_and_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path))
    found, notices = all_profiles()
    assert set(found) >= SHIPPED
    assert [notice.code for notice in notices] == ["broken-profile", "broken-profile"]
    assert all("is not a file" in notice.message and notice.hint for notice in notices)


def test_a_misspelt_key_gets_the_nearest_one(tmp_path):
    path = tmp_path / "board.toml"
    path.write_text('title = "x"\nnum_thread = 2')
    with pytest.raises(UsageError) as caught:
        read_profile(path)
    assert caught.value.hint == "did you mean 'num_threads'?"


def test_the_schemas_file_is_what_the_records_say(request):
    if request.config.getoption("--update-goldens"):
        profile_schema.write()
    assert (shipped_folder() / profile_schema.FILE_NAME).read_text() == profile_schema.text(), "run --update-goldens"


def test_the_schema_says_what_reading_says():
    schema = profile_schema.profile_schema()
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["title"]
    assert schema["properties"]["abi"] == {
        "description": "what programs for it are built for; left out: whatever the board says.",
        "enum": ["aarch64", "armv7l", "x86_64"],
    }
    assert (schema["properties"]["port"]["minimum"], schema["properties"]["port"]["maximum"]) == (1, 65535)
    assert all("description" in value for value in schema["properties"].values())
    assert schema["definitions"]["Cluster"]["required"] == ["core", "cpus"]


def test_an_independent_reader_of_the_schema_agrees_with_ours():
    from edgekit.core.toml import read_toml

    reader = jsonschema.Draft7Validator(profile_schema.profile_schema())
    reader.check_schema(reader.schema)
    for path in profile_paths().values():
        assert not list(reader.iter_errors(read_toml(path))), path
    for wrong in (
        {},
        {"title": "a\nb"},
        {"title": "x", "port": 0},
        {"title": "x", "workspace": "-rf"},
        {"title": "x", "sensors": {"clock": {}}},
        {"title": "x", "sensors": {"clock": {"file": "/a", "zone": "b"}}},
        {"title": "x", "clusters": [{"core": "A"}]},
        {"title": "x", "ProxyCommand": "y"},
    ):
        assert list(reader.iter_errors(wrong)), wrong
