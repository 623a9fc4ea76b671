"""The table of runtimes side by side: 80 columns, rows that could not run, the answer below."""

from __future__ import annotations

from dataclasses import replace

from synthetic_trials import BLIND, RUNTIME, SHA, make_memory_trial, make_samples
from test_report_terminal import shown

from edgekit.core.errors import RuntimeMissingError
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.measure.side_by_side import NotMeasured
from edgekit.report.side_by_side import benchmark_table
from edgekit.runner.protocol import RuntimeUsed

BUILTIN = replace(RUNTIME, delegate="none", fully_delegated=False, kernels="builtin")
DIGITS = MeasuredModel(name="digits.tflite", sha256=SHA)
ONNX = RuntimeUsed(name="onnxruntime", version="1.32.0", delegate="CPUExecutionProvider", fully_delegated=True)


def row(runtime: RuntimeUsed, median_ns: float, model: str = "digits.tflite") -> Measurement:
    samples = make_samples(median_ns=median_ns, runtime=runtime)
    samples = replace(samples, memory=(make_memory_trial(runtime=runtime),))
    return measurement_from(samples, device="pi4", model=MeasuredModel(name=model, sha256=SHA))


def test_runtimes_have_a_column_where_there_are_several_and_the_quickest_is_named() -> None:
    rows = [row(RUNTIME, 2e6), row(BUILTIN, 9e6), row(ONNX, 3e6, "digits.onnx")]
    text = shown(benchmark_table(rows))
    lines = [line.split() for line in text.splitlines() if " ms ±" in line]
    assert [line[:2] for line in lines] == [
        ["digits", "litert"],
        ["digits", "litert-builtin"],
        ["digits.onnx", "onnxruntime"],
    ]
    assert "LiteRT C API 2.3.0, built-in kernels" in text
    assert "fastest on pi4: digits, litert, 1 thread: 2.0" in text
    one = shown(benchmark_table(rows[:1]))
    assert "litert" not in one.split("\n\n")[0]
    assert "fastest" not in one


def test_a_row_that_could_not_run_stands_in_the_table_and_says_why() -> None:
    error = RuntimeMissingError(
        "pi4: tflite_runtime cannot be used: there is no wheel for Python 3.13", hint="`--runtime litert` uses LiteRT's"
    )
    gone = NotMeasured(device="pi4", model="digits", runtime="tflite_runtime", num_threads=None, error=error)
    text = shown(benchmark_table([row(RUNTIME, 2e6)], [gone]))
    assert any(line.split()[:2] == ["digits", "tflite_runtime"] and "cannot run" in line for line in text.splitlines())
    assert "CANNOT RUN  digits with tflite_runtime: pi4: tflite_runtime cannot be used" in text
    assert "`--runtime litert` uses" in text


def test_intervals_that_overlap_are_no_answer_and_that_is_said() -> None:
    text = " ".join(shown(benchmark_table([row(RUNTIME, 2e6), row(ONNX, 2.0005e6)])).split())
    assert "fastest on pi4: cannot be told: the 95 % intervals of" in text


def test_rows_that_may_not_be_compared_have_no_fastest_and_that_is_said() -> None:
    broken = [
        measurement_from(make_samples(finite=False, median_ns=level), device="pi4", model=DIGITS)
        for level in (1e6, 2e6)
    ]
    assert "fastest on pi4: cannot be told: none of 2 rows is valid" in shown(benchmark_table(broken))
    assert "cannot be told: 1 of 3 rows is valid" in shown(benchmark_table([*broken, row(RUNTIME, 2e6)]))


def test_what_all_rows_have_to_say_is_said_once() -> None:
    rows = [
        measurement_from(
            make_samples(median_ns=median, before=BLIND, after=BLIND, runtime=runtime),
            device="pi4",
            model=MeasuredModel(name="digits", sha256=SHA),
        )
        for median, runtime in ((2e6, RUNTIME), (9e6, BUILTIN))
    ]
    text = shown(benchmark_table(rows))
    assert text.count("uncontrolled:") == 1


def test_a_delegate_that_took_some_ops_is_shown_with_how_many() -> None:
    partly = replace(RUNTIME, fully_delegated=False, ops=14, delegated_ops=12)
    assert "XNNPACK (12 of 14 ops)" in shown(benchmark_table([row(partly, 2e6)]))
