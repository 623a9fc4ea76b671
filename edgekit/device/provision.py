"""Brings onto a board what runs models there: carries out a plan, and sees that the runtime really loads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import DependencyError, RuntimeMissingError, TransferError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.hashing import sha256_file
from edgekit.core.notice import Notice
from edgekit.device.connect import Device
from edgekit.device.facts import Facts
from edgekit.device.provision_decide import LIBRARY, decide
from edgekit.device.provision_plan import Choice, Plan, Runner, RuntimeName
from edgekit.device.provision_present import Present, look
from edgekit.device.provision_probe import explained, probe_runtime
from edgekit.device.provision_stock import Stock, native_offer, take_stock
from edgekit.device.workspace import Pushed
from edgekit.runner import payload
from edgekit.runner.protocol import Probe
from edgekit.runner.runtimes import Library, fetch_library
from edgekit.runner.runtimes_wheels import ModuleArchive, fetch_module

__all__ = ["BoardRuntime", "Runner", "RuntimeName", "plan_runtime", "prepare_runtime", "probe"]

_FOR_NATIVE = ("Python is not whole", "Python does not start")
_FOR_ALL = ("failed to map segment", "noexec")


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


def plan_runtime(
    device: Device,
    facts: Facts,
    *,
    runtime: RuntimeName = "auto",
    stateful: bool = False,
    stock: Stock | None = None,
) -> Plan:
    """The plan for a board, with what it has already. Nothing is sent, downloaded or changed.

    Raises:
        DependencyError: a file that the user supplies is no ELF file.
        DeviceError: the board does not answer.
    """
    stock = stock or _stock(device, facts, runtime)
    return decide(device.name, facts, stock, look(device, facts), wanted=runtime, stateful=stateful)


def prepare_runtime(
    device: Device,
    facts: Facts,
    *,
    runtime: RuntimeName = "auto",
    stateful: bool = False,
    on_event: EventSink = ignore,
) -> BoardRuntime:
    """Makes a board ready to run models, and sees that it really is.

    Args:
        device: the board.
        facts: what it said about itself.
        runtime: ``litert``: a library, started by our payload or, without Python, by the native runner; ``native``:
            by that one; a module's name: the board's own, else pushed as wheels; ``benchmark_model``: the user's;
            ``auto``: a library, and where none can exist for this board, a module.
        stateful: models with variable tensors (fused LSTM, SVDF) shall run; LiteRT's C API refuses to load them.
        on_event: gets the progress.

    Raises:
        RuntimeMissingError: nothing fits this board, or it does not load there.
        DependencyError: something has to be downloaded and cannot be.
        DeviceError: the board could not be reached or written to.
    """
    stock = _stock(device, facts, runtime)
    with task("prepare the board's runtime", on_event):
        attempt = _Attempt(device, facts, stock, runtime, stateful, on_event)
        return attempt.run()


def _stock(device: Device, facts: Facts, runtime: RuntimeName) -> Stock:
    target = device.target
    return take_stock(facts, library=target.library, benchmark_model=target.benchmark_model, native=runtime == "native")


class _Attempt:
    """Goes through the choices of a plan until one works on the board."""

    def __init__(
        self, device: Device, facts: Facts, stock: Stock, runtime: RuntimeName, stateful: bool, on_event: EventSink
    ) -> None:
        self.device, self.facts, self.stock = device, facts, stock
        self.runtime, self.stateful, self.on_event = runtime, stateful, on_event
        self.failures: list[RuntimeMissingError] = []
        self.tried: set[tuple[str, str, str, str]] = set()

    def run(self) -> BoardRuntime:
        """The first choice that works. The board is asked what it has only where no library serves: that takes time."""
        plan = self._decide(None)
        ready = self._first_of(plan)
        if ready is None and self._native_may_help():
            offer = native_offer(self.facts.abi, self.facts.libc)
            self.stock = dataclasses.replace(self.stock, native=offer)
            ready = self._first_of(self._decide(None))
        if ready is None and not plan.looked and self._modules_may_help():
            plan = self._decide(look(self.device, self.facts))
            ready = self._first_of(plan)
        if ready is not None:
            return ready
        if self.failures:  # what the board said of the first one is what has to be mended
            raise self.failures[0]
        raise RuntimeMissingError(
            f"{self.device.name}: {plan.refusal}",
            hint=plan.hint,
            details={"ruled_out": {out.what: out.reason for out in plan.ruled_out}},
        )

    def _decide(self, present: Present | None) -> Plan:
        return decide(self.device.name, self.facts, self.stock, present, wanted=self.runtime, stateful=self.stateful)

    def _modules_may_help(self) -> bool:
        return self.runtime not in ("litert", "native", "benchmark_model")

    def _native_may_help(self) -> bool:
        """Whether it was the board's Python that failed, not the library."""
        said = self.failures[0].message if self.failures else ""
        asked = self.runtime in ("auto", "litert") and self.stock.native is None
        return asked and any(word in said for word in _FOR_NATIVE)

    def _first_of(self, plan: Plan) -> BoardRuntime | None:
        for choice in plan.choices:
            if choice.key in self.tried or not self._worth_trying(choice):
                continue
            self.tried.add(choice.key)
            try:
                ready = carry_out(self.device, self.facts, choice, self.stock, on_event=self.on_event)
            except RuntimeMissingError as error:
                self.failures.append(error)
            except DependencyError as error:
                if self.failures:
                    raise self.failures[0] from error
                raise
            else:
                return dataclasses.replace(ready, notices=self._notices(choice, ready, plan))
        return None

    def _worth_trying(self, choice: Choice) -> bool:
        """Whether the last failure may be cured by this choice; each one takes seconds on a slow board."""
        if not self.failures:
            return True
        said = self.failures[-1].message
        if choice.origin == "board":
            return True
        if any(word in said for word in _FOR_ALL):
            return False  # nothing of ours can be loaded from this workspace
        if choice.runner == "native":
            return any(word in said for word in _FOR_NATIVE)
        return "version `" in said or "SIGILL" in said or "numpy" in said

    def _notices(self, choice: Choice, ready: BoardRuntime, plan: Plan) -> tuple[Notice, ...]:
        if self.runtime != "auto" or ready.module is None:
            return ()
        reason = self.failures[0].message if self.failures else _because(plan)
        whose = "its own" if choice.origin == "board" else "the pushed wheels of"
        return (
            Notice(
                code="module-runtime",
                message=f"{self.device.name} runs {whose} {ready.name} {ready.version}, not LiteRT's library: {reason}",
                hint="int8 can be many times slower there: compare only with results of the same runtime",
            ),
        )


