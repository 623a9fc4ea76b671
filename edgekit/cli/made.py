"""How commands that make a model show what they made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cli import documents
from edgekit.cli.output import Output
from edgekit.core import units
from edgekit.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from edgekit.core.artifact import Artifact, Audit, Score


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
    from edgekit.report.terminal import steps_table
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
        *score_lines(manifest.score),
        audit_line(manifest.audit, manifest.kind),
        f"{artifact.path}  {units.size(manifest.size_bytes)}, {units.size(manifest.gzip_bytes)} compressed",
    )


def score_lines(score: Score | None) -> list[str]:
    """The score in a sentence, and how alike the outputs are."""
    if score is None:
        return ["not scored: there are no evaluation rows (--data or --evaluation)"]
    details = score.details
    alike = []
    if "same_class" in details:
        alike.append(f"same class as float: {details['same_class']:.2%}")
    if "cosine" in details:
        alike.append(f"cosine {details['cosine']:.4f}")
    if "max_abs_difference" in details:
        alike.append(f"largest difference {details['max_abs_difference']:.3g}")
    return [f"{score.count} evaluation rows; " + (", ".join(alike) or score.metric)]


def audit_line(audit: Audit, kind: str) -> str:
    """The audit in a sentence."""
    runtime = f"; needs {audit.min_runtime} or newer" if audit.min_runtime else ""
    if audit.full_integer:
        return f"audit: full-integer{runtime}"
    if audit.flex_ops:
        return f"audit: needs select-TF ops: {', '.join(audit.flex_ops)}"
    floats = ", ".join(audit.float_ops[:6]) + (", …" if len(audit.float_ops) > 6 else "")
    return f"audit: {kind}, float ops: {floats or 'none'}{runtime}"
