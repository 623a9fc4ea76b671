"""The native runner's reader of requests, under gcc's checkers: what Python calls JSON it calls JSON, and no more."""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from native_process import compile_checked

READER = Path(__file__).parent / "request_reader.c"
JOB = (
    b'{"mode": "latency", "model": "/home/pi/m\\u00fcll.tflite", "model_sha256": "ab12", "library": "/l/libLiteRt.so", '
    b'"module": null, "num_threads": 4, "samples": [["/s/0.raw"], ["/s/all@128"]], "warmup_s": 0.5, "min_s": 1e-3, '
    b'"cpus": [0, -1], "rebuild": true, "note": "a\\"b\\\\c\\ud83d\\ude00"}'
)
INSERTED = [b"[" * 100, b"\\u0000", b"\\ud800", b"1e999", b"-0.0", b"9" * 30, b'"']
STRICTER = ("too deep", "a NUL in a string", "half a character in a string")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc: apt-get install gcc")
    return compile_checked(tmp_path_factory.mktemp("reader") / "reader", READER, without=("main.c",))


def understood(reader: Path, lines: list[bytes]) -> list[bytes]:
    """What the reader says of each line; it must neither crash nor do anything undefined."""
    done = subprocess.run(
        [reader],
        input=b"".join(line + b"\n" for line in lines),
        capture_output=True,
        timeout=120,
        env={"ASAN_OPTIONS": "detect_leaks=0"},  # a runner reads one request and ends
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    answers = done.stdout.split(b"\n")[:-1]
    assert len(answers) == len(lines)
    return answers


def by_python(line: bytes) -> Any:
    """The value that Python reads; ValueError where it is not JSON. Very long whole numbers count as fractions."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    def whole(text: str) -> float:
        return int(text) if len(text) < 19 else float(text)

    return json.loads(line.decode(), parse_constant=refuse, parse_int=whole)


def mutated(generator: random.Random) -> bytes:
    """A request with some bytes changed, removed, doubled or put in."""
    line = bytearray(JOB)
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(line))
        kind = generator.randrange(5)
        if kind == 0:
            line[place] = generator.choice(b'{}[]",:\\u0129eE+-. tfn\x01\x7f\xc3\xff')
        elif kind == 1:
            del line[place : place + generator.randint(1, 20)]
        elif kind == 2:
            line[place:place] = line[place : place + generator.randint(1, 30)]
        elif kind == 3:
            line[place:place] = generator.choice(
                [b"[" * 100, b"\\u0000", b"\\ud800", b"1e999", b"-0.0", b"9" * 30, b'"']
            )
        else:
            del line[place:]
        line = line or bytearray(b" ")
    return bytes(line).replace(b"\n", b" ").replace(b"\0", b"\1")


def plain(value: Any) -> bool:
    """Whether a value has neither infinite numbers nor halves of characters."""
    if isinstance(value, dict):
        return all(map(plain, (*value, *value.values())))
    if isinstance(value, list):
        return all(map(plain, value))
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, float) or math.isfinite(value)


def test_a_job_is_understood_as_python_understands_it(reader):
    assert json.loads(understood(reader, [JOB])[0]) == json.loads(JOB)


def test_thousands_of_damaged_requests_are_read_as_python_reads_them_or_refused(reader):
    generator = random.Random(11)
    lines = [mutated(generator) for _ in range(6000)]
    accepted = 0
    for line, answer in zip(lines, understood(reader, lines)):
        try:
            expected = by_python(line)
        except UnicodeDecodeError:
            continue  # bytes of a file name that are no UTF-8 are taken as they are
        except (ValueError, RecursionError):
            assert answer.startswith(b"!"), line
            continue
        if answer.startswith(b"!"):
            assert answer[1:].decode() in STRICTER, line
        elif plain(expected):
            accepted += 1
            assert by_python(answer) == expected, line
    assert accepted > 300  # else this test would show nothing


def test_bytes_without_any_form_are_refused(reader):
    generator = random.Random(12)
    lines = [
        bytes(generator.choice(range(1, 256)) for _ in range(generator.randint(0, 60))).replace(b"\n", b" ")
        for _ in range(3000)
    ]
    for line, answer in zip(lines, understood(reader, lines)):
        if not answer.startswith(b"!"):
            json.loads(line.decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "a value was expected"),
        (b"not json", "a value was expected"),
        (b'{"a": 1', "',' was expected"),
        (b"{1: 2}", "a key was expected"),
        (b'{"a" 1}', "':' was expected"),
        (b'"a', "a string without an end"),
        (b'"\\x"', "an unknown escape in a string"),
        (b'"\x01"', "a control character in a string"),
        (b"01", "a value was expected"),
        (b"1.", "a number without digits after its point"),
        (b"1e", "a number without digits in its exponent"),
        (b"{} {}", "more after its end"),
        (b"[" * 65, "too deep"),
        (b'"\\ud800"', "half a character in a string"),
        (b"[1,]", "a value was expected"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(line, reason, reader):
    assert understood(reader, [line]) == [f"!{reason}".encode()]
