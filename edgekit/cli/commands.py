"""Every command with the module that holds it and its one line of help; imports nothing."""

from __future__ import annotations

#: command → (module, help); in the order of the path that a model takes
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("edgekit.cli.demo", "The whole path on the shipped example and this machine."),
    "inspect": ("edgekit.cli.inspect", "What is in a model file: layers or ops, sizes, inputs and outputs."),
    "prune": ("edgekit.cli.prune", "Set small weights to zero, or remove filters, with fine-tuning."),
    "cluster": ("edgekit.cli.cluster", "Give the weights of each layer a few shared values, with fine-tuning."),
    "distill": ("edgekit.cli.distill", "Train a smaller model on the outputs of this one."),
    "quantize": ("edgekit.cli.quantize", "Convert to a .tflite: int8, int16x8, dynamic, float16."),
    "convert": ("edgekit.cli.convert", "Convert to a float32 .tflite."),
    "optimize": ("edgekit.cli.optimize", "The steps of a recipe in order, scored after each."),
    "evaluate": ("edgekit.cli.evaluate", "The score of a model file on a dataset."),
    "audit": ("edgekit.cli.audit", "Is a .tflite really full-integer, and which runtime does it need?"),
    "deploy": ("edgekit.cli.deploy", "Push, verify, smoke-test, activate and benchmark on a board."),
    "rollback": ("edgekit.cli.rollback", "Make a board's previous release the current one again."),
    "benchmark": ("edgekit.cli.benchmark", "Latency and memory of models on boards."),
    "report": ("edgekit.cli.report", "What was measured, as one page, a pull request's text, or rows."),
    "compare": ("edgekit.cli.compare", "Is one model faster than another? Pairs of fresh processes on a board."),
    "profile": ("edgekit.cli.profile", "Time per op, and which ops the delegate took."),
    "gate": ("edgekit.cli.gate", "May a model take its baseline's place? An exit status for CI."),
    "results": ("edgekit.cli.results", "What was measured: list, follow over time, export, import, merge, check."),
    "devices": ("edgekit.cli.devices", "List, show, add, trust and check boards."),
    "doctor": ("edgekit.cli.doctor", "What is installed here, what is missing, the command that adds it."),
}

USAGE = "Usage: edgekit [--version] [--help] COMMAND ..."
SUMMARY = "Makes a trained model small and fast, puts it on your own boards, and measures it there."
EXAMPLE = "Example:  edgekit optimize model.keras --data data.npz -o model.tflite"


def root_help() -> str:
    """The text of ``edgekit --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            USAGE,
            "",
            f"  {SUMMARY}",
            "",
            "Commands:",
            *lines,
            "",
            "Options that every command has:",
            "  --json         print one JSON document, and nothing else, on stdout",
            "  -q, --quiet    no progress;  -v, --verbose  more of it",
            "  --debug        show tracebacks",
            "  --help         a command's options, with an example",
            "",
            EXAMPLE,
            "The whole path, here and now:  edgekit demo",
        ]
    )
