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


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the result may cost.

    Attributes:
        max_drop: percentage points of the score that may be lost.
    """

    max_drop: float | None = None


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
    budget = project.budget
    if max_drop := os.environ.get("EDGEKIT_MAX_DROP"):
        try:
            budget = Budget(max_drop=float(max_drop))
        except ValueError:
            raise UsageError(
                f"EDGEKIT_MAX_DROP is {max_drop!r}, not a number", hint="e.g. EDGEKIT_MAX_DROP=0.5"
            ) from None
    return replace(project, **said, budget=budget)


def defaults() -> dict[str, Any]:
    """The project file of the current directory as option name → default."""
    project = read_project(Path.cwd())
    flat = {key: value for key, value in decode.to_json(project).items() if key != "budget"}
    flat["max_drop"] = project.budget.max_drop
    return {key: str(value) if key == "num_threads" else value for key, value in flat.items() if value is not None}
