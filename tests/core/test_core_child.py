from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.core.child import Child, ChildDied, run_once
from edgekit.core.errors import DataError, EdgekitError
from edgekit.core.events import Event

HERE = str(Path(__file__).parent)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    with Child(log=tmp_path / "log.txt", purpose="test", environment={"PYTHONPATH": HERE}) as child:
        yield child


def test_an_answer_comes_back(child: Child) -> None:
    assert child.call("child_tasks:add", time_limit_s=20, a=2, b=3) == 5


def test_one_process_serves_several_calls(child: Child) -> None:
    first = child.call("child_tasks:process_id", time_limit_s=20)
    assert first == child.call("child_tasks:process_id", time_limit_s=20) != os.getpid()


def test_noise_goes_to_the_log_and_events_to_the_sink(
    child: Child, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    assert child.call("child_tasks:chatter", time_limit_s=20, on_event=events.append) == "done"
    assert [event.task for event in events] == ["half way"]
    child.close()
    assert "standard output" in (tmp_path / "log.txt").read_text()
    assert "standard error" in (tmp_path / "log.txt").read_text()
    assert capfd.readouterr() == ("", "")


def test_our_error_crosses_with_class_hint_and_details(child: Child) -> None:
    with pytest.raises(DataError, match="row 7 is empty") as caught:
        child.call("child_tasks:refuse", time_limit_s=20)
    assert caught.value.hint == "delete it"
    assert caught.value.details == {"row": 7}
    assert child.call("child_tasks:add", time_limit_s=20, a=1, b=1) == 2


def test_a_foreign_error_is_named_and_its_traceback_is_in_the_log(child: Child, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="ZeroDivisionError: nothing of ours"):
        child.call("child_tasks:stumble", time_limit_s=20)
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_a_crash_names_its_signal_and_the_next_call_gets_a_new_process(child: Child) -> None:
    with pytest.raises(ChildDied, match="crashed") as caught:
        child.call("child_tasks:crash", time_limit_s=20)
    assert caught.value.signal_name == "SIGSEGV"
    assert not caught.value.timed_out
    assert child.call("child_tasks:add", time_limit_s=20, a=1, b=1) == 2


def test_a_hang_ends_at_the_time_limit(child: Child) -> None:
    begin = time.monotonic()
    with pytest.raises(ChildDied, match="did not end within 1 s") as caught:
        child.call("child_tasks:sleep", time_limit_s=1, seconds=60)
    assert caught.value.timed_out
    assert time.monotonic() - begin < 20


def test_too_much_memory_is_called_so(tmp_path: Path) -> None:
    with (
        Child(
            log=tmp_path / "log.txt",
            purpose="test",
            memory_limit_bytes=200 << 20,
            environment={"PYTHONPATH": HERE},
        ) as child,
        pytest.raises(EdgekitError, match="memory"),
    ):
        child.call("child_tasks:hoard", time_limit_s=20, size=1 << 30)


def test_the_log_of_a_single_call_is_kept_only_when_it_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", HERE)
    assert run_once("child_tasks:add", purpose="sum", time_limit_s=20, a=1, b=2) == 3
    with pytest.raises(ChildDied) as caught:
        run_once("child_tasks:crash", purpose="sum", time_limit_s=20)
    assert caught.value.hint is not None
    assert Path(caught.value.hint.split()[-1]).is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from edgekit.core.child import Child\n"
        f"child = Child(log=Path({str(tmp_path / 'log')!r}), purpose='t'); child.start()\n"
        "print(child.call('child_tasks:process_id', time_limit_s=20), flush=True)\n"
        "child.call('child_tasks:sleep', time_limit_s=60, seconds=60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": HERE}
    )
    assert parent.stdout is not None
    child_id = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _alive(child_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child_id)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
