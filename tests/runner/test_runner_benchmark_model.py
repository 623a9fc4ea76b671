"""What benchmark_model printed for other people is read as they would; what is broken is named."""

from __future__ import annotations

import contextlib
import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_tflite import dense

from edgekit.core.errors import DeviceError, EdgekitError, ModelError, RuntimeMissingError
from edgekit.runner.benchmark_model import BenchmarkModelReport, read_report, statistic
from edgekit.runner.benchmark_result import read_result_file

PUBLISHED = Path(__file__).parents[1] / "data" / "benchmark_model"
MIB = 1 << 20


def read(name: str, **options) -> BenchmarkModelReport:
    return read_report((PUBLISHED / f"{name}.txt").read_text(), "", 0, board="pi4", **options)


def test_the_format_until_2019():
    report = read("1-tensorflow-1.14-phone")
    assert (report.avg_ns, report.init_ns, report.warmup_avg_ns) == (66_767_600, 9_933_000, 76_605_900)
    assert (report.runs, report.warmup_runs, report.min_ns, report.max_ns) == (15, 7, 66_699_000, 66_838_000)
    assert report.memory_overall_bytes is None


def test_tables_of_a_profile_are_not_taken_for_the_measured_runs():
    report = read("2-tensorflow-2.x-riscv-profile")
    assert (report.avg_ns, report.std_ns, report.runs) == (2_950_340_000, 109_798_000, 50)
    assert (report.first_ns, report.warmup_runs) == (3_512_391_000, 1)
    assert (report.memory_init_bytes, report.memory_overall_bytes) == (round(4.21094 * MIB), round(46.0859 * MIB))


def test_a_graph_that_the_delegate_takes_completely():
    report = read("2-tensorflow-2.3-gpu")
    assert (report.delegate, report.fully_delegated, report.delegate_kernels) == ("GPU", True, None)
    assert (report.avg_ns, report.init_ns, report.warmup_runs) == (119_375_000, 870_557_000, 4)


def test_a_graph_that_the_delegate_takes_in_parts_read_from_logcat():
    report = read("2-tensorflow-2.9-logcat-nnapi")
    assert (report.delegate, report.fully_delegated, report.delegate_kernels) == ("NNAPI", False, 44)
    assert (report.avg_ns, report.runs, report.std_ns) == (12_167_600, 75, 325_000)


def test_percentiles_of_newer_builds():
    report = read("2-litert-1.4-logcat-percentiles")
    assert (report.p5_ns, report.median_ns, report.p95_ns) == (140_545_000, 141_253_000, 187_533_000)
    assert statistic(report) == ("median", 141_253_000)
    assert report.memory_overall_bytes == round(73.4102 * MIB)


def test_memory_under_its_older_name():
    report = read("2-tensorflow-2.4-yolov5")
    assert (report.memory_init_bytes, report.memory_overall_bytes) == (round(4.92969 * MIB), round(138.809 * MIB))
    assert statistic(report) == ("mean", 249_684_000)


def test_the_format_of_litert():
    report = read("3-litert-2.1.5-gpu")
    assert (report.avg_ns, report.runs, report.init_ns) == (7_430_200_000, 10, 23_744_730_000)
    assert (report.first_ns, report.warmup_runs, report.std_ns) == (7_441_040_000, 1, 9_920_000)
    assert (report.memory_overall_bytes, report.memory_peak_bytes) == (round(6391.74 * MIB), None)


