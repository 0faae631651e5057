"""The frameworks' own cookie parsers: each takes the Cookie fields of a request and answers all values it reads for a name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any

from aiohttp._cookie_helpers import parse_cookie_header
from django.http import parse_cookie as django_cookies  # type: ignore[import-untyped]
from litestar._parsers import parse_cookie_string
from starlette.requests import Request as StarletteRequest
from werkzeug.wrappers import Request as WerkzeugRequest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # WebOb imports the standard library's cgi
    from webob.cookies import RequestCookies  # type: ignore[import-untyped]

Fields = Sequence[bytes]
Reader = Callable[[Fields, str], list[str]]


def joined(fields: Fields) -> str:
    """As WSGI servers hand several fields on."""
    return "; ".join(field.decode("latin-1") for field in fields)


def werkzeug(fields: Fields, name: str) -> list[str]:
    return WerkzeugRequest({"HTTP_COOKIE": joined(fields)}).cookies.getlist(name)


def starlette(fields: Fields, name: str) -> list[str]:
    scope = {"type": "http", "headers": [(b"cookie", field) for field in fields]}
    value = StarletteRequest(scope).cookies.get(name)
    return [] if value is None else [value]


def django(fields: Fields, name: str) -> list[str]:
    value = django_cookies(joined(fields)).get(name)
    return [] if value is None else [value]


def django_utf8(fields: Fields, name: str) -> list[str]:
    """As Django decodes the field under WSGI: bytes as UTF-8, what is none replaced."""
    value = django_cookies(joined(fields).encode("latin-1").decode("utf-8", "replace")).get(name)
    return [] if value is None else [value]


def http_cookies(fields: Fields, name: str) -> list[str]:
    """What Beaker, Bottle and CherryPy use."""
    try:
        morsel = SimpleCookie(joined(fields)).get(name)
    except CookieError:
        return []
    return [] if morsel is None else [morsel.value]


def aiohttp(fields: Fields, name: str) -> list[str]:
    return [morsel.value for key, morsel in parse_cookie_header(joined(fields)) if key == name]


def webob(fields: Fields, name: str) -> list[str]:
    """What Pyramid uses."""
    try:
        value: Any = RequestCookies({"HTTP_COOKIE": joined(fields)}).get(name)
    except UnicodeError:
        return []
    return [] if value is None else [value]


def litestar(fields: Fields, name: str) -> list[str]:
    value = parse_cookie_string(joined(fields)).get(name)
    return [] if value is None else [value]


READERS: Mapping[str, Reader] = {
    reader.__name__: reader for reader in (werkzeug, starlette, django, django_utf8, http_cookies, aiohttp, webob, litestar)
}
