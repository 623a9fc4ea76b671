"""Several clients that want one board at the same time."""

from __future__ import annotations

import threading

from processes import SOON_S

from edgekit.core.events import ignore
from edgekit.device import lock
from edgekit.device.connect import connect
from edgekit.device.target import resolve


def inside_at_once(name: str, users: int) -> tuple[int, int]:
    """How many of them had the board at the same time, at most; and how many had it at all."""
    inside, most, done = 0, 0, 0
    count = threading.Lock()

    def use() -> None:
        nonlocal inside, most, done
        with connect(resolve(name)) as mine, lock.held(mine, purpose="me too", wait_s=SOON_S, on_event=ignore):
            with count:
                inside += 1
                most = max(most, inside)
            mine.transport.run(["sleep", "0.1"])
            with count:
                inside -= 1
                done += 1

    threads = [threading.Thread(target=use) for _ in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    return most, done
