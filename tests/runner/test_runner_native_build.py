"""Building the native runner: what the programs need of a board, the same bytes everywhere, and named failures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from platform import machine

import pytest
from native_process import compile_checked, start_native

from edgekit.core.errors import DependencyError, RuntimeMissingError
from edgekit.core.hashing import sha256_file
from edgekit.runner import native, native_build
from edgekit.runner.elf import as_numbers, read_elf
from edgekit.runner.native import native_runner, sources_folder
from edgekit.runner.native_build import TARGETS, compile_runner, source_files, source_sha256

ROOT = Path(__file__).resolve().parents[2]
MACHINES = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "arm"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """The runner for every board, as ``tools/runner/build.py`` makes it for the wheel."""
    folder = tmp_path_factory.mktemp("programs")
    done = subprocess.run([sys.executable, ROOT / "tools/runner/build.py", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {target: folder / f"runner-{'-'.join(target)}" for target in TARGETS}
    assert all(f"{sha256_file(path)} " in done.stdout for path in found.values())
    return found


def dynamic(path: Path) -> tuple[str, dict[str, list[str]], set[str], list[int]]:
    """Interpreter, dynamic tags, relocations and alignments of an ELF program."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as stream:
        elf = ELFFile(stream)
        segments = list(elf.iter_segments())
        interpreter = next(s.get_interp_name() for s in segments if s.header.p_type == "PT_INTERP")
        aligned = [s.header.p_align for s in segments if s.header.p_type == "PT_LOAD"]
        tags: dict[str, list[str]] = {}
        for tag in elf.get_section_by_name(".dynamic").iter_tags():
            tags.setdefault(tag.entry.d_tag, []).append(str(getattr(tag, "needed", tag.entry.d_val)))
        sections = [s for s in elf.iter_sections() if s.header.sh_type in ("SHT_RELA", "SHT_REL")]
        kinds = {r["r_info_type"] for section in sections for r in section.iter_relocations()}
        assert elf.header.e_type == "ET_DYN"  # position independent: Android starts nothing else
        return interpreter, tags, {str(kind) for kind in kinds}, aligned


@pytest.mark.slow
def test_every_program_is_small_and_for_its_machine(programs):
    for (abi, _libc), path in programs.items():
        elf = read_elf(path)
        assert (elf.machine, elf.bits) == (MACHINES[abi], 32 if abi == "armv7l" else 64)
        assert path.stat().st_size < 64 << 10


@pytest.mark.slow
def test_no_linux_program_needs_a_glibc_newer_than_2_17(programs):
    for (_abi, libc), path in programs.items():
        elf = read_elf(path)
        if libc == "glibc":
            assert as_numbers(elf.versions["GLIBC"]) <= (2, 17)
            assert set(elf.needed) <= {"libc.so.6", "libdl.so.2", "libpthread.so.0", "ld-linux-armhf.so.3"}


@pytest.mark.slow
def test_the_android_programs_are_what_androids_loader_takes(programs):
    for (_abi, libc), path in programs.items():
        if libc != "bionic":
            continue
        interpreter, tags, relocations, aligned = dynamic(path)
        assert interpreter == "/system/bin/linker64"
        assert tags["DT_NEEDED"] == ["libc.so", "libdl.so"]
        assert "DT_VERNEED" not in tags
        assert not {"DT_TEXTREL", "DT_RPATH", "DT_RUNPATH"} & tags.keys()
        assert all(alignment % 0x4000 == 0 for alignment in aligned)  # phones with pages of 16 KiB
        copies = {"5" if "x86_64" in path.name else "1024"}  # R_…_COPY: bionic refuses it
        assert not copies & relocations


