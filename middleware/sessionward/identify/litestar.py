"""Litestar's sessions: those that a store on the server keeps, and those that stand encrypted in the cookie."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Litestar
from litestar.middleware.session.client_side import ClientSideSessionBackend, CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.serialization import decode_json

from sessionward.errors import InvalidCredential
from sessionward.identify import Function
from sessionward.session.identifier import AnonymousSession, Identity

_ID: Final = re.compile(r"[0-9a-f]+")
_ENCRYPTED: Final = re.compile(r'"?([A-Za-z0-9+/]+=*)"?')
"""As http.cookies writes it, by which Litestar sets it, it stands in quotes."""


def server_side(app: Litestar, config: ServerSideSessionConfig, *, user: str) -> Function:
    """Sessions of ``ServerSideSessionConfig``; ``user``: the key of the user's id. For an ASGI door with an async backend.

    Litestar takes any id that a client chooses, so one that its store does not know is unreadable and does not get through.
    """

    async def read(name: str, value: str) -> Identity | AnonymousSession | None:  # noqa: ARG001 - there is one cookie
        if value == "null":  # what signing out leaves in the browser
            return None
        if not _ID.fullmatch(value):
            raise InvalidCredential("no id that Litestar makes")
        data = await config.get_store_from_app(app).get(value)
        if data is None:
            raise InvalidCredential("an id that the store does not know")
        found: Any = decode_json(data).get(user)
        return Identity(user_id=found, session_id=value) if found else AnonymousSession(session_id=value)

    return Function(read, cookies=[config.key], server_side=True, keeps_id_at_login=True, lifetime=float(config.max_age))


def client_side(config: CookieBackendConfig, *, user: str) -> Function:
    """Sessions of ``CookieBackendConfig``; ``user``: the key of the user's id. A long one comes in numbered parts."""
    backend = ClientSideSessionBackend(config)

    def read(name: str, value: str) -> Any:  # noqa: ARG001 - the parts have been joined
        form = _ENCRYPTED.fullmatch(value)
        if not form or value == "null":
            raise InvalidCredential("no value that Litestar writes")
        try:
            session = backend.load_data([form[1].encode()])
        except Exception:  # it reads the expiry before it verifies anything, so anything may come of it
            raise InvalidCredential("forged, truncated, or of another secret") from None
        if not session:
            raise InvalidCredential("expired")
        return session.get(user)

    return Function(read, cookies=[config.key, f"{config.key}-*"], blocking=False, lifetime=float(config.max_age))
