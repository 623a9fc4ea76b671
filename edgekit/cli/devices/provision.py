"""edgekit devices provision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.devices.app import app
from edgekit.cli.invocation import command, exit_with
from edgekit.cli.output import Output
from edgekit.core import units

if TYPE_CHECKING:
    from edgekit.device.board_cache import CachedKind
    from edgekit.device.provision_plan import Choice
    from edgekit.verbs.provision import Provisioned


@command(app, "devices provision", example="edgekit devices provision pi4 --dry-run")
def provision(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="What you call the board.")] = None,
    *,
    runtime: o.Runtime = "auto",
    library: Annotated[
        Path | None, typer.Option("--library", help="Your own LiteRT library for this board; remembered for it.")
    ] = None,
    benchmark_model: Annotated[
        Path | None, typer.Option("--benchmark-model", help="Google's benchmark_model for this board; remembered.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; send and download nothing.")] = False,
    download_only: Annotated[
        bool, typer.Option("--download-only", help="Fill the cache for another machine; the board is not reached.")
    ] = False,
    abi: Annotated[
        str | None, typer.Option("--abi", help="With --download-only: aarch64, armv7l or x86_64 (the profile's).")
    ] = None,
    libc_version: Annotated[
        str | None, typer.Option("--libc-version", help="With --download-only: of the board's glibc (all of them).")
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", help="With --download-only of a module: the board's, e.g. 3.11.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Then empty the board's cache of models, samples and older runtimes.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take everything of edgekit's off the board.")] = False,
    way: o.BoardOptions,
    out: Output,
) -> None:
    """Decide which runtime a board gets, say why, and bring it there."""
    from edgekit.core.errors import UsageError
    from edgekit.verbs import provision as verb

    _check(name, (dry_run or prune) + download_only + remove > 1, download_only, (abi, libc_version, python))
    if download_only:
        if library or benchmark_model:
            raise UsageError("--library and --benchmark-model are for a board, not for --download-only")
        _download(name, runtime, abi, libc_version, python, way, out)
        return
    assert name is not None
    if remove:
        _remove(name, way, out)
        return
    done = verb.provision(
        name,
        runtime=runtime,
        library=library,
        benchmark_model=benchmark_model,
        dry_run=dry_run,
        prune=prune,
        reach=way.reach(),
        on_event=out.on_event,
    )
    out.notices(done.notices)
    out.answer(_document(done), *_tables(done))
    if done.plan.chosen is None:
        exit_with(5)


def _check(name: str | None, several: bool, download_only: bool, only: tuple[str | None, ...]) -> None:
    from edgekit.core.errors import UsageError

    if several:
        raise UsageError("--download-only, --remove, and --dry-run or --prune exclude each other")
    if any(only) and not download_only:
        raise UsageError("--abi, --libc-version and --python are for --download-only: a board says them itself")
    if name is None and not (download_only and only[0]):
        raise UsageError("no board is named", hint="edgekit devices provision NAME, or --download-only --abi ABI")


def _tables(done: Provisioned) -> list[Any]:
    from edgekit.report.terminal import facts_table, rows_table

    plan, chosen = done.plan, done.plan.chosen
    shown: list[Any] = [facts_table([("board", f"{plan.board}: {plan.system}"), *_decision(chosen)])]
    if chosen is not None:
        rows = [
            (item.what, item.name, item.version, _size(item.size_bytes, item.exact), item.source, _there(item.on_board))
            for item in chosen.items
        ]
        shown.append(rows_table(("", "name", "version", "size", "from", "on the board"), rows, right=(3,)))
        shown += [f"· {sentence}" for sentence in chosen.why]
    if plan.ruled_out:
        shown.append(rows_table(("not", "because"), [(out.what, out.reason) for out in plan.ruled_out]))
    later = plan.choices[1:]
    if later and done.runtime is None:
        names = ", ".join(dict.fromkeys(_name(choice) for choice in later))
        shown.append(f"if it does not load there, these are tried: {names}")
    if done.runtime is not None:
        sent = units.size(done.runtime.uploaded_bytes) if done.runtime.uploaded_bytes else "nothing had to be"
        shown.append(f"{done.runtime.name} {done.runtime.version} works on {plan.board}; sent: {sent}")
        if done.pruned is not None:
            shown.append(_pruned(done.pruned))
    elif chosen is not None:
        if done.pruned is not None:
            shown.append(_would_go(done.pruned))
        how = f" --runtime {plan.wanted}" if plan.wanted != "auto" else ""
        how += " --prune" if done.pruned is not None else ""
        shown.append(f"nothing was sent; to do it: edgekit devices provision {plan.board}{how}")
    else:
        shown.append(f"what helps: {plan.hint}")
    return shown


def _pruned(gone: tuple[CachedKind, ...]) -> str:
    from edgekit.device.board_cache import amount

    if not gone:
        return "its cache was empty but for that; releases stay"
    return f"gone from its cache: {amount(gone)}; releases stay"


def _would_go(cache: tuple[CachedKind, ...]) -> str:
    from edgekit.device.board_cache import amount

    if not cache:
        return "nothing would go from its cache"
    return f"would go from its cache: {amount(cache)}"


def _decision(chosen: Choice | None) -> list[tuple[str, object]]:
    if chosen is None:
        return [("runtime", "none: nothing can run models on this board")]
    runner = {
        "payload": f"edgekit's runner, by {chosen.python}",
        "native": "edgekit's native runner",
        "benchmark_model": "the program itself",
    }[chosen.runner]
    return [
        ("runtime", _name(chosen)),
        ("started by", runner),
        ("to send", _size(chosen.bytes_to_send, chosen.exact)),
        ("to download", ", ".join(chosen.downloads) or "nothing"),
    ]


def _name(choice: Choice) -> str:
    by = " by the native runner" if choice.runner == "native" else ""
    return f"{choice.name} {choice.version}{by}"


def _size(size: int, exact: bool) -> str:
    return ("" if exact else "about ") + units.size(size) if size else "–"


def _there(on_board: bool) -> str:
    return "yes" if on_board else "no"


def _document(done: Provisioned) -> dict[str, Any]:
    from edgekit.core.decode import to_json

    plan = done.plan
    choices = [
        {**to_json(choice), "bytes_to_send": choice.bytes_to_send, "downloads": list(choice.downloads)}
        for choice in plan.choices
    ]
    return {
        "device": plan.board,
        "system": plan.system,
        "plan": choices[0] if choices else None,
        "alternatives": choices[1:],
        "ruled_out": to_json(plan.ruled_out),
        "hint": plan.hint or None,
        "runtime": to_json(done.runtime),
        "dry_run": done.runtime is None,
        "pruned": to_json(done.pruned),
        "warnings": to_json(done.notices),
    }


def _download(
    name: str | None,
    runtime: str,
    abi: str | None,
    libc_version: str | None,
    python: str | None,
    way: o.BoardOptions,
    out: Output,
) -> None:
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import rows_table
    from edgekit.verbs.provision_download import download_runtimes

    got = download_runtimes(
        name,
        runtime=runtime,
        abi=abi,
        libc_version=libc_version,
        python=python,
        reach=way.reach(),
        on_event=out.on_event,
    )
    out.notices(got.notices)
    rows = [(each.what, units.size(each.size_bytes), each.glibc_needed or "any") for each in got.files]
    folders = " and ".join(str(got.cache / folder) for folder in got.folders)
    out.answer(
        {
            "abi": got.abi,
            "cache": str(got.cache),
            "folders": got.folders,
            "files": to_json(got.files),
            "next_command": got.command,
            "warnings": to_json(got.notices),
        },
        rows_table(("in the cache now", "size", "needs glibc"), rows, right=(1,)),
        f"copy {folders} into the other machine's edgekit cache (~/.cache/edgekit, or $EDGEKIT_HOME/cache)",
        f"then, there:  {got.command}",
    )


def _remove(name: str, way: o.BoardOptions, out: Output) -> None:
    from edgekit.core.decode import to_json
    from edgekit.verbs.provision import remove_from_board

    gone = remove_from_board(name, reach=way.reach(), on_event=out.on_event)
    if not gone.existed:
        said = f"there is no {gone.workspace} on {name}: nothing to remove"
    elif gone.left:
        said = f"{gone.count} things of edgekit's are gone from {gone.workspace} on {name}; not edgekit's, and still "
        said += f"there: {', '.join(gone.left)}"
    else:
        said = f"{gone.workspace} is gone from {name}"
    out.answer({"device": name, **to_json(gone)}, said)
