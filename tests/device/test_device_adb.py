"""An Android device over adb: Debian's real adb server, our own device side, Android's shell and programs."""

from __future__ import annotations

import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import SOON_S, wait_until
from sshd_board import free_port
from test_device_closing import listen_late

from edgekit.core.errors import (
    AuthenticationError,
    DeadlineError,
    DependencyError,
    DeviceError,
    TransferError,
    UnreachableError,
)
from edgekit.core.hashing import sha256_file
from edgekit.device.transport import adb_door
from edgekit.device.transport.adb import open_adb
from edgekit.device.transport.adb_transport import AdbTransport
from edgekit.device.workspace import Workspace

TMP = "/data/local/tmp"


@pytest.fixture
def phone(adb_device) -> Iterator[AdbTransport]:
    transport = open_adb(adb_device.serial, name="phone", timeout_s=30)
    yield transport
    transport.close()


# --- commands


def test_a_command_runs_as_the_shell_user_in_androids_file_tree(phone):
    done = phone.run(["sh", "-c", "id -u; pwd; uname -o; ls /; [ -e /tmp ] || echo no /tmp; getprop ro.product.model"])
    assert done.exit_status == 0
    assert done.text.splitlines()[:3] == ["2000", "/", "Android"]
    assert {"system", "data"} <= set(done.text.split())
    assert "usr" not in done.text.split()
    assert done.text.endswith("no /tmp\nPixel 6\n")


def test_both_outputs_and_the_exit_status_come_back_apart(phone):
    done = phone.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.exit_status, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (4, "SIGILL")])
def test_a_signal_is_told_by_its_name(phone, number, name):
    done = phone.run(["sh", "-c", f"kill -{number} $$"])
    assert (done.exit_status, done.signal_name) == (128 + number, name)


def test_a_missing_program_is_status_127(phone):
    assert phone.run(["no-such-program"]).exit_status == 127


def test_f23_arguments_arrive_as_they_are(phone):
    weird = ["two words", "it's", 'say "hi"', "$(touch canary)", "`id`", "a;b|c&d", "-rf", "*", "~", "é漢", "\\", ""]
    done = phone.run(["sh", "-c", 'printf "%s\\n" "$@"', "sh", *weird])
    assert done.text.splitlines() == weird
    assert "canary" not in phone.run(["ls", "-a", "/", TMP]).text


def test_large_binary_input_goes_through(phone):
    content = bytes(range(256)) * 20_000
    assert phone.run(["cat"], stdin=content, output_limit_bytes=len(content)).stdout == content


def test_without_input_a_reading_command_sees_its_end(phone):
    assert phone.run(["cat"], timeout_s=60).stdout == b""


def test_input_that_nobody_reads_is_no_error(phone):
    assert phone.run(["true"], stdin=b"x" * 3_000_000).exit_status == 0


def test_f14_five_megabytes_of_stderr_block_nothing(phone):
    done = phone.run(["sh", "-c", "head -c 5000000 /dev/zero >&2; echo done; echo the end >&2"], timeout_s=30)
    assert done.stdout == b"done\n"
    assert done.stderr.endswith(b"the end\n")
    assert len(done.stderr) <= 2 << 20


def test_f14_endless_output_ends_the_command(phone, adb_device):
    word = f"endless-{secrets.token_hex(8)}"
    with pytest.raises(DeviceError, match="printed more than 100000 bytes"):
        phone.run(["yes", word], output_limit_bytes=100_000)
    wait_until(lambda: word not in adb_device.commands())


def test_f09_a_command_past_its_deadline_is_killed_with_its_children(phone, adb_device):
    nap = f"sleep {random.randrange(100_000, 999_999)}"
    with pytest.raises(DeadlineError, match="did not end within 5 s"):
        phone.run(["sh", "-c", f"{nap} & {nap}"], timeout_s=5)
    wait_until(lambda: nap not in adb_device.commands())
    assert phone.run(["echo", "next"]).stdout == b"next\n"


