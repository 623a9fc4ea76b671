"""One at a time: threads and processes that want the same file wait for each other."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from edgekit.core.files import alone


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    inside, most = 0, 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with alone(tmp_path / "folder" / "lock"):
            with counting:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with counting:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_another_process_waits_until_the_block_ends_and_a_killed_one_is_not_waited_for(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from edgekit.core.files import alone\n"
    code += "with alone(Path(sys.argv[1])): print('in', flush=True); time.sleep(600)"
    with alone(tmp_path / "lock"):
        other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE, text=True)
        try:
            other.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            waited = True
        assert waited
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    other.kill()
    other.wait()
    with alone(tmp_path / "lock"):
        pass
    other.stdout.close()
