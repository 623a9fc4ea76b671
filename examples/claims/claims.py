"""Repeats five published claims on small models: makes the data, trains, optimizes, measures, writes the table.

    pip install 'edgekit[optimize]'
    python examples/claims/claims.py                # all of them: about half an hour on two cores
    python examples/claims/claims.py --only int8    # one; the others stay in the results as they are

writes results.json and README.md beside this file. Models and .tflite files are kept in build/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"
sys.path.insert(0, str(HERE))

import data  # noqa: E402
import judge  # noqa: E402
import models  # noqa: E402
import table  # noqa: E402

#: the layers that Li et al. prune by half in VGG-16: the first, and all of the fourth and fifth block
LI_LAYERS = ("conv1", *(f"conv{number}" for number in range(8, 14)))
#: leaves about a fifth of the parameters
STUDENT_WIDTH = 0.44
PRUNING_EPOCHS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What was published, and what is made here to hold against it.

    Attributes:
        title: the claim in a few words.
        source, published: where it stands, and its figures.
        model: of ``models.MODELS``.
        recipes: label → recipe, in the order of the table; ``float32`` is what all are compared with.
        judged: from the variants by label to the checks.
    """

    title: str
    source: str
    published: str
    model: str
    recipes: Callable[[], Mapping[str, Any]]
    judged: Callable[[Mapping[str, Any]], list[judge.Check]]


def _builtin(*names: str) -> Callable[[], Mapping[str, Any]]:
    return lambda: {name: name for name in names}


def _li() -> Mapping[str, Any]:
    from edgekit.optimize.recipe import Recipe
    from edgekit.optimize.steps import FiltersStep, QuantizeStep

    cut = FiltersStep(ratio=0.0, ratios=dict.fromkeys(LI_LAYERS, 0.5))
    return {
        "float32": "float32",
        "filters, float32": Recipe(name="li", description="Li et al.", steps=(cut, QuantizeStep(mode="float32"))),
        "filters, int8": Recipe(name="li-int8", description="and int8", steps=(cut, QuantizeStep(mode="int8"))),
    }


def _students() -> Mapping[str, Any]:
    from edgekit.optimize.recipe import Recipe
    from edgekit.optimize.steps import DistillStep, QuantizeStep

    taught = DistillStep(width=STUDENT_WIDTH)
    kept = DistillStep(width=STUDENT_WIDTH, fine_tune="labels")
    new = DistillStep(width=STUDENT_WIDTH, derive="width", fine_tune="labels")
    last = QuantizeStep(mode="float32")
    return {
        "float32": "float32",
        "student, float32": Recipe(name="student", description="distilled", steps=(taught, last)),
        "student, int8": Recipe(name="student-int8", description="and int8", steps=(taught, QuantizeStep(mode="int8"))),
        "same filters, no teacher, float32": Recipe(
            name="kept", description="the same filters, labels only", steps=(kept, last)
        ),
        "same width, new weights, no teacher, float32": Recipe(
            name="new", description="the same width, new weights, labels only", steps=(new, last)
        ),
    }


def _pruned() -> Mapping[str, Any]:
    """The built-in recipes, with fewer epochs than their default of about 20: the model is the largest one here."""
    from dataclasses import replace

    from edgekit.optimize.recipe import BUILTIN
    from edgekit.optimize.steps import FiltersStep, PruneStep

    recipes: dict[str, Any] = {"float32": "float32", "int8": "int8"}
    for name in ("prune-int8", "filters-int8"):
        first, last = BUILTIN[name].steps
        assert isinstance(first, (PruneStep, FiltersStep))
        recipes[name] = replace(BUILTIN[name], steps=(replace(first, epochs=PRUNING_EPOCHS), last))
    return recipes


CLAIMS: dict[str, Claim] = {
    "int8": Claim(
        title="int8 makes a model small and fast",
        source="often quoted; no primary source at hand",
        published="120 → 25 MB (4.8×), twice as fast, 0.3 points lost",
        model="wide",
        recipes=_builtin("float32", "int8"),
        judged=judge.int8,
    ),
    "pruning": Claim(
        title="pruning and quantization save memory and time",
        source="often quoted; no primary source at hand",
        published="memory −40 %, speed +30 %",
        model="wide",
        recipes=_pruned,
        judged=judge.pruning,
    ),
    "li-2017": Claim(
        title="half of the filters of the first and the late layers of VGG-16 can go",
        source="Li et al. 2017, Pruning Filters for Efficient ConvNets, arXiv:1608.08710 (VGG-16, CIFAR-10)",
        published="34 % of FLOPs and 64 % of parameters removed, no accuracy lost",
        model="vgg",
        recipes=_li,
        judged=judge.li,
    ),
    "distillation": Claim(
        title="a student five times smaller, within a point of its teacher",
        source="often quoted; the method: Hinton et al. 2015, arXiv:1503.02531",
        published="5× smaller, at most 1 point lost",
        model="vgg",
        recipes=_students,
        judged=judge.distillation,
    ),
    "speech": Claim(
        title="an int8 speech model at less than half the size",
        source="often quoted; the model: DS-CNN of Zhang et al. 2017, arXiv:1711.07128",
        published="less than half the size, no accuracy lost",
        model="ds_cnn",
        recipes=_builtin("float32", "int8"),
        judged=judge.speech,
    ),
}


