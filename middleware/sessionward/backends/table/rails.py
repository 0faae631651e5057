"""The signed cookies of Rails, and which row of ``sessions`` a cookie names.

From Rails 6 on a cookie is ``base64({"_rails": {"message": base64(json), "exp": ..., "pur": "cookie.<name>"}})--hexdigest``, and its
key is derived from ``secret_key_base``. We never unmarshal Ruby objects. We reject a cookie that was signed for another purpose.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any, cast

from sessionward.backends.table.transform import Transform, byte_secrets, decoded


def rails_signed(
    *secret_key_bases: str,
    cookie: str = "session_id",
    digest: str = "sha1",
    key_digest: str = "sha256",
    salt: str = "signed cookie",
    iterations: int = 1000,
) -> Transform:
    """Returns a transform for ``cookies.signed[cookie]``, as the authentication generator of Rails 8 makes them.

    The cookie names the row by its number, so only the signature keeps users apart. ``secret_key_bases``: all secrets that the
    application still accepts. ``digest``: its ``signed_cookie_digest`` (SHA-1 unless configured). ``key_digest``: that of
    ``ActiveSupport::KeyGenerator`` (``"sha1"`` before ``load_defaults 7.0``).

    Raises ``ConfigurationError`` if there is no secret, and ``ValueError`` for a digest that Python does not have.
    """
    secrets = byte_secrets(secret_key_bases, "rails_signed")
    keys = [hashlib.pbkdf2_hmac(key_digest, secret, salt.encode(), iterations, 64) for secret in secrets]
    hashlib.new(digest, usedforsecurity=False)
    purpose = f"cookie.{cookie}"

    def transform(value: str) -> str | None:
        text = decoded(value)
        if text is None or not text.isascii():
            return None
        data, dashes, signature = text.rpartition("--")
        if not dashes or not any(hmac.compare_digest(hmac.new(key, data.encode(), digest).hexdigest(), signature) for key in keys):
            return None
        return _row_number(data, purpose)

    return transform


def _row_number(data: str, purpose: str) -> str | None:
    try:
        envelope = _mapping(_mapping(json.loads(base64.b64decode(data, validate=True))).get("_rails"))
        if envelope.get("pur") != purpose or _is_past(envelope.get("exp")):
            return None
        number = json.loads(base64.b64decode(envelope["message"], validate=True))
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        return None
    return str(number) if type(number) in (int, str) else None


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return cast("dict[str, Any]", value)


def _is_past(expires: str | None) -> bool:
    if expires is None:
        return False
    at = datetime.fromisoformat(expires)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) <= datetime.now(UTC)
