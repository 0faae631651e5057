"""Sessions in SQLite, PostgreSQL, MariaDB or MySQL: the sync and the async backend, which run the same queries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from sqlalchemy import URL, Engine

from sessionward.backends.bounds import checked, purgeable_age
from sessionward.backends.sql import companions, everybody, on_terms, queries, reading, use
from sessionward.backends.sql.at_once import AtOnce
from sessionward.backends.sql.connect import database_of
from sessionward.backends.sql.leased import AsyncLeased, Leased
from sessionward.backends.sql.options import GaleraUse, Rollback, split_options, witness_of
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.backends.sql.thread_pool import open_async_pool
from sessionward.credential.token import Credential
from sessionward.session.era import new_era
from sessionward.session.session import (
    ANY_TERMS,
    Checked,
    CompanionStatus,
    NewSession,
    Position,
    RevokedCount,
    Session,
    SessionList,
    Terms,
    user_key,
)
from sessionward.session.use import at_once
from sessionward.settings import Duration

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


class SQLBackend(Leased):
    """Sessions in SQLite, PostgreSQL, MariaDB or MySQL; sync: for WSGI applications and jobs, under ASGI in threads.

    ``database``: a URL (``sqlite:///sessions.db``, ``postgresql://user@host/db``, ``mysql://...``) or an Engine of the
    application, which the backend never disposes. With a URL the backend has its own connections and is faster. With an Engine,
    the application must hold no connection of it while it calls a method here: once the pool of the Engine is empty, the two
    would wait for each other.

    ``pool_size``: how many connections one process opens at most. ``timeout``: how long a query may take, in seconds or as a
    ``timedelta``; then the backend aborts it. The middleware passes its own timeout.

    ``on_rollback``, for PostgreSQL: what happens when the server lacks commits that this worker has seen, or may lack some, after a
    restored backup or the promotion of a standby that lagged. ``"refuse"``: ``BackendUnavailable`` until an operator has run
    ``sessionward restored``. ``"revoke"``: all sessions of all users are revoked at once. ``"ignore"``: nothing is compared.
    ``galera``, for MariaDB and MySQL: a node of a Galera cluster is refused with ``ConfigurationError``, unless you say by
    ``"single_node"`` that all programs that use the tables connect to one and the same node. A URL may carry both:
    ``postgresql://user@host/db?on_rollback=revoke``.

    The methods are those of :class:`~sessionward.backends.SupportsCompanions`, :class:`~sessionward.backends.SupportsEverybody`,
    :class:`~sessionward.backends.SupportsLeases`, :class:`~sessionward.backends.SupportsMany`,
    :class:`~sessionward.backends.SupportsSeen` and :class:`~sessionward.backends.SupportsSessionAPI`, which say what each does.

    The backend connects at the first query, not before. The constructor raises ``ConfigurationError`` for a URL that is not
    supported or whose driver is not installed. All methods raise ``BackendUnavailable`` when the database does not answer in
    time, and ``ConfigurationError`` when its tables are missing.
    """

    blocking: ClassVar[bool] = True
    judges_limit: ClassVar[bool] = True

    def __init__(
        self,
        database: str | URL | Engine,
        *,
        pool_size: int = 10,
        timeout: Duration = 2.0,
        on_rollback: Rollback = "refuse",
        galera: GaleraUse = "refuse",
    ) -> None:
        place, options = split_options(database)
        found = database_of(place, is_async=False)
        self._timeout, self.pool_size = checked(timeout, pool_size)
        self._waits, self._at_once = True, AtOnce(found, size=pool_size)
        witness = witness_of(found, options, on_rollback=on_rollback, galera=galera)
        self._pool = SyncPool(found, size=pool_size, timeout=self._timeout, witness=witness)

    def create_tables(self) -> None:
        """Creates the tables and indexes that are missing. It is safe to repeat, also in several workers at once."""
        self._pool.create_tables()

    def find(self, credential: Credential, /) -> Session | None:
        return self._ask(reading.find(credential.digest))

    def check(self, credential: Credential, /) -> Checked:
        return self._ask(self._at_once.preparing(reading.check(credential.digest)))

    def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        return self._ask(reading.find_many(credentials))

    def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float] = at_once, /
    ) -> Mapping[UUID, float]:
        return self._ask(use.note_seen(sessions, idle_timeout, age))

    def revoke_others(self, session: Session, /) -> RevokedCount:
        return self._settled(queries.revoke_others(session))

    def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> RevokedCount:
        return self._settled(on_terms.revoke_others_quietly(session, terms))

    def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        return self._settled(on_terms.revoke_one(session, id, terms))

    def login(self, new: NewSession, /) -> Session:
        return self._settled(queries.login(new))

    def begin_login(self, user_id: str, /) -> int:
        return self._ask(reading.generation(user_key(user_id)))

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        """Revokes one session of a user, from a job or a shell. Returns whether it was live."""
        return self._settled(queries.revoke(user_key(user_id), id, None))

    def revoke_own(self, user_id: str, id: UUID, /) -> bool:
        return self._settled(queries.revoke(user_key(user_id), id, id))

    def revoke_all(self, user_id: str, /) -> RevokedCount:
        """Revokes all sessions of a user, from a job or a shell. Returns how many were live."""
        return self._settled(queries.revoke_all(user_key(user_id)))

    def revoke_everybody(self) -> None:
        """Revokes all sessions of all users, by one write.

        It waits for the lease that the database has. A restored backup may have a shorter one than workers count on: after a restore
        run ``sessionward restored``, which waits for the longest lease.
        """
        self._settled(everybody.revoke_everybody(new_era()))

    def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        return self._ask(companions.companion_status(user_id, app_session))

    def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        return self._ask(companions.is_revoked_app_session(app_session))

    def adopt(self, new: NewSession, /) -> Session | None:
        return self._settled(companions.adopt(new))

    def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None, idle_timeout: float | None = None) -> bool:
        return self._ask(companions.extend(session, lifetime, app_session, idle_timeout))

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        return self._ask(reading.listed(user_key(user_id), after, limit, without))

    def purge(self, older_than: float | timedelta) -> int:
        """Deletes sessions that stopped being live more than ``older_than`` (seconds or a ``timedelta``) ago. Returns how many.

        It works in batches of 1000, so it does not delay the requests of live sessions, and it can be interrupted and repeated.
        It never deletes users, nor sessions that were ended within the last hour: workers must still read that they ended.
        """
        age, total, after = purgeable_age(older_than), 0, reading.NOBODY
        while True:
            count, last = self._ask(queries.purge(age, after, queries.BATCH))
            total += count
            if last is None:
                return total
            after = last

    def close(self) -> None:
        """Closes the idle connections of this process. This is not final: the next query opens new ones."""
        self._at_once.close()
        self._pool.close()


class AsyncSQLBackend(AsyncLeased):
    """Sessions in SQLite, PostgreSQL, MariaDB or MySQL; async: for ASGI applications.

    It works like :class:`SQLBackend`, whose docstring says what the methods raise. ``database``: a URL (``sqlite:///sessions.db``,
    ``postgresql://user@host/db``, ``postgresql+asyncpg://...``, ``mysql://...``) or an AsyncEngine of the application, which the
    backend never disposes.

    Each event loop has its own connections, and ``pool_size`` limits those of one loop. A query that changes something runs to
    its end even if the caller is cancelled. With a URL of SQLite a whole query is one hop to a thread with the standard library's
    ``sqlite3``; aiosqlite would hop for each call of a cursor.
    """

    blocking: ClassVar[bool] = True
    judges_limit: ClassVar[bool] = True

    def __init__(
        self,
        database: str | URL | AsyncEngine,
        *,
        pool_size: int = 10,
        timeout: Duration = 2.0,
        on_rollback: Rollback = "refuse",
        galera: GaleraUse = "refuse",
    ) -> None:
        place, options = split_options(database)
        found = database_of(place, is_async=True)
        self._timeout, self.pool_size = checked(timeout, pool_size)
        self._waits, self._at_once = True, AtOnce(found, size=pool_size)
        witness = witness_of(found, options, on_rollback=on_rollback, galera=galera)
        self._pool = open_async_pool(found, size=pool_size, timeout=self._timeout, witness=witness)

    async def create_tables(self) -> None:
        """Creates the tables and indexes that are missing. It is safe to repeat, also in several workers at once."""
        await self._pool.create_tables()

    async def find(self, credential: Credential, /) -> Session | None:
        return await self._ask(reading.find(credential.digest))

    async def check(self, credential: Credential, /) -> Checked:
        return await self._ask(self._at_once.preparing(reading.check(credential.digest)))

    async def find_many(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        return await self._ask(reading.find_many(credentials))

    async def note_seen(
        self, sessions: Collection[Session], idle_timeout: float | None, age: Callable[[], float] = at_once, /
    ) -> Mapping[UUID, float]:
        return await self._ask(use.note_seen(sessions, idle_timeout, age))

    async def revoke_others(self, session: Session, /) -> RevokedCount:
        return await self._settled(queries.revoke_others(session))

    async def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> RevokedCount:
        return await self._settled(on_terms.revoke_others_quietly(session, terms))

    async def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        return await self._settled(on_terms.revoke_one(session, id, terms))

    async def login(self, new: NewSession, /) -> Session:
        return await self._settled(queries.login(new))

    async def begin_login(self, user_id: str, /) -> int:
        return await self._ask(reading.generation(user_key(user_id)))

    async def revoke(self, user_id: str, id: UUID, /) -> bool:
        """Revokes one session of a user, from a job or a shell. Returns whether it was live."""
        return await self._settled(queries.revoke(user_key(user_id), id, None))

    async def revoke_own(self, user_id: str, id: UUID, /) -> bool:
        return await self._settled(queries.revoke(user_key(user_id), id, id))

    async def revoke_all(self, user_id: str, /) -> RevokedCount:
        """Revokes all sessions of a user, from a job or a shell. Returns how many were live."""
        return await self._settled(queries.revoke_all(user_key(user_id)))

    async def revoke_everybody(self) -> None:
        """Revokes all sessions of all users. See :meth:`SQLBackend.revoke_everybody`."""
        await self._settled(everybody.revoke_everybody(new_era()))

    async def companion_status(self, user_id: str, app_session: bytes, /) -> CompanionStatus:
        return await self._ask(companions.companion_status(user_id, app_session))

    async def is_revoked_app_session(self, app_session: bytes, /) -> bool:
        return await self._ask(companions.is_revoked_app_session(app_session))

    async def adopt(self, new: NewSession, /) -> Session | None:
        return await self._settled(companions.adopt(new))

    async def extend(self, session: Session, /, *, lifetime: float, app_session: bytes | None, idle_timeout: float | None = None) -> bool:
        return await self._ask(companions.extend(session, lifetime, app_session, idle_timeout))

    async def list(
        self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None
    ) -> SessionList:
        return await self._ask(reading.listed(user_key(user_id), after, limit, without))

    async def purge(self, older_than: float | timedelta) -> int:
        """Deletes sessions that stopped being live more than ``older_than`` ago. See :meth:`SQLBackend.purge`."""
        age, total, after = purgeable_age(older_than), 0, reading.NOBODY
        while True:
            count, last = await self._ask(queries.purge(age, after, queries.BATCH))
            total += count
            if last is None:
                return total
            after = last

    async def close(self) -> None:
        """Closes the idle connections of this event loop. This is not final: the next query opens new ones."""
        self._at_once.close()
        await self._pool.close()
