"""Where sessions live: one folder for each store, and what you need to write a backend of your own.

:class:`Backend` says what a backend must do. :mod:`sessionward.testing` has the tests for it.
"""

from sessionward.credential.carriers import Carrier
from sessionward.credential.token import Credential
from sessionward.errors import RateLimited, SignInTooOld
from sessionward.session.backend import (
    AsyncBackend,
    AsyncSupportsCompanions,
    AsyncSupportsLeases,
    AsyncSupportsLogin,
    AsyncSupportsMany,
    AsyncSupportsQuietRevocation,
    AsyncSupportsSessionAPI,
    Backend,
    SupportsCompanions,
    SupportsLeases,
    SupportsLogin,
    SupportsMany,
    SupportsNow,
    SupportsQuietRevocation,
    SupportsRecord,
    SupportsSessionAPI,
)
from sessionward.session.era import AsyncSupportsEverybody, SupportsEverybody
from sessionward.session.session import (
    Checked,
    CompanionStatus,
    Device,
    NewSession,
    Position,
    RevokedCount,
    Session,
    SessionList,
    Terms,
    public_id,
)
from sessionward.session.use import AsyncSupportsSeen, SupportsSeen

__all__ = [
    "AsyncBackend",
    "AsyncSupportsCompanions",
    "AsyncSupportsEverybody",
    "AsyncSupportsLeases",
    "AsyncSupportsLogin",
    "AsyncSupportsMany",
    "AsyncSupportsQuietRevocation",
    "AsyncSupportsSeen",
    "AsyncSupportsSessionAPI",
    "Backend",
    "Carrier",
    "Checked",
    "CompanionStatus",
    "Credential",
    "Device",
    "NewSession",
    "Position",
    "RateLimited",
    "RevokedCount",
    "Session",
    "SessionList",
    "SignInTooOld",
    "SupportsCompanions",
    "SupportsEverybody",
    "SupportsLeases",
    "SupportsLogin",
    "SupportsMany",
    "SupportsNow",
    "SupportsQuietRevocation",
    "SupportsRecord",
    "SupportsSeen",
    "SupportsSessionAPI",
    "Terms",
    "public_id",
]
