"""The header fields of the page. Only our own style and script apply there, and no other site may frame it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from sessionward.request.request import Fields
from sessionward.response.answer import VARY, Response
from sessionward.settings.page import Page

VARY_OF_BOTH: Final = b"Accept, Accept-Language, " + VARY
"""Of the address that has a page and a list in JSON."""

_REPLACED: Final = frozenset({b"content-type", b"content-length", b"cache-control", b"vary", b"x-content-type-options"})


def content_security_policy(style: str, script: str, page: Page, public_origin: str | None) -> bytes:
    """Returns the policy, which allows these two texts by their hashes. ``public_origin``: of the application, or None."""
    styles = [_hash(style), *_source(page.css, public_origin)]
    images = _source(page.logo, public_origin)
    directives = [
        "default-src 'none'",
        f"style-src {' '.join(styles)}",
        f"script-src {_hash(script)}",
        *([f"img-src {' '.join(images)}"] if images else []),
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join(directives).encode("ascii")


def html_response(status: HTTPStatus, body: bytes, policy: bytes, language: str, others: Fields = ()) -> Response:
    """Returns an answer with a page. ``others``: the fields of the answer in JSON that it stands for."""
    vary = VARY_OF_BOTH + (b", Origin" if any(name == b"vary" and value.endswith(b", Origin") for name, value in others) else b"")
    headers = [
        (b"content-type", _HTML),
        (b"content-length", str(len(body)).encode()),
        (b"content-language", language.encode("ascii")),
        (b"content-security-policy", policy),
        (b"vary", vary),
        *_ALWAYS,
        *(field for field in others if field[0] not in _REPLACED),
    ]
    return Response(status, headers, body)


def redirect(address: bytes) -> Response:
    """Returns the answer to a form: see the page (RFC 9110, 15.4.4)."""
    headers = [(b"location", address), (b"content-type", _HTML), (b"content-length", b"0"), (b"vary", VARY_OF_BOTH), *_ALWAYS]
    return Response(HTTPStatus.SEE_OTHER, headers, b"")


def varied(response: Response) -> Response:
    """Returns an answer in JSON from an address that also has a page."""
    headers = [(name, value.replace(VARY, VARY_OF_BOTH) if name == b"vary" else value) for name, value in response.headers]
    return Response(response.status, headers, response.body)


_HTML: Final = b"text/html; charset=utf-8"
_ALWAYS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: browsers then send Origin: null with our own forms, and the cross-site rule refuses them.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _source(address: str | None, public_origin: str | None) -> Sequence[str]:
    """A path needs a host in a policy. Without ``public_origin`` all paths of our own host are allowed."""
    if address is None:
        return ()
    parts = urlsplit(address)
    if not parts.netloc:
        return (f"{public_origin}{parts.path}",) if public_origin else ("'self'",)
    return (f"{parts.scheme}://{parts.netloc}{parts.path}",)
