"""Transforms a credential, as the client sends it, into the value in the key column.

A transform is any function that takes the credential as a ``str``. It returns what the key column holds, or None for a credential
that the application would not accept: forged, malformed, expired. None costs no query. A transform must not raise for anything
that a client can send. It must not have effects: we call it again when we revoke the other sessions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote

from sessionward.errors import ConfigurationError

Key: TypeAlias = str | bytes | int
Transform: TypeAlias = Callable[[str], Key | None]


@dataclass(frozen=True, slots=True)
class Enciphered:
    """A transform of a cookie that the application enciphers anew with each response, around a key that is secret and stays."""

    decipher: Transform = field(repr=False)

    def __call__(self, value: str) -> Key | None:
        return self.decipher(value)


def verbatim(value: str) -> str | None:
    """Returns the credential itself, or None if it is not ASCII. For tables of fastapi-users and Auth.js."""
    return value if value.isascii() else None


def sha256(value: str) -> str:
    """Returns the SHA-256 of the credential in lower-case hexadecimal digits."""
    return hashlib.sha256(value.encode("latin-1")).hexdigest()


def sha512(value: str) -> str:
    """Returns the SHA-512 of the credential in lower-case hexadecimal digits. For the ``digest`` column of Knox."""
    return hashlib.sha512(value.encode("latin-1")).hexdigest()


def hmac_suffixed(*secrets: str | bytes, prefix: str = "", padded: bool = True) -> Transform:
    """Returns a transform for ``key.base64(HMAC-SHA256(key))``, percent-encoded or not, as JavaScript applications sign cookies.

    better-auth: ``hmac_suffixed(BETTER_AUTH_SECRET)``. express-session: ``hmac_suffixed(secret, prefix="s:", padded=False)``.
    ``secrets``: all that the application still accepts. The transform compares in constant time.

    Raises :class:`ConfigurationError` if there is no secret.
    """
    keys = byte_secrets(secrets, "hmac_suffixed")

    def transform(value: str) -> str | None:
        text = decoded(value)
        if text is None or not text.startswith(prefix):
            return None
        key, dot, signature = text[len(prefix) :].rpartition(".")
        if not dot or not key or not key.isascii() or not signature.isascii():
            return None
        expected = [base64.b64encode(hmac.digest(secret, key.encode(), "sha256")).decode() for secret in keys]
        wanted = expected if padded else [each.rstrip("=") for each in expected]
        return key if any(hmac.compare_digest(each, signature) for each in wanted) else None

    return transform


def byte_secrets(secrets: Sequence[str | bytes], function: str) -> Sequence[bytes]:
    """Returns the secrets as bytes. Raises :class:`ConfigurationError` if there is none, or if one is empty: with an empty secret
    every client could sign.
    """
    if not secrets or not all(secrets):
        raise ConfigurationError(f"{function}: pass the secret with which the application signs; it must not be empty")
    return [secret.encode() if isinstance(secret, str) else secret for secret in secrets]


def decoded(value: str) -> str | None:
    """Returns the value percent-decoded, or None if that is not UTF-8."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        return None
