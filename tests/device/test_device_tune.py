"""A board is tuned while it measures, and put back whatever ends that; models stay on the cores that they should."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cpu_tree import CpuTree

from edgekit.core.errors import DeviceError
from edgekit.core.events import Event, ignore
from edgekit.verbs.boards import Reach, reach_board

BIG_LITTLE = {1_800_000: (0, 1), 2_400_000: (2, 3)}
AS_BEFORE = {"policy0": "schedutil", "policy2": "schedutil"}
TUNED = {"policy0": "performance", "policy2": "performance"}

#: another edgekit: tunes the board, says so, and waits
_CLIENT = """
import sys, time
from edgekit.core.events import ignore
from edgekit.verbs.boards import Reach, reach_board

with reach_board(sys.argv[1], Reach(tune=True), ignore) as board:
    print("tuned", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def board(sshd_factory: Callable[..., object], tmp_path: Path) -> Callable[..., CpuTree]:
    """A board with such cores; its name is pi4."""

    def start(**options: object) -> CpuTree:
        folder = tmp_path / f"cpu{len(list(tmp_path.iterdir()))}"
        clusters = options.pop("clusters", BIG_LITTLE)
        tree = CpuTree(folder, clusters, **options)  # type: ignore[arg-type]
        sshd_factory(cpus=folder)
        return tree

    return start


def codes(notices: object) -> list[str]:
    return [notice.code for notice in notices if notice.code.startswith(("tun", "not-tuned"))]  # type: ignore[attr-defined]


def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The board's profile of the same name says this."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "pi4.toml").write_text(f'title = "a board"\n{text}\n')
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path / "profiles"))


@pytest.fixture(autouse=True)
def _any_abi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile(tmp_path, monkeypatch, "")


def journal(name: str = "pi4") -> str:
    """What the journal on the board says; empty: there is none."""
    from edgekit.device.connect import connect
    from edgekit.device.target import resolve

    with connect(resolve(name)) as device:
        return device.transport.run(["sh", "-c", 'cat "$1"/tune.journal 2>/dev/null', "-", device.root]).text


def test_governors_are_performance_within_the_block_and_as_before_after_it(board):
    tree = board()
    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert tree.governors() == TUNED
        assert reached.facts.governor == "performance"
        assert codes(reached.notices) == ["tuned"]
        assert journal().splitlines()[1:] == [
            f"governor schedutil /sys/devices/system/cpu/cpufreq/policy{number}/scaling_governor" for number in (0, 2)
        ]
    assert tree.governors() == AS_BEFORE
    assert journal() == ""


def test_nothing_is_changed_without_being_asked(board):
    tree = board()
    with reach_board("pi4", Reach(), ignore) as reached:
        assert tree.governors() == AS_BEFORE
        assert codes(reached.notices) == []


def test_an_error_in_the_block_puts_back_too_and_is_not_hidden(board):
    tree = board()
    with pytest.raises(ZeroDivisionError), reach_board("pi4", Reach(tune=True), ignore):
        1 / 0  # noqa: B018
    assert tree.governors() == AS_BEFORE


