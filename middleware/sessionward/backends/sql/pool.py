"""One question on one connection: taken from a pool, bounded in time, given back clean or not at all.

Written once, plain. In async colour SQLAlchemy runs it in a greenlet, so that the same lines wait on an async driver.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from sessionward.backends.sql.dialect import MYSQL, SQLITE
from sessionward.backends.sql.driver import ErrorKind, code_of, error_kind, is_definite
from sessionward.backends.sql.executor import CompiledSQL, Executor, Phase
from sessionward.errors import BackendUnavailable, ConfigurationError, OutcomeUnknown, SessionwardError

R = TypeVar("R")
C = TypeVar("C", PoolProxiedConnection, Connection)

TRIES: Final = 5
PAUSE: Final = (0.001, 0.02)
"""Seconds between tries after a conflict, drawn anew each time."""


class Deadline(Protocol):
    """The deadline of one question, in the colour of its backend."""

    timeout: float

    def left(self) -> float:
        """Seconds that are left, not below zero."""
        ...

    def bounded(self, connect: Callable[[], C]) -> C:
        """Wait for a connection no longer than there is time, and close one that comes late."""
        ...

    def connected(self, abort: Callable[[], None]) -> None:
        """From now on, break off by killing the connection."""
        ...

    def give_back(self, close: Callable[[], None]) -> None:
        """Give a lent connection back, which may take a word with its server, in the time that is left."""
        ...

    def call_off(self) -> bool:
        """The question is answered. False if it was broken off: then the connection is dead."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait, in the colour of the backend."""
        ...


class _TryAgain(Exception):
    """The same question may succeed on another try; the cause says what became of this one.

    A dead connection does not count: after a restart of the server all of a pool are dead, and the next one may live.
    """

    def __init__(self, why: BackendUnavailable, *, counts: bool) -> None:
        self.why = why
        self.counts = counts


def put_away(held: PoolProxiedConnection | Connection) -> None:
    """Close a connection of ours for good, or give one of the user's back."""
    if not isinstance(held, Connection):
        held.invalidate()
    held.close()


