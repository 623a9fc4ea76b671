"""edgekit results import, merge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.invocation import command, exit_with
from edgekit.cli.output import Output
from edgekit.cli.results.app import app

if TYPE_CHECKING:
    from edgekit.results.transfer import Taken

Lab = Annotated[str | None, typer.Option("--lab", help="Whose results they are; default: as the file is called.")]
SkipDamaged = Annotated[
    bool, typer.Option("--skip-damaged", help="Leave out what is damaged instead of taking in nothing.")
]


@command(app, "results import", example="edgekit results import results.jsonl --lab munich")
def import_(
    file: Annotated[Path, typer.Argument(help="What `results export --format jsonl` wrote; - is standard input.")],
    *,
    lab: Lab = None,
    skip_damaged: SkipDamaged = False,
    out: Output,
) -> None:
    """Take in results with their raw samples. Those that are here already are skipped; all others, or none."""
    import shutil
    import sys
    import tempfile

    from edgekit.core.errors import UsageError
    from edgekit.results.store import open_store
    from edgekit.results.transfer import take_in_lines

    def take_in(stream: IO[bytes], name: str) -> Taken:
        named = lab or name.partition(".")[0] or name
        return take_in_lines(open_store(), stream, name=name, lab=named, skip_damaged=skip_damaged)

    if str(file) == "-":
        with tempfile.TemporaryFile() as stream:  # the store is not to be locked while a network is waited for
            shutil.copyfileobj(sys.stdin.buffer, stream)
            stream.seek(0)
            taken = take_in(stream, "standard input")
    else:
        try:
            with file.open("rb") as opened:
                taken = take_in(opened, file.name)
        except OSError as error:
            raise UsageError(f"cannot read {file}: {error.strerror}") from error
    _tell(taken, str(file), out)


@command(app, "results merge", example="edgekit results merge /mnt/labb/results.sqlite --lab labb")
def merge(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", help="Files or database URLs; only read.")],
    *,
    lab: Lab = None,
    skip_damaged: SkipDamaged = False,
    out: Output,
) -> None:
    """Take in everything of other stores, raw samples too. Each result keeps the name of its lab."""
    from edgekit.core.errors import UsageError
    from edgekit.results.store import open_store
    from edgekit.results.transfer import merge as merge_store

    if lab and len(stores) > 1:
        raise UsageError("--lab names one lab, and there are several stores", hint="merge them one by one")
    store = open_store()
    taken = [merge_store(store, other, lab=lab, skip_damaged=skip_damaged) for other in stores]
    documents = [{"store": other, **_document(one)} for other, one in zip(stores, taken)]
    out.answer({"stores": documents}, *(_sentence(one, other) for other, one in zip(stores, taken)))
    _end(taken, out)


def _tell(taken: Taken, name: str, out: Output) -> None:
    out.answer({"path": name, **_document(taken)}, _sentence(taken, name))
    _end([taken], out)


def _document(taken: Taken) -> dict[str, Any]:
    from edgekit.core.decode import to_json

    return dict(to_json(taken))


def _sentence(taken: Taken, name: str) -> str:
    from edgekit.report.words import count

    restored = f", the lost samples of {taken.restored} came back" if taken.restored else ""
    return f"{name}: {count(taken.added, 'result')} taken in, {taken.known} here already{restored}"


def _end(taken: Sequence[Taken], out: Output) -> None:
    left_out = [text for one in taken for text in one.left_out]
    for text in left_out:
        out.say(f"left out: {text}")
    if left_out:
        exit_with(6)
