"""A driver's connection, for the length of one question.

It is in autocommit: checks are single statements without a transaction around them, and transactions begin and end
by statements of our own, READ COMMITTED said explicitly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from sessionward.backends.sql.dialect import SQLITE, Dialect, LockTimeout, Statement, compiled
from sessionward.backends.sql.driver import aborter, speaker
from sessionward.errors import SessionwardError

P = ParamSpec("P")
R = TypeVar("R")


class Phase(Enum):
    """How far a query has come; it tells what a failure leaves behind."""

    READING = "nothing has been changed"
    WRITING = "nothing is committed yet"
    COMMITTING = "the commit has been sent"


@dataclass(frozen=True, slots=True)
class CompiledSQL:
    """What is said to one database through one driver."""

    dialect: Dialect
    begin: str
    lock_timeout: LockTimeout | None
    statements: Mapping[str, Statement]
    say: Callable[[Any, str], None]
    abort: Callable[[Any], None]

    @classmethod
    def of(cls, dialect: Dialect, driver: str, paramstyle: str, templates: Mapping[str, str], *, own: bool) -> CompiledSQL:
        statements = {name: compiled(template, dialect, paramstyle) for name, template in templates.items()}
        begin, lock_timeout = (dialect.own_begin, None) if own else (dialect.begin, dialect.lock_timeout)
        return cls(dialect, begin, lock_timeout, statements, speaker(driver), aborter(driver))


class Executor:
    """One connection, one question. ``left``: seconds that it may still take."""

    __slots__ = ("_connection", "_left", "_sql", "dialect", "phase")

    def __init__(self, connection: Any, sql: CompiledSQL, left: Callable[[], float]) -> None:
        self._connection = connection
        self._sql = sql
        self._left = left
        self.dialect = sql.dialect
        self.phase = Phase.READING

    def rows(self, name: str, **values: Any) -> Sequence[Sequence[Any]]:
        """All rows of a statement."""
        return self._execute(name, values, _fetched)

    def row(self, name: str, **values: Any) -> Sequence[Any] | None:
        """The first row of a statement, or None."""
        rows = self._execute(name, values, _fetched)
        return rows[0] if rows else None

    def change(self, name: str, **values: Any) -> int:
        """How many rows a statement has changed."""
        return self._execute(name, values, _counted)

    def transact(self, body: Callable[[Executor], R]) -> R:
        """Runs ``body`` in a transaction: all of it or nothing (P4)."""
        self.phase = Phase.WRITING
        before = self._lend_lock_timeout()
        self._say(self._sql.begin.format(ms=max(1, int(self._left() * 1000))))
        try:
            result = body(self)
        except SessionwardError:  # a decision, not a failure: the connection stays good
            self._say("ROLLBACK")
            self.phase = Phase.READING
            self._say_quietly(before)
            raise
        self.phase = Phase.COMMITTING
        self._say("COMMIT")  # P1: nothing is answered before this has come back
        self.phase = Phase.READING
        self._say_quietly(before)
        return result

    def _lend_lock_timeout(self) -> str | None:
        """Let a connection that was lent to us wait no longer than we may; answers what makes it as it was."""
        lock_timeout = self._sql.lock_timeout
        if lock_timeout is None:
            return None
        cursor = self._connection.cursor()
        cursor.execute(lock_timeout.read)
        before = cursor.fetchall()[0][0]
        cursor.close()
        self._say(lock_timeout.setting(self._left()))
        return lock_timeout.set.format(before)

    def _say_quietly(self, command: str | None) -> None:
        if command is not None:
            with suppress(Exception):  # what was decided stands; a connection that cannot hear this is dead
                self._say(command)

    def abandon(self) -> None:
        """Undo what was begun, if that waits for nobody; what a server holds ends with the connection."""
        if self.dialect is SQLITE and self.phase is not Phase.READING:
            with suppress(Exception):
                self._connection.rollback()

    def _say(self, script: str) -> None:
        self._sql.say(self._connection, script)

    def _execute(self, name: str, values: dict[str, Any], answer: Callable[[Any], R]) -> R:
        text, order = self._sql.statements[name]
        if self.dialect is SQLITE:
            values["now"] = SQLITE.time_in(datetime.now(UTC))
        cursor = self._connection.cursor()
        try:
            cursor.execute(text, tuple([values[parameter] for parameter in order]))
            found = answer(cursor)
        except BaseException:
            # A traceback would keep the cursor, and a cursor an SQLite connection, with its lock, from closing.
            with suppress(Exception):
                cursor.close()
            raise
        cursor.close()
        return found


def _fetched(cursor: Any) -> Sequence[Sequence[Any]]:
    rows: Sequence[Sequence[Any]] = cursor.fetchall()
    return rows


def _counted(cursor: Any) -> int:
    count: int = cursor.rowcount
    return count


@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """What is asked of a database on one connection. ``writes``: it may change something, so silence leaves its outcome unknown."""

    run: Callable[[Executor], R]
    writes: bool


def reads(query: Callable[Concatenate[Executor, P], R]) -> Callable[P, Query[R]]:
    """Of a function that changes nothing: the query that calls it."""
    return _queries(query, writes=False)


def writes(query: Callable[Concatenate[Executor, P], R]) -> Callable[P, Query[R]]:
    """Of a function that may change something: the query that calls it."""
    return _queries(query, writes=True)


def _queries(query: Callable[Concatenate[Executor, P], R], *, writes: bool) -> Callable[P, Query[R]]:
    def made(*args: P.args, **kwargs: P.kwargs) -> Query[R]:
        return Query(lambda executor: query(executor, *args, **kwargs), writes)

    return made
