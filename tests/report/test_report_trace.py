"""Profiles for other programs: a trace that viewers take, and stacks that flame graphs are made of."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "measure"))
from test_measure_profile import profile
from test_measure_profile_model import file_op, found

from edgekit.measure.profile_model import ModelProfile
from edgekit.report.profile import profile_tables
from edgekit.report.trace import chrome_trace, folded_stacks


@pytest.fixture
def one() -> ModelProfile:
    recorded = profile(
        ("Convert (NC, F32, QD8)", None, (1, 2, 1)),
        ("Convolution (NHWC, F32) IGEMM", None, (10, 12, 9)),
        ("FLOOR_MOD", 1, (5, 5, 6)),
        whole=(20, 15, 17),
    )
    return found(recorded, file_op("CONV_2D", 10, layer="conv"), file_op("FLOOR_MOD"))


def test_every_run_is_there_with_its_ops_inside_it_and_nothing_overlaps(one: ModelProfile) -> None:
    trace = json.loads(json.dumps(chrome_trace(one), allow_nan=False))
    slices = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert all(
        isinstance(event[name], int) and event[name] >= 0 for event in slices for name in ("ts", "dur", "pid", "tid")
    )
    runs = [event for event in slices if event["cat"] == "run"]
    assert [event["name"] for event in runs] == ["run 1", "run 2", "run 3"]
    assert [event["dur"] for event in runs] == [20, 19, 17]  # never shorter than its ops
    for before, after in pairwise(runs):
        assert before["ts"] + before["dur"] == after["ts"]
    for run in runs:
        ops = [
            e for e in slices if e is not run and run["ts"] <= e["ts"] < run["ts"] + run["dur"] and e["cat"] != "run"
        ]
        assert len(ops) == 3
        assert ops[-1]["ts"] + ops[-1]["dur"] <= run["ts"] + run["dur"]
        assert all(a["ts"] + a["dur"] == b["ts"] for a, b in pairwise(ops))


def test_slices_say_whose_they_are_and_what_took_them(one: ModelProfile) -> None:
    events = chrome_trace(one)["traceEvents"]
    names = {event["args"]["name"] for event in events if event["ph"] == "M"}
    assert names == {"pi4: m.tflite", "LiteRT C API 2.3.0, 1 thread"}
    conv = next(event for event in events if event["name"] == "conv: CONV_2D" and "IGEMM" in event["args"]["kernel"])
    assert (conv["cat"], conv["args"]["op"], conv["args"]["macs"]) == ("delegate", 0, 10)
    assert next(event for event in events if event["name"] == "FLOOR_MOD")["cat"] == "runtime"


def test_an_emulated_board_is_called_so(one: ModelProfile) -> None:
    emulated = dataclasses.replace(one, emulated=True)
    assert chrome_trace(emulated)["traceEvents"][0]["args"]["name"] == "pi4 (emulated): m.tflite"


def test_folded_stacks_add_up_to_one_run(one: ModelProfile) -> None:
    lines = folded_stacks(one).splitlines()
    stacks = {stack: int(count) for stack, _, count in (line.rpartition(" ") for line in lines)}
    assert sum(stacks.values()) == pytest.approx(one.ops_ns + one.between_ns, abs=3)
    assert stacks["m.tflite;conv;CONV_2D (op 0);Convolution (NHWC, F32) IGEMM"] == 10_500
    assert stacks["m.tflite;FLOOR_MOD;FLOOR_MOD (op 1);FLOOR_MOD"] == 5_500


def test_a_hostile_name_stays_one_frame_of_one_line() -> None:
    hostile = found(profile(("SOFTMAX", 0, (5, 5))), file_op("SOFTMAX", layer="a;b\nroot 99999\x00"))
    lines = folded_stacks(hostile).splitlines()
    assert lines[0].count(";") == 3
    assert len(lines) == 1


def shown(one: ModelProfile) -> str:
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    for table in profile_tables(one, top=1):
        console.print(table)
    return console.export_text()


def test_tables_say_what_lies_outside_the_delegate_and_how_many_ops_are_not_shown(one: ModelProfile) -> None:
    text = shown(one)
    assert "XNNPACK took 1 of 2 ops; 31.4 % of the time lies outside: FLOOR_MOD" in text
    assert "1 other op" in text
    assert "emulated" not in text


def test_tables_of_an_emulated_board_say_so_twice(one: ModelProfile) -> None:
    text = shown(dataclasses.replace(one, emulated=True))
    assert "m on pi4 (emulated)" in text
    assert "says nothing about a real board" in text
