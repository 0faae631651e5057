"""Reads and sets our cookie in the head of the application's response."""

from __future__ import annotations

from typing import Final

from sessionward.request.request import Fields

_CACHING: Final = frozenset({b"cache-control", b"expires", b"surrogate-control", b"cdn-cache-control"})


def sets_cookie(headers: Fields, name: bytes) -> bool:
    """Returns whether a response head sets the cookie ``name``."""
    for key, value in headers:  # noqa: SIM110 - runs for each response, and any() takes twice as long
        if len(key) == 10 and key.lower() == b"set-cookie" and _cookie_name(value) == name:
            return True
    return False


def without_set_cookie(headers: Fields, name: bytes) -> Fields:
    """Returns a response head without the fields that set the cookie ``name``."""
    return [(key, value) for key, value in headers if not (key.lower() == b"set-cookie" and _cookie_name(value) == name)]


def with_set_cookie(headers: Fields, cookie: bytes) -> Fields:
    """Returns a response head that also sets ``cookie``, and that no cache may store."""
    return with_header(headers, b"set-cookie", cookie)


def with_header(headers: Fields, name: bytes, value: bytes) -> Fields:
    """Returns a response head that also has a field with a credential, and that no cache may store (CONTRACT.md 2)."""
    kept = [(key, value) for key, value in headers if key.lower() not in _CACHING]
    return [*kept, (b"cache-control", b"no-store"), (name, value)]


def is_public(headers: Fields) -> bool:
    """Returns whether shared caches may store a response (RFC 9111, 5.2.2.9 and 5.2.2.10), so that other browsers may get it."""
    for key, value in headers:
        if key.lower() == b"cache-control":
            directives = {directive.partition(b"=")[0].strip(b" \t").lower() for directive in value.split(b",")}
            if directives & {b"public", b"s-maxage"}:
                return True
    return False


def _cookie_name(set_cookie: bytes) -> bytes:
    return set_cookie.partition(b"=")[0].strip(b" \t")
