"""How often a gate is wrong, and what it finds: simulated pairs, as many tests as a gate has, Holm over all of them.

    python tools/bench_gate.py [--rounds 4000]

Every candidate's true ratio is the same. At the very limit no test should fail: the share of gates in which one does is
the false-alarm rate. Beyond it, the share of candidates that are failed is the power.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable

import numpy

from edgekit.measure import paired
from edgekit.measure.compare import Change
from edgekit.measure.gate import held_by_holm, settled
from edgekit.measure.gate_checks import Check

LIMIT = 0.05
_ROW = "{:20} {:>5}   {:>24}   {:>11}   {:>8}   {:>5}"
Noise = Callable[[numpy.random.Generator, int], numpy.ndarray]
NOISES: dict[str, Noise] = {
    "calm (0.9 %)": lambda rng, count: rng.normal(0, 0.009, count),
    "calm, heavy tails": lambda rng, count: 0.009 * rng.standard_t(3, count),
    "wild (15 %)": lambda rng, count: rng.normal(0, 0.15, count),
}
_CHECK = Check(
    name="latency",
    device="board",
    model="model",
    outcome="inconclusive",
    change=Change(name="median_ns", baseline=None, candidate=None),
    limit=1 + LIMIT,
    message="",
)


def failed(rng: numpy.random.Generator, truth: float, noise: Noise, tests: int) -> tuple[list[bool], list[int]]:
    """Which of a gate's candidates fail, and after how many pairs each was decided."""
    checks, pairs = [], []
    for _ in range(tests):
        drawn = math.log(truth) + noise(rng, paired.LOOKS[-1])
        looked = (tuple(drawn[:look]) for look in paired.LOOKS)
        found = next((one for one in looked if settled(one, limit=LIMIT, tests=tests)), tuple(drawn))
        checks.append(dataclasses.replace(_CHECK, p=paired.chance_of_slower(found, 1 + LIMIT)))
        pairs.append(len(found))
    return [check.outcome == "failed" for check in held_by_holm(checks)], pairs


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4000, help="gates that are simulated for each row")
    parser.add_argument("--seed", type=int, default=1)
    rounds, seed = (getattr(parser.parse_args(), name) for name in ("rounds", "seed"))
    print(_ROW.format("pairs vary", "tests", "gates with a false alarm", "+10 % fails", "2× fails", "pairs"))
    for name, noise in NOISES.items():
        for tests in (1, 4, 16):
            rng = numpy.random.default_rng(seed)
            wrong = numpy.mean([any(failed(rng, 1 + LIMIT, noise, tests)[0]) for _ in range(rounds)])
            few = max(20, rounds // 20 // tests)
            tenth = numpy.mean([failed(rng, 1.10, noise, tests)[0] for _ in range(few)])
            twice = [failed(rng, 2.0, noise, tests) for _ in range(few)]
            found, pairs = numpy.mean([one for one, _ in twice]), numpy.mean([looked for _, looked in twice])
            row = (name, str(tests), f"{wrong:.1%}", f"{tenth:.1%}", f"{found:.1%}", f"{pairs:.0f}")
            print(_ROW.format(*row), flush=True)


if __name__ == "__main__":
    main()
