"""Cold starts by both runners: whether the files' pages are really gone, and what is said where they are not."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
import pytest
import tiny_tflite
from both_runners import Runner, cached_bytes, without_system_call
from payload_process import start

from edgekit.core.hashing import sha256_file
from edgekit.runner.answer import read_trial

IN_MEMORY = Path("/dev/shm")
WINDOW_BYTES = 64 << 20  # what the native runner looks at in one go


def a_sample() -> numpy.ndarray:
    return numpy.zeros((1, 16), "int8")


@pytest.fixture
def own_library(library: str, tmp_path: Path) -> Path:
    """A copy that no other process has mapped."""
    return Path(shutil.copy(library, tmp_path / "libLiteRt.so"))


@pytest.fixture
def on_disk(tmp_path: Path) -> None:
    """Skips where dropping pages cannot work."""
    path = tmp_path / "probe"
    path.write_bytes(b"x" * 4096)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached_bytes(path):
        pytest.skip("the folder for tests lies in memory")


@contextmanager
def held_in_memory(path: Path, begin: int, length: int) -> Iterator[None]:
    """This process has a part of a file mapped and has read it, as another user of a library would."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[at] for at in range(begin, begin + length, 4096)) >= 0
        yield


@pytest.mark.usefixtures("on_disk")
def test_a_cold_start_reads_its_files_from_storage(runner: Runner, job, own_library, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    own_library.read_bytes()
    assert cached_bytes(own_library) == own_library.stat().st_size
    answer = runner(job(model, [[a_sample()]], mode="cold", library=str(own_library))).answer
    trial = read_trial(answer, board="here", mode="cold", model_sha256=sha256_file(model))
    assert (trial.cold.dropped, trial.cold.left_bytes, trial.cold.reason) == ("yes", 0, "")
    assert trial.cold.files == 2
    assert trial.cold.bytes == own_library.stat().st_size + model.stat().st_size
    assert trial.cold.everything is False
    assert trial.cold.major_faults > 0
    assert all(part > 0 for part in (trial.library_ns, trial.load_ns, trial.init_ns, trial.first_ns))
    assert not trial.latency_ns
    assert not trial.outputs
    assert trial.output_sha256 == runner(job(model, [[a_sample()]])).answer["output_sha256"]


@pytest.mark.usefixtures("on_disk")
def test_only_a_cold_process_drops_anything(runner: Runner, job, own_library, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    answer = runner(job(model, [[a_sample()]], mode="latency", library=str(own_library))).answer
    assert answer.get("cold") is None
    assert cached_bytes(own_library) > 0


@pytest.mark.skipif(not os.access(IN_MEMORY, os.W_OK), reason="needs a file system in memory")
def test_a_file_system_in_memory_is_said_to_keep_its_pages(runner: Runner, job, own_library):
    folder = IN_MEMORY / f"edgekit-test-{os.getpid()}"
    folder.mkdir()
    try:
        model = tiny_tflite.write(folder, tiny_tflite.dense_int8())
        library = str(shutil.copy(own_library, folder / 'my "lib" Lité.so'))
        cold = runner(job(model, [[a_sample()]], mode="cold", library=library)).answer["cold"]
    finally:
        shutil.rmtree(folder)
    assert cold["dropped"] == "no"
    assert cold["reason"] == 'my "lib" Lité.so lies on a file system in memory (tmpfs), which keeps its pages'
    assert cold["left_bytes"] == cold["bytes"]
    assert cold["everything"] is False  # emptying everybody's page cache would not have helped


@pytest.mark.usefixtures("on_disk")
def test_pages_that_another_process_has_mapped_stay_and_that_is_said(runner: Runner, job, own_library, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    with held_in_memory(own_library, 0, 400_000):
        cold = runner(job(model, [[a_sample()]], mode="cold", library=str(own_library))).answer["cold"]
    assert cold["dropped"] == "partly"
    assert 400_000 <= cold["left_bytes"] < cold["bytes"]
    assert cold["reason"] == "the kernel keeps pages of libLiteRt.so: another process may use it"
    assert cold["everything"] is False


@pytest.mark.usefixtures("on_disk")
def test_pages_at_the_end_of_a_large_file_are_seen(runner: Runner, job, own_library, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    size = 3 * WINDOW_BYTES + 5
    os.truncate(own_library, size)  # a hole follows the library
    with held_in_memory(own_library, size - 100_000, 100_000):
        cold = runner(job(model, [[a_sample()]], mode="cold", library=str(own_library))).answer["cold"]
    assert cold["bytes"] == size + model.stat().st_size
    assert cold["dropped"] == "partly"
    assert 100_000 <= cold["left_bytes"] < WINDOW_BYTES


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run as somebody else")
@pytest.mark.usefixtures("on_disk")
def test_files_of_somebody_else_cannot_be_looked_at_and_that_is_said(runner: Runner, job, own_library):
    with tempfile.TemporaryDirectory(prefix="edgekit-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        model = tiny_tflite.write(folder, tiny_tflite.dense_int8())
        library = str(shutil.copy(own_library, folder / "libLiteRt.so"))
        request = job(model, [[a_sample()]], mode="cold", library=library)
        request["samples"] = [[str(shutil.copy(request["samples"][0][0], folder))]]
        runner.argv[0] = "/usr/bin/python3" if runner.name == "payload" else str(shutil.copy(runner.argv[0], folder))
        try:
            done = runner(request, user="nobody", cwd="/")
        except OSError as error:
            pytest.skip(f"nobody has a Python: {error}")
        cold = done.answer["cold"]
    assert (cold["dropped"], cold["left_bytes"]) == ("no", cold["bytes"])
    expected = "libLiteRt.so belongs to somebody else: the kernel does not tell whether its pages are gone"
    assert cold["reason"] == expected
    assert cold["everything"] is False


@pytest.mark.usefixtures("on_disk")
def test_where_mincore_is_forbidden_the_runner_says_so(runner: Runner, job, own_library, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    request = job(model, [[a_sample()]], mode="cold", library=str(own_library))
    done = runner(request, preexec_fn=without_system_call("mincore"))
    cold = done.answer["cold"]
    assert (cold["dropped"], cold["left_bytes"]) == ("no", cold["bytes"])
    assert cold["reason"] == "the kernel does not tell whether the pages of libLiteRt.so are gone"
    assert cold["everything"] is False
    assert cold["major_faults"] > 0  # they were gone all the same


def test_files_that_are_named_twice_or_are_none_are_counted_once_or_not(runner: Runner, job, own_library, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    request = job(model, [[a_sample()]], mode="cold", library=str(own_library))
    absent = runner({**request, "weight_cache": str(tmp_path / "absent")}).answer["cold"]
    assert (absent["files"], absent["bytes"]) == (2, own_library.stat().st_size + model.stat().st_size)
    assert runner({**request, "library": "/nowhere/libLiteRt.so"}).error == "library-missing"
    assert runner({**request, "library": str(model)}).error == "library-load"


def test_the_weight_cache_is_made_once_and_then_read(runner: Runner, job, own_library, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8())
    cache = tmp_path / "it's a cäche.bin"
    request = job(model, [[numpy.ones((1, 64), "int8")]], library=str(own_library))
    made = runner({**request, "weight_cache": str(cache)}).answer
    assert made["runtime"]["weight_cache"] is True
    before = cache.read_bytes()
    assert len(before) > 6 * 64 * 64
    again = runner({**request, "mode": "cold", "weight_cache": str(cache)}).answer
    assert again["cold"]["files"] == 3
    assert again["cold"]["bytes"] == sum(path.stat().st_size for path in (model, own_library, cache))
    assert cache.read_bytes() == before
    assert again["output_sha256"] == made["output_sha256"] == runner(request).answer["output_sha256"]


def test_a_weight_caches_name_may_be_of_any_bytes_but_those_that_its_option_cannot_hold(runner: Runner, job, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    request = job(model, [[a_sample()]])
    latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x7f \x01.cache"))
    assert runner({**request, "weight_cache": str(latin)}).answer["runtime"]["weight_cache"] is True
    assert latin.stat().st_size > 0
    before = set(tmp_path.iterdir())
    for name in ('a "b".cache', "a\\b.cache", "a\nb.cache"):
        done = runner({**request, "weight_cache": str(tmp_path / name)})
        assert done.answer["error"] == {
            "code": "request",
            "message": f"a weight cache cannot be called {tmp_path / name}",
        }
    assert set(tmp_path.iterdir()) == before


def test_a_weight_cache_without_xnnpack_is_refused(runner: Runner, job, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    request = job(model, [[a_sample()]], kernels="builtin", weight_cache=str(tmp_path / "x"))
    assert runner(request).error == "weight-cache-unsupported"
    assert not (tmp_path / "x").exists()


def test_a_weight_cache_for_a_module_is_refused(job, tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_int8())
    module = job(model, [[a_sample()]], library=None, module="ai_edge_litert", weight_cache=str(tmp_path / "x"))
    assert start(module, flags=()).error == "weight-cache-unsupported"
    assert not (tmp_path / "x").exists()
