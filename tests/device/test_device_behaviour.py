"""What every board does, however it is reached: one behaviour suite over this machine, busybox, ssh, adb and ARM."""

from __future__ import annotations

import dataclasses
import random
import secrets

import pytest
import tiny_tflite
from processes import wait_until

from edgekit.core.artifact import Artifact
from edgekit.core.errors import BusyError, DeadlineError, DeviceError, TransferError
from edgekit.core.hashing import sha256_file
from edgekit.device import releases
from edgekit.device.connect import Device, connect
from edgekit.device.lock import held
from edgekit.device.provision import prepare_runtime
from edgekit.device.run import new_job, push_samples, run_job

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


@pytest.fixture
def device(every_device: Device) -> Device:
    """Each test of this file is about all of them."""
    return every_device


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
    done = device.transport.run(["no-such-program-here"])
    assert done.exit_status == 127
    assert "edgekit" not in done.complaint  # nor the name of a script of ours


def test_input_goes_through_even_when_it_is_large(device):
    content = bytes(range(256)) * 20_000
    done = device.transport.run(["cat"], stdin=content, output_limit_bytes=len(content))
    assert done.stdout == content


def test_without_input_a_reading_command_sees_its_end(device):
    assert device.transport.run(["cat"], timeout_s=60).stdout == b""


def test_input_that_nobody_reads_is_no_error(device):
    assert device.transport.run(["true"], stdin=b"x" * 3_000_000).exit_status == 0


def test_f14_five_megabytes_of_stderr_block_nothing(device):
    script = "head -c 5000000 /dev/zero | tr '\\0' e >&2; echo done; echo the end >&2"
    done = device.transport.run(["sh", "-c", script], timeout_s=30)
    assert done.stdout == b"done\n"
    assert done.complaint == "the end" or done.stderr.endswith(b"the end\n")
    assert len(done.stderr) <= 2 << 20


def test_f14_endless_output_ends_the_command(device):
    word = f"endless-{secrets.token_hex(8)}"
    with pytest.raises(DeviceError, match="printed more than 100000 bytes"):
        device.transport.run(["yes", word], output_limit_bytes=100_000)
    wait_until(lambda: word not in _processes(device))
    assert device.transport.run(["echo", "next"]).stdout == b"next\n"


def test_f09_a_command_past_its_deadline_is_killed_with_its_children(device):
    nap = f"sleep {random.randrange(100_000, 999_999)}"
    with pytest.raises(DeadlineError, match="did not end within 5 s"):
        device.transport.run(["sh", "-c", f"{nap} & {nap}"], timeout_s=5)
    wait_until(lambda: nap not in _processes(device))
    assert device.transport.run(["echo", "next"]).stdout == b"next\n"


def test_f14_output_that_is_not_text_stays_as_it_is(device):
    done = device.transport.run(["printf", "\\377\\000\\033[31m"])
    assert done.stdout == b"\xff\x00\x1b[31m"
    assert device.transport.run(["sh", "-c", "printf '\\033[31mred\\n' >&2; exit 1"]).complaint == "[31mred"


def test_commands_start_in_the_home_folder(device):
    assert device.transport.run(["sh", "-c", '[ "$PWD" -ef "$HOME" ] && echo yes']).text == "yes\n"


