"""A deploy under way: when one of its stages fails, what was current is current again and the release is marked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgekit.core.errors import EdgekitError
    from edgekit.device.after_activate import Hook
    from edgekit.device.releases import Links, Release
    from edgekit.measure.measurement import Measurement
    from edgekit.runner.compare import SmokeResult
    from edgekit.verbs.boards import Board

Stage = Literal["smoke", "after_activate", "benchmark"]

#: verdicts of a benchmark that speak of the model; the others speak of the board
_WRONG_OUTPUTS = ("not-finite", "output-differs", "model-differs")


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What a deploy has found so far; it grows stage by stage.

    Attributes:
        before: current and previous release when it began.
        active: the release is the current one by now.
    """

    board: Board
    release: Release
    before: Links
    active: bool = False
    smoke: SmokeResult | None = None
    hook: Hook | None = None
    benchmark: Measurement | None = None

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Within the block an error that speaks of the model, or of the hook, ends the deploy and undoes it.

        Raises:
            EdgekitError: of the same class, with what was done in ``details["deployment"]``. A lost connection undoes
                nothing: the release passed all stages before, and stays.
        """
        from edgekit.core.errors import EdgekitError

        try:
            yield
        except EdgekitError as error:
            if _speaks_of_the_model(error) and self._answers():
                raise self._undone(name, error) from error
            if self.active:
                raise self._left(error) from error
            raise

    def check(self, measured: Measurement) -> None:
        """Whether the first benchmark shows a model that works; a noisy or unstable one does.

        Raises:
            DeviceError: NaN, outputs that change from run to run, or another model than was deployed.
        """
        from edgekit.core.errors import DeviceError

        self.benchmark = measured
        wrong = [reason for reason in measured.reasons if reason.code in _WRONG_OUTPUTS]
        if wrong:
            raise DeviceError(f"{measured.device}: {'; '.join(reason.message for reason in wrong)}")

    def _answers(self) -> bool:
        """Whether the board is there and still ours; a crash of the model is another thing than one of the board."""
        from edgekit.core.errors import DeviceError

        try:
            self.board.device.transport.run(["true"], timeout_s=20)
        except DeviceError:
            return False
        return True

    def _undone(self, stage: Stage, error: EdgekitError) -> EdgekitError:
        """Goes back, and returns the error that says so."""
        from edgekit.device.after_activate import GOING_BACK_FAILED, go_back

        back = self._target() if self.active else self.before
        device, profile, release = self.board.device, self.board.profile, self.release
        reason = error.message.removeprefix(f"{device.name}: ")
        trouble = go_back(
            device,
            release.name,
            back,
            profile.after_activate if self.active and back[0] != release.id else (),
            failed=release.id,
            report={"stage": stage, "reason": reason},
            keep=profile.keep_releases,
        )
        what = {
            "smoke": f"the smoke test failed, {release.name} {release.id} was not activated",
            "after_activate": f"{release.name} {release.id} was taken back",
            "benchmark": f"the first benchmark failed, {release.name} {release.id} was taken back",
        }[stage]
        now = (
            trouble if trouble.startswith(GOING_BACK_FAILED) else ", ".join(filter(None, (self._words(back), trouble)))
        )
        return type(error)(
            f"{device.name}: {what}: {reason}; {now}",
            hint=error.hint or f"`edgekit devices show {device.name}` lists what is there",
            details={**error.details, "deployment": self._document(stage, reason, back[0])},
        )

    def _target(self) -> Links:
        """What shall be current and previous: what was, unless it is the release that failed now."""
        current, previous = self.before
        if current != self.release.id:
            return self.before
        return (previous, None) if previous is not None else self.before

    def _words(self, back: Links) -> str:
        if back[0] is None:
            return "nothing is active, as before"
        if back[0] == self.release.id:
            return "it is current all the same: there is no other release"
        return f"{back[0]} is current {'again' if self.active else 'still'}"

    def _left(self, error: EdgekitError) -> EdgekitError:
        """The connection went, or the like: nobody knows that the release is bad."""
        name = self.board.device.name
        return type(error)(
            f"{error.message}; {self.release.name} {self.release.id} is current on {name}, it passed its smoke test",
            hint=f"`edgekit benchmark` measures it; `edgekit rollback --device {name}` goes back",
            details=error.details,
        )

    def _document(self, stage: Stage, reason: str, returned_to: str | None) -> dict[str, Any]:
        """What is kept of a deploy that failed."""
        from edgekit.core.decode import to_json
        from edgekit.measure.measurement import to_document

        return {
            "device": self.board.device.name,
            "emulated": self.board.limits.emulated,
            "release": to_json(self.release),
            "stage": stage,
            "reason": reason,
            "returned_to": returned_to,
            "smoke": to_json(self.smoke) if self.smoke else None,
            "after_activate": to_json(self.hook) if self.hook else None,
            "benchmark": to_document(self.benchmark) if self.benchmark else None,
        }


def _speaks_of_the_model(error: EdgekitError) -> bool:
    from edgekit.core import errors

    elsewhere = (
        errors.UnreachableError,
        errors.AuthenticationError,
        errors.HostKeyError,
        errors.TransferError,
        errors.BusyError,
        errors.RuntimeMissingError,
    )
    return isinstance(error, (errors.DeviceError, errors.ModelError)) and not isinstance(error, elsewhere)
