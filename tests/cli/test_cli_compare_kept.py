"""compare with ids: two kept measurements, which never ran as pairs."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy
from cli_run import Edgekit, refused

from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.results.store import open_store

sys.path.append(str(Path(__file__).resolve().parents[1] / "measure"))

from synthetic_trials import SHA, make_samples, make_trial


def test_two_kept_measurements_are_compared_and_called_unpaired(edgekit: Edgekit) -> None:
    store = open_store()
    level, noise = 2e6, 0.002
    ids = [store.add_measurement(measured(level * factor, noise, seed=index)) for index, factor in enumerate((1, 1.3))]
    ran = edgekit("compare", ids[0][:8], ids[1][:8], "--json")
    assert ran.status == 0, ran.err
    document = ran.document
    assert (document["verdict"], document["paired"], document["pairs"]) == ("slower", False, 0)
    assert document["p"] < 0.002
    assert 1.25 < document["ratio"] < 1.35
    shown = edgekit("compare", ids[1], ids[0])
    assert shown.status == 0, shown.err
    text = " ".join(shown.out.split())
    assert f"unpaired, drift possible: {ids[0][:8]} is faster than {ids[1][:8]} (-23." in text
    same = edgekit("compare", ids[0], store.add_measurement(measured(level * 1.01, noise, seed=7)), "--json")
    assert (same.status, same.document["verdict"]) == (8, "inconclusive")


def test_kept_measurements_that_must_not_be_compared_are_refused(edgekit: Edgekit) -> None:
    store = open_store()
    one = store.add_measurement(measured(2e6, 0.002, seed=1))
    other = store.add_measurement(replace(measured(2e6, 0.002, seed=2), device="pi5"))
    refused(edgekit("compare", one, other), 2, "the boards pi4 and pi5", "run both in pairs")
    few = store.add_measurement(measured(4e6, 0.002, seed=3, processes=5))
    ran = edgekit("compare", one, few)
    assert (ran.status, "10 and 5 processes are too few" in ran.out) == (8, True), ran.err
    refused(edgekit("compare", one, "c0ffee"), 2, "no result 'c0ffee'")
    refused(edgekit("compare", one, one), 2, "one measurement")
    refused(edgekit("compare", one, "model.tflite"), 2, "is no file", "results list")


def test_options_of_a_run_are_refused_where_nothing_runs(edgekit: Edgekit) -> None:
    store = open_store()
    ids = [store.add_measurement(measured(2e6, 0.002, seed=seed)) for seed in (1, 2)]
    for option in (["--device", "pi4"], ["--plan", "publish"], ["--runtime", "litert"], ["--margin", "3%"]):
        refused(
            edgekit("compare", *ids, *option), 2, option[0], "without running anything", f"edgekit compare {ids[0]}"
        )
    ran = edgekit("compare", *ids, "-q", "--json", env={"EDGEKIT_PLAN": "publish"})
    assert ran.status in (0, 8), ran.err


def measured(level_ns: float, noise: float, *, seed: int, processes: int = 10) -> Measurement:
    """A made measurement of ``kws`` on ``pi4``."""
    drawn = numpy.random.default_rng(seed).normal(0, noise, processes)
    trials = tuple(make_trial(median_ns=level_ns * math.exp(one), seed=100 * seed + i) for i, one in enumerate(drawn))
    samples = replace(make_samples(trials=trials), plan=replace(make_samples(trials=()).plan, processes=processes))
    return measurement_from(samples, device="pi4", model=MeasuredModel(name="kws", sha256=SHA, size_bytes=1000))
