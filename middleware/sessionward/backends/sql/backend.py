"""Sessions in SQLite, PostgreSQL, MariaDB or MySQL: the sync and the async backend, which run the same queries."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, TypeVar
from uuid import UUID

from sqlalchemy import URL, Engine

from sessionward.backends.sql import companions, queries
from sessionward.backends.sql.connect import checked, database_of
from sessionward.backends.sql.executor import Query
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.backends.sql.thread_pool import open_async_pool
from sessionward.credential.token import Credential
from sessionward.session.session import CompanionStatus, NewSession, RevokedCount, Session, user_key
from sessionward.settings import Duration, seconds

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

R = TypeVar("R")


class SQLBackend:
    """Sessions in SQLite, PostgreSQL, MariaDB or MySQL; sync: for WSGI applications and jobs, under ASGI in threads.

    ``database``: a URL (``sqlite:///sessions.db``, ``postgresql://user@host/db``, ``mysql://...``) or an Engine of the
    application, which the backend never disposes. With a URL the backend has its own connections and is faster. With an Engine,
    the application must hold no connection of it while it calls a method here: once the pool of the Engine is empty, the two
    would wait for each other.

    ``pool_size``: how many connections one process opens at most. ``timeout``: how long a query may take, in seconds or as a
    ``timedelta``; then the backend aborts it. The middleware passes its own timeout.

    The methods are those of :class:`~sessionward.backends.SupportsCompanions`, which says what each does.

    The backend connects at the first query, not before. The constructor raises ``ConfigurationError`` for a URL that is not
    supported or whose driver is not installed. All methods raise ``BackendUnavailable`` when the database does not answer in
    time, and ``ConfigurationError`` when its tables are missing.
    """

    blocking: ClassVar[bool] = True

    def __init__(self, database: str | URL | Engine, *, pool_size: int = 10, timeout: Duration = 2.0) -> None:
        found = database_of(database, is_async=False)
        self._timeout, self.pool_size = checked(timeout, pool_size)
        self._pool = SyncPool(found, size=pool_size, timeout=self._timeout)

    def within(self, timeout: float, /) -> SQLBackend:
        """Returns the same backend, over the same connections, with another timeout in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    def create_tables(self) -> None:
        """Creates the tables and indexes that are missing. It is safe to repeat, also in several workers at once."""
        self._pool.create_tables()

    def find(self, credential: Credential, /) -> Session | None:
        return self._ask(queries.find(credential.digest))

    def revoke_others(self, session: Session, /) -> RevokedCount:
        return self._ask(queries.revoke_others(session, quietly=False))

    def revoke_others_quietly(self, session: Session, /) -> RevokedCount:
        return self._ask(queries.revoke_others(session, quietly=True))

    def login(self, new: NewSession, /) -> Session:
        return self._ask(queries.login(new))

    def begin_login(self, user_id: str, /) -> int:
        return self._ask(queries.generation(user_key(user_id)))

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        """Revokes one session of a user. Returns whether it was live."""
        return self._ask(queries.revoke(user_key(user_id), id))

    def revoke_all(self, user_id: str, /) -> RevokedCount:
        """Revokes all sessions of a user, from a job or a shell. Returns how many were live."""
        return self._ask(queries.revoke_all(user_key(user_id)))

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        return self._ask(companions.companion_status(user_id, app_session))

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        return self._ask(companions.is_revoked_app_session(app_session))

    def adopt(self, new: NewSession, /) -> Session | None:
        return self._ask(companions.adopt(new))

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None) -> bool:
        return self._ask(companions.extend(session, lifetime=lifetime, app_session=app_session))

    def list(self, user_id: str, /) -> Sequence[Session]:
        """Returns the live sessions of a user, newest first."""
        return self._ask(queries.listed(user_key(user_id)))

    def purge(self, older_than: float | timedelta) -> int:
        """Deletes sessions that stopped being live more than ``older_than`` (seconds or a ``timedelta``) ago. Returns how many.

        It works in batches of 1000, so it does not delay the requests of live sessions, and it can be interrupted and repeated.
        It never deletes users.
        """
        age, total, after = seconds(older_than), 0, queries.NOBODY
        while True:
            count, last = self._ask(queries.purge(age, after, queries.BATCH))
            total += count
            if last is None:
                return total
            after = last

    def close(self) -> None:
        """Closes the idle connections of this process. This is not final: the next query opens new ones."""
        self._pool.close()

    def _ask(self, query: Query[R]) -> R:
        return self._pool.ask(query, self._timeout)


