"""Runs one query on one connection: takes it from a pool, limits the time, and gives it back or closes it.

The code is sync and exists once. For an async backend SQLAlchemy runs it in a greenlet, so that the same lines wait on an async
driver.
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

from sessionward.backends.sql import prepared
from sessionward.backends.sql.dialect import MYSQL, SQLITE
from sessionward.backends.sql.driver import ErrorKind, code_of, error_kind, is_definite
from sessionward.backends.sql.executor import CompiledSQL, Executor, Phase, TimeIsUp
from sessionward.backends.sql.witness import Witness
from sessionward.errors import BackendUnavailable, ConfigurationError, OutcomeUnknown, SessionwardError

R = TypeVar("R")
C = TypeVar("C", PoolProxiedConnection, Connection)

TRIES: Final = 5
_PASSING: Final = (ErrorKind.CONFLICT, ErrorKind.BROKEN, ErrorKind.STALE)
PAUSE: Final = (0.001, 0.02)
"""Seconds between two tries after a conflict: each time a random number in this range."""


class Deadline(Protocol):
    """The deadline of one query. Sync and async backends each have a class for it."""

    timeout: float

    def left(self) -> float:
        """Returns the seconds that are left, never less than 0."""
        ...

    def connect(self, connect: Callable[[], C]) -> C:
        """Returns the connection that ``connect`` returns. Waits no longer than there is time, and closes one that comes late."""
        ...

    def arm(self, abort: Callable[[], None]) -> None:
        """Has ``abort`` called at the deadline. It aborts the connection."""
        ...

    def give_back(self, close: Callable[[], None]) -> None:
        """Gives a connection back to the user's Engine within the time that is left: that may cost a round trip to the server."""
        ...

    def disarm(self) -> bool:
        """Stops the deadline, since the query is over. Returns False if it came before: then the connection is broken."""
        ...

    def pause(self, seconds: float) -> None:
        """Waits so many seconds. With an async backend the event loop runs meanwhile."""
        ...


class _Retry(Exception):
    """The same query may succeed on another try. ``error`` says how this one failed.

    ``counts``: whether this was one of the tries that we limit. A broken connection does not count: after a restart of the server
    all connections of a pool are broken, and the next one may work.
    """

    def __init__(self, error: BackendUnavailable, *, counts: bool) -> None:
        self.error = error
        self.counts = counts


def close_or_return(held: PoolProxiedConnection | Connection) -> None:
    """Closes a connection of our own Engine for good, or gives a connection back to the user's Engine."""
    if not isinstance(held, Connection):
        held.invalidate()
    held.close()


