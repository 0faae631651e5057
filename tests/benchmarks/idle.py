"""What it costs to record the last use of sessions: ordinary traffic of a thousand sessions on PostgreSQL, with it and without.

A limit of two minutes makes each session due every twelve seconds, five times as often as a limit of ten minutes or more. What waits
at the end of a round is recorded within it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from time import perf_counter
from typing import Any, Final

import psycopg

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.benchmarks.databases import postgresql
from tests.benchmarks.measure import Effort, LeftOut, Result, rates
from tests.benchmarks.requests import (
    SECRET,
    Fields,
    Run,
    asgi_application,
    environ_of,
    event_loop,
    receive,
    scope_of,
    send,
    wsgi_application,
)
from tests.benchmarks.signing import Browsers

NAME = "ordinary traffic on PostgreSQL with idle_timeout and api, requests a second"
WITHOUT = "the same without"
ON: Final[Mapping[str, Any]] = {"idle_timeout": 120, "api": True}
AT_ONCE: Final = 8
"""Requests under way at a time, under ASGI."""

Rate = Callable[[float], float]
"""Serves requests for so many seconds; how many a second."""


def measure(effort: Effort) -> Iterator[Result]:
    is_full = effort.rounds >= Effort.full().rounds
    rounds, seconds = (11, 3.0) if is_full else (3, 1.5)
    with postgresql() as urls:
        if not urls:
            yield LeftOut(NAME, "no PostgreSQL answers")
            return
        backend = SQLBackend(urls[0])
        backend.create_tables()
        cookies = Browsers.signed_in(backend).cookies()
        with psycopg.connect(urls[0], autocommit=True) as connection:
            connection.execute(b"ANALYZE")
            connection.execute(b"UPDATE sessionward_sessions SET last_seen_at = last_seen_at - interval '1 hour'")
        yield _row("WSGI, psycopg", {side: _wsgi(backend, cookies, options) for side, options in _sides().items()}, rounds, seconds)
        backend.close()
        with event_loop() as run:
            asynchronous = AsyncSQLBackend(urls[0].replace("postgresql://", "postgresql+asyncpg://", 1))
            sides = {side: _asgi(asynchronous, cookies, options, run) for side, options in _sides().items()}
            yield _row("ASGI, asyncpg", sides, rounds, seconds)
            run(asynchronous.close())


def _sides() -> Mapping[str, Mapping[str, Any]]:
    return {"off": {}, "on": ON}


def _row(door: str, sides: Mapping[str, Rate], rounds: int, seconds: float) -> Result:
    found: dict[str, list[float]] = {side: [] for side in sides}
    for side in sides:
        sides[side](seconds / 4)  # connected
    for turn in range(rounds):
        for side in sides if turn % 2 == 0 else reversed(list(sides)):
            found[side].append(sides[side](seconds))
    return rates(f"{NAME}: {door}", found["on"], WITHOUT, found["off"], 0.97)


def _wsgi(backend: SQLBackend, cookies: Sequence[Fields], options: Mapping[str, Any]) -> Rate:
    middleware = WSGIMiddleware(wsgi_application, backend, secrets=[SECRET], **options)
    seen, browsers = middleware._hot.seen, cycle(cookies)

    def rate(seconds: float) -> float:
        served, began = 0, perf_counter()
        while perf_counter() - began < seconds:
            for _ in middleware(environ_of(next(browsers)), lambda *_: lambda _: None):
                pass
            served += 1
        if seen is not None:
            asyncio.run(seen.flush())
        return served / (perf_counter() - began)

    return rate


def _asgi(backend: AsyncSQLBackend, cookies: Sequence[Fields], options: Mapping[str, Any], run: Run) -> Rate:
    middleware = ASGIMiddleware(asgi_application, backend, secrets=[SECRET], **options)
    seen, browsers = middleware._hot.seen, cycle(cookies)

    async def served_until(end: float) -> int:
        served = 0
        while perf_counter() < end:
            await middleware(scope_of(next(browsers)), receive, send)
            served += 1
        return served

    async def all_at_once(end: float) -> int:
        served = sum(await asyncio.gather(*(served_until(end) for _ in range(AT_ONCE))))
        if seen is not None:
            await seen.flush()
        return served

    def rate(seconds: float) -> float:
        began = perf_counter()
        served: int = run(all_at_once(began + seconds))
        return served / (perf_counter() - began)

    return rate
