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
from contextlib import suppress
from typing import Final, NoReturn, Protocol, Self, TypeAlias

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
        self._prepared = [_prepared(signer.derive_key()) for signer in signers]

    def sign(self, value: bytes) -> bytes:
        return _signed(self._prepared[0], value)

    def verifies(self, value: bytes, signed: bytes) -> bool:
        """Returns whether one of the secrets signed ``value`` as ``signed``."""
        for prepared in self._prepared:  # noqa: SIM110 - any() would cost as much as a third of the HMAC, at each request
            if hmac.compare_digest(_signed(prepared, value), signed):
                return True
        return False


def _prepared(key: bytes) -> _Prepared:
    """Returns the inner and the outer hash of HMAC-SHA256 (RFC 2104) for a key of at most 64 bytes, ready to be copied."""
    block = key.ljust(64, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


def _signed(prepared: _Prepared, value: bytes) -> bytes:
    # Two copies cost 1.3 us. hmac.digest() costs 3.0 us, since it hashes the key anew, and copy() of an hmac object as much.
    inner, outer = prepared[0].copy(), prepared[1].copy()
    inner.update(value)
    outer.update(inner.digest())
    return value + b"." + binascii.b2a_base64(outer.digest(), newline=False).translate(_URL_SAFE, b"=")


class _Hash(Protocol):
    def copy(self) -> Self: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


_Prepared: TypeAlias = tuple[_Hash, _Hash]
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
"""RFC 4648, 5; without padding, as itsdangerous writes it."""


# --- signatures that were verified --------------------------------------------------------------------------------------

MAX_PROVEN: Final = 10_000
"""The most signatures that one middleware remembers. A dropped one is verified again."""


class Proofs:
    """Verifies signed tokens and remembers which signature has proved which token, so that each costs one HMAC for each worker.

    It keeps the digest of the token and the signature, from which the token cannot be computed. Only a valid signature is kept, so
    a client without a session cannot fill the memory. A signature stays valid as long as its secrets, which never change here.
    """

    __slots__ = ("_proven", "_signature")

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._proven: dict[bytes, bytes] = {}

    def credential(self, value: bytes) -> Credential | None:
        """Returns the credential in a signed token, or None unless one of the secrets signed it."""
        token = value[:TOKEN_LENGTH]
        credential = Credential(token)
        digest = credential.digest
        known = self._proven.get(digest)
        if known is not None and hmac.compare_digest(known, value[TOKEN_LENGTH:]):
            return credential
        if not (is_token(token) and self._signature.verifies(token, value)):
            return None
        self._proven[digest] = value[TOKEN_LENGTH:]
        if len(self._proven) > MAX_PROVEN:
            with suppress(StopIteration, RuntimeError):  # another thread is dropping one
                self._proven.pop(next(iter(self._proven)), None)
        return credential
