"""How commands that make a model show what they made."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli import documents
from edgekit.cli.output import Output
from edgekit.core import units
from edgekit.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.cli.options import MakingOptions
    from edgekit.core.artifact import Artifact, Audit, Score, StepRecord
    from edgekit.optimize.request import Trained


def needed(model: Path | None, name: str) -> Path:
    """The argument, or a usage error that says where it can come from.

    Raises:
        UsageError: it is missing.
    """
    if model is None:
        raise UsageError(f"{name} is missing", hint='name the model, or write  model = "model.keras"  in edgekit.toml')
    return model


def show_artifact(artifact: Artifact, out: Output) -> None:
    """Keeps an optimization in the store and answers with it."""
    from edgekit.core.decode import to_json
    from edgekit.core.notice import Notice
    from edgekit.report.terminal import ablation_table, steps_table
    from edgekit.results.store import open_store

    manifest = artifact.manifest
    assert manifest is not None
    notices = list(manifest.warnings)
    try:
        open_store().add_optimization(to_json(manifest))
    except StoreError as error:  # the file is made; a store that cannot be written must not hide it
        notices.append(Notice(code="not-stored", message=error.message, hint=error.hint or ""))
    out.notices(notices)
    metric = manifest.score.metric if manifest.score else None
    out.answer(
        documents.of_artifact(artifact),
        steps_table(manifest.steps, metric=metric),
        *([ablation_table(manifest.steps[-1], manifest.ablation, metric=metric)] if manifest.ablation else []),
        *score_lines(manifest.score),
        *forecast_lines(manifest.steps),
        audit_line(manifest.audit, manifest.kind),
        f"{artifact.path}  {units.size(manifest.size_bytes)}, {units.size(manifest.gzip_bytes)} compressed",
    )


def without_project_output(making: MakingOptions) -> MakingOptions:
    """The options without the output of ``edgekit.toml``, which is what the whole recipe makes."""
    from edgekit.cli.project import read_project

    if making.output is not None and str(making.output) == read_project(Path.cwd()).output:
        return dataclasses.replace(making, output=None)
    return making


def show_trained(made: Trained, out: Output, *tables: Any) -> None:
    """Answers with a model that is still to be trained or converted."""
    from edgekit.core.decode import to_json
    from edgekit.report.terminal import steps_table

    out.notices(made.notices)
    document = {
        "artifact": {
            key: to_json(getattr(made, key))
            for key in ("path", "format", "sha256", "size_bytes", "gzip_bytes", "inputs", "outputs")
        },
        "steps": [documents.of_step(step) for step in made.steps],
        "score": documents.of_score(made.score),
        "warnings": to_json(made.notices),
    }
    out.answer(
        document,
        *tables,
        steps_table(made.steps, metric=made.score.metric if made.score else None),
        *score_lines(made.score),
        f"{made.path}  {units.size(made.size_bytes)}, {units.size(made.gzip_bytes)} compressed",
    )


def group_table(details: dict[str, Any]) -> Any:
    """The channels of each group of layers before and after, and the groups that were left whole."""
    from edgekit.report.terminal import rows_table

    rows = [
        (", ".join(group["layers"]), group["unit"], f"{group['before']} → {group['after']}", "")
        for group in details["groups"]
    ]
    rows += [
        (", ".join(group["layers"]), group["unit"], str(group["channels"]), group["reason"])
        for group in details["left"]
    ]
    return rows_table(("layers", "", "kept", "left whole because"), rows)


def forecast_lines(steps: Sequence[StepRecord]) -> list[str]:
    """Whether what was forecast came true."""
    told = [(step.name, step.forecast["agreement"]) for step in steps if step.forecast]
    missed = [f"forecast missed for {name}: {note}" for name, agreement in told for note in agreement["notes"]]
    if missed or not told:
        return missed
    return [f"forecast: all {sum(len(agreement['verdicts']) for _, agreement in told)} figures came true"]


def score_lines(score: Score | None) -> list[str]:
    """The score in a sentence, and how alike the outputs are."""
    if score is None:
        return ["not scored: there are no evaluation rows (--data or --evaluation)"]
    from edgekit.report import words

    details = score.details
    alike = []
    if "same_class" in details:
        alike.append(f"same class as float: {details['same_class']:.2%}")
    if "cosine" in details:
        alike.append(f"cosine {details['cosine']:.4f}")
    if "max_abs_difference" in details:
        alike.append(f"largest difference {details['max_abs_difference']:.3g}")
    lines = [f"{score.count} evaluation rows; " + (", ".join(alike) or score.metric)]
    if score.ci95 is not None and score.drop_ci95 is not None:
        low, high = (words.score(end, score.metric) for end in score.ci95)
        lost = [words.drop(end, score.metric) for end in reversed(score.drop_ci95)]
        lines.append(f"95 % intervals: {score.metric} {low} to {high}, change {lost[0]} to {lost[1]}")
    return lines


def audit_line(audit: Audit, kind: str) -> str:
    """The audit in a sentence."""
    runtime = f"; needs {audit.min_runtime} or newer" if audit.min_runtime else ""
    if audit.full_integer:
        return f"audit: full-integer{runtime}"
    if audit.flex_ops:
        return f"audit: needs select-TF ops: {', '.join(audit.flex_ops)}"
    floats = ", ".join(audit.float_ops[:6]) + (", …" if len(audit.float_ops) > 6 else "")
    return f"audit: {kind}, float ops: {floats or 'none'}{runtime}"
