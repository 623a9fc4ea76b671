"""A connection that another thread closes: what runs there ends, and whoever waits for it hears of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import SOON_S, wait_until

from edgekit.core.errors import DeviceError, UnreachableError
from edgekit.device.connect import Device, connect
from edgekit.device.target import resolve
from edgekit.device.transport.framing import Framed


@pytest.fixture(params=["local", "ssh"])
def device(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    if request.param == "local":
        monkeypatch.setenv("HOME", str(tmp_path))
        with connect(resolve("local")) as opened:
            yield opened
    else:
        request.getfixturevalue("sshd_board")
        with connect(resolve("pi4")) as opened:
            yield opened


@pytest.mark.parametrize("heard_after_s", [0.0, 0.7])
def test_a_command_that_runs_is_killed_and_its_caller_gets_an_error(
    device: Device, monkeypatch: pytest.MonkeyPatch, heard_after_s: float
) -> None:
    """Also where we have not yet heard which process it is."""
    listen_late(monkeypatch, heard_after_s)
    beside = connect(device.target)
    marker = f"{random.randrange(100_000, 999_999)}"

    def running() -> bool:
        # the brackets keep the command from finding itself
        pattern = f"[s]leep {marker}"
        return beside.transport.run(["pgrep", "-f", pattern], timeout_s=SOON_S).exit_status == 0

    found: list[object] = []

    def work() -> None:
        try:
            found.append(device.transport.run(["sleep", marker], timeout_s=600))
        except DeviceError as error:
            found.append(error)

    with beside:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        wait_until(running)
        device.transport.close()
        thread.join(SOON_S)
        assert not thread.is_alive()
        assert [type(one) for one in found] == [UnreachableError]
        wait_until(lambda: not running())


def listen_late(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Whoever reads what a command prints first is slow."""
    add = Framed.add

    def late(framed: Framed, block: bytes) -> None:
        if framed.pid is None:
            time.sleep(seconds)
        add(framed, block)

    monkeypatch.setattr(Framed, "add", late)


def test_a_closed_connection_runs_nothing_more(device: Device) -> None:
    device.transport.close()
    with pytest.raises(UnreachableError, match="closed"):
        device.transport.run(["true"])


def test_it_may_be_closed_twice(device: Device) -> None:
    device.transport.close()
    device.transport.close()
