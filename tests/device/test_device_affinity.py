"""Models stay on the cores that they should: the profile's, else the big ones, and only those that are there."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import tiny_tflite

from edgekit.core.errors import DeviceError
from edgekit.core.events import ignore
from edgekit.device.affinity import choose_cpus
from edgekit.device.facts_cpu import Core, cpu_list
from edgekit.device.profile import load_profile, profile_paths, read_profile
from edgekit.verbs.benchmark import benchmark
from edgekit.verbs.boards import Reach, reach_board


def test_f59_a_benchmark_with_a_mask_that_is_not_there_measures_nothing(tmp_path: Path, monkeypatch):
    (tmp_path / "local.toml").write_text('title = "this machine"\ntransport = "local"\ncpus = [0, 4000]\n')
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path))
    said = []
    with pytest.raises(DeviceError, match="4000 is not online there"):
        benchmark(tiny_tflite.write(tmp_path, tiny_tflite.dense_int8()), device="local", on_event=said.append)
    assert not any(event.task == "benchmark" for event in said)


def test_f59_a_mask_with_a_core_that_is_not_there_is_refused_before_anything_runs(cpu_board):
    cpu_board(profile="cpus = [2, 99]")
    with reach_board("pi4", Reach(), ignore) as reached, pytest.raises(DeviceError, match="99 is not online there"):
        _affinity(reached, 1)


def test_f59_a_core_that_was_unplugged_is_refused_by_the_profiles_mask_and_left_out_of_our_own(cpu_board):
    cpu_board(offline=(3,))
    with reach_board("pi4", Reach(), ignore) as reached:
        assert _affinity(reached, 1).cpus == (2,)
    cpu_board.profile("cpus = [2, 3]")
    with (
        reach_board("pi4", Reach(), ignore) as reached,
        pytest.raises(DeviceError, match=r"cores 2, 3, and 3 is not online there \(online: 0-2\)"),
    ):
        _affinity(reached, 2)


def test_f59_cores_that_the_users_processes_are_kept_off_are_refused_or_left_out():
    core = os.cpu_count() or 1
    one = sorted(os.sched_getaffinity(0))[0]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {one})  # what a container's cpuset does to all that runs in it
    try:
        with reach_board("local", Reach(), ignore) as reached:
            facts = reached.facts
    finally:
        os.sched_setaffinity(0, before)
    assert facts.allowed_cpus == (one,)
    clocks = tuple(Core(cpu=cpu, max_hz=(1 + cpu) * 10**9, current_hz=None) for cpu in range(core + 2))
    facts = dataclasses.replace(facts, cores=clocks)
    generic = load_profile("generic")
    assert choose_cpus("local", generic, facts, 1).cpus == ()
    assert choose_cpus("local", generic, dataclasses.replace(facts, allowed_cpus=()), 1).cpus == (core + 1,)
    with pytest.raises(DeviceError, match="kept off") as caught:
        choose_cpus("local", dataclasses.replace(generic, cpus=(one, core + 1)), facts, 1)
    assert caught.value.details["allowed"] == [one]


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("0-3", (0, 1, 2, 3)),
        ("0,2-3,7", (0, 2, 3, 7)),
        ("", ()),
        ("0-x", ()),
        ("0-99999999", ()),
        ("-1", ()),
        ("²", ()),
    ],
)
def test_lists_of_cores_are_read_as_the_kernel_writes_them(text, cores):
    assert cpu_list(text) == cores


def test_every_shipped_profile_with_cores_of_several_kinds_names_the_fast_ones():
    mixed = 0
    for name, path in profile_paths().items():
        profile = read_profile(path)
        clocks = {cpu: cluster.max_mhz or 0 for cluster in profile.clusters for cpu in cluster.cpus}
        if len(set(clocks.values())) > 1:
            mixed += 1
            assert set(profile.cpus) == {cpu for cpu, mhz in clocks.items() if mhz == max(clocks.values())}, name
        else:
            assert profile.cpus == (), name
    assert mixed >= 2


def test_models_run_on_the_big_cores_unless_more_threads_are_asked_for(cpu_board):
    cpu_board()
    with reach_board("pi4", Reach(), ignore) as reached:
        assert _affinity(reached, 1).cpus == _affinity(reached, 2).cpus == (2, 3)
        beyond = _affinity(reached, 4)
    assert beyond.cpus == ()
    assert [notice.code for notice in beyond.notices] == ["beyond-the-big-cores"]


def test_cores_that_are_nearly_alike_are_left_to_the_scheduler(cpu_board):
    cpu_board(clusters={4_900_000: (0, 1), 5_000_000: (2, 3)})
    with reach_board("pi4", Reach(), ignore) as reached:
        assert _affinity(reached, 1).cpus == ()


def _affinity(reached: Any, num_threads: int) -> Any:
    # this machine's kernel lets nobody run on cores that only the board has
    facts = dataclasses.replace(reached.facts, allowed_cpus=())
    return choose_cpus("pi4", reached.profile, facts, num_threads)
