"""The queries on the application's table, and the order of their locks.

Our own tables have a row for each user to lock; the application's table has none. So we lock all of the user's session rows,
always in the order of their keys: the second caller waits at a row, and then sees whether its own row has been revoked. Then we
revoke each row by its key. Rows that the application adds meanwhile are later logins.
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
    revoked: Kind


@dataclass(frozen=True, slots=True)
class _Row:
    """One session. ``key`` and ``user``: as the driver returns them, and accepts them again."""

    key: Any
    user: Any
    is_revoked: bool
    expires_at: datetime | None
    clock: Clock

    @property
    def is_live(self) -> bool:
        return not self.is_revoked and (self.expires_at is None or self.expires_at > self.clock.now)


class Queries:
    """The queries of one backend."""

    def __init__(self, layout: Layout, transform: Transform) -> None:
        self._layout = layout
        self._transform = transform
        self._filters = layout.filters
        self._known: _Table | None = None

    def check(self) -> Query[None]:
        """Returns the query that examines the table. It raises :class:`ConfigurationError` for what does not fit, with the real columns."""
        return Query(self._check, writes=False)

    def find(self, credential: Credential) -> Query[Session | None] | None:
        """Returns the query for the live session of a credential, or None if the transform rejects the credential."""
        key = self._key(credential)
        return None if key is None else Query(lambda executor: self._find(executor, credential, key), writes=False)

    def revoke_others(self, session: Session) -> Query[int]:
        """Returns the query that revokes the other live sessions of the same user. Its answer is how many were live."""
        key = self._own_key(session)
        return Query(lambda executor: self._revoke_others(executor, session, key), writes=True)

    def revoke_all(self, user_id: str) -> Query[int]:
        """Returns the query that revokes all sessions of a user. Its answer is how many were live."""
        return Query(lambda executor: self._revoke_all(executor, user_id), writes=True)

    # --- keys

    def _key(self, credential: Credential) -> Key | None:
        """Returns what the key column holds for this credential, or None if no query is necessary."""
        key = self._transform(credential.reveal())
        return None if key == "" or key == b"" else key

    def _own_key(self, session: Session) -> Key:
        """Returns what the key column holds for the caller's own session."""
        if session.credential is None:
            raise UsageError("the session carries no credential, so this backend has not found it; pass a session that find() returned")
        key = self._key(session.credential)
        if key is None:
            raise SessionRevoked("the transform does not accept the credential of the caller's session any more")
        return key

    # --- on a connection

    def _check(self, executor: Executor) -> None:
        self._known = None
        self._table(executor)

    def _find(self, executor: Executor, credential: Credential, key: Key) -> Session | None:
        row = self._own(executor, "find", key)
        if row is None or not row.is_live:
            return None
        return Session(
            id=public_id(credential),
            user_id=self._table(executor).user.to_user_id(row.user),
            expires_at=row.expires_at,
            credential=credential,
        )

    def _revoke_others(self, executor: Executor, session: Session, key: Key) -> int:
        before = self._live(executor, "find", session, key)

        def body(executor: Executor) -> int:
            rows = self._locked(executor, before.user)
            own = self._live(executor, "lock_one", session, key)  # P2: the second look, under the lock
            return self._revoke_rows(executor, [row for row in rows if row.is_live and row.key != own.key])

        return executor.transact(body)

    def _revoke_all(self, executor: Executor, user_id: str) -> int:
        """Also revokes the rows that have expired by our calculation, but does not count them (P5)."""
        user = self._table(executor).user.from_user_id(user_id, executor.dialect)
        if user is None:
            return 0

        def body(executor: Executor) -> int:
            rows = [row for row in self._locked(executor, user) if not row.is_revoked]
            self._revoke_rows(executor, rows)
            return sum(row.is_live for row in rows)

        return executor.transact(body)

    # --- rows

    def _live(self, executor: Executor, statement: str, session: Session, key: Key) -> _Row:
        row = self._own(executor, statement, key)
        if row is None or not row.is_live or self._table(executor).user.to_user_id(row.user) != session.user_id:
            raise SessionRevoked("the caller's session is not live any more")
        return row

    def _own(self, executor: Executor, statement: str, key: Key) -> _Row | None:
        """Returns the row of exactly this key. The database may find others that it considers equal."""
        column = self._table(executor).key
        value = column.to_driver(key, executor.dialect)
        if value is None:
            return None
        wanted = column.normalized(value)
        rows = [row for row in self._rows(executor, statement, key=value) if column.normalized(row.key) == wanted]
        if len(rows) > 1:
            raise self._not_unique()
        return rows[0] if rows and rows[0].user not in (None, "") else None

    def _locked(self, executor: Executor, user: Any) -> Sequence[_Row]:
        """Returns all rows of exactly this user, locked in the order of their keys."""
        column = self._table(executor).user
        wanted = column.normalized(user)
        if executor.dialect is not MYSQL:
            return [row for row in self._rows(executor, "lock_all", user=user) if column.normalized(row.user) == wanted]
        # InnoDB locks each row that it passes, in that order. One by one, by the unique key, it passes no row of another user.
        keys = sorted(row.key for row in self._rows(executor, "of_user", user=user) if column.normalized(row.user) == wanted)
        rows = [row for key in keys for row in self._rows(executor, "lock_one", key=key) if row.key == key]
        return [row for row in rows if column.normalized(row.user) == wanted]

    def _revoke_rows(self, executor: Executor, rows: Sequence[_Row]) -> int:
        table = self._table(executor)
        revoked_by = self._layout.revoked
        for row in rows:
            revoked = None if revoked_by is None else revoked_by.revoked
            if revoked_by is not None and revoked is None:
                revoked = row.clock.write(table.revoked, executor.dialect)
            changed = executor.change("revoke", key=row.key, user=row.user, revoked=revoked, renamed=REVOKED + new_token()[:26])
            if changed > 1:
                raise self._not_unique()
            if changed < 1:
                raise BackendUnavailable(
                    f"{executor.dialect.display_name} did not revoke a locked row of {self._layout.table};"
                    " if that is a view, name the table behind it"
                )
        return len(rows)

    def _rows(self, executor: Executor, statement: str, **values: Any) -> list[_Row]:
        table = self._table(executor)
        return [self._row(row, table, executor.dialect) for row in executor.rows(statement, **values, **self._filters)]

    def _row(self, row: Sequence[Any], table: _Table, dialect: Dialect) -> _Row:
        key, user, expires, revoked, now, local = row
        clock = Clock.of(now, local, dialect)
        layout = self._layout
        is_revoked = layout.revoked is not None and layout.revoked.says(revoked)
        renamed = layout.rename and str(key).startswith(REVOKED)
        expires_at = None if layout.expires is None else layout.expires.of(expires, table.expires, clock)
        return _Row(key, user, is_revoked or renamed, expires_at, clock)

    def _not_unique(self) -> ConfigurationError:
        return ConfigurationError(
            f"key: {self._layout.key} of {self._layout.table} is not unique; name a unique column, or add a unique index"
        )

    # --- the table

    def _table(self, executor: Executor) -> _Table:
        """Returns what the database says about the table. Asks once, so the types must not change while the process runs."""
        if self._known is None:
            found = [(_as_str(name), _as_str(declared)) for name, declared in executor.rows("columns")]
            self._known = _checked_table(self._layout, found, executor.dialect)
        return self._known