class Pool:
    """Connections of one Engine, ours or the user's.

    Connections of ours are kept at hand between questions, last in first out, since a check-out of SQLAlchemy's pool
    costs more than a lookup in SQLite. Whoever asks has a permit, so there are never more than the pool allows; none
    ever rests in SQLAlchemy's pool, so our Engine needs no dispose(), for which somebody may be waiting in vain.
    """

    def __init__(self, engine: Engine, sql: CompiledSQL, *, own: bool) -> None:
        self.engine = engine
        self._sql = sql
        self._own = own
        self._at_hand: deque[PoolProxiedConnection] = deque()
        self._closed = False
        # Whether lending and giving back a connection of the user's Engine may take a word with its server.
        self._talks = sql.dialect is MYSQL or bool(getattr(engine.pool, "_pre_ping", False))

    def ask(self, question: Callable[[Executor], R], deadline: Deadline) -> R:
        """Raises ``BackendUnavailable`` or ``OutcomeUnknown`` if there is no answer within the deadline."""
        tries = 1
        while True:
            try:
                return self._once(question, deadline)
            except _TryAgain as again:
                pause = random.uniform(*PAUSE)  # noqa: S311 - jitter is no secret
                if deadline.left() <= pause:
                    raise BackendUnavailable(f"{again.why}; no other try within {deadline.timeout:g} s") from again.__cause__
                tries += again.counts
                if tries > TRIES:
                    raise again.why from again.__cause__
                deadline.pause(pause)

    def close(self) -> None:
        """Close what is idle, and from now on whatever is given back. The user's Engine is left alone."""
        if self._own:
            self._closed = True
            while (held := self._pop()) is not None:
                put_away(held)

    def _once(self, question: Callable[[Executor], R], deadline: Deadline) -> R:
        held = self._take(deadline)
        connection = held.connection if isinstance(held, Connection) else held
        executor = Executor(connection.dbapi_connection, self._sql, deadline.left)
        try:
            deadline.connected(partial(self._sql.abort, connection.driver_connection))
            answer = question(executor)
        except BaseException as failure:
            in_time = deadline.call_off()
            if isinstance(failure, SessionwardError) and in_time and executor.phase is Phase.READING:
                self._give_back(held, deadline)  # a decision of ours; its transaction has been rolled back
                raise
            kind = self._kind(failure, connection.dbapi_connection)
            executor.abandon()
            self._discard(held, connection)
            if not isinstance(failure, Exception) and in_time:  # cancelled from outside, or an exit
                raise
            raise self._meaning(failure, kind, executor.phase, in_time, deadline) from failure
        if deadline.call_off():
            self._give_back(held, deadline)
        else:  # the deadline came when the answer was here already: it is true, but the connection is gone
            self._discard(held, connection)
        return answer

    # --- connections

    def _take(self, deadline: Deadline) -> PoolProxiedConnection | Connection:
        at_hand = self._pop()
        if at_hand is not None:
            return at_hand
        try:
            if self._own:
                return deadline.bounded(self.engine.raw_connection)
            return deadline.bounded(self._borrow) if self._may_wait() else self._borrow()
        except (SessionwardError, _TryAgain):
            raise
        except PoolTimeout as error:
            raise BackendUnavailable("all connections of the pool are in use") from error
        except Exception as error:
            cause = getattr(error, "orig", None) or error
            text = (str(cause).splitlines() or [""])[0][:200]
            raise BackendUnavailable(f"no connection to {self._sql.dialect.spoken}: {text}") from error

    def _borrow(self) -> Connection:
        connection = self.engine.connect()
        try:
            return connection.execution_options(isolation_level="AUTOCOMMIT")
        except BaseException as failure:
            kind = self._kind(failure, connection.connection.dbapi_connection)
            connection.invalidate()
            connection.close()
            if kind is ErrorKind.GONE:
                raise _TryAgain(BackendUnavailable("the connection was dead"), counts=False) from failure
            raise

    def _may_wait(self) -> bool:
        """Whether the user's Engine may wait, for a connection that is in use or for a server."""
        pool = self.engine.pool
        if isinstance(pool, QueuePool) and (pool.checkedin() == 0 or self._talks):
            return True
        return not isinstance(pool, QueuePool) and self._sql.dialect is not SQLITE

    def _give_back(self, held: PoolProxiedConnection | Connection, deadline: Deadline) -> None:
        if isinstance(held, Connection):
            with suppress(Exception):  # whatever becomes of the connection, the answer stands
                deadline.give_back(held.close) if self._talks else held.close()
        else:
            self._at_hand.append(held)
            if self._closed and (late := self._pop()) is not None:
                put_away(late)

    def _pop(self) -> PoolProxiedConnection | None:
        try:
            return self._at_hand.pop()  # looking first would be too early where there are threads
        except IndexError:
            return None

    def _discard(self, held: PoolProxiedConnection | Connection, connection: PoolProxiedConnection) -> None:
        """Close at driver level: whatever transaction was open there, the server ends it."""
        self._sql.abort(connection.driver_connection)
        with suppress(Exception):  # closing what is dead may fail in as many ways as there are drivers
            held.invalidate()
            held.close()

    def _discard_all(self) -> None:
        """The others are as old as one that was found dead: the next question connects anew."""
        while (held := self._pop()) is not None:
            self._discard(held, held)

    # --- failures

    def _meaning(self, failure: BaseException, kind: ErrorKind, phase: Phase, in_time: bool, deadline: Deadline) -> Exception:
        dialect = self._sql.dialect
        if phase is Phase.COMMITTING and not (in_time and is_definite(failure, dialect)):
            return OutcomeUnknown(f"{dialect.spoken} fell silent while it committed: {code_of(failure, dialect)}")
        if not in_time:
            return BackendUnavailable(f"{dialect.spoken} did not answer within {deadline.timeout:g} s")
        if kind is ErrorKind.NO_TABLE:
            return ConfigurationError(
                "the tables of sessionward are missing: call backend.create_tables() once, or add its metadata to your migrations"
            )
        why = BackendUnavailable(f"{dialect.spoken} could not answer ({phase.value}): {code_of(failure, dialect)}")
        if kind is ErrorKind.GONE:
            self._discard_all()
        return _TryAgain(why, counts=kind is ErrorKind.CONFLICT) if kind in (ErrorKind.CONFLICT, ErrorKind.GONE) else why

    def _kind(self, failure: BaseException, connection: DBAPIConnection | None) -> ErrorKind:
        kind = error_kind(failure, self._sql.dialect)
        if kind is ErrorKind.OTHER and isinstance(failure, Exception):
            with suppress(Exception):  # asked of an error that may be nothing that it knows
                if self.engine.dialect.is_disconnect(cast("Any", failure), cast("Any", connection), None):
                    return ErrorKind.GONE
        return kind
