"""The session tables of applications in the field, as their own migrations make them, and the credentials that they hand out.

The shapes are those of notes and sources: Auth.js (its Prisma schema), better-auth, Laravel 12, the generator of Rails 8.
Signing here is written a second time, in the words of those applications, so that it does not share a mistake with us.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID, uuid4, uuid5

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, MetaData, String, Table, Text, Uuid
from sqlalchemy.dialects import mysql

from sessionward.backends.table import Expires, RevokedBy, Timestamp, hmac_suffixed, rails_signed, sha256
from sessionward.backends.table.laravel import laravel_encrypted

SECRET: Final = "better-auth-secret-of-tests-0123456789"
SECRET_KEY_BASE: Final = "0123456789abcdef" * 8
APP_KEY: Final = "base64:" + base64.b64encode(bytes(range(32))).decode()
LARAVEL_COOKIE: Final = "laravel-session"
HOUR: Final = 3600

_metadata = MetaData()
_STAMP = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_NAIVE = DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql", "mariadb")
_TEXT = String(191)


def _later(seconds: float) -> datetime:
    """Naive and in UTC, as most of them write it."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(seconds=seconds)


@dataclass(frozen=True)
class Schema:
    """One application. ``row``: a user and the seconds until it expires to a new row; ``credential``: a key to what travels."""

    table: Table
    options: Mapping[str, Any]
    row: Callable[[Any, float], dict[str, Any]]
    credential: Callable[[Any], str]
    forged: Callable[[Any], str]
    user: Callable[[str], Any] = str
    expires: bool = True

    @property
    def key(self) -> str:
        key: str = self.options["key"]
        return key

    def __str__(self) -> str:
        return str(self.table.name)


def _number(user: str) -> int:
    return int.from_bytes(hashlib.sha256(user.encode()).digest()[:6], "big")


# --- Auth.js ----------------------------------------------------------------------------------------------------------

_authjs = Table(
    "Session",
    _metadata,
    Column("id", _TEXT, primary_key=True),
    Column("sessionToken", _TEXT, unique=True, nullable=False),
    Column("userId", _TEXT, nullable=False),
    Column("expires", _NAIVE, nullable=False),
)
AUTHJS: Final = Schema(
    _authjs,
    {"key": "sessionToken", "user": "userId", "cookie": "authjs.session-token", "expires": Expires.at("expires")},
    lambda user, lasts: {"id": uuid4().hex, "sessionToken": str(uuid4()), "userId": user, "expires": _later(lasts)},
    credential=str,
    forged=lambda key: str(uuid4()),
)

# --- better-auth ------------------------------------------------------------------------------------------------------

_better_auth = Table(
    "session",
    MetaData(),
    Column("id", _TEXT, primary_key=True),
    Column("expiresAt", _STAMP, nullable=False),
    Column("token", _TEXT, unique=True, nullable=False),
    Column("createdAt", _STAMP, nullable=False),
    Column("updatedAt", _STAMP, nullable=False),
    Column("ipAddress", Text),
    Column("userAgent", Text),
    Column("userId", _TEXT, index=True, nullable=False),
)


def better_auth_cookie(token: str, secret: str = SECRET) -> str:
    """``encodeURIComponent(token + "." + btoa(HMAC-SHA256))``."""
    signature = base64.b64encode(hmac.new(secret.encode(), token.encode(), hashlib.sha256).digest()).decode()
    return quote(f"{token}.{signature}", safe="-_.!~*'()")


BETTER_AUTH: Final = Schema(
    _better_auth,
    {
        "key": "token",
        "user": "userId",
        "cookie": ["__Secure-better-auth.session_token", "better-auth.session_token"],
        "transform": hmac_suffixed(SECRET),
        "expires": Expires.at("expiresAt"),
        "issued": "createdAt",
        "last_seen": "updatedAt",
        "ip_address": "ipAddress",
        "user_agent": "userAgent",
    },
    lambda user, lasts: {
        "id": uuid4().hex,
        "token": uuid4().hex,
        "userId": user,
        "expiresAt": _later(lasts).replace(tzinfo=UTC),
        "createdAt": _later(0).replace(tzinfo=UTC),
        "updatedAt": _later(0).replace(tzinfo=UTC),
    },
    credential=better_auth_cookie,
    forged=lambda token: better_auth_cookie(token, "another secret"),
)

# --- Laravel ----------------------------------------------------------------------------------------------------------

_laravel = Table(
    "sessions",
    MetaData(),
    Column("id", String(255), primary_key=True),
    Column("user_id", BigInteger, index=True),
    Column("ip_address", String(45)),
    Column("user_agent", Text),
    Column("payload", Text, nullable=False),
    Column("last_activity", Integer, index=True, nullable=False),
)


