"""Sets up everything in ``.venv`` and runs one job: ``demo`` or ``test``. Needs Python 3.11+ and nothing else.

    python3 tools/dev.py demo     the whole path on the shipped example and this machine
    python3 tools/dev.py test     the tests (as root, on Debian, it installs the programs that they need)

A second run finds the set-up done. Versions are pinned in tools/constraints.txt.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "tools" / "constraints.txt"
SUPPORTED = ((3, 11), (3, 13))
#: program → Debian package, for the tests that need it
PROGRAMS = {
    "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1": "libstdc++6-arm64-cross",  # and with it the C library
    "/usr/arm-linux-gnueabihf/lib/ld-linux-armhf.so.3": "libc6-armhf-cross",
    "adb": "adb",
    "busybox": "busybox",
    "chromium": "chromium",
    "dtc": "device-tree-compiler",
    "gcc": "gcc",
    "initdb": "postgresql",
    "mke2fs": "e2fsprogs",
    "mksh": "mksh",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-img": "qemu-utils",
    "qemu-system-aarch64": "qemu-system-arm",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "toybox": "toybox",
}


def main() -> None:
    """Dispatches on the job's name."""
    jobs = {"demo": demo, "test": test, "setup": lambda _: set_up("dev")}
    if len(sys.argv) < 2 or sys.argv[1] not in jobs:
        sys.exit(__doc__)
    jobs[sys.argv[1]](sys.argv[2:])


def demo(arguments: list[str]) -> None:
    """``edgekit demo`` in an environment of its own."""
    set_up("user")
    os.execv(PYTHON, [str(PYTHON), "-m", "edgekit", "demo", *arguments])


def test(arguments: list[str]) -> None:
    """The tests, except those marked slow; further arguments go to pytest."""
    install_programs()
    set_up("dev")
    workers = str(min(4, os.cpu_count() or 1))
    options = arguments or ["-m", "not slow", "-n", workers, "--dist", "loadfile", "--durations=15"]
    os.chdir(ROOT)
    os.execv(PYTHON, [str(PYTHON), "-m", "pytest", *options])


def set_up(level: str) -> None:
    """Creates or completes ``.venv``: level ``user`` is edgekit with its extras, ``dev`` has the test tools too."""
    version = sys.version_info[:2]
    if not SUPPORTED[0] <= version <= SUPPORTED[1]:
        sys.exit(f"this is Python {version[0]}.{version[1]}; TensorFlow 2.21 needs Python 3.11, 3.12 or 3.13")
    stamp = VENV / f".edgekit-{level}"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    if not PYTHON.exists():
        create_environment()
    print(f"setting up {VENV} (a few minutes the first time: TensorFlow is 570 MB)", flush=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-c", str(CONSTRAINTS)]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)  # for --group
    group = ["--group", f"{ROOT / 'pyproject.toml'}:dev"] if level == "dev" else []
    subprocess.run([*pip, "--editable", f"{ROOT}[optimize]", *group], check=True)
    stamp.write_text(wanted)


def create_environment() -> None:
    """``python -m venv``; where Debian left ensurepip out, says or does what brings it."""
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if not apt_install(package):
        sys.exit(f"python -m venv failed:\n{made.stdout}{made.stderr}\non Debian:  apt-get install {package}")
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)


def install_programs() -> None:
    """Installs what the tests need as root on Debian; otherwise names it, and those tests are skipped."""
    folders = [os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    path = os.pathsep.join(folders)
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program, path=path) is None]
    if missing and not apt_install(*missing):
        print(f"tests that need {', '.join(missing)} will be skipped; on Debian:  apt-get install {' '.join(missing)}")


def apt_install(*packages: str) -> bool:
    """Whether the Debian packages could be installed; their services are not started."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=False)
        command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages]
        return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode == 0
    finally:
        if ours:
            policy.unlink()


if __name__ == "__main__":
    main()
