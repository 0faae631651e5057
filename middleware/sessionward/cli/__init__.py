"""The command ``sessionward``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, TextIO
from uuid import UUID

from sessionward import __version__
from sessionward.cli.demo.run import demo
from sessionward.cli.everybody import restored, revoke_everybody
from sessionward.cli.index import index
from sessionward.cli.lease import lease
from sessionward.cli.sessions import revoke, sessions
from sessionward.cli.sidecar import COMMANDS, add_commands
from sessionward.cli.sidecar import run as run_sidecar
from sessionward.errors import SessionwardError, UsageError
from sessionward.session.session import user_key
from sessionward.settings import MAX_LEASE

_DATABASE: Final = "a database as serve takes it: postgresql://user@host/db, redis://host/0; not memory, and not django"
_ANY: Final = (
    "the URL of sessionward's database or Redis, django (with DJANGO_SETTINGS_MODULE), or package.module:object, a backend of the"
    " application"
)


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
    leased = commands.add_parser(
        "lease",
        help="show for how long workers trust an answer of a database, or set it",
        description=lease.__doc__,
        allow_abbrev=False,
    )
    leased.add_argument("--backend", required=True, metavar="URL", help=_DATABASE)
    leased.add_argument("seconds", nargs="?", type=_seconds, default=None, metavar="SECONDS", help="sets it: 0 to 5")
    listed = commands.add_parser("sessions", help="list the live sessions of a user", description=sessions.__doc__, allow_abbrev=False)
    revoked = commands.add_parser(
        "revoke", help="revoke the sessions of a user, or one, or those of all users", description=revoke.__doc__, allow_abbrev=False
    )
    ended = commands.add_parser(
        "restored",
        help="after a backup was restored or a replica promoted: revoke all sessions of all users",
        description=restored.__doc__,
        allow_abbrev=False,
    )
    ended.add_argument(
        "--nothing-lost",
        action="store_true",
        help="PostgreSQL: revoke nothing; accept the server, since it has all commits (a planned move, pg_upgrade)",
    )
    for command, database in ((listed, _DATABASE), (revoked, f"{_DATABASE}; with --everybody, {_ANY}"), (ended, _ANY)):
        command.add_argument("--backend", required=True, metavar="URL", help=database)
    whose = "the user's id, as the application gives it to login()"
    listed.add_argument("user", type=_user, metavar="USER", help=whose)
    revoked.add_argument("--everybody", action="store_true", help="revoke all sessions of all users, in place of USER")
    revoked.add_argument("user", nargs="?", type=_user, default=None, metavar="USER", help=whose)
    revoked.add_argument("session", nargs="?", type=_uuid, default=None, metavar="ID", help="the id of the one session to revoke")
    add_commands(commands)
    chosen, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"{chosen.command} does not know {' '.join(unknown)}; see sessionward {chosen.command} --help")
    if chosen.command == "revoke" and chosen.everybody is (chosen.user is not None):
        revoked.error("give USER, or --everybody for all users, and not both")
    output: TextIO | None = sys.stdout  # None where a shell has closed it
    try:
        code = run_sidecar(chosen) if chosen.command in COMMANDS else _run(chosen)
        if output is not None:
            output.flush()
    except BrokenPipeError:  # the program that reads our output has ended
        if output is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())  # so that Python's last flush does not fail
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


def _run(chosen: argparse.Namespace) -> int:
    """Runs the command that was chosen. Returns the exit code."""
    signal.signal(signal.SIGTERM, _leave)
    if chosen.command == "index":
        return _index(chosen.batch, incomplete=chosen.incomplete)
    if chosen.command == "lease":
        return lease(chosen.backend, chosen.seconds)
    if chosen.command == "sessions":
        return sessions(chosen.backend, chosen.user)
    if chosen.command == "restored":
        return restored(chosen.backend, nothing_lost=chosen.nothing_lost)
    if chosen.command == "revoke" and chosen.everybody:
        return revoke_everybody(chosen.backend)
    if chosen.command == "revoke":
        return revoke(chosen.backend, chosen.user, chosen.session)
    try:
        demo(once=chosen.once, port=chosen.port)
    except BrokenPipeError:
        raise
    except (OSError, SessionwardError) as error:
        print(f"sessionward: cannot serve the demo: {error}", file=sys.stderr)
        return 1
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


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_LEASE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {MAX_LEASE:g}")
    return seconds


def _user(text: str) -> str:
    try:
        user_key(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a session (sessionward sessions shows them)") from None


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)
