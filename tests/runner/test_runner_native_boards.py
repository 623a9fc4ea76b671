"""The native runner's programs for ARM and Android, run: by QEMU's user mode, and on the emulated arm64 board."""

from __future__ import annotations

import base64
import json
import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_tflite
from emulated_board import Arm64Board
from models_to_run import MODELS
from native_process import program_around, start_native
from payload_process import Ended, start

from edgekit.core.errors import DependencyError
from edgekit.core.hashing import sha256_file
from edgekit.runner.answer import read_answer, read_trial
from edgekit.runner.native import sources_folder
from edgekit.runner.native_build import compile_runner
from edgekit.runner.runtimes import fetch_library

pytestmark = pytest.mark.slow

ROOTS = {"aarch64": Path("/usr/aarch64-linux-gnu"), "armv7l": Path("/usr/arm-linux-gnueabihf")}
PACKAGES = {"aarch64": "libc6-arm64-cross libstdc++6-arm64-cross", "armv7l": "libc6-armhf-cross"}
EMULATORS = {"aarch64": ["qemu-aarch64-static", "-cpu", "cortex-a72"], "armv7l": ["qemu-arm-static"]}
PI4_CORE = (
    "processor\t: {}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
    "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n"
)
#: what an Android program needs of bionic and glibc does not have by these names
SHIM = """
int *__errno_location(void);
void exit(int);
int *__errno(void) { return __errno_location(); }
void __libc_init(long *stack, void (*at_exit)(void), int (*call)(int, char **, char **), const void *const *none) {
  if (at_exit || none[0] || none[1] || none[2]) exit(99);
  exit(call((int)stack[0], (char **)(stack + 1), (char **)(stack + 2 + stack[0])));
}
"""


def emulator(abi: str, sysroot: Path) -> list[str]:
    """The command in front of a program for ``abi``, with a board's /proc and /sys beside its C library."""
    if shutil.which(EMULATORS[abi][0]) is None or not (ROOTS[abi] / "lib").is_dir():
        pytest.skip(f"no {EMULATORS[abi][0]} or no C library: apt-get install qemu-user-static {PACKAGES[abi]}")
    if not sysroot.exists():
        (sysroot / "proc").mkdir(parents=True)
        (sysroot / "lib").symlink_to(ROOTS[abi] / "lib")
        (sysroot / "proc" / "cpuinfo").write_text("".join(PI4_CORE.format(core) for core in range(4)))
        cores = sysroot / "sys" / "devices" / "system" / "cpu"
        cores.mkdir(parents=True)
        for name in ("possible", "present", "online"):
            (cores / name).write_text("0-3\n")
    return [*EMULATORS[abi], "-L", str(sysroot)]


def compiled(folder: Path, abi: str, libc: str) -> Path:
    path = folder / f"runner-{abi}-{libc}"
    compile_runner(sources_folder(), abi, libc, path)
    return path


def litert(version: str) -> str:
    try:
        return str(fetch_library(version, "aarch64").path)
    except DependencyError as error:
        pytest.skip(f"no network: {error}")


@pytest.fixture(scope="module")
def arm_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("arm"), "aarch64", "glibc")


@pytest.mark.parametrize("version", ["2.3.0", "2.1.0", "1.4.0"])
def test_an_arm64_board_computes_int8_to_the_bit_as_this_machine(version, tmp_path, job, arm_program):
    command = [*emulator("aarch64", tmp_path / "root"), arm_program]
    content, samples = MODELS["int8"]
    model = tiny_tflite.write(tmp_path, content)
    request = job(model, samples)
    here = start(request).answer
    library = str(shutil.copy(litert(version), tmp_path / "libLiteRt.so"))
    for mode in ("smoke", "latency", "memory", "cold"):
        done = start_native(command, {**request, "mode": mode, "library": library})
        assert done.status == 0, done.stderr
        trial = read_trial(done.answer, board="arm64", mode=mode, model_sha256=sha256_file(model))
        assert trial.output_sha256 == here["output_sha256"]
        assert trial.runtime.fully_delegated is True
        if mode == "smoke":
            assert done.answer["outputs"] == here["outputs"]
        if mode == "cold":
            assert trial.cold.bytes == Path(library).stat().st_size + model.stat().st_size
            assert trial.cold.left_bytes == 0 or trial.cold.reason  # the folder for tests may lie in memory


