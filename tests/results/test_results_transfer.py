"""Results travel between stores with their samples: whole, once, and nothing damaged comes in unseen."""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import older_store
import pytest
from synthetic_trials import SHA, make_samples

from edgekit.core.errors import StoreError, UsageError
from edgekit.core.places import data_dir
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from
from edgekit.measure.plan import make_plan
from edgekit.results.check import check
from edgekit.results.lines import _digest
from edgekit.results.query import Query
from edgekit.results.store import Store, open_store
from edgekit.results.transfer import Taken, lines_of, merge, take_in_lines


def measured(seed: int = 0) -> Measurement:
    samples = make_samples(plan=make_plan("quick"), seed=seed, iterations=70)
    return measurement_from(samples, device="pi4", model=MeasuredModel(name="digits.tflite", sha256=SHA))


@pytest.fixture
def munich(tmp_path: Path) -> Store:
    """Another lab's store with three measurements, an artifact and a comparison."""
    store = open_store(str(tmp_path / "munich.sqlite"))
    for seed in range(3):
        store.add_measurement(measured(seed))
    store.add_optimization({"name": "digits", "sha256": SHA, "kind": "int8", "size_bytes": 9000})
    document = {"device": "pi4", "ratio": 0.9, "ci95": [0.89, 0.91], "pairs": 10}
    store.add("comparison", document, device="pi4", model="digits", model_sha256=SHA, verdict="faster")
    return store


@pytest.fixture
def mine(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "mine.sqlite"))


def lines(store: Store, query: Query | None = None) -> list[str]:
    notices: list[Any] = []
    found = list(lines_of(store, query or Query(), notices))
    assert not notices
    return found


def take_in(store: Store, found: list[str], **options: Any) -> Taken:
    stream = io.BytesIO("".join(f"{line}\n" for line in found).encode())
    return take_in_lines(store, stream, name="munich.jsonl", lab="munich", **options)


def signed(line: str, **changes: Any) -> str:
    """A line with other content, as somebody would write it who knows the format."""
    value = json.loads(line)
    value["result"].update(changes)
    body = {"result": value["result"], "samples_gzip_base64": value["samples_gzip_base64"]}
    return json.dumps({"schema": value["schema"], "sha256": _digest(body), **body})


def test_everything_arrives_with_its_samples_where_the_files_are_not(munich: Store, mine: Store) -> None:
    found = lines(munich)
    shutil.rmtree(data_dir() / "samples")
    assert take_in(mine, found) == Taken(added=5, known=0, restored=0, left_out=())
    assert [result.id for result in mine.list()] == [result.id for result in munich.list()]
    for one, other in zip(mine.list(), munich.list()):
        assert {**one.document, "samples_file": 0} == {**other.document, "samples_file": 0}
        assert one.lab == "munich"
    assert [mine.samples(one.id) for one in mine.list("measurement")] == [measured(seed).samples for seed in (2, 1, 0)]
    assert not check(mine).damage


def test_a_file_that_is_imported_twice_changes_nothing(munich: Store, mine: Store) -> None:
    take_in(mine, lines(munich)[:3])
    before = mine.list()
    assert take_in(mine, lines(munich)) == Taken(added=2, known=3, restored=0, left_out=())
    assert take_in(mine, lines(munich)) == Taken(added=0, known=5, restored=0, left_out=())
    assert mine.list()[-3:] == before


def test_what_went_out_and_comes_back_is_still_ones_own(munich: Store, mine: Store) -> None:
    take_in(mine, lines(munich))
    assert take_in(munich, lines(mine)).known == 5
    assert all(result.lab is None for result in munich.list())


def test_lines_written_again_by_another_program_are_the_same_lines(munich: Store, mine: Store) -> None:
    rewritten = [json.dumps(json.loads(line), indent=None, sort_keys=True) for line in lines(munich)]
    assert take_in(mine, rewritten).added == 5


def test_a_query_chooses_what_is_exported(munich: Store) -> None:
    assert len(lines(munich, Query(kind="measurement"))) == 3
    assert len(lines(munich, Query(verdict="faster"))) == 1


