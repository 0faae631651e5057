"""The commands ``sessionward sessions`` and ``sessionward revoke``: an administrator lists and revokes the sessions of a user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sessionward.cli.database import over, refuse, told_if_stopped
from sessionward.session.session import Session, SessionList, user_key


def sessions(database: str, user: str) -> int:
    """Lists the live sessions of USER, the newest sign-in first: id, kind, times, address and browser. It shows no token.

    The database keeps no tokens, only their digests, which are not shown either.
    """
    return over(database, lambda backend: _list(user, backend.list(user_key(user))))


def revoke(database: str, user: str, session: UUID | None) -> int:
    """Revokes all sessions of USER, impersonations included, or the one with the id ID. Sign-ins under way must begin again.

    With ID they need not. With --everybody, all sessions of all users are revoked. The command returns when no worker accepts these
    sessions any more, as long as a lease lasts.
    """
    with told_if_stopped():
        if session is None:
            return over(database, lambda backend: _count(backend.revoke_all(user_key(user))))
        return over(database, lambda backend: _one(was_live=backend.revoke(user_key(user), session)))


def _list(user: str, found: SessionList) -> int:
    if not found:
        print(f"{_printable(user)} has no live session.")
        return 0
    rows = [("id", "kind", "signed in", "last seen", "ends", "address", "browser"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(_line(row, widths))
    return 0


def _row(session: Session) -> tuple[str, ...]:
    kind = f"{session.kind} by {session.actor}" if session.kind else "sign-in"
    times = map(_time, (session.issued_at, session.last_seen_at, session.expires_at))
    return (str(session.id), _printable(kind), *times, _printable(session.ip_address or "-"), _printable(session.user_agent or "-"))


def _line(row: Sequence[str], widths: Iterable[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _printable(text: str) -> str:
    """Returns what a client has written, fit for a terminal: no escape sequence, no character that turns the line round."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _count(count: int) -> int:
    print("Revoked 1 session." if count == 1 else f"Revoked {count} sessions.")
    return 0


def _one(*, was_live: bool) -> int:
    if not was_live:
        return refuse("no live session of this user has this id", code=1)
    return _count(1)