@pytest.mark.parametrize(("abi", "place"), [("aarch64", (5 << 30) - 1), ("armv7l", 3 << 30)])
def test_an_arm_board_sees_which_pages_of_files_stay_in_memory(abi, place, tmp_path):
    """Of files larger than 4 GiB too, which a 32-bit program can neither count in a long nor map as a whole.

    (The place beyond 4 GiB is for 64 bits only: QEMU 7.2 cuts the one that a 32-bit program maps.)
    """
    program = program_around(Path(__file__).parent / "cold_files.c", abi, "glibc", tmp_path / "cold")
    command = [*emulator(abi, tmp_path / "root"), str(program)]
    small, large, size = tmp_path / "small", tmp_path / "large", 5 << 30
    small.write_bytes(b"x" * 10_001)
    large.touch()
    os.truncate(large, size)

    def told() -> dict[str, Any]:
        done = subprocess.run([*command, small, large, ""], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    free = told()["cold"]
    if free["left_bytes"]:
        pytest.skip(f"the folder for tests keeps its pages: {free['reason']}")
    assert (free["dropped"], free["files"], free["bytes"]) == ("yes", 2, 10_001 + size)
    with large.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[place] == 0
        held = told()["cold"]
    assert held["dropped"] == "partly"
    assert 4096 <= held["left_bytes"] < 16 << 20
    assert held["reason"] == "the kernel keeps pages of large: another process may use it"


def test_an_arm64_board_computes_float_nearly_as_this_machine(tmp_path, job, arm_program):
    command = [*emulator("aarch64", tmp_path / "root"), arm_program]
    content, samples = MODELS["float"]
    request = job(tiny_tflite.write(tmp_path, content), samples)
    there = start_native(command, {**request, "library": litert("2.3.0")}).answer["outputs"]
    for ours, theirs in zip(start(request).answer["outputs"], there):
        values = [numpy.frombuffer(base64.b64decode(text[0]), "float32") for text in (ours, theirs)]
        numpy.testing.assert_allclose(*values, rtol=1e-5, atol=1e-6)


def test_a_profile_of_an_arm64_board_has_its_ops(tmp_path, job, arm_program):
    command = [*emulator("aarch64", tmp_path / "root"), arm_program]
    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())
    request = job(model, [[numpy.ones((1, 4), "float32")]], mode="profile", library=litert("2.3.0"))
    ops = start_native(command, request).answer["ops"]
    assert [(op["delegated"], op["node"]) for op in ops] == [(True, 0), (False, 1)]


def test_the_32_bit_arm_program_runs_and_opens_libraries(tmp_path):
    """No library with LiteRT's C API exists for 32-bit ARM Linux; this is all that can be run of it."""
    command = [*emulator("armv7l", tmp_path / "root"), compiled(tmp_path, "armv7l", "glibc")]
    assert start_native(command, {"mode": "probe", "library": "/nowhere"}).error == "library-missing"
    done = start_native(command, {"mode": "probe", "library": "/lib/libm.so.6"})
    assert done.answer["error"]["message"] == "/lib/libm.so.6 does not export LiteRT's C API"
    model = tmp_path / "model"
    model.write_bytes(b"x" * 100_001)
    request = {"mode": "smoke", "model": str(model), "model_sha256": sha256_file(model), "library": "/nowhere"}
    for mode in ("smoke", "cold"):
        once = {**request, "mode": mode, "cpus": [0], "num_threads": 1, "samples": [], "time_limit_s": 1.5}
        done = start_native(command, once)
        assert done.error == "library-missing"  # the hash was right, the cores were there, the sensors were read


