"""Does a comparison tell the truth? Simulated intervals, and real processes with real work added to one side.

    python tools/bench_compare.py intervals            which interval of few pairs keeps its promise (simulated)
    python tools/bench_compare.py truth MODEL.tflite   quiet, then beside a noisy neighbour (about 15 min)
    python tools/bench_compare.py truth MODEL.tflite --whole 20 --device pi4

``truth`` collects rounds: in each, one process of A, of A again, and of A with 3, 5 and 10 % more work, in an order
drawn by lot. The work is done in the measured region of the runner: each timed call is followed by turns of an
empty loop, whose cost is measured first; the runner's file on the board is a copy with that loop in it. All sides have
the loop, the plain ones with no turns. Windows of up to 20 rounds are then compared as ``edgekit compare`` does it;
windows overlap, so the rates are estimates. ``--whole N`` instead makes N whole comparisons of each side, one after the
other, with nothing reused.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from edgekit.core.artifact import open_artifact
from edgekit.core.events import ignore
from edgekit.device.run import run_job
from edgekit.measure import pace, paired
from edgekit.measure.pairs import PairPlan, collect_pairs
from edgekit.measure.plan import Plan
from edgekit.runner.payload_file import pack, payload_sources
from edgekit.runner.protocol import Trial
from edgekit.verbs.boards import Board, Reach, open_board
from edgekit.verbs.ready import Ready, make_ready, push_model

MARGIN = 0.02
EFFECTS = (0.0, 0.03, 0.05, 0.10)
#: burns a core in bursts of 20 ms to 2 s, half of the time
NEIGHBOUR = """
import os, random, time
lot, parent = random.Random(7), os.getppid()
while os.getppid() == parent:
    end = time.monotonic() + lot.uniform(0.02, 2.0)
    while time.monotonic() < end:
        sum(range(1000))
    time.sleep(lot.uniform(0.02, 2.0))
"""
#: in the copy of the runner, before its measured loop
LOADED = """
    from itertools import repeat
    plain_run = run
    def run(*arguments):
        status = plain_run(*arguments)
        for _ in repeat(None, %d):
            pass
        return status
"""
PLACE = "    run, arguments, now = engine.run, engine.arguments, time.perf_counter_ns\n    batch = "


# ------------------------------------------------------------------------------------------------- simulated intervals


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap of the median, 95 %."""
    drawn = numpy.random.default_rng(0).integers(0, len(values), (1000, len(values)))
    low, high = numpy.quantile(numpy.median(numpy.asarray(values)[drawn], axis=1), (0.025, 0.975))
    return math.exp(low), math.exp(high)


def order_statistics(values: Sequence[float]) -> tuple[float, float]:
    """The exact interval of the median that needs no assumption; the narrowest with at least 95 %."""
    count, below, rank = len(values), 0.0, 0
    while 2 * (below := below + math.comb(count, rank) / 2**count) <= 0.05:
        rank += 1
    ordered = sorted(values)
    return math.exp(ordered[rank - 1]), math.exp(ordered[-rank])


def wilcoxon(values: Sequence[float]) -> tuple[float, float]:
    """Wilcoxon's, all ranks counting, with the error of one look that edgekit's own has."""
    ways = [1]
    for rank in range(1, len(values) + 1):
        ways = [a + b for a, b in zip([*ways, *[0] * rank], [*[0] * rank, *ways], strict=True)]
    below, limit = 0, -1
    while below + ways[limit + 1] <= 0.012 * 2 ** len(values):
        limit += 1
        below += ways[limit]
    means = sorted((a + b) / 2 for index, a in enumerate(values) for b in values[index:])
    return math.exp(means[limit]), math.exp(means[-limit - 1])


METHODS: dict[str, Callable[[Sequence[float]], tuple[float, float] | None]] = {
    "bootstrap of the median": bootstrap,
    "order statistics": order_statistics,
    "Wilcoxon": wilcoxon,
    "edgekit's": paired.interval,
}
SPREADS: dict[str, Callable[[numpy.random.Generator], numpy.ndarray[Any, Any]]] = {
    "normal, 0.9 %": lambda lot: lot.normal(0, 0.009, 20),
    "normal, 1.3 %": lambda lot: lot.normal(0, 0.013, 20),
    "heavy tails, 1.3 %": lambda lot: lot.standard_t(3, 20) * 0.013 / 1.7,
    "0.9 %, 1 of 10 pairs hit": lambda lot: _hit(lot, 0.009, 0.1),
    "0.9 %, 2 of 10 pairs hit": lambda lot: _hit(lot, 0.009, 0.2),
    "normal, 15 %": lambda lot: lot.normal(0, 0.15, 20),
}


def _hit(lot: numpy.random.Generator, spread: float, share: float) -> numpy.ndarray[Any, Any]:
    """Pairs of which some met a neighbour's burst: 5 to 50 % off, either way."""
    burst = lot.choice([-1, 1], 20) * lot.uniform(0.05, 0.5, 20)
    return lot.normal(0, spread, 20) + burst * (lot.random(20) < share)


