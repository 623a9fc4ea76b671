"""The group of commands about kept results, and which of them are meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.invocation import new_app

if TYPE_CHECKING:
    from edgekit.results.query import Query

app = new_app(
    "What was measured, made and deployed: list it, follow it, take it elsewhere.",
    example="edgekit results list --device pi4 --last 7d",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """Which results."""

    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="measurement, artifact, deployment, comparison, gate, profile or selftest (default: all)."
        ),
    ] = None
    device: Annotated[
        str | None, typer.Option("--device", help="Only of this board; 'pi4 (emulated)' is another one than pi4.")
    ] = None
    model: Annotated[
        str | None, typer.Option("--model", help="Only of this model: name, or beginning of its SHA-256.")
    ] = None
    since: Annotated[str | None, typer.Option("--since", help="From this day on: 2026-11-01 or 2026-11-01T12:30.")] = (
        None
    )
    until: Annotated[str | None, typer.Option("--until", help="To this day, it included (times are UTC).")] = None
    last: Annotated[str | None, typer.Option("--last", help="Only so far back: 7d, 12h, 30min, 2w.")] = None
    verdict: Annotated[
        str | None, typer.Option("--verdict", help="valid, unstable, invalid; faster, …; passed, failed.")
    ] = None
    lab: Annotated[str | None, typer.Option("--lab", help="Only what was taken in from this lab.")] = None

    def query(self) -> Query:
        """For the store.

        Raises:
            UsageError: not a date, or two options that contradict each other.
        """
        from edgekit.core.errors import UsageError
        from edgekit.results.query import Query, before_now, moment

        if self.since and self.last:
            raise UsageError("--since and --last both say how far back", hint="give one of them")
        since = moment(self.since, option="--since") if self.since else None
        return Query(
            kind=self.kind,
            device=self.device,
            model=self.model,
            since=before_now(self.last, option="--last") if self.last else since,
            until=moment(self.until, option="--until", end=True) if self.until else None,
            verdict=self.verdict,
            lab=self.lab,
        )
