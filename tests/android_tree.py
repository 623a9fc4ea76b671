"""A file tree as Android has it, made of this machine's programs: no glibc where programs look for it.

The programs are real (mksh and toybox, as on Android; bash, dash and GNU's, as in Termux), and their interpreter is
``/system/bin/linker64``. That is glibc's here and bionic's on a phone; so any other program of this machine fails there
as it does on a phone: its own interpreter is not found.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

LINKER = b"/system/bin/linker64"
DATA = Path(__file__).parent / "data" / "android"
#: bionic knows its users without files
USERS = {"root": 0, "shell": 2000, "u0_a123": 10123}
PROPERTIES = {
    "ro.product.model": "Pixel 6",
    "ro.product.cpu.abi": "x86_64",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.soc.model": "Tensor",
}
#: Android's toybox has them, Debian's lacks them
_BESIDE_TOYBOX = ("tr", "dd", "expr")

_GETPROP = """\
#!/system/bin/sh
while read -r key value; do
  case $# in 0) echo "[$key]: [$value]" ;; *) [ "$key" = "$1" ] && echo "$value" && exit ;; esac
done < /system/etc/properties
[ $# = 0 ] || echo
"""
_UNAME = '#!/system/bin/sh\ncase "$1" in -o) echo Android ;; *) exec /system/bin/toybox uname "$@" ;; esac\n'
_DUMPSYS = """\
#!/system/bin/sh
[ -r "/system/etc/dumpsys-$1" ] || { echo "Can't find service: $1"; exit 0; }
exec cat "/system/etc/dumpsys-$1"
"""
_CMD = """\
#!/system/bin/sh
case "$*" in
  "power set-fixed-performance-mode-enabled "*) echo "$3" > /data/local/tmp/.fixed-performance ;;
  "power help") echo "  set-fixed-performance-mode-enabled [true|false]" ;;
  *) echo "cmd: Can't find service: $1" >&2; exit 20 ;;
esac
"""


def require() -> None:
    """Skips where the programs are missing."""
    for program, package in (("mksh", "mksh"), ("toybox", "toybox")):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here: apt-get install {package}")


def build(root: Path) -> None:
    """Android's own part: ``/system``, ``/data/local/tmp``, and where the kernel's file systems go."""
    for folder in ("system/bin", "system/lib64", "system/etc", "data/local/tmp", "proc", "sys", "dev", "sdcard"):
        (root / folder).mkdir(parents=True)
    (root / "etc").symlink_to("system/etc")
    (root / "system/etc/ld.so.conf").write_text("/system/lib64\n")
    for name, row in (("passwd", "{0}:x:{1}:{1}::/:/system/bin/sh\n"), ("group", "{0}:x:{1}:\n")):
        (root / "system/etc" / name).write_text("".join(row.format(*user) for user in USERS.items()))
    install(root, "mksh", root / "system/bin/sh")
    install(root, "toybox", root / "system/bin/toybox")
    for applet in subprocess.run(["toybox"], capture_output=True, text=True, check=True).stdout.split():
        if applet not in ("uname", *_BESIDE_TOYBOX):
            (root / "system/bin" / applet).symlink_to("toybox")
    for program in _BESIDE_TOYBOX:
        install(root, program, root / "system/bin" / program)
    for name, script in (("getprop", _GETPROP), ("uname", _UNAME), ("dumpsys", _DUMPSYS), ("cmd", _CMD)):
        write_program(root / "system/bin" / name, script)
    (root / "system/etc/properties").write_text("".join(f"{key} {value}\n" for key, value in PROPERTIES.items()))
    shutil.copy(DATA / "thermalservice-galaxy-a52-android-12.txt", root / "system/etc/dumpsys-thermalservice")
    shutil.copy(DATA / "battery-galaxy.txt", root / "system/etc/dumpsys-battery")


def finish(root: Path) -> None:
    """After the last :func:`install`: the linker's list of libraries."""
    subprocess.run(["/sbin/ldconfig", "-r", str(root)], check=True, capture_output=True)


def install(root: Path, program: str, place: Path) -> None:
    """Copies a program of this machine with its libraries; the copy's interpreter is Android's."""
    source = shutil.which(program)
    assert source is not None, f"no {program} here"
    content = Path(source).read_bytes()
    needed = subprocess.run(["ldd", source], capture_output=True, text=True, check=True).stdout
    linker = re.search(r"^\s*(/\S+) \(0x", needed, flags=re.MULTILINE)
    assert linker is not None
    there = linker[1].encode()
    place.write_bytes(content.replace(there + b"\0", LINKER.ljust(len(there), b"\0") + b"\0", 1))
    place.chmod(0o755)
    for library in (*re.findall(r"=> (/\S+) \(0x", needed), linker[1]):
        copy = root / "system/lib64" / Path(library).name
        if not copy.exists():
            shutil.copy(library, copy)
    shutil.copy(linker[1], root / LINKER.decode().lstrip("/"))


def write_program(place: Path, script: str) -> None:
    """A script that can be run."""
    place.write_text(script)
    place.chmod(0o755)
