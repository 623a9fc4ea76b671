"""The nearest known name for a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` probably meant, or None."""
    import difflib

    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(kind: str, name: str, known: Iterable[str]) -> tuple[str, str]:
    """The message and the hint for an unknown ``kind`` of thing called ``name``."""
    names = sorted(known)
    guess = nearest(name, names)
    message = f"unknown {kind} {name!r}"
    choices = f"known: {', '.join(names)}" if names else f"there is no {kind} yet"
    return message, f"did you mean {guess!r}? {choices}" if guess else choices
