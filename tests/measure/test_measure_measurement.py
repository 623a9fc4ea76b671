"""Measurements and their documents."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from synthetic_trials import SHA, make_memory_trial, make_samples, make_trial

from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from, to_document
from edgekit.measure.notices import slower_than_float
from edgekit.measure.plan import make_plan
from edgekit.measure.samples import Samples

MODEL = MeasuredModel(name="digits.tflite", sha256=SHA, kind="int8", size_bytes=9000, source_sha256="ab" * 32)


def measured(samples: Samples | None = None, model: MeasuredModel = MODEL) -> Measurement:
    return measurement_from(samples or make_samples(), device="pi4", model=model)


def test_the_document_has_the_fields_that_scripts_rely_on() -> None:
    document = to_document(measured(), samples_file="/data/samples/1.json.gz")
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert {"device", "runtime", "num_threads", "processes", "latency", "memory", "verdict", "reasons", "facts"} <= set(
        document
    )
    assert {"name", "version", "delegate", "fully_delegated"} <= set(document["runtime"])
    assert {
        "median_ns",
        "ci95_ns",
        "p90_ns",
        "p99_ns",
        "min_ns",
        "first_ns",
        "load_ns",
        "init_ns",
        "cold_start_ns",
    } <= set(document["latency"])
    assert {"peak_rss_bytes", "model_bytes", "baseline_bytes"} <= set(document["memory"])
    assert set(document["facts"]) == {"before", "after"}
    assert (document["verdict"], document["reasons"]) == ("valid", [])
    assert document["samples_file"] == "/data/samples/1.json.gz"
    assert "samples" not in document


def test_the_median_is_that_of_the_processes_with_its_interval() -> None:
    latency = measured().latency
    assert latency.ci95_ns is not None
    assert latency.median_ns is not None
    assert latency.ci95_ns[0] <= latency.median_ns <= latency.ci95_ns[1]
    assert latency.median_ns == pytest.approx(2e6, rel=0.01)


def test_the_cold_start_is_the_sum_of_library_load_build_and_first_run() -> None:
    assert measured().latency.cold_start_ns == 4_000_000 + 1_000_000 + 3_000_000 + 2_500_000


def test_a_missing_part_leaves_the_cold_start_unknown() -> None:
    samples = make_samples(library_ns=None)
    latency = measured(samples).latency
    assert latency.cold_start_ns is None
    assert latency.missing["cold_start_ns"] == "the runtime did not tell"


def test_f56_p99_of_a_hundred_iterations_is_null_with_the_number_needed() -> None:
    latency = to_document(measured())["latency"]
    assert latency["p90_ns"] > latency["median_ns"]
    assert latency["p99_ns"] is None
    assert latency["missing"]["p99_ns"] == "needs 662 iterations in each process, the fewest was 100"


@pytest.mark.parametrize(("percent", "needed"), [(90, 64), (95, 130), (99, 662)])
def test_f56_a_percentile_appears_with_its_upper_bound_as_soon_as_there_are_enough_samples(
    percent: int, needed: int
) -> None:
    short, enough = (measured(make_samples(iterations=count)).latency for count in (needed - 1, needed))
    assert getattr(short, f"p{percent}_ns") is getattr(short, f"p{percent}_upper_ns") is None
    assert short.missing[f"p{percent}_ns"].startswith(f"needs {needed} iterations")
    assert getattr(enough, f"p{percent}_ns") <= getattr(enough, f"p{percent}_upper_ns")


def test_f56_one_process_with_too_few_samples_leaves_no_percentile() -> None:
    samples = make_samples(iterations=700)
    cut = replace(samples.latency[3], latency_ns=samples.latency[3].latency_ns[:600])
    latency = measured(replace(samples, latency=(*samples.latency[:3], cut, *samples.latency[4:]))).latency
    assert latency.missing["p99_ns"] == "needs 662 iterations in each process, the fewest was 600"


def test_cpu_time_has_the_same_statistics_as_the_time_on_the_wall() -> None:
    samples = make_samples()
    halved = tuple(
        replace(trial, cpu_latency_ns=tuple(value // 2 for value in trial.latency_ns)) for trial in samples.latency
    )
    latency = measured(replace(samples, latency=halved)).latency
    assert latency.cpu_median_ns == pytest.approx(latency.median_ns / 2, rel=1e-5)
    assert latency.cpu_ci95_ns == pytest.approx([bound / 2 for bound in latency.ci95_ns], rel=1e-5)
    assert "cpu_median_ns" not in latency.missing


def test_cpu_time_that_some_process_could_not_tell_is_null_with_its_reason() -> None:
    samples = make_samples(cpu_latency_ns=(1_000_000,))
    silent = replace(samples.latency[0], cpu_latency_ns=None, cpu_latency_missing="counts in steps of 4 ms")
    latency = measured(replace(samples, latency=(silent, *samples.latency[1:]))).latency
    assert (latency.cpu_median_ns, latency.missing["cpu_median_ns"]) == (None, "counts in steps of 4 ms")


def test_a_board_that_was_too_hot_to_time_anything_has_a_document_all_the_same() -> None:
    document = to_document(measured(replace(make_samples(), latency=(), hot_start="waited 300 s in vain")))
    assert (document["verdict"], document["processes"], document["latency"]["median_ns"]) == ("invalid", 0, None)
    assert document["latency"]["missing"]["median_ns"] == "no process was timed"
    assert document["memory"]["peak_rss_bytes"]


def test_batches_have_no_percentiles() -> None:
    latency = measured(make_samples(batch=8, iterations=700)).latency
    assert latency.p90_ns is None
    assert "mean of 8 inferences" in latency.missing["p90_ns"]


def test_a_single_process_has_no_interval() -> None:
    latency = measured(make_samples(plan=make_plan(processes=1))).latency
    assert latency.ci95_ns is None
    assert latency.missing["ci95_ns"] == "needs 2 processes"


def test_the_models_memory_is_the_peak_without_the_library() -> None:
    memory = measured().memory
    assert (memory.peak_rss_bytes, memory.baseline_bytes, memory.model_bytes) == (14_001_000, 9_000_000, 5_001_000)


def test_memory_that_cannot_be_read_is_null_with_a_reason() -> None:
    memory = measured(replace(make_samples(), memory=(make_memory_trial(memory=()),))).memory
    assert memory.peak_rss_bytes is None
    assert memory.missing["peak_rss_bytes"] == "the board does not tell"


def test_the_same_samples_give_the_same_measurement() -> None:
    assert measured() == measured()


def named(kind: str, median_ns: float, device: str = "pi4") -> Measurement:
    model = MeasuredModel(name=f"net-{kind}.tflite", sha256=SHA, kind=kind, source_sha256="ab" * 32)
    return measurement_from(make_samples(median_ns=median_ns), device=device, model=model)


def test_a_mode_that_is_slower_than_float_is_named_with_its_way_out() -> None:
    notices = slower_than_float([named("float32", 3.3e6), named("dynamic", 1e7), named("int8", 1.5e6)])
    assert [notice.code for notice in notices] == ["slower-than-float"]
    assert notices[0].message == (
        "net-dynamic.tflite (dynamic) takes 9.98 ms, 3.03× the float model's 3.29 ms (pi4, 1 thread)"
    )
    assert "--mode int8" in notices[0].hint


def test_models_on_different_boards_are_not_compared() -> None:
    assert slower_than_float([named("float32", 3.3e6), named("dynamic", 1e7, device="pi5")]) == ()


def test_a_difference_within_the_intervals_is_no_difference() -> None:
    assert slower_than_float([named("float32", 2e6), named("int8", 2.0005e6)]) == ()


def test_models_of_different_sources_are_not_compared() -> None:
    other = MeasuredModel(name="b.tflite", sha256=SHA, kind="int8", source_sha256="cd" * 32)
    slow = measurement_from(make_samples(median_ns=1e7), device="pi4", model=other)
    assert slower_than_float([named("float32", 3.3e6), slow]) == ()


def test_a_trial_that_went_over_the_wire_is_measured_the_same() -> None:
    from edgekit.core.decode import from_json, to_json
    from edgekit.runner.protocol import Trial

    trial = make_trial()
    assert from_json(Trial, json.loads(json.dumps(to_json(trial))), source="board") == trial
