"""What a request with a live session costs, beside Starlette's ``SessionMiddleware`` and one ``unsign`` of itsdangerous."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from starlette.middleware.sessions import SessionMiddleware
from starlette.types import Receive, Scope, Send

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.benchmarks.leases import LEASE, within
from tests.benchmarks.measure import Effort, Result, Rounds, Row, Timed, added, alternate, compared
from tests.benchmarks.requests import (
    SECRET,
    Fields,
    asgi_application,
    asgi_requests_in_turn,
    event_loop,
    signed_in_application,
    signed_in_asgi_application,
    with_cookie,
    wsgi_application,
    wsgi_requests_in_turn,
)
from tests.benchmarks.signing import Browsers, first_sight, starlette_cookies, unsigned

NAME = "guarded request in process, time added"
LEASED = "guarded request within a lease, SQLite, in process, time added"
LEASED_BROWSERS = 100
"""Few enough that asking for all of them anew takes a small part of a lease."""
BY_SESSIONS = "Starlette's SessionMiddleware, time added"
BY_UNSIGN = "one unsign by itsdangerous"


def measure(effort: Effort) -> Iterator[Result]:
    memory = MemoryBackend()
    browsers = Browsers.signed_in(memory)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        run = stack.enter_context(event_loop())

        def asgi(application: Any, each: Sequence[Fields]) -> Timed:
            return asgi_requests_in_turn(application, each, run)

        kept = SQLBackend(f"sqlite:///{Path(folder) / 'sessions.db'}")
        stack.callback(kept.close)
        kept.create_tables()
        leased = Browsers.signed_in(kept, LEASED_BROWSERS)
        asked = AsyncSQLBackend(f"sqlite:///{Path(folder) / 'sessions.db'}")
        stack.callback(lambda: run(asked.close()))
        sides = _sides(ASGIMiddleware, asgi_application, signed_in_asgi_application, asgi, memory, browsers)
        cookies = [with_cookie("session", cookie) for cookie in starlette_cookies()]
        asgi(SessionMiddleware(_signed_in_by_starlette, SECRET), cookies)(len(cookies))
        sides["SessionMiddleware"] = asgi(SessionMiddleware(asgi_application, SECRET), cookies)
        sides["leased"] = _leased(ASGIMiddleware, asgi_application, asgi, asked, leased)
        yield from _rows("ASGI", alternate(sides, effort))
        sides = _sides(WSGIMiddleware, wsgi_application, signed_in_application, wsgi_requests_in_turn, memory, browsers)
        sides["leased"] = _leased(WSGIMiddleware, wsgi_application, wsgi_requests_in_turn, kept, leased)
        yield from _rows("WSGI", alternate(sides, effort))


async def _signed_in_by_starlette(scope: Scope, receive: Receive, send: Send) -> None:
    """For a look before measuring, as with ours."""
    assert scope["session"]["user_id"].startswith("user ")
    await asgi_application(scope, receive, send)


Requests = Callable[[Any, Sequence[Fields]], Timed]


def _sides(middleware: Any, application: Any, signed_in: Any, serve: Requests, backend: Any, browsers: Browsers) -> dict[str, Timed]:
    def guarded(secret: str, each: Sequence[Fields], application: Any = application) -> Timed:
        return serve(middleware(application, backend, secrets=[secret]), each)

    for each in (browsers.cookies(), browsers.headers()):
        guarded(SECRET, each, signed_in)(len(each))  # what is measured are live sessions
    return {
        "bare": serve(application, browsers.cookies()),
        "cookie": guarded(SECRET, browsers.cookies()),
        "first sight": first_sight(browsers, guarded),
        "header": guarded(SECRET, browsers.headers()),
        "unsign": unsigned(browsers),
    }


def _leased(middleware: Any, application: Any, serve: Requests, backend: Any, browsers: Browsers) -> Timed:
    each = browsers.cookies()
    return within(serve(middleware(application, backend, secrets=[SECRET], lease=LEASE), each), each)


def _rows(door: str, rounds: Rounds) -> Iterator[Result]:
    def row(name: str, ours: str, limit: float | None) -> Row:
        return compared(name, added(rounds, ours, "bare"), BY_UNSIGN, rounds["unsign"], limit)

    cookie = f"{NAME}: {door}, cookie, seen before, memory"
    if "SessionMiddleware" in rounds:
        others = added(rounds, "SessionMiddleware", "bare")
        yield compared(cookie, added(rounds, "cookie", "bare"), BY_SESSIONS, others, 0.45)
    yield row(cookie, "cookie", 1.4)
    yield row("the same, at the first sight of the cookie", "first sight", None)
    yield row("the same, header token", "header", None)
    yield row(f"{LEASED}: {door}, cookie, seen before", "leased", 0.6)
