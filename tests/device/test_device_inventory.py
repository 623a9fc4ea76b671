"""The inventory file: written by us, edited by people."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgekit.core.errors import UsageError
from edgekit.device import inventory
from edgekit.device.inventory import InventoryEntry

DESK = InventoryEntry(name="desk-pi", host="192.0.2.7", port=2222, user="pi", profile="pi4")


def test_what_was_added_is_found():
    inventory.add(DESK)
    assert inventory.find("desk-pi") == DESK
    assert inventory.entries() == (DESK,)
    assert inventory.find("nobody") is None


def test_comments_survive_our_edits():
    inventory.add(DESK)
    text = inventory.path().read_text()
    inventory.path().write_text("# under the desk\n" + text.replace("port = 2222", "port = 2222 # forwarded"))
    inventory.add(dataclasses.replace(DESK, user="admin"), replace=True)
    inventory.add(InventoryEntry(name="other", host="192.0.2.8"))
    text = inventory.path().read_text()
    assert text.startswith("# under the desk\n")
    assert "# forwarded" in text
    assert inventory.find("desk-pi").user == "admin"


def test_a_name_is_taken_only_once():
    inventory.add(DESK)
    with pytest.raises(UsageError, match="already"):
        inventory.add(DESK)


def test_what_was_removed_is_gone():
    inventory.add(DESK)
    inventory.remove("desk-pi")
    assert inventory.entries() == ()
    with pytest.raises(UsageError, match="unknown device"):
        inventory.remove("desk-pi")


def test_removing_a_misspelt_name_gets_the_nearest():
    inventory.add(DESK)
    with pytest.raises(UsageError) as caught:
        inventory.remove("desk-p1")
    assert "desk-pi" in caught.value.hint


@pytest.mark.parametrize("name", ["local", "", "-x", "a b", "a/b", "$(id)", "a\nb", "é", "x" * 65])
def test_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(UsageError):
        inventory.add(dataclasses.replace(DESK, name=name))
    assert not inventory.path().exists()


@pytest.mark.parametrize(
    "change",
    [
        {"host": "-oProxyCommand=x"},
        {"user": "-l"},
        {"port": 0},
        {"host": ""},
        {"host": "a\nb"},
        {"workspace": "-rf"},
        {"workspace": "~kim/x"},
        {"workspace": "/a/../b"},
    ],
)
def test_a_value_that_could_be_an_option_is_refused(change):
    with pytest.raises(UsageError, match="desk-pi"):
        inventory.add(dataclasses.replace(DESK, **change))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[a]\nhots = "x"\n', "unknown key 'hots'"),
        ("[a]\nport = 22\n", "the key 'host' is missing"),
        ('[a]\nhost = "x"\nport = "22"\n', "expected a whole number"),
        ("[a\n", "is not valid TOML"),
        ("a = 1\n", "expected a table"),
        ('["a b"]\nhost = "x"\n', "cannot be the name"),
    ],
)
def test_a_wrong_inventory_file_is_named(text, complaint):
    inventory.path().parent.mkdir(parents=True)
    inventory.path().write_text(text)
    with pytest.raises(UsageError, match=complaint):
        inventory.entries()


def test_the_file_is_the_users_alone():
    inventory.add(DESK)
    assert inventory.path().stat().st_mode & 0o077 == 0


def test_several_commands_that_write_at_once_lose_nothing_of_each_other():
    inventory.add(DESK)
    names = [f"board-{number}" for number in range(16)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: inventory.add(InventoryEntry(name=name, host=name)), names))
        assert [entry.name for entry in inventory.entries()] == sorted([*names, DESK.name])
        list(pool.map(inventory.remove, names))
    assert inventory.entries() == (DESK,)
