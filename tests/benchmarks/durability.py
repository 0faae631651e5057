"""How many acknowledged revocations are undone by a crash of the database, or by its failover, right after the answer."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from time import monotonic, sleep
from typing import Final, TypeAlias

import pytest

from sessionward.backends import Credential
from sessionward.backends.redis import RedisBackend
from sessionward.backends.sql import SQLBackend
from sessionward.errors import OutcomeUnknown
from tests.benchmarks.measure import Effort, LeftOut, Result, Row
from tests.benchmarks.signing import tokens
from tests.support.postgresql import Node, cluster
from tests.support.redis_servers import one_redis, primary_and_replica
from tests.support.servers import HOST, NotStarted

Backend: TypeAlias = SQLBackend | RedisBackend
Act: TypeAlias = Callable[[], object]

PATIENCE: Final = 20.0
"""Seconds."""
NAME: Final = "acknowledged revocations undone by kill -9 of the database"


LAGGED: Final = "acknowledged revocations undone when Redis fails over to a replica that was cut off"


class Outcome(Enum):
    """What became of a revocation."""

    KEPT, UNDONE, UNKNOWN = range(3)


@dataclass(frozen=True, slots=True)
class Place:
    """A database that can crash. ``save``: writes what it has by now; ``die``: kills it and starts it again."""

    backend: Backend
    save: Act
    die: Act

    def undoes_a_revocation(self) -> bool:
        """One of two sessions, which are on the disk, revokes the other one. Then the database dies. Is that one live again?"""
        kept, other = (Credential(token.encode()) for token in tokens(self.backend, "ann", 2))
        self.save()
        session = self.backend.find(kept)
        assert session is not None
        assert self.backend.revoke_others(session) >= 1
        self.die()
        assert self.backend.find(kept) is not None
        return self.backend.find(other) is not None


def measure(effort: Effort) -> Iterator[Result]:
    trials = 20 if effort.rounds >= Effort.full().rounds else 3
    for settings, opened in PLACES.items():
        try:
            with opened() as place:
                undone = sum(place.undoes_a_revocation() for _ in range(trials))
                place.backend.close()
        except pytest.skip.Exception as missing:
            yield LeftOut(f"{NAME}: {settings}", str(missing))
            continue
        yield Row(f"{NAME}: {settings}", f"{undone} of {trials}", "", [undone / trials], _part, None)
    yield from _failovers(25 if trials == 20 else 3)


@contextmanager
def _postgresql(commit: str) -> Iterator[Place]:
    with cluster() as node:
        node.ask(f"ALTER SYSTEM SET synchronous_commit = '{commit}'")
        node.ask("SELECT pg_reload_conf()")
        backend = SQLBackend(f"postgresql://postgres@{HOST}:{node.port}/postgres", on_rollback="ignore")
        backend.create_tables()

        def die() -> None:
            node.stop(signal.SIGKILL)
            backend.close()
            _start(node)

        yield Place(backend, lambda: node.ask("CHECKPOINT"), die)


def _start(node: Node) -> None:
    """Starts a server that was killed, once the last of its processes is gone: before that it refuses to start."""
    ends = monotonic() + PATIENCE
    while True:
        try:
            return node.start()
        except NotStarted:
            if monotonic() > ends:
                raise
            sleep(0.05)


@contextmanager
def _redis(*options: str) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder, one_redis(Path(folder), *options) as node:
        backend = RedisBackend(node.url)

        def die() -> None:
            node.restart()
            backend.close()

        yield Place(backend, node.client.save, die)


PLACES: Final[Mapping[str, Callable[[], AbstractContextManager[Place]]]] = {
    "PostgreSQL, `synchronous_commit=off`": lambda: _postgresql("off"),
    "PostgreSQL, `synchronous_commit=on`": lambda: _postgresql("on"),
    "Redis, snapshots only": lambda: _redis("--appendonly", "no", "--save", "3600", "1"),
    "Redis, `appendfsync everysec`": lambda: _redis("--appendfsync", "everysec"),
    "Redis, `appendfsync always`": lambda: _redis("--appendfsync", "always"),
}


# --- failover of Redis to a replica that was cut off -------------------------------------------------------------------


def _failovers(trials: int) -> Iterator[Result]:
    for wait in (None, (1, 1_000)):
        try:
            found = [_failed_over(wait) for _ in range(trials)]
        except pytest.skip.Exception as missing:
            yield LeftOut(LAGGED, str(missing))
            return
        undone, refused = found.count(Outcome.UNDONE), found.count(Outcome.UNKNOWN)
        yield Row(f"{LAGGED}: {_named(wait)}", f"{undone} of {trials}, {refused} were 503", "", [undone / trials], _part, None)


def _failed_over(wait: tuple[int, int] | None) -> Outcome:
    """The replica is cut off, one of two sessions revokes the other one, the primary dies and the replica is promoted."""
    with tempfile.TemporaryDirectory() as folder, primary_and_replica(Path(folder)) as (primary, replica):
        backend = RedisBackend(primary.url, wait=wait)
        kept, other = (Credential(token.encode()) for token in tokens(backend, "ann", 2))
        session = backend.find(kept)
        assert session is not None
        primary.client.set("written", 1)  # WAIT waits for what its own connection has written
        assert primary.client.wait(1, 10_000) == 1
        replica.cut_off_from(primary)
        try:
            backend.revoke_others(session)
        except OutcomeUnknown:
            return Outcome.UNKNOWN
        finally:
            backend.close()
        primary.kill()
        replica.follow(None)
        after = RedisBackend(replica.url)
        assert after.find(kept) is not None
        is_live = after.find(other) is not None
        after.close()
        return Outcome.UNDONE if is_live else Outcome.KEPT


def _named(wait: tuple[int, int] | None) -> str:
    return "without `wait`" if wait is None else f"`wait={wait}`"


def _part(part: float) -> str:
    return f"{part:.0%}"