def run(claim: Claim, plan: str) -> dict[str, Any]:
    """Trains (or takes from build/), optimizes, measures side by side, judges."""
    import edgekit

    begin = time.perf_counter()
    model, rows = _prepared(claim.model)
    artifacts = {}
    for label, recipe in claim.recipes().items():
        sys.stderr.write(f"  {claim.model}: {label}\n")
        name = f"{claim.model}-{label.replace(', ', '-').replace(' ', '-')}.tflite"
        artifacts[label] = edgekit.optimize(model, data=str(rows), recipe=recipe, output=BUILD / name, on_event=_told)
    sys.stderr.write("  benchmark, side by side\n")
    measured = edgekit.benchmark(list(artifacts.values()), device="local", num_threads=1, plan=plan)
    variants = {
        label: _variant(artifact.manifest, measurement)
        for (label, artifact), measurement in zip(artifacts.items(), measured, strict=True)
    }
    return {
        "model": claim.model,
        "plan": plan,
        "made": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "seconds": round(time.perf_counter() - begin),
        "variants": variants,
    }


def judged(claim: Claim, found: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a run with what was published and what follows from them."""
    words = {"title": claim.title, "source": claim.source, "published": claim.published}
    return {**words, **found, **words, **judge.verdict(claim.judged(found["variants"]))}


def _prepared(name: str) -> tuple[Path, Path]:
    import numpy as np

    BUILD.mkdir(exist_ok=True)
    _, source, _ = models.MODELS[name]
    model, rows = BUILD / f"{name}.keras", BUILD / f"{source}.npz"
    arrays = data.SETS[source]()
    if not rows.is_file():
        np.savez(rows, allow_pickle=False, **arrays)
    if not model.is_file():
        models.trained(name, arrays, model)
    return model, rows


def _variant(manifest: Any, measurement: Any) -> dict[str, Any]:
    """What the table and the verdict need of one .tflite."""
    last, score = manifest.steps[-1], manifest.score
    latency, memory = measurement.latency, measurement.memory
    return {
        "recipe": {key: manifest.recipe[key] for key in ("name", "steps") if key in manifest.recipe},
        "size_bytes": manifest.size_bytes,
        "gzip_bytes": manifest.gzip_bytes,
        "macs": last.macs,
        "parameters": last.parameters_count,
        "score": score.final,
        "score_ci95": score.ci95,
        "drop": score.drop,
        "drop_ci95": score.drop_ci95,
        "rows": score.count,
        "latency_ns": latency.median_ns,
        "latency_ci95_ns": latency.ci95_ns,
        "verdict": measurement.verdict,
        "reasons": [str(reason) for reason in measurement.reasons],
        "processes": measurement.processes,
        "runtime": f"{measurement.runtime.name} {measurement.runtime.version}, {measurement.runtime.delegate}",
        "peak_rss_bytes": memory.peak_rss_bytes,
        "model_rss_bytes": memory.model_bytes,
        "seconds": round(sum(step.seconds for step in manifest.steps), 1),
        "full_integer": manifest.audit.full_integer,
        "notices": [notice.code for notice in (*manifest.warnings, *measurement.notices)],
    }


def _told(event: Any) -> None:
    if event.state == "finished" and event.seconds and event.seconds > 1:
        sys.stderr.write(f"    {event.task}: {event.seconds:.0f} s\n")


def _machine() -> dict[str, Any]:
    import os

    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}


def _lines(path: str) -> Sequence[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.is_file() else ()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the claims and writes both files; each claim as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(CLAIMS), help="one claim; the others stay as they are")
    parser.add_argument("--output", type=Path, default=HERE / "results.json", help="README.md goes beside it")
    parser.add_argument("--plan", choices=("standard", "quick"), default="standard", help="of the measurements")
    parser.add_argument("--table", action="store_true", help="run nothing; judge the results and write the table anew")
    chosen = parser.parse_args(arguments)

    found = json.loads(chosen.output.read_text()) if chosen.output.is_file() else {"claims": {}}
    if chosen.table:
        _write(found, chosen.output)
        return
    from edgekit.optimize.versions import versions

    for name in [chosen.only] if chosen.only else CLAIMS:
        sys.stderr.write(f"{name}\n")
        found["claims"][name] = run(CLAIMS[name], chosen.plan)
        found |= {"machine": _machine(), "versions": versions()}
        _write(found, chosen.output)
        sys.stderr.write(f"{name}: {found['claims'][name]['outcome']}\n")


def _write(found: dict[str, Any], output: Path) -> None:
    claims = {name: judged(claim, found["claims"][name]) for name, claim in CLAIMS.items() if name in found["claims"]}
    found["claims"] = claims
    output.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    (output.parent / "README.md").write_text(table.readme(json.loads(output.read_text())))


if __name__ == "__main__":
    main()
