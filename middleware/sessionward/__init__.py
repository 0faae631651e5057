"""``DELETE /auth/sessions`` — sign out my other devices — in front of any Python web application.

A request is read, its credential found, the session looked up, revocations decided, and a response given.
"""

from sessionward.asgi import ASGIMiddleware
from sessionward.backend import AsyncBackend, AsyncCompanions, AsyncSignsIn, Backend, Companions, SignsIn, Watches
from sessionward.credential import Carrier, Credential
from sessionward.errors import (
    BackendUnavailable,
    ConfigurationError,
    NotSignedIn,
    OutcomeUnknown,
    SessionEnded,
    SessionwardError,
    StaleLogin,
    Unreadable,
    UsageError,
)
from sessionward.identity import AsyncIdentifier, Identifier, Identity, Visitor
from sessionward.session import Device, Ended, Session, Standing
from sessionward.settings import Options, Settings
from sessionward.ward import AsyncWard, Ward, of
from sessionward.wsgi import WSGIMiddleware

__version__ = "0.1.0"

__all__ = [
    "ASGIMiddleware",
    "AsyncBackend",
    "AsyncCompanions",
    "AsyncIdentifier",
    "AsyncSignsIn",
    "AsyncWard",
    "Backend",
    "BackendUnavailable",
    "Carrier",
    "Companions",
    "ConfigurationError",
    "Credential",
    "Device",
    "Ended",
    "Identifier",
    "Identity",
    "NotSignedIn",
    "Options",
    "OutcomeUnknown",
    "Session",
    "SessionEnded",
    "SessionwardError",
    "Settings",
    "SignsIn",
    "StaleLogin",
    "Standing",
    "Unreadable",
    "UsageError",
    "Visitor",
    "WSGIMiddleware",
    "Ward",
    "Watches",
    "of",
]
