"""The same sessions for ASGI applications, without threads where there is an async driver."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from sqlalchemy import URL

from sessionward.backends.sql import companions, queries
from sessionward.backends.sql.connect import Database, checked, database_of
from sessionward.backends.sql.dialect import SQLITE
from sessionward.backends.sql.executor import Executor
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.credential.token import Credential
from sessionward.drive import Threads
from sessionward.session.session import Device, RevokedCount, Session, CompanionStatus, user_key
from sessionward.settings import Duration, seconds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

R = TypeVar("R")


class _AsyncPool(Protocol):
    """Connections, in async colour."""

    async def ask(self, question: Callable[[Executor], R], timeout: float, *, writes: bool) -> R: ...

    async def create_tables(self) -> None: ...

    async def close(self) -> None: ...


class AsyncSQLBackend:
    """Sessions in SQLite, PostgreSQL, MariaDB or MySQL; async colour.

    As :class:`~sessionward.backends.sql.SQLBackend`, whose docstring says what is raised. ``database``: a URL
    (``sqlite+aiosqlite:///sessions.db``, ``postgresql://user@host/db``, ``postgresql+asyncpg://...``, ``mysql://...``)
    or an AsyncEngine of yours, which is never disposed.

    Each event loop has connections of its own; ``pool_size`` counts for one loop. A question that changes something
    runs to its end even if whoever asked is cancelled. On SQLite from a URL a whole question is one hop to a thread
    with the standard library's ``sqlite3``, where aiosqlite would hop for every cursor call.
    """

    blocking: ClassVar[bool] = True

    def __init__(self, database: str | URL | AsyncEngine, *, pool_size: int = 10, timeout: Duration = 2.0) -> None:
        database = database_of(database, is_async=True)
        self._timeout, self.pool_size = checked(timeout, pool_size)
        self._pool: _AsyncPool
        if database.engine is None and database.sql.dialect is SQLITE:
            self._pool = _ThreadPool(database, size=pool_size, timeout=self._timeout)
        else:
            from sessionward.backends.sql.async_pool import AsyncPool  # needs greenlet, which comes with the driver's extra

            self._pool = AsyncPool(database, size=pool_size, timeout=self._timeout)

    def within(self, timeout: float, /) -> AsyncSQLBackend:
        """The same backend, over the same connections, with another deadline in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    async def create_tables(self) -> None:
        """Create what is missing of the two tables and their index. Safe to repeat, and in several workers at once."""
        await self._pool.create_tables()

    async def find(self, credential: Credential, /) -> Session | None:
        digest = credential.digest
        return await self._pool.ask(lambda executor: queries.find(executor, digest), self._timeout, writes=False)

    async def revoke_others(self, session: Session, /) -> RevokedCount:
        return await self._pool.ask(lambda executor: queries.revoke_others(executor, session), self._timeout, writes=True)

    async def login(
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
        app_session: bytes | None = None,
    ) -> Session:
        new = queries.SignIn(
            user_id=user_key(user_id),
            digest=digest,
            since=since,
            age=age,
            replaces=replaces,
            expires_in=expires_in,
            device=device,
            methods=methods,
            app_session=app_session,
        )
        return await self._pool.ask(lambda executor: queries.login(executor, new), self._timeout, writes=True)

    async def begin_login(self, user_id: str, /) -> int:
        user = user_key(user_id)
        return await self._pool.ask(lambda executor: queries.generation(executor, user), self._timeout, writes=False)

    async def end(self, session: Session, /) -> bool:
        return await self._pool.ask(lambda executor: queries.end(executor, session), self._timeout, writes=True)

    async def revoke_all(self, user_id: str, /) -> RevokedCount:
        """End all sessions of a user, from a job or a shell."""
        user = user_key(user_id)
        return await self._pool.ask(lambda executor: queries.revoke_all(executor, user), self._timeout, writes=True)

    async def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        return await self._pool.ask(lambda executor: companions.companion_status(executor, user_id, app_session), self._timeout, writes=False)

    async def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        return await self._pool.ask(lambda executor: companions.is_revoked_app_session(executor, app_session), self._timeout, writes=False)

    async def adopt(self, user_id: str, digest: bytes, /, *, app_session: bytes, expires_in: float, device: Device) -> Session | None:
        question = partial(companions.adopt, user_id=user_id, digest=digest, app_session=app_session, expires_in=expires_in, device=device)
        return await self._pool.ask(question, self._timeout, writes=True)

    async def touch(self, session: Session, /, *, app_session: bytes | None, expires_in: float) -> bool:
        question = partial(companions.touch, session=session, app_session=app_session, expires_in=expires_in)
        return await self._pool.ask(question, self._timeout, writes=True)

    async def list(self, user_id: str, /) -> Sequence[Session]:
        """The live sessions of a user, newest first."""
        user = user_key(user_id)
        return await self._pool.ask(lambda executor: queries.listed(executor, user), self._timeout, writes=False)

    async def purge(self, older_than: float | timedelta) -> int:
        """Delete sessions that ended or expired so long ago, in batches of 1000; how many. Never deletes users."""
        age, total, after = seconds(older_than), 0, queries.NOBODY
        while True:
            batch = partial(queries.purge, older_than=age, after=after, batch=queries.BATCH)
            count, last = await self._pool.ask(batch, self._timeout, writes=True)
            total += count
            if last is None:
                return total
            after = last

    async def close(self) -> None:
        """Close the idle connections of this event loop. Not final: the next question opens again."""
        await self._pool.close()


class _ThreadPool:
    """A plain pool behind threads: one hop for a whole question."""

    def __init__(self, database: Database, *, size: int, timeout: float) -> None:
        self._plain = SyncPool(database, size=size, timeout=timeout)
        self._threads = Threads(size)

    async def ask(self, question: Callable[[Executor], R], timeout: float, *, writes: bool) -> R:
        ends = monotonic() + timeout

        def ask() -> R:
            return self._plain.ask(question, max(0.001, ends - monotonic()), writes=writes)

        return await self._threads.run(timeout, ask)

    async def create_tables(self) -> None:
        await self._threads.run(60.0, self._plain.create_tables)

    async def close(self) -> None:
        await self._threads.run(60.0, self._plain.close)
