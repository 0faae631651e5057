"""A session as the API shows it, in the form that the SDKs of Ory read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID, uuid5

from sessionward.response.answer import compact
from sessionward.session.session import Session

METHODS: Final[Mapping[str, str]] = {
    **{name: name for name in ("password", "oidc", "totp", "webauthn", "lookup_secret", "code", "passkey", "profile", "saml")},
    **{name: name for name in ("link_recovery", "code_recovery")},
    **dict.fromkeys(("sms", "email", "otp", "magic_link"), "code"),
    **dict.fromkeys(("google", "github", "microsoft", "apple", "facebook", "oauth", "sso"), "oidc"),
    "recovery": "link_recovery",
    "recovery_code": "lookup_secret",
    "security_key": "webauthn",
}
"""Each method of a sign-in that we know, and the method of Kratos that it is. The SDKs refuse a list with any other."""

_SECOND_FACTORS: Final = frozenset({"totp", "webauthn", "lookup_secret"})
_USERS: Final = UUID("8a6ea1ae-9a4d-5b7e-b1a6-0f2c58b1c3d1")
"""The namespace of the UUIDs that stand for user ids (RFC 9562, 5.5)."""


MOST_WRITTEN: Final = 4096
"""How many sessions a worker keeps as JSON, about 1 KB each."""
_WRITTEN: Final[dict[UUID, tuple[Session, bytes]]] = {}
"""By the id: a session, and its JSON. Threads share it: each change is one operation."""


def session_json(session: Session) -> bytes:
    """Returns :func:`session_object` as JSON. It is written once for a session that a backend returns again because nothing has changed.

    We keep no session that carries a secret: the backends that need one there make a new session each time.
    """
    if session.credential is not None or session.key is not None:
        return compact(session_object(session))
    known = _WRITTEN.get(session.id)
    if known is not None and known[0] is session:
        return known[1]
    written = compact(session_object(session))
    if len(_WRITTEN) >= MOST_WRITTEN:
        _WRITTEN.clear()
    _WRITTEN[session.id] = session, written
    return written


def session_object(session: Session) -> dict[str, Any]:
    """Returns a session as JSON has it (CONTRACT.md 6). It has no credential, and no id of the application's session."""
    shown: dict[str, Any] = {
        "id": str(session.id),
        "active": True,
        "issued_at": _time(session.issued_at),
        "authenticated_at": _time(session.authenticated_at),
        "expires_at": _time(session.expires_at),
        "last_seen_at": _time(_to_a_minute(session)),
        "authenticator_assurance_level": "aal1",
        "authentication_methods": [_method(method, session) for method in session.methods],
        "identity": {
            "id": _user_id(session.user_id),
            "external_id": session.user_id,
            "schema_id": "default",
            "schema_url": "",
            "traits": {},
        },
        "devices": [_device(session)],
    }
    if session.kind:
        shown["kind"] = session.kind
        shown["actor"] = {"sub": session.actor}
    return shown


@lru_cache(maxsize=4096)
def _user_id(user_id: str) -> str:
    """Returns the UUID that stands for a user. To make one takes as long as all the rest of a session object."""
    return str(uuid5(_USERS, user_id))


@lru_cache(maxsize=4096)
def _device_id(session_id: UUID) -> str:
    return str(uuid5(session_id, "device"))


def _method(method: str, session: Session) -> dict[str, Any]:
    known = METHODS.get(method)
    aal = "aal2" if known in _SECOND_FACTORS else "aal1"
    return {"method": known, "aal": aal, "completed_at": _time(session.authenticated_at)}


def _to_a_minute(session: Session) -> datetime | None:
    """Returns when the session was used last, to a minute, but never before it was issued."""
    if session.last_seen_at is None:
        return None
    minute = session.last_seen_at.replace(second=0, microsecond=0)
    return minute if session.issued_at is None else max(minute, session.issued_at)


def _device(session: Session) -> dict[str, Any]:
    return {
        "id": _device_id(session.id),
        "ip_address": session.ip_address,
        "user_agent": session.user_agent,
        "location": None,
    }


def _time(moment: datetime | None) -> str | None:
    """RFC 3339, in UTC."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