@pytest.mark.parametrize("abi", ["x86_64", "aarch64"])
def test_the_android_program_runs_from_its_first_instruction(abi, tmp_path, job):
    """Against glibc under the names of bionic's libraries: its start, calls and records are tried, bionic is not."""
    program = compiled(tmp_path, abi, "bionic")
    libraries = tmp_path / "system"
    libraries.mkdir()
    source = tmp_path / "shim.c"
    source.write_text(SHIM)
    for name in ("libc.so", "libdl.so"):
        compiler = [sys.executable, "-m", "ziglang", "cc", "-target", f"{abi}-linux-gnu.2.17", "-shared", "-fPIC"]
        options = ["-O2", "-fno-sanitize=all", f"-Wl,-soname,{name}", "-o", str(libraries / name), str(source)]
        subprocess.run([*compiler, *options], check=True, capture_output=True)
    loader, before = "/lib64/ld-linux-x86-64.so.2", []
    if abi == "aarch64":
        loader, before = str(ROOTS[abi] / "lib" / "ld-linux-aarch64.so.1"), emulator(abi, tmp_path / "root")
    elif not Path(loader).exists():
        pytest.skip("this machine is not x86-64")
    command = [*before, loader, "--library-path", libraries, program]
    content, samples = MODELS["int8"]
    request = job(tiny_tflite.write(tmp_path, content), samples)
    there = {**request, "library": litert("2.3.0")} if abi == "aarch64" else request
    for mode in ("smoke", "latency", "memory", "cold", "profile"):
        done = start_native(command, {**there, "mode": mode})
        assert done.status == 0, done.stderr
        if mode == "smoke":
            assert done.answer["outputs"] == start(request).answer["outputs"]
    assert start_native(command, {**there, "cpus": [999]}).error == "cpus"


@pytest.mark.board
def test_the_emulated_board_runs_a_model_without_python(arm64_board: Arm64Board, tmp_path, job, arm_program):
    content, samples = MODELS["int8"]
    model = tiny_tflite.write(tmp_path, content)
    request = job(model, samples)
    here = start(request).answer
    there = {**request, "model": "w/model.tflite", "library": "w/libLiteRt.so"}
    there["samples"] = [[f"w/{Path(path).name}" for path in sample] for sample in request["samples"]]
    paths = [Path(path) for sample in request["samples"] for path in sample]
    board = OnBoard(arm64_board)
    board.push(arm_program, "w/runner", mode="755")
    board.push(Path(litert("2.3.0")), "w/libLiteRt.so")
    for path in (model, *paths):
        board.push(path, f"w/{path.name}")
    try:
        for mode in ("smoke", "latency", "memory", "cold"):
            done = board.run(["w/runner"], {**there, "mode": mode})
            answer = read_answer(done.stdout, done.stderr, done.status, board="emulated")
            trial = read_trial(answer, board="emulated", mode=mode, model_sha256=sha256_file(model))
            assert trial.output_sha256 == here["output_sha256"]
            assert trial.before.boot_id
            if mode == "smoke":
                assert answer["outputs"] == here["outputs"]
            if mode == "cold":
                assert (trial.cold.dropped, trial.cold.files) == ("yes", 2)
                assert trial.cold.major_faults > 0
    finally:
        board.shell("rm -rf w")


class OnBoard:
    """The emulated board by OpenSSH's own client: this test needs no Python there."""

    def __init__(self, board: Arm64Board) -> None:
        self.board = board

    def shell(self, command: str, stdin: bytes = b"") -> Ended:
        checked = ["-o", f"UserKnownHostsFile={self.board.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
        alone = ["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", str(self.board.key)]
        where = ["-p", str(self.board.port), f"{self.board.user}@{self.board.host}"]
        done = subprocess.run(["ssh", *alone, *checked, *where, command], input=stdin, capture_output=True, timeout=300)
        return Ended(done.returncode, done.stdout, done.stderr)

    def push(self, path: Path, name: str, mode: str = "644") -> None:
        done = self.shell(f"mkdir -p w && cat > {name} && chmod {mode} {name}", path.read_bytes())
        assert done.status == 0, done.stderr

    def run(self, argv: list[str], request: Any) -> Ended:
        return self.shell(" ".join(argv), json.dumps(request).encode() + b"\n")
