"""demo: the whole path on the shipped digits example and this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.events import ignore

if TYPE_CHECKING:
    from edgekit.core.artifact import Artifact
    from edgekit.core.events import EventSink
    from edgekit.measure.measurement import Measurement
    from edgekit.measure.plan import Plan
    from edgekit.verbs.deploy import Deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo made and measured.

    Attributes:
        baseline: the float32 artifact.
        final: pruned and quantized.
        deployment: of ``final`` on ``local``.
        measurements: of ``baseline`` and ``final``, their processes interleaved.
    """

    baseline: Artifact
    final: Artifact
    deployment: Deployment
    measurements: tuple[Measurement, Measurement]


def example_folder() -> Path:
    """``examples/digits`` of the source tree, or its copy in the installed package."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_examples" / "digits"
    return installed if installed.is_dir() else package.parent / "examples" / "digits"


def demo(folder: Path, *, plan: str | Plan = "standard", on_event: EventSink = ignore) -> Demo:
    """Prunes, quantizes, converts, audits, scores, deploys and benchmarks the shipped digits classifier.

    Args:
        folder: where the two artifacts go.
        plan: of the benchmark.
        on_event: hears of the progress.

    Raises:
        DependencyError: TensorFlow is not installed.
        EdgekitError: whatever a step met.
    """
    from edgekit.verbs.benchmark import benchmark
    from edgekit.verbs.deploy import deploy
    from edgekit.verbs.optimize import optimize

    source = example_folder()
    model, data = source / "digits.keras", str(source / "digits.npz")
    baseline = optimize(model, data=data, recipe="float32", output=folder / "digits-float32.tflite", on_event=on_event)
    final = optimize(
        model, data=data, recipe="prune-int8", max_drop=2.0, output=folder / "digits.tflite", on_event=on_event
    )
    deployment = deploy(final, device="local", plan=None, on_event=on_event)
    before, after = benchmark([baseline, final], device="local", plan=plan, on_event=on_event)
    return Demo(baseline=baseline, final=final, deployment=deployment, measurements=(before, after))