class AsyncSQLBackend:
    """Sessions in SQLite, PostgreSQL, MariaDB or MySQL; async: for ASGI applications.

    It works like :class:`SQLBackend`, whose docstring says what the methods raise. ``database``: a URL (``sqlite:///sessions.db``,
    ``postgresql://user@host/db``, ``postgresql+asyncpg://...``, ``mysql://...``) or an AsyncEngine of the application, which the
    backend never disposes.

    Each event loop has its own connections, and ``pool_size`` limits those of one loop. A query that changes something runs to
    its end even if the caller is cancelled. With a URL of SQLite a whole query is one hop to a thread with the standard library's
    ``sqlite3``; aiosqlite would hop for each call of a cursor.
    """

    blocking: ClassVar[bool] = True

    def __init__(self, database: str | URL | AsyncEngine, *, pool_size: int = 10, timeout: Duration = 2.0) -> None:
        found = database_of(database, is_async=True)
        self._timeout, self.pool_size = checked(timeout, pool_size)
        self._pool = open_async_pool(found, size=pool_size, timeout=self._timeout)

    def within(self, timeout: float, /) -> AsyncSQLBackend:
        """Returns the same backend, over the same connections, with another timeout in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    async def create_tables(self) -> None:
        """Creates the tables and indexes that are missing. It is safe to repeat, also in several workers at once."""
        await self._pool.create_tables()

    async def find(self, credential: Credential, /) -> Session | None:
        return await self._ask(queries.find(credential.digest))

    async def revoke_others(self, session: Session, /) -> RevokedCount:
        return await self._ask(queries.revoke_others(session, quietly=False))

    async def revoke_others_quietly(self, session: Session, /) -> RevokedCount:
        return await self._ask(queries.revoke_others(session, quietly=True))

    async def login(self, new: NewSession, /) -> Session:
        return await self._ask(queries.login(new))

    async def begin_login(self, user_id: str, /) -> int:
        return await self._ask(queries.generation(user_key(user_id)))

    async def revoke(self, user_id: str, id: UUID, /) -> bool:
        """Revokes one session of a user. Returns whether it was live."""
        return await self._ask(queries.revoke(user_key(user_id), id))

    async def revoke_all(self, user_id: str, /) -> RevokedCount:
        """Revokes all sessions of a user, from a job or a shell. Returns how many were live."""
        return await self._ask(queries.revoke_all(user_key(user_id)))

    async def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        return await self._ask(companions.companion_status(user_id, app_session))

    async def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        return await self._ask(companions.is_revoked_app_session(app_session))

    async def adopt(self, new: NewSession, /) -> Session | None:
        return await self._ask(companions.adopt(new))

    async def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None) -> bool:
        return await self._ask(companions.extend(session, lifetime=lifetime, app_session=app_session))

    async def list(self, user_id: str, /) -> Sequence[Session]:
        """Returns the live sessions of a user, newest first."""
        return await self._ask(queries.listed(user_key(user_id)))

    async def purge(self, older_than: float | timedelta) -> int:
        """Deletes sessions that stopped being live more than ``older_than`` ago. See :meth:`SQLBackend.purge`."""
        age, total, after = seconds(older_than), 0, queries.NOBODY
        while True:
            count, last = await self._ask(queries.purge(age, after, queries.BATCH))
            total += count
            if last is None:
                return total
            after = last

    async def close(self) -> None:
        """Closes the idle connections of this event loop. This is not final: the next query opens new ones."""
        await self._pool.close()

    async def _ask(self, query: Query[R]) -> R:
        return await self._pool.ask(query, self._timeout)
