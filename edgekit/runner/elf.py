"""What a library or a program needs of a system, read from its ELF file: the one door to pyelftools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import DependencyError

_MACHINES = {"EM_AARCH64": "aarch64", "EM_X86_64": "x86_64", "EM_ARM": "arm", "EM_386": "i686", "EM_RISCV": "riscv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """The needs of a shared library or a program.

    Attributes:
        machine: ``aarch64``, ``x86_64``, ``arm``, …
        bits: 32 or 64.
        needed: the libraries that the loader must find (DT_NEEDED).
        versions: highest version needed of each set of symbols (DT_VERNEED): ``{"GLIBC": "2.34", …}``.
        loader: of a program (PT_INTERP); None: a library, or a static program.
        android: the file says that Android's tools made it.
        program: it can be started.
    """

    machine: str
    bits: int
    needed: tuple[str, ...]
    versions: dict[str, str]
    loader: str | None = None
    android: bool = False
    program: bool = False

    @property
    def abi(self) -> str:
        """As facts and profiles name it; what is built for 32-bit ARM counts as ``armv7l``."""
        return "armv7l" if self.machine == "arm" else self.machine

    @property
    def libc(self) -> str | None:
        """``glibc``, ``musl`` or ``bionic``; None: it needs none (static)."""
        loader = self.loader or ""
        if self.android or loader.startswith(("/system/bin/linker", "/apex/")):
            return "bionic"
        if "ld-musl" in loader or any(name.startswith("libc.musl") for name in self.needed):
            return "musl"
        if "GLIBC" in self.versions or "libc.so.6" in self.needed or "ld-linux" in loader:
            return "glibc"
        if "libc.so" in self.needed:  # musl has one library, bionic has these beside it
            return "bionic" if {"libm.so", "libdl.so", "liblog.so"} & set(self.needed) else "musl"
        return None


def read_elf(path: Path) -> Elf:
    """Reads machine, needed libraries and needed symbol versions.

    Raises:
        DependencyError: not a whole ELF shared library or program.
    """
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            dynamic = elf.get_section_by_name(".dynamic")
            loader = next((s.get_interp_name() for s in elf.iter_segments() if s["p_type"] == "PT_INTERP"), None)
            program = loader is not None or str(elf["e_type"]) == "ET_EXEC"
            if dynamic is None and not program:
                raise DependencyError(f"{path} is not a shared library", hint=f"delete it: `rm {path}`")
            tags = dynamic.iter_tags() if dynamic is not None else ()
            machine = str(elf["e_machine"])
            return Elf(
                machine=_MACHINES.get(machine, machine.removeprefix("EM_").lower()),
                bits=int(elf.elfclass),
                needed=tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
                versions=_highest(elf.get_section_by_name(".gnu.version_r")),
                loader=loader,
                android=elf.get_section_by_name(".note.android.ident") is not None,
                program=program,
            )
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from error
    except (ELFError, ValueError, KeyError, IndexError, AttributeError, TypeError, UnicodeError) as error:
        # pyelftools lets its parser's own exceptions through where a file ends too early
        raise DependencyError(
            f"{path} is not a whole ELF file: {error or type(error).__name__}", hint=f"delete it: `rm {path}`"
        ) from error


def as_numbers(version: str) -> tuple[int, ...]:
    """``2.34`` → ``(2, 34)``; parts that are not numbers count as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def _highest(section: Any) -> dict[str, str]:
    highest: dict[str, str] = {}
    for _, auxiliaries in section.iter_versions() if section is not None else ():
        for auxiliary in auxiliaries:
            name, _, version = auxiliary.name.partition("_")
            if version[:1].isdigit() and as_numbers(version) > as_numbers(highest.get(name, "")):
                highest[name] = version
    return highest


def loads(needed: str | None, available: str | None) -> bool:
    """Whether what needs one version of a library loads where there is another; an unknown one is taken for enough."""
    return needed is None or available is None or as_numbers(available) >= as_numbers(needed)
