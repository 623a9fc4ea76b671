"""The arithmetic of a preprocessing, ``(x * scale - mean) / std``, as one factor and one offset per channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.core import decode
from edgekit.core.errors import UsageError
from edgekit.data.spec import Preprocessing

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """``x * factor + offset``; one value each, or one per channel.

    Attributes:
        factor: scale / std.
        offset: −mean / std.
    """

    factor: tuple[float, ...]
    offset: tuple[float, ...]

    @property
    def shifts(self) -> bool:
        """Whether anything is added."""
        return any(self.offset)

    @property
    def single(self) -> bool:
        """Whether all channels are scaled and shifted alike."""
        return len(set(self.factor)) == 1 and len(set(self.offset)) == 1

    def per_channel(self, channels: int) -> tuple[Array, Array]:
        """Factor and offset as float64 arrays of one value per channel.

        Raises:
            UsageError: another number of values than channels.
        """
        import numpy

        for values in (self.factor, self.offset):
            if len(values) not in (1, channels):
                raise UsageError(
                    f"--mean and --std have {len(values)} values, and the input has {channels} channels",
                    hint="give one value, or one per channel",
                )
        return numpy.broadcast_to(self.factor, channels).copy(), numpy.broadcast_to(self.offset, channels).copy()

    def apply(self, raw: Array) -> Array:
        """What the preprocessing makes of raw values, float32."""
        import numpy

        found: Array = raw.astype("float64") * numpy.asarray(self.factor) + numpy.asarray(self.offset)
        return found.astype("float32")


def scaling_of(preprocessing: Mapping[str, Any]) -> Scaling:
    """The scaling of a :class:`edgekit.data.spec.Preprocessing` in JSON values.

    Raises:
        UsageError: a function of the user's, or no arithmetic at all.
    """
    given = decode.from_json(Preprocessing, dict(preprocessing), source="preprocessing", error=UsageError)
    if given.function is not None:
        raise UsageError(
            f"the preprocessing is the function {given.function}, which cannot be put into a model",
            hint="write it as --scale, --mean and --std, or build it into the Keras model",
        )
    if not given.arithmetic:
        raise UsageError(
            "there is no preprocessing to put into the model",
            hint="say how raw values are scaled, e.g. --scale 1/255",
        )
    scale, means, stds = given.scale or 1.0, given.mean or (0.0,), given.std or (1.0,)
    width = max(len(means), len(stds))
    means, stds = means * width if len(means) == 1 else means, stds * width if len(stds) == 1 else stds
    if len(means) != len(stds):
        raise UsageError(
            f"--mean has {len(means)} values and --std {len(stds)}", hint="give one value, or one per channel"
        )
    return Scaling(
        factor=tuple(scale / std for std in stds),
        offset=tuple(-mean / std if mean else 0.0 for mean, std in zip(means, stds)),
    )
