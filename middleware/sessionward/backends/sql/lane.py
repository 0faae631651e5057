"""Asks an async driver of PostgreSQL for one row, on a connection at hand.

The ordinary way, which copes with every failure, costs as much again as the lookup itself: a greenlet, an adapter and a deadline
object for each query. A lookup changes nothing, so whatever goes wrong here is asked once more on that way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from sessionward.backends.sql import prepared
from sessionward.backends.sql.driver import cursor_of
from sessionward.backends.sql.executor import CompiledSQL, Lookup
from sessionward.backends.sql.pool import Pool

R = TypeVar("R")
Fetch = Callable[[PoolProxiedConnection, str, Sequence[Any]], Awaitable[Sequence[Any] | None]]
"""Returns the first row of a statement, asked of the driver itself, or None."""


async def _by_asyncpg(held: PoolProxiedConnection, text: str, values: Sequence[Any]) -> Sequence[Any] | None:
    connection: Any = held.driver_connection
    statement = await prepared.by_asyncpg(connection, held.info, text)
    row: Sequence[Any] | None = await (connection.fetchrow(text, *values) if statement is None else statement.fetchrow(*values))
    return row


async def _by_psycopg(held: PoolProxiedConnection, text: str, values: Sequence[Any]) -> Sequence[Any] | None:
    cursor = cursor_of(held.driver_connection, held.info)
    await cursor.execute(text, values)
    row: Sequence[Any] | None = await cursor.fetchone()
    return row


FETCHERS: Final[dict[str, Fetch]] = {"asyncpg": _by_asyncpg, "psycopg": _by_psycopg, "psycopg_async": _by_psycopg}


class Lane:
    """The short way to one pool. Each caller has a permit of the pool."""

    def __init__(self, pool: Pool, sql: CompiledSQL, fetch: Fetch) -> None:
        self._pool = pool
        self._sql = sql
        self._fetch = fetch

    async def read(self, lookup: Lookup[R], timeout: float) -> tuple[R] | None:
        """Returns the answer in a tuple, or None: no connection is idle, or it has failed, or its server must be examined first."""
        held = self._pool.take_idle()
        if held is None:
            return None
        if not self._pool.is_examined(held):
            self._pool.give_idle(held)
            return None
        connection, loop = held.driver_connection, asyncio.get_running_loop()
        text, order = self._sql.statements[lookup.statement]
        alarm = loop.call_later(timeout, self._sql.abort, connection)
        try:
            row = await self._fetch(held, text, [lookup.values[name] for name in order])
        except BaseException as failure:
            alarm.cancel()
            self._sql.abort(connection)
            await greenlet_spawn(self._pool.discard, held)
            if not isinstance(failure, Exception):
                raise
            return None
        alarm.cancel()
        if alarm.when() > loop.time():
            self._pool.give_idle(held)
        else:  # the alarm came after the answer: the answer is valid, but the connection is broken
            await greenlet_spawn(self._pool.discard, held)
        return (lookup.read(self._sql.dialect, row),)
