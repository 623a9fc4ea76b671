"""How a payload process ended, and what the user is told."""

from __future__ import annotations

import copy
import json

import numpy
import pytest
import tiny_tflite
from payload_process import start

from edgekit.core.errors import DeadlineError, DeviceError, ModelError, RuntimeMissingError, TransferError
from edgekit.runner.answer import read_answer, read_trial
from edgekit.runner.payload import BEGIN, END


def framed(value: object) -> bytes:
    return f"Welcome!\n\n{BEGIN}\n{json.dumps(value)}\n{END}\n".encode()


def fail(stdout: bytes, stderr: bytes = b"", status: int = 0) -> Exception:
    with pytest.raises(Exception) as caught:
        read_answer(stdout, stderr, status, board="pi4")
    return caught.value


def test_noise_around_the_answer_is_dropped():
    assert read_answer(framed({"a": 1}) + b"bye\n", b"", 0, board="pi4") == {"a": 1}


@pytest.mark.parametrize(
    ("signal_number", "words"),
    [(9, "out of memory"), (4, "newer processor"), (11, "SIGSEGV"), (6, "SIGABRT"), (7, "SIGBUS"), (15, "SIGTERM")],
)
def test_each_signal_has_its_own_words_and_the_end_of_stderr_is_kept(signal_number, words):
    error = fail(b"", b"x" * 9000 + b"the last words\n", 128 + signal_number)
    assert type(error) is DeviceError
    assert words in error.message
    assert error.details["stderr"].endswith("the last words\n")
    assert len(error.details["stderr"]) < 5000


def test_the_time_limit_is_a_deadline():
    assert isinstance(fail(b"", b"", 128 + 14), DeadlineError)


def test_no_answer_and_half_an_answer_are_told():
    assert "without an answer" in fail(b"", b"", 0).message
    assert "cut off" in fail(framed({"a": [1, 2, 3]})[:-40], b"", 0).message


def test_text_that_is_not_json_and_numbers_that_are_not_numbers_are_refused():
    assert "not JSON" in fail(f"\n{BEGIN}\n{{oops\n{END}\n".encode()).message
    assert "NaN" in fail(f'\n{BEGIN}\n{{"latency_ns": [NaN]}}\n{END}\n'.encode()).message
    assert "object" in fail(f"\n{BEGIN}\n[1]\n{END}\n".encode()).message


def test_a_python_without_its_standard_library_is_told():
    error = fail(b"", b"Traceback\nModuleNotFoundError: No module named 'ctypes'\n", 1)
    assert isinstance(error, RuntimeMissingError)
    assert "apt-get install python3" in error.hint


def test_a_python_that_is_not_there_is_told():
    assert isinstance(fail(b"", b"sh: python3: not found\n", 127), RuntimeMissingError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("model-sha256", TransferError),
        ("model-unreadable", ModelError),
        ("library-load", RuntimeMissingError),
        ("module-broken", RuntimeMissingError),
        ("something-new", DeviceError),
    ],
)
def test_what_the_payload_understood_becomes_an_error_of_ours(code, kind):
    error = fail(framed({"error": {"code": code, "message": "no\x1b[31m good"}}), b"", 3)
    assert type(error) is kind
    assert "\x1b" not in error.message
    assert error.details["code"] == code


@pytest.fixture(scope="module")
def answer(tmp_path_factory, library):
    from edgekit.core.hashing import sha256_file

    folder = tmp_path_factory.mktemp("answer")
    model = tiny_tflite.write(folder, tiny_tflite.dense_int8())
    numpy.zeros(16, "int8").tofile(folder / "x.raw")
    request = {"mode": "latency", "model": str(model), "model_sha256": sha256_file(model), "library": library}
    request |= {"num_threads": 1, "samples": [[str(folder / "x.raw")]], "warmup_runs": 1, "warmup_s": 0, "cpus": []}
    request |= {"warmup_max_s": 0, "min_runs": 5, "min_s": 0, "max_s": 5}
    return start(request).answer


def test_a_real_answer_becomes_a_trial(answer):
    trial = read_trial(answer, board="pi4", mode="latency", model_sha256=answer["model_sha256"])
    assert len(trial.latency_ns) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"latency_ns": []}, "not a single inference"),
        ({"latency_ns": [5, -1]}, "took no time"),
        ({"latency_ns": [5, 0]}, "took no time"),
        ({"latency_ns": [1.5]}, "whole number"),
        ({"latency_ns": "many"}, "expected a list"),
        ({"load_ns": -1}, "negative"),
        ({"mode": "memory"}, "mode"),
        ({"model_sha256": "0" * 64}, "another model"),
        ({"runtime": None}, "expected a table"),
        ({"surprise": 1}, "unknown key"),
    ],
)
def test_an_implausible_answer_is_refused(change, words, answer):
    wrong = {**copy.deepcopy(answer), **change}
    with pytest.raises(DeviceError, match=words):
        read_trial(wrong, board="pi4", mode="latency", model_sha256=answer["model_sha256"])
