"""Cuts a page out of all sessions of a user, for backends whose database cannot sort them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sessionward.session.session import Position, Session, SessionList


def paged(
    sessions: Iterable[Session], *, after: Position | None, limit: int | None, without: UUID | None, now: datetime | None
) -> SessionList:
    """Returns a page of the live sessions of one user, as ``list`` of a backend returns it. A session without ``issued_at`` comes last."""
    others = sorted((session for session in sessions if session.id != without), key=_place_of, reverse=True)
    behind = others if after is None else [session for session in others if _place_of(session) < _place(after)]
    return SessionList(behind[:limit], len(others), now)


_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


def _place_of(session: Session) -> tuple[datetime, UUID]:
    return _place(Position.of(session))


def _place(position: Position) -> tuple[datetime, UUID]:
    """Returns a place that can be compared with every other one."""
    return position.issued_at or _EARLIEST, position.id
