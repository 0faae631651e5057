"""The cross-site rule: which pages may call our route when a cookie is the credential (CONTRACT.md 3).

A browser sends the site of the calling page in ``Sec-Fetch-Site`` and its origin in ``Origin``, and a page can forge neither.
SameSite alone does not stop a sibling domain. A request that has neither field does not come from a browser.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from sessionward.request.request import Request


class MayCall(Protocol):
    """A rule that says which pages may make a call with the cookie."""

    def __call__(self, request: Request, *, trusted: Collection[bytes], public: bytes | None) -> bool: ...


def may_call(request: Request, *, trusted: Collection[bytes], public: bytes | None) -> bool:
    """Returns whether a request whose only credential is a cookie may call our route. Does not ask the backend."""
    site = request.header(b"sec-fetch-site")
    origin = request.header(b"origin")
    if (site and b"," in site) or (origin and b"," in origin):  # more than one value
        return False
    if origin is not None and origin in trusted:
        return True
    if site is not None:
        return site in (b"same-origin", b"none")
    if origin is not None:
        return origin == public if public is not None else _names_host(origin, request.header(b"host"))
    return True  # not a browser: browsers send Origin with every DELETE


def may_submit(request: Request, *, trusted: Collection[bytes], public: bytes | None) -> bool:
    """Returns whether a request may be a form of our page. Only a browser sends one, so it must say where it comes from."""
    is_browser = request.header(b"sec-fetch-site") is not None or request.header(b"origin") is not None
    return is_browser and may_call(request, trusted=trusted, public=public)


def _names_host(origin: bytes, host: bytes | None) -> bool:
    """Returns whether an origin has this host and port. It ignores the scheme, since a proxy may terminate TLS."""
    scheme, separator, authority = origin.partition(b"://")
    return bool(separator and authority) and scheme in (b"https", b"http") and authority == host
