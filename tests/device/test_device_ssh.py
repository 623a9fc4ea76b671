"""Commands and connections over a real OpenSSH server."""

from __future__ import annotations

from edgekit.device.connect import connect
from edgekit.device.target import resolve


def test_a_command_runs_on_the_board(sshd_board):
    with connect(resolve("pi4")) as device:
        done = device.transport.run(["sh", "-c", 'printf "%s" "$1"; echo oops >&2; exit 3', "sh", "a b'$(c)"])
    assert (done.exit_status, done.stdout, done.stderr) == (3, b"a b'$(c)", b"oops\n")
