"""Sessions in SQLite, PostgreSQL, MariaDB or MySQL, for WSGI applications and jobs; under ASGI in threads."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Any, ClassVar, Final, TypeVar

from sqlalchemy import URL, Engine

from sessionward.backends.sql import questions
from sessionward.backends.sql.dialect import SQLITE
from sessionward.backends.sql.pool import C, Pool
from sessionward.backends.sql.source import Source, own_engine, source_of
from sessionward.backends.sql.tables import create
from sessionward.backends.sql.watchdog import watchdog
from sessionward.backends.sql.wire import Wire
from sessionward.credential import Credential
from sessionward.errors import BackendUnavailable
from sessionward.session import Device, Ended, Session, user_key
from sessionward.settings import Duration, seconds

R = TypeVar("R")

BATCH: Final = 1000
"""Rows that one transaction of ``purge`` deletes."""


class PlainPool:
    """Connections of one process; a forked child makes its own and leaves the parent's alone."""

    def __init__(self, source: Source, *, size: int, deadline: float) -> None:
        self._source = source
        self._size = size
        self._deadline = deadline
        self._lock = threading.Lock()
        self._made: _Made | None = None

    def ask(self, question: Callable[[Wire], R], deadline: float, *, writes: bool) -> R:
        made = self._here()
        limit = _PlainLimit(deadline, watches=writes or self._source.language.dialect is not SQLITE)
        if made.permits is None:
            return made.pool.ask(question, limit)
        try:
            permit = made.permits.get(timeout=deadline)
        except Empty:
            raise BackendUnavailable(f"all {self._size} connections were in use for {deadline:g} s") from None
        try:
            return made.pool.ask(question, limit)
        finally:
            made.permits.put(permit)

    def engine(self) -> Engine:
        return self._here().pool.engine

    def close(self) -> None:
        """Close what is idle. The next question opens again."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None and made.process == os.getpid():
            made.pool.close()

    def _here(self) -> _Made:
        made = self._made
        if made is not None and made.process == os.getpid():
            return made
        with self._lock:
            if self._made is None or self._made.process != os.getpid():
                if self._made is not None:
                    _of_parents.append(self._made)
                self._made = self._make()
            return self._made

    def _make(self) -> _Made:
        source = self._source
        if source.engine is not None:
            return _Made(Pool(source.engine, source.language, own=False), None)
        engine = own_engine(source, pool_size=self._size, deadline=self._deadline)
        permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._size):
            permits.put(None)
        return _Made(Pool(engine, source.language, own=True), permits)


class _Made:
    """A pool and the process that made it. ``permits``: as many as it has connections; None for the user's Engine."""

    def __init__(self, pool: Pool, permits: SimpleQueue[None] | None) -> None:
        self.pool = pool
        self.permits = permits
        self.process = os.getpid()


_of_parents: Final[list[_Made]] = []
"""Connections inherited by a fork: kept, so that nobody closes them from here. They belong to the parent."""


class _PlainLimit:
    """A deadline kept by the watchdog. ``watches``: false for reads of SQLite, which nothing can make wait."""

    __slots__ = ("_ends", "_key", "_watches", "deadline")

    def __init__(self, deadline: float, *, watches: bool) -> None:
        self.deadline = deadline
        self._ends = monotonic() + deadline
        self._watches = watches
        self._key = 0

    def left(self) -> float:
        return max(0.0, self._ends - monotonic())

    def bounded(self, connect: Callable[[], C]) -> C:
        """In a thread of its own: neither all drivers nor pools can be told how long they may take."""
        made: Future[C] = Future()

        def run() -> None:
            try:
                made.set_result(connect())
            except BaseException as failure:
                made.set_exception(failure)

        threading.Thread(target=run, name="sessionward connect", daemon=True).start()
        try:
            return made.result(self.left())
        except TimeoutError:
            made.add_done_callback(_close_late)
            raise BackendUnavailable(f"no connection within {self.deadline:g} s") from None

    def connected(self, kill: Callable[[], None]) -> None:
        if self._watches:
            self._key = watchdog().watch(self._ends, kill)

    def call_off(self) -> bool:
        return watchdog().call_off(self._key) if self._watches else True

    def pause(self, seconds: float) -> None:
        sleep(seconds)


