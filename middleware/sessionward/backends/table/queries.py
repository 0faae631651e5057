"""What is asked of the application's table, and the order of the locks.

There is no row of the user's to lock, as in our own tables, so all of the user's rows are locked, always in the order of
their keys: whoever comes second waits at a row, and sees after that what became of the own one. Then each row is ended
by its key. Rows that the application adds meanwhile are logins that came after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sessionward.backends.sql.dialect import MYSQL, Dialect
from sessionward.backends.sql.executor import Executor, Query
from sessionward.backends.table.columns import Clock, Column, Kind, column_of
from sessionward.backends.table.layout import RENAMED_LENGTH, REVOKED, Layout
from sessionward.backends.table.transform import Key, Transform
from sessionward.credential.token import Credential, new_token
from sessionward.errors import BackendUnavailable, ConfigurationError, SessionRevoked, UsageError
from sessionward.session.session import Session, public_id


@dataclass(frozen=True, slots=True)
class _Table:
    """The table as the database describes it."""

    key: Column
    user: Column
    expires: Kind
    ended: Kind


@dataclass(frozen=True, slots=True)
class _Row:
    """One session. ``key`` and ``user``: as the driver gives them, and takes them back."""

    key: Any
    user: Any
    has_ended: bool
    expires_at: datetime | None
    clock: Clock

    @property
    def is_live(self) -> bool:
        return not self.has_ended and (self.expires_at is None or self.expires_at > self.clock.now)


class Queries:
    """The queries of one backend."""

    def __init__(self, layout: Layout, transform: Transform) -> None:
        self._layout = layout
        self._transform = transform
        self._filters = layout.filters
        self._seen: _Table | None = None

    def check(self) -> Query[None]:
        """Looks at the table. Raises :class:`ConfigurationError` for what does not fit, with the columns that there are."""
        return Query(self._check, writes=False)

    def find(self, credential: Credential) -> Query[Session | None] | None:
        """The live session of a credential; None where the transform says that it is nobody's."""
        key = self._key(credential)
        return None if key is None else Query(lambda executor: self._find(executor, credential, key), writes=False)

    def revoke_others(self, session: Session) -> Query[int]:
        """Revokes the live sessions of the same user but this one; how many they were."""
        key = self._own_key(session)
        return Query(lambda executor: self._revoke_others(executor, session, key), writes=True)

    def revoke_all(self, user_id: str) -> Query[int]:
        """Revokes all sessions of a user; how many were live."""
        return Query(lambda executor: self._revoke_all(executor, user_id), writes=True)

    # --- keys

    def _key(self, credential: Credential) -> Key | None:
        """What the key column holds for this credential, or None for what costs no query."""
        key = self._transform(credential.reveal())
        return None if key == "" or key == b"" else key

    def _own_key(self, session: Session) -> Key:
        """The same for the session that asks."""
        if session.credential is None:
            raise UsageError("this session was not made by this backend: it carries no credential")
        key = self._key(session.credential)
        if key is None:
            raise SessionRevoked("the credential of the session that asked is not accepted any more")
        return key

    # --- on a connection

    def _check(self, executor: Executor) -> None:
        self._seen = None
        self._table(executor)

    def _find(self, executor: Executor, credential: Credential, key: Key) -> Session | None:
        row = self._own(executor, "find", key)
        if row is None or not row.is_live:
            return None
        return Session(
            id=public_id(credential),
            user_id=self._table(executor).user.told(row.user),
            expires_at=row.expires_at,
            credential=credential,
        )

    def _revoke_others(self, executor: Executor, session: Session, key: Key) -> int:
        before = self._live(executor, "find", session, key)

        def body(executor: Executor) -> int:
            rows = self._locked(executor, before.user)
            own = self._live(executor, "lock_one", session, key)  # P2: the second look, under the lock
            return self._end(executor, [row for row in rows if row.is_live and row.key != own.key])

        return executor.transact(body)

    def _revoke_all(self, executor: Executor, user_id: str) -> int:
        """Rows that have expired by our calculation are revoked as well, but not counted (P5)."""
        user = self._table(executor).user.untold(user_id, executor.dialect)
        if user is None:
            return 0

        def body(executor: Executor) -> int:
            rows = [row for row in self._locked(executor, user) if not row.has_ended]
            self._end(executor, rows)
            return sum(row.is_live for row in rows)

        return executor.transact(body)

    # --- rows

    def _live(self, executor: Executor, statement: str, session: Session, key: Key) -> _Row:
        row = self._own(executor, statement, key)
        if row is None or not row.is_live or self._table(executor).user.told(row.user) != session.user_id:
            raise SessionRevoked("the session that asked is not live any more")
        return row

    def _own(self, executor: Executor, statement: str, key: Key) -> _Row | None:
        """The row of exactly this key, whatever the database takes for equal."""
        column = self._table(executor).key
        put = column.put(key, executor.dialect)
        if put is None:
            return None
        wanted = column.got(put)
        rows = [row for row in self._rows(executor, statement, key=put) if column.got(row.key) == wanted]
        if len(rows) > 1:
            raise self._not_unique()
        return rows[0] if rows and rows[0].user not in (None, "") else None

    def _locked(self, executor: Executor, user: Any) -> Sequence[_Row]:
        """All rows of exactly this user, locked in the order of their keys."""
        column = self._table(executor).user
        wanted = column.got(user)
        if executor.dialect is not MYSQL:
            return [row for row in self._rows(executor, "lock_all", user=user) if column.got(row.user) == wanted]
        # InnoDB locks what it passes, in the order in which it passes it: one by one, by the unique key, it meets nobody else's.
        keys = sorted(row.key for row in self._rows(executor, "of_user", user=user) if column.got(row.user) == wanted)
        rows = [row for key in keys for row in self._rows(executor, "lock_one", key=key) if row.key == key]
        return [row for row in rows if column.got(row.user) == wanted]

    def _end(self, executor: Executor, rows: Sequence[_Row]) -> int:
        table = self._table(executor)
        revoked_by = self._layout.revoked
        for row in rows:
            ended = None if revoked_by is None else revoked_by.revoked
            if revoked_by is not None and ended is None:
                ended = row.clock.write(table.ended, executor.dialect)
            changed = executor.change("end", key=row.key, user=row.user, revoked=ended, renamed=REVOKED + new_token()[:26])
            if changed > 1:
                raise self._not_unique()
            if changed < 1:
                raise BackendUnavailable(
                    f"{executor.dialect.spoken} did not end a row of {self._layout.table} that was locked; is it a view?"
                )
        return len(rows)

    def _rows(self, executor: Executor, statement: str, **values: Any) -> list[_Row]:
        table = self._table(executor)
        return [self._row(row, table, executor.dialect) for row in executor.rows(statement, **values, **self._filters)]

    def _row(self, row: Sequence[Any], table: _Table, dialect: Dialect) -> _Row:
        key, user, expires, ended, now, local = row
        clock = Clock.of(now, local, dialect)
        layout = self._layout
        has_ended = layout.revoked is not None and layout.revoked.says(ended)
        renamed = layout.rename and str(key).startswith(REVOKED)
        expires_at = None if layout.expires is None else layout.expires.of(expires, table.expires, clock)
        return _Row(key, user, has_ended or renamed, expires_at, clock)

    def _not_unique(self) -> ConfigurationError:
        return ConfigurationError(
            f"key: {self._layout.key} of {self._layout.table} is not unique; name a column that is, or add a unique index"
        )

    # --- the table

    def _table(self, executor: Executor) -> _Table:
        """What the database says of the table, asked once; it must not change its types while we run."""
        if self._seen is None:
            found = [(_told(name), _told(declared)) for name, declared in executor.rows("columns")]
            self._seen = _fitted(self._layout, found, executor.dialect)
        return self._seen


