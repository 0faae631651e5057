"""Sessions in a table of the application: the sync and the async backend, which run the same queries."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar
from uuid import UUID

from sqlalchemy import URL, Engine

from sessionward.backends.sql.executor import Query
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.backends.sql.thread_pool import open_async_pool
from sessionward.backends.table.layout import Expires, RevokedBy, Timestamp, Value
from sessionward.backends.table.options import options
from sessionward.backends.table.transform import Transform, verbatim
from sessionward.credential.token import Credential
from sessionward.session.session import ANY_TERMS, Position, Session, SessionList, Terms, user_key
from sessionward.settings import Duration

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

R = TypeVar("R")


class TableBackend:
    """Sessions in a table of the application; sync: for WSGI applications and jobs, under ASGI in threads.

    The application signs its users in and out by itself. This backend revokes the other sessions, and does nothing in an
    ordinary request. It is for tables with one row for each session and with the user's id in a column. When a request in flight
    ends, the application must not insert a revoked row again.

    The backend does not revoke what else signs users in: remember-me tokens, refresh tokens in a request body, API tokens in
    another table.

    ``database``: a URL (``postgresql://user@host/db``, ``mysql://...``, ``sqlite:///app.db``) or an Engine of the application,
    which the backend never disposes. An SQLite file keeps its journal mode. The database user must have the privilege SELECT, and
    UPDATE or DELETE; on PostgreSQL both, since the backend locks rows.

    ``table``: the name, or ``schema.name``, spelt as the database spells it.

    ``key``: the column that the credential names. It must be unique, or the key could name a row of another user: then the
    backend raises ``ConfigurationError`` and revokes nothing. If it is a number, the database must never give it to another row
    again (on SQLite: AUTOINCREMENT), or an old cookie names the session of another user.

    ``user``: the column with the user's id: a string, an integer, a UUID or bytes. The backend compares it byte for byte, whatever
    the collation; :meth:`revoke_all` finds a UUID with hyphens or without. NULL means an anonymous session. Create an index on
    it: each call finds all rows of the user.

    ``cookie``, ``header``, ``scheme``: where the client sends the application's credential: the name of a cookie (or several:
    ``["__Host-sid", "sid"]``), the name of a header, and what precedes the value in the header. The header takes precedence.

    ``cookie_cache``: the name of a cookie, or several, in which the application keeps a copy of the session and trusts it without
    asking the table: ``"better-auth.session_data"``. The middleware removes it from requests whose session is not live, which costs
    one query for each request that carries it.

    ``transform``: a function from the credential to the value in ``key``: ``verbatim``, ``sha256``, ``sha512``,
    ``hmac_suffixed(...)``, ``rails_signed(...)``, ``laravel_encrypted(...)``, or one of the application. It must verify a
    signature: where the cookie only names a row, a transform that does not verify lets every client sign in as every user.

    ``expires``: when a row expires, by the clock of the database: ``Expires.at("expires")``,
    ``Expires.created("created_at", lifetime=3600)``, ``Expires.unix("last_activity", lifetime=7200)``. It must be what the
    application uses: with a shorter lifetime the backend spares sessions that the application still accepts; without ``expires``
    it counts sessions that are not live.

    By default the backend deletes a row. ``revoked``: it marks the row in a column instead, ``RevokedBy.value("active", False)``
    or ``RevokedBy.time("revoked_at")``; the application must check this column. ``rename``: it replaces the key by ``revoked:``
    and unguessable digits, so that the row and its data stay; not for a ``key`` to which other tables refer.

    ``where``: the columns, and their values, that make a row a session: ``where={"context": "session"}``.

    ``issued``, ``last_seen``, ``ip_address``, ``user_agent``: the columns from which :meth:`list` takes what a session shows: when
    the user signed in, which must not change later, when the session was used last, and where the user signed in. The name of a
    column of times, or ``Timestamp.unix("last_activity")`` for numbers. With ``issued``, the setting ``recent`` can be used.

    The database compares what is compared. A column whose values it would compare in its own way (a fraction, a list of labels, a
    day, JSON) is refused by its name, with what would serve.

    ``pool_size``, ``timeout``: as in :class:`~sessionward.backends.sql.SQLBackend`.

    The backend connects at the first query, which also examines the table; :meth:`check` does so when the application starts. The
    constructor raises ``ConfigurationError`` for options that are wrong in themselves. The first query raises it for what does
    not fit the table, and names the real columns. All methods raise ``BackendUnavailable`` when the database does not answer in
    time.

    :meth:`list` sorts here, since the public id of a session is made from its key: its work is linear in the user's live rows, and
    it raises ``BackendUnavailable`` beyond 10 000. Each other statement names up to 500 sessions. No error and no log contains a token.
    """

    blocking: ClassVar[bool] = True
    judges_rate: ClassVar[bool] = False

    def __init__(
        self,
        database: str | URL | Engine,
        table: str,
        *,
        key: str,
        user: str,
        cookie: str | Sequence[str] | None = None,
        header: str | None = None,
        scheme: str = "",
        cookie_cache: str | Sequence[str] = (),
        transform: Transform = verbatim,
        expires: Expires | None = None,
        revoked: RevokedBy | None = None,
        rename: bool = False,
        where: Mapping[str, Value] | None = None,
        issued: str | Timestamp | None = None,
        last_seen: str | Timestamp | None = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
        pool_size: int = 10,
        timeout: Duration = 2.0,
    ) -> None:
        made = options(
            database,
            is_async=False,
            cookie=cookie,
            header=header,
            scheme=scheme,
            cookie_cache=cookie_cache,
            transform=transform,
            timeout=timeout,
            pool_size=pool_size,
            layout={
                "table": table,
                "key": key,
                "user": user,
                "expires": expires,
                "revoked": revoked,
                "rename": rename,
                "where": dict(where or {}),
                "issued": issued,
                "last_seen": last_seen,
                "ip_address": ip_address,
                "user_agent": user_agent,
            },
        )
        self.carriers, self.cookie_caches, self.pool_size = made.carriers, made.caches, made.pool_size
        self.judges_recent, self._timeout = issued is not None, made.timeout
        self._queries = made.queries
        self._pool = SyncPool(made.database, size=made.pool_size, timeout=made.timeout)

    def within(self, timeout: float, /) -> TableBackend:
        """Returns the same backend, over the same connections, with another timeout in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    def check(self) -> None:
        """Examines the table, so that an application with a wrong configuration fails at its start. The first query does the same."""
        self._ask(self._queries.check())

    def find(self, credential: Credential, /) -> Session | None:
        query = self._queries.find(credential)
        return None if query is None else self._ask(query)

    def revoke_others(self, session: Session, /) -> int:
        return self._ask(self._queries.revoke_others(session))

    def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> int:
        return self._ask(self._queries.revoke_others(session, terms))

    def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        return self._ask(self._queries.revoke_others(session, terms, only=id)) > 0

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        return self._ask(self._queries.sessions_of(user_key(user_id), after, limit, without))

    def revoke_all(self, user_id: str, /) -> int:
        """Revokes all sessions of a user, from a job or a shell. Returns how many were live."""
        return self._ask(self._queries.revoke_all(user_key(user_id)))

    def revoke_everybody(self) -> None:
        """Revokes all sessions of all users, from a job or a shell: ``sessionward restored --backend package.module:backend`` does it.

        Call it after a backup of the table has been restored, before users come in again. It is one transaction, whose time is
        linear in the number of rows: ``backend.within(600).revoke_everybody()``. Rows without a user stay.
        """
        self._ask(self._queries.revoke_everybody())

    def close(self) -> None:
        """Closes the idle connections of this process. This is not final: the next query opens new ones."""
        self._pool.close()

    def _ask(self, query: Query[R]) -> R:
        return self._pool.ask(query, self._timeout)