@pytest.mark.slow
def test_two_builds_in_different_folders_are_the_same_to_the_byte(programs, tmp_path):
    for number, (abi, libc) in enumerate((("aarch64", "glibc"), ("aarch64", "bionic"))):
        sources = tmp_path / f"another folder {number}" / "sources"
        shutil.copytree(sources_folder(), sources, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        again = tmp_path / f"of another name {number}"
        compile_runner(sources, abi, libc, again)
        assert sha256_file(again) == sha256_file(programs[abi, libc])


@pytest.mark.slow
def test_the_sources_of_a_program_do_not_name_the_place_of_its_build(programs):
    for path in programs.values():
        content = path.read_bytes()
        assert str(ROOT).encode() not in content
        assert b"/tmp/" not in content


@pytest.mark.slow
def test_a_static_program_is_refused_by_the_compiler(tmp_path):
    """Why the runner is linked dynamically: zig has no static glibc, and musl's dlopen refuses in a static program."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(native_build, "_PROGRAM", ("-static",))
        with pytest.raises(native_build.BuildError, match="requires dynamic linking"):
            compile_runner(sources_folder(), machine(), "glibc", tmp_path / "program")


@pytest.mark.slow
def test_the_whole_runner_does_nothing_undefined(tmp_path, job, library):
    import numpy
    import tiny_tflite

    if shutil.which("gcc") is None:
        pytest.skip("no gcc: apt-get install gcc")
    program = ["env", "ASAN_OPTIONS=detect_leaks=0", str(compile_checked(tmp_path / "checked"))]
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())
    samples = [[numpy.full((1, 4), value, "float32")] for value in (1, 2, 3)]
    cache = {"weight_cache": str(tmp_path / "cache")}
    for changes in ({}, {"mode": "latency"}, {"mode": "memory"}, {"mode": "profile"}, {"mode": "cold"}, cache):
        done = start_native(program, job(model, samples, **changes))
        assert done.status == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    wrong = [{"samples": [["/nowhere"]]}, {"cpus": [-1]}, {"model_sha256": ""}, {"kernels": "é" * 5000}, {"mode": "x"}]
    for changes in wrong:
        done = start_native(program, {**job(model, samples), **changes})
        assert done.status == 3, done.stderr.decode("utf-8", "replace")[-3000:]


def test_a_file_of_sources_has_one_job_and_few_lines():
    for path in source_files(sources_folder()):
        lines = path.read_text().splitlines()
        assert len(lines) <= 400, path
        assert lines[0].startswith("/* "), path
        assert max(map(len, lines)) <= 120, path


def test_no_header_of_a_c_library_is_included():
    free = {"stdarg.h", "stdbool.h", "stddef.h", "stdint.h"}  # the compiler's own
    for path in source_files(sources_folder()):
        assert set(re.findall(r"#include <(.*)>", path.read_text())) <= free


def test_what_is_declared_for_android_is_what_the_stubs_name():
    declared = set(re.findall(r"(\w+)\([^()]*(?:\([^()]*\)[^()]*)*\)[^;{]*;", _declarations()))
    stubs = set(re.findall(r"STUB\((\w+)\)", (sources_folder() / "android_stubs.c").read_text())) - {"name"}
    assert {name for name in declared if not name.startswith("__attribute")} - stubs <= {"__errno_location"}


def _declarations() -> str:
    text = (sources_folder() / "system.h").read_text()
    text = re.sub(r"/\*.*?\*/|__attribute__\(\(.*?\)\)(?=;)", "", text, flags=re.DOTALL)
    return re.sub(r"void \(\*signal\(.*", "int signal(int);", text)


# --------------------------------------------------------------------------------------------- where the runner is from


def test_a_runner_is_built_once_then_found_and_built_again_where_it_is_damaged(monkeypatch):
    first = native_runner(machine(), "glibc")
    assert sha256_file(first.path) == first.sha256
    with monkeypatch.context() as changed:
        changed.setattr(native, "compile_runner", None)  # a second build would fail
        assert native_runner(machine(), "glibc") == first
    first.path.write_bytes(first.path.read_bytes()[:1000])
    assert native_runner(machine(), "glibc") == first
    assert sha256_file(first.path) == first.sha256
    assert start_native([first.path], {"mode": "probe", "library": "/nowhere"}).error == "library-missing"


def test_a_runner_of_other_sources_is_another_runner(tmp_path, monkeypatch):
    sources = tmp_path / "runner"
    shutil.copytree(sources_folder(), sources)
    before = source_sha256(sources)
    (sources / "build.py").write_text("# not a part of it")
    assert source_sha256(sources) == before
    (sources / "main.c").write_text((sources / "main.c").read_text() + "\n")
    assert source_sha256(sources) != before


def test_without_the_compiler_the_command_that_brings_it_is_named(monkeypatch):
    monkeypatch.setattr(native, "has_compiler", lambda: False)
    with pytest.raises(DependencyError, match="zig's C compiler is not installed") as caught:
        native_runner("aarch64", "glibc")
    assert f"pip install '{native_build.COMPILER}'" in caught.value.hint


@pytest.mark.slow
def test_a_failure_of_the_compiler_is_told_in_its_words(tmp_path, monkeypatch):
    sources = tmp_path / "runner"
    sources.mkdir()
    (sources / "main.c").write_text("int main(void) { return nothing; }\n")
    monkeypatch.setattr(native, "sources_folder", lambda: sources)
    with pytest.raises(DependencyError, match=r"main\.c:1:25: error: .*'nothing'"):
        native_runner(machine(), "glibc")


@pytest.mark.parametrize(("abi", "libc"), [("armv7l", "bionic"), ("riscv64", "glibc"), ("aarch64", "musl")])
def test_a_board_that_no_runner_exists_for_is_told(abi, libc):
    with pytest.raises(RuntimeMissingError, match=f"no native runner for {abi} with {libc}") as caught:
        native_runner(abi, libc)
    assert "aarch64 with glibc" in caught.value.hint


@pytest.mark.slow
def test_the_wheel_ships_the_programs_and_finds_them(tmp_path):
    """A wheel, unpacked elsewhere: no compiler is needed there."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", f"-w{tmp_path}"]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    wheel = next(tmp_path.glob("edgekit-*.whl"))
    assert wheel.name.endswith("-py3-none-any.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    script = (
        "import json, sys\n"
        f"sys.path.insert(0, {str(installed)!r})\n"
        "from edgekit.runner import native\n"
        "native.has_compiler = lambda: False\n"
        "for abi, libc in native.TARGETS:\n"
        "    print(json.dumps([str(native.native_runner(abi, libc).path), native.native_runner(abi, libc).sha256]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(TARGETS)
    for path, sha256 in found:
        assert Path(path).is_relative_to(installed / "edgekit" / "_native")
        assert sha256_file(Path(path)) == sha256
    names = {path.name for path in (installed / "edgekit" / "_native").iterdir()}
    assert {path.name for path in source_files(sources_folder())} <= names
    assert not any(name.endswith(".py") for name in names)


def test_a_wheel_built_without_the_compiler_has_the_sources_and_says_so(tmp_path):
    script = (
        "import sys; sys.modules['ziglang'] = None; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "this wheel has the native runner as sources only" in done.stderr + done.stdout
    with zipfile.ZipFile(next(tmp_path.glob("edgekit-*.whl"))) as archive:
        names = {Path(name).name for name in archive.namelist() if name.startswith("edgekit/_native/")}
    assert names == {path.name for path in source_files(sources_folder())}
