"""Profiles: what is shipped, what a user adds, what is refused."""

from __future__ import annotations

import pytest

from edgekit.core.errors import UsageError
from edgekit.device.profile import load_profile, profile_paths, read_profile, users_folder

SHIPPED = {
    "local",
    "generic",
    "generic-arm64",
    "generic-x86_64",
    "pi3",
    "pi4",
    "pi5",
    "pi-zero-2w",
    "jetson-orin-nano",
    "android-arm64-adb",
    "android-arm64-termux",
}


def test_every_shipped_profile_loads_and_has_no_address():
    assert set(profile_paths()) == SHIPPED
    for name in SHIPPED:
        profile = load_profile(name)
        assert profile.name == name
        assert not {"host", "user", "address"} & set(profile.__slots__)


def test_the_pi_4_is_what_its_maker_says():
    pi4 = load_profile("pi4")
    assert (pi4.soc, pi4.abi, pi4.cores, pi4.throttle_c) == ("BCM2711", "aarch64", 4, 80.0)
    assert pi4.sensors["throttled"] == ("vcgencmd", "get_throttled")


def test_termux_listens_on_its_own_port():
    assert load_profile("android-arm64-termux").port == 8022


def test_an_unknown_profile_gets_the_nearest_name():
    with pytest.raises(UsageError, match="unknown device profile 'p4'") as caught:
        load_profile("p4")
    assert "did you mean 'pi4'?" in caught.value.hint


def test_a_users_profile_replaces_ours():
    users_folder().mkdir(parents=True)
    (users_folder() / "pi4.toml").write_text('title = "mine"\nnum_threads = 3\n')
    assert load_profile("pi4").num_threads == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('title = "x"\nnum_thread = 2', "unknown key 'num_thread'"),
        ('title = "x"\nabi = "arm64"', "expected one of aarch64"),
        ('title = "x"\nnum_threads = "two"', "expected a whole number"),
        ('title = "x"\nnum_threads = 0', "makes no sense"),
        ('title = "x"\nport = 70000', "makes no sense"),
        ('title = "x"\nworkspace = "../up"', "makes no sense"),
        ('title = "x"\ncpus = [9]\n[[clusters]]\ncore = "A"\ncpus = [0, 1]', "at cpus"),
        ('title = "x"\nname = "y"', "unknown key 'name'"),
        ('title = "x', "is not valid TOML"),
        ("num_threads = 1", "the key 'title' is missing"),
        ('title = "x"\n[[clusters]]\ncore = "A"\ncpu = [0]', r"clusters\[0\].cpu"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_place(tmp_path, text, complaint):
    path = tmp_path / "board.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint) as caught:
        read_profile(path)
    assert str(path) in caught.value.message