class AsyncTableBackend:
    """Sessions in a table of the application; async: for ASGI applications.

    It works like :class:`TableBackend`, whose docstring says what each option means and what the methods raise. ``database``: a URL
    (``postgresql+asyncpg://...``, ``mysql://...``, ``sqlite:///app.db``) or an AsyncEngine of the application, which the backend
    never disposes. Each event loop has its own connections.
    """

    blocking: ClassVar[bool] = True
    judges_rate: ClassVar[bool] = False

    def __init__(
        self,
        database: str | URL | AsyncEngine,
        table: str,
        *,
        key: str,
        user: str,
        cookie: str | Sequence[str] | None = None,
        header: str | None = None,
        scheme: str = "",
        cookie_cache: str | Sequence[str] = (),
        transform: Transform = verbatim,
        expires: Expires | None = None,
        revoked: RevokedBy | None = None,
        rename: bool = False,
        where: Mapping[str, Value] | None = None,
        issued: str | Timestamp | None = None,
        last_seen: str | Timestamp | None = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
        pool_size: int = 10,
        timeout: Duration = 2.0,
    ) -> None:
        made = options(
            database,
            is_async=True,
            cookie=cookie,
            header=header,
            scheme=scheme,
            cookie_cache=cookie_cache,
            transform=transform,
            timeout=timeout,
            pool_size=pool_size,
            layout={
                "table": table,
                "key": key,
                "user": user,
                "expires": expires,
                "revoked": revoked,
                "rename": rename,
                "where": dict(where or {}),
                "issued": issued,
                "last_seen": last_seen,
                "ip_address": ip_address,
                "user_agent": user_agent,
            },
        )
        self.carriers, self.cookie_caches, self.pool_size = made.carriers, made.caches, made.pool_size
        self.judges_recent, self._timeout = issued is not None, made.timeout
        self._queries = made.queries
        self._pool = open_async_pool(made.database, size=made.pool_size, timeout=made.timeout)

    def within(self, timeout: float, /) -> AsyncTableBackend:
        """Returns the same backend, over the same connections, with another timeout in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    async def check(self) -> None:
        """Examines the table, so that an application with a wrong configuration fails at its start. The first query does the same."""
        await self._ask(self._queries.check())

    async def find(self, credential: Credential, /) -> Session | None:
        query = self._queries.find(credential)
        return None if query is None else await self._ask(query)

    async def revoke_others(self, session: Session, /) -> int:
        return await self._ask(self._queries.revoke_others(session))

    async def revoke_others_quietly(self, session: Session, terms: Terms = ANY_TERMS, /) -> int:
        return await self._ask(self._queries.revoke_others(session, terms))

    async def revoke_one(self, session: Session, id: UUID, terms: Terms = ANY_TERMS, /) -> bool:
        return await self._ask(self._queries.revoke_others(session, terms, only=id)) > 0

    async def list(
        self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None
    ) -> SessionList:
        return await self._ask(self._queries.sessions_of(user_key(user_id), after, limit, without))

    async def revoke_all(self, user_id: str, /) -> int:
        """Revokes all sessions of a user, from a job or a shell. Returns how many were live."""
        return await self._ask(self._queries.revoke_all(user_key(user_id)))

    async def revoke_everybody(self) -> None:
        """Like :meth:`TableBackend.revoke_everybody`."""
        await self._ask(self._queries.revoke_everybody())

    async def close(self) -> None:
        """Closes the idle connections of this event loop. This is not final: the next query opens new ones."""
        await self._pool.close()

    async def _ask(self, query: Query[R]) -> R:
        return await self._pool.ask(query, self._timeout)
