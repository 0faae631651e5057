"""The JSON values of the session API, as JSON Schema: a session, an error, a count."""

from __future__ import annotations

from typing import Any, Final

from sessionward.api.session_object import METHODS


def _time(description: str) -> dict[str, Any]:
    return {"type": ["string", "null"], "format": "date-time", "description": f"{description} RFC 3339, in UTC."}


def _id(description: str) -> dict[str, Any]:
    return {"type": "string", "format": "uuid", "description": description}


_AAL: Final = {"type": "string", "enum": ["aal1", "aal2"], "description": "The assurance level, as NIST SP 800-63B counts it."}

_METHOD: Final = {
    "type": "object",
    "required": ["method", "aal", "completed_at"],
    "properties": {
        "method": {"enum": [*sorted(set(METHODS.values())), None], "description": "Null for a method that has no name here."},
        "aal": _AAL,
        "completed_at": _time("When the user did it."),
    },
}

_IDENTITY: Final = {
    "type": "object",
    "required": ["id", "schema_id", "schema_url", "traits"],
    "properties": {
        "id": _id("Stands for the user. It is a UUID of the user's id, since clients expect one."),
        "external_id": {"type": "string", "description": "The user's id in the application."},
        "schema_id": {"type": "string"},
        "schema_url": {"type": "string"},
        "traits": {"type": "object", "description": "Empty: what is known of the user is the application's."},
    },
}

_DEVICE: Final = {
    "type": "object",
    "required": ["id", "ip_address", "user_agent", "location"],
    "properties": {
        "id": _id("Of this entry."),
        "ip_address": {"type": ["string", "null"], "description": "The address of the client, as the server saw it."},
        "user_agent": {"type": ["string", "null"], "description": "What the client said of itself. It is not proven."},
        "location": {"type": ["string", "null"], "description": "Where that address is, about."},
    },
}

_SESSION: Final = {
    "type": "object",
    "required": [
        "id",
        "active",
        "issued_at",
        "authenticated_at",
        "expires_at",
        "last_seen_at",
        "authenticator_assurance_level",
        "authentication_methods",
        "identity",
        "devices",
    ],
    "properties": {
        "id": _id("Public: it is a name of the session, and not a credential."),
        "active": {"const": True, "description": "Only live sessions are shown."},
        "issued_at": _time("When the session began."),
        "authenticated_at": _time("When the user signed in; null if that is not known."),
        "expires_at": _time("When the session ends by itself."),
        "last_seen_at": _time("When the session was used last, to a minute."),
        "authenticator_assurance_level": _AAL,
        "authentication_methods": {"type": "array", "items": _METHOD, "description": "How the user signed in."},
        "identity": {"anyOf": [_IDENTITY, {"type": "null"}], "description": "The user."},
        "devices": {"type": "array", "items": _DEVICE, "description": "Where the user signed in."},
        "kind": {"type": "string", "description": "Only for a session that is no ordinary sign-in: `impersonation`."},
        "actor": {
            "type": "object",
            "required": ["sub"],
            "properties": {"sub": {"type": ["string", "null"]}},
            "description": "Only for such a session: who acts as the user (RFC 8693, 4.1).",
        },
    },
}

_SIGN_IN: Final = {"type": "string", "description": "Where the user signs in again, if that is known."}

_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["id", "code", "status", "request", "message"],
            "properties": {
                "id": {"type": "string", "description": "The name of this error. It never changes."},
                "code": {"type": "integer", "description": "The status of the answer."},
                "status": {"type": "string"},
                "request": {"type": "string", "description": "The `X-Request-Id` of the request, or a new id."},
                "message": {"type": "string"},
                "reason": {"type": "string", "description": "What helps a person."},
                "details": {
                    "type": "object",
                    "properties": {
                        "max_age": {"type": "integer", "description": "How old a sign-in may be for this, in seconds."},
                        "redirect_browser_to": _SIGN_IN,
                    },
                },
                "debug": {"type": "string", "description": "Only in development."},
            },
        },
        "redirect_browser_to": _SIGN_IN,
    },
}

_COUNT: Final = {
    "type": "object",
    "required": ["count"],
    "properties": {"count": {"type": "integer", "minimum": 0, "description": "How many sessions were live and are revoked by this call."}},
}

SCHEMAS: Final[dict[str, Any]] = {"Session": _SESSION, "Error": _ERROR, "Count": _COUNT}