def test_f09_a_frozen_device_runs_into_the_deadline(phone, adb_device, monkeypatch):
    monkeypatch.setattr("edgekit.device.transport.adb_transport._KILL_LIMIT_S", 1.0)
    nap = f"sleep {random.randrange(100_000, 999_999)}"

    def freeze() -> None:
        wait_until(lambda: nap in adb_device.commands())
        adb_device.process.send_signal(signal.SIGSTOP)

    freezing = threading.Thread(target=freeze)
    freezing.start()
    try:
        with pytest.raises(DeadlineError, match="did not end within 5 s"):
            phone.run(nap.split(), timeout_s=5)
    finally:
        freezing.join()
        adb_device.process.send_signal(signal.SIGCONT)
    wait_until(lambda: nap not in adb_device.commands())


def test_a_command_that_is_too_long_for_adb_is_refused(phone):
    with pytest.raises(DeviceError, match="too long for the board"):
        phone.run(["echo", "x" * 70_000])


@pytest.mark.parametrize("heard_after_s", [0.0, 0.7])
def test_another_thread_can_close_it(phone, adb_device, monkeypatch, heard_after_s):
    listen_late(monkeypatch, heard_after_s)  # of which process it is that shall be killed
    nap = f"sleep {random.randrange(100_000, 999_999)}"

    def close() -> None:
        wait_until(lambda: nap in adb_device.commands())
        phone.close()

    threading.Thread(target=close, daemon=True).start()
    with pytest.raises(UnreachableError):
        phone.run(nap.split(), timeout_s=600)
    wait_until(lambda: nap not in adb_device.commands())
    with pytest.raises(UnreachableError, match="closed before"):
        phone.run(["true"])


# --- files


