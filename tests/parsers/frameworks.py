"""What each framework reads from the Cookie fields of a request, by its own parser and through its own request."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import beaker.session  # type: ignore[import-untyped]
import bottle  # type: ignore[import-untyped]
import litestar
import quart.wrappers
import starlette.requests
import tornado.httputil
import werkzeug.http
import werkzeug.wrappers
from aiohttp._cookie_helpers import parse_cookie_header
from litestar._parsers import parse_cookie_string
from werkzeug.datastructures import Headers
from werkzeug.sansio.http import parse_cookie as parse_cookie_sansio

from tests.doors.django_site import ASGIRequest, WSGIRequest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # WebOb imports the standard library's cgi
    import webob  # type: ignore[import-untyped]
    import webob.cookies  # type: ignore[import-untyped]

Read = Iterable[tuple[str, str]]
Scope = Mapping[str, Any]
Environ = Mapping[str, Any]

BEAKER_SECRET: Final = "of-tests-only"
"""Beaker reads a value only if it is signed, so the values of these tests are."""


# --- ASGI -------------------------------------------------------------------------------------------------------------


def starlette_request(scope: Scope) -> Read:
    return starlette.requests.Request(dict(scope)).cookies.items()


def django_asgi(scope: Scope) -> Read:
    read: dict[str, str] = ASGIRequest(dict(scope), io.BytesIO()).COOKIES
    return read.items()


def litestar_request(scope: Scope) -> Read:
    return litestar.Request[Any, Any, Any]({**scope, "state": {}}).cookies.items()  # type: ignore[arg-type]


def quart_request(scope: Scope) -> Read:
    """Its headers as Quart's ASGI side makes them; those with a line feed in them are refused there."""
    headers = Headers()
    try:
        for name, value in scope["headers"]:
            headers.add(name.decode("latin1").title(), value.decode("latin1"))
    except ValueError:
        return []
    request = quart.wrappers.Request(
        "GET", "http", "/", b"", headers, "", "1.1", dict(scope), send_push_promise=_nothing  # type: ignore[arg-type]
    )  # fmt: skip
    return request.cookies.items(multi=True)


async def _nothing(path: str, headers: Headers) -> None: ...


ASGI: Final[Mapping[str, Callable[[Scope], Read]]] = {
    "Starlette": starlette_request,
    "Django, ASGI": django_asgi,
    "Litestar": litestar_request,
    "Quart": quart_request,
}


# --- WSGI -------------------------------------------------------------------------------------------------------------


def werkzeug_request(environ: Environ) -> Read:
    return werkzeug.wrappers.Request(dict(environ)).cookies.items(multi=True)


def werkzeug_environ(environ: Environ) -> Read:
    try:
        return werkzeug.http.parse_cookie(dict(environ)).items(multi=True)
    except UnicodeDecodeError:
        return []


def django_wsgi(environ: Environ) -> Read:
    read: dict[str, str] = WSGIRequest({"REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO(), **environ}).COOKIES
    return read.items()


def bottle_request(environ: Environ) -> Read:
    try:
        return list(bottle.Request(dict(environ)).cookies.allitems())
    except CookieError:  # what Bottle answers with a 500
        return []


def beaker_session(environ: Environ) -> Read:
    """The texts whose signature Beaker found good."""
    try:
        read = beaker.session.SignedCookie(BEAKER_SECRET, input=environ.get("HTTP_COOKIE", ""))
    except CookieError:
        return []
    return [(name, morsel.coded_value) for name, morsel in read.items() if isinstance(morsel.value, str)]


def webob_request(environ: Environ) -> Read:
    try:
        return list(webob.Request(dict(environ)).cookies.items())
    except UnicodeDecodeError:  # what Pyramid answers with a 400
        return []


WSGI: Final[Mapping[str, Callable[[Environ], Read]]] = {
    "Werkzeug": werkzeug_request,
    "Werkzeug, parse_cookie": werkzeug_environ,
    "Django, WSGI": django_wsgi,
    "Bottle": bottle_request,
    "Beaker": beaker_session,
    "WebOb": webob_request,
}


# --- parsers by themselves --------------------------------------------------------------------------------------------


def werkzeug_sansio(field: str) -> Read:
    return parse_cookie_sansio(field).items(multi=True)


def starlette_parser(field: str) -> Read:
    return starlette.requests.cookie_parser(field).items()


def simple_cookie(field: str) -> Read:
    """What it had read before it stumbled counts too: CherryPy and others fill one that they keep."""
    read: SimpleCookie = SimpleCookie()
    with suppress(CookieError):
        read.load(field)
    return [(name, morsel.value) for name, morsel in read.items()]


def aiohttp_parser(field: str) -> Read:
    return [(name, morsel.value) for name, morsel in parse_cookie_header(field)]


def webob_parser(field: str) -> Read:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in webob.cookies.parse_cookie(field)]


def litestar_parser(field: str) -> Read:
    return parse_cookie_string(field).items()


def tornado_parser(field: str) -> Read:
    return tornado.httputil.parse_cookie(field).items()


PARSERS: Final[Mapping[str, Callable[[str], Read]]] = {
    "Werkzeug, sansio": werkzeug_sansio,
    "Starlette, cookie_parser": starlette_parser,
    "http.cookies": simple_cookie,
    "aiohttp": aiohttp_parser,
    "WebOb, parse_cookie": webob_parser,
    "Litestar, parse_cookie_string": litestar_parser,
    "Tornado": tornado_parser,
}

ALL: Final = (*ASGI, *WSGI, *PARSERS)
