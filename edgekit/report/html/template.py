"""The door to Jinja2: the page's template with its style and script, everything escaped and cleaned."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from edgekit.report import words
from edgekit.report.clean import clean

if TYPE_CHECKING:
    from markupsafe import Markup

    from edgekit.report.html.chart import Table

_TONES = {
    "valid": ("good", "✓"),
    "unstable": ("doubt", "~"),
    "invalid": ("bad", "✕"),
    "faster": ("good", "✓"),
    "equivalent": ("good", "="),
    "passed": ("good", "✓"),
    "slower": ("bad", "✕"),
    "failed": ("bad", "✕"),
    "inconclusive": ("doubt", "~"),
    "emulated": ("doubt", "!"),
}


def filled(**values: Any) -> str:
    """The page; every text is cleaned and escaped, and only what :func:`markup` made passes as it is."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_finalized, trim_blocks=True)
    environment.filters |= {
        "tone": lambda verdict: _TONES.get(str(verdict), ("none", ""))[0],
        "sign": lambda verdict: _TONES.get(str(verdict), ("", "·"))[1],
        "when": lambda moment: str(moment)[:16].replace("T", " "),
        "value": _value,
    }
    script = _file("page.js")
    return environment.from_string(_file("page.html.jinja")).render(
        **values,
        verdicts=tuple(_TONES),
        style=markup(_file("page.css")),
        script=markup(script),
        policy=markup(_policy(script)),
    )


def markup(text: str) -> Markup:
    """Marks text as HTML of our own."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - our own files, and drawings that were made and escaped by our own code


def _file(name: str) -> str:
    return resources.files("edgekit.report.html").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Nothing may be loaded from anywhere, and no script runs but ours."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _finalized(value: Any) -> Any:
    if value is None:
        return words.NOTHING
    return value if hasattr(value, "__html__") else clean(value)


def _value(table: Table, row: int, column: int) -> Any:
    """The attribute to sort by, where the table can be sorted."""
    from markupsafe import Markup

    if not table.sort:
        return ""
    return Markup(' data-value="{}"').format(clean(table.sort[row][column]))
