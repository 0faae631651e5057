"""Worlds over Redis: a client of the test's own looks at the keys and moves their times."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Self
from uuid import uuid4

from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.redis.entry import ENDED, HEADER, SECOND, Entry, unpacked
from sessionward.backends.redis.layout import Place, id_of
from sessionward.backends.redis.state import PACKED, State, state_of
from sessionward.testing.bridge import Bridged, Loop
from sessionward.testing.world import Client, LoginWorld

ID: Final = 16
"""The length of the name of a session in the hash of its user."""
MARK: Final = struct.Struct("<Iq16sBB")


class RedisWorld(LoginWorld):
    """One backend over one Redis. ``looker``: a client of redis-py, of the same servers. ``options`` are the backend's."""

    sessions: Any

    def __init__(self, url: str, looker: Any, *, is_async: bool = False, **options: Any) -> None:
        self.url, self.looker = url, looker
        self.prefix = f"test-{uuid4().hex[:8]}"
        self._loop = Loop() if is_async else None
        if self._loop is None:
            self.backend = self.sessions = RedisBackend(url, prefix=self.prefix, **options)
        else:
            self.backend = AsyncRedisBackend(url, prefix=self.prefix, **options)
            self.sessions = Bridged(self.backend, self._loop)

    def through(self, runner: Any) -> Self:
        """Asks by another runner from now on."""
        self.backend._runner = runner
        self.backend._place = replace(self.place, is_cluster=runner.is_cluster, waits=runner.waits)
        return self

    @property
    def place(self) -> Place:
        place: Place = self.backend._place
        return place

    def close(self) -> None:
        self.clean()
        self.sessions.close()
        if self._loop is not None:
            self._loop.close()

    # --- keys and times

    def keys(self, pattern: str = "*") -> Iterator[bytes]:
        """The keys of this world."""
        yield from self.looker.scan_iter(match=f"{self.prefix}:{pattern}", count=10_000)

    def clean(self) -> None:
        """Nobody has ever been here."""
        self._for_each("delete", list(self.keys()))
        self.place.pointers.clear()

    def pass_time(self, seconds: float) -> None:
        keys, shift = list(self.keys()), round(seconds * SECOND)
        states = [key for key in keys if key == self.place.overall or key.endswith(b"}:s")]
        users = [key for key in keys if self.place.owner_of(key) is not None]
        others = [key for key in keys if key not in {*states, *users}]
        moving = self.looker.pipeline(transaction=False)
        for key, packed in zip(states, self._for_each("get", states), strict=True):
            _shift_state(moving, key, state_of(packed), shift)
        for key, fields in zip(users, self._for_each("hgetall", users), strict=True):
            _shift_user(moving, key, fields, shift)
        for key, ends in zip([*users, *others], self._for_each("pexpiretime", [*users, *others]), strict=True):
            if ends > 0:
                moving.pexpireat(key, ends - round(seconds * 1000))
        moving.execute()

    def _for_each(self, command: str, keys: Sequence[bytes]) -> list[Any]:
        """Asks the same of each key, at once."""
        asking = self.looker.pipeline(transaction=False)
        for key in keys:
            getattr(asking, command)(key)
        answers: list[Any] = asking.execute()
        return answers

    def user(self, user: str = "ann") -> dict[bytes, bytes]:
        """The hash of a user."""
        found: dict[bytes, bytes] = self.looker.hgetall(self.place.owner(user).key)
        return found

    def entries(self, user: str = "ann") -> dict[bytes, Entry]:
        """What is kept of the sessions of a user, by their ids."""
        return {name: unpacked(value) for name, value in self.user(user).items() if len(name) == ID}

    def entry(self, client: Client) -> Entry:
        """What is kept of one session."""
        return self.entries(client.session.user_id)[client.session.id.bytes]

    def state(self, user: str = "ann") -> State:
        """The state that the tag of a user has."""
        return state_of(self.looker.get(self.place.owner(user).state) or b"")

    def overall(self) -> State:
        """The state of all."""
        return state_of(self.looker.get(self.place.overall) or b"")

    def pointer(self, client: Client) -> bytes:
        """The key that leads from a session to its user."""
        return self.place.pointer(id_of(client.credential.digest))


def _shift_state(moving: Any, key: bytes, state: State, shift: int) -> None:
    moved = state._replace(
        era_at=state.era_at - shift if state.era_at else 0,
        lowered_at=state.lowered_at - shift if state.lowered_at > 0 else state.lowered_at,
    )
    if moved != state:
        moving.set(key, PACKED.pack(*moved), keepttl=True)


def _shift_user(moving: Any, key: bytes, fields: Mapping[bytes, bytes], shift: int) -> None:
    moved: dict[bytes, bytes] = {}
    for name, value in fields.items():
        if len(name) == ID:
            moved[name] = _shifted(value, shift)
        elif name == b"at" or len(name) == ID + 1:
            moved[name] = str(int(value) - shift).encode()
        elif name == b"m":
            marks = [MARK.unpack_from(value, at) for at in range(0, len(value), MARK.size)]
            moved[name] = b"".join(MARK.pack(last, at - shift, *rest) for last, at, *rest in marks)
    if moved:
        moving.hset(key, mapping=moved)


def _shifted(value: bytes, shift: int) -> bytes:
    """A session of so many microseconds earlier."""
    rest, reason, flags, generation, *times, era = HEADER.unpack_from(value)
    head = HEADER.pack(rest, reason, flags, generation, *(at - shift for at in times), era)
    if not reason:
        return head + value[HEADER.size :]
    ended_at, by = ENDED.unpack_from(value, HEADER.size)
    return head + ENDED.pack(ended_at - shift, by) + value[HEADER.size + ENDED.size :]


def elsewhere(world: RedisWorld, method: str, *arguments: Any) -> None:
    """Another process calls a method of a backend over the same keys."""
    other = RedisWorld(world.url, world.looker)
    other.backend._place = world.place
    try:
        getattr(other.backend.within(9.0), method)(*arguments)
    finally:
        other.sessions.close()