def test_fifty_megabytes_arrive_with_the_same_hash(phone, tmp_path):
    local = tmp_path / "big"
    local.write_bytes(random.Random(7).randbytes(50 << 20))
    seen: list[int] = []
    phone.push(local, f"{TMP}/big file", seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 50 << 20
    assert phone.run(["sha256sum", f"{TMP}/big file"]).text.split()[0] == sha256_file(local)
    assert phone.pull(f"{TMP}/big file", tmp_path / "back", limit_bytes=50 << 20) == 50 << 20
    assert sha256_file(tmp_path / "back") == sha256_file(local)


def test_f22_a_push_never_writes_over_what_is_there(phone, tmp_path):
    (tmp_path / "new").write_text("new")
    phone.run(["sh", "-c", 'echo precious > "$1"; ln -s "$1" "$1.link"; mkdir "$1.folder"', "sh", f"{TMP}/taken"])
    for name in ("taken", "taken.link", "taken.folder"):
        with pytest.raises(TransferError, match="cannot write"):
            phone.push(tmp_path / "new", f"{TMP}/{name}")
    assert phone.run(["cat", f"{TMP}/taken"]).text == "precious\n"


def test_f17_a_full_disk_is_named_and_nothing_is_left(adb_factory, tmp_path):
    device = adb_factory(disk_mb=1)
    phone = open_adb(device.serial, name="phone", timeout_s=30)
    (tmp_path / "big").write_bytes(bytes(3 << 20))
    with pytest.raises(TransferError, match="No space left"):
        phone.push(tmp_path / "big", f"{TMP}/big")
    assert not list(device.path(TMP).iterdir())


def test_f18_a_folder_that_is_not_ours_is_named(phone, tmp_path):
    (tmp_path / "new").write_text("new")
    with pytest.raises(TransferError, match="Permission denied"):
        phone.push(tmp_path / "new", "/system/new")
    with pytest.raises(TransferError, match="No such file"):
        phone.push(tmp_path / "new", f"{TMP}/missing/new")


def test_a_pull_has_a_limit_and_names_what_is_missing(phone, tmp_path):
    with pytest.raises(TransferError, match="larger than 1000 bytes"):
        phone.pull("/dev/zero", tmp_path / "zeros", limit_bytes=1000)
    with pytest.raises(TransferError, match="No such file"):
        phone.pull(f"{TMP}/missing", tmp_path / "x", limit_bytes=10)
    assert phone.run(["echo", "next"]).stdout == b"next\n"


def test_what_adb_push_brings_is_pulled_the_same(phone, adb_device, adb_server, tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 999)
    assert "1 file pushed" in adb_server("-s", adb_device.serial, "push", str(tmp_path / "file"), f"{TMP}/by-adb")
    phone.pull(f"{TMP}/by-adb", tmp_path / "back", limit_bytes=1 << 20)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_f23_files_with_hostile_names_are_checked_by_hash_in_the_workspace(phone):
    workspace = Workspace(phone, f"{TMP}/edgekit", name="phone")
    for name in ("it's; touch canary", "$(touch canary)", "-rf", "漢字", '"'):
        pushed = workspace.push_bytes(name.encode(), f"models/{name}")
        assert pushed.uploaded_bytes > 0
        assert workspace.push_bytes(name.encode(), f"models/{name}").uploaded_bytes == 0
        assert phone.run(["cat", "--", pushed.path]).text == name
    assert "canary" not in phone.run(["find", TMP]).text.replace("touch canary", "")


def test_a_pushed_glibc_program_does_not_start(phone, tmp_path):
    phone.push(Path("/bin/true"), f"{TMP}/true")
    done = phone.run(["sh", "-c", 'chmod 755 "$1"; "$1"', "sh", f"{TMP}/true"])
    assert done.exit_status in (126, 127)
    assert b"No such file" in done.stderr or b"not found" in done.stderr


# --- commands that are held open


def test_a_held_command_lives_until_it_is_closed(phone, adb_device):
    word = f"held-{secrets.token_hex(8)}"
    held = phone.hold(["sh", "-c", "echo ready; cat >/dev/null", word])
    assert (held.said, held.alive) == ("ready", True)
    assert phone.run(["echo", "beside it"]).stdout == b"beside it\n"
    held.close()
    assert not held.alive
    wait_until(lambda: word not in adb_device.commands())


def test_a_held_command_reads_what_is_sent(phone):
    held = phone.hold(["sh", "-c", f'echo ready; read line; echo "$line" > {TMP}/line; cat > /dev/null'])
    held.send(b"hello\n")
    wait_until(lambda: phone.run(["cat", f"{TMP}/line"]).stdout == b"hello\n")
    held.close()


def test_f35_a_held_command_ends_when_the_client_is_killed(adb_device, adb_server):
    word = f"held-{secrets.token_hex(8)}"
    client = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from edgekit.device.transport.adb import open_adb\n"
            "phone = open_adb(sys.argv[1], name='phone', timeout_s=30)\n"
            "held = phone.hold(['sh', '-c', 'echo ready; cat >/dev/null', sys.argv[2]])\n"
            "print(held.said, flush=True)\n"
            "time.sleep(600)\n",
            adb_device.serial,
            word,
        ],
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    assert word in adb_device.commands()
    client.kill()
    client.wait()
    wait_until(lambda: word not in adb_device.commands())


def test_a_held_command_that_ends_first_says_why(phone):
    with pytest.raises(DeviceError, match="no such lock") as caught:
        phone.hold(["sh", "-c", "echo no such lock >&2; exit 9"])
    assert caught.value.details["exit_status"] == 9


def test_a_held_command_that_says_nothing_is_killed(phone, adb_device):
    nap = f"sleep {random.randrange(100_000, 999_999)}"
    with pytest.raises(DeadlineError, match="said nothing within 5 s"):
        phone.hold(nap.split(), timeout_s=5)
    wait_until(lambda: nap not in adb_device.commands())


# --- finding the device


def test_nothing_attached_says_how_to_attach(adb_server):
    with pytest.raises(UnreachableError, match="phone: no Android device is attached") as caught:
        open_adb("", name="phone", timeout_s=30)
    assert "USB debugging" in caught.value.hint


def test_the_only_device_is_taken_where_none_is_named(adb_device, adb_server):
    adb_server("connect", adb_device.serial)
    wait_until(lambda: "\tdevice" in adb_server("devices"))
    assert open_adb("", name="phone", timeout_s=30).serial == adb_device.serial


