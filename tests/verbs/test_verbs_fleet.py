"""Boards side by side: order, failures kept apart, one voice in the caller's thread, and an end to everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.core.errors import DeviceError, EdgekitError, UsageError
from edgekit.core.events import Event, EventSink, task
from edgekit.device import inventory
from edgekit.device.connect import Device
from edgekit.device.target import resolve
from edgekit.verbs import fleet
from edgekit.verbs.boards import Reach
from edgekit.verbs.fleet import BoardOutcome, on_boards

SOON_S = 20.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


@pytest.fixture
def boards() -> Callable[[int], list[str]]:
    """``boards(3)``: names of three boards in the inventory; nothing is at their addresses."""

    def make(count: int) -> list[str]:
        names = [f"board-{number}" for number in range(1, count + 1)]
        for number, name in enumerate(names, 1):
            inventory.add(inventory.InventoryEntry(name=name, host=f"192.0.2.{number}", profile="generic"))
        return names

    return make


def open_here(reach: Reach) -> Device:
    """A real connection that needs no network."""
    return reach.connect(resolve("local"))


# ---------------------------------------------------------------------------------------- results


def test_outcomes_come_in_the_order_that_was_asked_for_whoever_is_done_first(boards) -> None:
    names = boards(3)
    turns = {name: threading.Event() for name in names}
    turns[names[-1]].set()
    ended: list[str] = []

    def work(name: str, reach: Reach, on_event: EventSink) -> str:
        assert turns[name].wait(SOON_S)
        return name.upper()

    def let_the_one_before_end(outcome: BoardOutcome[str]) -> None:
        ended.append(outcome.device)
        place = names.index(outcome.device)
        if place:
            turns[names[place - 1]].set()

    outcomes = on_boards(names, work, on_outcome=let_the_one_before_end)
    assert ended == names[::-1]
    assert [outcome.result for outcome in outcomes] == [name.upper() for name in names]
    assert all(outcome.ok for outcome in outcomes)


def test_an_outcome_is_handed_over_while_a_slow_board_still_works(boards) -> None:
    quick, slow = boards(2)
    go_on = threading.Event()

    def work(name: str, reach: Reach, on_event: EventSink) -> bool:
        return name == quick or go_on.wait(SOON_S)

    outcomes = on_boards([slow, quick], work, on_outcome=lambda outcome: go_on.set())
    assert [outcome.result for outcome in outcomes] == [True, True]


def test_one_that_fails_stops_no_other(boards) -> None:
    names = boards(3)

    def work(name: str, reach: Reach, on_event: EventSink) -> str:
        if name == "board-2":
            raise DeviceError("board-2: no more", hint="another one")
        return name

    one, two, three = on_boards(names, work)
    assert (one.result, two.result, three.result) == ("board-1", None, "board-3")
    assert two.error is not None
    assert (two.ok, two.error.message, two.error.hint, two.error.exit_code) == (
        False,
        "board-2: no more",
        "another one",
        5,
    )


def test_so_does_one_that_fails_by_a_defect_of_ours_and_it_is_called_that(boards) -> None:
    def work(name: str, reach: Reach, on_event: EventSink) -> str:
        return {}["not there"] if name == "board-1" else name

    one, two = on_boards(boards(2), work)
    assert two.result == "board-2"
    assert type(one.error) is EdgekitError
    assert "board-1: unexpected KeyError" in one.error.message
    assert isinstance(one.error.__cause__, KeyError)


# ---------------------------------------------------------------------------------------- one voice


def test_events_say_of_which_board_they_are_and_come_in_the_callers_thread(boards) -> None:
    names = boards(3)
    heard: list[tuple[str | None, str, int]] = []

    def work(name: str, reach: Reach, on_event: EventSink) -> None:
        with task("count", on_event):
            on_event(Event(state="progress", task="count", message=name))

    def hear(event: Event) -> None:
        heard.append((event.device, event.state, threading.get_ident()))

    on_boards(names, work, hear)
    assert {ident for _, _, ident in heard} == {threading.get_ident()}
    for name in names:
        assert [state for device, state, _ in heard if device == name] == ["started", "progress", "finished"]


def test_a_person_is_asked_one_thing_at_a_time_and_the_answer_reaches_the_board_that_asked(boards) -> None:
    names = boards(4)
    asking = threading.Lock()

    def ask(question: str) -> str:
        assert threading.current_thread() is threading.main_thread()
        assert asking.acquire(blocking=False)
        time.sleep(0.02)
        asking.release()
        return f"secret of {question}"

    def work(name: str, reach: Reach, on_event: EventSink) -> str:
        assert reach.ask is not None
        return reach.ask(name)

    outcomes = on_boards(names, work, reach=Reach(ask=ask))
    assert [outcome.result for outcome in outcomes] == [f"secret of {name}" for name in names]


def test_where_nobody_can_be_asked_the_boards_know_it(boards) -> None:
    (outcome,) = on_boards(boards(1), lambda name, reach, on_event: reach.ask is None)
    assert outcome.result is True


# ---------------------------------------------------------------------------------------- how many at once


def test_no_more_boards_work_at_once_than_asked_for(boards) -> None:
    counting, now, most = threading.Lock(), 0, 0

    def work(name: str, reach: Reach, on_event: EventSink) -> None:
        nonlocal now, most
        with counting:
            now += 1
            most = max(most, now)
        end = time.monotonic() + 20
        while most < 3 and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.05)
        with counting:
            now -= 1

    on_boards(boards(9), work, at_once=3)
    assert most == 3


def test_no_more_than_eight_connect_at_once_so_that_a_jump_host_turns_nobody_away(boards, monkeypatch) -> None:
    monkeypatch.setattr(fleet, "_CONNECTING_S", 600.0)
    names = boards(20)
    counting, connecting, most = threading.Lock(), 0, 0
    eight = threading.Event()

    def work(name: str, reach: Reach, on_event: EventSink) -> None:
        nonlocal connecting, most
        with counting:
            connecting += 1
            most = max(most, connecting)
            if connecting == 8:
                eight.set()
        assert eight.wait(SOON_S)
        with counting:
            connecting -= 1
        with open_here(reach):
            pass

    outcomes = on_boards(names, work)
    assert all(outcome.ok for outcome in outcomes)
    assert most == 8


# ---------------------------------------------------------------------------------------- the end


@pytest.mark.parametrize("where", ["on_event", "on_outcome"])
def test_ctrl_c_ends_what_runs_on_the_boards_and_keeps_what_was_done(where, boards, tmp_path) -> None:
    names = boards(4)
    first, *others = names
    kept: list[str] = []

    def work(name: str, reach: Reach, on_event: EventSink) -> str:
        with open_here(reach) as device:
            if name == first:
                wait_for(lambda: all((tmp_path / other).exists() for other in others))
                on_event(Event(state="note", task="the others run"))
                return name
            script = 'echo $$ > "$1.new"; mv "$1.new" "$1"; sleep 300'
            device.transport.run(["sh", "-c", script, "sh", str(tmp_path / name)], timeout_s=600)
            return name

    def hear(event: Event) -> None:
        if where == "on_event":
            raise KeyboardInterrupt

    def keep(outcome: BoardOutcome[str]) -> None:
        kept.append(outcome.device)
        if where == "on_outcome":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_boards(names, work, hear, on_outcome=keep)
    assert kept == [first]
    pids = [(tmp_path / name).read_text().strip() for name in others]
    wait_for(lambda: not any(map(runs, pids)))
    wait_for(lambda: not {thread.name for thread in threading.enumerate()} & set(names))


def test_boards_that_wait_for_their_turn_are_not_started_any_more(boards) -> None:
    started: list[str] = []

    def work(name: str, reach: Reach, on_event: EventSink) -> None:
        started.append(name)

    def stop(outcome: BoardOutcome[None]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_boards(boards(5), work, on_outcome=stop, at_once=1)
    assert started == ["board-1"]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------------------------------- what is no list of boards


def test_a_board_that_does_not_answer_keeps_no_place_for_connecting(boards, monkeypatch) -> None:
    monkeypatch.setattr(fleet, "_CONNECTING_S", 0.0)
    names = boards(12)
    everybody = threading.Barrier(len(names))
    outcomes = on_boards(names, lambda name, reach, on_event: everybody.wait(SOON_S))
    assert all(outcome.ok for outcome in outcomes)


def refused(names: list[str], reach: Reach | None = None) -> UsageError:
    def work(name: str, reach: Reach, on_event: EventSink) -> None:
        raise AssertionError("started")

    with pytest.raises(UsageError) as caught:
        on_boards(names, work, reach=reach)
    return caught.value


def test_a_board_that_is_named_twice_is_refused(boards) -> None:
    one, two = boards(2)
    assert refused([one, two, one]).message == "board-1 is named twice"


def test_one_board_under_two_names_is_refused(boards) -> None:
    (one,) = boards(1)
    inventory.add(inventory.InventoryEntry(name="other", host="192.0.2.1", profile="generic"))
    assert refused([one, "other"]).message == "board-1 and other are the same board"


def test_an_unknown_board_is_refused_before_the_others_are_bothered(boards) -> None:
    assert "board-9" in refused([*boards(2), "board-9"]).message


def test_one_address_for_several_boards_is_refused(boards) -> None:
    assert "--host" in refused(boards(2), Reach(host="192.0.2.77")).message


def test_no_board_at_all_is_refused() -> None:
    assert "no board" in refused([]).message
