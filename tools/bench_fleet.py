"""Many boards side by side, beside one: what edgekit itself costs when it looks after fifty.

    python tools/bench_fleet.py [--boards 50] [--rounds 3]

Starts that many loopback boards (see tests/shelf.py; needs root) and stops them. Two kinds of work: ``wait``, a second
of sleep on each board, which side by side should cost one second; and ``deploy``, which keeps this machine's own
processor busy, because all the boards are on it. Ratios are of the best of the rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import tiny_tflite
from shelf import Shelf, add, shelf_of

from edgekit.core.events import EventSink, task
from edgekit.verbs.boards import Reach
from edgekit.verbs.deploy import deploy
from edgekit.verbs.fleet import BoardOutcome, Work, on_boards


def wait(name: str, reach: Reach, on_event: EventSink) -> None:
    """A board that is busy by itself for a second."""
    with reach.connect(reach.target(name)) as device, task("sleep", on_event):
        device.transport.run(["sleep", "1"])


def deploying(model: Path) -> Work[object]:
    """Push, verify, smoke-test and activate."""

    def work(name: str, reach: Reach, on_event: EventSink) -> object:
        return deploy(model, device=name, plan=None, reach=reach, on_event=on_event)

    return work


def timed(names: list[str], work: Work[object]) -> tuple[float, float]:
    """Wall seconds of all boards, and of the first outcome."""
    begin = time.perf_counter()
    ends: list[float] = []

    def ended(outcome: BoardOutcome[object]) -> None:
        if outcome.error is not None:
            raise outcome.error
        ends.append(time.perf_counter() - begin)

    on_boards(names, work, on_outcome=ended)
    return time.perf_counter() - begin, ends[0]


def compare(title: str, shelf: Shelf, work: Work[object], rounds: int) -> None:
    """Prints the ratio of all boards to one."""
    timed(shelf.names, work)  # the first time uploads
    one = min(timed(shelf.names[:1], work)[0] for _ in range(rounds))
    most, first = min(timed(shelf.names, work) for _ in range(rounds))
    count = len(shelf.names)
    print(
        f"{title:8} one board {one:6.2f} s   {count} boards {most:6.2f} s   ratio {most / one:5.1f}   "
        f"{most / count * 1000:6.0f} ms a board   first result after {first:5.2f} s"
    )


def main() -> None:
    """Starts the boards, measures, stops them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the boards' user reads its keys there
        os.environ["EDGEKIT_HOME"] = str(folder / "home")
        with shelf_of(options.boards, folder / "shelf") as shelf:
            os.environ["EDGEKIT_SSH_CONFIG"] = str(shelf.config)
            for board in shelf.names:
                add(board)
            print(f"{len(shelf.names)} loopback boards on {os.cpu_count()} cores")
            compare("wait", shelf, wait, options.rounds)
            compare("deploy", shelf, deploying(tiny_tflite.write(folder, tiny_tflite.dense_int8())), options.rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of this process {peak / 1024:.0f} MiB, {threading.active_count()} threads left")


if __name__ == "__main__":
    main()
