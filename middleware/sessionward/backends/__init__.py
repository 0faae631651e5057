"""Where sessions live: one folder for each store, and what you need to write a backend of your own.

:class:`Backend` says what a backend must do. :mod:`sessionward.testing` has the tests for it.
"""

from sessionward.credential.carriers import Carrier
from sessionward.credential.token import Credential
from sessionward.session.backend import (
    AsyncBackend,
    AsyncSupportsCompanions,
    AsyncSupportsLogin,
    AsyncSupportsQuietRevocation,
    Backend,
    SupportsCompanions,
    SupportsLogin,
    SupportsQuietRevocation,
    SupportsRecord,
)
from sessionward.session.session import CompanionStatus, Device, NewSession, RevokedCount, Session, public_id

__all__ = [
    "AsyncBackend",
    "AsyncSupportsCompanions",
    "AsyncSupportsLogin",
    "AsyncSupportsQuietRevocation",
    "Backend",
    "Carrier",
    "CompanionStatus",
    "Credential",
    "Device",
    "NewSession",
    "RevokedCount",
    "Session",
    "SupportsCompanions",
    "SupportsLogin",
    "SupportsQuietRevocation",
    "SupportsRecord",
    "public_id",
]
