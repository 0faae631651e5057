"""What a guarded request pays on PostgreSQL, beside the one SELECT that it cannot do without, and in how many round trips."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from statistics import median
from typing import Any

import asyncpg
import psycopg

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.credential import Credential
from tests.benchmarks.databases import counting_relay, postgresql
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, added, alternate, ratios, repeated, times, typical
from tests.benchmarks.requests import SECRET, asgi_application, asgi_requests, awaited, with_header, wsgi_application, wsgi_requests
from tests.benchmarks.signing import signed_in

SELECT = "SELECT id, user_id, issued_at, authenticated_at, expires_at FROM sessionward_sessions WHERE digest = {} AND ended_at IS NULL"
NAME = "guarded request on PostgreSQL, time added"


def measure(effort: Effort) -> Iterator[Result]:
    with postgresql() as url:
        if url is None:
            yield LeftOut(NAME, "no PostgreSQL answers")
            return
        backend = SQLBackend(url)
        backend.create_tables()
        token = signed_in(backend)
        yield from _plain(url, token, backend, effort)
        yield from _async(url, token, effort)
        backend.close()


def _plain(url: str, token: str, backend: SQLBackend, effort: Effort) -> Iterator[Result]:
    digest, fields = Credential(token.encode()).digest, with_header(token)
    door = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET])
    with psycopg.connect(url, autocommit=True) as connection:
        rounds = alternate(
            {
                "select": repeated(lambda: connection.execute(SELECT.format("%s").encode(), (digest,)).fetchone()),
                "bare": wsgi_requests(wsgi_application, fields),
                "door": wsgi_requests(door, fields),
            },
            effort,
        )
    more = added(rounds, "door", "bare")
    beside = f"one SELECT of the row by psycopg {typical(rounds['select'])}"
    yield Row(f"{NAME}: WSGI, psycopg", typical([median(more)]), beside, ratios(more, rounds["select"]), times, 1.5)
    with counting_relay(url) as (relayed, bursts):
        through = SQLBackend(relayed, pool_size=1)
        serve = wsgi_requests(WSGIMiddleware(wsgi_application, through, secrets=[SECRET]), fields)
        serve(10)  # connected, and prepared
        before = bursts()
        serve(100)
        trips = (bursts() - before) / 100
        through.close()
    yield Row("guarded request on PostgreSQL, round trips: WSGI, psycopg", f"{trips:g}", "through a relay that counts", [trips], str, 1.0)


def _async(url: str, token: str, effort: Effort) -> Iterator[Result]:
    digest, fields = Credential(token.encode()).digest, with_header(token)
    with asyncio.Runner() as runner:
        one: Any = runner.run(asyncpg.connect(url))
        other = runner.run(psycopg.AsyncConnection.connect(url, autocommit=True))

        async def select() -> object:
            cursor = await other.execute(SELECT.format("%s").encode(), (digest,))
            return await cursor.fetchone()

        native = AsyncSQLBackend(url.replace("postgresql://", "postgresql+asyncpg://", 1))
        second = AsyncSQLBackend(url)
        rounds = alternate(
            {
                "asyncpg": awaited(lambda: one.fetchrow(SELECT.format("$1"), digest), runner.run),
                "psycopg": awaited(select, runner.run),
                "bare": asgi_requests(asgi_application, fields, runner.run),
                "asyncpg door": asgi_requests(ASGIMiddleware(asgi_application, native, secrets=[SECRET]), fields, runner.run),
                "psycopg door": asgi_requests(ASGIMiddleware(asgi_application, second, secrets=[SECRET]), fields, runner.run),
            },
            effort,
        )
        for backend in (native, second):
            runner.run(backend.close())
        runner.run(one.close())
        runner.run(other.close())
    for driver in ("psycopg", "asyncpg"):
        more = added(rounds, f"{driver} door", "bare")
        beside = f"one SELECT of the row by {driver} {typical(rounds[driver])}"
        yield Row(f"{NAME}: ASGI, {driver}", typical([median(more)]), beside, ratios(more, rounds[driver]), times, 1.5)
