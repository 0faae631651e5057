"""The queries on the application's table, and the order of their locks.

Our own tables have a row for each user to lock; the application's table has none. So we lock all of the user's session rows,
always in the order of their keys: the second caller waits at a row, and then sees whether its own row has been revoked. Then we
revoke these rows by their keys, many with each statement. Rows that the application adds meanwhile are later logins.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sessionward.backends.sql.dialect import MYSQL, Dialect
from sessionward.backends.sql.executor import Executor, Query
from sessionward.backends.table.columns import Clock
from sessionward.backends.table.described import Table, described
from sessionward.backends.table.layout import REVOKED, Layout
from sessionward.backends.table.statements import in_sets, statements
from sessionward.backends.table.transform import Key, Transform
from sessionward.credential.token import Credential, new_token
from sessionward.errors import BackendUnavailable, ConfigurationError, SessionRevoked, UsageError
from sessionward.session.session import Session, public_id

_AT_ONCE: Final = 1000
"""How many rows we read between two looks at the time."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One session. ``key`` and ``user``: as the driver returns them, and accepts them again.

    ``mistake``: the column of the expiry holds something else in this row. Then the row counts as live until its own session asks.
    """

    key: Any
    user: Any
    is_revoked: bool
    is_expired: bool
    expires_at: datetime | None
    mistake: ConfigurationError | None
    clock: Clock

    @property
    def is_live(self) -> bool:
        return not self.is_revoked and not self.is_expired


class Queries:
    """The queries of one backend."""

    def __init__(self, layout: Layout, transform: Transform) -> None:
        self._layout = layout
        self._transform = transform
        self._filters = layout.filters
        self._known: Table | None = None

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
        table, expires = self._table(executor), self._layout.expires
        if expires is not None:
            clocks = [(value, Clock.of(now, local, executor.dialect)) for value, now, local in executor.rows(table.statements["sample"])]
            mistakes = [self._expiry(value, None, table, clock)[2] for value, clock in clocks]
            if mistakes and mistakes[0] is not None and all(mistakes):
                raise mistakes[0]

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
        users = self._table(executor).user.from_user_id(user_id, executor.dialect)
        if not users:
            return 0

        def body(executor: Executor) -> int:
            rows = [row for user in users for row in self._locked(executor, user) if not row.is_revoked]
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
        if not rows or rows[0].user in (None, ""):
            return None
        if rows[0].mistake is not None:
            raise rows[0].mistake
        return rows[0]

    def _locked(self, executor: Executor, user: Any) -> Sequence[_Row]:
        """Returns all rows of exactly this user, locked in the order of their keys."""
        table = self._table(executor)
        column = table.user
        wanted = column.normalized(user)
        if executor.dialect is not MYSQL:
            return [row for row in self._rows(executor, "lock_all", user=user) if column.normalized(row.user) == wanted]
        # InnoDB locks each row that it passes, in that order. By the unique key it passes no row of another user.
        found = executor.rows(table.statements["of_user"], user=user, **self._filters)
        keys = [key for key, of in found if column.normalized(of) == wanted]
        rows = [row for size, _, named in in_sets(keys) for row in self._rows(executor, f"lock_{size}", **named)]
        exact = {table.key.normalized(key) for key in keys}
        return [row for row in rows if table.key.normalized(row.key) in exact and column.normalized(row.user) == wanted]

    def _revoke_rows(self, executor: Executor, rows: Sequence[_Row]) -> int:
        table, revoked_by = self._table(executor), self._layout.revoked
        by_user: dict[Any, list[Any]] = {}
        for row in rows:
            by_user.setdefault(row.user, []).append(row.key)
        if len({table.key.normalized(row.key) for row in rows}) < len(rows):
            raise self._not_unique()
        revoked = None if revoked_by is None else revoked_by.revoked
        if revoked_by is not None and revoked is None and rows:
            revoked = rows[0].clock.write(table.revoked, executor.dialect)
        salt = new_token()
        for user, keys in by_user.items():
            for size, count, named in in_sets(keys):
                changed = executor.change(table.statements[f"revoke_{size}"], user=user, revoked=revoked, salt=salt, **named)
                if changed > count:
                    raise self._not_unique()
                if changed < count:
                    raise BackendUnavailable(
                        f"{executor.dialect.display_name} did not revoke a locked row of {self._layout.table};"
                        " if that is a view, name the table behind it"
                    )
        return len(rows)

    def _rows(self, executor: Executor, statement: str, **values: Any) -> list[_Row]:
        table = self._table(executor)
        found = executor.rows(table.statements[statement], **values, **self._filters)
        rows: list[_Row] = []
        for number, row in enumerate(found):
            if number % _AT_ONCE == 0:
                executor.check_time()
            rows.append(self._row(row, table, executor.dialect))
        return rows

    def _row(self, row: Sequence[Any], table: Table, dialect: Dialect) -> _Row:
        key, user, expires, has_expired, is_revoked, now, local = row
        clock = Clock.of(now, local, dialect)
        renamed = self._layout.rename and str(key).startswith(REVOKED)
        expires_at, is_expired, mistake = self._expiry(expires, has_expired, table, clock)
        return _Row(key, user, bool(is_revoked) or renamed, is_expired, expires_at, mistake, clock)

    def _expiry(
        self, value: Any, has_expired: int | None, table: Table, clock: Clock
    ) -> tuple[datetime | None, bool, ConfigurationError | None]:
        """Returns when a row expires, whether it has, and what is wrong with its value. ``has_expired``: None if we compare."""
        expires = self._layout.expires
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

    def _not_unique(self) -> ConfigurationError:
        return ConfigurationError(
            f"key: {self._layout.key} of {self._layout.table} is not unique; name a unique column, or add a unique index"
        )

    # --- the table

    def _table(self, executor: Executor) -> Table:
        """Returns what the database says about the table. Asks once, so the types must not change while the process runs."""
        if self._known is None:
            table = described(self._layout, executor.rows("columns"), executor.dialect)
            made = statements(self._layout, table, executor.dialect)
            self._known = replace(table, statements=executor.compiled(made))
        return self._known
