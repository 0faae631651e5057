"""Sessions in a table of the application's own: the sync and the async backend, which ask the same queries."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

from sqlalchemy import URL, Engine

from sessionward.backends.sql.executor import Query
from sessionward.backends.sql.sync_pool import SyncPool
from sessionward.backends.sql.thread_pool import open_async_pool
from sessionward.backends.table.layout import Expires, RevokedBy, Value
from sessionward.backends.table.options import options
from sessionward.backends.table.transform import Transform, verbatim
from sessionward.credential.token import Credential
from sessionward.session.session import Session, user_key
from sessionward.settings import Duration

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

R = TypeVar("R")


class TableBackend:
    """Sessions in a table of the application's own; sync: for WSGI applications and jobs, under ASGI in threads.

    The application signs its users in and out by itself; this revokes the others, and touches no ordinary request. For
    tables with one row for each session and the user's id in a column, where nothing inserts a revoked row again when a
    request in flight ends.

    What else signs people in stays as it was: remember-me tokens, copies in a cache (better-auth's ``session_data``
    cookie), API tokens in another table.

    ``database``: a URL (``postgresql://user@host/db``, ``mysql://...``, ``sqlite:///app.db``) or an Engine of yours,
    which is never disposed; an SQLite file keeps the journal mode that it has. The user of the database needs SELECT,
    and UPDATE or DELETE; on PostgreSQL both, since rows are locked.

    ``table``: its name, or ``schema.name``, spelt as the database spells it.

    ``key``: the column that the credential names. It must be unique, or a row of another user could be meant: then
    ``ConfigurationError`` is raised and nothing is revoked. A number must never be given again to another row (on SQLite:
    AUTOINCREMENT), or a copied cookie comes back to life.

    ``user``: the column with the user's id: text, a number or a UUID. Compared byte for byte, whatever the collation.
    NULL is an anonymous session. Index it: each call looks for all rows of the user.

    ``cookie``, ``header``, ``scheme``: where the application's credential travels: the name of a cookie (or several:
    ``["__Host-sid", "sid"]``), a header, and what stands before the value in it. The header is looked at first.

    ``transform``: from the credential to the value in ``key``: ``verbatim``, ``sha256``, ``sha512``, ``hmac_suffixed(...)``,
    ``rails_signed(...)``, ``laravel_encrypted(...)``, or a function of yours. It has to verify what is signed: where the
    cookie only names a row, a transform that does not lets anybody be anybody.

    ``expires``: when a row is too old: ``Expires.at("expires")``, ``Expires.created("created_at", lifetime=3600)``,
    ``Expires.unix("last_activity", lifetime=7200)``. By the clock of the database. Say what the application says: with
    a shorter lifetime, sessions that it still takes are spared; without it, dead ones are counted.

    A row is deleted, unless one of these says otherwise. ``revoked``: a column that marks it, ``RevokedBy.value("active", False)``
    or ``RevokedBy.time("revoked_at")``; the application must look at it. ``rename``: the key becomes ``revoked:`` and something
    that nobody can guess, so that row and data stay; not for a ``key`` that other tables refer to.

    ``where``: columns and the values that a row must have to be a session at all: ``where={"context": "session"}``.

    ``pool_size``, ``timeout``: as in :class:`~sessionward.backends.sql.SQLBackend`.

    Opens nothing before the first query, which looks at the table; :meth:`check` does so at the start. Raises
    ``ConfigurationError`` for what is wrong in itself at once, and with the table's real columns when it is looked at.
    All methods raise ``BackendUnavailable`` when the database cannot answer in time.

    On MariaDB and MySQL each session that is revoked costs two round trips. Tokens are never in an error or a log.
    """

    blocking: ClassVar[bool] = True

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
        transform: Transform = verbatim,
        expires: Expires | None = None,
        revoked: RevokedBy | None = None,
        rename: bool = False,
        where: Mapping[str, Value] | None = None,
        pool_size: int = 10,
        timeout: Duration = 2.0,
    ) -> None:
        made = options(
            database,
            is_async=False,
            cookie=cookie,
            header=header,
            scheme=scheme,
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
            },
        )
        self.carriers, self.pool_size = made.carriers, made.pool_size
        self._timeout = made.timeout
        self._queries = made.queries
        self._pool = SyncPool(made.database, size=made.pool_size, timeout=made.timeout)

    def within(self, timeout: float, /) -> TableBackend:
        """Returns the same backend, over the same connections, with another timeout in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    def check(self) -> None:
        """Looks at the table, for a start that fails where it must. The first query does the same."""
        self._ask(self._queries.check())

    def find(self, credential: Credential, /) -> Session | None:
        query = self._queries.find(credential)
        return None if query is None else self._ask(query)

    def revoke_others(self, session: Session, /) -> int:
        return self._ask(self._queries.revoke_others(session))

    def revoke_all(self, user_id: str, /) -> int:
        """Revokes all sessions of a user, from a job or a shell; returns how many were live."""
        return self._ask(self._queries.revoke_all(user_key(user_id)))

    def close(self) -> None:
        """Closes the idle connections of this process. Not final: the next query opens again."""
        self._pool.close()

    def _ask(self, query: Query[R]) -> R:
        return self._pool.ask(query, self._timeout)


class AsyncTableBackend:
    """Sessions in a table of the application's own; async: for ASGI applications.

    As :class:`TableBackend`, whose docstring says what each option means and what is raised. ``database``: a URL
    (``postgresql+asyncpg://...``, ``mysql://...``, ``sqlite:///app.db``) or an AsyncEngine of yours, which is never disposed.
    Each event loop has connections of its own.
    """

    blocking: ClassVar[bool] = True

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
        transform: Transform = verbatim,
        expires: Expires | None = None,
        revoked: RevokedBy | None = None,
        rename: bool = False,
        where: Mapping[str, Value] | None = None,
        pool_size: int = 10,
        timeout: Duration = 2.0,
    ) -> None:
        made = options(
            database,
            is_async=True,
            cookie=cookie,
            header=header,
            scheme=scheme,
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
            },
        )
        self.carriers, self.pool_size = made.carriers, made.pool_size
        self._timeout = made.timeout
        self._queries = made.queries
        self._pool = open_async_pool(made.database, size=made.pool_size, timeout=made.timeout)

    def within(self, timeout: float, /) -> AsyncTableBackend:
        """Returns the same backend, over the same connections, with another timeout in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    async def check(self) -> None:
        """Looks at the table, for a start that fails where it must. The first query does the same."""
        await self._ask(self._queries.check())

    async def find(self, credential: Credential, /) -> Session | None:
        query = self._queries.find(credential)
        return None if query is None else await self._ask(query)

    async def revoke_others(self, session: Session, /) -> int:
        return await self._ask(self._queries.revoke_others(session))

    async def revoke_all(self, user_id: str, /) -> int:
        """Revokes all sessions of a user, from a job or a shell; returns how many were live."""
        return await self._ask(self._queries.revoke_all(user_key(user_id)))

    async def close(self) -> None:
        """Closes the idle connections of this event loop. Not final: the next query opens again."""
        await self._pool.close()

    async def _ask(self, query: Query[R]) -> R:
        return await self._pool.ask(query, self._timeout)
