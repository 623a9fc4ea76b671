"""One emulated machine: its shape, its booted snapshot, its start."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from board import Board, console_end, option_value, ssh_command, wait_for_banner
from host import BoardError, NotUpError, locked, program, run, say
from image import Image
from qmp import Control, listener

#: --cpu → the word in the board's model; Pi 3 and Zero 2 W, Pi 4, Pi 5
CPUS = {"cortex-a53": "Cortex-A53", "cortex-a72": "Cortex-A72", "cortex-a76": "Cortex-A76"}
CORES = 2
BOOT_SECONDS = 240.0
#: a restored board answers within two; rarely a kept state never does
RESTORE_SECONDS = 40.0
#: Debian compiles byte code when it installs; where the host could not, root does it before the snapshot
WARM_UP = (
    "ldconfig; if command -v python3 >/dev/null; then "
    "python3 -c 'import ctypes, hashlib, json, platform, statistics, subprocess, tempfile, zipfile'; fi; sync"
)


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

    def forget_snapshot(self, folder: Path) -> None:
        """So that the next start makes another one."""
        with locked(self._image.folder / "snapshot.lock"):
            shutil.rmtree(folder, ignore_errors=True)

    def _make_snapshot(self, folder: Path) -> None:
        # relative: a cache may be moved as a whole
        _make_disk(folder / "disk.qcow2", "../../root.ext4", "raw")
        self._make_device_tree(folder)
        process, control = self._launch(folder, 0, [])
        try:
            board = self._answering(folder, control, process, BOOT_SECONDS)
            _log_in(board, WARM_UP)
            _wait_for_quiet(control)
            control.execute("stop")
            control.migration("migrate", f"exec:gzip -1 > {shlex.quote(str(folder / 'state.gz'))}")
        finally:
            control.close()
            process.kill()
            process.wait()
        for name in ("console.log", "known_hosts", "control"):
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
            limit_s = RESTORE_SECONDS if snapshot else BOOT_SECONDS
            board = self._answering(folder, control, process, limit_s)
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
        with (folder / "console.log").open("wb") as console, listener(folder) as door:
            control_words = ["-chardev", f"socket,id=control,fd={door.fileno()},server=on,wait=off"]
            control_words += ["-mon", "chardev=control,mode=control"]
            process = subprocess.Popen(
                [self._qemu, *self._arguments(folder, port), *control_words, *more],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[door.fileno()],
                start_new_session=True,
            )
        control = None
        try:
            control = Control(folder, BOOT_SECONDS)
            control.execute("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        except BaseException as error:
            process.kill()
            process.wait()
            if control is not None:
                control.close()
            if isinstance(error, BoardError):
                words = console_end(folder)
                hint = "another --port, or none: a free one is taken" if "host forwarding" in words else ""
                raise BoardError(f"{error}: {words}", hint=hint) from error
            raise
        return process, control

    def _answering(self, folder: Path, control: Control, process: subprocess.Popen[bytes], limit_s: float) -> Board:
        listing = _network(control)
        found = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", listing)
        if found is None:
            raise BoardError(f"QEMU does not say its port: {listing}")
        port = int(found[1])
        wait_for_banner(port, process.pid, folder, limit_s)
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
            suite=self._image.variant.suite,
            architecture=self._image.variant.architecture,
            image=str(self._image.folder),
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
        raise NotUpError(f"the board's root cannot run {command!r}: {done.stderr.strip()[-400:]}")


def _network(control: Control) -> str:
    """QEMU's table of connections."""
    return str(control.execute("human-monitor-command", **{"command-line": "info usernet"}))


def _wait_for_quiet(control: Control) -> None:
    """Until no connection is open: a state that is kept in the middle of one may never answer again."""
    end = time.monotonic() + 20
    while time.monotonic() < end and re.search(r"TCP\[(?!HOST_FORWARD|TIME_WAIT)", _network(control)):
        time.sleep(0.1)
