"""May this page call us? The cross-site rule of CONTRACT.md 3, for our own routes when a cookie is the credential.

A browser tells the site of the calling page in ``Sec-Fetch-Site`` and its origin in ``Origin``; a page cannot forge
either. SameSite alone does not stop a sibling domain, and only the absence of both says "not a browser".
"""

from __future__ import annotations

from collections.abc import Collection

from sessionward.request.request import Request


def may_call(request: Request, *, trusted: Collection[bytes], public: bytes | None) -> bool:
    """Whether a request whose only credential is a cookie may change anything. Asks no backend."""
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


def _names_host(origin: bytes, host: bytes | None) -> bool:
    """Whether an origin has this host and port. The scheme is not compared: TLS may end before us."""
    scheme, separator, authority = origin.partition(b"://")
    return bool(separator and authority) and scheme in (b"https", b"http") and authority == host
