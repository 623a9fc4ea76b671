"""Puts the native runner into the wheel: its sources always, the built programs where the compiler is installed.

The compiler is a download of 100 MB, so it is no requirement of every build: an editable install needs nothing of
this, and a wheel that was built without it builds a runner when one is needed. A release is built with it:
``python -m pip wheel --no-deps --no-build-isolation .`` in the environment for development.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "edgekit/_native"


class NativeRunnerHook(BuildHookInterface):
    """The build hook of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Names the files for the wheel."""
        self.folder: Path | None = None
        if version != "standard":  # an editable install finds the source tree
            return
        build = load_build(Path(self.root))
        sources = Path(self.root) / "tools" / "runner"
        included = {str(path): f"{PLACE}/{path.name}" for path in build.source_files(sources)}
        if build.has_compiler():
            self.folder = Path(tempfile.mkdtemp(prefix="edgekit-wheel-"))
            for path in built(build, sources, self.folder):
                included[str(path)] = f"{PLACE}/{path.name}"
        else:
            self.app.display_warning(f"without {build.COMPILER}: this wheel has the native runner as sources only")
        build_data["force_include"].update(included)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Removes what is in the wheel now."""
        if self.folder:
            shutil.rmtree(self.folder)


def load_build(root: Path) -> ModuleType:
    """``edgekit.runner.native_build``, which needs nothing, without importing edgekit, which needs much."""
    spec = importlib.util.spec_from_file_location("native_build", root / "edgekit" / "runner" / "native_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def built(build: ModuleType, sources: Path, folder: Path) -> list[Path]:
    """Every runner and beside it what ``edgekit.runner.native`` checks it against."""
    paths = []
    for abi, libc in build.TARGETS:
        path = folder / f"runner-{abi}-{libc}"
        build.compile_runner(sources, abi, libc, path, compiler_cache=folder / "zig")
        record = {"abi": abi, "libc": libc, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        paths += [path, path.with_name(f"{path.name}.json")]
        paths[-1].write_text(json.dumps(record) + "\n")
    return paths
