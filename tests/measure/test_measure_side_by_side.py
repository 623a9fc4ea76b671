"""Which row is the fastest, and when that must not be claimed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from synthetic_trials import RUNTIME, make_samples

from edgekit.measure.conditions import BoardLimits
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.measure.side_by_side import fastest, runtime_notices

MODEL = MeasuredModel(name="digits", sha256="ab" * 32)


def row(median_ns: float = 2e6, *, limits: BoardLimits | None = None, **other: Any) -> Measurement:
    return measurement_from(make_samples(median_ns=median_ns, **other), device="pi4", model=MODEL, limits=limits)


def test_the_quickest_is_named_where_its_interval_lies_below_all_others() -> None:
    quick, slow = row(2e6), row(3e6)
    found = fastest([slow, quick])
    assert found is not None
    assert found.best is quick
    assert found.close == ()


def test_rows_whose_intervals_touch_are_not_told_apart() -> None:
    one, other, slow = row(2e6), row(2.001e6), row(9e6)
    found = fastest([slow, other, one])
    assert found is not None
    assert found.best is None
    assert set(map(id, found.close)) == {id(one), id(other)}


def test_rows_that_are_not_valid_take_no_part() -> None:
    broken = row(1e6, finite=False)
    assert broken.verdict == "invalid"
    found = fastest([broken, row(2e6), row(3e6)])
    assert found is not None
    assert found.best is not None
    assert found.best.latency.median_ns is not None
    assert found.best.latency.median_ns > 1.5e6
    assert found.unjudged == 1
    nobody = fastest([broken, row(2e6)])
    assert nobody is not None
    assert (nobody.best, nobody.close, nobody.unjudged, nobody.rows) == (None, (), 1, 2)


def test_nothing_is_claimed_of_one_row_of_two_boards_or_of_an_emulated_one() -> None:
    assert fastest([row()]) is None
    assert fastest([row(), replace(row(3e6), device="pi5")]) is None
    emulated = BoardLimits(emulated=True)
    assert fastest([row(limits=emulated), row(3e6, limits=emulated)]) is None


def test_the_weight_cache_is_told_against_the_same_row_without_it() -> None:
    plain = row(init_ns=15_500_000)
    cached = row(init_ns=900_000, runtime=replace(RUNTIME, weight_cache=True))
    (notice,) = runtime_notices([plain, cached])
    assert notice.code == "weight-cache"
    assert "15.5 ms → 900 µs" in notice.message
    assert not runtime_notices([row(runtime=replace(RUNTIME, kernels="builtin")), cached])


def test_what_a_call_from_python_costs_is_stated_once_a_model() -> None:
    used = replace(RUNTIME, name="onnxruntime", delegate="CPUExecutionProvider")
    rows = [row(2e6, runtime=used, extra={"call_overhead_ns": 20_000}) for _ in range(2)]
    (notice,) = runtime_notices(rows)
    assert "onnxruntime is called through Python: about 20.0 µs of every run, 1.0% of digits's" in notice.message