def _told(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text  # MySQL 8 gives types as bytes


def _fitted(layout: Layout, found: Sequence[tuple[str, str]], dialect: Dialect) -> _Table:
    """Raises :class:`ConfigurationError` for a table that is not as the layout says, all mistakes at once."""
    if not found:
        raise ConfigurationError(f"table: there is no {layout.table} that this user of {dialect.spoken} can see")
    there = {_folded(name, dialect): column_of(name, declared, dialect) for name, declared in found}
    real = ", ".join(name for name, _ in found)
    mistakes = [
        f"{option}: {layout.table} has no column {name}; it has {real}"
        for option, name in layout.columns
        if _folded(name, dialect) not in there
    ]
    if mistakes:
        raise ConfigurationError(*mistakes)

    def kind(part: Any) -> Kind:
        return Kind.OTHER if part is None else there[_folded(part.column, dialect)].kind

    table = _Table(there[_folded(layout.key, dialect)], there[_folded(layout.user, dialect)], kind(layout.expires), kind(layout.revoked))
    if layout.rename and (table.key.kind is not Kind.TEXT or 0 < table.key.size < RENAMED_LENGTH):
        mistakes.append(f"rename: {layout.key} cannot hold a text of {RENAMED_LENGTH} characters; use revoked, or let the rows be deleted")
    if layout.expires is not None and layout.expires.per_second == 0 and table.expires is Kind.INTEGER and dialect.name != "sqlite":
        mistakes.append(f"expires: {layout.expires.column} holds numbers; use Expires.unix")
    if layout.expires is not None and layout.expires.per_second and table.expires in (Kind.AWARE, Kind.NAIVE, Kind.LOCAL):
        mistakes.append(f"expires: {layout.expires.column} holds times; use Expires.at or Expires.created")
    if mistakes:
        raise ConfigurationError(*mistakes)
    return table


def _folded(name: str, dialect: Dialect) -> str:
    return name if dialect.name == "postgresql" else name.lower()
