"""From a board's facts and what there is for it to a plan: pure, nothing is asked, fetched or sent."""

from __future__ import annotations

from pathlib import Path

from edgekit.device.facts import Facts
from edgekit.device.provision_hint import hint, system
from edgekit.device.provision_plan import Choice, Item, Plan, RuledOut, Runner, RuntimeName
from edgekit.device.provision_present import Present
from edgekit.device.provision_stock import PUBLISHED, ModuleOffer, Stock, Supplied, python_problem
from edgekit.device.transport.protocol import printable
from edgekit.runner import payload
from edgekit.runner.elf import as_numbers
from edgekit.runner.runtimes import PACKAGE, Offer

LIBRARY = "LiteRT C API"
_MODULES = ("ai_edge_litert", "tflite_runtime")
_STATEFUL = "LiteRT's C library does not load models with stateful ops (fused LSTM, SVDF) yet"


def decide(
    board: str,
    facts: Facts,
    stock: Stock,
    present: Present | None,
    *,
    wanted: RuntimeName = "auto",
    stateful: bool = False,
) -> Plan:
    """The plan for one board.

    Args:
        board: its name, for sentences.
        facts: what it says about itself.
        stock: what this machine has for it, or can fetch.
        present: what it has already; None: it was not asked, so no module is chosen and everything counts as to send.
        wanted: the runtime's name; ``auto``: the library, else a module, else the user's ``benchmark_model``.
        stateful: models with variable tensors shall run.
    """
    desk = _Desk(board, facts, stock, present)
    if wanted == "benchmark_model":
        desk.benchmark_model()
    elif wanted in _MODULES:
        desk.module(wanted)
    else:
        if stateful:
            desk.rule_out(LIBRARY, _STATEFUL)
        else:
            desk.libraries(wanted)
        if wanted == "auto":
            for name in _MODULES:
                desk.module(name)
            if stock.benchmark_model and not desk.choices:
                desk.benchmark_model()
    return Plan(
        board=board,
        wanted=wanted,
        system=system(facts),
        choices=tuple(desk.choices),
        ruled_out=tuple(desk.ruled_out),
        looked=present is not None,
        hint=hint(board, facts, stock, wanted, stateful) if not desk.choices else "",
    )


