"""A board is tuned while it measures, and put back whatever ends that; models stay on the cores that they should."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cpu_tree import CpuTree
from processes import kill_at_once, wait_until
from sshd_board import Sshd

from edgekit.core.errors import DeviceError
from edgekit.core.events import Event, ignore
from edgekit.device.connect import connect
from edgekit.device.target import resolve
from edgekit.verbs.boards import Reach, reach_board, tell
from edgekit.verbs.provision import remove_from_board
from edgekit.verbs.rollback import rollback

AS_BEFORE = {"policy0": "schedutil", "policy2": "schedutil"}
LEAST_BEFORE = {"policy0": 450_000, "policy2": 600_000}
TUNED = {"policy0": "performance", "policy2": "performance"}

#: another edgekit: tunes the board, says so, and waits
_CLIENT = """
import sys, time
from edgekit.core.events import ignore
from edgekit.device import lock
from edgekit.verbs.boards import Reach, reach_board

lock.LIMIT_S = int(sys.argv[2])
lock._BEAT_S = lock.LIMIT_S / 20
with reach_board(sys.argv[1], Reach(tune=True, host=sys.argv[3] or None), ignore) as board:
    print("tuned", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def client(name: str, *, limit_s: int = 30, host: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that has the board tuned until it is ended."""
    argv = [sys.executable, "-c", _CLIENT, name, str(limit_s), host]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "tuned\n"
            yield other
        finally:
            other.kill()


def codes(notices: object) -> list[str]:
    return [notice.code for notice in notices if notice.code.startswith(("tun", "not-tuned"))]  # type: ignore[attr-defined]


def journal(name: str = "pi4") -> str:
    """What the journal on the board says; empty: there is none."""
    with connect(resolve(name)) as device:
        return device.transport.run(["sh", "-c", 'cat "$1"/tune.journal 2>/dev/null', "-", device.root]).text


def left_on_board(name: str = "pi4") -> str:
    """Names of tuning files in the workspace on the board."""
    with connect(resolve(name)) as device:
        return device.transport.run(["sh", "-c", 'ls -A "$1" 2>/dev/null | grep tune', "-", device.root]).text


def _with_sudo(board: Sshd) -> None:
    """Programs of the board's users: a sudo that runs a shell as root, and needs no password."""
    script = """
        mount -t tmpfs -o mode=755 tmpfs /usr/local/bin && cd /usr/local/bin || exit
        cp /bin/bash rootsh && chmod 4755 rootsh
        printf '#!/usr/local/bin/rootsh -p\\n[ "$1 $2" = "-n sh" ] && shift 2 && exec rootsh -p "$@"\\n' > sudo
        chmod 755 sudo
    """
    subprocess.run(["nsenter", "-m", "-t", str(board.process.pid), "sh", "-c", script], check=True)


def test_governors_are_performance_within_the_block_and_as_before_after_it(cpu_board):
    tree = cpu_board()
    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert tree.governors() == TUNED
        assert tree.least_clocks() == {"policy0": 1_800_000, "policy2": 2_400_000}
        assert reached.facts.governor == "performance"
        assert codes(reached.notices) == ["tuned"]
        assert (
            "governor of policy0, policy2 (was schedutil); least clock of policy0 (was 450 MHz); least clock of "
            "policy2 (was 600 MHz)"
        ) in reached.notices[-1].message
        assert journal().splitlines()[1:] == [
            f"{kind} {before} /sys/devices/system/cpu/cpufreq/policy{number}/{file}"
            for number, clock in ((0, "450000"), (2, "600000"))
            for kind, before, file in (
                ("governor", "schedutil", "scaling_governor"),
                ("least-clock", clock, "scaling_min_freq"),
            )
        ]
    assert tree.governors() == AS_BEFORE
    assert tree.least_clocks() == LEAST_BEFORE
    assert left_on_board() == ""


def test_nothing_is_changed_without_being_asked(cpu_board):
    tree = cpu_board()
    with reach_board("pi4", Reach(), ignore) as reached:
        assert tree.governors() == AS_BEFORE
        assert codes(reached.notices) == []


def test_an_error_in_the_block_puts_back_too_and_is_not_hidden(cpu_board):
    tree = cpu_board()
    with pytest.raises(ZeroDivisionError), reach_board("pi4", Reach(tune=True), ignore):
        1 / 0  # noqa: B018
    assert tree.governors() == AS_BEFORE


def test_f60_a_client_that_is_killed_while_the_board_is_tuned_is_cleaned_up_after_by_the_board_itself(cpu_board):
    tree = cpu_board()
    with client("pi4") as other:
        assert tree.governors() == TUNED
        other.send_signal(signal.SIGKILL)
        wait_until(lambda: tree.governors() == AS_BEFORE and tree.least_clocks() == LEAST_BEFORE)
    with reach_board("pi4", Reach(wait_s=60.0), ignore) as reached:
        assert codes(reached.notices) == []
    assert left_on_board() == ""


def test_f60_a_client_that_falls_silent_loses_the_board_and_its_settings(cpu_board):
    tree = cpu_board()
    with client("pi4", limit_s=10) as other:
        assert tree.governors() == TUNED
        other.send_signal(signal.SIGSTOP)
        wait_until(lambda: tree.governors() == AS_BEFORE)


@pytest.mark.parametrize("command", ["benchmark", "roll back", "remove"])
def test_f60_after_everything_of_ours_was_killed_the_next_command_restores_from_the_journal(cpu_board, command):
    tree = cpu_board()
    with client("pi4") as other:
        kill_at_once(cpu_board.started[-1].process.pid, other.pid)
        assert tree.governors() == TUNED
        assert journal() != ""
    said: list[Event] = []
    if command == "benchmark":
        with reach_board("pi4", Reach(wait_s=60.0), said.append) as reached:
            assert tree.governors() == AS_BEFORE
            assert codes(reached.notices) == ["tuning-restored"]
            assert reached.facts.governor == "schedutil"
            tell(reached.notices, said.append)
    elif command == "roll back":
        with pytest.raises(DeviceError, match="nothing is deployed"):
            rollback(device="pi4", reach=Reach(wait_s=60.0), on_event=said.append)
    else:
        remove_from_board("pi4", reach=Reach(wait_s=60.0), on_event=said.append)
    assert any("had tuned the board ended without putting it back" in event.message for event in said)
    assert (tree.governors(), tree.least_clocks()) == (AS_BEFORE, LEAST_BEFORE)
    assert left_on_board() == ""
    with reach_board("pi4", Reach(), ignore) as reached:
        assert codes(reached.notices) == []


def test_f60_what_cannot_be_put_back_is_tried_again_each_time_and_nothing_is_tuned_on_top_of_it(cpu_board):
    tree = cpu_board()
    _leave(tree)
    file = tree.folder / "cpufreq/policy2/scaling_governor"
    file.chmod(0o644)
    for _ in range(2):
        with reach_board("pi4", Reach(tune=True), ignore) as reached:
            assert codes(reached.notices) == ["tuning-restored", "tuning-left", "not-tuned"][-2 - (not _) :]
            assert tree.governors() == {"policy0": "schedutil", "policy2": "performance"}
    file.chmod(0o666)
    with reach_board("pi4", Reach(), ignore):
        assert tree.governors() == AS_BEFORE
    assert left_on_board() == ""


def test_a_board_that_has_only_busybox_is_tuned_and_cleaned_up_after(cpu_board):
    tree = cpu_board(busybox=True)
    with client("pi4") as other:
        assert tree.governors() == TUNED
        other.send_signal(signal.SIGKILL)
        wait_until(lambda: tree.governors() == AS_BEFORE)
    with reach_board("pi4", Reach(tune=True, wait_s=60.0), ignore):
        assert tree.governors() == TUNED
    assert tree.governors() == AS_BEFORE


def test_a_kernel_without_policy_folders_is_tuned_core_by_core(cpu_board):
    tree = cpu_board()
    for core, policy in enumerate(("policy0", "policy0", "policy2", "policy2")):
        own = tree.folder / f"cpu{core}" / "cpufreq"
        own.unlink()
        shutil.copytree(tree.folder / "cpufreq" / policy, own)
    shutil.rmtree(tree.folder / "cpufreq")

    def governors() -> set[str]:
        return {path.read_text().strip() for path in tree.folder.glob("cpu*/cpufreq/scaling_governor")}

    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert governors() == {"performance"}
        assert "governor of cpu0, cpu1, cpu2, cpu3 (was schedutil)" in reached.notices[-1].message
    assert governors() == {"schedutil"}


def test_sudo_is_used_where_it_asks_for_no_password(cpu_board):
    tree = cpu_board(writable=False)
    _with_sudo(cpu_board.started[-1])
    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert codes(reached.notices) == ["tuned"]
        assert tree.governors() == TUNED
    assert tree.governors() == AS_BEFORE


def test_f60_a_phone_is_in_its_fixed_performance_mode_within_the_block_and_never_after_it(
    adb_device, adb_server, tmp_path, monkeypatch
):
    adb_server("connect", adb_device.serial)
    mode = adb_device.path("/data/local/tmp/.fixed-performance")
    way = Reach(host=adb_device.serial)
    text = 'title = "a phone"\ntransport = "adb"\nworkspace = "/data/local/tmp/edgekit"\n'
    (tmp_path / "phone.toml").write_text(text)
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path))
    with reach_board("phone", way, ignore) as reached:
        assert codes(reached.notices) == []
    with reach_board("phone", dataclasses.replace(way, tune=True), ignore) as reached:
        assert mode.read_text() == "true\n"
        assert codes(reached.notices) == ["tuned"]
        assert "fixed performance mode (was off)" in reached.notices[-1].message
    assert mode.read_text() == "false\n"
    with client("phone", host=adb_device.serial) as other:
        assert mode.read_text() == "true\n"
        other.send_signal(signal.SIGKILL)
        other.wait()
    # adbd takes everything of a lost connection with it, our holder too; sometimes that comes to it first
    with reach_board("phone", dataclasses.replace(way, wait_s=60.0), ignore) as reached:
        assert codes(reached.notices) in ([], ["tuning-restored"])
        assert mode.read_text() == "false\n"


