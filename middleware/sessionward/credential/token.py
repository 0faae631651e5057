"""What can sign someone in: made, signed, digested, never shown.

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
"""A CRC-32 takes six digits in base 62. It refuses typing errors and keys of other services without a backend call."""

_PAIRS: Final = [(a + b).encode() for a in ALPHABET for b in ALPHABET]


class Credential:
    """A claim to be a session: shown to a backend and to nothing else.

    ``digest`` is the SHA-256 of the value, 32 bytes, which is what our own backends keep. ``reveal()`` is for backends
    whose table holds the plain value. ``repr``, ``str`` and ``format`` show nothing, and it refuses to be pickled.
    """

    __slots__ = ("_value", "digest")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self.digest: bytes = hashlib.sha256(value).digest()

    def reveal(self) -> str:
        """The value as it stood in the request; its text is latin-1, one character a byte."""
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
        raise TypeError("a credential is a secret and is not pickled")


# --- tokens -----------------------------------------------------------------------------------------------------------


def new_token() -> str:
    """A new session token: 26 random characters and their check."""
    body = "".join(random.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return body + _check(body.encode()).decode()


def is_token(value: bytes) -> bool:
    """Whether ``value`` has the form of our token, check included. Says nothing about any session."""
    return len(value) == TOKEN_LENGTH and value.isalnum() and _check(value[:RANDOM_CHARACTERS]) == value[RANDOM_CHARACTERS:]


def _check(body: bytes) -> bytes:
    """CRC-32 in base 62, most significant digit first, padded with ``0``."""
    crc = zlib.crc32(body)
    return _PAIRS[crc // 3844**2] + _PAIRS[crc // 3844 % 3844] + _PAIRS[crc % 3844]


# --- signatures -------------------------------------------------------------------------------------------------------


class Signature:
    """Signs one purpose for one audience, and recognises what any of the secrets signed.

    Byte for byte what ``itsdangerous.Signer(secret, salt, key_derivation="hmac", digest_method=hashlib.sha256)`` signs,
    with each key derived and prepared once. Secrets are newest first: the first signs, all verify. A value verifies
    only in the one spelling that signing it again gives, so base64's other spellings of the last character are refused.
    """

    __slots__ = ("_prepared",)

    def __init__(self, secrets: Sequence[bytes], purpose: str, audience: str = "") -> None:
        salt = f"sessionward.{purpose}.v1:{audience}".encode()
        signers = [Signer(secret, salt, key_derivation="hmac", digest_method=hashlib.sha256) for secret in secrets]
        self._prepared = [hmac.new(signer.derive_key(), digestmod="sha256") for signer in signers]

    def sign(self, value: bytes) -> bytes:
        return _signed(self._prepared[0], value)

    def verifies(self, value: bytes, signed: bytes) -> bool:
        """Whether ``signed`` is ``value`` as one of the secrets signs it."""
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
