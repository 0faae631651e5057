"""``DELETE /auth/sessions`` — sign out my other devices — in front of any Python web application.

A request is read, its credential found, the session looked up, revocations decided, and a response given.
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
    UsageError,
)
from sessionward.handle import AsyncSessions, Sessions, of
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
    "UsageError",
    "WSGIMiddleware",
    "of",
]
