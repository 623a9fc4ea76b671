"""What every transport does: one behaviour suite, run over local processes and over a real OpenSSH server."""

from __future__ import annotations

import random
import secrets

import pytest

from edgekit.core.errors import DeadlineError, DeviceError, TransferError

WEIRD = [
    "two words",
    "it's",
    'say "hi"',
    "$(touch canary)",
    "`touch canary`",
    "a;b|c&d",
    "-rf",
    "*",
    "~",
    "é漢",
    "\\",
    "",
]


def test_arguments_arrive_as_they_are(device):
    done = device.transport.run(["sh", "-c", 'printf "%s\\n" "$@"', "sh", *WEIRD])
    assert done.text.splitlines() == WEIRD
    assert "canary" not in device.transport.run(["ls", "-a"]).text.split()


def test_both_outputs_and_the_exit_status_come_back(device):
    done = device.transport.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.exit_status, done.stdout, done.stderr, done.signal_name) == (3, b"out\n", b"err\n", None)
    assert done.complaint == "err"


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (4, "SIGILL")])
def test_a_signal_is_told_by_its_name(device, number, name):
    done = device.transport.run(["sh", "-c", f"kill -{number} $$"])
    assert (done.exit_status, done.signal_name) == (128 + number, name)


def test_a_missing_program_is_status_127(device):
    assert device.transport.run(["no-such-program-here"]).exit_status == 127


def test_input_goes_through_even_when_it_is_large(device):
    content = bytes(range(256)) * 20_000
    done = device.transport.run(["cat"], stdin=content, output_limit_bytes=len(content))
    assert done.stdout == content


def test_without_input_a_reading_command_sees_its_end(device):
    assert device.transport.run(["cat"], timeout_s=10).stdout == b""


def test_input_that_nobody_reads_is_no_error(device):
    assert device.transport.run(["true"], stdin=b"x" * 3_000_000).exit_status == 0


def test_five_megabytes_of_stderr_block_nothing(device):
    script = "head -c 5000000 /dev/zero | tr '\\0' e >&2; echo done; echo the end >&2"
    done = device.transport.run(["sh", "-c", script], timeout_s=30)
    assert done.stdout == b"done\n"
    assert done.complaint == "the end" or done.stderr.endswith(b"the end\n")
    assert len(done.stderr) <= 2 << 20


def test_endless_output_ends_the_command(device):
    word = f"endless-{secrets.token_hex(8)}"
    with pytest.raises(DeviceError, match="printed more than 100000 bytes"):
        device.transport.run(["yes", word], output_limit_bytes=100_000)
    assert word not in _processes(device)
    assert device.transport.run(["echo", "next"]).stdout == b"next\n"


def test_a_command_past_its_deadline_is_killed_with_its_children(device):
    nap = f"sleep {random.randrange(100_000, 999_999)}"
    with pytest.raises(DeadlineError, match="did not end within 1 s"):
        device.transport.run(["sh", "-c", f"{nap} & {nap}"], timeout_s=1)
    assert nap not in _processes(device)
    assert device.transport.run(["echo", "next"]).stdout == b"next\n"


def test_output_that_is_not_text_stays_as_it_is(device):
    done = device.transport.run(["printf", "\\377\\000\\033[31m"])
    assert done.stdout == b"\xff\x00\x1b[31m"
    assert device.transport.run(["sh", "-c", "printf '\\033[31mred\\n' >&2; exit 1"]).complaint == "[31mred"


def test_commands_start_in_the_home_folder(device):
    assert device.transport.run(["sh", "-c", '[ "$PWD" -ef "$HOME" ] && echo yes']).text == "yes\n"


def test_a_file_goes_there_and_back(device, tmp_path):
    content = bytes(range(256)) * 5_000 + b"odd"
    (tmp_path / "out").write_bytes(content)
    there = f"{_home(device)}/a file's name"
    seen: list[int] = []
    device.transport.push(tmp_path / "out", there, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(content)
    assert device.transport.pull(there, tmp_path / "back", limit_bytes=len(content)) == len(content)
    assert (tmp_path / "back").read_bytes() == content


def test_an_empty_file_goes_there(device, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    device.transport.push(tmp_path / "empty", f"{_home(device)}/empty")
    assert device.transport.run(["stat", "-c", "%s", f"{_home(device)}/empty"]).text == "0\n"


def test_a_push_never_writes_over_what_is_there(device, tmp_path):
    (tmp_path / "new").write_text("new")
    there = f"{_home(device)}/taken"
    device.transport.run(["sh", "-c", 'echo precious > "$1"; ln -s "$1" "$1.link"', "sh", there])
    for name in (there, f"{there}.link"):
        with pytest.raises(TransferError, match="cannot write"):
            device.transport.push(tmp_path / "new", name)
    assert device.transport.run(["cat", there]).text == "precious\n"


def test_a_push_into_a_missing_folder_is_named(device, tmp_path):
    (tmp_path / "new").write_text("new")
    with pytest.raises(TransferError, match=r"No such file|Directory nonexistent"):
        device.transport.push(tmp_path / "new", f"{_home(device)}/missing/file")


def test_a_pull_of_what_is_not_there_is_named(device, tmp_path):
    with pytest.raises(TransferError, match="No such file"):
        device.transport.pull(f"{_home(device)}/missing", tmp_path / "x", limit_bytes=10)


def test_a_pull_has_a_limit(device, tmp_path):
    with pytest.raises(TransferError, match="larger than 1000 bytes"):
        device.transport.pull("/dev/zero", tmp_path / "zeros", limit_bytes=1000)
    assert (tmp_path / "zeros").stat().st_size <= 1000
    assert device.transport.run(["echo", "next"]).stdout == b"next\n"


def _home(device) -> str:
    return device.transport.run(["sh", "-c", 'printf %s "$HOME"']).text


def _processes(device) -> str:
    return device.transport.run(
        ["sh", "-c", "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; done 2>/dev/null"]
    ).text
