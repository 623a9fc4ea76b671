"""An emulated arm64 board (Debian under QEMU, with a Raspberry Pi 4's core) that anyone can start.

    python tools/board start [--cpu cortex-a53|cortex-a72|cortex-a76] [--suite bullseye|bookworm|trixie]
        [--arch arm64|armhf] [--without-python] [--with PACKAGE] [--memory MiB] [--port N] [--name NAME] [--json]
    python tools/board ssh uname -a
    python tools/board list
    python tools/board reset
    python tools/board stop
    python tools/board build [--fresh]

The first start makes the image from Debian's packages (about a minute); later ones restore a booted state in seconds.
Every start gives a new board: what was written on the last one is gone, its keys stay. A restored board keeps its boot
id; --cold boots instead. reset cuts the power: what the board had only in memory is gone, its disk stays.
Its times are an emulator's and say nothing about a real board.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shlex
import signal
import sys
import time

from board import Board, all_running, running, ssh_command
from host import BoardError, require_programs, say
from image import ensure_image
from machine import CPUS
from power import reset, start, stop
from variant import ARCHITECTURES, SUITES, Variant

NAMES = {"cortex-a53": "emulated-pi3", "cortex-a72": "emulated-pi4", "cortex-a76": "emulated-pi5"}


def main() -> int:
    """The exit status: 0, or edgekit's (2 usage, 3 something is missing, 5 the board)."""
    options = _parser().parse_args()
    os.umask(0o022)  # files of the board are written here: its users must be able to read them
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # half-started machines are ended then too
    try:
        return int(options.run(options))
    except BoardError as error:
        print(f"board: {error}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python tools/board", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: object, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    def image_options(command: argparse.ArgumentParser) -> None:
        command.add_argument("--suite", choices=sorted(SUITES), default="bookworm", help="Debian 11, 12 or 13")
        command.add_argument("--arch", choices=ARCHITECTURES, default="arm64", help="of programs; armhf: 32 bits")
        command.add_argument("--without-python", action="store_true", help="a board that has no Python")
        command.add_argument("--with", dest="extra", type=_package, action="append", default=[], metavar="PACKAGE")
        mirror = "a Debian mirror (the folder that contains dists/); default: the one of this machine's apt"
        command.add_argument("--mirror", help=mirror)

    begin = add("start", _start, "start a board and print how edgekit reaches it")
    begin.add_argument("--cpu", choices=sorted(CPUS), default="cortex-a72", help="its core: that of Pi 3, 4 or 5")
    begin.add_argument("--memory", type=_memory, default=1024, metavar="MiB", help="default 1024")
    begin.add_argument("--port", type=_port, default=0, help="on 127.0.0.1; default: a free one")
    begin.add_argument("--name", type=_name, help="default emulated-pi4 (or -pi3, -pi5, by the core), and its variant")
    begin.add_argument("--cold", action="store_true", help="boot instead of restoring a booted state")
    image_options(begin)
    begin.add_argument("--json", action="store_true", help="one JSON document on stdout")

    end = add("stop", _stop, "end a board; what was written on it is gone")
    end.add_argument("--name", type=_name, default=NAMES["cortex-a72"])

    cut = add("reset", _reset, "cut a board's power and wait until it is back: its disk stays")
    cut.add_argument("--name", type=_name, default=NAMES["cortex-a72"])

    status = add("list", _list, "the boards that run")
    status.add_argument("--json", action="store_true", help="one JSON document on stdout")

    shell = add("ssh", _ssh, "a shell, or one command, on a board")
    shell.add_argument("--name", type=_name, default=NAMES["cortex-a72"])
    shell.add_argument("--root", action="store_true", help="as root instead of pi")
    shell.add_argument("command", nargs=argparse.REMAINDER)

    build = add("build", _build, "make the image, which start does too when there is none")
    build.add_argument("--fresh", action="store_true", help="again, with the packages of today; keys change")
    image_options(build)
    return parser


def _start(options: argparse.Namespace) -> int:
    begin = time.monotonic()
    require_programs()
    image, reused = ensure_image(_variant(options), mirror=options.mirror)
    made = time.monotonic()
    name = options.name or "-".join([NAMES[options.cpu], *image.variant.words])
    board, already = start(
        image, name=name, cpu=options.cpu, memory_mib=options.memory, port=options.port, cold=options.cold
    )
    if options.json:
        seconds = {"image": round(made - begin, 1), "start": round(time.monotonic() - made, 1)}
        more = {"image_reused": reused, "already_running": already, "seconds": seconds}
        print(json.dumps({**_record(board, "start"), **more}, indent=2))
        return 0
    state = "runs already" if already else f"answers after {time.monotonic() - begin:.1f} s"
    say(f"{board.name} {state}: {board.model}, {image.variant.text}, {board.cores} cores, {board.memory_mib} MiB")
    profile = "generic-arm64" if image.variant.architecture == "arm64" else "generic-armv7"
    add = ["edgekit", "devices", "add", name, "--host", board.host, "--port", str(board.port), "--user", board.user]
    print(shlex.join([*add, "--identity-file", board.key, "--profile", profile]))
    print(shlex.join(["edgekit", "devices", "trust", name, "--fingerprint", board.fingerprint]))
    return 0


def _stop(options: argparse.Namespace) -> int:
    stopped = stop(options.name)
    say(f"{options.name} {'is stopped' if stopped else 'was not running'}")
    return 0


def _reset(options: argparse.Namespace) -> int:
    begin = time.monotonic()
    board = reset(options.name)
    say(f"{board.name} answers again after {time.monotonic() - begin:.1f} s")
    return 0


def _list(options: argparse.Namespace) -> int:
    boards = all_running()
    if options.json:
        records = [dataclasses.asdict(board) for board in boards]
        print(json.dumps({"schema": "edgekit.board/1", "command": "list", "boards": records}, indent=2))
        return 0
    for board in boards:
        kind = f"{board.model}, {board.suite} {board.architecture}"
        print(f"{board.name}  {board.host}:{board.port}  pid {board.pid}  {kind}")
    if not boards:
        say("none runs; start one: python tools/board start")
    return 0


def _ssh(options: argparse.Namespace) -> int:
    board = running(options.name)
    if board is None:
        raise BoardError(f"{options.name} does not run", hint=f"python tools/board start --name {options.name}")
    command = ssh_command(board, user="root" if options.root else None)
    os.execv(command[0], [*command, *options.command])


def _build(options: argparse.Namespace) -> int:
    require_programs()
    image, reused = ensure_image(_variant(options), fresh=options.fresh, mirror=options.mirror)
    say(f"{'there already' if reused else 'made'}: {image.folder}")
    return 0


def _variant(options: argparse.Namespace) -> Variant:
    extra = tuple(sorted(set(options.extra)))
    return Variant(suite=options.suite, architecture=options.arch, python=not options.without_python, extra=extra)


def _record(board: Board, command: str) -> dict[str, object]:
    return {"schema": "edgekit.board/1", "command": command, **dataclasses.asdict(board)}


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", text):
        raise argparse.ArgumentTypeError("small letters, digits, '.', '_' and '-'")
    return text


def _package(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", text):
        raise argparse.ArgumentTypeError("the name of a Debian package")
    return text


def _memory(text: str) -> int:
    if not text.isdigit() or not 256 <= int(text) <= 65536:
        raise argparse.ArgumentTypeError("256 to 65536")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError("1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
