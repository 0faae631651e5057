"""What a guarded request pays on SQLite, beside the one SELECT that it cannot do without, and for how long it holds the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import cycle
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

from starlette.types import ASGIApp

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.benchmarks.measure import Effort, Result, Timed, added, alternate, compared, repeated
from tests.benchmarks.requests import (
    SECRET,
    Fields,
    Run,
    asgi_application,
    asgi_requests_that_wait,
    event_loop,
    receive,
    scope_of,
    send,
    signed_in_application,
    signed_in_asgi_application,
    wsgi_application,
    wsgi_requests_that_wait,
)
from tests.benchmarks.signing import Browsers, first_sight, select_of_the_row

NAME = "guarded request on SQLite, time added"
DELAY = "guarded request on SQLite, ASGI: the delay of the event loop meanwhile, p99"
PROBE = 0.001
"""Seconds between two events whose delay is measured."""


def measure(effort: Effort) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder, event_loop() as run:
        path = Path(folder) / "sessions.db"
        backend, awaited = SQLBackend(f"sqlite:///{path}"), AsyncSQLBackend(f"sqlite:///{path}")
        backend.create_tables()
        browsers = Browsers.signed_in(backend)
        cookies, select = browsers.cookies(), select_of_the_row("?")

        def wsgi(secret: str, each: Sequence[Fields]) -> Timed:
            return wsgi_requests_that_wait(WSGIMiddleware(wsgi_application, backend, secrets=[secret]), each)

        def asgi(secret: str, each: Sequence[Fields]) -> Timed:
            return asgi_requests_that_wait(ASGIMiddleware(asgi_application, awaited, secrets=[secret]), each, run)

        wsgi_requests_that_wait(WSGIMiddleware(signed_in_application, backend, secrets=[SECRET]), cookies)(len(cookies))
        asgi_requests_that_wait(ASGIMiddleware(signed_in_asgi_application, awaited, secrets=[SECRET]), cookies, run)(len(cookies))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            rounds = alternate(
                {
                    "select": repeated(lambda digest: connection.execute(select, (digest,)).fetchone(), browsers.digests()),
                    "WSGI, bare": wsgi_requests_that_wait(wsgi_application, cookies),
                    "WSGI": wsgi(SECRET, cookies),
                    "WSGI, first sight": first_sight(browsers, wsgi),
                    "ASGI, bare": asgi_requests_that_wait(asgi_application, cookies, run),
                    "ASGI": asgi(SECRET, cookies),
                    "ASGI, first sight": first_sight(browsers, asgi),
                },
                effort.longer(),
            )
        delays = _alternating_delays(ASGIMiddleware(asgi_application, awaited, secrets=[SECRET]), cookies, run, effort.longer())
        run(awaited.close())
        backend.close()
    for door, limit in (("WSGI", 5.0), ("ASGI", 8.0)):
        for measured, side, reach in (
            (f"{NAME}: {door}, cookie, seen before", door, limit),
            ("the same, at the first sight of the cookie", f"{door}, first sight", None),
        ):
            yield compared(measured, added(rounds, side, f"{door}, bare"), "one SELECT of the row by sqlite3", rounds["select"], reach)
    ours, bare = delays
    yield compared(DELAY, ours, "while the application serves them alone", bare, None)


def _alternating_delays(guarded: ASGIApp, cookies: Sequence[Fields], run: Run, effort: Effort) -> tuple[list[float], list[float]]:
    """The p99 of each round, with the middleware and without it."""
    ours, bare = list[float](), list[float]()
    for turn in range(effort.rounds):
        sides = [(ours, guarded), (bare, asgi_application)]
        for found, application in sides if turn % 2 == 0 else reversed(sides):
            delays = sorted(run(_delays(application, cookies, max(0.1, effort.seconds))))
            found.append(delays[int(len(delays) * 0.99)])
    return ours, bare


async def _delays(application: ASGIApp, cookies: Sequence[Fields], seconds: float) -> list[float]:
    """For how long events from outside wait for the loop, while it serves requests one after another."""
    loop, over, delays = asyncio.get_running_loop(), Event(), list[float]()

    def note(sent: float) -> None:
        delays.append(perf_counter() - sent)

    def probe() -> None:
        while not over.wait(PROBE):
            loop.call_soon_threadsafe(note, perf_counter())

    thread = Thread(target=probe)
    thread.start()
    end = perf_counter() + seconds
    for fields in cycle(cookies):
        await application(scope_of(fields), receive, send)
        await asyncio.sleep(0)  # a server reads from its sockets between two requests
        if perf_counter() >= end:
            break
    over.set()
    await asyncio.to_thread(thread.join)
    return delays