def test_a_file_goes_there_and_back(device, tmp_path):
    content = bytes(range(256)) * 5_000 + b"odd"
    (tmp_path / "out").write_bytes(content)
    there = f"{_place(device)}/a file's name"
    seen: list[int] = []
    device.transport.push(tmp_path / "out", there, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == len(content)
    assert device.transport.pull(there, tmp_path / "back", limit_bytes=len(content)) == len(content)
    assert (tmp_path / "back").read_bytes() == content


def test_an_empty_file_goes_there(device, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    device.transport.push(tmp_path / "empty", f"{_place(device)}/empty")
    assert device.transport.run(["stat", "-c", "%s", f"{_place(device)}/empty"]).text == "0\n"


def test_a_push_never_writes_over_what_is_there(device, tmp_path):
    (tmp_path / "new").write_text("new")
    there = f"{_place(device)}/taken"
    device.transport.run(["sh", "-c", 'echo precious > "$1"; ln -s "$1" "$1.link"', "sh", there])
    for name in (there, f"{there}.link"):
        with pytest.raises(TransferError, match="cannot write"):
            device.transport.push(tmp_path / "new", name)
    assert device.transport.run(["cat", there]).text == "precious\n"


def test_a_push_into_a_missing_folder_is_named(device, tmp_path):
    (tmp_path / "new").write_text("new")
    with pytest.raises(TransferError, match=r"No such file|Directory nonexistent"):
        device.transport.push(tmp_path / "new", f"{_place(device)}/missing/file")


def test_a_pull_of_what_is_not_there_is_named(device, tmp_path):
    with pytest.raises(TransferError, match="No such file"):
        device.transport.pull(f"{_place(device)}/missing", tmp_path / "x", limit_bytes=10)


def test_f26_a_pull_has_a_limit(device, tmp_path):
    with pytest.raises(TransferError, match="larger than 1000 bytes"):
        device.transport.pull("/dev/zero", tmp_path / "zeros", limit_bytes=1000)
    assert (tmp_path / "zeros").stat().st_size <= 1000
    assert device.transport.run(["echo", "next"]).stdout == b"next\n"


def _place(device) -> str:
    """A folder that its user may write in: not everybody has a home."""
    device.transport.run(["mkdir", "-p", "-m", "700", device.root])
    return device.root


def _processes(device) -> str:
    return device.transport.run(
        ["sh", "-c", "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; done 2>/dev/null"]
    ).text


# ------------------------------------------------------------------------------------------------------ what it holds


def test_a_held_command_lives_until_it_is_let_go(device):
    script = 'echo here; cat; echo ended > "$1"'
    command = device.transport.hold(["sh", "-c", script, "sh", f"{_place(device)}/note"])
    assert (command.said, command.alive) == ("here", True)
    assert device.transport.run(["echo", "beside it"]).text == "beside it\n"
    command.close()
    assert not command.alive
    assert device.transport.run(["cat", f"{device.root}/note"]).text == "ended\n"


def test_a_file_in_the_workspace_is_checked_there_and_sent_once(device, tmp_path):
    (tmp_path / "model").write_bytes(bytes(300_000))
    pushed = device.workspace.push_file(tmp_path / "model", "models/a model's name")
    assert (pushed.sha256, pushed.uploaded_bytes) == (sha256_file(tmp_path / "model"), 300_000)
    assert device.workspace.push_file(tmp_path / "model", "models/a model's name").uploaded_bytes == 0
    device.transport.run(["sh", "-c", 'printf X | dd of="$1" bs=1 seek=9 conv=notrunc', "sh", pushed.path])
    assert device.workspace.push_file(tmp_path / "model", "models/a model's name").uploaded_bytes == 300_000


def test_its_facts_come_in_one_go(device):
    facts = device.facts()
    assert facts.abi in ("x86_64", "aarch64")
    assert facts.cores
    assert facts.memory_total_bytes > 1 << 28
    assert facts.boot_id
    assert facts.workspace == device.root


def test_of_two_users_one_gets_it(device):
    with held(device, purpose="the first", on_event=print):
        assert device.transport.run(["echo", "mine"]).text == "mine\n"
        with connect(device.target) as other, pytest.raises(BusyError), held(other, purpose="b", on_event=print):
            raise AssertionError
    with held(device, purpose="the next", on_event=print):
        assert device.transport.run(["echo", "mine"]).text == "mine\n"


def test_a_release_is_activated_and_taken_back(device, tmp_path):
    made = []
    for content in (b"one", b"two"):
        (tmp_path / "digits.tflite").write_bytes(content)
        artifact = Artifact(path=tmp_path / "digits.tflite", manifest=None)
        made.append(releases.activate(device.workspace, releases.publish(device.workspace, artifact)))
    assert releases.state(device.workspace, "digits") == (made[1].id, made[0].id)
    assert releases.rollback(device.workspace, "digits").id == made[0].id
    current = device.transport.run(["cat", f"{made[0].path}/../current/model.tflite"])
    assert current.stdout == b"one"


def test_one_job_runs_from_an_empty_board_to_its_samples(python_device, tmp_path):
    runtime = prepare_runtime(python_device, python_device.facts())
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    pushed = python_device.workspace.push_file(model, "models/model.tflite")
    artifact = Artifact(path=model, manifest=None)
    samples = push_samples(python_device, artifact, runtime=runtime, model_path=pushed.path)
    job = new_job(runtime, model_path=pushed.path, model_sha256=pushed.sha256, samples=samples.paths)
    trial = run_job(python_device, runtime, dataclasses.replace(job, warmup_s=0.01, min_s=0.02, min_runs=5), 60)
    assert len(trial.latency_ns) >= 5
