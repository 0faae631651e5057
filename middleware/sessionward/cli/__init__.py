"""The command ``sessionward``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from sessionward import __version__
from sessionward.cli.demo.run import demo
from sessionward.cli.index import index
from sessionward.cli.sidecar import COMMANDS, add_commands
from sessionward.cli.sidecar import run as run_sidecar
from sessionward.errors import SessionwardError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit code: 0 done, 1 failed, 2 wrong arguments, 128 + the signal that stopped it."""
    parser = argparse.ArgumentParser(prog="sessionward", description="Sign out my other devices, in front of any Python web application.")
    parser.add_argument("--version", action="version", version=f"sessionward {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shown = commands.add_parser(
        "demo",
        help="see it work: three devices, one button, and a page to try in two browsers",
        description=demo.__doc__,
        allow_abbrev=False,
    )
    shown.add_argument("--once", action="store_true", help="stop after the story; serve no page")
    shown.add_argument("--port", type=_port, default=0, help="listen on this port of 127.0.0.1 (default: any free one)")
    indexed = commands.add_parser(
        "index", help="Django: read all sessions once, so that no later call has to search for them", description=index.__doc__
    )
    indexed.add_argument("--batch", type=_size, default=5000, metavar="N", help="how many sessions to read in one step (default: 5000)")
    indexed.add_argument(
        "--incomplete", action="store_true", help="read nothing; record that the index is incomplete, since another process saves sessions"
    )
    add_commands(commands)
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"{chosen.command} does not know {' '.join(unknown)}; see sessionward {chosen.command} --help")
    if chosen.command in COMMANDS:
        return run_sidecar(chosen)
    signal.signal(signal.SIGTERM, _leave)
    if chosen.command == "index":
        return _index(chosen.batch, incomplete=chosen.incomplete)
    try:
        demo(once=chosen.once, port=chosen.port)
    except BrokenPipeError:  # the program that reads our output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's last flush does not fail
        return 128 + signal.SIGPIPE
    except (OSError, SessionwardError) as error:
        print(f"sessionward: cannot serve the demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _index(batch: int, *, incomplete: bool) -> int:
    try:
        return index(batch=batch, incomplete=incomplete)
    except KeyboardInterrupt:
        print("\nsessionward: stopped; the next run continues here", file=sys.stderr)
        return 128 + signal.SIGINT


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)  # raises SystemExit, so that finally blocks run


def _size(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100000")
    return int(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)
