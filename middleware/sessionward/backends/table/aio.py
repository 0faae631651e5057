"""The application's own table, for ASGI applications."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import URL

from sessionward.backends.sql.aio import _AsyncPool, _ThreadPool  # pyright: ignore[reportPrivateUsage]
from sessionward.backends.sql.dialect import SQLITE
from sessionward.backends.table.layout import Expires, RevokedBy, Value
from sessionward.backends.table.options import options
from sessionward.backends.table.transform import Transform, verbatim
from sessionward.credential.token import Credential
from sessionward.session.session import Session, user_key
from sessionward.settings import Duration

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


class AsyncTableBackend:
    """Sessions in a table of the application's own; async colour.

    As :class:`~sessionward.backends.table.TableBackend`, whose docstring says what each option means and what is raised.
    ``database``: a URL (``postgresql+asyncpg://...``, ``mysql://...``, ``sqlite+aiosqlite:///app.db``) or an AsyncEngine
    of yours, which is never disposed. Each event loop has connections of its own.
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
            table=table,
            key=key,
            user=user,
            cookie=cookie,
            header=header,
            scheme=scheme,
            transform=transform,
            expires=expires,
            revoked=ended,
            rename=rename,
            where=dict(where or {}),
            pool_size=pool_size,
            timeout=timeout,
        )
        self.carriers, self.pool_size = made.carriers, made.pool_size
        self._timeout = made.timeout
        self._queries = made.queries
        self._pool: _AsyncPool
        if made.database.engine is None and made.database.sql.dialect is SQLITE:
            self._pool = _ThreadPool(made.database, size=made.pool_size, timeout=made.timeout)
        else:
            from sessionward.backends.sql.async_pool import AsyncPool  # needs greenlet, which comes with the driver's extra

            self._pool = AsyncPool(made.database, size=made.pool_size, timeout=made.timeout)

    def within(self, timeout: float, /) -> AsyncTableBackend:
        """The same backend, over the same connections, with another deadline in seconds."""
        view = copy.copy(self)
        view._timeout = timeout
        return view

    async def check(self) -> None:
        """Look at the table, for a start that fails where it must. The first question does the same."""
        await self._pool.ask(self._queries.check, self._timeout, writes=False)

    async def find(self, credential: Credential, /) -> Session | None:
        queries, key = self._queries, self._queries.key(credential)
        if key is None:
            return None
        return await self._pool.ask(lambda executor: queries.find(executor, credential, key), self._timeout, writes=False)

    async def revoke_others(self, session: Session, /) -> int:
        queries, key = self._queries, self._queries.own_key(session)
        return await self._pool.ask(lambda executor: queries.revoke_others(executor, session, key), self._timeout, writes=True)

    async def revoke_all(self, user_id: str, /) -> int:
        """End all sessions of a user, from a job or a shell; how many were live."""
        queries, user = self._queries, user_key(user_id)
        return await self._pool.ask(lambda executor: queries.revoke_all(executor, user), self._timeout, writes=True)

    async def close(self) -> None:
        """Close the idle connections of this event loop. Not final: the next question opens again."""
        await self._pool.close()
