"""Cold starts: whether the pages of the files that count are really gone, and what is said where they are not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from payload_process import start

from edgekit.runner import payload

IN_MEMORY = Path("/dev/shm")


def a_sample() -> numpy.ndarray:
    return numpy.zeros((1, 16), "int8")


@pytest.fixture
def own_library(library, tmp_path) -> str:
    """A copy that no other process has mapped."""
    return str(shutil.copy(library, tmp_path / "libLiteRt.so"))


def on_disk(folder: Path) -> bool:
    return payload.file_system(str(folder)) not in ("tmpfs", "ramfs", "")


def test_pages_that_were_read_are_seen_and_dropped(tmp_path):
    if not on_disk(tmp_path):
        pytest.skip("the folder for tests lies in memory")
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1_000_003))
    assert payload.cached_bytes(str(path)) == 1_000_003
    payload.forget_pages(str(path))
    assert payload.cached_bytes(str(path)) == 0


def test_a_cold_start_reads_its_files_from_storage(job, own_library, tmp_path):
    if not on_disk(tmp_path):
        pytest.skip("the folder for tests lies in memory")
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    answer = start(job(model, [[a_sample()]], mode="cold", library=own_library)).answer
    cold = answer["cold"]
    assert (cold["dropped"], cold["left_bytes"], cold["reason"]) == ("yes", 0, "")
    assert cold["files"] == 2
    assert cold["bytes"] == Path(own_library).stat().st_size + model.stat().st_size
    assert cold["major_faults"] > 0
    assert all(answer[name] > 0 for name in ("library_ns", "load_ns", "init_ns", "first_ns"))
    assert not answer.get("latency_ns")
    assert answer["output_sha256"]


def test_only_a_cold_process_drops_anything(job, own_library, tmp_path):
    if not on_disk(tmp_path):
        pytest.skip("the folder for tests lies in memory")
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    answer = start(job(model, [[a_sample()]], mode="latency", library=own_library)).answer
    assert answer.get("cold") is None
    assert payload.cached_bytes(own_library) > 0


@pytest.mark.skipif(not os.access(IN_MEMORY, os.W_OK), reason="needs a file system in memory")
def test_a_file_system_in_memory_is_said_to_keep_its_pages(job, own_library):
    folder = IN_MEMORY / f"edgekit-test-{os.getpid()}"
    folder.mkdir()
    try:
        model = tiny_tflite.write(folder, tiny_tflite.dense_int8())
        library = str(shutil.copy(own_library, folder / "libLiteRt.so"))
        cold = start(job(model, [[a_sample()]], mode="cold", library=library)).answer["cold"]
    finally:
        shutil.rmtree(folder)
    assert cold["dropped"] == "no"
    assert "file system in memory (tmpfs)" in cold["reason"]
    assert cold["everything"] is False  # emptying everybody's page cache would not have helped


def test_pages_that_another_process_has_mapped_stay_and_that_is_said(tmp_path):
    if not on_disk(tmp_path):
        pytest.skip("the folder for tests lies in memory")
    import mmap

    path = tmp_path / "file"
    path.write_bytes(os.urandom(4_000_000))
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[at] for at in range(0, 400_000, 4096)) > 0
        record = payload.drop_pages([str(path)])
    assert record["dropped"] == "partly"
    assert 0 < record["left_bytes"] < 4_000_000
    assert "another process may use it" in record["reason"]
    assert record["everything"] is False


def test_the_weight_cache_is_made_once_and_then_read(job, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8())
    cache = tmp_path / "it's a cäche.bin"
    sample = numpy.ones((1, 64), "int8")
    made = start(job(model, [[sample]], weight_cache=str(cache))).answer
    assert made["runtime"]["weight_cache"] is True
    before = cache.read_bytes()
    assert len(before) > 6 * 64 * 64
    again = start(job(model, [[sample]], mode="cold", weight_cache=str(cache))).answer
    assert again["cold"]["files"] == 3
    assert cache.read_bytes() == before
    assert again["output_sha256"] == made["output_sha256"] == start(job(model, [[sample]])).answer["output_sha256"]


def test_a_weight_cache_without_xnnpack_is_refused(job, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    request = job(model, [[a_sample()]], kernels="builtin", weight_cache=str(tmp_path / "x"))
    assert start(request).error == "weight-cache-unsupported"
    module = job(model, [[a_sample()]], library=None, module="ai_edge_litert", weight_cache=str(tmp_path / "x"))
    assert start(module, flags=()).error == "weight-cache-unsupported"
    assert not (tmp_path / "x").exists()
