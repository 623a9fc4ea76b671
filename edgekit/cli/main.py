"""The entry point: finds the command, loads only its module, and turns errors into messages and exit statuses.

``edgekit --help`` must not pay for what it does not use, so the root help comes from a table and Typer is imported
when a command runs.
"""

from __future__ import annotations

import sys

from edgekit.cli.commands import COMMANDS, root_help


def main(arguments: list[str] | None = None) -> None:
    """Runs ``edgekit`` and exits with the contract's status."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or (given[0] in ("--help", "-h", "help") and len(given) == 1):
        print(root_help())
        sys.exit(0 if given else 2)
    if given[0] == "--version":
        from edgekit.core.version import VERSION

        print(f"edgekit {VERSION}")
        sys.exit(0)
    if given[0] not in COMMANDS:
        _unknown_command(given[0])
    sys.exit(_run(given))


def _unknown_command(name: str) -> None:
    from edgekit.core.suggest import unknown

    message, hint = unknown("command" if not name.startswith("-") else "option", name, COMMANDS)
    print(f"error: {message}\nhint:  {hint}", file=sys.stderr)
    sys.exit(2)


def _run(given: list[str]) -> int:
    import importlib

    from edgekit.cli import invocation

    module = importlib.import_module(COMMANDS[given[0]][0])
    return invocation.run(given[0], module.app, given[1:])


if __name__ == "__main__":
    main()