def test_several_devices_are_listed_and_one_must_be_named(adb_device, adb_factory, adb_server):
    other = adb_factory()
    for device in (adb_device, other):
        open_adb(device.serial, name="phone", timeout_s=30)
    with pytest.raises(DeviceError, match="several Android devices are attached") as caught:
        open_adb("", name="phone", timeout_s=30)
    assert set(caught.value.details["attached"]) == {adb_device.serial, other.serial}
    assert "--host SERIAL" in caught.value.hint


def test_a_wrong_serial_shows_the_ones_there_are(phone, adb_device):
    with pytest.raises(UnreachableError, match=f"'R58M12ABCDE' is attached; there is: {adb_device.serial}"):
        open_adb("R58M12ABCDE", name="phone", timeout_s=30)


def test_f07_an_address_that_refuses_is_named(adb_server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=f"cannot connect to {address}.*refused") as caught:
            open_adb(address, name="phone", timeout_s=30)
    assert "adb pair" in caught.value.hint


def test_f05_a_device_that_nobody_has_confirmed_says_what_to_press(adb_factory):
    device = adb_factory()
    device.set("unauthorized")
    with pytest.raises(AuthenticationError, match="has not allowed debugging by this computer") as caught:
        open_adb(device.serial, name="phone", timeout_s=5)
    assert "Allow USB debugging" in caught.value.hint


def test_a_device_is_used_once_somebody_confirms_it(adb_factory):
    device = adb_factory()
    device.set("unauthorized")
    with pytest.raises(AuthenticationError):
        open_adb(device.serial, name="phone", timeout_s=5)
    device.unset("unauthorized")
    assert open_adb(device.serial, name="phone", timeout_s=30).run(["true"]).exit_status == 0


def test_an_android_without_exit_statuses_is_refused(adb_factory):
    device = adb_factory()
    device.set("features", "cmd")
    with pytest.raises(DeviceError, match=r"too old.*exit status"):
        open_adb(device.serial, name="phone", timeout_s=30)


def test_f10_a_connection_that_drops_in_a_push_is_named_and_can_be_opened_again(adb_device, tmp_path):
    adb_device.set("drop_after", "2000000")
    phone = open_adb(adb_device.serial, name="phone", timeout_s=30)
    (tmp_path / "big").write_bytes(bytes(8 << 20))
    with pytest.raises(UnreachableError, match="lost while pushing big"):
        phone.push(tmp_path / "big", f"{TMP}/big")
    again = open_adb(adb_device.serial, name="phone", timeout_s=30)
    wait_until(lambda: again.run(["ls", TMP]).stdout == b"")  # the part that arrived is removed by the device itself


def test_a_device_that_went_silent_is_offline_until_it_answers_again(adb_device):
    adb_device.set("drop_after", "0")
    adb_device.set("silent")
    with pytest.raises(UnreachableError):
        open_adb(adb_device.serial, name="phone", timeout_s=1)
    adb_device.unset("silent")
    assert open_adb(adb_device.serial, name="phone", timeout_s=30).run(["echo", "back"]).stdout == b"back\n"


# --- the adb server


def test_the_adb_server_is_started_where_none_runs(adb_device, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        assert open_adb(adb_device.serial, name="phone", timeout_s=30).run(["true"]).exit_status == 0
    finally:
        subprocess.run(["adb", "kill-server"], capture_output=True, timeout=SOON_S, check=False)
    assert capfd.readouterr().out == ""


def test_a_missing_adb_program_names_the_package(monkeypatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))

    def missing() -> str:
        raise adb_door.load().AdbError("No adb exe could be found. Install adb on your system")

    monkeypatch.setattr(adb_door.load(), "adb_path", missing)
    with pytest.raises(DependencyError, match="no adb program") as caught:
        open_adb("R58M12ABCDE", name="phone", timeout_s=30)
    assert "apt-get install adb" in caught.value.hint


def test_a_missing_adbutils_names_the_extra(monkeypatch):
    adb_door.load.cache_clear()
    monkeypatch.setitem(sys.modules, "adbutils", None)
    with pytest.raises(DependencyError, match="adbutils is not installed") as caught:
        open_adb("R58M12ABCDE", name="phone", timeout_s=30)
    assert caught.value.hint == "pip install 'edgekit[android]'"
    adb_door.load.cache_clear()
