"""The lock on the emulated board and on phones: another kernel, a power cut, one user and no /tmp."""

from __future__ import annotations

import pytest

from edgekit.core.errors import BusyError, DeviceError
from edgekit.core.events import ignore
from edgekit.device import lock
from edgekit.device.connect import connect
from edgekit.device.target import resolve


@pytest.mark.board
@pytest.mark.slow
def test_f37_a_power_cut_frees_the_board_without_any_manual_step(arm64_board, tmp_path):
    target = resolve(
        host=arm64_board.name, profile="generic-arm64", ssh_config=arm64_board.write_config(tmp_path / "c")
    )
    with connect(target) as one:
        with lock.held(one, purpose="first", on_event=ignore):
            with connect(target) as two, pytest.raises(BusyError), lock.held(two, purpose="second", on_event=ignore):
                raise AssertionError("two have it")
            done = arm64_board.tool("reset", "--name", arm64_board.name)
            assert done.returncode == 0, done.stderr
            with pytest.raises(DeviceError):
                one.transport.run(["true"])
        with connect(target) as two:
            assert lock.owner(two) is None
            with lock.held(two, purpose="second", on_event=ignore):
                assert two.transport.run(["echo", "mine"]).text == "mine\n"


def test_f34_on_a_phone_with_termux_too(termux_board):
    target = resolve(host=termux_board.alias, profile="android-arm64-termux", ssh_config=termux_board.config)
    with connect(target) as one, connect(target) as two:
        with lock.held(one, purpose="first", on_event=ignore):
            assert one.transport.run(["sh", "-c", "echo $EDGEKIT_LOCK"]).text.startswith(
                "/data/data/com.termux/files/usr/tmp/edgekit-"
            )
            one.transport.run(["sh", "-c", "sleep 600 > /dev/null 2>&1 < /dev/null &"])
            with pytest.raises(BusyError), lock.held(two, purpose="second", on_event=ignore):
                raise AssertionError("two have it")
        with lock.held(two, purpose="second", on_event=ignore):
            assert two.transport.run(["echo", "mine"]).text == "mine\n"
