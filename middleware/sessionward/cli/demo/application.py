"""The application of the demo. It signs users in without a password, and leaves the rest to the middleware."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import parse_qs
from uuid import UUID

import sessionward
from sessionward.backends.sql import SQLBackend
from sessionward.cli.demo import page
from sessionward.cli.demo.device import Device, device_of
from sessionward.wsgi import Environ, StartResponse

MAX_FORM: Final = 4096
"""How many bytes of a form it reads."""
MAX_NAME: Final = 40
"""Characters of a name; in UTF-8 they fit into the 255 bytes that a user id may have."""
MARK: Final = "demo_session"
"""A cookie with the public id of the browser's last session. It proves nothing: with it the page can tell a browser whose
session has ended from one that was never signed in."""

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_TYPES: Final = {"/style.css": "text/css", "/script.js": "text/javascript", "/icon.svg": "image/svg+xml"}

Answer = tuple[str, list[tuple[str, str]], str]
"""Status, headers and body."""


class DemoApplication:
    """A WSGI application with one page and no passwords.

    ``has_page``: whether the middleware around it shows the page *Your devices*.
    """

    def __init__(self, backend: SQLBackend, *, has_page: bool) -> None:
        self._backend = backend
        self._has_page = has_page
        self._devices: dict[UUID, Device] = {}
        self._routes: dict[str, Callable[[Environ], Answer]] = {
            "GET /": self._page,
            "GET /me": self._me,
            "POST /sign-in": self._sign_in,
            "POST /sign-out": self._sign_out,
            "POST /sign-out-others": self._sign_out_others,
            "GET /sign-out-others": lambda _: _to_the_page(),
            **dict.fromkeys((f"GET {path}" for path in _TYPES), _asset),
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        route = self._routes.get(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if route is None:
            status, headers, text = _plain("404 Not Found", "There is nothing here. The page is at /")
        elif environ["REQUEST_METHOD"] == "POST" and environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none"):
            # SameSite does not stop a page from another port of this machine.
            status, headers, text = _plain("403 Forbidden", "This form belongs to another site.")
        else:
            status, headers, text = route(environ)
        body = text.encode()
        length = ("Content-Length", str(len(body)))
        start_response(status, [*headers, length, ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")])
        return [body]

    def _page(self, environ: Environ) -> Answer:
        session = sessionward.of(environ).current
        if session is not None:
            return self._signed_in(session)
        last = self._last(environ)
        return _html(page.signed_out(last.user if last else "ada", was_signed_in=last is not None))

    def _last(self, environ: Environ) -> Device | None:
        found = re.search(rf"(?:^|; ){MARK}=([0-9a-f]{{32}})(?:;|$)", environ.get("HTTP_COOKIE", ""))
        return self._devices.get(UUID(found[1])) if found else None

    def _me(self, environ: Environ) -> Answer:
        session = sessionward.of(environ).current
        return "200 OK", [("Content-Type", "application/json")], json.dumps({"user": session.user_id if session else None})

    def _sign_in(self, environ: Environ) -> Answer:
        name = _form(environ).get("user", [""])[0].strip()[:MAX_NAME]
        if not name or not name.isprintable():
            return _to_the_page()
        sessions = sessionward.of(environ)
        sessions.login(name, methods=["name"])  # no password
        self._devices[sessions.current.id] = device_of(name, environ.get("HTTP_USER_AGENT", ""))
        return _to_the_page(f"{MARK}={sessions.current.id.hex}; Path=/; HttpOnly; SameSite=Lax")

    def _sign_out(self, environ: Environ) -> Answer:
        sessionward.of(environ).logout()
        return _to_the_page(f"{MARK}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")

    def _sign_out_others(self, environ: Environ) -> Answer:
        """Handles the button of a browser without JavaScript, whose form cannot send a DELETE."""
        sessions = sessionward.of(environ)
        try:
            revoked = sessions.revoke_others()
        except (sessionward.NotSignedIn, sessionward.SessionRevoked):
            return _to_the_page()
        return self._signed_in(sessions.current, revoked=revoked)

    def _signed_in(self, session: sessionward.Session, *, revoked: int | None = None) -> Answer:
        unknown = device_of(session.user_id, "")
        rows = [
            page.Row(
                device=self._devices.get(each.id, unknown),
                since=f"{each.issued_at.astimezone():%H:%M:%S}" if each.issued_at else "",
                is_current=each.id == session.id,
            )
            for each in self._backend.list(session.user_id)
        ]
        rows.sort(key=lambda row: not row.is_current)
        return _html(page.signed_in(session.id, session.user_id, rows, has_page=self._has_page, revoked=revoked))


def _asset(environ: Environ) -> Answer:
    path: str = environ["PATH_INFO"]
    return "200 OK", [("Content-Type", f"{_TYPES[path]}; charset=utf-8")], page.asset(path[1:])


def _html(text: str) -> Answer:
    kind = ("Content-Type", "text/html; charset=utf-8")
    return "200 OK", [kind, ("Content-Security-Policy", _POLICY), ("Referrer-Policy", "same-origin")], text


def _plain(status: str, text: str) -> Answer:
    return status, [("Content-Type", "text/plain; charset=utf-8")], f"{text}\n"


def _to_the_page(cookie: str = "") -> Answer:
    return "303 See Other", [("Location", "/"), *([("Set-Cookie", cookie)] if cookie else [])], ""


def _form(environ: Environ) -> dict[str, list[str]]:
    length = environ.get("CONTENT_LENGTH") or "0"
    size = min(int(length), MAX_FORM) if length.isdecimal() else 0
    body: bytes = environ["wsgi.input"].read(size)
    return parse_qs(body.decode("utf-8", "replace"))
