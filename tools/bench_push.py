"""How fast edgekit uploads and connects, beside OpenSSH's scp and plain paramiko, in one interleaved run on loopback.

    python tools/bench_push.py [--megabytes 100] [--rounds 3]

A server of its own is started and stopped (see tests/sshd_board.py). Ratios are of the best of the rounds: single runs
differ by a quarter on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sshd_board import Sshd, start_sshd

from edgekit.device.connect import connect
from edgekit.device.target import resolve


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def plain_paramiko(board: Sshd, *, no_delay: bool = False) -> Any:
    """A client as paramiko's documentation opens it."""
    import paramiko

    client = paramiko.SSHClient()
    client.load_host_keys(str(board.known_hosts))
    connection = socket.create_connection((board.host, board.port)) if no_delay else None
    if connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(
        board.host,
        board.port,
        board.user,
        key_filename=str(board.key),
        sock=connection,
        allow_agent=False,
        look_for_keys=False,
    )
    return client


def uploads(board: Sshd, model: Path) -> dict[str, Callable[[], float]]:
    """Name → one timed upload. Connections are made before, except scp's, whose start is measured and taken off."""
    device = connect(resolve(board.alias))
    client = plain_paramiko(board)
    sftp = client.open_sftp()
    there = f"{board.home}/bench.bin"
    remove = ["rm", "-f", there]

    def scp() -> float:
        argv = ["scp", "-q", "-F", str(board.config)]
        device.transport.run(remove)
        tiny = model.with_name("tiny")
        tiny.write_bytes(b"x")
        start = timed(lambda: subprocess.run([*argv, str(tiny), f"{board.alias}:{there}"], check=True))
        return timed(lambda: subprocess.run([*argv, str(model), f"{board.alias}:{there}"], check=True)) - start

    def put() -> float:
        device.transport.run(remove)
        return timed(lambda: sftp.put(str(model), there))

    def pipelined() -> None:
        with model.open("rb") as source, sftp.open(there, "wb") as out:
            out.set_pipelined(True)
            while piece := source.read(250_000):
                out.write(piece)

    def write() -> float:
        device.transport.run(remove)
        return timed(pipelined)

    def push() -> float:
        device.transport.run(remove)
        return timed(lambda: device.transport.push(model, there))

    def push_file() -> float:
        device.transport.run(["rm", "-rf", device.root])
        return timed(lambda: device.workspace.push_file(model, "bench.bin"))

    return {
        "scp": scp,
        "paramiko put": put,
        "paramiko pipelined SFTP writes of 250 kB": write,
        "edgekit push (the bytes)": push,
        "edgekit push_file (space check, both hashes, rename)": push_file,
    }


def first_commands(board: Sshd) -> dict[str, Callable[[], float]]:
    """Name → connect and run one command, timed."""

    def ours() -> float:
        target = resolve(board.alias)
        return timed(lambda: _first(target))

    def theirs(no_delay: bool) -> float:
        def first() -> None:
            with plain_paramiko(board, no_delay=no_delay) as client:
                client.exec_command("true")[1].channel.recv_exit_status()

        return timed(first)

    argv = ["ssh", "-F", str(board.config), board.alias, "true"]
    return {
        "ssh": lambda: timed(lambda: subprocess.run(argv, check=True, capture_output=True)),
        "paramiko": lambda: theirs(no_delay=False),
        "paramiko with TCP_NODELAY": lambda: theirs(no_delay=True),
        "edgekit connect + run": ours,
        "edgekit resolve (ssh -G)": lambda: timed(lambda: resolve(board.alias)),
    }


def _first(target: Any) -> None:
    device = connect(target)
    device.transport.run(["true"])
    device.close()


def best(works: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The quickest of ``rounds`` interleaved rounds, after one that does not count."""
    seen: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            seconds = work()
            if number:
                seen[name].append(seconds)
    return {name: min(values) for name, values in seen.items()}


def main() -> None:
    """Prints a table, and one JSON line at the end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        board = start_sshd(Path(folder) / "sshd", disk_mb=3 * options.megabytes)
        os.environ["EDGEKIT_SSH_CONFIG"] = str(board.config)
        os.environ["EDGEKIT_HOME"] = str(Path(folder) / "home")
        model = Path(folder) / "model.bin"
        model.write_bytes(os.urandom(options.megabytes * 1_000_000))
        try:
            upload = best(uploads(board, model), options.rounds)
            first = best(first_commands(board), 5 * options.rounds)
        finally:
            board.stop()
    print(f"upload of {options.megabytes} MB, best of {options.rounds}")
    for name, seconds in upload.items():
        print(f"  {name:52} {options.megabytes / seconds:6.0f} MB/s  {upload['scp'] / seconds:5.2f} x scp")
    print(f"connect and first command, best of {5 * options.rounds}")
    for name, seconds in first.items():
        print(f"  {name:52} {seconds * 1e3:6.1f} ms")
    print(json.dumps({"upload_s": upload, "first_command_s": first}))


if __name__ == "__main__":
    main()
