"""From a board's facts and what there is for it to a plan: pure, nothing is asked, fetched or sent."""

from __future__ import annotations

from edgekit.device.facts import Facts
from edgekit.device.provision_desk import LIBRARY, Desk
from edgekit.device.provision_hint import hint, system
from edgekit.device.provision_libraries import add_libraries
from edgekit.device.provision_modules import add_module
from edgekit.device.provision_plan import Choice, Plan, RuntimeName
from edgekit.device.provision_present import Present
from edgekit.device.provision_stock import Stock

_MODULES = ("ai_edge_litert", "tflite_runtime")
_FOR_ONNX = "onnxruntime"  # it runs no .tflite, so `auto` never means it
_STATEFUL = "LiteRT's C library does not load models with stateful ops (fused LSTM, SVDF) yet"


def decide(
    board: str,
    facts: Facts,
    stock: Stock,
    present: Present | None,
    *,
    wanted: RuntimeName = "auto",
    stateful: bool = False,
) -> Plan:
    """The plan for one board.

    Args:
        board: its name, for sentences.
        facts: what it says about itself.
        stock: what this machine has for it, or can fetch.
        present: what it has already; None: it was not asked, so no module is chosen and everything counts as to send.
        wanted: the runtime's name; ``auto``: the library, else a module, else the user's ``benchmark_model``.
        stateful: models with variable tensors shall run.
    """
    desk = Desk(board, facts, stock, present)
    if wanted == "benchmark_model":
        _add_benchmark_model(desk)
    elif wanted in (*_MODULES, _FOR_ONNX):
        add_module(desk, wanted)
    else:
        if stateful:
            desk.rule_out(LIBRARY, _STATEFUL)
        else:
            add_libraries(desk, wanted)
        if wanted == "auto":
            for name in _MODULES:
                add_module(desk, name)
            if stock.benchmark_model and not desk.choices:
                _add_benchmark_model(desk)
    return Plan(
        board=board,
        wanted=wanted,
        system=system(facts),
        choices=tuple(desk.choices),
        ruled_out=tuple(desk.ruled_out),
        looked=present is not None,
        hint=hint(board, facts, stock, wanted, stateful) if not desk.choices else "",
    )


def _add_benchmark_model(desk: Desk) -> None:
    """Google's program, which only the user can supply."""
    supplied = desk.stock.benchmark_model
    if supplied is None:
        desk.rule_out("benchmark_model", "edgekit has none: you have to supply it")
        return
    wrong = desk.unfit(supplied)
    if wrong:
        desk.rule_out(f"your {supplied.path.name}", wrong)
        return
    why = "you supply benchmark_model: it gives latencies and an approximate memory figure, but no outputs"
    desk.choices.append(
        Choice(
            runner="benchmark_model",
            origin="supplied",
            name="benchmark_model",
            version=supplied.version,
            python=None,
            items=(desk.supplied_item("runner", supplied),),
            why=(why,),
        )
    )
