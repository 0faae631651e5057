"""The command ``sessionward``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from sessionward import __version__
from sessionward.cli.demo import demo
from sessionward.cli.index import index
from sessionward.cli.sidecar import COMMANDS, add_commands
from sessionward.cli.sidecar import run as run_sidecar


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers its exit code: 0 done, 1 it could not be done, 2 it was called wrongly, 128 + the signal."""
    parser = argparse.ArgumentParser(prog="sessionward", description="Sign out my other devices, in front of any Python web application.")
    parser.add_argument("--version", action="version", version=f"sessionward {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shown = commands.add_parser("demo", help="see it work: a small application, three devices, one button", description=demo.__doc__)
    shown.add_argument("--once", action="store_true", help="end after the story, instead of serving the page until Ctrl-C")
    shown.add_argument("--port", type=_port, default=0, help="serve on this port of 127.0.0.1 (default: any free one)")
    indexed = commands.add_parser(
        "index", help="Django: look once at all sessions, so that none has to be searched for", description=index.__doc__
    )
    indexed.add_argument("--batch", type=_size, default=5000, metavar="N", help="sessions that are looked at in one step (default: 5000)")
    indexed.add_argument(
        "--incomplete", action="store_true", help="do not look; take back that the index is complete: something saves sessions without us"
    )
    add_commands(commands)
    chosen = parser.parse_args(arguments)
    if chosen.command in COMMANDS:
        return run_sidecar(chosen)
    signal.signal(signal.SIGTERM, _leave)
    if chosen.command == "index":
        return _index(chosen.batch, incomplete=chosen.incomplete)
    try:
        demo(once=chosen.once, port=chosen.port)
    except OSError as error:
        print(f"sessionward: the demo cannot be served: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _index(batch: int, *, incomplete: bool) -> int:
    try:
        return index(batch=batch, incomplete=incomplete)
    except KeyboardInterrupt:
        print("\nsessionward: stopped; the next run goes on from here", file=sys.stderr)
        return 128 + signal.SIGINT


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)  # an exception, so that what was begun is tidied up


def _size(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100000")
    return int(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)
