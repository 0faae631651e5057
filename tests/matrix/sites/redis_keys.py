"""Redis for the sites that keep their sessions there: a prefix of its own for each, empty again at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import redis

from tests.support.between import Between
from tests.support.services import REDIS


class Keys:
    """The keys below a prefix, as an operator would look at them. ``user_in`` says whose session a value is."""

    def __init__(self, user_in: Callable[[bytes], str | None]) -> None:
        self.prefix = f"sessionward-test-{uuid4().hex[:12]}:"
        where = urlsplit(REDIS)
        self.server = Between(where.hostname or "127.0.0.1", where.port or 6379)
        self.url = urlunsplit(where._replace(netloc=f"{where.netloc.rpartition('@')[0]}@127.0.0.1:{self.server.port}".lstrip("@")))
        """Of a server that can fall silent."""
        self.client: Any = redis.Redis.from_url(self.url)
        self._user_in = user_in

    def __iter__(self) -> Iterator[str]:
        return (key.decode() for key in self.client.scan_iter(f"{self.prefix}*"))

    def user_of(self, key: str) -> str | None:
        data = self.client.get(key)
        return None if data is None else self._user_in(data)

    def revoke_others(self, session_id: str, between: Callable[[], object]) -> int | None:
        """The naive way: delete what else is this user's."""
        own = self.prefix + session_id
        user = self.user_of(own)
        if user is None:
            return None
        between()
        others = [key for key in self if key != own and self.user_of(key) == user]
        for key in others:
            self.client.delete(key)
        return len(others)

    @contextmanager
    def expiring(self) -> Iterator[None]:
        """What is new after the block is over then: Redis has a clock of its own."""
        before = set(self)
        yield
        for key in set(self) - before:
            self.client.expireat(key, 1)

    def close(self) -> None:
        for key in self:
            self.client.delete(key)
        self.client.close()
        self.server.close()
