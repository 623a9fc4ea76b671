"""Which runtimes were asked for, as a user names them, and which models each one can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from edgekit.core.errors import UsageError

if TYPE_CHECKING:
    from edgekit.core.artifact import Artifact
    from edgekit.device.provision import RuntimeName

#: LiteRT's library computing with its own kernels, not with XNNPACK's
BUILTIN = "litert-builtin"
ONNX = "onnxruntime"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRuntime:
    """One runtime that models shall be measured with.

    Attributes:
        name: as the user wrote it.
        provisioned: what is brought onto the board for .tflite files.
        kernels: as a job names them.
    """

    name: str
    provisioned: RuntimeName
    kernels: Literal["delegate", "builtin"] = "delegate"

    def runs(self, artifact: Artifact) -> bool:
        """Whether it takes such files at all."""
        return self.name == "auto" or (self.name == ONNX) == is_onnx(artifact)

    def brought_for(self, artifact: Artifact) -> RuntimeName:
        """What is brought onto the board for this model."""
        return "onnxruntime" if is_onnx(artifact) else self.provisioned


def is_onnx(artifact: Artifact) -> bool:
    """Whether it is a .onnx file, which only ONNX Runtime takes."""
    return artifact.path.suffix.lower() == ".onnx"


def asked_runtimes(names: str | Sequence[str], artifacts: Sequence[Artifact]) -> tuple[AskedRuntime, ...]:
    """The runtimes of ``litert,litert-builtin`` or a list of such names.

    Raises:
        UsageError: there is no such runtime, one is named twice, one has no model to run, or a model has no runtime.
    """
    listed = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    found = tuple(map(_asked, listed))
    if twice := next((name for name in listed if listed.count(name) > 1), None):
        raise UsageError(f"the runtime {twice} is named twice", hint="name each once")
    for artifact in artifacts:
        if not any(one.runs(artifact) for one in found):
            fits = ONNX if is_onnx(artifact) else "litert"
            raise UsageError(
                f"none of the runtimes {', '.join(listed)} runs {artifact.path.name}", hint=f"add {fits} to --runtime"
            )
    for one in found:
        if artifacts and not any(map(one.runs, artifacts)):
            what = ".onnx files" if one.name == ONNX else ".tflite files"
            raise UsageError(f"{one.name} runs {what}, and none is named", hint=f"leave {one.name} out of --runtime")
    return found


def runtimes_of_sides(
    names: str | Sequence[str], sides: tuple[Artifact, Artifact]
) -> tuple[AskedRuntime, AskedRuntime]:
    """The runtime of each of two models that are compared: one name for both, or one for each in their order.

    Raises:
        UsageError: there is no such runtime, there are more than two, or one does not take its model's files.
    """
    listed = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    if len(listed) not in (1, 2):
        raise UsageError(
            f"{len(listed)} runtimes are named, and two sides are compared",
            hint="one for both, or one for each: --runtime litert,litert-builtin; `edgekit benchmark` takes more",
        )
    one, other = map(_asked, (listed * 2)[:2])
    for asked, side in zip((one, other), sides, strict=True):
        if asked.runs(side):
            continue
        if is_onnx(side):
            fits = ",".join(ONNX if is_onnx(each) else "litert" for each in sides)
            hint = f"leave out --runtime, or name one for each side: --runtime {fits}"
        else:
            hint = f"it takes .onnx files: export the model, and compare {side.path.name} with that file"
        raise UsageError(f"the runtime {asked.name} does not run {side.path.name}", hint=hint)
    return one, other


def check_runtime(name: str, *, onnx: bool = False) -> RuntimeName:
    """The runtime's name, if there is one of that name.

    Args:
        name: as the user wrote it.
        onnx: the one for .onnx files is meant too.

    Raises:
        UsageError: there is none, or it runs no .tflite files.
    """
    from edgekit.core.suggest import unknown
    from edgekit.device import provision

    known = get_args(provision.RuntimeName)
    if name not in known:
        message, hint = unknown("runtime", name, known)
        raise UsageError(message, hint=hint)
    if name == ONNX and not onnx:
        raise UsageError(
            f"{ONNX} runs .onnx files; `edgekit benchmark`, `compare` and `devices provision` know it",
            hint="leave out --runtime",
        )
    return cast("RuntimeName", name)


def _asked(name: str) -> AskedRuntime:
    from edgekit.core.suggest import unknown
    from edgekit.device import provision

    if name == BUILTIN:
        return AskedRuntime(name=name, provisioned="litert", kernels="builtin")
    known = (*get_args(provision.RuntimeName), BUILTIN)
    if name not in known:
        message, hint = unknown("runtime", name, known)
        raise UsageError(message, hint=hint)
    return AskedRuntime(name=name, provisioned=cast("RuntimeName", name))