def test_f60_a_client_that_is_killed_while_the_board_is_tuned_leaves_a_journal_and_the_next_command_restores(board):
    tree = board()
    client = subprocess.Popen([sys.executable, "-c", _CLIENT, "pi4"], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "tuned\n"
    assert tree.governors() == TUNED
    client.send_signal(signal.SIGKILL)
    client.wait(30)
    assert tree.governors() == TUNED
    with reach_board("pi4", Reach(wait_s=60.0), ignore) as reached:
        assert tree.governors() == AS_BEFORE
        assert codes(reached.notices) == ["tuning-restored"]
        assert reached.facts.governor == "schedutil"
    assert journal() == ""
    with reach_board("pi4", Reach(), ignore) as reached:
        assert codes(reached.notices) == []


def test_f60_a_board_that_was_restarted_meanwhile_has_its_own_settings_and_keeps_them(board):
    tree = board()
    _leave(tree, "boot 00000000-0000-0000-0000-000000000000")
    with reach_board("pi4", Reach(), ignore) as reached:
        assert codes(reached.notices) == []
    assert tree.governors() == TUNED
    assert journal() == ""


def test_f60_a_new_run_that_tunes_puts_the_settings_back_that_were_there_before_the_lost_one(board):
    tree = board()
    _leave(tree)
    with reach_board("pi4", Reach(tune=True), ignore):
        assert tree.governors() == TUNED
    assert tree.governors() == AS_BEFORE


def test_what_somebody_else_has_set_meanwhile_is_left(board):
    tree = board()
    said: list[Event] = []
    with reach_board("pi4", Reach(tune=True), said.append):
        tree.change("policy2", "powersave")
    assert tree.governors() == {"policy0": "schedutil", "policy2": "powersave"}
    assert any("somebody else has changed it" in event.message for event in said)


def test_a_user_who_may_not_is_told_the_command_and_measures_all_the_same(board):
    tree = board(writable=False)
    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert tree.governors() == AS_BEFORE
        (notice,) = (one for one in reached.notices if one.code == "not-tuned")
        assert "governor of policy0, governor of policy2" in notice.message
        assert "sudo tee /sys/devices/system/cpu/cpufreq/policy0/scaling_governor" in notice.hint
    assert journal() == ""


def test_a_board_without_cpufreq_says_so(sshd_factory, tmp_path):
    (tmp_path / "empty").mkdir()
    sshd_factory(cpus=tmp_path / "empty")
    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert codes(reached.notices) == ["not-tuned"]


@pytest.mark.parametrize(
    "line",
    [
        "governor root /etc/passwd",
        "governor x /sys/devices/system/cpu/../../../../tmp/canary/scaling_governor",
        "governor $(touch /tmp/canary) /sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
        "governor -n /sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
    ],
)
def test_a_journal_writes_governors_only_whatever_it_says(board, line):
    tree = board()
    _leave(tree, also=line)
    with reach_board("pi4", Reach(), ignore):
        assert tree.governors() == AS_BEFORE
    assert not Path("/tmp/canary").exists()


def test_f59_a_mask_with_a_core_that_is_not_there_is_refused_before_anything_runs(board, tmp_path, monkeypatch):
    (tmp_path / "profiles" / "pi4.toml").write_text('title = "a board"\ncpus = [2, 99]\n')
    board()
    with reach_board("pi4", Reach(), ignore) as reached, pytest.raises(DeviceError, match="99 is not online there"):
        _affinity(reached, 1)


def test_f59_a_core_that_was_unplugged_is_refused_by_the_profiles_mask_and_left_out_of_our_own(board, tmp_path):
    board(offline=(3,))
    with reach_board("pi4", Reach(), ignore) as reached:
        assert _affinity(reached, 1).cpus == (2,)
    (tmp_path / "profiles" / "pi4.toml").write_text('title = "a board"\ncpus = [2, 3]\n')
    with (
        reach_board("pi4", Reach(), ignore) as reached,
        pytest.raises(DeviceError, match=r"cores 2, 3, and 3 is not online there \(online: 0-2\)"),
    ):
        _affinity(reached, 2)


def test_models_run_on_the_big_cores_unless_more_threads_are_asked_for(board):
    board()
    with reach_board("pi4", Reach(), ignore) as reached:
        assert _affinity(reached, 1).cpus == _affinity(reached, 2).cpus == (2, 3)
        beyond = _affinity(reached, 4)
    assert beyond.cpus == ()
    assert [notice.code for notice in beyond.notices] == ["beyond-the-big-cores"]


def test_cores_that_are_nearly_alike_are_left_to_the_scheduler(board):
    board(clusters={4_900_000: (0, 1), 5_000_000: (2, 3)})
    with reach_board("pi4", Reach(), ignore) as reached:
        assert _affinity(reached, 1).cpus == ()


def _affinity(reached, num_threads):
    from edgekit.device.affinity import choose_cpus

    return choose_cpus("pi4", reached.profile, reached.facts, num_threads)


def _leave(tree: CpuTree, boot: str = "", *, also: str = "") -> None:
    """What a lost client leaves: settings, and the journal with those from before."""
    from edgekit.device.connect import connect
    from edgekit.device.target import resolve

    rows = [f"governor schedutil /sys/devices/system/cpu/cpufreq/{policy}/scaling_governor" for policy in AS_BEFORE]
    for policy in AS_BEFORE:
        tree.change(policy, "performance")
    script = """
        mkdir -p "$1" || exit
        { echo "${2:-boot $(cat /proc/sys/kernel/random/boot_id)}"; printf "%s\\n" "$3"; } > "$1"/tune.journal
    """
    with connect(resolve("pi4")) as device:
        text = "\n".join([*([also] if also else []), *rows])
        assert device.transport.run(["sh", "-c", script, "-", device.root, boot, text]).exit_status == 0
