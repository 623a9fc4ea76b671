"""Datasets as users write them, for the roles of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.data.spec import DataChoice, DataSpec


def choice(sources: dict[str, str | None], preprocessing: dict[str, Any]) -> DataChoice:
    """Role → source, all with the same preprocessing.

    Raises:
        UsageError: a preprocessing option that is no number, or that nothing would be prepared with.
    """
    from edgekit.core.errors import UsageError
    from edgekit.data.spec import DataChoice

    found = {role: dataset(source, **preprocessing) for role, source in sources.items() if source is not None}
    given = [f"--{name}" for name, value in preprocessing.items() if value is not None]
    if given and not found:
        raise UsageError(
            f"there are no data that {', '.join(given)} could prepare",
            hint="name them with --data, or leave the preprocessing out",
        )
    return DataChoice(**found)


def dataset(
    source: str, *, scale: Any = None, mean: Any = None, std: Any = None, preprocess: str | None = None
) -> DataSpec:
    """One dataset with its preprocessing.

    Raises:
        UsageError: a preprocessing option that is no number.
    """
    import dataclasses

    from edgekit.data.spec import data_spec

    spec = data_spec(source, scale=scale, mean=mean, std=std)
    if preprocess is None:
        return spec
    return dataclasses.replace(spec, preprocessing=dataclasses.replace(spec.preprocessing, function=preprocess))