def decided(values: Sequence[float], interval: Callable[[Sequence[float]], Any]) -> tuple[str, tuple[float, float]]:
    """The word after as many looks as it takes, and the interval that it comes from."""
    word: str = "inconclusive"
    bounds = (0.0, math.inf)
    for look in paired.LOOKS:
        if look > len(values):
            break
        bounds = interval(values[:look]) or bounds
        word = paired.decide(bounds, MARGIN)
        if word != "inconclusive":
            break
    return word, bounds


def intervals(draws: int) -> None:
    """Prints coverage, false alarms and power of each method under each spread."""
    head = ("spread of pairs", "interval", "held at", "held when", "A/A", "+2 %", "+3 %", "+5 %")
    print(f"{'':25}{'':25}{'10 pairs':>10}{'it stops':>10}{'differs':>9}{'slower':>8}{'slower':>8}{'slower':>8}")
    print(f"{head[0]:25}{head[1]:25}{'':>10}{'(at +2 %)':>10}{head[4]:>9}{head[5]:>8}{head[6]:>8}{head[7]:>8}")
    for name, spread in SPREADS.items():
        for method, interval in METHODS.items():
            lot = numpy.random.default_rng(1)
            held = stopped = false = 0
            slower = dict.fromkeys((0.02, 0.03, 0.05), 0)
            for _ in range(draws):
                values = spread(lot).tolist()
                low, high = interval(values[:10]) or (0.0, math.inf)
                held += low <= 1 <= high
                false += decided(values, interval)[0] in ("faster", "slower")
                for effect in slower:
                    word, (low, high) = decided([value + math.log1p(effect) for value in values], interval)
                    slower[effect] += word == "slower"
                    stopped += effect == 0.02 and low <= 1.02 <= high
            rates = (held, stopped, false, *slower.values())
            cells = [f"{100 * rate / draws:.1f} %" for rate in rates]
            print(
                f"{name:25}{method:25}{cells[0]:>10}{cells[1]:>10}{cells[2]:>9}{cells[3]:>8}{cells[4]:>8}{cells[5]:>8}"
            )
        print(flush=True)


# ------------------------------------------------------------------------------------------------- real processes


def variant(board: Board, ready: Ready, turns: int) -> Ready:
    """The model with so many turns of an empty loop after each timed call."""
    sources = payload_sources()
    text = sources["loop.py"].decode()
    assert text.count(PLACE) == 1, "the runner's measured loop begins otherwise now"
    first, batch = PLACE.rsplit("\n", 1)
    loaded = text.replace(PLACE, f"{first}\n{LOADED % turns}{batch}")
    content = pack({**sources, "loop.py": loaded.encode()})
    pushed = board.device.workspace.push_bytes(content, f"bench/payload-{turns}.pyz")
    runtime = dataclasses.replace(board.runtime, runner_path=pushed.path)
    return dataclasses.replace(ready, run=partial(run_job, board.device, runtime))


def middle(trial: Trial) -> float:
    """The median of a process in ns."""
    return float(statistics.median(trial.latency_ns))


def turns_for(board: Board, ready: Ready, plan: Plan) -> Callable[[float], int]:
    """How many turns add a share of the model's time; from processes with and without, at about the largest share."""
    many = 500
    for _ in range(2):
        sides = [variant(board, ready, 0), variant(board, ready, many)]
        times: list[list[float]] = [[], []]
        for _ in range(9):
            for side, found in zip(sides, times, strict=True):
                found.append(middle(side.run(plan.job(side.job, "latency"), plan.time_limit_s)))
        plain = statistics.median(times[0])
        turn = statistics.median(with_ - without for without, with_ in zip(*times, strict=True)) / many
        many = max(1, round(max(EFFECTS) * plain / turn))
    print(f"{ready.model.name}: {plain / 1e3:.1f} µs a run; a turn of the loop costs {turn:.2f} ns")
    return lambda effect: round(effect * plain / turn)


@contextlib.contextmanager
def neighbour(noisy: bool) -> Iterator[None]:
    """Another process beside the measured ones, on this machine."""
    process = subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) if noisy else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def rounds(sides: dict[str, Ready], plan: Plan, count: int) -> dict[str, list[Trial]]:
    """One process of each side, ``count`` times, in an order drawn by lot."""
    lot = random.Random(3)
    found: dict[str, list[Trial]] = {name: [] for name in sides}
    for _ in range(count):
        names = list(sides)
        lot.shuffle(names)
        for name in names:
            side = sides[name]
            found[name].append(side.run(plan.job(side.job, "latency"), plan.time_limit_s))
    return found


def ratios_of(found: dict[str, list[Trial]], side: str, *, calm: bool) -> list[float | None]:
    """The log ratio of a side to A in each round, of undisturbed iterations or of all; None where there is none."""
    if calm:
        best = pace.calm_medians(*found.values())
        assert best is not None, "the runner does not tell its pace"
        medians = dict(zip(found, best, strict=True))
    else:
        medians = {name: tuple(map(middle, trials)) for name, trials in found.items()}
    pairs = zip(medians["A"], medians[side], strict=True)
    return [math.log(other / one) if one and other else None for one, other in pairs]