class _Desk:
    """Collects choices and what was ruled out for one board."""

    def __init__(self, board: str, facts: Facts, stock: Stock, present: Present | None) -> None:
        self.board, self.facts, self.stock, self.present = board, facts, stock, present
        self.choices: list[Choice] = []
        self.ruled_out: list[RuledOut] = []
        self.python = facts.python.path if facts.python else None

    def rule_out(self, what: str, reason: str) -> None:
        if all(out.what != what for out in self.ruled_out):
            self.ruled_out.append(RuledOut(what=what, reason=reason))

    # ------------------------------------------------------------------ libraries

    def libraries(self, wanted: RuntimeName) -> None:
        """The user's library, else the published ones from the newest; with the payload, else the native runner."""
        runners = self._runners(wanted)
        if self.stock.library is not None:
            wrong = self._unfit(self.stock.library)
            if wrong:
                self.rule_out(f"your library {self.stock.library.path.name}", wrong)
            for runner in () if wrong else runners:
                self.choices.append(self._supplied(runner, self.stock.library))
            return
        impossible = self._no_library()
        if impossible:
            self.rule_out("LiteRT's library", impossible)
            return
        fit = []
        for offer in self.stock.libraries:
            if self._loads(offer.glibc_needed):
                fit.append(offer)
            else:
                self.rule_out(f"LiteRT {offer.version}", f"needs glibc {offer.glibc_needed}, {self._glibc()}")
        for runner in runners:
            self.choices += [self._published(runner, offer) for offer in fit]

    def _runners(self, wanted: RuntimeName) -> list[Runner]:
        runners: list[Runner] = []
        problem = python_problem(self.facts)
        if wanted != "native":
            if problem is None:
                runners.append("payload")
            else:
                self.rule_out("edgekit's Python runner", problem)
        native = self.stock.native
        if native is not None:
            if native.path is not None:
                runners.append("native")
            else:
                self.rule_out("edgekit's native runner", native.problem)
        return runners

    def _no_library(self) -> str:
        if self.facts.abi not in PUBLISHED:
            return f"none is published for {self.facts.abi or 'an unknown architecture'}"
        if self.facts.libc in ("musl", "bionic"):
            return f"the published ones need glibc, this board has {self.facts.libc}"
        return ""

    def _loads(self, needed: str | None) -> bool:
        version = self.facts.libc_version
        return needed is None or version is None or as_numbers(version) >= as_numbers(needed)

    def _glibc(self) -> str:
        return f"the board has {self.facts.libc_version or 'an unknown one'}"

    def _published(self, runner: Runner, offer: Offer) -> Choice:
        name = "libLiteRt.so"
        library = Item(
            what="library",
            name=PACKAGE if offer.held == "download" else name,
            version=offer.version,
            size_bytes=offer.size_bytes,
            exact=offer.held != "download",
            source=offer.held,
            on_board=self._has(offer.sha256, offer.size_bytes),
        )
        why = [*self._runner_reason(runner)]
        if offer.glibc_needed:
            how = (
                "its own symbols say so, not the wheel's tag" if offer.held != "download" else "as its wheel was found"
            )
            why.append(f"LiteRT {offer.version} needs glibc {offer.glibc_needed} ({how}); {self._glibc()}")
        if self.facts.abi == "aarch64" and self.facts.cpu_features and "atomics" not in self.facts.cpu_features:
            core = printable(self.facts.cpu_model or "the processor")
            why.append(
                f"{core} has no LSE atomics; if the library is stopped there by an illegal instruction (SIGILL), "
                "the next release is tried"
            )
        return Choice(
            runner=runner,
            origin="published",
            name=LIBRARY,
            version=offer.version,
            python=self.python if runner == "payload" else None,
            items=(self._runner_item(runner), library),
            why=tuple(why),
        )

    def _supplied(self, runner: Runner, supplied: Supplied) -> Choice:
        library = Item(
            what="library",
            name=supplied.path.name,
            version=supplied.version,
            size_bytes=supplied.size_bytes,
            exact=True,
            source="supplied",
            on_board=self._has(supplied.sha256, supplied.size_bytes),
        )
        libc = supplied.elf.libc or "no libc of its own"
        why = f"you supply {supplied.path.name}: {supplied.elf.abi}, {libc}, as the board needs it"
        return Choice(
            runner=runner,
            origin="supplied",
            name=LIBRARY,
            version=supplied.version,
            python=self.python if runner == "payload" else None,
            items=(self._runner_item(runner), library),
            why=(*self._runner_reason(runner), why),
        )

    def _unfit(self, supplied: Supplied) -> str:
        """Why a file of the user's cannot run on this board; empty: it can."""
        elf = supplied.elf
        if self.facts.abi and elf.abi != self.facts.abi:
            return f"it is built for {elf.abi}, the board runs {self.facts.abi}"
        if self.facts.libc and elf.libc and elf.libc != self.facts.libc:
            return f"it is built for {elf.libc}, the board has {self.facts.libc}"
        needed = elf.versions.get("GLIBC") if elf.libc == "glibc" else None
        return "" if self._loads(needed) else f"it needs glibc {needed}, {self._glibc()}"

    def _runner_reason(self, runner: Runner) -> list[str]:
        if runner == "payload":
            version = ".".join(map(str, self.facts.python.version)) if self.facts.python else ""
            return [f"Python {version} there starts edgekit's runner; it needs nothing else installed"]
        problem = python_problem(self.facts)
        return [f"{problem}: edgekit's native runner is used" if problem else "edgekit's native runner needs no Python"]

    def _runner_item(self, runner: Runner) -> Item:
        if runner == "native":
            native = self.stock.native
            size, digest, name = (native.size_bytes or 0, native.sha256, "edgekit-runner") if native else (0, None, "")
        else:
            path = Path(payload.__file__)
            size, digest, name = path.stat().st_size, _payload_sha256(), "payload.py"
        return Item(
            what="runner",
            name=name,
            version="",
            size_bytes=size,
            exact=True,
            source="edgekit",
            on_board=self._has(digest, size),
        )

    def _has(self, sha256: str | None, size_bytes: int | None) -> bool:
        """Whether our file is there, by the folder that has its hash and by its size."""
        if self.present is None or sha256 is None:
            return False
        folder = f"runtime/{sha256[:12]}/"
        return any(name.startswith(folder) and size == size_bytes for name, size in self.present.files.items())

    # ------------------------------------------------------------------ modules

    def module(self, name: str) -> None:
        """A Python module: the board's own, else the newest that can be pushed as wheels."""
        problem = python_problem(self.facts)
        if problem:
            self.rule_out(name, problem)
            return
        if self.present is None:
            return
        own = self.present.modules.get(name)
        if own is not None:
            self.choices.append(self._own_module(name, own))
        offers = [offer for offer in self.stock.modules if offer.release.module == name]
        if not offers:
            if own is None:
                self.rule_out(name, self._no_wheel())
            return
        for offer in offers:
            self._wheels(offer)

    def _own_module(self, name: str, version: str) -> Choice:
        item = Item(what="module", name=name, version=version, size_bytes=0, exact=True, source="board", on_board=True)
        return Choice(
            runner="payload",
            origin="board",
            name=name,
            version=version,
            python=self.python,
            items=(self._runner_item("payload"), item),
            why=(f"the board's Python has {name} {version} already",),
        )

    def _no_wheel(self) -> str:
        python = self.facts.python
        version = f"{python.version[0]}.{python.version[1]}" if python else "?"
        return f"there is no wheel for {self.facts.abi} with Python {version} and {self.facts.libc or 'this libc'}"

    def _wheels(self, offer: ModuleOffer) -> None:
        release = offer.release
        what = f"{release.module} {release.version} as wheels"
        needed = release.glibc[self.facts.abi or ""]
        if not self._loads(needed):
            self.rule_out(what, f"needs glibc {needed}, {self._glibc()}")
            return
        own = self.present.modules.get("numpy") if self.present else None
        oldest, too_new = (as_numbers(version) for version in release.numpy)
        own_fits = own is not None and oldest <= as_numbers(own) < too_new
        wrong = "too old" if own and as_numbers(own) < oldest else "too new"
        wanted = f"{release.numpy[0]} or later, and < {release.numpy[1]}"
        why = [f"{release.module} {release.version} comes as wheels that this machine unpacks and checks: no pip there"]
        if own_fits:
            why.append(f"the board's own numpy {own} is used")
        elif offer.numpy_held or offer.numpy_published:
            reason = f"numpy {own} there is {wrong}" if own else "the board has no numpy"
            why.append(f"{reason}: numpy < {release.numpy[1]} is sent along, into the same private folder")
        else:
            reason = f"the board's numpy {own} is {wrong} (it needs {wanted})" if own else f"it needs numpy {wanted}"
            self.rule_out(what, f"{reason}, and numpy is not published for {self.facts.abi}")
            return
        self.choices.append(self._wheel_choice(offer, own, own_fits, why))

    def _wheel_choice(self, offer: ModuleOffer, own: str | None, own_fits: bool, why: list[str]) -> Choice:
        release = offer.release
        size = offer.bytes_alone if own_fits else offer.bytes_with_numpy
        digest = offer.digests[0 if own_fits else 1]
        folder = f"runtime/{(digest or '')[:12]}/packages"
        there = digest is not None and self.present is not None and folder in self.present.files
        module = Item(
            what="module",
            name=release.module,
            version=release.version,
            size_bytes=size,
            exact=digest is not None,
            source="cache" if offer.held else "download",
            on_board=there,
        )
        numpy = Item(
            what="numpy",
            name="numpy",
            version=(own or "") if own_fits else f"< {release.numpy[1]}",
            size_bytes=0,  # counted with the module: they are one archive
            exact=True,
            source="board" if own_fits else "cache" if offer.numpy_held else "download",
            on_board=own_fits or there,
        )
        return Choice(
            runner="payload",
            origin="wheels",
            name=release.module,
            version=release.version,
            python=self.python,
            items=(self._runner_item("payload"), module, numpy),
            why=tuple(why),
            with_numpy=not own_fits,
        )

    # ------------------------------------------------------------------ benchmark_model

    def benchmark_model(self) -> None:
        """Google's program, which only the user can supply."""
        supplied = self.stock.benchmark_model
        if supplied is None:
            self.rule_out("benchmark_model", "edgekit has none: you have to supply it")
            return
        wrong = self._unfit(supplied)
        if wrong:
            self.rule_out(f"your {supplied.path.name}", wrong)
            return
        program = Item(
            what="runner",
            name=supplied.path.name,
            version=supplied.version,
            size_bytes=supplied.size_bytes,
            exact=True,
            source="supplied",
            on_board=self._has(supplied.sha256, supplied.size_bytes),
        )
        why = "you supply benchmark_model: it gives latencies and an approximate memory figure, but no outputs"
        self.choices.append(
            Choice(
                runner="benchmark_model",
                origin="supplied",
                name="benchmark_model",
                version=supplied.version,
                python=None,
                items=(program,),
                why=(why,),
            )
        )


def _payload_sha256() -> str:
    from edgekit.core.hashing import sha256_file

    return sha256_file(Path(payload.__file__))
