"""report: what the store holds, as a page, a pull request's text, or rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from edgekit.core.errors import UsageError
from edgekit.core.suggest import unknown

if TYPE_CHECKING:
    from datetime import datetime

    from edgekit.report.collected import Collected
    from edgekit.results.store import Store

Form = Literal["html", "markdown", "csv", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A finished report.

    Attributes:
        text: the file's content.
        form: what it is.
        collected: what it is of.
    """

    text: str
    form: Form
    collected: Collected


def report(
    store: Store | None = None,
    *,
    form: str = "html",
    device: str | None = None,
    model: str | None = None,
    since: datetime | None = None,
) -> Report:
    """Makes a report of the store of record.

    Args:
        store: None: the user's.
        form: ``html``, one file that loads nothing; ``markdown`` for a pull request; ``csv``; ``json``.
        device: only of this board; results of an emulated one are kept apart, as of ``pi4 (emulated)``.
        model: only of this one: its name, or the beginning of its SHA-256.
        since: only from then on.

    Raises:
        UsageError: no such form.
        StoreError: the store cannot be read.
    """
    from edgekit.report.collected import collect
    from edgekit.results.store import open_store

    if form not in get_args(Form):
        message, hint = unknown("format", form, get_args(Form))
        raise UsageError(message, hint=hint)
    found = collect(store or open_store(), device=device, model=model, since=since)
    return Report(text=_text(found, form), form=form, collected=found)  # type: ignore[arg-type]  # checked above


def _text(collected: Collected, form: str) -> str:
    if form == "html":
        from edgekit.report.html.page import page

        return page(collected)
    if form == "markdown":
        from edgekit.report.markdown import pull_request

        return pull_request(collected)
    from edgekit.report.export import export_results

    return export_results(collected.results, form)