def resampled(found: dict[str, list[Trial]], side: str, windows: int = 2000) -> dict[str, float]:
    """How often each word is said of a side against A, in windows of the rounds: as ``compare`` takes its pairs."""
    lot = random.Random(4)
    calm, whole = ratios_of(found, side, calm=True), ratios_of(found, side, calm=False)
    said: dict[str, float] = dict.fromkeys(("slower", "faster", "equivalent", "inconclusive"), 0.0)
    most = PairPlan().most
    for _ in range(windows):
        start = lot.randrange(max(1, len(whole) - most - 9))
        chosen = sorted(lot.sample(range(start, min(start + most + 10, len(whole))), min(most, len(whole))))
        values = [value for index in chosen if (value := calm[index]) is not None][: paired.LOOKS[-1]]
        if len(values) < paired.LOOKS[0]:
            values = [value for index in chosen if (value := whole[index]) is not None]
        if side == "A again" and lot.random() < 0.5:
            values = [-value for value in values]
        said[decided(values, paired.interval)[0]] += 1 / windows
    return said


def whole(sides: dict[str, Ready], plan: Plan, count: int, side: str) -> tuple[dict[str, float], list[float]]:
    """How often each word is said in comparisons made from the start each time; and all log ratios."""
    said: dict[str, float] = dict.fromkeys(("slower", "faster", "equivalent", "inconclusive"), 0.0)
    ratios: list[float] = []
    for index in range(count):
        pairs = collect_pairs(sides["A"], sides[side], plan=PairPlan(process=plan, seed=index))
        said[paired.decide(paired.interval(pairs.log_ratios), MARGIN)] += 1 / count
        ratios += pairs.log_ratios
    return said, ratios


def truth(model: Path, device: str, *, count: int, comparisons: int, min_s: float, noise: Sequence[bool]) -> None:
    """Prints what is said of sides whose truth is known."""
    plan = Plan(
        name="bench", min_s=min_s, warmup_s=0.2, warmup_max_s=2.0, memory_processes=0, cold_processes=0, retries=0
    )
    with open_board(device, Reach(wait_s=math.inf), "auto", ignore) as board:
        ready = make_ready(board, push_model(board, open_artifact(model)), num_threads=1)
        turns = turns_for(board, ready, plan)
        sides = {
            "A": variant(board, ready, 0),
            **{f"+{effect:.0%}" if effect else "A again": variant(board, ready, turns(effect)) for effect in EFFECTS},
        }
        how = f"{comparisons} whole comparisons each" if comparisons else f"{count} rounds, 2000 windows"
        print(f"{min_s:g} s a process, {how}")
        print(f"{'':12}{'side':10}{'measured':>10}{'spread':>9}{'slower':>9}{'faster':>9}{'equivalent':>12}{'open':>8}")
        for noisy in noise:
            with neighbour(noisy):
                began = time.monotonic()
                found = {} if comparisons else rounds(sides, plan, count)
                for side in [name for name in sides if name != "A"]:
                    if comparisons:
                        said, ratios = whole(sides, plan, comparisons, side)
                    else:
                        said = resampled(found, side)
                        ratios = [value for value in ratios_of(found, side, calm=False) if value is not None]
                    words = [f"{said[word]:.1%}" for word in said]
                    print(
                        f"{'neighbour' if noisy else 'quiet':12}{side:10}{paired.ratio(ratios) or 0:>10.4f}"
                        f"{paired.spread(ratios) or 0:>9.2%}{words[0]:>9}{words[1]:>9}{words[2]:>12}{words[3]:>8}",
                        flush=True,
                    )
                share = pace.disturbed_share([trial for trials in found.values() for trial in trials])
                disturbed = "" if share is None else f", {share:.0%} of the time disturbed"
                print(f"{'':12}{time.monotonic() - began:.0f} s{disturbed}", flush=True)


def main() -> None:
    """Runs one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    simulated = commands.add_parser("intervals")
    simulated.add_argument("--draws", type=int, default=2000)
    real = commands.add_parser("truth")
    real.add_argument("model", type=Path)
    real.add_argument("--device", default="local", help="a board whose runner is the one in Python")
    real.add_argument("--rounds", type=int, default=60)
    real.add_argument("--whole", type=int, default=0, metavar="N", help="N whole comparisons instead of rounds")
    real.add_argument("--min-s", type=float, default=1.0, help="measured time of each process")
    real.add_argument("--only", choices=("quiet", "neighbour"))
    given = parser.parse_args()
    if given.command == "intervals":
        intervals(given.draws)
        return
    noise = {"quiet": (False,), "neighbour": (True,), None: (False, True)}[given.only]
    truth(given.model, given.device, count=given.rounds, comparisons=given.whole, min_s=given.min_s, noise=noise)


if __name__ == "__main__":
    main()
