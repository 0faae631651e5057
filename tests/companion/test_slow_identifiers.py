"""An identifier whose store hangs: 503 within the deadline on every side, and nobody else is held up (P7)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from anyio import to_thread

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.deadline import IDENTIFIER_THREADS
from sessionward.identify import Function
from tests.contract.doors import SECRET, asgi_scope, ask_asgi, ask_wsgi, wsgi_environ

DEADLINE = 0.3
SLACK = 1.5
"""Seconds that a busy machine may add."""
PATIENCE = 30.0

SIDES = ["WSGI, memory", "WSGI, SQLite", "ASGI, memory", "ASGI, SQLite", "ASGI, SQLite, async"]
REQUEST: ContextVar[str] = ContextVar("request")


class Store:
    """Names the user that a cookie says, once it is let."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.asked: list[tuple[str, str]] = []
        self.entered = threading.Semaphore(0)

    def read(self, name: str, value: str) -> str:
        self.entered.release()
        assert self.answers.wait(PATIENCE)
        if value == "late":
            raise TimeoutError("the store's own")
        self.asked.append((threading.current_thread().name, REQUEST.get("none")))
        return value


class Site:
    """An application behind a door of this side, whose identifier waits."""

    def __init__(self, side: str, url: str, store: Store) -> None:
        self.calls = 0
        self.is_asgi = side.startswith("ASGI")
        SQLBackend(url).create_tables()
        backend: Any = MemoryBackend() if "memory" in side else AsyncSQLBackend(url) if "async" in side else SQLBackend(url)
        settings: Any = {
            "identify": Function(store.read, cookies=["sid"], lifetime=600),
            "secrets": [SECRET],
            "backend_timeout": DEADLINE,
            "insecure": True,
        }
        self.app: Any = (
            sessionward.ASGIMiddleware(self._asgi, backend, **settings)
            if self.is_asgi
            else sessionward.WSGIMiddleware(self._wsgi, backend, **settings)
        )
        self._backend = backend

    def _wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        self.calls += 1
        start_response("204 No Content", [])
        return []

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ask(self, method: str = "GET", path: str = "/", cookie: str = "sid=ann") -> Any:
        """The status, and the seconds that it took."""
        fields = {"Cookie": cookie}
        began = time.monotonic()
        if self.is_asgi:
            answer = asyncio.run(self._asked(asgi_scope(method, path, fields)))
        else:
            answer = ask_wsgi(self.app, wsgi_environ(method, path, fields))
        return answer, time.monotonic() - began

    async def _asked(self, scope: Any) -> Any:
        try:
            return await ask_asgi(self.app, scope)
        finally:
            if isinstance(self._backend, AsyncSQLBackend):
                await self._backend.close()

    def close(self) -> None:
        if isinstance(self._backend, SQLBackend):
            self._backend.close()


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.answers.set()


@pytest.fixture(params=SIDES)
def site(request: pytest.FixtureRequest, store: Store, sqlite_url: str) -> Iterator[Site]:
    made = Site(request.param, sqlite_url, store)
    yield made
    made.close()


def test_p7_an_identifier_that_hangs_is_503_within_the_deadline(site: Site, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.answers.clear()
    answer, took = site.ask()
    assert (answer.status, site.calls) == (503, 0)
    assert took < DEADLINE + SLACK
    assert "the identifier did not answer within 0.3 s" in caplog.text
    store.answers.set()
    assert site.ask()[0].status == 204


def test_p7_the_button_too(site: Site, store: Store) -> None:
    answer, _ = site.ask()
    companion = next(value.partition(";")[0] for name, value in answer.headers if name.lower() == "set-cookie")
    store.answers.clear()
    answer, took = site.ask("DELETE", "/auth/sessions", f"sid=ann; {companion}")
    assert answer.status == 503
    assert took < DEADLINE + SLACK


def test_p7_more_that_hang_than_there_are_threads(site: Site, store: Store) -> None:
    store.answers.clear()
    with ThreadPoolExecutor(IDENTIFIER_THREADS + 5) as threads:
        seen = list(threads.map(lambda _: site.ask(), range(IDENTIFIER_THREADS + 5)))
    assert {answer.status for answer, _ in seen} == {503}
    assert max(took for _, took in seen) < DEADLINE + 2 * SLACK
    hanging = [thread for thread in threading.enumerate() if thread.name == "sessionward identifier"]
    assert len(hanging) == IDENTIFIER_THREADS
    assert all(thread.daemon for thread in hanging), "none keeps the process from its end"
    store.answers.set()
    assert site.ask()[0].status == 204


def test_a_timeout_of_the_stores_own_is_told_as_such(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    answer, _ = site.ask(cookie="sid=late")
    assert answer.status == 503
    assert "it failed with builtins.TimeoutError" in caplog.text


def test_the_identifier_sees_the_context_of_the_request(site: Site, store: Store) -> None:
    token = REQUEST.set("this one")
    try:
        site.ask()
    finally:
        REQUEST.reset(token)
    assert {context for _, context in store.asked} == {"this one"}


@pytest.mark.parametrize("side", [side for side in SIDES if side.startswith("ASGI")])
def test_the_threads_of_the_application_stay_its_own(side: str, store: Store, sqlite_url: str) -> None:
    site = Site(side, sqlite_url, store)

    async def story() -> tuple[float, list[int]]:
        store.answers.clear()
        asked = [asyncio.create_task(site._asked(asgi_scope("GET", "/", {"Cookie": "sid=ann"}))) for _ in range(8)]
        await asyncio.to_thread(store.entered.acquire, timeout=PATIENCE)
        borrowed = to_thread.current_default_thread_limiter().borrowed_tokens
        return borrowed, [answer.status for answer in await asyncio.gather(*asked)]

    assert asyncio.run(story()) == (0, [503] * 8)
    site.close()


def test_an_identifier_that_never_waits_is_asked_where_it_stands() -> None:
    asked: list[int] = []

    def read(name: str, value: str) -> str:
        asked.append(threading.get_ident())
        return value

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("204 No Content", [])
        return []

    app: Callable[..., Any] = sessionward.WSGIMiddleware(
        application,
        MemoryBackend(),
        identify=Function(read, cookies=["sid"], blocking=False),
        secrets=[SECRET],
    )
    assert ask_wsgi(app, wsgi_environ("GET", "/", {"Cookie": "sid=ann"})).status == 204
    assert {*asked} == {threading.get_ident()}
