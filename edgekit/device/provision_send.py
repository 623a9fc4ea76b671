"""Carries out one choice of a plan: sends what it needs to the board, and lets the board load it."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import RuntimeMissingError, TransferError
from edgekit.core.events import EventSink, ignore
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.device.connect import Device
from edgekit.device.facts import Facts
from edgekit.device.provision_desk import LIBRARY
from edgekit.device.provision_plan import Choice, Runner
from edgekit.device.provision_probe import explained, probe_runtime
from edgekit.device.provision_stock import Stock
from edgekit.device.workspace import Pushed
from edgekit.runner.payload_file import PAYLOAD_NAME, payload_content
from edgekit.runner.protocol import Probe
from edgekit.runner.runtimes import Library, fetch_library
from edgekit.runner.runtimes_archive import ModuleArchive
from edgekit.runner.runtimes_wheels import fetch_module


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRuntime:
    """A runtime that was seen to work on a board.

    Attributes:
        runner: ``payload``: our Python file; ``native``: our program; ``benchmark_model``: the user's.
        python: path of the interpreter there; None: the runner is a program of its own.
        runner_path: of the runner there.
        library_path: of the LiteRT library there; None: ``module`` is used, or the runner contains its library.
        module: Python module; None: the library is used.
        module_path: our folder there that has ``module``; None: the board has it itself.
        name: ``LiteRT C API``, ``ai_edge_litert``, ``tflite_runtime`` or ``benchmark_model``.
        version: of the library or module.
        uploaded_bytes: what had to be sent; 0 where all was there already.
        notices: what the user should know about this choice.
    """

    runner: Runner = "payload"
    python: str | None
    runner_path: str
    library_path: str | None
    module: str | None
    module_path: str | None = None
    name: str
    version: str
    uploaded_bytes: int
    notices: tuple[Notice, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The command that starts the runner; a module needs the site-packages that ``-I -S`` leaves out."""
        if self.python is None:
            return (self.runner_path,)
        flags = ("-I", "-S") if self.module is None else ()
        return (self.python, *flags, self.runner_path)


def carry_out(
    device: Device, facts: Facts, choice: Choice, stock: Stock, *, on_event: EventSink = ignore
) -> BoardRuntime:
    """Fetches what a choice needs, sends it, and lets the board load it.

    Raises:
        RuntimeMissingError: it does not load there.
        DependencyError: it cannot be downloaded.
        DeviceError: the board could not be reached or written to.
    """
    if choice.runner == "benchmark_model":
        return _send_benchmark_model(device, stock)
    library = _library_of(choice, facts, stock, on_event)
    archive = _archive_of(choice, facts, stock, on_event)
    runner = _send_runner(device, choice, stock)
    sent = runner.uploaded_bytes
    library_path = module_path = None
    if library is not None:
        at = _push(device, library.path, library.path.name)
        library_path, sent = at.path, sent + at.uploaded_bytes
    if archive is not None:
        module_path, uploaded = _send_archive(device, facts, archive)
        sent += uploaded
    ready = BoardRuntime(
        runner=choice.runner,
        python=choice.python,
        runner_path=runner.path,
        library_path=library_path,
        module=choice.module,
        module_path=module_path,
        name=choice.name,
        version=choice.version,
        uploaded_bytes=sent,
    )
    try:
        said = probe(device, ready)
    except RuntimeMissingError as error:
        if archive is not None and module_path is not None:
            _forget_archive(device, module_path)  # files may have been lost there: the next run sends them again
        raise explained(error, choice, library, facts) from error
    if choice.module is not None:
        ready = dataclasses.replace(ready, version=said.version)
    return ready


def probe(device: Device, runtime: BoardRuntime) -> Probe:
    """Starts the runner on the board and lets it load the runtime, without a model.

    Raises:
        RuntimeMissingError: it does not load; the message is the loader's own.
        DeviceError: the process crashed or did not answer.
    """
    return probe_runtime(
        device,
        runtime.argv,
        runner=runtime.runner,
        library=runtime.library_path,
        module=runtime.module,
        module_path=runtime.module_path,
    )


def _push(device: Device, local: Path, name: str, *, executable: bool = False) -> Pushed:
    """Puts a file of ours where its content says, so that nothing is ever overwritten or sent twice."""
    return device.workspace.push_file(local, f"runtime/{sha256_file(local)[:12]}/{name}", executable=executable)


