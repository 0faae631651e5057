"""What a guarded request pays on PostgreSQL, beside the one SELECT that it cannot do without, and in how many round trips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import asyncpg
import psycopg

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.benchmarks.databases import counting_relay, postgresql
from tests.benchmarks.measure import Effort, LeftOut, Result, Rounds, Row, Timed, added, alternate, compared, repeated, times
from tests.benchmarks.requests import (
    SECRET,
    Fields,
    Run,
    asgi_application,
    asgi_requests_that_wait,
    awaited,
    event_loop,
    signed_in_application,
    signed_in_asgi_application,
    wsgi_application,
    wsgi_requests_that_wait,
)
from tests.benchmarks.signing import Browsers, first_sight, select_of_the_row

NAME = "guarded request on PostgreSQL, time added"
PLANNED = {"psycopg": "?prepare_threshold=none", "asyncpg": "?statement_cache_size=0"}
"""How a URL asks for no named prepared statements, as it is behind a pooler: then each question is planned anew."""
TRIPS = "guarded request on PostgreSQL, round trips"


def measure(effort: Effort) -> Iterator[Result]:
    with postgresql() as urls:
        if not urls:
            yield LeftOut(NAME, "no PostgreSQL answers")
            return
        backend = SQLBackend(urls[0])
        backend.create_tables()
        browsers = Browsers.signed_in(backend)
        with psycopg.connect(urls[0], autocommit=True) as connection:
            connection.execute(b"ANALYZE")
        yield from _sync(urls[0], browsers, backend, effort)
        yield from _async(urls[0], browsers, effort)
        backend.close()


def _sync(url: str, browsers: Browsers, backend: SQLBackend, effort: Effort) -> Iterator[Result]:
    cookies, select = browsers.cookies(), select_of_the_row("%s").encode()

    def guarded(secret: str, each: Sequence[Fields], backend: SQLBackend = backend) -> Timed:
        return wsgi_requests_that_wait(WSGIMiddleware(wsgi_application, backend, secrets=[secret]), each)

    planned = SQLBackend(url + PLANNED["psycopg"])
    wsgi_requests_that_wait(WSGIMiddleware(signed_in_application, backend, secrets=[SECRET]), cookies)(len(cookies))
    with psycopg.connect(url, autocommit=True) as connection:
        rounds = alternate(
            {
                "select": repeated(lambda digest: connection.execute(select, (digest,)).fetchone(), browsers.digests()),
                "bare": wsgi_requests_that_wait(wsgi_application, cookies),
                "seen": guarded(SECRET, cookies),
                "first sight": first_sight(browsers, guarded),
                "planned": guarded(SECRET, cookies, planned),
            },
            effort.longer(),
        )
    planned.close()
    yield from _rows("WSGI", "psycopg", rounds)
    with counting_relay(url) as (relayed, bursts):
        through = SQLBackend(relayed, pool_size=1)
        yield _trips("WSGI, psycopg", guarded(SECRET, cookies, through), bursts)
        through.close()


def _async(url: str, browsers: Browsers, effort: Effort) -> Iterator[Result]:
    with event_loop() as run:
        for driver in ("psycopg", "asyncpg"):
            backend = AsyncSQLBackend(_by(driver, url))
            yield from _by_driver(driver, url, backend, browsers, run, effort)
            run(backend.close())


def _by_driver(driver: str, url: str, backend: AsyncSQLBackend, browsers: Browsers, run: Run, effort: Effort) -> Iterator[Result]:
    cookies = browsers.cookies()

    def guarded(secret: str, each: Sequence[Fields], backend: AsyncSQLBackend = backend) -> Timed:
        return asgi_requests_that_wait(ASGIMiddleware(asgi_application, backend, secrets=[secret]), each, run)

    asgi_requests_that_wait(ASGIMiddleware(signed_in_asgi_application, backend, secrets=[SECRET]), cookies, run)(len(cookies))
    planned = AsyncSQLBackend(_by(driver, url) + PLANNED[driver])
    connection: Any
    if driver == "asyncpg":
        connection = run(asyncpg.connect(url))
        select = select_of_the_row("$1")

        async def ask(digest: bytes) -> object:
            return await connection.fetchrow(select, digest)
    else:
        connection = run(psycopg.AsyncConnection.connect(url, autocommit=True))
        of_psycopg = select_of_the_row("%s").encode()

        async def ask(digest: bytes) -> object:
            return await (await connection.execute(of_psycopg, (digest,))).fetchone()

    rounds = alternate(
        {
            "select": awaited(ask, browsers.digests(), run),
            "bare": asgi_requests_that_wait(asgi_application, cookies, run),
            "seen": guarded(SECRET, cookies),
            "first sight": first_sight(browsers, guarded),
            "planned": guarded(SECRET, cookies, planned),
        },
        effort.longer(),
    )
    run(connection.close())
    run(planned.close())
    yield from _rows("ASGI", driver, rounds)
    with counting_relay(url) as (relayed, bursts):
        through = AsyncSQLBackend(_by(driver, relayed), pool_size=1)
        yield _trips(f"ASGI, {driver}", guarded(SECRET, cookies, through), bursts)
        run(through.close())


def _by(driver: str, url: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)


def _rows(door: str, driver: str, rounds: Rounds) -> Iterator[Row]:
    named = {
        f"{NAME}: {door}, {driver}, cookie, seen before": "seen",
        "the same, at the first sight of the cookie": "first sight",
        f"the same, cookie seen before, {PLANNED[driver]} in the URL": "planned",
    }
    for measured, side in named.items():
        limit = 1.5 if side == "seen" else None
        yield compared(measured, added(rounds, side, "bare"), f"one SELECT of the row by {driver}", rounds["select"], limit)


def _trips(what: str, serve: Timed, bursts: Callable[[], int]) -> Row:
    serve(20)  # connected, and prepared
    before = bursts()
    serve(100)
    trips = (bursts() - before) / 100
    return Row(f"{TRIPS}: {what}", f"{trips:g}", "one SELECT 1", [trips], times, 1.0)
