"""What `compare` and `gate` share on the command line: boards, pairs of processes, keeping what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli import options as o
from edgekit.cli.reaching import device_names, one_thread_count
from edgekit.core.errors import UsageError

if TYPE_CHECKING:
    from edgekit.core.notice import Notice
    from edgekit.measure.compare import Comparison
    from edgekit.measure.pairs import PairPlan
    from edgekit.results.store import Store
    from edgekit.verbs.boards import Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """Where two models run in pairs, and how."""

    device: o.Devices = "local"
    num_threads: Annotated[
        str | None,
        typer.Option(
            "--num-threads", envvar="EDGEKIT_NUM_THREADS", help="Threads of the interpreter (default: the profile's)."
        ),
    ] = None
    plan: Annotated[
        str, typer.Option("--plan", envvar="EDGEKIT_PLAN", help="standard or publish; quick is refused.")
    ] = "standard"
    num_runs: o.NumRuns = None
    warmup_runs: o.WarmupRuns = None
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of the order of the processes (default: drawn).")
    ] = None

    def boards(self, way: o.BoardOptions) -> tuple[list[str], Reach]:
        """The boards' names, and how to reach them; a misspelt one is found before any model is read.

        Raises:
            UsageError: there is none, or an unknown one.
        """
        names, reach = device_names(self.device), way.reach()
        for name in names:
            reach.target(name)
        return names, reach

    def threads(self) -> int | None:
        """Of the interpreter; None: what the board's profile says.

        Raises:
            UsageError: several, or no whole number.
        """
        return one_thread_count(self.num_threads)

    def chosen(self, *, margin: float | None = None) -> PairPlan:
        """The plan; ``margin``: None: the usual one.

        Raises:
            UsageError: an unknown or only indicative plan, a number out of range.
        """
        from edgekit.measure.pairs import MARGIN, make_pair_plan

        return make_pair_plan(
            self.plan,
            margin=MARGIN if margin is None else margin,
            num_runs=self.num_runs,
            warmup_runs=self.warmup_runs,
            seed=self.seed,
        )


def keep(comparison: Comparison, store: Store) -> tuple[dict[str, Any], tuple[Notice, ...]]:
    """Stores a comparison, and its sides with their raw samples as measurements; its document, and what to tell."""
    from edgekit.core.errors import StoreError
    from edgekit.core.notice import Notice
    from edgekit.measure.compare import to_comparison_document
    from edgekit.measure.side_by_side import runtime_notices
    from edgekit.report.compared import comparison_sentence
    from edgekit.verbs.selftest import flagged

    document = {**to_comparison_document(comparison), "sentence": comparison_sentence(comparison)}
    sides = (comparison.baseline, comparison.candidate)
    notices = [notice for side in sides for notice in (*side.notices, *runtime_notices([side]))]
    if flag := flagged(comparison.device, store):
        notices.append(flag)
    try:
        for side in ("baseline", "candidate"):
            kept = store.get(store.add_measurement(getattr(comparison, side)))
            document[side] = {**kept.document, "id": kept.id}
        document["id"] = store.add(
            "comparison",
            document,
            device=comparison.device,
            model=comparison.candidate.model.name,
            model_sha256=comparison.candidate.model.sha256,
            verdict=comparison.verdict,
        )
    except StoreError as error:  # what was measured must be seen even where it cannot be kept
        notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))
    return document, tuple(dict.fromkeys((*notices, *store.notices)))


def fraction(text: str, option: str) -> float:
    """``2%`` or ``0.02`` → 0.02.

    Raises:
        UsageError: neither.
    """
    number, percent = text.strip().removesuffix("%").strip(), text.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UsageError(f"{option} {text!r} is no percentage", hint=f"{option} 2%  or  {option} 0.02")
    return value
