"""Memory by phase, absolute and beyond the runtime, from made-up trials whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic_trials import make_memory_trial

from edgekit.core.decode import to_json
from edgekit.measure.memory import memory_of
from edgekit.runner.protocol import MemoryPhase, Trial

MB = 1_000_000
#: phase → resident, peak, anonymous, of files
SIZES = {
    "start": (10, 11, 6, 4),
    "library": (14, 15, 7, 7),
    "model": (18, 18, 7, 11),
    "init": (24, 30, 11, 13),
    "first": (26, 26, 13, 13),
    "steady": (26, 27, 13, 13),
}


def followed(more: int = 0, **changes: object) -> Trial:
    phases = tuple(
        MemoryPhase(
            phase=name,
            rss_bytes=rss * MB + (more if name not in ("start", "library") else 0),
            peak_rss_bytes=peak * MB,
            anon_bytes=anon * MB,
            file_bytes=file * MB,
        )
        for name, (rss, peak, anon, file) in SIZES.items()
    )
    fields = {"mode": "memory", "memory": phases, "pss_bytes": 20 * MB, "uss_bytes": 19 * MB, **changes}
    return replace(make_memory_trial(), **fields)


def test_the_models_share_is_the_peak_beyond_the_loaded_library():
    memory = memory_of([followed()])
    assert (memory.baseline_bytes, memory.peak_rss_bytes, memory.model_bytes) == (14 * MB, 30 * MB, 16 * MB)
    assert (memory.model_anon_bytes, memory.model_file_bytes) == (6 * MB, 6 * MB)
    assert (memory.pss_bytes, memory.uss_bytes) == (20 * MB, 19 * MB)
    assert memory.missing == {}


def test_each_phase_is_told_absolute_and_beyond_the_baseline():
    phases = {phase.phase: phase for phase in memory_of([followed()]).phases}
    assert list(phases) == list(SIZES)
    assert (phases["init"].peak_rss_bytes, phases["init"].model_peak_bytes) == (30 * MB, 16 * MB)
    assert (phases["steady"].rss_bytes, phases["steady"].model_rss_bytes) == (26 * MB, 12 * MB)
    assert (phases["steady"].anon_bytes, phases["steady"].file_bytes) == (13 * MB, 13 * MB)
    for name in ("start", "library"):  # there is no model yet
        assert phases[name].model_rss_bytes is phases[name].model_peak_bytes is None


def test_figures_are_medians_over_the_processes():
    memory = memory_of([followed(), followed(2 * MB), followed(9 * MB)])
    assert {phase.phase: phase.rss_bytes for phase in memory.phases}["steady"] == 28 * MB
    assert memory.peak_rss_bytes == 30 * MB


def test_a_peak_below_the_size_at_the_end_of_its_phase_is_not_believed():
    memory = memory_of([followed(9 * MB)])
    assert memory.peak_rss_bytes == 35 * MB


@pytest.mark.parametrize("count", [0, 1])
def test_what_no_process_told_is_missing_with_a_reason(count):
    blind = tuple(
        MemoryPhase(phase=name, rss_bytes=None, peak_rss_bytes=None, anon_bytes=None, file_bytes=None) for name in SIZES
    )
    memory = memory_of([followed(memory=blind, pss_bytes=None, uss_bytes=None)] * count)
    assert memory.peak_rss_bytes is memory.model_bytes is memory.pss_bytes is memory.model_anon_bytes is None
    assert set(memory.missing.values()) == {"the board does not tell" if count else "no memory process ran"}
    assert set(memory.missing) == {name for name in memory.__slots__ if name.endswith("_bytes")}


def test_memory_becomes_a_document_with_its_phases():
    document = to_json(memory_of([followed()]))
    assert document["model_bytes"] == 16 * MB
    assert document["phases"][3]["model_peak_bytes"] == 16 * MB
