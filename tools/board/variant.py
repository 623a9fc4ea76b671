"""Which Debian a board runs: its release, the width of its userland, and what it has besides."""

from __future__ import annotations

import dataclasses

#: --suite → the release of Raspberry Pi OS with the same C library and Python
SUITES = {"bullseye": "Pi OS 11", "bookworm": "Pi OS 12", "trixie": "Pi OS 13"}
#: --arch; the kernel is the 64-bit one, as 32-bit Raspberry Pi OS has it on a Pi 4: `uname -m` says aarch64 there too
ARCHITECTURES = ("arm64", "armhf")
KERNEL = "linux-image-cloud-arm64"
KERNEL_ARCHITECTURE = "arm64"
#: of a Debian that is worth the name, and the libraries that runtimes and numpy's wheels load
_PACKAGES = (
    "base-files base-passwd bash busybox-static coreutils dash debianutils diffutils findutils grep gzip hostname "
    "iproute2 libc-bin libgomp1 libstdc++6 login mawk mount netbase openssh-server openssh-sftp-server passwd procps "
    "sed tar util-linux"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One kind of image. ``extra`` are further packages of Debian; ``python``: whether there is one."""

    suite: str = "bookworm"
    architecture: str = "arm64"
    python: bool = True
    extra: tuple[str, ...] = ()

    @property
    def packages(self) -> list[str]:
        """What is installed, without what these packages need in their turn."""
        return [*_PACKAGES.split(), *(["python3"] if self.python else []), *self.extra]

    @property
    def words(self) -> tuple[str, ...]:
        """What sets it apart from the usual board, in words that a file name and a board's name can have."""
        return (
            *((self.suite,) if self.suite != "bookworm" else ()),
            *((self.architecture,) if self.architecture != "arm64" else ()),
            *(() if self.python else ("no-python",)),
            *(("extra",) if self.extra else ()),
        )

    @property
    def text(self) -> str:
        """For people."""
        python = "" if self.python else ", without Python"
        return f"Debian {self.suite} ({SUITES[self.suite]}), {self.architecture}{python}"
