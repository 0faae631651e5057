"""The assertion of who is calling, which a sidecar signs for the application behind it.

It is a compact JWS (RFC 7515) with HS256 over the claims of a JWT (RFC 7519), so an application in any language can verify it
with a common library. The key is the secret exactly as it is configured.
"""

from __future__ import annotations

import binascii
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID

from sessionward.errors import UsageError
from sessionward.session.session import IMPERSONATION, Session, user_key

LIFETIME: Final = 30.0
"""Seconds that an assertion is valid."""
MAX_LIFETIME: Final = 60.0
"""Seconds. An assertion with a longer lifetime is not valid."""
SKEW: Final = 5.0
"""Seconds by which the sidecar's clock may be ahead of ours."""
MAX_LENGTH: Final = 4096
"""Bytes. A longer assertion is not valid."""
ISSUER: Final = "sessionward"

FIELD: Final = b"x-session-assertion"
STATED: Final = frozenset({b"x-session-user", b"x-session-id", FIELD})
"""The fields that say who is calling. Without a valid assertion we remove them."""

_END: Final = "session_expiry"
"""The claim that says when an impersonation ends at the latest, in seconds since 1970 by the backend's clock."""

_HEADER: Final = b'{"alg":"HS256","typ":"JWT"}'


def _base64(data: bytes) -> bytes:
    """Returns the data in base64url without padding (RFC 7515, 2)."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=")


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_PLAIN: Final = bytes.maketrans(b"-_", b"+/")
_FIRST: Final = _base64(_HEADER) + b"."


class Signer:
    """Makes assertions. The first secret signs."""

    __slots__ = ("_audience", "_lifetime", "_prepared")

    def __init__(self, secrets: Sequence[bytes], audience: str = "", lifetime: float = LIFETIME) -> None:
        """``lifetime``: seconds, from 1 to :data:`MAX_LIFETIME`. Raises ``ValueError`` for another number."""
        if not 1 <= lifetime <= MAX_LIFETIME:
            raise ValueError(f"the lifetime of an assertion must be from 1 to {MAX_LIFETIME:g} seconds")
        self._prepared = hmac.new(secrets[0], digestmod="sha256")
        self._audience = {"aud": audience} if audience else {}
        self._lifetime = int(lifetime)

    def sign(self, session: Session, now: float) -> bytes:
        """Returns the assertion that the user of this session is calling. ``now``: seconds since 1970."""
        issued = int(now)
        claims: dict[str, Any] = {"iss": ISSUER, **self._audience, "sub": session.user_id, "sid": str(session.id)}
        claims.update(iat=issued, exp=issued + self._lifetime)
        if session.kind == IMPERSONATION:
            claims["act"] = {"sub": session.actor}  # RFC 8693, 4.1
            end = session.ends_at or session.expires_at
            if end is not None:  # a sign-in in this browser ends with it
                claims[_END] = int(end.timestamp())
        signed = _FIRST + _base64(json.dumps(claims, separators=(",", ":")).encode())
        mac = self._prepared.copy()
        mac.update(signed)
        return signed + b"." + _base64(mac.digest())


class Verifier:
    """Verifies assertions for one audience, with any of the secrets."""

    __slots__ = ("_audience", "_prepared")

    def __init__(self, secrets: Sequence[bytes], audience: str = "") -> None:
        self._prepared = [hmac.new(secret, digestmod="sha256") for secret in secrets]
        self._audience = audience

    def verify(self, value: bytes, now: float) -> Session | None:
        """Returns the session in a valid assertion, or None. ``now``: seconds since 1970.

        The JWS header must be the one that :class:`Signer` writes, byte for byte, so a client cannot choose another algorithm.
        The signature must have the spelling that signing gives.
        """
        signed, _, signature = value.rpartition(b".")
        if len(value) > MAX_LENGTH or not signed.startswith(_FIRST) or not self._is_signed(signed, signature):
            return None
        claims = _claims(signed[len(_FIRST) :])
        return None if claims is None or not self._is_for_us(claims, now) else _session(claims)

    def _is_signed(self, signed: bytes, signature: bytes) -> bool:
        for prepared in self._prepared:
            mac = prepared.copy()
            mac.update(signed)
            if hmac.compare_digest(_base64(mac.digest()), signature):
                return True
        return False

    def _is_for_us(self, claims: dict[str, Any], now: float) -> bool:
        issued, expires = claims.get("iat"), claims.get("exp")
        if type(issued) is not int or type(expires) is not int:
            return False
        if claims.get("iss") != ISSUER or claims.get("aud", "") != self._audience:
            return False
        return issued - SKEW <= now < expires <= issued + MAX_LIFETIME


def _claims(payload: bytes) -> dict[str, Any] | None:
    try:
        data = binascii.a2b_base64(payload.translate(_PLAIN) + b"=" * (-len(payload) % 4))
        claims: object = json.loads(data)
    except ValueError:
        return None
    return cast("dict[str, Any]", claims) if isinstance(claims, dict) else None


def _session(claims: dict[str, Any]) -> Session | None:
    user, session, act = claims.get("sub"), claims.get("sid"), claims.get("act")
    if not isinstance(user, str) or not isinstance(session, str) or not session:
        return None
    try:
        if act is None:
            return Session(id=UUID(session), user_id=user_key(user))
        actor = user_key(cast("dict[str, Any]", act).get("sub") if isinstance(act, dict) else None)
        end = claims.get(_END)
        ends_at = None if type(end) is not int else datetime.fromtimestamp(end, UTC)
        return Session(id=UUID(session), user_id=user_key(user), kind=IMPERSONATION, actor=actor, ends_at=ends_at)
    except (UsageError, ValueError, OverflowError, OSError):
        return None
