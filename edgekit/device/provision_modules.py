"""Which Python module a board can run models with: its own, or one that is pushed as wheels."""

from __future__ import annotations

from edgekit.device.provision_desk import Desk
from edgekit.device.provision_plan import Choice, Item
from edgekit.device.provision_stock import ModuleOffer, python_problem
from edgekit.runner.elf import as_numbers


def add_module(desk: Desk, name: str) -> None:
    """A Python module: the board's own, else the newest that can be pushed as wheels."""
    problem = python_problem(desk.facts)
    if problem:
        desk.rule_out(name, problem)
        return
    if desk.present is None:
        return
    own = desk.present.modules.get(name)
    if own is not None:
        desk.choices.append(_own_module(desk, name, own))
    offers = [offer for offer in desk.stock.modules if offer.release.module == name]
    if not offers:
        if own is None:
            desk.rule_out(name, _no_wheel(desk))
        return
    for offer in offers:
        _wheels(desk, offer)


def _own_module(desk: Desk, name: str, version: str) -> Choice:
    item = Item(what="module", name=name, version=version, size_bytes=0, exact=True, source="board", on_board=True)
    return Choice(
        runner="payload",
        origin="board",
        name=name,
        version=version,
        python=desk.python,
        items=(desk.runner_item("payload"), item),
        why=(f"the board's Python has {name} {version} already",),
    )


def _no_wheel(desk: Desk) -> str:
    python = desk.facts.python
    version = f"{python.version[0]}.{python.version[1]}" if python else "?"
    return f"there is no wheel for {desk.facts.abi} with Python {version} and {desk.facts.libc or 'this libc'}"


def _wheels(desk: Desk, offer: ModuleOffer) -> None:
    release = offer.release
    what = f"{release.module} {release.version} as wheels"
    needed = release.glibc[desk.facts.abi or ""]
    if not desk.loads(needed):
        desk.rule_out(what, f"needs glibc {needed}, {desk.glibc()}")
        return
    own = desk.present.modules.get("numpy") if desk.present else None
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
        desk.rule_out(what, f"{reason}, and numpy is not published for {desk.facts.abi}")
        return
    desk.choices.append(_wheel_choice(desk, offer, own, own_fits, why))


def _wheel_choice(desk: Desk, offer: ModuleOffer, own: str | None, own_fits: bool, why: list[str]) -> Choice:
    release = offer.release
    size = offer.bytes_alone if own_fits else offer.bytes_with_numpy
    digest = offer.digests[0 if own_fits else 1]
    folder = f"runtime/{(digest or '')[:12]}"
    there = digest is not None and desk.present is not None and f"{folder}/packages" in desk.present.files
    module = Item(
        what="module",
        name=release.module,
        version=release.version,
        size_bytes=size,
        exact=digest is not None,
        source="cache" if offer.held else "download",
        on_board=there,
        folder=folder if there else "",
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
        python=desk.python,
        items=(desk.runner_item("payload"), module, numpy),
        why=tuple(why),
        with_numpy=not own_fits,
    )
