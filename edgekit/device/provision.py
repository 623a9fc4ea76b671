"""Brings onto a board what runs models there: goes through a plan until one of its choices works."""

from __future__ import annotations

import dataclasses

from edgekit.core.errors import DependencyError, RuntimeMissingError
from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.device.connect import Device
from edgekit.device.facts import Facts
from edgekit.device.provision_decide import decide
from edgekit.device.provision_plan import Choice, Plan, Runner, RuntimeName
from edgekit.device.provision_present import Present, look
from edgekit.device.provision_send import BoardRuntime, carry_out, probe
from edgekit.device.provision_stock import Stock, native_offer, take_stock

__all__ = ["BoardRuntime", "Runner", "RuntimeName", "plan_runtime", "prepare_runtime", "probe"]

_FOR_NATIVE = ("Python is not whole", "Python does not start")
_FOR_ALL = ("failed to map segment", "noexec")


def plan_runtime(
    device: Device,
    facts: Facts,
    *,
    runtime: RuntimeName = "auto",
    stateful: bool = False,
    stock: Stock | None = None,
) -> Plan:
    """The plan for a board, with what it has already. Nothing is sent, downloaded or changed.

    Raises:
        DependencyError: a file that the user supplies is no ELF file.
        DeviceError: the board does not answer.
    """
    stock = stock or _stock(device, facts, runtime)
    return decide(device.name, facts, stock, look(device, facts), wanted=runtime, stateful=stateful)


def prepare_runtime(
    device: Device,
    facts: Facts,
    *,
    runtime: RuntimeName = "auto",
    stateful: bool = False,
    on_event: EventSink = ignore,
) -> BoardRuntime:
    """Makes a board ready to run models, and sees that it really is.

    Args:
        device: the board.
        facts: what it said about itself.
        runtime: ``litert``: a library, started by our payload or, without Python, by the native runner; ``native``:
            by that one; a module's name: the board's own, else pushed as wheels; ``benchmark_model``: the user's;
            ``auto``: a library, and where none can exist for this board, a module.
        stateful: models with variable tensors (fused LSTM, SVDF) shall run; LiteRT's C API refuses to load them.
        on_event: gets the progress.

    Raises:
        RuntimeMissingError: nothing fits this board, or it does not load there.
        DependencyError: something has to be downloaded and cannot be.
        DeviceError: the board could not be reached or written to.
    """
    stock = _stock(device, facts, runtime)
    with task("prepare the board's runtime", on_event):
        attempt = _Attempt(device, facts, stock, runtime, stateful, on_event)
        return attempt.run()


def _stock(device: Device, facts: Facts, runtime: RuntimeName) -> Stock:
    target = device.target
    return take_stock(facts, library=target.library, benchmark_model=target.benchmark_model, native=runtime == "native")


class _Attempt:
    """Goes through the choices of a plan until one works on the board."""

    def __init__(
        self, device: Device, facts: Facts, stock: Stock, runtime: RuntimeName, stateful: bool, on_event: EventSink
    ) -> None:
        self.device, self.facts, self.stock = device, facts, stock
        self.runtime, self.stateful, self.on_event = runtime, stateful, on_event
        self.failures: list[RuntimeMissingError] = []
        self.tried: set[tuple[str, str, str, str]] = set()

    def run(self) -> BoardRuntime:
        """The first choice that works. The board is asked what it has only where no library serves: that takes time."""
        plan = self._decide(None)
        ready = self._first_of(plan)
        if ready is None and self._native_may_help():
            offer = native_offer(self.facts.abi, self.facts.libc)
            self.stock = dataclasses.replace(self.stock, native=offer)
            ready = self._first_of(self._decide(None))
        if ready is None and not plan.looked and self._modules_may_help():
            plan = self._decide(look(self.device, self.facts))
            ready = self._first_of(plan)
        if ready is not None:
            return ready
        if self.failures:  # what the board said of the first one is what has to be mended
            raise self.failures[0]
        raise RuntimeMissingError(
            f"{self.device.name}: {plan.refusal}",
            hint=plan.hint,
            details={"ruled_out": {out.what: out.reason for out in plan.ruled_out}},
        )

    def _decide(self, present: Present | None) -> Plan:
        return decide(self.device.name, self.facts, self.stock, present, wanted=self.runtime, stateful=self.stateful)

    def _modules_may_help(self) -> bool:
        return self.runtime not in ("litert", "native", "benchmark_model")

    def _native_may_help(self) -> bool:
        """Whether it was the board's Python that failed, not the library."""
        said = self.failures[0].message if self.failures else ""
        asked = self.runtime in ("auto", "litert") and self.stock.native is None
        return asked and any(word in said for word in _FOR_NATIVE)

    def _first_of(self, plan: Plan) -> BoardRuntime | None:
        for choice in plan.choices:
            if choice.key in self.tried or not self._worth_trying(choice):
                continue
            self.tried.add(choice.key)
            try:
                ready = carry_out(self.device, self.facts, choice, self.stock, on_event=self.on_event)
            except RuntimeMissingError as error:
                self.failures.append(error)
            except DependencyError as error:
                if self.failures:
                    raise self.failures[0] from error
                raise
            else:
                return dataclasses.replace(ready, notices=self._notices(choice, ready, plan))
        return None

    def _worth_trying(self, choice: Choice) -> bool:
        """Whether the last failure may be cured by this choice; each one takes seconds on a slow board."""
        if not self.failures:
            return True
        said = self.failures[-1].message
        if choice.origin == "board":
            return True
        if any(word in said for word in _FOR_ALL):
            return False  # nothing of ours can be loaded from this workspace
        if choice.runner == "native":
            return any(word in said for word in _FOR_NATIVE)
        return "version `" in said or "SIGILL" in said or "numpy" in said

    def _notices(self, choice: Choice, ready: BoardRuntime, plan: Plan) -> tuple[Notice, ...]:
        if self.runtime != "auto" or ready.module is None:
            return ()
        reason = self.failures[0].message if self.failures else _because(plan)
        whose = "its own" if choice.origin == "board" else "the pushed wheels of"
        return (
            Notice(
                code="module-runtime",
                message=f"{self.device.name} runs {whose} {ready.name} {ready.version}, not LiteRT's library: {reason}",
                hint="int8 can be many times slower there: compare only with results of the same runtime",
            ),
        )


def _because(plan: Plan) -> str:
    """Why it is not the library."""
    reasons = [out for out in plan.ruled_out if out.what.startswith("LiteRT")]
    return "; ".join(out.reason if out.what == "LiteRT's library" else f"{out.what} {out.reason}" for out in reasons)
