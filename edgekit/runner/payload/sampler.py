"""Follows the sensors over the measured loop, from a process of its own where a core is free for it."""

from __future__ import annotations

import json
import os
import select
import signal
import time

from .glances import GLANCE_NS, Glances
from .programs import PATIENCE_S, SAMPLING, read_until
from .sensors import core_of, of_each_core
from .surroundings import die_with_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Tuple

    from .kinds import Record


class Sampler:
    """Looks at the sensors over the measured loop: from a process of its own on another core, where there is one.

    It is forked while this process is small and has one thread. A thread would share Python's lock with the loop, and
    programs that tell a sensor's reading would be started by the process that is measured.
    """

    def __init__(self, job: Record) -> None:
        self.glances = Glances("self", programs=False)  # where there is no other core
        self.pid = 0
        self.cpu: Optional[int] = None
        self.began: Optional[int] = None
        cores, spare = cores_beside(job)
        if not cores or not job.get("sampler", True):
            return
        parent = os.getpid()
        go_reading, self.go = os.pipe()
        self.answer, answer_writing = os.pipe()
        try:
            self.pid = os.fork()
        except OSError:  # no memory, or no more processes: the loop looks itself
            return
        if self.pid == 0:
            try:
                follow_sensors(parent, cores, spare, go_reading, answer_writing)
            finally:
                os._exit(0)
        os.close(go_reading)
        os.close(answer_writing)

    @property
    def between_runs(self) -> bool:
        """Whether the sensors must be looked at between two runs, because nobody else does."""
        return self.pid == 0

    def begin(self) -> None:
        """The measured loop begins."""
        try:
            if self.pid:  # it has long been ready, or something keeps it from that
                ready = select.select([self.answer], [], [], 1.0)[0] and os.read(self.answer, 1)
                os.write(self.go if ready else -1, b"\n")
        except OSError:
            self._forget()
        self.began = time.monotonic_ns()

    def end(self) -> Record:
        """The measured loop has ended: the fields of ``edgekit.runner.conditions.During``."""
        found = self.glances.record()
        if self.pid:
            os.close(self.go)
            text = read_until(self.answer, time.monotonic() + PATIENCE_S + 1)
            found.update(json.loads(text.decode()) if text else {})
            self._forget()
        found["began_ns"] = self.began
        return found

    def _forget(self) -> None:
        """The other process is no more."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0


def cores_beside(job: Record) -> Tuple[List[int], bool]:
    """Cores for the sampler, and whether they are spare: none where the model needs them all.

    Where the model is kept to some cores, the slowest other one. Where it may use more cores than it has threads, all
    of these, for the scheduler to choose from.
    """
    here = sorted(os.sched_getaffinity(0))
    measured = job.get("cpus") or here
    most = of_each_core("cpuinfo_max_freq")
    others = [core for core in here if core not in measured]
    if others:
        return [min(others, key=lambda core: (most.get(core, 0), core))], True
    return (here if len(measured) > job.get("num_threads", 1) else []), False


def follow_sensors(parent: int, cores: Sequence[int], spare: bool, go: int, answer: int) -> None:
    """The sampler's own process: begins with the loop, ends when the other end of ``go`` is closed.

    That happens also where the measured process dies; besides, the kernel then ends this one.
    """
    SAMPLING.append(True)
    die_with_parent()
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):  # the host waits until nobody holds its ends of these
        os.dup2(null, descriptor)
    low, high = sorted((go, answer))
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, 256)
    os.sched_setaffinity(0, cores)
    if not spare and hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # it gives way to the model wherever they meet
    if os.getppid() != parent:
        return
    os.write(answer, b"\n")
    if not os.read(go, 1):
        return
    glances = Glances(str(parent), programs=True)
    due = time.monotonic()
    ended = False
    while not ended:
        glances.look()
        due = max(due + GLANCE_NS / 1e9, time.monotonic() + 0.05)
        ended = bool(select.select([go], [], [], max(0.0, due - time.monotonic()))[0])
    data = json.dumps({**glances.record(), "cpu": core_of("self")}).encode()
    while data:
        data = data[os.write(answer, data) :]
