"""``DELETE /auth/sessions`` — sign out my other devices — in front of any Python web application.

A request is read, its credential found, the session looked up, revocations decided, and a response given.
"""

from sessionward.asgi import ASGIMiddleware
from sessionward.credential.carriers import Carrier
from sessionward.credential.token import Credential
from sessionward.errors import (
    BackendUnavailable,
    ConfigurationError,
    NotSignedIn,
    OutcomeUnknown,
    SessionRevoked,
    SessionwardError,
    StaleLogin,
    InvalidCredential,
    UsageError,
)
from sessionward.handle import AsyncWard, Ward, of
from sessionward.session.backend import AsyncBackend, AsyncSupportsCompanions, AsyncSupportsLogin, Backend, SupportsCompanions, SupportsLogin, SupportsRecord
from sessionward.session.identifier import AsyncIdentifier, Identifier, Identity, AnonymousSession
from sessionward.session.session import Device, RevokedCount, Session, CompanionStatus
from sessionward.settings import Options, Settings
from sessionward.wsgi import WSGIMiddleware

__version__ = "0.1.0"

__all__ = [
    "ASGIMiddleware",
    "AsyncBackend",
    "AsyncSupportsCompanions",
    "AsyncIdentifier",
    "AsyncSupportsLogin",
    "AsyncWard",
    "Backend",
    "BackendUnavailable",
    "Carrier",
    "Companions",
    "ConfigurationError",
    "Credential",
    "Device",
    "RevokedCount",
    "Identifier",
    "Identity",
    "NotSignedIn",
    "Options",
    "OutcomeUnknown",
    "Session",
    "SessionRevoked",
    "SessionwardError",
    "Settings",
    "SupportsLogin",
    "StaleLogin",
    "CompanionStatus",
    "InvalidCredential",
    "UsageError",
    "AnonymousSession",
    "WSGIMiddleware",
    "Ward",
    "SupportsRecord",
    "of",
]
