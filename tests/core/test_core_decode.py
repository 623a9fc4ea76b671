from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy
import pytest

from edgekit.core import decode
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.toml import line_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    name: str
    max_mhz: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    abi: Literal["aarch64", "armv7l"]
    cores: tuple[Core, ...]
    ram_mb: list[int] = field(default_factory=list)
    place: Path | None = None
    pair: tuple[int, str] | None = None
    extra: dict[str, float] = field(default_factory=dict)


def board(**changes: object) -> dict[str, object]:
    return {"abi": "aarch64", "cores": [{"name": "A72", "max_mhz": 1500}], **changes}


def test_a_document_becomes_a_record_and_comes_back() -> None:
    record = decode.from_json(Board, board(ram_mb=[1024], place="/tmp", pair=[1, "x"]), source="pi4.toml")
    assert record.cores == (Core(name="A72", max_mhz=1500.0),)
    assert record.place == Path("/tmp")
    again = decode.from_json(Board, json.loads(json.dumps(decode.to_json(record))), source="again")
    assert again == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"abi": "arch64"}, r"pi4.toml at abi: expected one of aarch64, armv7l; found 'arch64'"),
        ({"cores": [{"name": "A72", "max_mhz": "fast"}]}, r"at cores\[0\].max_mhz: expected a number, found 'fast'"),
        ({"cores": {}}, r"at cores: expected a list"),
        ({"ram_mb": [1.5]}, r"at ram_mb\[0\]: expected a whole number, found 1.5"),
        ({"ram_mb": [True]}, r"at ram_mb\[0\]: expected a whole number, found True"),
        ({"cores": [{"max_mhz": 1}]}, r"at cores\[0\]: the key 'name' is missing"),
        ({"pair": [1]}, r"at pair: expected 2 values, found 1"),
        ({"extra": {"a": "b"}}, r"at extra.a: expected a number"),
    ],
)
def test_a_misfit_names_its_place_and_what_was_expected(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        decode.from_json(Board, board(**change), source="pi4.toml")


def test_a_misspelt_key_gets_the_nearest_one() -> None:
    with pytest.raises(ModelError, match="unknown key 'ram_bm'") as caught:
        decode.from_json(Board, board(ram_bm=[1]), source="x", error=ModelError)
    assert caught.value.hint == "did you mean 'ram_mb'?"


def test_unknown_keys_of_a_newer_document_can_be_let_through() -> None:
    assert decode.from_json(Board, board(new=1), source="x", lenient=True).abi == "aarch64"


def test_numpy_scalars_become_json_and_other_objects_are_refused() -> None:
    assert decode.to_json({"a": numpy.float32(0.5), "b": (Path("x"),)}) == {"a": 0.5, "b": ["x"]}
    with pytest.raises(TypeError):
        decode.to_json(object())


def test_the_line_of_a_place_is_found_in_tables_arrays_and_inline_values():
    text = 'title = "x"\n[sensors] # ours\nclock = { file = "/f" }\n'
    text += '[[clusters]]\ncore = "A"\n[[clusters]]\n"odd key" = 1\n'
    places = {
        "title": 1,
        "sensors": 2,
        "sensors.clock.file": 3,
        "clusters": 4,
        "clusters[0].core": 5,
        "clusters[1].cpus[3]": 6,
        "clusters[1].odd key": 7,
        "nowhere": None,
        "nowhere.at[2].all": None,
        "[[": None,
        "": None,
    }
    assert {place: line_of(text, place) for place in places} == places
