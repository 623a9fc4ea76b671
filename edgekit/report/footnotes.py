"""What stands below a table of measurements: no number without what it depends on, nor without its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.report import words
from edgekit.report.clean import clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

STYLES = {"valid": "green", "unstable": "yellow", "invalid": "red"}


def footnotes(documents: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """Circumstances and verdicts of rows; what holds for several of them is said once."""
    from rich.padding import Padding

    alike: dict[tuple[str, str], list[str]] = {}
    judged: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    several = len(set(map(words.runtime_in_short, documents))) > 1
    for document in documents:
        threads = words.count(document["num_threads"], "thread")
        runtime = f", {words.runtime_in_short(document)}" if several else ""
        name = f"{words.model(document['model']['name'])} ({words.device(document)}{runtime}, {threads})"
        where = (words.device(document), words.circumstances(document))
        alike.setdefault(where, []).append(words.model(document["model"]["name"]))
        judged.setdefault("\n".join(words.verdict(document)), (document, []))[1].append(name)
    boards: dict[tuple[str, str], list[str]] = {}
    for (board, circumstances), names in alike.items():
        boards.setdefault((", ".join(dict.fromkeys(names)), circumstances), []).append(board)
    lines: list[RenderableType] = [
        _text(f"{f'{models}: ' if len(boards) > 1 else ''}on {', '.join(there)}, {circumstances}")
        for (models, circumstances), there in boards.items()
    ]
    shared = _shared([document for document, _ in judged.values()])
    for document, names in judged.values():
        first, *reasons = verdict_text({**document, "reasons": _without(document, shared)}).split()
        if len(judged) > 1:
            first.append_text(_text(f"  {', '.join(names)}"))
        lines += [first, *(Padding(reason, (0, 0, 0, 2), expand=False) for reason in reasons)]
    lines += [_text(f"all: {reason}") for reason in shared]
    return lines


def _shared(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """Reasons that all rows have, word for word: they are said once."""
    if len(documents) < 2:
        return []
    return [one for one in documents[0]["reasons"] if all(one in document["reasons"] for document in documents[1:])]


def _without(document: Mapping[str, Any], shared: Sequence[str]) -> list[str]:
    return [reason for reason in document["reasons"] if reason not in shared]


def verdict_text(document: Mapping[str, Any]) -> Text:
    """A measurement's verdict with its reasons, in its colour."""
    from rich.text import Text

    text = Text("\n").join(map(_text, words.verdict(document)))
    text.stylize(STYLES.get(document["verdict"], ""), 0, len(document["verdict"]))
    return text


def _text(value: object) -> Text:
    from rich.text import Text

    return Text(clean(value))