def _send_runner(device: Device, choice: Choice, stock: Stock) -> Pushed:
    if choice.runner == "native":
        assert stock.native is not None
        assert stock.native.path is not None
        return _push(device, stock.native.path, "edgekit-runner", executable=True)
    content = payload_content()
    return device.workspace.push_bytes(content, f"runtime/{hashlib.sha256(content).hexdigest()[:12]}/{PAYLOAD_NAME}")


def _send_benchmark_model(device: Device, stock: Stock) -> BoardRuntime:
    supplied = stock.benchmark_model
    assert supplied is not None
    at = _push(device, supplied.path, "benchmark_model", executable=True)
    return BoardRuntime(
        runner="benchmark_model",
        python=None,
        runner_path=at.path,
        library_path=None,
        module=None,
        name="benchmark_model",
        version=supplied.version,
        uploaded_bytes=at.uploaded_bytes,
    )


def _library_of(choice: Choice, facts: Facts, stock: Stock, on_event: EventSink) -> Library | None:
    if choice.name != LIBRARY:
        return None
    if choice.origin == "supplied":
        supplied = stock.library
        assert supplied is not None
        return Library(
            path=supplied.path,
            version=supplied.version,
            abi=supplied.elf.abi,
            sha256=supplied.sha256,
            size_bytes=supplied.size_bytes,
            glibc_needed=supplied.elf.versions.get("GLIBC"),
            glibcxx_needed=supplied.elf.versions.get("GLIBCXX"),
            needed=supplied.elf.needed,
            source="supplied",
        )
    return fetch_library(choice.version, facts.abi or "", on_event=on_event)


def _archive_of(choice: Choice, facts: Facts, stock: Stock, on_event: EventSink) -> ModuleArchive | None:
    if choice.origin != "wheels":
        return None
    releases = {(offer.release.module, offer.release.version): offer.release for offer in stock.modules}
    assert facts.python is not None
    return fetch_module(
        releases[choice.name, choice.version],  # type: ignore[index]  # a choice's name is a plain string
        abi=facts.abi or "",
        python=facts.python.version,
        libc_version=facts.libc_version,
        with_numpy=choice.with_numpy,
        on_event=on_event,
    )


# $1 folder. Is it there? Then it is used now; where that cannot be written down it is there all the same
_IS_THERE = '[ -d "$1" ] && [ ! -L "$1" ] && { touch -c -- "${1%/*}" 2>/dev/null || :; }'

# $1 archive, $2 folder that it becomes. Whole or not at all: unpacked aside, then renamed
_UNPACK = r"""
LC_ALL=C; export LC_ALL; umask 077
rm -rf -- "$2".part.*
mkdir -- "$2.part.$$" || exit 21
tar -xzf "$1" -C "$2.part.$$" || { rm -rf -- "$2.part.$$"; exit 22; }
rm -f -- "$1"
sync 2>/dev/null
mv -- "$2.part.$$" "$2" || { rm -rf -- "$2.part.$$"; exit 23; }
"""


def _send_archive(device: Device, facts: Facts, archive: ModuleArchive) -> tuple[str, int]:
    """The folder on the board with the module, and what had to be sent."""
    relative = f"runtime/{archive.sha256[:12]}/packages"
    workspace = device.workspace
    workspace.cache.needs(relative)
    folder = workspace.path(relative)
    if workspace.sh(_IS_THERE, folder).exit_status == 0:
        return folder, 0
    workspace.check_room(
        archive.size_bytes + archive.unpacked_bytes,
        what=f"{archive.module} {archive.version}",
        folder=workspace.root,
        free=facts.disk_free_bytes,
    )
    pushed = _push(device, archive.path, "packages.tar.gz")
    done = workspace.sh(_UNPACK, pushed.path, folder, timeout_s=600)
    if done.exit_status != 0:
        workspace.sh('rm -f -- "$1"', pushed.path)
        raise TransferError(
            f"{device.name}: cannot unpack {archive.path.name}: {done.complaint or f'status {done.exit_status}'}",
            hint="it needs `tar` and `gzip` there, and room for "
            f"{archive.unpacked_bytes // 1_000_000} MB: free some space, or install them",
        )
    return folder, pushed.uploaded_bytes


def _forget_archive(device: Device, folder: str) -> None:
    """Takes a module's folder away again: it was not seen to work."""
    device.workspace.sh('rm -rf -- "$1"', folder, timeout_s=120)