def _close_late(made: Future[Any]) -> None:
    if made.exception() is None:
        made.result().close()


class SQLBackend:
    """Sessions in SQLite, PostgreSQL, MariaDB or MySQL; plain colour.

    ``database``: a URL (``sqlite:///sessions.db``, ``postgresql://user@host/db``, ``mysql://...``) or an Engine of
    yours, which is never disposed. A URL has connections of its own and is faster; with an Engine, hold no connection
    of it while you call a verb, or the two wait for each other once its pool is empty.

    ``pool_size``: connections of one process at most. ``deadline``: seconds or a ``timedelta`` within which a question
    is answered or given up; a door tells its own.

    Nothing is opened before the first question. Raises ``ConfigurationError`` for a URL that it does not speak or
    whose driver is not installed. All questions raise ``BackendUnavailable`` when the database cannot answer in time,
    and ``ConfigurationError`` when its tables are missing.
    """

    blocking: ClassVar[bool] = True

    def __init__(self, database: str | URL | Engine, *, pool_size: int = 10, deadline: Duration = 2.0) -> None:
        source = source_of(database, is_async=False)
        self.pool_size = pool_size
        self._deadline = seconds(deadline)
        self._pool = PlainPool(source, size=pool_size, deadline=self._deadline)

    def within(self, deadline: float, /) -> SQLBackend:
        """The same backend, over the same connections, with another deadline in seconds."""
        view = copy.copy(self)
        view._deadline = deadline
        return view

    def create_tables(self) -> None:
        """Create what is missing of the two tables and their index. Safe to repeat, and in several workers at once."""
        create(self._pool.engine())

    def find(self, credential: Credential, /) -> Session | None:
        digest = credential.digest
        return self._pool.ask(lambda wire: questions.find(wire, digest), self._deadline, writes=False)

    def end_others(self, session: Session, /) -> Ended:
        return self._pool.ask(lambda wire: questions.end_others(wire, session), self._deadline, writes=True)

    def login(
        self,
        user_id: str,
        digest: bytes,
        /,
        *,
        since: int | None,
        age: Callable[[], float],
        replaces: Session | None,
        expires_in: float,
        device: Device,
        methods: Sequence[str],
    ) -> Session:
        new = questions.SignIn(
            user_id=user_key(user_id),
            digest=digest,
            since=since,
            age=age,
            replaces=replaces,
            expires_in=expires_in,
            device=device,
            methods=methods,
        )
        return self._pool.ask(lambda wire: questions.login(wire, new), self._deadline, writes=True)

    def begin(self, user_id: str, /) -> int:
        user = user_key(user_id)
        return self._pool.ask(lambda wire: questions.epoch(wire, user), self._deadline, writes=False)

    def end(self, session: Session, /) -> bool:
        return self._pool.ask(lambda wire: questions.end(wire, session), self._deadline, writes=True)

    def end_all(self, user_id: str, /) -> Ended:
        """End all sessions of a user, from a job or a shell."""
        user = user_key(user_id)
        return self._pool.ask(lambda wire: questions.end_all(wire, user), self._deadline, writes=True)

    def list(self, user_id: str, /) -> Sequence[Session]:
        """The live sessions of a user, newest first."""
        user = user_key(user_id)
        return self._pool.ask(lambda wire: questions.listed(wire, user), self._deadline, writes=False)

    def purge(self, older_than: float | timedelta) -> int:
        """Delete sessions that ended or expired so long ago, in batches of 1000; how many. Never deletes users.

        Seconds or a ``timedelta``. Running sessions are not held up, and stopping it in the middle loses nothing.
        """
        age, total, after = seconds(older_than), 0, questions.NOBODY
        while True:
            count, last = self._pool.ask(partial(questions.purge, older_than=age, after=after, batch=BATCH), self._deadline, writes=True)
            total += count
            if last is None:
                return total
            after = last

    def close(self) -> None:
        """Close the idle connections of this process. Not final: the next question opens again."""
        self._pool.close()
