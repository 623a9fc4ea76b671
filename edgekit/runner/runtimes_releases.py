"""Releases of the Python modules that can be pushed to boards, as their real wheels were found to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ModuleName = Literal["ai_edge_litert", "tflite_runtime", "onnxruntime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRelease:
    """A release of a module that has wheels for boards.

    Attributes:
        pythons: oldest and newest minor version of Python 3 with a wheel.
        glibc: by ABI, what the library in the wheel was found to need; the tag of the wheel may say otherwise.
        numpy: what it needs: oldest version, and the one that is too new.
        archive_bytes: about, of the archive, without and with numpy; for plans made before anything is downloaded.
    """

    module: ModuleName
    version: str
    pythons: tuple[int, int]
    glibc: Mapping[str, str]
    numpy: tuple[str, str]
    archive_bytes: tuple[int, int]


#: newest first. Read from the real wheels; numpy 2 makes tflite_runtime's first interpreter fail
MODULE_RELEASES = (
    *(
        ModuleRelease(
            module="ai_edge_litert",
            version=version,
            pythons=pythons,
            glibc={"aarch64": glibc, "x86_64": "2.27"},
            numpy=("1.23.2", "3"),
            archive_bytes=archive_bytes,
        )
        for version, pythons, glibc, archive_bytes in (
            ("2.3.0", (10, 14), "2.34", (5_500_000, 19_000_000)),
            ("2.1.0", (9, 13), "2.30", (7_800_000, 19_400_000)),
            ("1.4.0", (9, 12), "2.30", (8_700_000, 20_000_000)),
        )
    ),
    ModuleRelease(
        module="tflite_runtime",
        version="2.14.0",
        pythons=(8, 11),
        glibc={"aarch64": "2.27", "armv7l": "2.27", "x86_64": "2.29"},
        numpy=("1.23.2", "2"),
        archive_bytes=(2_400_000, 16_000_000),
    ),
    # for Debian 11, whose numpy 1.19 makes the first interpreter of later releases fail
    ModuleRelease(
        module="tflite_runtime",
        version="2.11.0",
        pythons=(9, 9),
        glibc={"armv7l": "2.27"},
        numpy=("1.19.2", "2"),
        archive_bytes=(1_700_000, 16_000_000),
    ),
    # what its metadata asks for besides numpy is for its tools; the runtime imports none of it
    *(
        ModuleRelease(
            module="onnxruntime",
            version=version,
            pythons=pythons,
            glibc={"aarch64": glibc, "x86_64": glibc},
            numpy=("1.21.6", "3"),
            archive_bytes=archive_bytes,
        )
        for version, pythons, glibc, archive_bytes in (
            ("1.32.0", (11, 14), "2.28", (13_000_000, 27_000_000)),
            ("1.23.2", (10, 13), "2.27", (8_000_000, 24_000_000)),
            ("1.19.2", (8, 12), "2.27", (6_000_000, 22_000_000)),
        )
    ),
)


def numpy_is_published(abi: str) -> bool:
    """Whether the package index has numpy for this ABI; for 32-bit ARM it has none, of any version or Python."""
    return abi in ("aarch64", "x86_64")