def laravel_cookie(session_id: str, key: bytes = bytes(range(32)), cookie: str = LARAVEL_COOKIE) -> str:
    """``Encrypter::encrypt(CookieValuePrefix::create(name, key) . id, serialize: false)``, as the browser sends it."""
    text = (hmac.new(key, f"{cookie}v2".encode(), hashlib.sha1).hexdigest() + "|" + session_id).encode()
    text += bytes([16 - len(text) % 16]) * (16 - len(text) % 16)
    raw = os.urandom(16)
    encryptor = Cipher(AES(key), CBC(raw)).encryptor()
    iv, value = (base64.b64encode(part).decode() for part in (raw, encryptor.update(text) + encryptor.finalize()))
    mac = hmac.new(key, (iv + value).encode(), hashlib.sha256).hexdigest()
    return quote(base64.b64encode(json.dumps({"iv": iv, "value": value, "mac": mac, "tag": ""}).encode()).decode())


LARAVEL: Final = Schema(
    _laravel,
    {
        "key": "id",
        "user": "user_id",
        "cookie": LARAVEL_COOKIE,
        "transform": laravel_encrypted(APP_KEY, cookie=LARAVEL_COOKIE),
        "expires": Expires.unix("last_activity", lifetime=2 * HOUR),
        "rename": True,
        "last_seen": Timestamp.unix("last_activity"),
        "ip_address": "ip_address",
        "user_agent": "user_agent",
    },
    lambda user, lasts: {
        "id": (uuid4().hex + uuid4().hex)[:40],
        "user_id": user,
        "payload": "YTowOnt9",
        "last_activity": int(datetime.now(UTC).timestamp() + lasts) - 2 * HOUR,
    },
    credential=laravel_cookie,
    forged=lambda key: laravel_cookie(key, bytes(32)),
    user=_number,
)

# --- Rails ------------------------------------------------------------------------------------------------------------

_rails = Table(
    "sessions",
    MetaData(),
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("user_id", BigInteger, index=True, nullable=False),
    Column("ip_address", String(255)),
    Column("user_agent", String(255)),
    Column("created_at", _NAIVE, nullable=False),
    Column("updated_at", _NAIVE, nullable=False),
    sqlite_autoincrement=True,  # as Rails makes it; else a number would be given again
)


def rails_cookie(
    number: object, *, secret: str = SECRET_KEY_BASE, purpose: str = "cookie.session_id", expires: str | None = "2045-11-25T03:00:00.000Z"
) -> str:
    """``cookies.signed.permanent[:session_id] = number``, as the browser sends it."""
    message = base64.b64encode(json.dumps(number).encode()).decode()
    envelope = {"_rails": {"message": message, "exp": expires, "pur": purpose}}
    data = base64.b64encode(json.dumps(envelope, separators=(",", ":")).encode()).decode()
    key = hashlib.pbkdf2_hmac("sha256", secret.encode(), b"signed cookie", 1000, 64)
    return quote(f"{data}--{hmac.new(key, data.encode(), hashlib.sha1).hexdigest()}", safe="")


RAILS: Final = Schema(
    _rails,
    {
        "key": "id",
        "user": "user_id",
        "cookie": "session_id",
        "transform": rails_signed(SECRET_KEY_BASE),
        "issued": "created_at",
        "last_seen": "updated_at",
        "ip_address": "ip_address",
        "user_agent": "user_agent",
    },
    lambda user, _lasts: {"user_id": user, "created_at": _later(0), "updated_at": _later(0)},
    credential=rails_cookie,
    forged=lambda number: rails_cookie(number, secret="another secret"),
    user=_number,
    expires=False,
)

# --- what one writes oneself ------------------------------------------------------------------------------------------

_own = Table(
    "logins",
    MetaData(),
    Column("id", Uuid(), primary_key=True),
    Column("digest", String(64), unique=True, nullable=False),
    Column("user", Uuid(), index=True, nullable=False),
    Column("purpose", String(20), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("revoked_at", _STAMP),
    Column("created_at", _STAMP, nullable=False),
)
_tokens: dict[str, str] = {}


def _new_digest() -> str:
    token = uuid4().hex
    digest = hashlib.sha256(token.encode()).hexdigest()
    _tokens[digest] = token
    return digest


OWN: Final = Schema(
    _own,
    {
        "key": "digest",
        "user": "user",
        "header": "Authorization",
        "scheme": "Bearer",
        "transform": sha256,
        "revoked": RevokedBy.value("active", False),
        "expires": Expires.created("created_at", lifetime=HOUR),
        "where": {"purpose": "session"},
    },
    lambda user, lasts: {
        "id": uuid4(),
        "digest": _new_digest(),
        "user": user,
        "purpose": "session",
        "active": True,
        "created_at": _later(lasts - HOUR).replace(tzinfo=UTC),
    },
    credential=lambda digest: _tokens[digest],
    forged=lambda digest: digest,
    user=lambda user: uuid5(UUID(int=0), user),
)

SCHEMAS: Final[Mapping[str, Schema]] = {"authjs": AUTHJS, "better-auth": BETTER_AUTH, "laravel": LARAVEL, "rails": RAILS, "own": OWN}
