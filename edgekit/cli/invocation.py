"""One invocation of a command: the options that all share, the project file's defaults, errors to exit statuses."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import traceback
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.exceptions import Abort, Exit, TyperException

from edgekit.cli.output import Output
from edgekit.core.errors import EdgekitError, UsageError

_COMMON: dict[str, Any] = {
    "json_": Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="More progress.")],
    "debug": Annotated[bool, typer.Option("--debug", envvar="EDGEKIT_DEBUG", help="Show tracebacks.")],
}

_running: Output | None = None
_context: typer.Context | None = None
_answered = False


def new_app(help_text: str, *, example: str = "") -> typer.Typer:
    """An app for one command, or for one group of subcommands, which has an example of its own."""
    return typer.Typer(
        help=help_text,
        epilog=f"Example: {example}" if example else None,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
    )


def command(app: typer.Typer, name: str, *, example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a function as a command; it gets ``out`` beside its own options.

    A parameter whose type is a dataclass is a group of options: each field becomes one.

    Args:
        app: from :func:`new_app`.
        name: as in documents: ``devices add`` is a subcommand ``add``.
        example: one real command line, shown below the help.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        declared = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "out"]
        groups: dict[str, Any] = {p.name: p.annotation for p in declared if dataclasses.is_dataclass(p.annotation)}
        own = [option for p in declared for option in (_options(groups[p.name]) if p.name in groups else [p])]
        common = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for key, kind in _COMMON.items()
        ]

        @functools.wraps(function)
        def run(context: typer.Context, **given: Any) -> None:
            global _running, _context
            _context = context
            as_json, quiet, verbose, debug = (given.pop(key) for key in _COMMON)
            _running = Output(name, as_json=as_json, quiet=quiet, verbose=verbose, debug=debug)
            for parameter, group in groups.items():
                given[parameter] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
            function(**given, out=_running)

        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        run.__signature__ = inspect.Signature([context, *own, *common])  # type: ignore[attr-defined]  # inspect's own protocol
        run.__annotations__ = {p.name: p.annotation for p in [context, *own, *common]}
        app.command(name.split()[-1], epilog=f"Example: {example}")(run)
        return function

    return register


def _options(group: Any) -> list[inspect.Parameter]:
    kinds = typing.get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=kinds[field.name]
        )
        for field in dataclasses.fields(group)
    ]


class Interrupted(EdgekitError):
    """Ctrl-C; its status is a shell's."""

    exit_code = 130


def run(name: str, app: typer.Typer, arguments: list[str]) -> int:
    """Runs a command and returns the exit status of the contract."""
    try:
        return _call(name, app, arguments)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as problem:  # noqa: BLE001 - no traceback reaches a user unless asked for
        error, command = _named(problem, name)
        out = _running or _unstarted(command, arguments)
        if out.debug:
            traceback.print_exception(problem)
        out.failure(error)
        return error.exit_code


def _named(problem: BaseException, name: str) -> tuple[EdgekitError, str]:
    """What a user hears of an exception, and the command that it is about: ``results export`` within ``results``."""
    if isinstance(problem, EdgekitError):
        return problem, name
    if isinstance(problem, (KeyboardInterrupt, Abort)):
        return Interrupted("interrupted; what was finished is kept"), name
    if isinstance(problem, TyperException):
        context = getattr(problem, "ctx", None)
        path = context.command_path if context else f"edgekit {name}"
        hint = f"`{path} --help` lists the options"
        return UsageError(problem.format_message(), hint=hint), path.removeprefix("edgekit ")
    hint = "this is a defect of edgekit; run it again with --debug and report the traceback"
    return EdgekitError(f"unexpected {type(problem).__name__}: {problem}", hint=hint), name


def _call(name: str, app: typer.Typer, arguments: list[str]) -> int:
    from edgekit.cli.project import defaults

    tree = typer.main.get_command(app)
    try:
        status = tree.main(
            arguments,
            prog_name=f"edgekit {name}",
            standalone_mode=False,
            default_map={} if {"--help", "-h"} & set(arguments) else defaults(),
            max_content_width=100,
            help_option_names=["--help", "-h"],
        )
    finally:
        settle()
    if status == Interrupted.exit_code and not _answered:  # typer makes a status of Ctrl-C
        raise KeyboardInterrupt
    return status if isinstance(status, int) else 0  # what exit_with gave


def _unstarted(name: str, arguments: list[str]) -> Output:
    """For a command that failed before its options were understood."""
    debug = "--debug" in arguments or bool(os.environ.get("EDGEKIT_DEBUG"))
    return Output(name, as_json="--json" in arguments, quiet=False, verbose=False, debug=debug)


def settle() -> None:
    """Takes the running command's spinner off the terminal; the next event brings it back."""
    if _running is not None:
        _running.close()


def running_command() -> str:
    """``deploy``, ``devices provision``, …: what others are told who want the same board."""
    return _running.command if _running is not None else ""


def options_given() -> list[str]:
    """The running command's own options that its command line names: ``--device``, …; not those that all share."""
    if _context is None:
        return []
    return [
        str(option.opts[0])
        for option in _context.command.params
        if option.name not in _COMMON
        and str(option.opts[0]).startswith("-")
        and getattr(_context.get_parameter_source(option.name or ""), "name", "") == "COMMANDLINE"
    ]


def exit_with(status: int) -> typing.NoReturn:
    """Ends the command with a status other than 0 after its answer was printed."""
    global _answered
    _answered = True
    raise Exit(status)
