"""The keys of Redis, and which of them share a slot of a cluster.

==============================  ====================================================================================
``<prefix>:{<tag>}:u:<user>``   a hash, the one key that decides about a user: the sessions by their public id, the generation, ...
``<prefix>:{<tag>}:s``          the state that the users of one tag share: the era and the lease
``<prefix>:{<tag>}:t:<id>``     leads from a session to its user; proves nothing, and expires by itself
``<prefix>:{<tag>}:a:<app>``    a session of an application, and whether a companion of it was revoked; expires by itself
``<prefix>:s``                  the state of the whole installation, from which that of a tag is made
==============================  ====================================================================================

A tag is one of 1 024, from the digest of the end of the key. It is the hash tag of a cluster, since it has the first
braces: a user id may have braces of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from uuid import UUID

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
TAGS: Final = tuple((first + second).encode() for first in ALPHABET for second in ALPHABET)
"""All tags. A user's state and sessions are read by one script, so each tag has a copy of the state."""
KEPT: Final = 3600.0
"""Seconds for which a session that ended stays at least (CONTRACT.md 5): a worker that trusts it must read that it ended. Of a user of whom
very many have ended, a sign-in drops some sooner: see ``MOST`` and ``MOMENT`` in ``login.py``."""
LONGEST_KEPT: Final = 100 * 365.25 * 86_400
"""Seconds. A time of Redis has 64 bits of milliseconds, and a number of Lua is exact up to 53."""
POINTERS: Final = 65_536
"""How many pointers one process remembers at most, where a pointer costs a question of its own."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A user, and where its keys are. ``state``: the key of the state that its tag has."""

    user_id: str
    tag: bytes
    key: bytes
    state: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backend keeps its sessions, and how.

    ``keep``: for how many seconds an ended session stays. ``is_cluster``: whether a script must declare each key whose node it does
    not know. ``waits``: whether answers that must last wait for replicas.
    """

    prefix: bytes
    keep: float = KEPT
    is_cluster: bool = False
    waits: bool = False
    pointers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes], compare=False, repr=False)
    """The pointers that this process has read, by the id of the session: the tag and the user. A pointer never changes."""

    @property
    def overall(self) -> bytes:
        """The key of the state of the whole installation."""
        return self.prefix + b":s"

    def owner(self, user_id: str) -> Owner:
        return _owner(self.prefix, user_id)

    def state(self, tag: bytes) -> bytes:
        return self.prefix + b":{" + tag + b"}:s"

    def pointer(self, id: bytes) -> bytes:
        return self.prefix + b":{" + _tag(id) + b"}:t:" + id

    def app_session(self, digest: bytes) -> Owner:
        """Returns where a session of an application is recorded. It has no user."""
        tag = _tag(digest)
        return Owner("", tag, self.prefix + b":{" + tag + b"}:a:" + digest, self.state(tag))

    def users(self) -> bytes:
        """Returns a pattern of SCAN that the keys of all users have. Others may have it too: see :meth:`owner_of`."""
        escaped = b"".join(b"\\" + bytes([byte]) if byte in b"\\*?[]^" else bytes([byte]) for byte in self.prefix)
        return escaped + b":{??}:u:*"

    def owner_of(self, key: bytes) -> Owner | None:
        """Returns the user that a key belongs to, or None if it is no key of a user."""
        start = len(self.prefix)
        if (key[:start], key[start : start + 2], key[start + 4 : start + 8]) != (self.prefix, b":{", b"}:u:"):
            return None
        try:
            owner = self.owner(key[start + 8 :].decode())
        except UnicodeDecodeError:
            return None
        return owner if owner.key == key else None

    def remember(self, id: bytes, pointed: bytes) -> None:
        """Remembers a pointer. Drops the oldest one beyond the limit."""
        self.pointers[id] = pointed
        while len(self.pointers) > POINTERS:
            try:
                self.pointers.pop(next(iter(self.pointers)), None)
            except (StopIteration, RuntimeError):  # another thread is dropping one
                return


def user_of(pointed: bytes) -> str:
    """Returns the user that a pointer leads to."""
    return pointed[2:].decode()


def id_of(digest: bytes) -> bytes:
    """Returns the public id of a session: the first half of the digest of its token, in the form of a UUID of version 8.

    So the sessions of a user are found by both, and the id takes no room. It is no help to find the token, which has 154 random bits.
    """
    number = int.from_bytes(digest[:16])
    return (number & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62).to_bytes(16)  # RFC 9562, 5.8


def uuid_of(id: bytes) -> UUID:
    return UUID(bytes=id)


def _tag(digest: bytes) -> bytes:
    """Returns the tag of a random value: its first ten bits."""
    return TAGS[(digest[0] << 8 | digest[1]) >> 6]


@lru_cache(maxsize=4096)
def _owner(prefix: bytes, user_id: str) -> Owner:
    user = user_id.encode()
    tag = _tag(hashlib.sha256(user).digest())
    start = prefix + b":{" + tag + b"}:"
    return Owner(user_id, tag, start + b"u:" + user, start + b"s")