DAMAGE = {
    "cut short": lambda line: line[: len(line) // 2],
    "not JSON": lambda line: "\x00\xff garbage",
    "a changed figure": lambda line: line.replace('"pi4"', '"pi5"', 1),
    "another schema": lambda line: line.replace("edgekit.result/1", "edgekit.result/9"),
    "a list": lambda line: "[1, 2]",
    "very deep": lambda line: "[" * 200_000,
    "no kind of ours": lambda line: signed(line, kind="dream"),
    "an id with a path in it": lambda line: signed(line, id="../../etc/pw"),
    "a date that is none": lambda line: signed(line, created="soon"),
    "a measurement without figures": lambda line: signed(line, kind="measurement", document={}),
    "a NaN": lambda line: line.replace('"pi4"', "NaN", 1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_line_is_named_by_its_number_and_nothing_is_taken_in(damage, munich, mine) -> None:
    found = lines(munich)
    found[1] = damage(found[1])
    with pytest.raises(StoreError, match=r"nothing was taken in from munich\.jsonl: line 2: ") as caught:
        take_in(mine, found)
    assert caught.value.exit_code == 6
    assert "--skip-damaged" in (caught.value.hint or "")
    assert mine.list() == ()
    taken = take_in(mine, found, skip_damaged=True)
    assert (taken.added, len(taken.left_out)) == (4, 1)
    assert not check(mine).damage


def test_all_damaged_lines_are_named_at_once(munich: Store, mine: Store) -> None:
    found = lines(munich)
    found[1], found[4] = found[1][:-9], "{}"
    with pytest.raises(StoreError, match=r"line 2: .*line 5: "):
        take_in(mine, found)


def test_samples_that_would_fill_the_memory_are_refused(munich: Store, mine: Store) -> None:
    value = json.loads(lines(munich)[0])
    bomb = base64.b64encode(gzip.compress(b" " * (200 << 20), 1)).decode()
    body = {"result": value["result"], "samples_gzip_base64": bomb}
    with pytest.raises(StoreError, match="larger than any"):
        take_in(mine, [json.dumps({"schema": value["schema"], "sha256": _digest(body), **body})])


def test_the_same_id_with_another_content_is_refused_and_neither_is_lost(munich: Store, mine: Store) -> None:
    found = lines(munich)
    take_in(mine, [signed(found[0], model="another.tflite")])
    with pytest.raises(StoreError, match=r"here already with another content \(here: measurement of another\.tflite"):
        take_in(mine, found)
    assert [result.model for result in mine.list()] == ["another.tflite"]
    taken = take_in(mine, found, skip_damaged=True)
    assert (taken.added, len(taken.left_out)) == (4, 1)
    assert mine.get(json.loads(found[0])["result"]["id"]).model == "another.tflite"


def test_a_path_of_another_machine_is_never_opened_here(munich: Store, mine: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for others")
    line = lines(munich)[0]
    document = {**json.loads(line)["result"]["document"], "samples_file": str(secret)}
    take_in(mine, [signed(line, document=document)])
    (kept,) = mine.list()
    assert kept.document["samples_file"] is None
    assert mine.samples(kept.id) == measured(0).samples


def test_lost_samples_come_back_with_an_import(munich: Store) -> None:
    found = lines(munich)
    for path in (data_dir() / "samples").iterdir():
        path.unlink()
    assert {one.message.partition(":")[0] for one in check(munich).damage} == {"its raw samples are gone"}
    assert take_in(munich, found) == Taken(added=0, known=5, restored=3, left_out=())
    assert not check(munich).damage


def test_what_is_lost_or_damaged_is_told_when_the_rest_is_exported(munich: Store, tmp_path: Path) -> None:
    one, other = munich.list("measurement")[:2]
    Path(one.document["samples_file"]).unlink()
    with sqlite3.connect(tmp_path / "munich.sqlite") as connection:
        connection.execute("UPDATE runs SET document = '{\"cut' WHERE id = ?", (other.id,))
    notices: list[Any] = []
    assert len(list(lines_of(munich, Query(), notices))) == 4
    assert {notice.code for notice in notices} == {"samples-lost", "result-damaged"}
    assert any(one.id in notice.message for notice in notices)
    assert any(other.id in notice.message for notice in notices)
    assert {damage.where for damage in check(munich).damage} == {one.id, other.id}


# ---------------------------------------------------------------------------------------------------- whole stores


def test_another_labs_store_is_merged_with_its_samples_and_left_as_it_is(munich, mine, tmp_path: Path) -> None:
    before = (tmp_path / "munich.sqlite").read_bytes()
    assert merge(mine, str(tmp_path / "munich.sqlite")).added == 5
    assert {result.lab for result in mine.list()} == {"munich"}
    assert (tmp_path / "munich.sqlite").read_bytes() == before
    assert merge(mine, str(tmp_path / "munich.sqlite")).known == 5
    shutil.rmtree(data_dir() / "samples")
    assert len(mine.samples(mine.list("measurement")[0].id).latency) == 3


def test_a_data_folder_that_was_copied_brings_the_samples_beside_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path / "berlin"))
    result_id = open_store().add_measurement(measured())
    shutil.move(tmp_path / "berlin", tmp_path / "usb")
    monkeypatch.setenv("EDGEKIT_HOME", str(tmp_path / "here"))
    store = open_store()
    assert merge(store, str(tmp_path / "usb" / "data" / "results.sqlite")).added == 1
    assert store.samples(result_id) == measured().samples
    assert store.get(result_id).lab == "usb"


def test_a_store_and_its_export_are_not_taken_for_each_other(munich: Store, mine: Store, tmp_path: Path) -> None:
    exported = tmp_path / "munich.jsonl"
    exported.write_text("\n".join(lines(munich)))
    with pytest.raises(UsageError, match="holds lines of JSON") as caught:
        merge(mine, str(exported))
    assert caught.value.hint == f"edgekit results import {exported}"
    with (tmp_path / "munich.sqlite").open("rb") as stream, pytest.raises(UsageError, match="is a store") as caught:
        take_in_lines(mine, stream, name="munich.sqlite", lab="munich")
    assert "edgekit results merge" in str(caught.value.hint)


def test_three_labs_keep_their_names_through_two_merges(munich: Store, mine: Store, tmp_path: Path) -> None:
    merge(mine, str(tmp_path / "munich.sqlite"))
    mine.add_measurement(measured(9))
    third = open_store(str(tmp_path / "third.sqlite"))
    merge(third, str(tmp_path / "mine.sqlite"), lab="berlin")
    assert sorted(str(result.lab) for result in third.list()) == ["berlin", *["munich"] * 5]
    assert len(third.list(query=Query(lab="berlin"))) == 1


def test_what_waits_here_does_not_slip_into_the_other_lab(munich: Store, mine: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "mine.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="waits in"):
        open_store(str(tmp_path / "mine.sqlite"), patience_s=0.1).add_measurement(measured(7))
    other.close()
    merge(mine, str(tmp_path / "munich.sqlite"))
    assert len(munich.list()) == 5
    assert len(open_store(str(tmp_path / "mine.sqlite")).list()) == 6


def test_a_store_that_is_none_is_named_and_none_is_made(mine: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such store"):
        merge(mine, str(tmp_path / "nowhere.sqlite"))
    assert not (tmp_path / "nowhere.sqlite").exists()
    (tmp_path / "text.sqlite").write_text("this is a text\n" * 100)
    with pytest.raises(StoreError, match="damaged or not a database"):
        merge(mine, str(tmp_path / "text.sqlite"))
    with sqlite3.connect(tmp_path / "photos.sqlite") as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    with pytest.raises(UsageError, match="is not a store of edgekit"):
        merge(mine, str(tmp_path / "photos.sqlite"))


def test_a_damaged_page_is_found_and_nothing_of_it_is_merged(munich: Store, mine: Store, tmp_path: Path) -> None:
    path = tmp_path / "munich.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    content = bytearray(path.read_bytes())
    for begin in range(4096, len(content) - 4096, 4096):
        content[begin : begin + 64] = b"\xaa" * 64
    path.write_bytes(content)
    with pytest.raises(StoreError):
        merge(mine, str(path))
    assert mine.list() == ()


DIES = """
import io, os, sys
from edgekit.results.store import open_store
from edgekit.results.transfer import take_in_lines
class Stream(io.BytesIO):
    left = 3
    def readline(self, most):
        Stream.left -= 1
        if Stream.left < 0:
            os._exit(9)
        return super().readline(most)
take_in_lines(open_store(sys.argv[1]), Stream(open(sys.argv[2], "rb").read()), name="f", lab="x")
"""


def test_an_import_that_is_killed_has_taken_in_nothing_and_may_be_repeated(munich, mine, tmp_path: Path) -> None:
    path = tmp_path / "munich.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines(munich)))
    argv = [sys.executable, "-c", DIES, str(tmp_path / "mine.sqlite"), str(path)]
    assert subprocess.run(argv, timeout=60, check=False).returncode == 9
    assert mine.list() == ()
    assert take_in(mine, lines(munich)).added == 5


def test_a_store_of_an_earlier_version_is_merged_without_being_changed(mine: Store, tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite"
    older_store.make(str(old), 1)
    assert merge(mine, str(old)).added == 4
    assert older_store.version_of(str(old)) == 1
    assert {result.device for result in mine.list("measurement")} == {"pi4", "pi4 (emulated)"}
