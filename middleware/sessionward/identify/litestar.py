"""Litestar's sessions, both those in a store on the server and those that are encrypted in the cookie."""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Litestar
from litestar.middleware.session.client_side import ClientSideSessionBackend, CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.serialization import decode_json

from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.identify import Function
from sessionward.identify.arguments import user_in
from sessionward.session.identifier import AnonymousSession, Identity

_ID: Final = re.compile(r"[0-9a-f]+")
_LITERAL: Final = re.compile(r"[A-Za-z0-9_!#%&'`~-]+")
"""Names that match nothing but themselves as a regular expression."""
_ENCRYPTED: Final = re.compile(r'"?([A-Za-z0-9+/]+=*)"?')
"""Litestar sets the cookie with http.cookies, which puts the value in quotes."""


def server_side(app: Litestar, config: ServerSideSessionConfig, *, user: str) -> Function:
    """Returns an identifier for sessions of ``ServerSideSessionConfig``. ``user`` is the key of the user's id in the session.

    It is async, so it needs ``ASGIMiddleware`` and an async backend.

    Litestar makes a session of any id that a client chooses. An id that its store does not know is therefore invalid and does
    not reach the application.
    """

    async def read(name: str, value: str) -> Identity | AnonymousSession | None:  # noqa: ARG001 - there is one cookie
        if value == "null":  # Litestar writes this at sign-out
            return None
        if not _ID.fullmatch(value):
            raise InvalidCredential("the session id does not have the form that Litestar writes")
        data = await config.get_store_from_app(app).get(value)
        if data is None:
            raise InvalidCredential("the store does not know the session id")
        found = user_in(decode_json(data), user)
        return AnonymousSession(session_id=value) if found is None else Identity(user_id=found, session_id=value)

    return Function(read, cookies=[config.key], server_side=True, keeps_id_at_login=True, lifetime=float(config.max_age))


def client_side(config: CookieBackendConfig, *, user: str) -> Function:
    """Returns an identifier for sessions of ``CookieBackendConfig``. ``user`` is the key of the user's id in the session.

    Litestar splits a long session into several numbered cookies; the identifier reads them as one.
    It reads the key as a regular expression, so with the key ``app.session`` a cookie ``appXsession`` signs in as well. Raises
    :class:`~sessionward.errors.ConfigurationError` for a key that matches another name than its own.
    """
    if not _LITERAL.fullmatch(config.key):
        raise ConfigurationError(
            f"identify: Litestar reads the key {config.key!r} of its CookieBackendConfig as a regular expression, so that cookies of other"
            " names sign in too; choose a key of letters, digits, - and _ (its users sign in once more)"
        )
    backend = ClientSideSessionBackend(config)

    def read(name: str, value: str) -> Any:  # noqa: ARG001 - the numbered cookies have been joined
        form = _ENCRYPTED.fullmatch(value)
        if not form or value == "null":
            raise InvalidCredential("the session cookie does not have the form that Litestar writes")
        try:
            session = backend.load_data([form[1].encode()])
        except Exception:  # Litestar reads the expiry before it verifies the value, so a forged value can raise any exception
            raise InvalidCredential("the session cookie is forged, truncated, or encrypted with another secret") from None
        if not session:
            raise InvalidCredential("the session cookie is expired")
        return user_in(session, user)

    return Function(read, cookies=[config.key, f"{config.key}-*"], blocking=False, lifetime=float(config.max_age))
