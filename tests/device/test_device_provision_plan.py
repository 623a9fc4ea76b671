"""Which runtime a board gets, from its facts alone: what is chosen, what is ruled out, and what helps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgekit.device.facts import from_sections
from edgekit.device.facts_parse import Python
from edgekit.device.provision_decide import decide
from edgekit.device.provision_present import Present
from edgekit.device.provision_stock import ModuleOffer, NativeOffer, Stock, Supplied
from edgekit.runner.elf import Elf
from edgekit.runner.runtimes import Offer
from edgekit.runner.runtimes_releases import MODULE_RELEASES, numpy_is_published

NEEDS = {"2.3.0": "2.34", "2.1.0": "2.30", "1.4.0": "2.30"}  # DT_VERNEED of the aarch64 wheels' libraries
LIBRARIES = tuple(
    Offer(version=version, glibc_needed=glibc, size_bytes=6_000_000, sha256=None, held="download")
    for version, glibc in NEEDS.items()
)
NATIVE = NativeOffer(path=Path("/somewhere/runner"), size_bytes=48_000, sha256="ab" * 32)


def facts(
    abi="aarch64", glibc="2.36", python=(3, 11, 2), libc="glibc", features=("fp", "asimd", "crc32"), cpu="Cortex-A72"
):
    found = Python(path="/usr/bin/python3", version=python, bits=64) if python else None
    return dataclasses.replace(
        from_sections({}),
        abi=abi,
        libc=libc,
        libc_version=glibc,
        python=found,
        cpu_features=features,
        cpu_model=cpu,
    )


def stock_for(board, **more):
    """What there is for a board, as :func:`take_stock` would find it with an empty cache."""
    modules = tuple(
        ModuleOffer(
            release=release,
            numpy_held=None,
            numpy_published=numpy_is_published(board.abi),
            held=False,
            bytes_alone=release.archive_bytes[0],
            bytes_with_numpy=release.archive_bytes[1],
        )
        for release in MODULE_RELEASES
        if board.python
        and board.abi in release.glibc
        and release.pythons[0] <= board.python.version[1] <= release.pythons[1]
    )
    libraries = LIBRARIES if board.abi in ("aarch64", "x86_64") else ()
    return Stock(**{"libraries": libraries, "modules": modules, "native": None if board.python else NATIVE, **more})


def plan(board, modules=None, **options):
    more = {key: options.pop(key) for key in ("library", "benchmark_model", "native") if key in options}
    return decide("pi4", board, stock_for(board, **more), Present(files={}, modules=modules or {}), **options)


def of(plan):
    return [(choice.runner, choice.origin, choice.name, choice.version) for choice in plan.choices]


def supplied(abi="aarch64", libc="bionic", glibc=None, name="libLiteRt.so"):
    needed = {"bionic": ("libc.so", "libm.so", "libdl.so"), "glibc": ("libc.so.6",)}[libc]
    machine = "arm" if abi == "armv7l" else abi
    elf = Elf(machine=machine, bits=64, needed=needed, versions={"GLIBC": glibc} if glibc else {})
    return Supplied(path=Path("/home/me") / name, elf=elf, size_bytes=5_000_000, sha256="cd" * 32, version="supplied")


# ---------------------------------------------------------------------------------------------------------- libraries


@pytest.mark.parametrize(
    ("glibc", "first", "out"),
    [
        ("2.28", None, ["LiteRT 2.3.0", "LiteRT 2.1.0", "LiteRT 1.4.0"]),
        ("2.31", "2.1.0", ["LiteRT 2.3.0"]),
        ("2.36", "2.3.0", []),
        ("2.41", "2.3.0", []),
    ],
)
def test_the_newest_library_that_the_boards_glibc_loads_is_chosen(glibc, first, out):
    made = plan(facts(glibc=glibc), wanted="litert")
    assert (made.chosen.version if made.chosen else None) == first
    assert [each.what for each in made.ruled_out] == out
    assert all(f"the board has {glibc}" in each.reason for each in made.ruled_out)


def test_what_is_chosen_is_explained_in_sentences_with_sizes():
    chosen = plan(facts()).chosen
    assert [item.what for item in chosen.items] == ["runner", "library"]
    assert any("needs glibc 2.34" in sentence and "2.36" in sentence for sentence in chosen.why)
    assert chosen.downloads == ("ai-edge-litert 2.3.0",)
    assert 6_000_000 < chosen.bytes_to_send < 6_200_000
    assert not chosen.exact


def test_a_core_without_lse_is_told_that_an_illegal_instruction_rejects_a_release():
    assert any("Cortex-A72 has no LSE" in why and "SIGILL" in why for why in plan(facts()).chosen.why)
    newer = plan(facts(features=("fp", "asimd", "atomics"), cpu="Cortex-A76"))
    assert not any("SIGILL" in why for why in newer.chosen.why)


def test_a_board_without_python_gets_the_native_runner():
    made = plan(facts(python=None))
    assert of(made)[0] == ("native", "published", "LiteRT C API", "2.3.0")
    assert made.chosen.python is None
    assert "there is no Python 3 on the board" in made.chosen.why[0]


def test_a_python_that_is_too_old_counts_as_none():
    board = facts(python=(3, 6, 9), glibc="2.31")
    made = plan(board, native=NATIVE)
    assert of(made)[0] == ("native", "published", "LiteRT C API", "2.1.0")
    assert "3.6.9 is too old" in made.chosen.why[0]


def test_without_python_and_without_a_native_runner_both_ways_out_are_named():
    missing = NativeOffer(path=None, problem="it must be built", hint="`pip install ziglang`")
    made = plan(facts(python=None), native=missing)
    assert made.choices == ()
    assert "apt-get install python3" in made.hint
    assert "pip install ziglang" in made.hint
    assert "it must be built" in made.refusal


def test_the_native_runner_can_be_asked_for():
    assert {choice.runner for choice in plan(facts(), native=NATIVE, wanted="native").choices} == {"native"}


# ------------------------------------------------------------------------------------------------------------ modules


def test_a_32_bit_board_with_numpy_1_gets_tflite_runtime_as_a_wheel():
    made = plan(facts(abi="armv7l"), modules={"numpy": "1.24.2"})
    assert of(made) == [("payload", "wheels", "tflite_runtime", "2.14.0")]
    assert not made.chosen.with_numpy
    assert any("numpy 1.24.2 is used" in why for why in made.chosen.why)
    assert any("none is published for armv7l" in out.reason for out in made.ruled_out)


def test_a_32_bit_board_without_numpy_is_told_the_package_that_helps():
    made = plan(facts(abi="armv7l"))
    assert made.choices == ()
    assert "sudo apt-get install python3-numpy" in made.hint
    assert "numpy is not published for armv7l" in made.refusal


def test_a_numpy_wheel_that_the_user_put_into_the_cache_goes_to_a_32_bit_board():
    board = facts(abi="armv7l")
    modules = tuple(
        dataclasses.replace(offer, numpy_held="numpy-1.26.4-cp311-cp311-linux_armv7l.whl")
        for offer in stock_for(board).modules
    )
    made = decide("pi4", board, Stock(modules=modules), Present(files={}, modules={}))
    assert made.chosen.with_numpy


def test_numpy_2_on_a_32_bit_board_is_too_new_and_said_so():
    made = plan(facts(abi="armv7l"), modules={"numpy": "2.1.0"})
    assert made.choices == ()
    assert "numpy 2.1.0 is too new" in made.refusal


def test_32_bit_bullseye_gets_the_release_that_its_old_numpy_serves():
    made = plan(facts(abi="armv7l", glibc="2.31", python=(3, 9, 2)), modules={"numpy": "1.19.5"})
    assert of(made) == [("payload", "wheels", "tflite_runtime", "2.11.0")]
    assert "numpy 1.19.5 is too old" in next(out.reason for out in made.ruled_out if "2.14.0" in out.what)


def test_32_bit_trixie_is_told_what_helps():
    made = plan(facts(abi="armv7l", glibc="2.41", python=(3, 13, 5)), modules={"numpy": "2.2.4"})
    assert made.choices == ()
    assert "3.8 to 3.11, not for 3.13" in made.hint
    assert "--library" in made.hint
    assert "no wheel for armv7l with Python 3.13" in made.refusal


def test_a_32_bit_board_runs_a_library_that_the_user_has_built():
    own = supplied(abi="armv7l", libc="glibc", glibc="2.28")
    assert of(plan(facts(abi="armv7l"), library=own))[0] == ("payload", "supplied", "LiteRT C API", "supplied")
    bare = plan(facts(abi="armv7l", python=None), library=own)
    assert of(bare)[0] == ("native", "supplied", "LiteRT C API", "supplied")


@pytest.mark.parametrize(
    ("python", "glibc", "version"),
    [((3, 11, 2), "2.36", "2.3.0"), ((3, 13, 5), "2.41", "2.3.0"), ((3, 9, 2), "2.31", "2.1.0")],
)
def test_models_that_remember_get_the_module_as_wheels(python, glibc, version):
    made = plan(facts(python=python, glibc=glibc), stateful=True)
    assert of(made)[0] == ("payload", "wheels", "ai_edge_litert", version)
    assert made.chosen.with_numpy
    assert any("stateful ops" in out.reason for out in made.ruled_out)


def test_a_module_that_the_board_has_is_used_before_one_is_pushed():
    made = plan(facts(), modules={"ai_edge_litert": "2.1.0", "numpy": "2.2.0"}, wanted="ai_edge_litert")
    assert of(made)[0] == ("payload", "board", "ai_edge_litert", "2.1.0")


def test_an_archive_that_is_on_the_board_is_not_counted_again():
    board = facts()
    stock = stock_for(board)
    there = dataclasses.replace(stock.modules[0], held=True, digests=("12" * 32, "34" * 32))
    stock = dataclasses.replace(stock, modules=(there,))
    before = decide("pi4", board, stock, Present(files={}, modules={}), wanted="ai_edge_litert")
    present = Present(files={"runtime/343434343434/packages": None}, modules={})
    after = decide("pi4", board, stock, present, wanted="ai_edge_litert")
    assert before.chosen.bytes_to_send - after.chosen.bytes_to_send == there.bytes_with_numpy


# ---------------------------------------------------------------------------------------------------- the user's files


def test_f32_a_library_for_another_architecture_is_refused_before_anything_is_sent():
    made = plan(facts(), library=supplied(abi="armv7l", libc="glibc"))
    assert [choice for choice in made.choices if choice.origin == "supplied"] == []
    assert "built for armv7l, the board runs aarch64" in made.refusal


def test_f32_a_library_for_another_libc_is_refused_before_anything_is_sent():
    made = plan(facts(), library=supplied(libc="bionic"), wanted="litert")
    assert made.choices == ()
    assert "built for bionic, the board has glibc" in made.refusal


def test_f32_a_library_for_a_newer_glibc_is_refused_before_anything_is_sent():
    made = plan(facts(glibc="2.31"), library=supplied(libc="glibc", glibc="2.38"), wanted="litert")
    assert made.choices == ()
    assert "it needs glibc 2.38, the board has 2.31" in made.refusal


def test_an_android_board_is_told_where_its_library_comes_from():
    phone = facts(libc="bionic", glibc=None, python=None)
    made = plan(phone)
    assert made.choices == ()
    assert "com.google.ai.edge.litert" in made.hint
    assert of(plan(phone, library=supplied()))[0][:2] == ("native", "supplied")
    termux = facts(libc="bionic", glibc=None, python=(3, 12, 1))
    assert of(plan(termux, library=supplied()))[0][:2] == ("payload", "supplied")


def test_benchmark_model_is_what_the_user_supplies_or_nothing():
    phone = facts(libc="bionic", glibc=None, python=None)
    program = supplied(name="benchmark_model")
    assert of(plan(phone, benchmark_model=program)) == [("benchmark_model", "supplied", "benchmark_model", "supplied")]
    assert plan(facts(), wanted="benchmark_model").choices == ()
    wrong = plan(facts(abi="x86_64"), benchmark_model=program, wanted="benchmark_model")
    assert "built for aarch64, the board runs x86_64" in wrong.refusal


@pytest.mark.parametrize(("abi", "libc"), [("aarch64", "musl"), ("riscv64", "glibc"), ("armv6l", "glibc")])
def test_boards_that_nothing_is_published_for_are_told(abi, libc):
    made = plan(facts(abi=abi, libc=libc))
    assert [choice for choice in made.choices if choice.origin == "published"] == []
    assert made.choices != () or "--library" in made.hint
