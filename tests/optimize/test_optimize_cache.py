"""Steps in the cache: there whole, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edgekit.core.errors import DataError, UsageError
from edgekit.optimize.cache import StepCache

KEY = {"source": "a" * 64, "parameters": {"mode": "int8"}}


def make(cache: StepCache, content: str, key: object = KEY) -> Path:
    with cache.making("quantize", key) as making:
        (making.folder / "model.tflite").write_text(content)
        making.record = {"made": content, "path": Path("model.tflite")}
    return making.folder


def test_what_was_made_is_found_again(tmp_path):
    cache = StepCache(tmp_path / "steps")
    assert cache.lookup("quantize", KEY) is None
    folder = make(cache, "one")
    found = cache.lookup("quantize", KEY)
    assert found == (folder, {"made": "one", "path": "model.tflite"})
    assert (folder / "model.tflite").read_text() == "one"
    assert folder.name.startswith("quantize-")


def test_another_key_and_another_step_are_not_found(tmp_path):
    cache = StepCache(tmp_path)
    make(cache, "one")
    assert cache.lookup("quantize", {**KEY, "parameters": {"mode": "int16x8"}}) is None
    assert cache.lookup("prune", KEY) is None


def test_the_order_in_which_a_key_is_written_does_not_matter(tmp_path):
    cache = StepCache(tmp_path)
    make(cache, "one")
    assert cache.lookup("quantize", dict(reversed(KEY.items()))) is not None


def test_a_step_that_fails_leaves_nothing(tmp_path):
    cache = StepCache(tmp_path)
    with pytest.raises(DataError), cache.making("quantize", KEY) as making:  # noqa: PT012
        (making.folder / "model.tflite").write_text("half")
        raise DataError("row 7 is empty")
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_keeps_what_an_earlier_run_made(tmp_path):
    cache = StepCache(tmp_path)
    make(cache, "one")
    with pytest.raises(KeyboardInterrupt), cache.making("quantize", KEY):
        raise KeyboardInterrupt
    found = cache.lookup("quantize", KEY)
    assert found is not None
    assert (found[0] / "model.tflite").read_text() == "one"


def test_without_reuse_a_step_is_made_again_and_replaces_the_old_one(tmp_path):
    make(StepCache(tmp_path), "one")
    again = StepCache(tmp_path, reuse=False)
    assert again.lookup("quantize", KEY) is None
    folder = make(again, "two")
    assert (folder / "model.tflite").read_text() == "two"
    found = StepCache(tmp_path).lookup("quantize", KEY)
    assert found is not None
    assert found[1]["made"] == "two"
    assert [item.name for item in tmp_path.iterdir()] == [folder.name]
    assert sorted(item.name for item in folder.iterdir()) == ["model.tflite", "step.json"]


def test_a_record_that_was_cut_off_counts_as_no_step(tmp_path):
    cache = StepCache(tmp_path)
    folder = make(cache, "one")
    (folder / "step.json").write_text('{"record": {"made": "o')
    assert cache.lookup("quantize", KEY) is None
    make(cache, "two")
    assert cache.lookup("quantize", KEY) is not None


@pytest.mark.parametrize("text", ["[]", "null", '"text"', "{}", '{"record": {}}', '{"record": {}, "files": []}'])
def test_a_record_that_is_no_record_counts_as_no_step(tmp_path, text):
    cache = StepCache(tmp_path)
    (make(cache, "one") / "step.json").write_text(text)
    assert cache.lookup("quantize", KEY) is None


def test_a_step_that_lost_a_file_counts_as_no_step(tmp_path):
    cache = StepCache(tmp_path)
    model = make(cache, "one") / "model.tflite"
    model.write_text("o")
    assert cache.lookup("quantize", KEY) is None
    model.unlink()
    assert cache.lookup("quantize", KEY) is None
    make(cache, "one")
    assert cache.lookup("quantize", KEY) is not None


def test_two_runs_that_make_the_same_step_at_once_both_succeed(tmp_path):
    cache = StepCache(tmp_path)
    both = threading.Barrier(2)
    failures: list[BaseException] = []

    def work(content: str) -> None:
        try:
            with cache.making("quantize", KEY) as making:
                (making.folder / "model.tflite").write_text(content)
                making.record = {"made": content}
                both.wait()
            assert (making.folder / "model.tflite").is_file()
        except BaseException as error:  # noqa: BLE001 - the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(content,)) for content in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = cache.lookup("quantize", KEY)
    assert found is not None
    assert (found[0] / "model.tflite").read_text() == found[1]["made"]
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_run_was_given_is_not_replaced_by_a_slower_one(tmp_path):
    looked, made = threading.Event(), threading.Event()

    class Stalling(StepCache):
        def lookup(self, name, key):
            found = super().lookup(name, key)
            looked.set()
            made.wait(0.5)  # the other run ends here, if nothing holds it
            return found

    slow = threading.Thread(target=make, args=(Stalling(tmp_path), "slow"))
    slow.start()
    looked.wait()
    folder = make(StepCache(tmp_path), "quick")
    given = folder.stat().st_ino
    made.set()
    slow.join()
    assert folder.stat().st_ino == given


def test_a_killed_run_leaves_no_step_behind(tmp_path):
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom edgekit.optimize.cache import StepCache\n"
        "with StepCache(Path(sys.argv[1])).making('quantize', 1) as making:\n"
        "    (making.folder / 'model.tflite').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert StepCache(tmp_path).lookup("quantize", 1) is None
    (left,) = tmp_path.iterdir()
    folder = make(StepCache(tmp_path), "whole", key=1)
    assert StepCache(tmp_path).lookup("quantize", 1) is not None
    assert left.exists()  # somebody might still be working there
    three_days_ago = time.time() - 3 * 24 * 3600
    os.utime(left, (three_days_ago, three_days_ago))
    make(StepCache(tmp_path), "more", key=2)
    assert not left.exists()
    assert folder.exists()


def test_a_cache_that_cannot_be_written_to_names_its_place(tmp_path):
    (tmp_path / "cache").write_text("a file stands where the folder should be")
    with pytest.raises(UsageError, match="cannot write to the cache") as caught:
        make(StepCache(tmp_path / "cache" / "steps"), "one")
    assert "EDGEKIT_HOME" in str(caught.value.hint)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said(tmp_path):
    cache = StepCache(tmp_path)
    with pytest.raises(UsageError, match="No space") as caught, cache.making("quantize", KEY) as making:
        (making.folder / "step.json").symlink_to("/dev/full")
    assert "free some space" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []
