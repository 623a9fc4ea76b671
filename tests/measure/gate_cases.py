"""Comparisons for the tests of gates: synthetic trials of two models in pairs, with whatever is wrong with one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy
from synthetic_trials import SHA, make_memory_trial, make_samples, make_trial

from edgekit.measure.compare import Change, Comparison, compare_pairs
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.measure.pairs import PairPlan, Pairs
from edgekit.measure.samples import Samples


def compared(
    slower: float = 0.0,
    *,
    memory: float = 0.0,
    larger: float = 0.0,
    score: Change | None = None,
    pairs: int = 10,
    noise: float = 0.002,
    device: str = "pi4",
    model: str = "kws",
    seed: int = 0,
    **other: Any,
) -> Comparison:
    """A candidate that is slower, larger and needs more memory by these fractions; ``other`` changes its trials."""
    drawn = numpy.random.default_rng(seed).normal(0, noise, (2, pairs))
    sides = []
    for row, factor in enumerate((1.0, 1 + slower)):
        changes = other if row else {}
        levels = 2e6 * factor * numpy.exp(drawn[row])
        trials = tuple(make_trial(median_ns=levels[i], seed=100 * row + i, **changes) for i in range(pairs))
        samples = replace(make_samples(trials=trials), plan=replace(make_samples(trials=()).plan, processes=pairs))
        sides.append(replace(samples, memory=_memory(1 + memory if row else 1.0)))
    order = (PairPlan(seed=1).order() * 2)[:pairs]
    found = Pairs(baseline=sides[0], candidate=sides[1], order=order, seed=1)
    size = (100_000, round(100_000 * (1 + larger)))
    measured = [_measured(samples, device, model, size[row]) for row, samples in enumerate(sides)]
    return compare_pairs(found, *measured, score=score)


def score_of(metric: str, baseline: float, candidate: float) -> Change:
    """Two scores."""
    return Change(name=metric, baseline=baseline, candidate=candidate, difference=candidate - baseline)


def _memory(factor: float) -> Any:
    trials = [make_memory_trial(seed=i) for i in range(3)]
    return tuple(
        replace(
            trial,
            memory=tuple(
                replace(
                    phase,
                    rss_bytes=round((phase.rss_bytes or 0) * factor),
                    peak_rss_bytes=round((phase.peak_rss_bytes or 0) * factor),
                )
                for phase in trial.memory
            ),
        )
        for trial in trials
    )


def _measured(samples: Samples, device: str, model: str, size: int) -> Measurement:
    return measurement_from(samples, device=device, model=MeasuredModel(name=model, sha256=SHA, size_bytes=size))
