"""Text from boards, models and files, made harmless for terminals, pages and spreadsheets."""

from __future__ import annotations

import unicodedata

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def clean(text: object) -> str:
    """Text in which everything that could move a cursor, colour, hide or reorder is written out, as ``\\x1b``.

    Control characters (C0, C1, DEL), line and paragraph separators, and invisible formatting (bidirectional
    overrides, zero-width) are the ones; a name stays recognisable and one line long.
    """
    return "".join(map(_visible, str(text)))


def cell(value: object) -> object:
    """A value for a CSV cell: a text that a spreadsheet would take for a formula gets an apostrophe in front.

    Numbers stay numbers. Source: OWASP, "CSV Injection".
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or value[:1] in ("\t", "\r") else text


def markdown(text: object) -> str:
    """Text for a cell of a Markdown table, without markup of its own."""
    shown = clean(text)
    for sign in "\\`*_[]|~":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _visible(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
