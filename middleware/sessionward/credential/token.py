"""Session tokens, credentials and signatures: makes, signs and digests them, and never shows them.

CONTRACT.md 2 is the source of the form of a token and of its signature.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets as random
import zlib
from collections.abc import Sequence
from typing import Final, NoReturn

from itsdangerous import Signer

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_CHARACTERS: Final = 26
"""26 of 62 characters are 154 bits (ASVS 5.0, 11.5.1 asks for 128)."""
TOKEN_LENGTH: Final = RANDOM_CHARACTERS + 6
"""A CRC-32 has six digits in base 62. It rejects typing errors and keys of other services without a call of the backend."""

_PAIRS: Final = [(a + b).encode() for a in ALPHABET for b in ALPHABET]


class Credential:
    """A secret value that claims to be of a session. Only backends get it.

    ``digest``: the SHA-256 of the value, 32 bytes; our own backends keep only that. ``reveal()`` is for backends whose table
    holds the plain value. ``repr``, ``str`` and ``format`` do not show the value. Pickling raises ``TypeError``.
    """

    __slots__ = ("_value", "digest")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self.digest: bytes = hashlib.sha256(value).digest()

    def reveal(self) -> str:
        """Returns the value in the request as a ``str``, decoded as latin-1: one character for each byte."""
        return self._value.decode("latin-1")

    def __repr__(self) -> str:
        return "<Credential>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credential) and hmac.compare_digest(self.digest, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is a secret and cannot be pickled")


# --- tokens -----------------------------------------------------------------------------------------------------------


def new_token() -> str:
    """Returns a new session token: 26 random characters and their checksum."""
    body = "".join(random.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return body + _check(body.encode()).decode()


def is_token(value: bytes) -> bool:
    """Returns whether ``value`` has the form of our token, checksum included. It does not say whether there is a session."""
    return len(value) == TOKEN_LENGTH and value.isalnum() and _check(value[:RANDOM_CHARACTERS]) == value[RANDOM_CHARACTERS:]


def _check(body: bytes) -> bytes:
    """Returns the CRC-32 in base 62, most significant digit first, padded with ``0``."""
    crc = zlib.crc32(body)
    return _PAIRS[crc // 3844**2] + _PAIRS[crc // 3844 % 3844] + _PAIRS[crc % 3844]


# --- signatures -------------------------------------------------------------------------------------------------------


class Signature:
    """Signs and verifies values of one purpose for one audience. Secrets are newest first: the first signs, all verify.

    It signs byte for byte as ``itsdangerous.Signer(secret, salt, key_derivation="hmac", digest_method=hashlib.sha256)`` does,
    but derives each key only once. It accepts a value only in the spelling that signing again gives, so it rejects base64's
    other spellings of the last character.
    """

    __slots__ = ("_prepared",)

    def __init__(self, secrets: Sequence[bytes], purpose: str, audience: str = "") -> None:
        salt = f"sessionward.{purpose}.v1:{audience}".encode()
        signers = [Signer(secret, salt, key_derivation="hmac", digest_method=hashlib.sha256) for secret in secrets]
        self._prepared = [hmac.new(signer.derive_key(), digestmod="sha256") for signer in signers]

    def sign(self, value: bytes) -> bytes:
        return _signed(self._prepared[0], value)

    def verifies(self, value: bytes, signed: bytes) -> bool:
        """Returns whether one of the secrets signed ``value`` as ``signed``."""
        for prepared in self._prepared:  # noqa: SIM110 - any() would cost as much as a third of the HMAC, at each request
            if hmac.compare_digest(_signed(prepared, value), signed):
                return True
        return False


def _signed(prepared: hmac.HMAC, value: bytes) -> bytes:
    mac = prepared.copy()
    mac.update(value)
    return value + b"." + binascii.b2a_base64(mac.digest(), newline=False).translate(_URL_SAFE, b"=")


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
"""RFC 4648, 5; without padding, as itsdangerous writes it."""
