"""One emulated board: started from a booted snapshot or cold, known by its record, stopped by its own pid."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from board import Board, option_value, run_folder, running, ssh_command
from host import BoardError, cache_folder, locked, program, run, say
from image import SUITE, Image
from qmp import Control

#: --cpu → the word in the board's model; Pi 3 and Zero 2 W, Pi 4, Pi 5
CPUS = {"cortex-a53": "Cortex-A53", "cortex-a72": "Cortex-A72", "cortex-a76": "Cortex-A76"}
CORES = 2
BOOT_SECONDS = 240.0
#: Debian compiles byte code when it installs; where the host could not, root does it before the snapshot
WARM_UP = (
    "ldconfig; python3 -c 'import ctypes, hashlib, json, platform, statistics, subprocess, tempfile, zipfile'; sync"
)


def start(image: Image, *, name: str, cpu: str, memory_mib: int, port: int, cold: bool) -> tuple[Board, bool]:
    """A board that answers on SSH, and whether it ran already. ``port`` 0 takes a free one."""
    with locked(cache_folder() / "run" / f"{name}.lock"):
        board = running(name)
        if board:
            if (board.cpu, board.memory_mib) != (cpu, memory_mib) or port not in (0, board.port):
                raise BoardError(
                    f"{name} runs already, with {board.cpu}, {board.memory_mib} MiB and port {board.port}",
                    hint=f"python tools/board stop --name {name}",
                )
            return board, True
        machine = Machine(image, name=name, cpu=cpu, memory_mib=memory_mib)
        snapshot = None if cold else machine.ensure_snapshot()
        return machine.boot(run_folder(name), port, snapshot), False


def stop(name: str) -> bool:
    """Ends it and removes what it wrote; False when it does not run."""
    lock = cache_folder() / "run" / f"{name}.lock"
    with locked(lock):
        board = running(name)
        if board:
            _end(board.pid)
        shutil.rmtree(run_folder(name), ignore_errors=True)
        lock.unlink()
        return board is not None


class Machine:
    """What of a board is the same at every start."""

    def __init__(self, image: Image, *, name: str, cpu: str, memory_mib: int) -> None:
        self._image = image
        self._name = name
        self._cpu = cpu
        self._memory_mib = memory_mib
        self._qemu = program("qemu-system-aarch64")
        self._model = f"QEMU (emulated {CPUS[cpu]})"

    def ensure_snapshot(self) -> Path:
        """The folder of a booted state for this processor, memory and QEMU; boots once to make it."""
        version = run(["qemu-system-aarch64", "--version"]).splitlines()[0]
        key = "|".join([version, self._model, str(CORES), WARM_UP, *self._arguments(Path(), 0)])
        name = f"{self._cpu}-{self._memory_mib}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"
        folder = self._image.snapshots / name
        with locked(self._image.folder / "snapshot.lock"):
            if folder.exists():
                return folder
            say("booting once, to keep the booted state")
            self._image.snapshots.mkdir(exist_ok=True)
            for rest in self._image.snapshots.glob("partial-*"):
                shutil.rmtree(rest)
            partial = Path(tempfile.mkdtemp(prefix="partial-", dir=self._image.snapshots))
            try:
                self._make_snapshot(partial)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return folder

    def _make_snapshot(self, folder: Path) -> None:
        # relative: a cache may be moved as a whole
        _make_disk(folder / "disk.qcow2", "../../root.ext4", "raw")
        self._make_device_tree(folder)
        process, control = self._launch(folder, 0, [])
        try:
            board = self._answering(folder, control, process)
            _log_in(board, WARM_UP)
            control.execute("stop")
            control.migration("migrate", f"exec:gzip -1 > {shlex.quote(str(folder / 'state.gz'))}")
        finally:
            control.close()
            process.kill()
            process.wait()
        for name in ("console.log", "known_hosts"):
            (folder / name).unlink()

    def boot(self, folder: Path, port: int, snapshot: Path | None) -> Board:
        """Starts it in ``folder`` and waits until it answers."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if snapshot:
            _make_disk(folder / "disk.qcow2", str(snapshot / "disk.qcow2"), "qcow2")
            shutil.copy(snapshot / "board.dtb", folder / "board.dtb")
        else:
            _make_disk(folder / "disk.qcow2", str(self._image.disk), "raw")
            self._make_device_tree(folder)
        try:
            return self._start_in(folder, port, snapshot)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _start_in(self, folder: Path, port: int, snapshot: Path | None) -> Board:
        process, control = self._launch(folder, port, ["-incoming", "defer"] if snapshot else [])
        try:
            if snapshot:
                control.migration("migrate-incoming", f"exec:gzip -dc < {shlex.quote(str(snapshot / 'state.gz'))}")
                control.execute("cont")
            board = self._answering(folder, control, process)
            if snapshot:  # its clock stood still
                _log_in(board, f"date -s @{time.time():.3f}")
            (folder / "board.json").write_text(json.dumps(dataclasses.asdict(board)))
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            control.close()
        return board

    def _arguments(self, folder: Path, port: int) -> list[str]:
        machine = ["-M", "virt", "-cpu", self._cpu, "-smp", str(CORES), "-m", str(self._memory_mib), "-nographic"]
        kernel = ["-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd)]
        words = "console=ttyAMA0 quiet loglevel=4 random.trust_bootloader=1 rw"
        disk = f"if=none,id=disk,format=qcow2,cache=unsafe,file={option_value(folder / 'disk.qcow2')}"
        network = f"user,id=network,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"
        return [
            *(*machine, *kernel, "-append", words, "-dtb", str(folder / "board.dtb"), "-monitor", "none"),
            *("-drive", disk, "-device", "virtio-blk-device,drive=disk"),
            *("-netdev", network, "-device", "virtio-net-device,netdev=network", "-device", "virtio-rng-device"),
        ]

    def _make_device_tree(self, folder: Path) -> None:
        """QEMU's own, with a model that nobody takes for a real board."""
        tree = folder / "board.dtb"
        shape = ["-cpu", self._cpu, "-smp", str(CORES), "-m", str(self._memory_mib), "-nodefaults", "-nographic"]
        run(["qemu-system-aarch64", "-M", f"virt,dumpdtb={option_value(tree)}", *shape])
        run(["fdtput", "-t", "s", str(tree), "/", "model", self._model])

    def _launch(self, folder: Path, port: int, more: list[str]) -> tuple[subprocess.Popen[bytes], Control]:
        control = Control()
        command = [self._qemu, *self._arguments(folder, port), *control.arguments(), *more]
        with (folder / "console.log").open("wb") as console:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[control.peer.fileno()],
                start_new_session=True,
            )
        try:
            control.open(BOOT_SECONDS)
            control.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        except BaseException as error:
            process.kill()
            process.wait()
            control.close()
            if isinstance(error, BoardError):
                words = _tail(folder)
                hint = "another --port, or none: a free one is taken" if "host forwarding" in words else ""
                raise BoardError(f"{error}: {words}", hint=hint) from error
            raise
        return process, control

    def _answering(self, folder: Path, control: Control, process: subprocess.Popen[bytes]) -> Board:
        listing = control.execute("human-monitor-command", **{"command-line": "info usernet"})
        found = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", listing)
        if found is None:
            raise BoardError(f"QEMU does not say its port: {listing}")
        port = int(found[1])
        _wait_for_banner(port, process, folder)
        kind, blob = self._image.host_key
        line = f"[127.0.0.1]:{port} {kind} {blob}"
        (folder / "known_hosts").write_text(line + "\n")
        digest = base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode().rstrip("=")
        return Board(
            name=self._name,
            host="127.0.0.1",
            port=port,
            user="pi",
            key=str(self._image.user_key),
            known_hosts=str(folder / "known_hosts"),
            known_hosts_line=line,
            fingerprint=f"SHA256:{digest}",
            pid=process.pid,
            model=self._model,
            suite=SUITE,
            cpu=self._cpu,
            cores=CORES,
            memory_mib=self._memory_mib,
        )


def _make_disk(path: Path, backing: str, backing_format: str) -> None:
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", backing_format, "-b", backing, str(path)])


def _log_in(board: Board, command: str) -> None:
    done = subprocess.run(
        [*ssh_command(board, user="root"), command], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise BoardError(f"the board's root cannot run {command!r}: {done.stderr.strip()[-400:]}")


def _wait_for_banner(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    """QEMU accepts before the board does, so only the server's own greeting counts."""
    end = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as connection:
                connection.settimeout(10)
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        if "Kernel panic" in _tail(folder):
            break
        time.sleep(0.1)
    raise BoardError(f"the board did not come up: {_tail(folder)}")


def _tail(folder: Path) -> str:
    return (folder / "console.log").read_bytes()[-2000:].decode(errors="replace").strip()


def _end(pid: int) -> None:
    """SIGTERM, and SIGKILL after 10 s, to exactly this process."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(descriptor, number)
            if select.select([descriptor], [], [], 10)[0]:
                return
    finally:
        os.close(descriptor)
