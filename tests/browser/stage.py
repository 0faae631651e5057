"""One user with many devices, whose page Chromium opens: behind the ASGI middleware, on a port of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

import sessionward
from sessionward.api.page import Page
from sessionward.backends import Credential, Device, NewSession, Position, SessionList
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.token import new_token
from sessionward.session.session import Session
from tests.doors.servers import PATIENCE
from tests.doors.sides import SECRET, SESSIONS

APP: Final = "app.a.localhost"
STRANGER: Final = "evil.b.localhost"

FIREFOX: Final = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:147.0) Gecko/20100101 Firefox/147.0"
SAFARI: Final = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 Version/26.1 Mobile/15E148 Safari/604.1"
CHROME: Final = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/146.0.0.0 Mobile Safari/537.36"
EDGE: Final = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/146.0.0.0 Safari/537.36 Edg/146.0.0.0"
HOSTILE: Final = "<img src=x onerror=alert(1)>\u202e/1 \"'><script>alert(2)</script> " + "W" * 300

HOME: Final = "203.0.113.9"
PLACES: Final = {
    HOME: {"en": "Lisbon, Portugal", "ja": "リスボン、ポルトガル", "ar": "لشبونة، البرتغال"},
    "198.51.100.7": {"en": "Osaka, Japan", "ja": "大阪府、日本", "ar": "أوساكا، اليابان"},
    "2001:db8:85a3::8a2e:370:7334": {"en": "Cairo, Egypt", "ja": "カイロ、エジプト", "ar": "القاهرة، مصر"},
}


def place(address: str, language: str) -> str | None:
    """A map with three places."""
    return PLACES.get(address, {}).get(language)


class Wardrobe(MemoryBackend):
    """Keeps sessions in memory, and shows them as the test dresses them. ``back``: how far its clock is behind ours."""

    def __init__(self) -> None:
        super().__init__()
        self.dress: dict[UUID, Mapping[str, Any]] = {}
        self.failure: Exception | None = None

    def find(self, credential: Any, /) -> Session | None:
        session = super().find(credential)
        return None if session is None else replace(session, **self.dress.get(session.id, {}))

    def list(self, user_id: str, /, *, after: Position | None = None, limit: int | None = None, without: UUID | None = None) -> SessionList:
        sessions = super().list(user_id, after=after, limit=limit, without=without)
        return SessionList((replace(s, **self.dress.get(s.id, {})) for s in sessions), sessions.total, sessions.now)

    def revoke_others_quietly(self, session: Session, *terms: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return super().revoke_others_quietly(session, *terms)


class Stage:
    """The application on a port, and the browser in front of it. ``policy``: what the page violated of its own policy."""

    def __init__(self, chromium: Any, listener: socket.socket, page: Page | None, **settings: Any) -> None:
        self.chromium = chromium
        self.port = listener.getsockname()[1]
        self.backend = Wardrobe()
        routes = [Route("/login/{user}", self._login), Route("/", self._blank), Route("/me", self._me)]
        app = Starlette(routes=routes)
        shown = Page(name="Nimbus Notes", place=place, change_password="/password", tokens="/tokens") if page is None else page
        options: dict[str, Any] = {"api": True, "page": shown, "recheck": None, **settings}
        self.app = sessionward.ASGIMiddleware(app, self.backend, secrets=[SECRET], **options)

    async def _login(self, request: Request) -> Response:
        await sessionward.of(request).login(request.path_params["user"])
        session = sessionward.of(request).current
        assert session is not None
        return PlainTextResponse(str(session.id))

    async def _me(self, request: Request) -> Response:
        session = sessionward.of(request).current
        return PlainTextResponse("nobody" if session is None else session.user_id)

    async def _blank(self, request: Request) -> Response:
        return HTMLResponse("<!doctype html><html lang=en><title>a page</title><p>empty")

    def origin(self, name: str = APP) -> str:
        return f"http://{name}:{self.port}"

    def sign_in(self, user: str = "ann", **dress: Any) -> UUID:
        """Signs the browser in; the id of its session. Another call makes the session before that of another device."""
        self.chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.chromium.get(f"{self.origin()}/login/{user}")
        session = UUID(self.chromium.execute_script("return document.body.innerText.trim()"))
        self.backend.dress[session] = dress
        return session

    def household(self) -> list[UUID]:
        """Eight other devices of each sort, and then the browser's own session."""
        now = datetime.now(UTC)

        def device(agent: str | None, hours: float, address: str | None = HOME, **more: Any) -> UUID:
            seen = now - timedelta(hours=hours)
            since = seen - timedelta(days=2)
            dress: dict[str, Any] = {
                "user_agent": agent,
                "ip_address": address,
                "last_seen_at": seen,
                "authenticated_at": since,
                "methods": ("password",),
            }
            return self.sign_in(**{**dress, **more})

        others = [
            device(SAFARI, 0.2, methods=("passkey",)),
            device(CHROME, 5, "198.51.100.7", methods=("password", "totp")),
            device(EDGE, 30, "2001:db8:85a3::8a2e:370:7334"),
            device(FIREFOX, 2, "198.51.100.7"),
            device(FIREFOX, 70, "198.51.100.7"),
            device(FIREFOX, 200, "198.51.100.7", expires_at=now + timedelta(minutes=50)),
            device("Nimbus/3.2 CFNetwork/1568 Darwin/24", 900, None, last_seen_at=None, methods=()),
            device(HOSTILE, 1000, "198.51.100.99"),
            self.impersonated(now),
        ]
        return [*others, device(FIREFOX, 0)]

    def impersonated(self, now: datetime) -> UUID:
        """A member of the staff acts as the user; the id of that session."""
        digest = Credential(new_token().encode()).digest
        device = Device(ip_address="198.51.100.80", user_agent=SAFARI)
        new = NewSession(user_id="ann", digest=digest, lifetime=3600, kind="impersonation", actor="support@nimbus.example", device=device)
        session = self.backend.login(new)
        self.backend.dress[session.id] = {"last_seen_at": now - timedelta(minutes=30)}
        return session.id

    def open(self, query: str = "") -> None:
        """Opens the page."""
        self.chromium.get(self.origin() + SESSIONS + query)

    def js(self, script: str, *arguments: Any) -> Any:
        return self.chromium.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        found: str = self.js("return (document.querySelector(arguments[0]) || {textContent: ''}).textContent.trim()", selector)
        return " ".join(found.split())

    def look(self, *, width: int = 1280, scheme: str = "light", language: str = "en") -> None:
        """How the browser shows pages from now on, and which language it asks for."""
        self.chromium.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.chromium.execute_cdp_cmd("Network.enable", {})
        self.chromium.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": language}})


@contextmanager
def served(chromium: Any, page: Page | None = None, **settings: Any) -> Generator[Stage]:
    """A stage whose server runs."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        stage = Stage(chromium, listener, page, **settings)
        server = uvicorn.Server(uvicorn.Config(stage.app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield stage
        finally:
            chromium.get("about:blank")
            server.should_exit = server.force_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()
