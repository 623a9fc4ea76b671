"""The entry point: finds the command, loads only its module, and turns errors into messages and exit statuses.

``edgekit --help`` must not pay for what it does not use, so the root help comes from a table and Typer is imported
when a command runs.
"""

from __future__ import annotations

import io
import sys

from edgekit.cli import streams
from edgekit.cli.commands import COMMANDS, root_help


def main(arguments: list[str] | None = None) -> None:
    """Runs ``edgekit`` and exits with the contract's status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a stream that cannot show ✓ shows ? and goes on
    try:
        status = _dispatch(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.abandon_stdout()  # whoever read the answer has seen enough
        status = 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    sys.exit(status)


def _dispatch(given: list[str]) -> int:
    if not given:
        print(root_help())
        return 2
    first, *rest = given
    if first in ("--help", "-h", "help"):
        if rest and rest[0] in COMMANDS:
            return _run([*rest, "--help"])
        print(root_help())
        return 0
    if first == "--version":
        from edgekit.core.version import VERSION

        print(f"edgekit {VERSION}")
        return 0
    return _run(given) if first in COMMANDS else _unknown(first)


def _unknown(name: str) -> int:
    from edgekit.core.suggest import unknown

    if name.startswith("-"):
        message, hint = f"no command before {name}", f"options go after the command: edgekit COMMAND {name}"
    else:
        message, hint = unknown("command", name, COMMANDS)
    print(f"error: {message}\nhint:  {hint}", file=sys.stderr)
    return 2


def _run(given: list[str]) -> int:
    import importlib

    from edgekit.cli import invocation

    module = importlib.import_module(COMMANDS[given[0]][0])
    return invocation.run(given[0], module.app, given[1:])


if __name__ == "__main__":
    main()
