"""A row of the application's table: what we read of it, and what it says about its session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sessionward.backends.sql.dialect import Dialect
from sessionward.backends.table.columns import Clock, Kind
from sessionward.backends.table.described import Table
from sessionward.backends.table.layout import REVOKED, Layout, Timestamp
from sessionward.context import MAX_USER_AGENT
from sessionward.credential.token import Credential
from sessionward.errors import ConfigurationError
from sessionward.session.session import Session, public_id


class About(NamedTuple):
    """What a row says about its session, as far as the application has named columns for it."""

    issued_at: datetime | None = None
    last_seen_at: datetime | None = None
    ip_address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One session. ``key`` and ``user``: as the driver returns them, and accepts them again.

    ``mistake``: the column of the expiry holds something else in this row. Then the row counts as live until its own session asks.
    ``about``: only where the statement reads it.
    """

    key: Any
    user: Any
    is_revoked: bool
    is_expired: bool
    expires_at: datetime | None
    mistake: ConfigurationError | None
    clock: Clock
    about: About | None = None

    @property
    def is_live(self) -> bool:
        return not self.is_revoked and not self.is_expired


def row_of(found: Sequence[Any], layout: Layout, table: Table, dialect: Dialect) -> Row:
    """Returns the row that a statement has found."""
    key, user, expires, has_expired, is_revoked, now, local, *about = found
    clock = Clock.of(now, local, dialect)
    renamed = layout.rename and str(key).startswith(REVOKED)
    expires_at, is_expired, mistake = expiry_of(expires, has_expired, layout, table, clock)
    said = _about(about, layout, table, clock) if about else None
    return Row(key, user, bool(is_revoked) or renamed, is_expired, expires_at, mistake, clock, said)


def expiry_of(
    value: Any, has_expired: int | None, layout: Layout, table: Table, clock: Clock
) -> tuple[datetime | None, bool, ConfigurationError | None]:
    """Returns when a row expires, whether it has, and what is wrong with its value. ``has_expired``: None if we compare."""
    expires = layout.expires
    if expires is None:
        return None, False, None
    if has_expired is not None:
        at = None
        with suppress(ConfigurationError):  # a time that no calendar has, which the database can compare all the same
            at = expires.of(value, table.expires, clock)
        return at, bool(has_expired), None
    try:
        at = expires.of(value, table.expires, clock)
    except ConfigurationError as mistake:
        return None, False, mistake
    return at, at is not None and at <= clock.now, None


# --- as a session -----------------------------------------------------------------------------------------------------


def id_of(row: Row, table: Table) -> UUID:
    """Returns the public id of a row's session, from the digest of its key: the cookie may change while the key stays."""
    return public_id(key_of(row, table))


def key_of(row: Row, table: Table) -> Credential:
    """Returns the key of a row."""
    key = table.key.normalized(row.key)
    return Credential(key if isinstance(key, bytes) else str(key).encode())


def session_of(row: Row, table: Table, credential: Credential | None = None, key: Credential | None = None) -> Session:
    """Returns the session of a row. ``credential``, ``key``: only the caller's own session has them."""
    about = row.about or About()
    return Session(
        id=id_of(row, table),
        user_id=table.user.to_user_id(row.user),
        issued_at=about.issued_at,
        authenticated_at=about.issued_at,
        expires_at=row.expires_at,
        last_seen_at=about.last_seen_at,
        ip_address=about.ip_address,
        user_agent=about.user_agent,
        credential=credential,
        key=key,
    )


def _about(found: Sequence[Any], layout: Layout, table: Table, clock: Clock) -> About:
    issued, last_seen, ip_address, user_agent = found
    return About(
        _time(layout.issued, issued, table.times.get("issued"), clock),
        _time(layout.last_seen, last_seen, table.times.get("last_seen"), clock),
        _text(ip_address),
        _text(user_agent),
    )


def _time(column: Timestamp | None, value: Any, kind: Kind | None, clock: Clock) -> datetime | None:
    with suppress(ConfigurationError):  # what is shown must not keep the user from revoking; check() says what is wrong
        return None if column is None or kind is None else column.of(value, kind, clock)
    return None


def _text(value: Any) -> str | None:
    """Returns text as we show it. PostgreSQL's ``inet`` comes as an address, and a ``BLOB`` as bytes."""
    if value is None:
        return None
    text = value.decode("utf-8", "replace") if isinstance(value, (bytes, bytearray)) else str(value)
    return text[:MAX_USER_AGENT] or None
