"""The models that candidates of a gate are held against: in files, in a folder, or released on a board."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgekit.core.artifact import Artifact
    from edgekit.verbs.boards import Board

#: as a baseline: the release of the candidate's name that is current on the board
CURRENT = "device:current"
_ON_BOARD = "device:"
_MOST_BYTES = 2 << 30  # more than a .tflite can have


def pair_up(
    candidates: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
    baseline: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
) -> list[tuple[Artifact, Artifact | None]]:
    """Each candidate with its baseline; None: what is current on the board.

    Raises:
        UsageError: not as many baselines as candidates, or two candidates of one name.
        ModelError: a folder without a file of a candidate's name, or a file that is missing or no .tflite.
    """
    from edgekit.core.artifact import Artifact
    from edgekit.verbs.benchmark import open_model

    new = [open_model(one) for one in _listed(candidates)]
    check_names([one.path for one in new])
    old = _listed(baseline)
    if [str(one) for one in old if not isinstance(one, Artifact)] == [CURRENT]:
        return [(one, None) for one in new]
    if not any(isinstance(one, Artifact) for one in old):
        old = list(places([one.path for one in new], [Path(str(one)) for one in old]))
    _check_as_many(len(new), len(old))
    return [(one, _opened(one, place)) for one, place in zip(new, old, strict=True)]


def check_names(candidates: Sequence[Path]) -> None:
    """Whether every candidate can be told from the others: a folder of baselines, boards and reports know names.

    Raises:
        UsageError: two of them have one name.
    """
    from edgekit.core.errors import UsageError

    names = [one.name for one in candidates]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"two candidates are called {twice}", hint="name each model once, or gate them one by one")


def places(candidates: Sequence[Path], baseline: Sequence[Path]) -> list[Path]:
    """Where each candidate's baseline is, or would be: a folder has it under the candidate's name.

    Raises:
        UsageError: not as many baselines as candidates, or a release on a board among files.
    """
    from edgekit.core.errors import UsageError

    for one in map(str, baseline):
        if one.startswith(_ON_BOARD):
            raise UsageError(
                f"--baseline {one}: of what is on a board only {CURRENT} can be a baseline, of all candidates at once",
                hint=f"--baseline {CURRENT}",
            )
    if len(baseline) == 1 and baseline[0].suffix != ".tflite":
        return [baseline[0] / candidate.name for candidate in candidates]
    _check_as_many(len(candidates), len(baseline))
    return list(baseline)


def current_release(board: Board, candidate: Artifact, folder: Path) -> Artifact:
    """The release of a candidate's name that is current on a board, brought here with its manifest.

    Args:
        board: open and locked.
        candidate: has the name.
        folder: to put it into.

    Raises:
        DeviceError: the board has none, or it is damaged.
    """
    import json

    from edgekit.core.artifact import SCHEMA, manifest_path, open_artifact
    from edgekit.core.errors import DeviceError
    from edgekit.core.hashing import sha256_file
    from edgekit.device import released, releases

    device = board.device
    current, _ = releases.state(device.workspace, candidate.name)
    if current is None:
        raise DeviceError(
            f"{device.name} has no current release of {candidate.name} to compare with",
            hint=f"edgekit deploy {candidate.path} --device {device.name}  makes it the first one",
        )
    there = f"{released.FOLDER}/{candidate.name}/{current}"
    model = folder / f"{candidate.name}.tflite"
    device.transport.pull(device.workspace.path(f"{there}/model.tflite"), model, limit_bytes=_MOST_BYTES)
    if not sha256_file(model).startswith(current):
        raise DeviceError(
            f"{device.name}: the current release {current} of {candidate.name} is damaged",
            hint="deploy that version again: a damaged file is replaced",
        )
    manifest = manifest_path(model)
    device.transport.pull(device.workspace.path(f"{there}/manifest.json"), manifest, limit_bytes=_MOST_BYTES)
    if json.loads(manifest.read_bytes()).get("schema") != SCHEMA:  # of a bare model it only says which one it is
        manifest.unlink()
    return open_artifact(model)


def check_acceptable(placed: Mapping[Path, Path]) -> None:
    """Finds out before minutes of work whether candidates could be put in their baselines' places.

    Args:
        placed: candidate → place.

    Raises:
        ModelError: a candidate that is missing, damaged or no .tflite.
        UsageError: a place that cannot be written.
    """
    from edgekit.core.files import check_writable
    from edgekit.verbs.benchmark import open_model
    from edgekit.verbs.ready import is_stateful

    for candidate in placed:
        is_stateful(open_model(candidate))  # a file that cannot be read is found here
    for place in placed.values():
        check_writable(place)


def accept(candidate: Path, place: Path) -> None:
    """Puts a candidate, with its manifest, in its baseline's place.

    Raises:
        ModelError: no such candidate.
        UsageError: it cannot be written there.
    """
    from edgekit.core import files
    from edgekit.core.artifact import manifest_path
    from edgekit.verbs.benchmark import open_model

    artifact = open_model(candidate)
    if place.exists() and place.resolve() == artifact.path.resolve():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(place, artifact.path.read_bytes())
    if artifact.manifest is not None:
        files.write_bytes(manifest_path(place), manifest_path(artifact.path).read_bytes())
    else:
        manifest_path(place).unlink(missing_ok=True)  # it was of the model that was there before


def _opened(candidate: Artifact, place: str | PathLike[str] | Artifact) -> Artifact:
    from edgekit.core.artifact import Artifact
    from edgekit.core.errors import ModelError
    from edgekit.verbs.benchmark import open_model
    from edgekit.verbs.ready import is_stateful

    if isinstance(place, Artifact):
        return place
    if not Path(place).exists():
        raise ModelError(
            f"{candidate.path.name} has no baseline yet: {place} is not there",
            hint=f"make it the first one: edgekit gate {candidate.path} --baseline {place} --accept",
        )
    try:
        found = open_model(place)
        is_stateful(found)  # a file that cannot be read is found here
        return found
    except ModelError as error:  # candidate and baseline often have one name
        raise ModelError(f"the baseline {place} cannot be used: {error.message}", hint=error.hint) from error


def _check_as_many(candidates: int, baselines: int) -> None:
    from edgekit.core.errors import UsageError

    if candidates != baselines:
        raise UsageError(
            f"{candidates} candidates and {baselines} baselines",
            hint="give each candidate its --baseline, in the same order; or one folder with files of the same names",
        )


def _listed(
    models: str | PathLike[str] | Artifact | Sequence[str | PathLike[str] | Artifact],
) -> list[str | PathLike[str] | Artifact]:
    from edgekit.core.artifact import Artifact

    return [models] if isinstance(models, (str, PathLike, Artifact)) else list(models)
