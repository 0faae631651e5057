"""The queries on the application's table, and the order of their locks.

Our own tables have a row for each user to lock; the application's table has none. So we lock all of the user's session rows,
always in the order of their keys: the second caller waits at a row, and then sees whether its own row has been revoked. Then we
revoke these rows by their keys, many with each statement. Rows that the application adds meanwhile are later logins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sessionward.backends.sql.dialect import MYSQL, Dialect
from sessionward.backends.sql.executor import Executor, Query
from sessionward.backends.table.columns import Clock, Kind
from sessionward.backends.table.described import Table, described
from sessionward.backends.table.layout import Expires, Layout, Timestamp
from sessionward.backends.table.row import Row, id_of, key_of, row_of, session_of
from sessionward.backends.table.statements import LISTED, in_sets, statements
from sessionward.backends.table.transform import Enciphered, Key, Transform
from sessionward.credential.token import Credential, new_token
from sessionward.errors import BackendUnavailable, ConfigurationError, SessionRevoked, SignInTooOld, UsageError
from sessionward.session.page import paged
from sessionward.session.session import ANY_TERMS, Position, Session, SessionList, Terms

_AT_ONCE: Final = 1000
"""How many rows we read between two looks at the time."""
_SKEW: Final = 60.0
"""Seconds by which the application's clock, which dates a sign-in, may be ahead of the database's."""


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

    def sessions_of(self, user_id: str, after: Position | None, limit: int | None, without: UUID | None) -> Query[SessionList]:
        """Returns the query for the live sessions of a user."""
        return Query(lambda executor: self._sessions_of(executor, user_id, after, limit, without), writes=False)

    def revoke_others(self, session: Session, terms: Terms = ANY_TERMS, only: UUID | None = None) -> Query[int]:
        """Returns the query that revokes the other live sessions of the same user. Its answer is how many were live.

        ``only``: of them only the one with this id.
        """
        key = self._own_key(session)
        return Query(lambda executor: self._revoke_others(executor, session, key, terms, only), writes=True)

    def revoke_all(self, user_id: str) -> Query[int]:
        """Returns the query that revokes all sessions of a user. Its answer is how many were live."""
        return Query(lambda executor: self._revoke_all(executor, user_id), writes=True)

    def revoke_everybody(self) -> Query[None]:
        """Returns the query that revokes all sessions of all users."""
        return Query(self._revoke_everybody, writes=True)

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
        table = self._table(executor)
        for option, column in self._layout.moments.items():
            kind, mistakes = table.times.get(option, table.expires), list[ConfigurationError | None]()
            for value, now, local in executor.rows(table.statements[f"sample_{option}"]):
                mistakes.append(_mistake(column, value, kind, Clock.of(now, local, executor.dialect)))
            if mistakes and mistakes[0] is not None and all(mistakes):
                raise mistakes[0]

    def _find(self, executor: Executor, credential: Credential, key: Key) -> Session | None:
        row = self._own(executor, "find", key)
        if row is None or not row.is_live:
            return None
        table = self._table(executor)
        return session_of(row, table, credential, key_of(row, table) if isinstance(self._transform, Enciphered) else None)

    def _sessions_of(
        self, executor: Executor, user_id: str, after: Position | None, limit: int | None, without: UUID | None
    ) -> SessionList:
        table, now, found = self._table(executor), None, list[Session]()
        forms = [form for form in table.user.from_user_id(user_id, executor.dialect) if table.user.to_user_id(form) == user_id]
        for form in forms:
            rows = self._rows(executor, "list", user=form)
            if len(rows) > LISTED:
                raise BackendUnavailable(f"a user has more than {LISTED} sessions in {self._layout.table}, too many to list")
            now = rows[0].clock.now if rows else now
            wanted = table.user.normalized(form)
            found += [session_of(row, table) for row in rows if row.is_live and table.user.normalized(row.user) == wanted]
        return paged(found, after=after, limit=limit, without=without, now=now)

    def _revoke_others(self, executor: Executor, session: Session, key: Key, terms: Terms, only: UUID | None) -> int:
        before = self._live(executor, "find", session, key)
        table = self._table(executor)

        def body(executor: Executor) -> int:
            rows = self._locked(executor, before.user)
            own = self._live(executor, "lock_one", session, key)  # P2: the second look, under the lock
            _judge(own, terms)
            others = [row for row in rows if row.is_live and row.key != own.key and (only is None or id_of(row, table) == only)]
            return self._revoke_rows(executor, others)

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

    def _revoke_everybody(self, executor: Executor) -> None:
        """Also revokes the rows that have expired by our calculation. Rows without a user are anonymous, and stay."""
        table = self._table(executor)

        def body(executor: Executor) -> None:
            ((count, now, local),) = executor.rows(table.statements["lock_everybody"], **self._filters)
            revoked = self._mark(table, Clock.of(now, local, executor.dialect), executor.dialect)
            changed = executor.change(table.statements["revoke_everybody"], revoked=revoked, salt=new_token(), **self._filters)
            if changed < count:
                raise self._not_revoked(executor)

        executor.transact(body)

    # --- rows

    def _live(self, executor: Executor, statement: str, session: Session, key: Key) -> Row:
        row = self._own(executor, statement, key)
        if row is None or not row.is_live or self._table(executor).user.to_user_id(row.user) != session.user_id:
            raise SessionRevoked("the caller's session is not live any more")
        return row

    def _own(self, executor: Executor, statement: str, key: Key) -> Row | None:
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

    def _locked(self, executor: Executor, user: Any) -> Sequence[Row]:
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

    def _revoke_rows(self, executor: Executor, rows: Sequence[Row]) -> int:
        table = self._table(executor)
        by_user: dict[Any, list[Any]] = {}
        for row in rows:
            by_user.setdefault(row.user, []).append(row.key)
        if len({table.key.normalized(row.key) for row in rows}) < len(rows):
            raise self._not_unique()
        revoked = self._mark(table, rows[0].clock, executor.dialect) if rows else None
        salt = new_token()
        for user, keys in by_user.items():
            for size, count, named in in_sets(keys):
                changed = executor.change(table.statements[f"revoke_{size}"], user=user, revoked=revoked, salt=salt, **named)
                if changed > count:
                    raise self._not_unique()
                if changed < count:
                    raise self._not_revoked(executor)
        return len(rows)

    def _mark(self, table: Table, clock: Clock, dialect: Dialect) -> Any:
        """Returns the value of the column that marks a row as revoked, or None if there is none."""
        revoked_by = self._layout.revoked
        if revoked_by is None or revoked_by.revoked is not None:
            return None if revoked_by is None else revoked_by.revoked
        return clock.write(table.revoked, dialect)

    def _not_revoked(self, executor: Executor) -> BackendUnavailable:
        return BackendUnavailable(
            f"{executor.dialect.display_name} did not revoke a locked row of {self._layout.table};"
            " if that is a view, name the table behind it"
        )

    def _rows(self, executor: Executor, statement: str, **values: Any) -> list[Row]:
        table = self._table(executor)
        found = executor.rows(table.statements[statement], **values, **self._filters)
        rows: list[Row] = []
        for number, row in enumerate(found):
            if number % _AT_ONCE == 0:
                executor.check_time()
            rows.append(row_of(row, self._layout, table, executor.dialect))
        return rows

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


def _judge(own: Row, terms: Terms) -> None:
    """Raises ``SignInTooOld`` by the terms, also if the row has no time, or one that the two clocks cannot explain."""
    at = None if own.about is None else own.about.issued_at
    if terms.recent is not None and (at is None or not -_SKEW <= (own.clock.now - at).total_seconds() <= terms.recent):
        raise SignInTooOld("the sign-in of this session is too old to revoke others; the user must sign in again")


def _mistake(column: Expires | Timestamp, value: Any, kind: Kind, clock: Clock) -> ConfigurationError | None:
    try:
        column.of(value, kind, clock)
    except ConfigurationError as mistake:
        return mistake
    return None
