"""Runs statements and transactions on a driver's connection, for the duration of one query.

The connection is in autocommit mode. A check is a single statement without a transaction around it. A transaction begins and
ends by statements of our own, which ask for READ COMMITTED explicitly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from sessionward.backends.sql.dialect import SQLITE, Dialect, LockTimeout, Statement, compiled
from sessionward.backends.sql.driver import CURSOR, aborter, committer, cursor_of, script_runner
from sessionward.errors import SessionwardError

P = ParamSpec("P")
R = TypeVar("R")


class Phase(Enum):
    """How far a query has come. It says what state a failure leaves."""

    READING = "nothing has been changed"
    WRITING = "nothing is committed yet"
    COMMITTING = "the commit has been sent"


@dataclass(frozen=True, slots=True)
class CompiledSQL:
    """What we run on one database through one driver. ``begin``: the script that begins a transaction."""

    dialect: Dialect
    begin: str
    lock_timeout: LockTimeout | None
    paramstyle: str
    statements: Mapping[str, Statement]
    run_script: Callable[[Any, str], None]
    abort: Callable[[Any], None]
    commit: Callable[[Any], tuple[str, str]]
    """Commits on PostgreSQL, and returns how far its log is; see :class:`Follower`."""

    @classmethod
    def of(cls, dialect: Dialect, driver: str, paramstyle: str, templates: Mapping[str, str], *, own: bool) -> CompiledSQL:
        """Compiles the statements for a dialect and a driver. ``own``: whether the connections belong to our own Engine."""
        statements = {name: compiled(template, dialect, paramstyle) for name, template in templates.items()}
        begin, lock_timeout = (dialect.own_begin, None) if own else (dialect.begin, dialect.lock_timeout)
        return cls(dialect, begin, lock_timeout, paramstyle, statements, script_runner(driver), aborter(driver), committer(driver))


class TimeIsUp(Exception):
    """The deadline of a query has passed, and its next statement has not been sent."""


class Follower(Protocol):
    """Follows the write-ahead log of PostgreSQL, where ``follows`` says so."""

    follows: bool

    def committed(self, file: str, position: str, /) -> None:
        """Notes how far the log is after a commit. Raises ``OutcomeUnknown`` if it is another log than before."""
        ...


class Executor:
    """One query on one connection. ``left`` returns the seconds that the query may still take.

    ``kept``: where the connection keeps its cursor, if its driver makes them slowly.
    A statement is given by its name among those of the backend, or as :meth:`compiled` returns it.
    """

    __slots__ = ("_connection", "_follower", "_kept", "_left", "_sql", "dialect", "phase")

    def __init__(
        self,
        connection: Any,
        sql: CompiledSQL,
        left: Callable[[], float],
        follower: Follower | None = None,
        kept: MutableMapping[Any, Any] | None = None,
    ) -> None:
        self._connection = connection
        self._kept = kept
        self._sql = sql
        self._left = left
        self._follower = follower
        self.dialect = sql.dialect
        self.phase = Phase.READING

    def rows(self, statement: str | Statement, **values: Any) -> Sequence[Sequence[Any]]:
        """Returns all rows of a statement."""
        return self._execute(statement, values, _fetch_all)

    def row(self, statement: str | Statement, **values: Any) -> Sequence[Any] | None:
        """Returns the first row of a statement, or None."""
        rows = self._execute(statement, values, _fetch_all)
        return rows[0] if rows else None

    def change(self, statement: str | Statement, **values: Any) -> int:
        """Runs a statement and returns how many rows it has changed."""
        return self._execute(statement, values, _row_count)

    def compiled(self, templates: Mapping[str, str]) -> Mapping[str, Statement]:
        """Returns statements that could not be written before the database was asked, in the form of the driver."""
        return {name: compiled(template, self.dialect, self._sql.paramstyle) for name, template in templates.items()}

    def check_time(self) -> None:
        """Raises :class:`TimeIsUp` at the deadline. An abort ends the statement that runs, and not the loop around it."""
        if self._left() <= 0:
            raise TimeIsUp

    def run(self, query: Callable[[Executor], R]) -> R:
        """Runs a whole query. On SQLite its reads too wait no longer than it may: outside of WAL mode they wait for a writer."""
        limit = self.dialect.lock_timeout
        if self.dialect is not SQLITE or limit is None:
            return query(self)
        restore = self._limit_lock_wait()
        if restore is None:  # a connection of our own: the next query sets its own limit
            self._run_script(limit.setting(self._left()))
        try:
            result = query(self)
        except SessionwardError:  # the connection stays usable
            self._restore(restore)
            raise
        self._restore(restore)
        return result

    def transact(self, body: Callable[[Executor], R]) -> R:
        """Runs ``body`` in a transaction, which takes effect as a whole or not at all (P4). Returns what ``body`` returns."""
        self.phase = Phase.WRITING
        restore = self._limit_lock_wait()
        self._run_script(self._sql.begin.format(ms=max(1, int(self._left() * 1000))))
        try:
            result = body(self)
        except SessionwardError:  # our own decision, not a failure: the connection stays usable
            self._run_script("ROLLBACK")
            self.phase = Phase.READING
            self._restore(restore)
            raise
        self.check_time()
        self.phase = Phase.COMMITTING
        self._commit()  # P1: we answer nothing before the database has confirmed this
        self.phase = Phase.READING
        self._restore(restore)
        return result

    def _commit(self) -> None:
        follower = self._follower
        if follower is None or not follower.follows:
            self._run_script("COMMIT")
        else:
            follower.committed(*self._sql.commit(self._connection))

    def _limit_lock_wait(self) -> str | None:
        """Limits how long a connection of the user's Engine waits for a lock. Returns the command that restores its setting."""
        lock_timeout = self._sql.lock_timeout
        if lock_timeout is None:
            return None
        cursor = self._connection.cursor()
        cursor.execute(lock_timeout.read)
        before = cursor.fetchall()[0][0]
        cursor.close()
        self._run_script(lock_timeout.setting(self._left()))
        return lock_timeout.set.format(before)

    def _restore(self, command: str | None) -> None:
        if command is not None:
            with suppress(Exception):  # the outcome is final; a connection that cannot run this is broken
                self._run_script(command)

    def abandon(self) -> None:
        """Rolls back on SQLite, where that never waits. A server rolls back when the connection closes."""
        if self.dialect is SQLITE and self.phase is not Phase.READING:
            with suppress(Exception):
                self._connection.rollback()

    def _run_script(self, script: str) -> None:
        self._sql.run_script(self._connection, script)

    def _execute(self, statement: str | Statement, values: dict[str, Any], fetch: Callable[[Any], R]) -> R:
        self.check_time()
        text, order = self._sql.statements[statement] if isinstance(statement, str) else statement
        if self.dialect is SQLITE:
            values["now"] = SQLITE.time_in(datetime.now(UTC))
        kept = self._kept
        cursor = self._connection.cursor() if kept is None else cursor_of(self._connection, kept)
        try:
            cursor.execute(text, tuple([values[parameter] for parameter in order]))
            result = fetch(cursor)
        except BaseException:
            if kept is not None:
                kept.pop(CURSOR, None)
            # A traceback keeps the cursor alive, and an open cursor keeps an SQLite connection, with its lock, from closing.
            with suppress(Exception):
                cursor.close()
            raise
        if kept is None:
            cursor.close()
        return result


