"""edgekit: make a trained model small and fast, put it on your own boards, measure it there.

The verbs of the command line, as functions over records:

    import edgekit

    artifact = edgekit.optimize("model.keras", data="data.npz", recipe="prune-int8", max_drop=0.5)
    edgekit.deploy(artifact, device="pi4")
    edgekit.benchmark([artifact, "other.tflite"], device=["local", "pi4"], num_threads=[1, 4])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# the rooms first: imported later, they would take the places of the verbs of the same names
import edgekit.optimize
import edgekit.report  # noqa: F401

if TYPE_CHECKING:
    from edgekit.core.artifact import Artifact, Manifest, open_artifact
    from edgekit.core.errors import EdgekitError
    from edgekit.results.store import open_store
    from edgekit.verbs.benchmark import benchmark
    from edgekit.verbs.boards import Reach
    from edgekit.verbs.compare import compare
    from edgekit.verbs.deploy import deploy
    from edgekit.verbs.diagnose import diagnose
    from edgekit.verbs.evaluate import evaluate
    from edgekit.verbs.gate import gate
    from edgekit.verbs.inspect import audit, inspect
    from edgekit.verbs.profile import profile
    from edgekit.verbs.provision import provision
    from edgekit.verbs.rollback import rollback
    from edgekit.verbs.selftest import selftest

from edgekit.core.version import VERSION
from edgekit.verbs.optimize import calibration_curve, forecast, optimize
from edgekit.verbs.report import report
from edgekit.verbs.techniques import cluster, convert, distill, prune, quantize

__version__ = VERSION

_LAZY = {
    "Artifact": "edgekit.core.artifact",
    "EdgekitError": "edgekit.core.errors",
    "Manifest": "edgekit.core.artifact",
    "Reach": "edgekit.verbs.boards",
    "audit": "edgekit.verbs.inspect",
    "benchmark": "edgekit.verbs.benchmark",
    "compare": "edgekit.verbs.compare",
    "deploy": "edgekit.verbs.deploy",
    "diagnose": "edgekit.verbs.diagnose",
    "evaluate": "edgekit.verbs.evaluate",
    "gate": "edgekit.verbs.gate",
    "inspect": "edgekit.verbs.inspect",
    "open_artifact": "edgekit.core.artifact",
    "open_store": "edgekit.results.store",
    "profile": "edgekit.verbs.profile",
    "provision": "edgekit.verbs.provision",
    "rollback": "edgekit.verbs.rollback",
    "selftest": "edgekit.verbs.selftest",
}

__all__ = [
    "Artifact",
    "EdgekitError",
    "Manifest",
    "Reach",
    "audit",
    "benchmark",
    "calibration_curve",
    "cluster",
    "compare",
    "convert",
    "deploy",
    "diagnose",
    "distill",
    "evaluate",
    "forecast",
    "gate",
    "inspect",
    "open_artifact",
    "open_store",
    "optimize",
    "profile",
    "provision",
    "prune",
    "quantize",
    "report",
    "rollback",
    "selftest",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: ``edgekit --help`` pays for none of them."""
    if name not in _LAZY:
        raise AttributeError(f"module 'edgekit' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
