"""What a guarded request pays on PostgreSQL, beside the one SELECT that it cannot do without, and in how many round trips."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

import asyncpg
import psycopg

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.credential.token import Credential
from tests.benchmarks.databases import counting_relay, postgresql
from tests.benchmarks.measure import Effort, LeftOut, Result, Row, Timed, added, alternate, ratios, repeated, times, typical
from tests.benchmarks.requests import (
    SECRET,
    asgi_application,
    asgi_requests_that_wait,
    awaited,
    event_loop,
    signed_in_application,
    with_header,
    wsgi_application,
    wsgi_requests_that_wait,
)
from tests.benchmarks.signing import select_of_the_row, signed_in

NAME = "guarded request on PostgreSQL, time added"
TRIPS = "guarded request on PostgreSQL, round trips"


def measure(effort: Effort) -> Iterator[Result]:
    with postgresql() as urls:
        if not urls:
            yield LeftOut(NAME, "no PostgreSQL answers")
            return
        backend = SQLBackend(urls[0])
        backend.create_tables()
        token = signed_in(backend)
        with psycopg.connect(urls[0], autocommit=True) as connection:
            connection.execute(b"ANALYZE")
        yield from _plain(urls[0], token, backend, effort)
        yield from _async(urls[0], token, effort)
        backend.close()


def _plain(url: str, token: str, backend: SQLBackend, effort: Effort) -> Iterator[Result]:
    digest, fields, select = Credential(token.encode()).digest, with_header(token), select_of_the_row("%s").encode()
    wsgi_requests_that_wait(WSGIMiddleware(signed_in_application, backend, secrets=[SECRET]), fields)(1)
    door = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET])
    with psycopg.connect(url, autocommit=True) as connection:
        rounds = alternate(
            {
                "select": repeated(lambda: connection.execute(select, (digest,)).fetchone()),
                "bare": wsgi_requests_that_wait(wsgi_application, fields),
                "door": wsgi_requests_that_wait(door, fields),
            },
            effort.longer(),
        )
    more = added(rounds, "door", "bare")
    beside = f"one SELECT of the row by psycopg {typical(rounds['select'])}"
    yield Row(f"{NAME}: WSGI, psycopg", typical([median(more)]), beside, ratios(more, rounds["select"]), times, 1.5)
    with counting_relay(url) as (relayed, bursts):
        through = SQLBackend(relayed, pool_size=1)
        serve = wsgi_requests_that_wait(WSGIMiddleware(wsgi_application, through, secrets=[SECRET]), fields)
        yield _trips("WSGI, psycopg", serve, bursts)
        through.close()


def _async(url: str, token: str, effort: Effort) -> Iterator[Result]:
    digest, fields = Credential(token.encode()).digest, with_header(token)
    of_asyncpg, of_psycopg = select_of_the_row("$1"), select_of_the_row("%s").encode()
    with event_loop() as run:
        one: Any = run(asyncpg.connect(url))
        other = run(psycopg.AsyncConnection.connect(url, autocommit=True))

        async def select() -> object:
            cursor = await other.execute(of_psycopg, (digest,))
            return await cursor.fetchone()

        def guarded(backend: AsyncSQLBackend) -> Timed:
            return asgi_requests_that_wait(ASGIMiddleware(asgi_application, backend, secrets=[SECRET]), fields, run)

        backends = {driver: AsyncSQLBackend(_by(driver, url)) for driver in ("psycopg", "asyncpg")}
        rounds = alternate(
            {
                "asyncpg": awaited(lambda: one.fetchrow(of_asyncpg, digest), run),
                "psycopg": awaited(select, run),
                "bare": asgi_requests_that_wait(asgi_application, fields, run),
                **{f"{driver} door": guarded(backend) for driver, backend in backends.items()},
            },
            effort.longer(),
        )
        for driver, backend in backends.items():
            more = added(rounds, f"{driver} door", "bare")
            beside = f"one SELECT of the row by {driver} {typical(rounds[driver])}"
            yield Row(f"{NAME}: ASGI, {driver}", typical([median(more)]), beside, ratios(more, rounds[driver]), times, 1.5)
            run(backend.close())
            with counting_relay(url) as (relayed, bursts):
                through = AsyncSQLBackend(_by(driver, relayed), pool_size=1)
                yield _trips(f"ASGI, {driver}", guarded(through), bursts)
                run(through.close())
        run(one.close())
        run(other.close())


def _by(driver: str, url: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


def _trips(what: str, serve: Timed, bursts: Any) -> Row:
    serve(20)  # connected, and prepared
    before = bursts()
    serve(100)
    trips = (bursts() - before) / 100
    return Row(f"{TRIPS}: {what}", f"{trips:g}", "through a relay that counts", [trips], lambda number: f"{number:g}", 1.0)
