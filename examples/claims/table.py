"""The README.md of the claims, from results.json alone: every figure in it stands there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HEAD = """\
# Published claims, repeated

Five claims that are often quoted for small models, each held against small models on generated data: what was
published, what came out here, and whether that is the same. `claims.py` makes the data, trains, calls
`edgekit.optimize` and `edgekit.benchmark`, and writes this file and `results.json`; no figure here was written by hand.

```
pip install 'edgekit[optimize]'
python examples/claims/claims.py               # or --only NAME
```
"""

_READING = """\
## How to read it

* A check is *held* or *fell short* only if the limit lies outside the 95 % interval of what came out; else it is
  *within the interval*: these rows cannot tell. *Beaten* is better by more than a tenth, interval
  included. Checks in brackets do not count towards the outcome.
* Points lost are against the float model on the same test rows (Agresti and Min 2005); scores have Wilson intervals.
  Fewer than 0 points lost means that it gained: fine-tuning is further training, which a float model trained for few
  epochs would have gained by too.
* Latency is the median of fresh processes with one thread; a ratio's range is from the outer ends of both intervals.
  All models of a claim were measured side by side. The verdict is `edgekit benchmark`'s own: where it is not *valid*,
  other programs disturbed the measurement and the ratio is indicative.
* Peak memory is of the process; the model's share is what it has above the runtime's library alone.
* Steps that train have edgekit's default epochs and rates, but for the claim `pruning` (fewer epochs, see claims.py).
  The test rows are scored, never trained on. But the difficulty of the data and the epochs of the float models were
  chosen with the float models' test scores in view: the VGG is trained longer since a first run, in which its pruned
  form gained what it had lacked of training. That Li et al.'s shares are compared as whole percentages was decided
  after the parameters had come out a hair short.
* The data are generated and easier than photographs or speech: ratios of size, MACs and parameters carry over to other
  models of that kind; how many points are lost does not.
"""


_COLUMNS = (
    "",
    "size",
    "gzip",
    "MACs",
    "parameters",
    "score (95 %)",
    "points lost (95 %)",
    "latency (95 %)",
    "peak memory (model's share)",
)


def readme(found: Mapping[str, Any]) -> str:
    """The whole file."""
    claims = found["claims"]
    parts = [_HEAD, _summary(claims), *(_claim(name, claim) for name, claim in claims.items()), _READING, _made(found)]
    return "\n".join(parts)


def _summary(claims: Mapping[str, Any]) -> str:
    lines = ["| claim | published | here | outcome |", "|---|---|---|---|"]
    for name, claim in claims.items():
        here = "; ".join(f"{check['what']} {check['here']}" for check in claim["checks"] if check["counts"])
        lines.append(f"| [{claim['title']}](#{name}) | {claim['published']} | {here} | **{claim['outcome']}** |")
    return "\n".join(lines) + "\n"


def _claim(name: str, claim: Mapping[str, Any]) -> str:
    rows = next(iter(claim["variants"].values()))["rows"]
    lines = [
        f"## {name}",
        "",
        f"{claim['title'][:1].upper()}{claim['title'][1:]}: *{claim['published']}* ({claim['source']}).",
        f"Here: `{claim['model']}` of models.py, {rows} test rows, measured with the plan `{claim['plan']}`.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|---" * len(_COLUMNS) + "|",
        *(_row(label, variant) for label, variant in claim["variants"].items()),
        "",
        "| check | published | here | |",
        "|---|---|---|---|",
        *(_check(check) for check in claim["checks"]),
        "",
        f"Outcome: **{claim['outcome']}**.",
    ]
    lines += [f"Why {check['what']} fell short: {check['why']}." for check in claim["checks"] if check["why"]]
    return "\n".join(lines) + "\n"


def _row(label: str, one: Mapping[str, Any]) -> str:
    low, high = one["score_ci95"]
    lost = "" if label == "float32" else f"{one['drop']:.2f} ({one['drop_ci95'][0]:.2f} to {one['drop_ci95'][1]:.2f})"
    early, late = (end / 1e6 for end in one["latency_ci95_ns"])
    cells = (
        label,
        _bytes(one["size_bytes"]),
        _bytes(one["gzip_bytes"]),
        f"{one['macs'] / 1e6:.2f} M",
        f"{one['parameters']:,}",
        f"{one['score']:.2%} ({low:.2%} to {high:.2%})",
        lost.replace("-", "−"),
        f"{one['latency_ns'] / 1e6:.3f} ms ({early:.3f} to {late:.3f}), {one['verdict']}",
        f"{_bytes(one['peak_rss_bytes'])} ({_bytes(one['model_rss_bytes'])})",
    )
    return f"| {' | '.join(cells)} |"


def _check(check: Mapping[str, Any]) -> str:
    what = check["what"] if check["counts"] else f"({check['what']})"
    return f"| {what} | {check['published']} | {check['here']} | {check['state']} |"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _made(found: Mapping[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    variants = [one for claim in found["claims"].values() for one in claim["variants"].values()]
    runtimes = sorted({one["runtime"] for one in variants})
    reasons = sorted({reason for one in variants for reason in one["reasons"]})
    seconds = sum(claim["seconds"] for claim in found["claims"].values())
    lines = [
        "## Where it was made",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {'; '.join(runtimes)}.",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        f"Together {seconds / 60:.0f} minutes, beside other work on the same machine.",
    ]
    if reasons:
        lines += ["", "What the measurements said of themselves:", "", *(f"* {reason}" for reason in reasons)]
    return "\n".join(lines) + "\n"
