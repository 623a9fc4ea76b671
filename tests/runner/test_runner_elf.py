"""What an ELF file says of the system it was built for."""

from __future__ import annotations

import shutil
from pathlib import Path
from platform import machine

import pytest

from edgekit.core.errors import DependencyError
from edgekit.runner.elf import Elf, read_elf


def elf(**said) -> Elf:
    return Elf(**{"machine": "aarch64", "bits": 64, "needed": (), "versions": {}, **said})


@pytest.mark.parametrize(
    ("said", "libc"),
    [
        ({"needed": ("libm.so.6", "libc.so.6")}, "glibc"),
        ({"versions": {"GLIBC": "2.34"}}, "glibc"),
        ({"loader": "/lib/ld-linux-aarch64.so.1"}, "glibc"),
        ({"loader": "/system/bin/linker64", "needed": ("libc.so",)}, "bionic"),
        ({"needed": ("liblog.so", "libm.so", "libdl.so", "libc.so")}, "bionic"),
        ({"needed": ("libc.so",), "android": True}, "bionic"),
        ({"needed": ("libc.so",)}, "musl"),
        ({"needed": ("libc.musl-aarch64.so.1",)}, "musl"),
        ({"loader": "/lib/ld-musl-aarch64.so.1", "needed": ("libc.so",)}, "musl"),
        ({}, None),
    ],
)
def test_the_c_library_that_a_file_was_built_for_is_seen(said, libc):
    assert elf(**said).libc == libc


def test_32_bit_arm_is_named_as_boards_name_it():
    assert elf(machine="arm", bits=32).abi == "armv7l"
    assert elf().abi == "aarch64"


def test_a_program_is_told_from_a_library(library):
    shell = read_elf(Path(shutil.which("sh")).resolve())
    assert (shell.program, shell.abi, shell.libc) == (True, machine(), "glibc")
    assert not read_elf(Path(library)).program


def test_a_script_is_no_program(tmp_path):
    (tmp_path / "benchmark_model").write_text("#!/bin/sh\n")
    with pytest.raises(DependencyError, match="ELF"):
        read_elf(tmp_path / "benchmark_model")
