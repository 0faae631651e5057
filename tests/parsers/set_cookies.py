"""How frameworks set a cookie and delete it: Set-Cookie fields as their own code writes them."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Mapping
from http.cookies import SimpleCookie
from typing import Any, Final

import aiohttp.web
import bottle  # type: ignore[import-untyped]
import starlette.requests
import starlette.responses
import werkzeug.wrappers
from beaker.session import Session as BeakerSession  # type: ignore[import-untyped]
from django.http import HttpResponse  # type: ignore[import-untyped]
from itsdangerous import TimestampSigner
from litestar.datastructures import Cookie
from starlette.middleware.sessions import SessionMiddleware

from tests.parsers.judged import scope_with

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # WebOb imports the standard library's cgi
    import webob  # type: ignore[import-untyped]

Write = Callable[[str, str], list[str]]


def _of_werkzeug(response: werkzeug.wrappers.Response) -> list[str]:
    return response.headers.getlist("Set-Cookie")


def werkzeug_sets(name: str, value: str) -> list[str]:
    response = werkzeug.wrappers.Response()
    response.set_cookie(name, value, max_age=3600, httponly=True, samesite="Lax")
    return _of_werkzeug(response)


def werkzeug_deletes(name: str, value: str) -> list[str]:
    response = werkzeug.wrappers.Response()
    response.delete_cookie(name, httponly=True, samesite="Lax")
    return _of_werkzeug(response)


def starlette_sets(name: str, value: str) -> list[str]:
    response = starlette.responses.Response()
    response.set_cookie(name, value, max_age=3600, httponly=True)
    return response.headers.getlist("set-cookie")


def starlette_deletes(name: str, value: str) -> list[str]:
    response = starlette.responses.Response()
    response.delete_cookie(name)
    return response.headers.getlist("set-cookie")


def starlette_session_is_cleared(name: str, value: str) -> list[str]:
    """By the real SessionMiddleware, whose request had a session and whose answer has none."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"].clear()
        await starlette.responses.Response()(scope, receive, send)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    cookie = name.encode() + b"=" + TimestampSigner("of-tests-only").sign(b"eyJhIjogMX0=")
    asyncio.run(SessionMiddleware(app, "of-tests-only", session_cookie=name)(scope_with([cookie]), receive, send))
    return [value.decode() for key, value in sent[0]["headers"] if key == b"set-cookie"]


def django_sets(name: str, value: str) -> list[str]:
    response = HttpResponse()
    response.set_cookie(name, value, max_age=3600, httponly=True, samesite="Lax")
    return [morsel.OutputString() for morsel in response.cookies.values()]


def django_deletes(name: str, value: str) -> list[str]:
    response = HttpResponse()
    response.delete_cookie(name, samesite="Lax")
    return [morsel.OutputString() for morsel in response.cookies.values()]


def webob_sets(name: str, value: str) -> list[str]:
    response = webob.Response()
    response.set_cookie(name, value, max_age=3600, samesite="Lax")
    return list(response.headers.getall("Set-Cookie"))


def webob_deletes(name: str, value: str) -> list[str]:
    response = webob.Response()
    response.delete_cookie(name)
    return list(response.headers.getall("Set-Cookie"))


def bottle_sets(name: str, value: str) -> list[str]:
    response = bottle.Response()
    response.set_cookie(name, value, path="/", max_age=3600)
    return [field for key, field in response.headerlist if key == "Set-Cookie"]


def bottle_deletes(name: str, value: str) -> list[str]:
    response = bottle.Response()
    response.delete_cookie(name, path="/")
    return [field for key, field in response.headerlist if key == "Set-Cookie"]


def beaker_deletes(name: str, value: str) -> list[str]:
    request: dict[str, Any] = {"cookie": f"{name}={value}"}
    session = BeakerSession(request, key=name, type="memory", cookie_expires=3600)
    session.delete()
    return [request["cookie_out"].strip()]


def litestar_sets(name: str, value: str) -> list[str]:
    return [Cookie(key=name, value=value, max_age=3600, httponly=True).to_header(header="").strip()]


def litestar_session_is_cleared(name: str, value: str) -> list[str]:
    """As its ClientSideSessionBackend writes it."""
    return [Cookie(key=name, value="null", expires=0, path="/").to_header(header="").strip()]


def aiohttp_sets(name: str, value: str) -> list[str]:
    response = aiohttp.web.Response()
    response.set_cookie(name, value, max_age=3600)
    return [morsel.OutputString() for morsel in response.cookies.values()]


def aiohttp_deletes(name: str, value: str) -> list[str]:
    response = aiohttp.web.Response()
    response.del_cookie(name)
    return [morsel.OutputString() for morsel in response.cookies.values()]


def simple_cookie_expires(name: str, value: str) -> list[str]:
    """As CherryPy does: the value stays, its life is over."""
    cookie: SimpleCookie = SimpleCookie()
    cookie[name] = value
    cookie[name].update({"path": "/", "expires": "Fri, 01 Jan 2021 00:00:00 GMT", "max-age": "0"})
    return [cookie[name].OutputString()]


def _spelled(*attributes: str) -> Write:
    return lambda name, value: ["; ".join([f"{name}={value}", "Path=/", *attributes])]


SET: Final[Mapping[str, Write]] = {
    "Werkzeug": werkzeug_sets,
    "Starlette": starlette_sets,
    "Django": django_sets,
    "WebOb": webob_sets,
    "Bottle": bottle_sets,
    "Litestar": litestar_sets,
    "aiohttp": aiohttp_sets,
    "nothing beside": _spelled(),
    "Max-Age decides": _spelled("Max-Age=60", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
    "in other case": _spelled("MAX-AGE=60", "HTTPONLY", "SECURE"),
    "far away": _spelled("Expires=Wed, 09 Jun 2087 10:18:14 GMT"),
    "far away, with dashes": _spelled("expires=Wed, 09-Jun-2087 10:18:14 GMT"),
    "no date at all": _spelled("Expires=0"),
    "quoted": lambda name, value: [f'{name}="{value}"; Path=/'],
}

DELETE: Final[Mapping[str, Write]] = {
    "Werkzeug": werkzeug_deletes,
    "Starlette": starlette_deletes,
    "Starlette's sessions": starlette_session_is_cleared,
    "Django": django_deletes,
    "WebOb": webob_deletes,
    "Bottle": bottle_deletes,
    "Beaker": beaker_deletes,
    "Litestar's sessions": litestar_session_is_cleared,
    "aiohttp": aiohttp_deletes,
    "http.cookies": simple_cookie_expires,
    "Max-Age decides": _spelled("Max-Age=0", "Expires=Wed, 09 Jun 2087 10:18:14 GMT"),
    "negative": _spelled("max-age=-1"),
    "zeros": _spelled("Max-Age=000"),
    "past": _spelled("Expires=Fri, 01 Jan 2021 00:00:00 GMT"),
    "past, with dashes": _spelled("expires=Fri, 01-Jan-2021 00:00:00 GMT"),
    "emptied": lambda name, value: [f"{name}=; Path=/"],
    "emptied, in quotes": lambda name, value: [f'{name}=""; Path=/'],
}
