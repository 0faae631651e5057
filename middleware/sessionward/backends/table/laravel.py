"""The encrypted session cookie of Laravel. This module imports ``cryptography``.

The cookie is ``base64({"iv", "value", "mac"})``: AES in CBC mode, and a MAC over the first two. In the decrypted value a keyed
hash of the cookie's name precedes the session's id, so another cookie of the application does not pass as its session.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from typing import Any, cast

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from sessionward.backends.table.transform import Enciphered, Transform, byte_secrets, decoded
from sessionward.errors import ConfigurationError


def laravel_encrypted(*app_keys: str, cookie: str) -> Transform:
    """Returns a transform for the session cookie of Laravel's ``database`` driver.

    ``app_keys``: ``APP_KEY`` and ``APP_PREVIOUS_KEYS`` exactly as in ``.env``, with ``base64:``. ``cookie``: the name of the cookie,
    to which its value is bound. The ciphers are Laravel's defaults, AES-128-CBC and AES-256-CBC. With a GCM cipher the transform
    rejects every cookie.

    Raises :class:`ConfigurationError` for a key of another length.
    """
    keys = [_key(secret) for secret in byte_secrets(app_keys, "laravel_encrypted")]

    def transform(value: str) -> str | None:
        text = decoded(value)
        return next((found for key in keys if text is not None and (found := _session_id(text, key, cookie)) is not None), None)

    return Enciphered(transform)


def _key(secret: bytes) -> bytes:
    try:
        key = base64.b64decode(secret[7:], validate=True) if secret.startswith(b"base64:") else secret
    except binascii.Error:
        key = b""
    if len(key) not in (16, 32):
        raise ConfigurationError("laravel_encrypted: APP_KEY must be 16 or 32 bytes; write it exactly as in .env, with base64:")
    return key


def _session_id(text: str, key: bytes, cookie: str) -> str | None:
    """Returns the session's id in the cookie, or None. Decrypts nothing before it has verified the MAC."""
    try:
        payload: object = json.loads(base64.b64decode(text, validate=True))
        iv, value, mac = _parts(payload)
        if not hmac.compare_digest(hmac.digest(key, iv + value, "sha256").hex().encode(), mac):
            return None
        padded = _decrypted(key, base64.b64decode(iv, validate=True), base64.b64decode(value, validate=True))
        unpadder = PKCS7(128).unpadder()
        content = (unpadder.update(padded) + unpadder.finalize()).decode("ascii")
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        return None
    prefix = hmac.digest(key, f"{cookie}v2".encode(), "sha1").hex() + "|"
    return content[len(prefix) :] if hmac.compare_digest(content[: len(prefix)], prefix) else None


def _parts(payload: object) -> tuple[bytes, bytes, bytes]:
    if not isinstance(payload, dict):
        raise TypeError
    found = cast("dict[str, Any]", payload)
    iv, value, mac = (str(found[name]).encode("ascii") for name in ("iv", "value", "mac"))
    return iv, value, mac


def _decrypted(key: bytes, iv: bytes, value: bytes) -> bytes:
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    return decryptor.update(value) + decryptor.finalize()