def _fetch_all(cursor: Any) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = cursor.fetchall()
    return rows


def _row_count(cursor: Any) -> int:
    count: int = cursor.rowcount
    return count


@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """What we ask of a database, on one connection.

    ``writes``: whether it may change something. If so, and if no answer comes, its outcome is unknown.
    """

    run: Callable[[Executor], R]
    writes: bool


@dataclass(frozen=True, slots=True)
class Lookup(Generic[R]):
    """A query of one statement, given by its name, which reads one row. ``read``: returns the answer from the row, or from None."""

    statement: str
    values: Mapping[str, Any]
    read: Callable[[Dialect, Sequence[Any] | None], R]
    writes: ClassVar[bool] = False

    def run(self, executor: Executor) -> R:
        """Runs the query as any other one."""
        return self.read(executor.dialect, executor.row(self.statement, **self.values))


def reads(query: Callable[Concatenate[Executor, P], R]) -> Callable[P, Query[R]]:
    """Decorates a function that changes nothing. A call then returns the query that runs the function."""
    return _decorated(query, writes=False)


def writes(query: Callable[Concatenate[Executor, P], R]) -> Callable[P, Query[R]]:
    """Decorates a function that may change something. A call then returns the query that runs the function."""
    return _decorated(query, writes=True)


def _decorated(query: Callable[Concatenate[Executor, P], R], *, writes: bool) -> Callable[P, Query[R]]:
    def make_query(*args: P.args, **kwargs: P.kwargs) -> Query[R]:
        return Query(lambda executor: query(executor, *args, **kwargs), writes)

    return make_query
