"""A board is tuned while it measures, and put back whatever ends that; models stay on the cores that they should."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cpu_tree import CpuTree
from sshd_board import Sshd

from edgekit.core.errors import DeviceError
from edgekit.core.events import Event, ignore
from edgekit.device.affinity import choose_cpus
from edgekit.device.connect import connect
from edgekit.device.facts_cpu import Core, cpu_list
from edgekit.device.profile import load_profile, profile_paths, read_profile
from edgekit.device.target import resolve
from edgekit.verbs.boards import Reach, reach_board, tell
from edgekit.verbs.provision import remove_from_board
from edgekit.verbs.rollback import rollback

BIG_LITTLE = {1_800_000: (0, 1), 2_400_000: (2, 3)}
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
with reach_board(sys.argv[1], Reach(tune=True, host=sys.argv[3] or None), ignore) as board:
    print("tuned", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def board(sshd_factory: Callable[..., object], tmp_path: Path) -> Callable[..., CpuTree]:
    """A board with such cores; its name is pi4."""

    def start(**options: object) -> CpuTree:
        folder = tmp_path / f"cpu{len(list(tmp_path.iterdir()))}"
        clusters = options.pop("clusters", BIG_LITTLE)
        busybox = options.pop("busybox", False)
        tree = CpuTree(folder, clusters, **options)  # type: ignore[arg-type]
        start.started.append(sshd_factory(cpus=folder, busybox=busybox))
        return tree

    start.started = []
    return start


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


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for it, for far longer than it takes."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


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


def test_governors_are_performance_within_the_block_and_as_before_after_it(board):
    tree = board()
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


def test_f60_a_client_that_is_killed_while_the_board_is_tuned_is_cleaned_up_after_by_the_board_itself(board):
    tree = board()
    with client("pi4") as other:
        assert tree.governors() == TUNED
        other.send_signal(signal.SIGKILL)
        eventually(lambda: tree.governors() == AS_BEFORE and tree.least_clocks() == LEAST_BEFORE)
    with reach_board("pi4", Reach(wait_s=60.0), ignore) as reached:
        assert codes(reached.notices) == []
    assert left_on_board() == ""


def test_f60_a_client_that_falls_silent_loses_the_board_and_its_settings(board):
    tree = board()
    with client("pi4", limit_s=4) as other:
        assert tree.governors() == TUNED
        other.send_signal(signal.SIGSTOP)
        eventually(lambda: tree.governors() == AS_BEFORE)


@pytest.mark.parametrize("command", ["benchmark", "roll back", "remove"])
def test_f60_after_everything_of_ours_was_killed_the_next_command_restores_from_the_journal(board, command):
    tree = board()
    with client("pi4") as other:
        for pid in [*board.started[-1].sessions(), other.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        other.wait(30)
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


def test_f60_what_cannot_be_put_back_is_tried_again_each_time_and_nothing_is_tuned_on_top_of_it(board):
    tree = board()
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


def test_a_board_that_has_only_busybox_is_tuned_and_cleaned_up_after(board):
    tree = board(busybox=True)
    with client("pi4") as other:
        assert tree.governors() == TUNED
        other.send_signal(signal.SIGKILL)
        eventually(lambda: tree.governors() == AS_BEFORE)
    with reach_board("pi4", Reach(tune=True, wait_s=60.0), ignore):
        assert tree.governors() == TUNED
    assert tree.governors() == AS_BEFORE


def test_a_kernel_without_policy_folders_is_tuned_core_by_core(board):
    tree = board()
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


def test_sudo_is_used_where_it_asks_for_no_password(board):
    tree = board(writable=False)
    _with_sudo(board.started[-1])
    with reach_board("pi4", Reach(tune=True), ignore) as reached:
        assert codes(reached.notices) == ["tuned"]
        assert tree.governors() == TUNED
    assert tree.governors() == AS_BEFORE


def test_f60_a_phone_is_in_its_fixed_performance_mode_within_the_block_and_never_after_it(
    adb_device, adb_server, tmp_path
):
    adb_server("connect", adb_device.serial)
    mode = adb_device.path("/data/local/tmp/.fixed-performance")
    way = Reach(host=adb_device.serial)
    text = 'title = "a phone"\ntransport = "adb"\nworkspace = "/data/local/tmp/edgekit"\n'
    (tmp_path / "profiles" / "phone.toml").write_text(text)
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
        other.wait(30)
    # adbd takes everything of a lost connection with it, our holder too
    with reach_board("phone", dataclasses.replace(way, wait_s=60.0), ignore) as reached:
        assert codes(reached.notices) == ["tuning-restored"]
        assert mode.read_text() == "false\n"


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
        assert "governor of policy0, policy2; least clock of policy0, policy2" in notice.message
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


def test_f59_cores_that_the_users_processes_are_kept_off_are_refused_or_left_out(monkeypatch, tmp_path):
    core = os.cpu_count() or 1
    one = sorted(os.sched_getaffinity(0))[0]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {one})  # what a container's cpuset does to all that runs in it
    try:
        with reach_board("local", Reach(), ignore) as reached:
            facts = reached.facts
    finally:
        os.sched_setaffinity(0, before)
    assert facts.allowed_cpus == (one,)
    clocks = tuple(Core(cpu=cpu, max_hz=(1 + cpu) * 10**9, current_hz=None) for cpu in range(core + 2))
    facts = dataclasses.replace(facts, cores=clocks)
    generic = load_profile("generic")
    assert choose_cpus("local", generic, facts, 1).cpus == ()
    assert choose_cpus("local", generic, dataclasses.replace(facts, allowed_cpus=()), 1).cpus == (core + 1,)
    with pytest.raises(DeviceError, match="kept off") as caught:
        choose_cpus("local", dataclasses.replace(generic, cpus=(one, core + 1)), facts, 1)
    assert caught.value.details["allowed"] == [one]


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("0-3", (0, 1, 2, 3)),
        ("0,2-3,7", (0, 2, 3, 7)),
        ("", ()),
        ("0-x", ()),
        ("0-99999999", ()),
        ("-1", ()),
        ("²", ()),
    ],
)
def test_lists_of_cores_are_read_as_the_kernel_writes_them(text, cores):
    assert cpu_list(text) == cores


def test_every_shipped_profile_with_cores_of_several_kinds_names_the_fast_ones():
    mixed = 0
    for name, path in profile_paths().items():
        profile = read_profile(path)
        clocks = {cpu: cluster.max_mhz or 0 for cluster in profile.clusters for cpu in cluster.cpus}
        if len(set(clocks.values())) > 1:
            mixed += 1
            assert set(profile.cpus) == {cpu for cpu, mhz in clocks.items() if mhz == max(clocks.values())}, name
        else:
            assert profile.cpus == (), name
    assert mixed >= 2


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
    # this machine's kernel lets nobody run on cores that only the board has
    facts = dataclasses.replace(reached.facts, allowed_cpus=())
    return choose_cpus("pi4", reached.profile, facts, num_threads)


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
