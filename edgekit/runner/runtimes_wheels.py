"""A Python module for a board: its wheels from the cache or from pip, as one archive."""

from __future__ import annotations

from pathlib import Path

from edgekit.core import files, places
from edgekit.core.errors import DependencyError
from edgekit.core.events import EventSink, ignore, task
from edgekit.runner.elf import as_numbers
from edgekit.runner.runtimes_archive import ModuleArchive, make_archive, whole_archive
from edgekit.runner.runtimes_pip import WheelName, download_wheel, held_wheel, platform_tags
from edgekit.runner.runtimes_releases import ModuleRelease

_PACKAGES: dict[str, str] = {
    "ai_edge_litert": "ai-edge-litert",
    "tflite_runtime": "tflite-runtime",
    "onnxruntime": "onnxruntime",
}
#: tagged for a newer glibc than they need: 2.27 on ARM
_SAY_TOO_MUCH = {"tflite_runtime": ("manylinux_2_34",)}


def wheels_folder(abi: str, python: tuple[int, ...]) -> Path:
    """Where wheels for one ABI and one Python are kept; those put there by hand are used first."""
    return places.cache_dir() / "runtimes" / abi / f"cp{python[0]}{python[1]}"


def held_numpy(abi: str, python: tuple[int, ...], release: ModuleRelease) -> Path | None:
    """A numpy wheel in the cache that this module takes."""
    oldest, too_new = (as_numbers(version) for version in release.numpy)

    def accepts(name: WheelName) -> bool:
        return name.fits(abi, python) and oldest <= as_numbers(name.version) < too_new

    return held_wheel(wheels_folder(abi, python), "numpy", accepts)


def held_module(release: ModuleRelease, abi: str, python: tuple[int, ...]) -> Path | None:
    """The module's wheel in the cache."""
    return held_wheel(
        wheels_folder(abi, python),
        _PACKAGES[release.module],
        lambda name: name.version == release.version and name.fits(abi, python),
    )


def fetch_module(
    release: ModuleRelease,
    *,
    abi: str,
    python: tuple[int, ...],
    libc_version: str | None,
    with_numpy: bool,
    on_event: EventSink = ignore,
) -> ModuleArchive:
    """The archive of a module for one ABI and Python: from the cache, or made of wheels that pip downloads.

    Raises:
        DependencyError: a wheel cannot be downloaded, or is not what its own RECORD says.
    """
    folder = wheels_folder(abi, python)
    # one at a time: two boards must not write the same wheel
    alone = files.alone(folder / ".lock", error=DependencyError)
    with task(f"fetch {release.module} {release.version} for {abi}", on_event), alone:
        package = _PACKAGES[release.module]
        wheels = [
            held_module(release, abi, python)
            or download_wheel(
                f"{package}=={release.version}",
                folder=folder,
                abi=abi,
                python=python,
                platforms=platform_tags(abi, libc_version, _SAY_TOO_MUCH.get(release.module, ())),
            )
        ]
        if with_numpy:
            wheels.append(
                held_numpy(abi, python, release)
                or download_wheel(
                    f"numpy<{release.numpy[1]}",
                    folder=folder,
                    abi=abi,
                    python=python,
                    platforms=platform_tags(abi, libc_version),
                )
            )
        return whole_archive(folder, wheels) or make_archive(folder, wheels, release, abi)