def _because(plan: Plan) -> str:
    """Why it is not the library."""
    reasons = [out for out in plan.ruled_out if out.what.startswith("LiteRT")]
    return "; ".join(out.reason if out.what == "LiteRT's library" else f"{out.what} {out.reason}" for out in reasons)


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
    return _push(device, Path(payload.__file__), "payload.py")


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
    folder = device.workspace.path(f"runtime/{archive.sha256[:12]}/packages")
    if device.workspace.sh('[ -d "$1" ] && [ ! -L "$1" ]', folder).exit_status == 0:
        return folder, 0
    free, needs = facts.disk_free_bytes, archive.size_bytes + archive.unpacked_bytes
    if free is not None and free < needs:
        from edgekit.core import units

        raise TransferError(
            f"{device.name}: no space: {archive.module} {archive.version} needs {units.size(needs)}, "
            f"the workspace has {units.size(free)}",
            hint="free some space on the board, or choose another workspace in its profile",
            details={"needs_bytes": needs, "free_bytes": free},
        )
    pushed = _push(device, archive.path, "packages.tar.gz")
    done = device.workspace.sh(_UNPACK, pushed.path, folder, timeout_s=600)
    if done.exit_status != 0:
        device.workspace.sh('rm -f -- "$1"', pushed.path)
        raise TransferError(
            f"{device.name}: cannot unpack {archive.path.name}: {done.complaint or f'status {done.exit_status}'}",
            hint="it needs `tar` and `gzip` there, and room for "
            f"{archive.unpacked_bytes // 1_000_000} MB: free some space, or install them",
        )
    return folder, pushed.uploaded_bytes


def _forget_archive(device: Device, folder: str) -> None:
    """Takes a module's folder away again: it was not seen to work."""
    device.workspace.sh('rm -rf -- "$1"', folder, timeout_s=120)