def test_litert_benchmark_itself_is_read_from_its_text_and_from_its_file(tmp_path):
    tool = Path(sys.executable).with_name("litert-benchmark")
    if not tool.exists():
        pytest.skip("no litert-benchmark beside this Python: it comes with ai-edge-litert")
    (tmp_path / "model.tflite").write_bytes(dense())
    done = subprocess.run(
        [tool, "--model", tmp_path / "model.tflite", "--num_runs", "20", "--result_json", tmp_path / "result.json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    text = read_report(done.stdout, done.stderr, 0, board="local")
    both = read_report(done.stdout, done.stderr, 0, board="local", result=(tmp_path / "result.json").read_bytes())
    for report in (text, both):
        assert report.runs == 20
        assert report.fully_delegated is not None
        assert report.median_ns is not None
    assert (text.init_ns, text.avg_ns, text.warmup_runs) == (both.init_ns, both.avg_ns, both.warmup_runs)
    assert (text.from_result_file, both.from_result_file) == (False, True)


def test_equal_runs_print_one_number():
    lines = "count=1 curr=500\ncount=50 curr=70 (all same)\nInference timings in us: Init: 9, First inference: 500, "
    report = read_report(f"{lines}Warmup (avg): 500, Inference (avg): 70\n", "", 0, board="pi4")
    assert (report.runs, report.min_ns, report.max_ns, report.std_ns) == (50, 70_000, 70_000, 0)


def message(**fields: float | bytes) -> bytes:
    """A protocol buffer message; keys are ``fNUMBER``."""
    found = b""
    for name, value in fields.items():
        number = int(name[1:])
        if isinstance(value, bytes):
            found += bytes([number << 3 | 2, len(value)]) + value
        elif isinstance(value, float):
            found += bytes([number << 3 | 5]) + struct.pack("<f", value)
        else:
            found += bytes([number << 3]) + varint(value)
    return found


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


RESULT = message(
    f1=b"mobilenet",
    f2=message(f1=7.5, f2=7.0, f3=9.0, f4=0.5, f5=7.25, f6=7.125, f7=8.5, f8=21.0, f9=12.0, f10=8.0),
    f3=message(f1=4096, f2=20480, f3=64.0),
    f4=message(f1=3.5, f2=50, f3=2, f4=470.0),
)


def test_the_numbers_of_the_result_file_win():
    report = read("3-litert-2.1.5-gpu", result=RESULT)
    assert (report.avg_ns, report.median_ns, report.p95_ns) == (7_500_000, 7_250_000, 8_500_000)
    assert (report.init_ns, report.first_ns, report.warmup_avg_ns) == (21_000_000, 12_000_000, 8_000_000)
    assert (report.runs, report.warmup_runs) == (50, 2)
    assert (report.memory_init_bytes, report.memory_overall_bytes) == (4 * MIB, 20 * MIB)
    assert (report.memory_peak_bytes, report.from_result_file) == (64 * MIB, True)


def test_f55_no_damage_of_a_result_file_is_more_than_an_error():
    chance = random.Random(5)
    read_whole = 0
    for _ in range(20_000):
        content = bytearray(RESULT)
        for _ in range(chance.randrange(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        with contextlib.suppress(DeviceError):
            read_result_file(bytes(content[: chance.randrange(len(content) + 1)]), board="pi4")
            read_whole += 1
    assert 0 < read_whole < 20_000


def test_f55_no_text_is_more_than_an_error():
    chance = random.Random(6)
    whole = "\n".join(path.read_text() for path in sorted(PUBLISHED.glob("[123]*.txt")))
    for _ in range(300):
        start = chance.randrange(len(whole))
        content = list(whole[start : start + chance.randrange(3000)])
        for _ in range(chance.randrange(20)):
            if content:
                content[chance.randrange(len(content))] = chance.choice("=:.,e+-9\n\0 ")
        with contextlib.suppress(EdgekitError):
            read_report("".join(content), "", 0, board="pi4")


def test_f55_a_result_that_is_damaged_json_is_named():
    for content in (b"{", b'{"latency": 3}', json.dumps({"latency": {"avg_ms": "x"}}).encode(), b"{" * 99_999):
        with pytest.raises(DeviceError, match="result file is damaged"):
            read("3-litert-2.1.5-gpu", result=content)


def test_f54_a_run_without_timings_is_no_result():
    with pytest.raises(DeviceError, match="printed no timings"):
        read_report("INFO: STARTING!\n", "", 0, board="pi4")


def test_f54_a_failed_run_says_why():
    said = "INFO: STARTING!\nERROR: Op type not registered 'RegexSplitWithOffsets'\nERROR: Benchmarking failed.\n"
    with pytest.raises(DeviceError, match=r"benchmark_model failed \(status 1\)"):
        read_report(said, "", 1, board="pi4")
    with pytest.raises(DeviceError, match="benchmark_model failed"):
        read_report(said, "", 0, board="pi4")


def test_f58_a_disallowed_fall_back_to_the_cpu_is_named():
    with pytest.raises(DeviceError, match="does not take the whole model"):
        read_report("", "ERROR: Disallowed CPU fallback detected.\nERROR: Benchmarking failed.\n", 1, board="pi4")


def test_a_model_that_does_not_load_is_the_models_fault():
    with pytest.raises(ModelError, match="cannot load the model: ERROR: Failed to load model m"):
        read_report("", "ERROR: Failed to load model m.tflite\nERROR: Benchmarking failed.\n", 1, board="pi4")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (127, RuntimeMissingError, "does not start there"),
        (126, RuntimeMissingError, "does not start there"),
        (132, RuntimeMissingError, "newer processor"),
        (137, DeviceError, "SIGKILL: most likely the board ran out of memory"),
        (139, DeviceError, "SIGSEGV"),
    ],
)
def test_f54_how_it_ended_is_told_apart(status, kind, words):
    with pytest.raises(kind, match=words):
        read_report("", "", status, board="pi4")


def test_f65_its_words_cannot_steer_a_terminal():
    with pytest.raises(DeviceError) as caught:
        read_report("", "ERROR: \x1b[31mred\n", 1, board="pi4")
    assert "\x1b" not in caught.value.message
