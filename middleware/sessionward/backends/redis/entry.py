"""A session in the hash of its user: how it is packed, and what a client of the backend sees of it.

The first 62 bytes are of fixed length, so that a script finds what decides at a known place. Times are microseconds since 1970 by the
clock of the server. ``lua.py`` has the same places.

======  ====================================================================================================
bytes   what
======  ====================================================================================================
1-16    the second half of the digest of the token; the first half is the public id, by which the hash finds it
17      0 while it is not ended, else the reason
18      flags
19-22   the generation of the user when it began, little-endian as all numbers
23-54   when it began, when it expires, when it ends whatever its use, when it was used last
55-62   the era in which it began
63-86   only if it was ended: when, and by which session (zeros if by none)
32      only for a companion: the digest of the application's own session
rest    what only clients see: methods, kind, address, actor, user agent
======  ====================================================================================================
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from sessionward.backends.redis.layout import uuid_of
from sessionward.session.session import IMPERSONATION, NewSession, Session

HEADER: Final = struct.Struct("<16sBBIqqqq8s")
ENDED: Final = struct.Struct("<q16s")
LENGTH: Final = struct.Struct("<H")
ABSENT: Final = 0xFFFF
"""Stands for the length of what is None."""

FRESH: Final = 1
"""The user was authenticated when the session began."""
ACTED: Final = 2
"""An impersonation."""
IDLE: Final = 4
"""It has an idle limit: it may expire before it ends."""
COMPANION: Final = 8

REASONS: Final = ("", "others", "one", "all", "logout", "replaced", "limit", "expired")
OTHERS, ONE, ALL, LOGOUT, REPLACED, LIMIT, EXPIRED = range(1, 8)

NOBODY: Final = bytes(16)
SECOND: Final = 1_000_000
"""Microseconds."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Entry(NamedTuple):
    """A session as it is kept. Times are microseconds since 1970. ``reason``: empty while it is not ended by itself."""

    reason: str
    flags: int
    generation: int
    issued_at: int
    expires_at: int
    ends_at: int
    seen_at: int
    era: int
    ended_at: int | None
    ended_by: bytes
    app_session: bytes | None
    methods: tuple[str, ...]
    kind: str
    ip_address: str | None
    actor: str | None
    user_agent: str | None


def unpacked(value: bytes) -> Entry:
    """Returns what is kept of a session."""
    _, reason, flags, generation, issued, expires, ends, seen, era = HEADER.unpack_from(value)
    at, ended_at, ended_by, app_session = HEADER.size, None, NOBODY, None
    if reason:
        ended_at, ended_by = ENDED.unpack_from(value, at)
        at += ENDED.size
    if flags & COMPANION:
        app_session, at = value[at : at + 32], at + 32
    texts: list[str | None] = []
    for _ in range(5):
        (size,) = LENGTH.unpack_from(value, at)
        at += LENGTH.size
        if size == ABSENT:
            texts.append(None)
        else:
            texts.append(value[at : at + size].decode("utf-8", "surrogatepass"))
            at += size
    methods, kind, address, actor, agent = texts
    return Entry(
        REASONS[reason],
        flags,
        generation,
        issued,
        expires,
        ends,
        seen,
        int.from_bytes(era, "little"),
        ended_at,
        ended_by,
        app_session,
        tuple((methods or "").split()),
        kind or "",
        address,
        actor,
        agent,
    )


@lru_cache(maxsize=4096)
def session_of(user_id: str, id: bytes, value: bytes, generation: int) -> Session:
    """Returns a live session as its user and its worker see it. ``generation``: that of the user, with the era."""
    entry = unpacked(value)
    issued_at = moment(entry.issued_at)
    return Session(
        id=uuid_of(id),
        user_id=user_id,
        issued_at=issued_at,
        authenticated_at=issued_at if entry.flags & FRESH else None,
        expires_at=moment(entry.expires_at),
        ends_at=moment(entry.ends_at) if entry.flags & IDLE else None,
        generation=generation,
        app_session=entry.app_session,
        last_seen_at=moment(entry.seen_at),
        methods=entry.methods,
        ip_address=entry.ip_address,
        user_agent=entry.user_agent,
        kind=entry.kind,
        actor=entry.actor,
    )


def expires_at(value: bytes) -> int:
    """Returns when a session expires if it is not used."""
    expires: int = HEADER.unpack_from(value)[5]
    return expires


def flags_of(new: NewSession) -> int:
    """Returns the flags of a session that begins."""
    flags = FRESH * new.is_fresh | ACTED * (new.kind == IMPERSONATION) | IDLE * (new.idle_timeout is not None)
    return flags | COMPANION * (new.app_session is not None)


def tail_of(new: NewSession) -> bytes:
    """Returns what follows the fixed part of a session that begins. What is too long is cut."""
    device = new.device
    texts = (
        " ".join(new.methods)[:255],
        new.kind,
        device.ip_address[:64] if device.ip_address else None,
        new.actor,
        device.user_agent[:512] if device.user_agent else None,
    )
    return (new.app_session or b"") + b"".join(map(_text, texts))


def moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _text(text: str | None) -> bytes:
    if text is None:
        return LENGTH.pack(ABSENT)
    value = text.encode("utf-8", "surrogatepass")
    return LENGTH.pack(len(value)) + value
