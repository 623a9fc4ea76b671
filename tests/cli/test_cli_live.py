"""What a person watches while something is measured: on a terminal, on a narrow one, and without one."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from datetime import datetime

import pytest
import tiny_tflite
from cli_run import ESCAPE, Edgekit
from rich.console import Console

from edgekit.cli.live import MARGIN, Measured
from edgekit.cli.output import Output
from edgekit.cli.watching import Watching
from edgekit.core.events import Event, Figures

SOME = Figures(
    about="digits-int8, 1 thread",
    done=4,
    planned=10,
    median_ns=2_030_000,
    ci95_ns=(2_020_000, 2_050_000),
    temperature_c=61.4,
)


def _event(figures: Figures, message: str = "latency, process 5 of 10") -> Event:
    return Event(state="progress", task="benchmark", message=message, fraction=0.4, figures=figures)


def _drawn(measured: Measured, columns: int = 80, lines: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, height=lines, color_system=None)
    console.print(measured.draw(console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_row_for_each_model_has_its_processes_median_and_interval():
    measured = Measured()
    measured.take(_event(replace(SOME, about="digits-float32, 1 thread", done=3, median_ns=None, ci95_ns=None)))
    measured.take(_event(SOME))
    shown = _drawn(measured)
    assert "benchmark · 40 %" in shown[0]
    (row,) = (line for line in shown if "digits-int8" in line)
    assert "4/10  2.03 ms  ± 0.7 %" in row
    assert any("digits-float32" in line and "3/10" in line and "–" in line for line in shown)
    assert any("61 °C · latency, process 5 of 10" in line for line in shown)


def test_a_wait_says_for_what_until_when_and_how_long_still():
    measured = Measured()
    until = time.time() + 258
    measured.take(_event(replace(SOME, waits_for="to cool down to 55 °C (61 °C now)", until=until)))
    shown = " ".join(" ".join(line.strip("│ ") for line in _drawn(measured)).split())
    assert "waits for the board to cool down to 55 °C (61 °C now)" in shown
    assert f"until {datetime.fromtimestamp(until):%H:%M:%S} at the latest (4:1" in shown
    measured.take(_event(SOME))
    assert not any("waits" in line for line in _drawn(measured))


@pytest.mark.parametrize("columns", [120, 80, 60, 40])
def test_no_line_is_wider_than_the_terminal_and_the_figures_stay(columns):
    measured = Measured()
    measured.take(_event(replace(SOME, about="a-model-with-a-long-name-int8, litert-builtin, 4 threads")))
    measured.take(_event(replace(SOME, waits_for="to cool down to 55 °C", until=time.time() + 9)))
    shown = _drawn(measured, columns)
    assert max(map(len, shown)) <= columns - MARGIN
    assert sum("4/10" in line for line in shown) == 2


def test_many_rows_fit_a_low_terminal_and_the_one_at_work_is_among_them():
    measured = Measured()
    for number in [*range(30), 17]:
        measured.take(_event(replace(SOME, about=f"model-{number}")))
    shown = _drawn(measured, lines=16)
    assert len(shown) <= 16
    assert any("model-17 " in line for line in shown)
    assert any("… and 23 more" in line for line in shown)


def test_what_a_board_says_of_itself_cannot_steer_the_terminal():
    measured = Measured()
    measured.take(_event(replace(SOME, about="[red]\x1b[2J", waits_for="to \x1b[31mcool", until=None)))
    assert "\x1b" not in "".join(_drawn(measured))
    assert any("[red]" in line for line in _drawn(measured))


def test_without_a_terminal_verbose_has_one_line_for_each_process_and_each_wait(capsys):
    out = Output("benchmark", as_json=False, quiet=False, verbose=True, debug=False)
    for done in range(3):
        out.on_event(_event(replace(SOME, done=done), f"latency, process {done + 1} of 10"))
        for left in (9, 5, 1):
            out.on_event(_event(replace(SOME, done=done, waits_for=f"to cool ({left})", until=time.time() + left)))
        out.on_event(_event(replace(SOME, done=done + 1), f"latency, process {done + 1} of 10: 2.03 ms"))
    said = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert [line.split(":")[0] for line in said] == ["benchmark"] * 6
    assert [line for line in said if "/10" in line] == [
        f"benchmark: digits-int8, 1 thread: {done}/10 · 2.03 ms ± 0.7 % · 61 °C" for done in (1, 2, 3)
    ]
    assert sum("waits for the board to cool (9), until" in line for line in said) == 3


def test_without_a_terminal_and_verbose_nothing_is_said_of_a_process(capsys):
    out = Output("benchmark", as_json=False, quiet=False, verbose=False, debug=False)
    out.on_event(_event(SOME))
    assert capsys.readouterr().err == ""


def test_several_boards_show_the_same_figures_in_their_rows(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = Output("benchmark", as_json=False, quiet=False, verbose=True, debug=False)
    watching = Watching(out, ["pi4", "phone"])
    watching.on_event(replace(_event(SOME), device="pi4"))
    waiting = replace(SOME, waits_for="to cool down to 55 °C (61 °C now)", until=time.time() + 69)
    watching.on_event(replace(_event(waiting), device="phone"))
    console = Console(file=io.StringIO(), width=80, color_system=None)
    out.notes = console
    console.print(watching._table())
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().splitlines()
    assert shown[0].startswith("pi4")
    assert "4/10 · 2.03 ms ± 0.7 % · 61 °C" in shown[0]
    assert f"waits until {datetime.fromtimestamp(waiting.until or 0):%H:%M:%S} (1:0" in shown[1]
    assert max(map(len, shown)) <= 80


def test_a_benchmark_on_a_terminal_shows_the_panel_and_takes_it_away(edgekit: Edgekit):
    model = tiny_tflite.write(edgekit.folder, tiny_tflite.dense_int8())
    ran = edgekit.on_terminal("benchmark", model, "--quick", columns=50, env={"NO_COLOR": "1"})
    assert ran.status in (0, 8), ran.out
    shown = ESCAPE.sub("", ran.out)
    assert "╭─ benchmark · " in shown
    assert "1/3" in shown
    assert _has_its_cursor(ran.out)
    assert "\x1b[3" not in ran.out  # no colour


def test_ctrl_c_leaves_the_terminal_with_its_cursor(edgekit: Edgekit):
    model = tiny_tflite.write(edgekit.folder, tiny_tflite.dense_int8())
    ran = edgekit.on_terminal("benchmark", model, ctrl_c_at="╭─")
    assert ran.status == 130, ran.out
    assert _has_its_cursor(ran.out)
    assert "interrupted" in ran.out
    assert "Traceback" not in ran.out


def _has_its_cursor(shown: str) -> bool:
    return shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
