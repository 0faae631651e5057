"""The queries that only read sessions: one statement each, which locks nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sessionward.backends.sql.dialect import Dialect
from sessionward.backends.sql.executor import Executor, Lookup, reads
from sessionward.backends.sql.leases import lease_and_wait
from sessionward.backends.sql.statements import AT_ONCE, parameters
from sessionward.credential.token import Credential
from sessionward.errors import BackendUnavailable
from sessionward.session.era import NO_ERA, in_era
from sessionward.session.session import Checked, Position, Session, SessionList

NOBODY: Final = UUID(int=0)
"""No session has this id."""

MOST: Final = 2**31 - 1
"""The limit of a list that has none."""

MOST_MADE: Final = 4096
"""How many sessions a worker keeps as they were read last, about 2 KB each."""
_MADE: Final[dict[tuple[str, object], tuple[tuple[Any, ...], Session]]] = {}
"""By the dialect and the id: the rest of a session's row, and what was made of it. Threads share it: each change is one operation."""

_FIRST: Final = datetime.max.replace(tzinfo=UTC)
_ABOVE: Final = UUID(int=2**128 - 1)


def check(digest: bytes) -> Lookup[Checked]:
    """P1: the session and the lease come from one statement, so a worker that reads a new lease also reads what was revoked before."""
    return Lookup("check", {"digest": digest}, _checked)


def find(digest: bytes) -> Lookup[Session | None]:
    return Lookup("check", {"digest": digest}, _found)


@reads
def find_many(executor: Executor, credentials: Collection[Credential]) -> Collection[Credential]:
    """Returns those that prove a live session."""
    digests = list({credential.digest for credential in credentials})
    live: set[bytes] = set()
    for start in range(0, len(digests), AT_ONCE[-1]):
        batch = digests[start : start + AT_ONCE[-1]]
        size = next(size for size in AT_ONCE if size >= len(batch))
        filled = batch + batch[:1] * (size - len(batch))
        rows = executor.rows(f"live_of_{size}", **dict(zip(parameters(size), filled, strict=True)))
        refuse_rolled_back(any(digest is None for (digest,) in rows))
        live.update(bytes(digest) for (digest,) in rows)
    return [credential for credential in credentials if credential.digest in live]


@reads
def listed(executor: Executor, user_id: str, after: Position | None, limit: int | None, without: UUID | None) -> SessionList:
    """Returns a page of the live sessions of a user. The number of all of them is right also where the page is empty."""
    dialect = executor.dialect
    at, place = (_FIRST, _ABOVE) if after is None or after.issued_at is None else (after.issued_at, after.id)
    rows = executor.rows(
        "list",
        user=dialect.user_in(user_id),
        without=dialect.id_in(without or NOBODY),
        at=dialect.time_in(at),
        place=dialect.id_in(place),
        limit=MOST if limit is None else limit,
    )
    *_, total, now, rolled_back = rows[0]
    refuse_rolled_back(rolled_back)
    sessions = [_session(dialect, tuple(row[:-3])) for row in rows if row[0] is not None]
    return SessionList(sessions, int(total), dialect.time_out(now))


@reads
def generation(executor: Executor, user_id: str) -> int:
    row = executor.row("generation", user=executor.dialect.user_in(user_id))
    assert row is not None
    generation, era, rolled_back = row
    refuse_rolled_back(rolled_back)
    return in_era(int(era), int(generation or 0))


def refuse_rolled_back(rolled_back: object) -> None:
    """Raises ``BackendUnavailable`` if another worker has found that the server lacks commits: on connections of before, too."""
    if rolled_back:
        raise BackendUnavailable("this PostgreSQL server has lost commits; an operator must decide: sessionward restored")


def _found(dialect: Dialect, row: Sequence[Any] | None) -> Session | None:
    return _checked(dialect, row).session


def _checked(dialect: Dialect, row: Sequence[Any] | None) -> Checked:
    assert row is not None
    ended_at, now, lease, former_lease, lowered_at, era, rolled_back = row[-7:]
    refuse_rolled_back(rolled_back)
    own = tuple(row[:-7])
    if own[0] is None:
        return Checked(None)
    now = dialect.time_out(now)
    lease, wait = lease_and_wait(dialect, lease, former_lease, lowered_at, now)
    if ended_at is not None or own[-1] != (era or NO_ERA):  # P6: nor is a session of another era live
        _MADE.pop((dialect.name, own[0]), None)
        return Checked(None, has_ended=True, user_id=dialect.user_out(own[1]), lease=lease, wait=wait)
    session = _session(dialect, own)
    assert session.expires_at is not None
    remaining = (session.expires_at - now).total_seconds()
    if remaining <= 0:
        return Checked(None, user_id=session.user_id, lease=lease, wait=wait)
    return Checked(session, user_id=session.user_id, remaining=remaining, lease=lease, wait=wait)


def _session(dialect: Dialect, row: tuple[Any, ...]) -> Session:
    """Returns the session of a row: the one that was made of it before, if the row has not changed since then."""
    key, rest = (dialect.name, row[0]), row[1:]  # the id is equal by then, and a UUID is compared by Python code
    known = _MADE.get(key)
    if known is not None and known[0] == rest:
        return known[1]
    session = _made(dialect, row)
    if len(_MADE) >= MOST_MADE:
        _MADE.clear()
    _MADE[key] = rest, session
    return session


def _made(dialect: Dialect, row: tuple[Any, ...]) -> Session:
    own, user_id, issued_at, authenticated_at, expires_at, ends_at, generation, app_session, *rest = row
    last_seen_at, methods, address, agent, kind, actor, era = rest
    out = dialect.time_out
    return Session(
        id=dialect.id_out(own),
        user_id=dialect.user_out(user_id),
        issued_at=out(issued_at),
        authenticated_at=None if authenticated_at is None else out(authenticated_at),
        expires_at=out(expires_at),
        ends_at=None if ends_at is None else out(ends_at),
        generation=in_era(int(era), int(generation or 0)),
        app_session=app_session,
        last_seen_at=out(last_seen_at),
        methods=tuple(methods.split()),
        ip_address=address,
        user_agent=agent,
        kind=kind or "",
        actor=None if actor is None else dialect.user_out(actor),
    )
