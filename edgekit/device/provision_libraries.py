"""Which LiteRT library a board can get, and what starts it there: the payload, or the native runner."""

from __future__ import annotations

from edgekit.device.provision_desk import LIBRARY, Desk
from edgekit.device.provision_plan import Choice, Item, Runner, RuntimeName
from edgekit.device.provision_stock import PUBLISHED, Supplied, python_problem
from edgekit.device.transport.protocol import printable
from edgekit.runner.runtimes import PACKAGE, Offer


def add_libraries(desk: Desk, wanted: RuntimeName) -> None:
    """The user's library, else the published ones from the newest; with the payload, else the native runner."""
    runners = _runners(desk, wanted)
    if desk.stock.library is not None:
        wrong = desk.unfit(desk.stock.library)
        if wrong:
            desk.rule_out(f"your library {desk.stock.library.path.name}", wrong)
        for runner in () if wrong else runners:
            desk.choices.append(_supplied(desk, runner, desk.stock.library))
        return
    impossible = _no_library(desk)
    if impossible:
        desk.rule_out("LiteRT's library", impossible)
        return
    fit = []
    for offer in desk.stock.libraries:
        if desk.loads(offer.glibc_needed):
            fit.append(offer)
        else:
            desk.rule_out(f"LiteRT {offer.version}", f"needs glibc {offer.glibc_needed}, {desk.glibc()}")
    for runner in runners:
        desk.choices += [_published(desk, runner, offer) for offer in fit]


def _runners(desk: Desk, wanted: RuntimeName) -> list[Runner]:
    runners: list[Runner] = []
    problem = python_problem(desk.facts)
    if wanted != "native":
        if problem is None:
            runners.append("payload")
        else:
            desk.rule_out("edgekit's Python runner", problem)
    native = desk.stock.native
    if native is not None:
        if native.path is not None:
            runners.append("native")
        else:
            desk.rule_out("edgekit's native runner", native.problem)
    return runners


def _no_library(desk: Desk) -> str:
    if desk.facts.abi not in PUBLISHED:
        return f"none is published for {desk.facts.abi or 'an unknown architecture'}"
    if desk.facts.libc in ("musl", "bionic"):
        return f"the published ones need glibc, this board has {desk.facts.libc}"
    return ""


def _published(desk: Desk, runner: Runner, offer: Offer) -> Choice:
    name = "libLiteRt.so"
    library = Item(
        what="library",
        name=PACKAGE if offer.held == "download" else name,
        version=offer.version,
        size_bytes=offer.size_bytes,
        exact=offer.held != "download",
        source=offer.held,
        on_board=bool(folder := desk.has(offer.sha256, offer.size_bytes)),
        folder=folder,
    )
    why = [*_runner_reason(desk, runner)]
    if offer.glibc_needed:
        how = "its own symbols say so, not the wheel's tag" if offer.held != "download" else "as its wheel was found"
        why.append(f"LiteRT {offer.version} needs glibc {offer.glibc_needed} ({how}); {desk.glibc()}")
    if desk.facts.abi == "aarch64" and desk.facts.cpu_features and "atomics" not in desk.facts.cpu_features:
        core = printable(desk.facts.cpu_model or "the processor")
        why.append(
            f"{core} has no LSE atomics; if the library is stopped there by an illegal instruction (SIGILL), "
            "the next release is tried"
        )
    return Choice(
        runner=runner,
        origin="published",
        name=LIBRARY,
        version=offer.version,
        python=desk.python if runner == "payload" else None,
        items=(desk.runner_item(runner), library),
        why=tuple(why),
    )


def _supplied(desk: Desk, runner: Runner, supplied: Supplied) -> Choice:
    libc = supplied.elf.libc or "no libc of its own"
    why = f"you supply {supplied.path.name}: {supplied.elf.abi}, {libc}, as the board needs it"
    return Choice(
        runner=runner,
        origin="supplied",
        name=LIBRARY,
        version=supplied.version,
        python=desk.python if runner == "payload" else None,
        items=(desk.runner_item(runner), desk.supplied_item("library", supplied)),
        why=(*_runner_reason(desk, runner), why),
    )


def _runner_reason(desk: Desk, runner: Runner) -> list[str]:
    if runner == "payload":
        version = ".".join(map(str, desk.facts.python.version)) if desk.facts.python else ""
        return [f"Python {version} there starts edgekit's runner; it needs nothing else installed"]
    problem = python_problem(desk.facts)
    return [f"{problem}: edgekit's native runner is used" if problem else "edgekit's native runner needs no Python"]
