"""The JSON documents of the contract, from records."""

from __future__ import annotations

from typing import Any

from edgekit.core.artifact import Artifact, Audit, Score, StepRecord
from edgekit.core.decode import to_json


def of_artifact(artifact: Artifact) -> dict[str, Any]:
    """``artifact``, ``steps``, ``score``, ``audit`` and ``warnings`` of a model that edgekit made."""
    manifest = artifact.manifest
    assert manifest is not None
    return {
        "artifact": {
            "path": str(artifact.path),
            "format": "tflite",
            "kind": manifest.kind,
            "sha256": manifest.sha256,
            "size_bytes": manifest.size_bytes,
            "gzip_bytes": manifest.gzip_bytes,
            "inputs": to_json(manifest.inputs),
            "outputs": to_json(manifest.outputs),
        },
        "recipe": manifest.recipe,
        "steps": [of_step(step) for step in manifest.steps],
        "score": of_score(manifest.score),
        "audit": of_audit(manifest.audit),
        "ablation": to_json(manifest.ablation),
        "attempts": to_json(manifest.attempts),
        "warnings": to_json(manifest.warnings),
    }


def of_score(score: Score | None) -> dict[str, Any] | None:
    """``score{metric,float,final,drop,count}``."""
    if score is None:
        return None
    return {
        "metric": score.metric,
        "float": score.reference,
        "final": score.final,
        "drop": score.drop,
        "count": score.count,
        "ci95": score.ci95,
        "drop_ci95": score.drop_ci95,
        "details": score.details,
    }


def of_audit(audit: Audit) -> dict[str, Any]:
    """``audit{full_integer,float_ops,flex_ops,…}``."""
    return dict(to_json(audit))


def of_step(step: StepRecord) -> dict[str, Any]:
    """One of ``steps[]``."""
    return dict(to_json(step))