def _as_str(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text  # MySQL 8 returns types as bytes


def _checked_table(layout: Layout, found: Sequence[tuple[str, str]], dialect: Dialect) -> _Table:
    """Returns the table. Raises a :class:`ConfigurationError` that names all differences from the layout."""
    if not found:
        raise ConfigurationError(
            f"table: there is no {layout.table} that the {dialect.display_name} user can see; correct the name, or grant access"
        )
    columns = {_folded(name, dialect): column_of(name, declared, dialect) for name, declared in found}
    real = ", ".join(name for name, _ in found)
    mistakes = [
        f"{option}: {layout.table} has no column {name}; it has {real}"
        for option, name in layout.columns
        if _folded(name, dialect) not in columns
    ]
    if mistakes:
        raise ConfigurationError(*mistakes)

    def kind(part: Any) -> Kind:
        return Kind.OTHER if part is None else columns[_folded(part.column, dialect)].kind

    table = _Table(
        columns[_folded(layout.key, dialect)], columns[_folded(layout.user, dialect)], kind(layout.expires), kind(layout.revoked)
    )
    if layout.rename and (table.key.kind is not Kind.TEXT or 0 < table.key.size < RENAMED_LENGTH):
        mistakes.append(
            f"rename: {layout.key} cannot hold {RENAMED_LENGTH} characters of text; use revoked, or leave rename out to delete the rows"
        )
    if layout.expires is not None and layout.expires.per_second == 0 and table.expires is Kind.INTEGER and dialect.name != "sqlite":
        mistakes.append(f"expires: {layout.expires.column} holds numbers; use Expires.unix")
    if layout.expires is not None and layout.expires.per_second and table.expires in (Kind.AWARE, Kind.NAIVE, Kind.LOCAL):
        mistakes.append(f"expires: {layout.expires.column} holds times; use Expires.at or Expires.created")
    if mistakes:
        raise ConfigurationError(*mistakes)
    return table


def _folded(name: str, dialect: Dialect) -> str:
    return name if dialect.name == "postgresql" else name.lower()
