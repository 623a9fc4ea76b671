"""Profiles from the command line: listed with their origin, exported as a schema, proposed by asking the board."""

from __future__ import annotations

import json

from cli_run import refused


def test_the_schema_is_printed_for_editors_and_as_a_document(edgekit):
    ran = edgekit("devices", "schema")
    assert ran.status == 0
    assert json.loads(ran.out)["title"] == "edgekit device profile"
    assert "#:schema ./profile.schema.json" in ran.err
    assert edgekit("devices", "schema", "--json").document["profile_schema"] == json.loads(ran.out)


def test_the_list_says_where_each_profile_comes_from_and_what_is_broken(edgekit, tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "pi4.toml").write_text('title = "my own Pi"\n')
    (folder / "odd.toml").write_text('title = "x"\nProxyCommand = "touch /tmp/x"\n')
    ran = edgekit("devices", "list", "--json", env={"EDGEKIT_PROFILES": str(folder)})
    origins = {found["name"]: found["origin"] for found in ran.document["profiles"]}
    assert (origins["pi4"], origins["pi5"]) == ("EDGEKIT_PROFILES", "edgekit")
    assert "odd" not in origins
    assert "odd.toml:2 at ProxyCommand: unknown key" in ran.document["warnings"][0]["message"]
    shown = edgekit("devices", "list", env={"EDGEKIT_PROFILES": str(folder), "COLUMNS": "200"})
    assert str(folder / "pi4.toml") in shown.out
    assert "odd.toml:2" in shown.err


def test_a_broken_profile_of_the_user_breaks_only_what_uses_it(edgekit, tmp_path):
    (tmp_path / "odd.toml").write_text("title = 3\n")
    broken = {"EDGEKIT_PROFILES": str(tmp_path)}
    assert edgekit("devices", "show", "pi4", env=broken).status == 0
    assert edgekit("devices", "check", "local", env=broken).status == 0
    refused(edgekit("devices", "show", "odd", env=broken), 2, "odd.toml:1 at title")


def test_a_new_board_whose_key_is_known_is_asked_what_it_is(edgekit, sshd_board):
    ran = edgekit("devices", "add", "bench", "--host", "pi4", "--json")
    assert ran.status == 0
    assert ran.document["device"]["profile"] == ran.document["probe"]["profile"]["profile"] == "generic-x86_64"
    assert ran.document["probe"]["profile"]["reasons"] == ["its programs are built for x86_64"]
    assert "generic-x86_64" in edgekit("devices", "show", "bench").out


def test_a_new_board_whose_key_is_unknown_is_added_and_never_trusted(edgekit, sshd_board, tmp_path):
    config = sshd_board.write_config("unknown", f"UserKnownHostsFile {tmp_path}/none", "StrictHostKeyChecking no")
    ran = edgekit("devices", "add", "bench", "--host", "pi4", env={"EDGEKIT_SSH_CONFIG": str(config)})
    assert ran.status == 0
    assert "edgekit devices trust bench" in ran.out
    entry = edgekit("devices", "list", "--json").document["devices"][0]
    assert (entry["profile"], entry["host_key"]) == (None, None)
    assert not (tmp_path / "none").exists()


def test_a_new_board_that_is_off_is_added_with_what_to_do_next(edgekit):
    ran = edgekit("devices", "add", "bench", "--host", "127.0.0.1:9")
    assert ran.status == 0
    assert "not knowing what kind of board it is" in ran.out
    assert "edgekit devices check bench" in " ".join(ran.out.split())


def test_a_serial_number_instead_of_an_address_is_told_which_profile_reaches_it(edgekit):
    ran = edgekit("devices", "add", "phone", "--host", "R58M12ABCDE", env={"COLUMNS": "300"})
    said = "edgekit devices add phone --profile android-arm64-adb --replace"
    assert ran.status == 0
    assert said in " ".join(ran.out.split())
    assert edgekit(*said.split()[1:]).status == 0
    entry = edgekit("devices", "list", "--json").document["devices"][0]
    assert (entry["host"], entry["profile"]) == ("R58M12ABCDE", "android-arm64-adb")


def test_the_list_shows_the_profile_that_is_really_used(edgekit):
    edgekit("devices", "add", "bench", "--host", "192.0.2.1", "--no-probe")
    row = next(line for line in edgekit("devices", "list").out.splitlines() if line.split()[:1] == ["bench"])
    assert row.split()[2] == "generic"


def test_a_board_is_not_asked_where_nobody_wants_it(edgekit):
    ran = edgekit("devices", "add", "bench", "--host", "192.0.2.1", "--no-probe", "--json")
    assert (ran.status, ran.document["probe"]) == (0, None)


def test_a_check_proposes_the_profile_that_was_not_chosen(edgekit, sshd_board):
    edgekit("devices", "add", "bench", "--host", "pi4", "--no-probe")
    ran = edgekit("devices", "check", "bench", "--json")
    hints = {found["code"]: found["hint"] for found in ran.document["warnings"]}
    assert hints["profile-proposed"] == "edgekit devices add bench --profile generic-x86_64 --replace"
    assert edgekit(*hints["profile-proposed"].split()[1:]).status == 0
    again = edgekit("devices", "check", "bench", "--json").document
    assert "profile-proposed" not in {found["code"] for found in again["warnings"]}
    assert (again["profile"], again["in_use_by"]) == ("generic-x86_64", "nobody")


def test_a_check_names_what_the_profile_says_wrongly(edgekit, sshd_board):
    ran = edgekit("devices", "check", "pi4", "--json")
    found = {notice["code"]: notice["message"] for notice in ran.document["warnings"]}
    assert "the board runs x86_64, the profile says aarch64" in found["architecture"]
    assert "vcgencmd get_throttled" in found["sensor-silent"] or "measure" in found["sensor-silent"]