def test_f60_a_board_that_was_restarted_meanwhile_has_its_own_settings_and_keeps_them(cpu_board):
    tree = cpu_board()
    _leave(tree, "boot 00000000-0000-0000-0000-000000000000")
    with reach_board("pi4", Reach(), ignore) as reached:
        assert codes(reached.notices) == []
    assert tree.governors() == TUNED
    assert journal() == ""


def test_f60_a_new_run_that_tunes_puts_the_settings_back_that_were_there_before_the_lost_one(cpu_board):
    tree = cpu_board()
    _leave(tree)
    with reach_board("pi4", Reach(tune=True), ignore):
        assert tree.governors() == TUNED
    assert tree.governors() == AS_BEFORE


def test_what_somebody_else_has_set_meanwhile_is_left(cpu_board):
    tree = cpu_board()
    said: list[Event] = []
    with reach_board("pi4", Reach(tune=True), said.append):
        tree.change("policy2", "powersave")
    assert tree.governors() == {"policy0": "schedutil", "policy2": "powersave"}
    assert any("somebody else has changed it" in event.message for event in said)


def test_a_user_who_may_not_is_told_the_command_and_measures_all_the_same(cpu_board):
    tree = cpu_board(writable=False)
    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert tree.governors() == AS_BEFORE
        (notice,) = (one for one in reached.notices if one.code == "not-tuned")
        assert "governor of policy0, policy2; least clock of policy0, policy2" in notice.message
        assert "sudo tee /sys/devices/system/cpu/cpufreq/policy0/scaling_governor" in notice.hint
    assert journal() == ""


def test_nothing_is_changed_where_no_journal_can_be_written(cpu_board):
    tree = cpu_board(profile='workspace = "/home/readonly/edgekit"')
    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert tree.governors() == AS_BEFORE
        (notice,) = (one for one in reached.notices if one.code == "not-tuned")
        assert "Read-only file system" in notice.message


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
        "least-clock 1 /etc/passwd",
        "least-clock 1;reboot /sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq",
    ],
)
def test_a_journal_writes_governors_only_whatever_it_says(cpu_board, line):
    tree = cpu_board()
    _leave(tree, also=line)
    with reach_board("pi4", Reach(), ignore):
        assert tree.governors() == AS_BEFORE
    assert not Path("/tmp/canary").exists()


def _leave(tree: CpuTree, boot: str = "", *, also: str = "") -> None:
    """What a lost client leaves: settings, and the journal with those from before."""
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
