"""The naive way, as many applications do it by hand: look who is calling, and delete the user's other sessions where they are kept.

It is the canary of the matrix: where ``EXPECTED`` says that it fails a check, that check must notice it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.matrix.site import Site

PATH: Final = "/auth/sessions"


def answer(count: int | None) -> tuple[int, bytes]:
    return (401, b"{}") if count is None else (200, json.dumps({"count": count}).encode())


class NaiveWSGI:
    """Around a WSGI application."""

    def __init__(self, app: Any, site: Site) -> None:
        self._app = app
        self._site = site

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "DELETE" or environ["PATH_INFO"] != PATH:
            found: Iterable[bytes] = self._app(environ, start_response)
            return found
        credentials = self._site.credentials(lambda name: environ.get("HTTP_" + name.upper().replace("-", "_"), ""))
        status, body = answer(self._site.revoke_others_naively(credentials))
        start_response("200 OK" if status == 200 else "401 Unauthorized", [("Content-Type", "application/json")])
        return [body]


class NaiveASGI:
    """Around an ASGI application."""

    def __init__(self, app: Any, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "DELETE" or not scope["path"].endswith(PATH):
            await self._app(scope, receive, send)
            return
        credentials = self._site.credentials(
            lambda name: b"; ".join(value for key, value in scope["headers"] if key == name.lower().encode()).decode("latin-1")
        )
        status, body = answer(await asyncio.to_thread(self._site.revoke_others_naively, credentials))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


_LATE: Final = frozenset({"4a-in-flight-read", "4b-in-flight-write"})
_RENEWS: Final = frozenset({"15-renewed-in-flight"})
"""What was deleted comes back under another id."""
_ALWAYS: Final = frozenset({"8-two-callers", "12-two-applications", "16-disabled-user", "19-silent-store"})
"""Look, then act, without a lock: two callers revoke each other. The neighbour's cookies are signed, where nothing can be deleted.
And who disables a user does not think of sessions: when the user is enabled again, they are there.
Nor is anything counted on but a store that answers."""
_SIGNED: Final = frozenset(
    {
        *_ALWAYS,
        *_LATE,
        "2-others-are-out",
        "3-inactive-sessions-do-not-count",
        "6-signs-in-again-at-once",
        "7a-copied-cookie",
        "9-another-users-id",
        "10-rotated-secrets",
        "11-nothing-shown",
        "13-open-streams",
        "14a-from-before",
        "14b-in-flight-from-before",
        "17-every-kind-of-id",
        "18-ten-thousand-sessions",
    }
)
"""What is only in the browser cannot be deleted: whatever expects that the others are out fails."""
_BESIDE: Final = frozenset(
    {"7a-copied-cookie", "13-open-streams", "14a-from-before", "14b-in-flight-from-before", "18-ten-thousand-sessions"}
)
"""What mode companion promises beyond the naive way: not even a copy of the caller's cookie passes;
it counts what it has seen, and bounds it; and what is open ends."""
_ADOPTS: Final = frozenset({"6-signs-in-again-at-once"})
"""A revoked id comes back to life, for the thief as well, when its owner signs in again."""
_GET_USER: Final = frozenset({"10-rotated-secrets"})
"""Django's own ``get_user()`` gives the caller a new session in a response that nobody sends."""

EXPECTED: Final[Mapping[str, frozenset[str]]] = {
    "django-db": _RENEWS | _ALWAYS | _GET_USER,
    "django-db-saving": _RENEWS | _ALWAYS | _GET_USER,
    "django-db-asgi": _RENEWS | _ALWAYS | _GET_USER,
    "django-cached-db": _RENEWS | _ALWAYS | _GET_USER | {"4c-late-in-the-store"},
    # it looks where no cache lets one look, and counts
    "django-cache": _RENEWS | _ALWAYS | _GET_USER | {"4c-late-in-the-store", "14a-from-before"},
    "django-file": _RENEWS | _ALWAYS | _GET_USER | {"4c-late-in-the-store"},
    "django-signed-cookies": _RENEWS | _SIGNED,
    "headless-db": _RENEWS | _ALWAYS | _GET_USER,
    "headless-cached-db": _RENEWS | _ALWAYS | _GET_USER | {"4c-late-in-the-store"},
    "flask-login": _RENEWS | _SIGNED | {"5-remember-me"},
    "flask-session": _RENEWS | _ALWAYS | _LATE | _BESIDE | {"5-remember-me", "11-nothing-shown"},  # the remember-me cookie signs in again
    "starlette": _SIGNED,
    "fastapi": _SIGNED,
    "starsessions": _RENEWS | _ALWAYS | _LATE | _BESIDE | _ADOPTS | {"7b-chosen-id"},
    "litestar": _ALWAYS | _LATE | _BESIDE | _ADOPTS | {"7b-chosen-id"},
    "litestar-cookie": _SIGNED,
    "beaker": _RENEWS | _ALWAYS | _LATE | _BESIDE | _ADOPTS,
    "pyramid": _SIGNED,
    "quart": _SIGNED,
    "fastapi-users": _ALWAYS | {"3-inactive-sessions-do-not-count"},  # it deletes and counts rows that were too old
    "knox": _ALWAYS,
    "jwt": _RENEWS | _SIGNED,
    "jwt-header": _RENEWS
    | (_SIGNED - {"6-signs-in-again-at-once", "8-two-callers", "9-another-users-id", "13-open-streams", "18-ten-thousand-sessions"}),
}
"""Exactly these checks the naive way fails, for each framework; the facts behind it are the libraries' own."""