class Pool:
    """Connections of one Engine, ours or the user's.

    We keep the idle connections of our own Engine here between queries, last in first out, since a check-out of SQLAlchemy's
    pool costs more than a lookup in SQLite. Each caller has a permit, so there are never more connections than the pool allows.
    No connection is ever idle in SQLAlchemy's pool. So our Engine needs no dispose(), after which a caller could wait forever.
    """

    def __init__(self, engine: Engine, sql: CompiledSQL, *, own: bool, witness: Witness | None = None) -> None:
        self.engine = engine
        self._sql = sql
        self._own = own
        self._witness = witness
        self._idle: deque[PoolProxiedConnection] = deque()
        self._closed = False
        # Whether the user's Engine may ask the server when it lends a connection and when it takes one back.
        self._keeps_cursors = own and engine.dialect.driver == "psycopg" and not engine.dialect.is_async
        self._looks_for_pooler = own and prepared.may_be_made(engine.url)
        self._asks_server = sql.dialect is MYSQL or bool(getattr(engine.pool, "_pre_ping", False))

    def ask(self, run: Callable[[Executor], R], deadline: Deadline) -> R:
        """Returns what ``run`` returns. Raises ``BackendUnavailable`` or ``OutcomeUnknown`` if it does not succeed by the deadline."""
        tries = 1
        while True:
            try:
                return self._once(run, deadline)
            except _Retry as retry:
                pause = random.uniform(*PAUSE)  # noqa: S311 - jitter is no secret
                if deadline.left() <= pause:
                    raise BackendUnavailable(
                        f"{retry.error}; there was no time for another try within {deadline.timeout:g} s"
                    ) from retry.__cause__
                tries += retry.counts
                if tries > TRIES:
                    raise retry.error from retry.__cause__
                deadline.pause(pause)

    def is_examined(self, held: PoolProxiedConnection) -> bool:
        """Returns whether no query need be asked of the server of this connection before others are."""
        return self._witness is None or held.info.get(self._witness) is self._witness.examination

    def take_idle(self) -> PoolProxiedConnection | None:
        """Returns a connection of our own Engine that is idle, or None."""
        try:
            return self._idle.pop()  # if we looked first, another thread could take it meanwhile
        except IndexError:
            return None

    def give_idle(self, held: PoolProxiedConnection) -> None:
        """Gives back a connection of our own Engine."""
        self._idle.append(held)
        if self._closed and (late := self.take_idle()) is not None:
            close_or_return(late)

    def discard(self, held: PoolProxiedConnection) -> None:
        """Closes a connection that is broken."""
        self._discard(held, held)

    def close(self) -> None:
        """Closes the idle connections, and from now on each one that is given back. Does nothing to the user's Engine."""
        if self._own:
            self._closed = True
            while (held := self.take_idle()) is not None:
                close_or_return(held)

    def _once(self, run: Callable[[Executor], R], deadline: Deadline) -> R:
        held, connection = self._take_current(deadline)
        kept = connection.info if self._keeps_cursors else None
        executor = Executor(connection.dbapi_connection, self._sql, deadline.left, self._witness, kept)
        examined = self.is_examined(connection)
        try:
            deadline.arm(partial(self._sql.abort, connection.driver_connection))
            if self._looks_for_pooler and prepared.ALLOWED not in connection.info:
                prepared.allow_where_direct(connection)
            if self._witness is not None and not examined:
                connection.info[self._witness] = self._witness.examine(executor)
                examined = True
            answer = executor.run(run)
        except BaseException as failure:
            in_time = deadline.disarm() and not isinstance(failure, TimeIsUp)
            if isinstance(failure, SessionwardError) and in_time and executor.phase is Phase.READING:
                if examined:
                    self._give_back(held, deadline)  # our own decision, whose transaction has been rolled back
                else:  # the server is refused: the next connection may lead to another one
                    self._discard(held, connection)
                raise
            kind = self._kind_of(failure, connection.dbapi_connection)
            executor.abandon()
            self._discard(held, connection)
            if not isinstance(failure, Exception) and in_time:  # other code has cancelled the query, or the process exits
                raise
            raise self._error_of(failure, kind, executor.phase, in_time, deadline) from failure
        if deadline.disarm():
            self._give_back(held, deadline)
        else:  # the deadline came after the answer: the answer is valid, but the connection is broken
            self._discard(held, connection)
        return answer

    # --- connections

    def _take_current(self, deadline: Deadline) -> tuple[PoolProxiedConnection | Connection, PoolProxiedConnection]:
        """Returns a connection that is new or was examined last. Closes each that was last examined before.

        Such a one may lead to a server that was left, and that still runs.
        """
        while True:
            held = self._take(deadline)
            connection = held.connection if isinstance(held, Connection) else held
            if self._witness not in connection.info or self.is_examined(connection):
                return held, connection
            self._discard(held, connection)

    def _take(self, deadline: Deadline) -> PoolProxiedConnection | Connection:
        idle = self.take_idle()
        if idle is not None:
            return idle
        try:
            if self._own:
                return deadline.connect(self.engine.raw_connection)
            return deadline.connect(self._borrow) if self._may_wait() else self._borrow()
        except (SessionwardError, _Retry):
            raise
        except PoolTimeout as error:
            raise BackendUnavailable(
                "all connections of the Engine's pool are in use; raise its pool_size, or look for slow queries"
            ) from error
        except Exception as error:
            cause = getattr(error, "orig", None) or error
            message = (str(cause).splitlines() or [""])[0][:200]
            raise BackendUnavailable(f"no connection to {self._sql.dialect.display_name}: {message}") from error

    def _borrow(self) -> Connection:
        connection = self.engine.connect()
        try:
            return connection.execution_options(isolation_level="AUTOCOMMIT")
        except BaseException as failure:
            kind = self._kind_of(failure, connection.connection.dbapi_connection)
            connection.invalidate()
            connection.close()
            if kind is ErrorKind.BROKEN:
                raise _Retry(BackendUnavailable("the connection was broken"), counts=False) from failure
            raise

    def _may_wait(self) -> bool:
        """Returns whether the user's Engine may wait, for a connection that is in use or for the server."""
        pool = self.engine.pool
        if isinstance(pool, QueuePool) and (pool.checkedin() == 0 or self._asks_server):
            return True
        return not isinstance(pool, QueuePool) and self._sql.dialect is not SQLITE

    def _give_back(self, held: PoolProxiedConnection | Connection, deadline: Deadline) -> None:
        if isinstance(held, Connection):
            with suppress(Exception):  # the answer is valid, even if the connection breaks now
                deadline.give_back(held.close) if self._asks_server else held.close()
        elif self.is_examined(held):
            self.give_idle(held)
        else:  # meanwhile the worker has left this server
            self._discard(held, held)

    def _discard(self, held: PoolProxiedConnection | Connection, connection: PoolProxiedConnection) -> None:
        """Closes the driver's connection. The server then rolls back the transaction that was open on it."""
        self._sql.abort(connection.driver_connection)
        with suppress(Exception):  # each driver has its own errors for closing a broken connection
            held.invalidate()
            held.close()

    def _discard_all(self) -> None:
        """Discards all idle connections, which are as old as the broken one. The next query connects anew."""
        while (held := self.take_idle()) is not None:
            self._discard(held, held)

    # --- failures

    def _error_of(self, failure: BaseException, kind: ErrorKind, phase: Phase, in_time: bool, deadline: Deadline) -> Exception:
        dialect = self._sql.dialect
        if phase is Phase.COMMITTING and not (in_time and is_definite(failure, dialect)):
            return OutcomeUnknown(f"{dialect.display_name} did not confirm the commit: {code_of(failure, dialect)}")
        if not in_time:
            return BackendUnavailable(f"{dialect.display_name} did not answer within {deadline.timeout:g} s")
        if kind is ErrorKind.NO_TABLE:
            return ConfigurationError(
                "the tables of sessionward are missing: call backend.create_tables() once (await it if the backend is async), or add"
                " sessionward.backends.sql.metadata to your migrations"
            )
        if kind is ErrorKind.NO_COLUMN:
            return ConfigurationError(
                "a table lacks a column that we read or write: migrate the tables of sessionward to"
                " sessionward.backends.sql.metadata; create_tables() adds no columns"
            )
        if kind is ErrorKind.READ_ONLY:
            return BackendUnavailable(
                "this PostgreSQL server takes no changes, as a standby does: connect to the primary (target_session_attrs=read-write)"
            )
        error = BackendUnavailable(f"{dialect.display_name} could not answer ({phase.value}): {code_of(failure, dialect)}")
        if kind in (ErrorKind.BROKEN, ErrorKind.STALE):
            self._discard_all()
        return _Retry(error, counts=kind is not ErrorKind.BROKEN) if kind in _PASSING else error

    def _kind_of(self, failure: BaseException, connection: DBAPIConnection | None) -> ErrorKind:
        kind = error_kind(failure, self._sql.dialect)
        if kind is ErrorKind.OTHER and isinstance(failure, Exception):
            with suppress(Exception):  # is_disconnect may fail for an error that it does not know
                if self.engine.dialect.is_disconnect(cast("Any", failure), cast("Any", connection), None):
                    return ErrorKind.BROKEN
        return kind
