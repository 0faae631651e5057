"""A copy of a session in a cookie, as better-auth keeps it: once the row is revoked, the application does not get it any more."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sessionward
from sessionward import ConfigurationError
from sessionward.backends.table import AsyncTableBackend, TableBackend
from tests.contract.doors import asgi_scope, ask_asgi, ask_wsgi, wsgi_environ

CACHE = "better-auth.session_data"
TOKEN = "better-auth.session_token"


class Site:
    """A table with two sessions of Ann, and an application that shows the cookies that it gets."""

    def __init__(self, path: Path, *, is_async: bool) -> None:
        self.path = path
        self.is_async = is_async
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE session (token TEXT PRIMARY KEY, userId TEXT)")
            database.executemany("INSERT INTO session VALUES (?, 'ann')", [("phone",), ("laptop",)])
        database.close()
        made: Any = AsyncTableBackend if is_async else TableBackend
        backend = made(f"sqlite:///{path}", "session", key="token", user="userId", cookie=TOKEN, cookie_cache=CACHE)
        door: Any = sessionward.ASGIMiddleware if is_async else sessionward.WSGIMiddleware
        self.backend = backend
        self.app = door(shown_async if is_async else shown, backend, exempt_paths=("/static/",))

    def ask(self, method: str, path: str, cookie: str) -> tuple[int, str]:
        headers = {"Cookie": cookie}
        if self.is_async:
            answer = asyncio.run(ask_asgi(self.app, asgi_scope(method, path, headers)))
        else:
            answer = ask_wsgi(self.app, wsgi_environ(method, path, headers))
        return answer.status, answer.body.decode()


def shown(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("HTTP_COOKIE", "").encode("latin-1")]


async def shown_async(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"; ".join(value for name, value in scope["headers"] if name == b"cookie")})


@pytest.fixture(params=[False, True], ids=["WSGI", "ASGI"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "app.db", is_async=request.param)
    yield site
    if site.is_async:
        asyncio.run(site.backend.close())
    else:
        site.backend.close()


def test_it_is_removed_once_its_row_is_revoked(site: Site) -> None:
    phone = f"theme=dark; {TOKEN}=phone; {CACHE}=signed.for.minutes"
    assert site.ask("GET", "/", phone) == (200, phone)
    assert site.ask("DELETE", "/auth/sessions", f"{TOKEN}=laptop") == (200, '{"count": 1}')
    assert site.ask("GET", "/", phone) == (200, f"theme=dark; {TOKEN}=phone")


@pytest.mark.parametrize("spelled", [f"{CACHE}=x", f'{CACHE}="x"', f"{CACHE} = x", f"{CACHE}\x0b=x", f"a=1\x0b{CACHE}=x"])
def test_it_is_removed_in_every_spelling_and_without_the_token_too(site: Site, spelled: str) -> None:
    assert CACHE not in site.ask("GET", "/", f"theme=dark; {spelled}")[1]
    assert CACHE not in site.ask("GET", "/static/x", f"theme=dark; {TOKEN}=phone; {spelled}")[1]


def test_a_request_without_it_costs_no_question(site: Site) -> None:
    site.path.unlink()
    assert site.ask("GET", "/", f"theme=dark; {TOKEN}=phone") == (200, f"theme=dark; {TOKEN}=phone")


def test_p7_a_table_that_does_not_answer_is_503(site: Site) -> None:
    site.path.unlink()
    assert site.ask("GET", "/", f"{TOKEN}=phone; {CACHE}=x")[0] == 503


@pytest.mark.parametrize("names", ["", ["a", ""], [1], "größe"])
def test_a_name_that_is_none_is_refused(names: Any) -> None:
    if names == "":
        names = [""]
    with pytest.raises(ConfigurationError, match="cookie_cache: must be the name of a cookie"):
        TableBackend("sqlite:///x.db", "session", key="token", user="userId", cookie=TOKEN, cookie_cache=names)
