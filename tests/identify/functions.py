"""Identifiers of a few lines, for frameworks that need no class: Pyramid, and Litestar's two kinds of sessions.

Each is a function that the user writes, with the library's own objects in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from litestar import Litestar
from litestar.middleware.session.client_side import ClientSideSessionBackend, CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.serialization import decode_json

from sessionward.errors import Unreadable
from sessionward.identify import Function
from sessionward.identity import Identity, link_of
from tests.identify.old import Request


def pyramid_session(factory: Callable[[Any], Any], *, user: str, cookie: str = "session") -> Function:
    """``factory``: what the application gives to ``config.set_session_factory``."""

    def read(name: str, value: str) -> Any:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise Unreadable("no value that Pyramid writes")
        session = factory(Request.blank("/", environ={"HTTP_COOKIE": f"{name}={value}"}))
        if session.new:
            raise Unreadable("forged, or of another secret")
        return session.get(user)

    return Function(read, cookies=[cookie], blocking=False)


def litestar_server_side(app: Litestar, config: ServerSideSessionConfig, *, user: str) -> Function:
    """Litestar takes any id that a client chooses, so one that its store does not know must not get through."""

    async def read(name: str, value: str) -> Identity | None:
        if not re.fullmatch(r"[0-9a-f]+", value):
            raise Unreadable("no id that Litestar makes")
        data = await config.get_store_from_app(app).get(value)
        if data is None:
            raise Unreadable("unknown to the store")
        found = decode_json(data).get(user)
        return None if found is None else Identity(user_id=found, link=link_of(value))

    return Function(read, cookies=[config.key], stateful=True, lifetime=config.max_age)


def litestar_client_side(config: CookieBackendConfig, *, user: str) -> Function:
    """A long session comes in numbered parts, which ``session-*`` joins."""
    backend = ClientSideSessionBackend(config)

    def read(name: str, value: str) -> Any:
        form = re.fullmatch(r'"?([A-Za-z0-9+/]+=*)"?', value)  # http.cookies, by which Litestar writes it, puts it into quotes
        if not form:
            raise Unreadable("no value that Litestar writes")
        try:
            session = backend.load_data([form[1].encode()])
        except Exception:  # it reads the expiry before it verifies anything, so anything may come of it
            raise Unreadable("forged, truncated, or of another secret") from None
        if not session:
            raise Unreadable("expired")
        return session.get(user)

    return Function(read, cookies=[config.key, f"{config.key}-*"], blocking=False, lifetime=config.max_age)
