"""``edgekit.toml`` in the current directory: defaults for the options of the same names."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edgekit.core import decode
from edgekit.core.errors import UsageError
from edgekit.core.toml import read_toml

FILE_NAME = "edgekit.toml"
_LIMITS = ("max_size", "max_latency", "max_memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the result may cost.

    Attributes:
        max_drop: percentage points of the score that may be lost.
        max_size: of the .tflite, e.g. ``200kB``.
        max_latency, max_memory: on the device, e.g. ``5ms`` and ``30MB``.
    """

    max_drop: float | None = None
    max_size: str | None = None
    max_latency: str | None = None
    max_memory: str | None = None

    @property
    def needs_device(self) -> bool:
        """Whether one of them can only be judged on a board."""
        return self.max_latency is not None or self.max_memory is not None

    def arguments(self) -> dict[str, Any]:
        """As the verbs call them."""
        return {key.name: getattr(self, key.name) for key in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The keys of ``edgekit.toml``: the long options' names, and a table ``[budget]``.

    Paths are relative to the folder of the file.
    """

    model: str | None = None
    data: str | None = None
    representative: str | None = None
    evaluation: str | None = None
    training: str | None = None
    scale: str | None = None
    mean: str | None = None
    std: str | None = None
    preprocess: str | None = None
    recipe: str | None = None
    metric: str | None = None
    output: str | None = None
    name: str | None = None
    device: str | None = None
    num_threads: str | int | None = None
    budget: Budget = field(default_factory=Budget)


def read_project(folder: Path) -> Project:
    """The project file of a folder; where there is none, a project without anything.

    Raises:
        UsageError: it is not TOML, or has a key that edgekit does not know (with the nearest one).
    """
    path = folder / FILE_NAME
    return decode.from_json(Project, read_toml(path), source=FILE_NAME) if path.is_file() else Project()


def with_environment(project: Project) -> Project:
    """The project with what ``EDGEKIT_*`` variables say instead.

    Raises:
        UsageError: ``EDGEKIT_MAX_DROP`` is no number.
    """
    keys = [key.name for key in fields(Project) if key.name != "budget"]
    said = {key: value for key in keys if (value := os.environ.get(f"EDGEKIT_{key.upper()}"))}
    limits: dict[str, Any] = {key: value for key in _LIMITS if (value := os.environ.get(f"EDGEKIT_{key.upper()}"))}
    budget = replace(project.budget, **limits)
    if max_drop := os.environ.get("EDGEKIT_MAX_DROP"):
        try:
            budget = replace(budget, max_drop=float(max_drop))
        except ValueError:
            raise UsageError(
                f"EDGEKIT_MAX_DROP is {max_drop!r}, not a number", hint="e.g. EDGEKIT_MAX_DROP=0.5"
            ) from None
    return replace(project, **said, budget=budget)


def defaults() -> dict[str, Any]:
    """The project file of the current directory as option name → default."""
    project = read_project(Path.cwd())
    flat = {key: value for key, value in decode.to_json(project).items() if key != "budget"}
    flat |= project.budget.arguments()
    return {key: str(value) if key == "num_threads" else value for key, value in flat.items() if value is not None}
