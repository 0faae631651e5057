"""``DELETE /auth/sessions`` — sign out my other devices — in front of any Python web application.

The path of a request: read it, find its credential, look up the session, decide what to revoke, respond.
"""

from sessionward.asgi import ASGIMiddleware
from sessionward.errors import (
    BackendUnavailable,
    ConfigurationError,
    NotSignedIn,
    OutcomeUnknown,
    SessionRevoked,
    SessionwardError,
    StaleLogin,
    TooManySessions,
    UsageError,
)
from sessionward.handle.of import of
from sessionward.handle.sessions import AsyncSessions, Sessions
from sessionward.session.session import Session
from sessionward.wsgi import WSGIMiddleware

__version__ = "0.1.0"

__all__ = [
    "ASGIMiddleware",
    "AsyncSessions",
    "BackendUnavailable",
    "ConfigurationError",
    "NotSignedIn",
    "OutcomeUnknown",
    "Session",
    "SessionRevoked",
    "Sessions",
    "SessionwardError",
    "StaleLogin",
    "TooManySessions",
    "UsageError",
    "WSGIMiddleware",
    "of",
]
