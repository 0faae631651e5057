"""A place of sessions with a backup, and applications behind both doors over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.cli import main
from tests.doors.sides import ASGIHouse, Handler, House, WebTestHouse
from tests.restore.backups import DUMPS, REDIS, WAYS, Backup, Stoppable, backup


class Place:
    """Sessions in a database with a backup, and the applications over them, which an operator starts anew after a restore.

    A worker that goes on sees on PostgreSQL that its server lacks what it has seen, and refuses.
    """

    def __init__(self, kept: Backup, side: str) -> None:
        self.kept = kept
        self.is_async = side == "asgi"
        self._houses: list[tuple[House, Callable[[], Any]]] = []

    @property
    def url(self) -> str:
        return self.kept.url

    def open(self, handler: Handler, backend: Callable[[], Any] | None = None, **settings: Any) -> House:
        """An application behind a door. ``backend``: makes its backend, by default one for sessions of our own."""
        make = backend or self._own
        house = (ASGIHouse if self.is_async else WebTestHouse)(handler, make(), backend_timeout=10.0, **settings)
        self._houses.append((house, make))
        return house

    def _own(self) -> Any:
        if self.url.startswith("redis"):
            return (AsyncRedisBackend if self.is_async else RedisBackend)(self.url, timeout=10.0)
        return (AsyncSQLBackend if self.is_async else SQLBackend)(self.url, timeout=10.0)

    def aside(self) -> Any:
        """A backend of a job. The caller closes it."""
        return (RedisBackend if self.url.startswith("redis") else SQLBackend)(self.url, timeout=10.0)

    def take(self) -> None:
        self._stop()
        self.kept.take()
        self._start()

    def restore(self) -> None:
        self._stop()
        self.kept.restore()
        self._start()

    def restored(self, name: str | None = None) -> None:
        """What the operator says after it. Without leases no worker trusts an old answer, so it need not wait for the longest one."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("sessionward.cli.everybody.LONGEST", 0.0)
            assert main(["restored", "--backend", name or self.url]) == 0

    def _stop(self) -> None:
        for house, _ in self._houses:
            house.close()

    def _start(self) -> None:
        for house, make in self._houses:
            house.backend = make()
            house.open()

    def close(self) -> None:
        self._stop()


@pytest.fixture(scope="session")
def stoppable() -> Iterator[Callable[[], Stoppable]]:
    """A PostgreSQL server that can be stopped, made when it is first asked for."""
    made: list[Stoppable] = []

    def server() -> Stoppable:
        if not made:
            made.append(Stoppable())
            made[0].start()
        return made[0]

    yield server
    for each in made:
        each.remove()


@pytest.fixture(params=["asgi", "wsgi"])
def side(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(params=[*WAYS, REDIS])
def place(request: pytest.FixtureRequest, side: str, tmp_path: Path, stoppable: Callable[[], Stoppable]) -> Iterator[Place]:
    """One that is backed up in every way."""
    yield from opened(request.param, side, tmp_path, stoppable)


@pytest.fixture(params=[*DUMPS, REDIS])
def dumped(request: pytest.FixtureRequest, side: str, tmp_path: Path, stoppable: Callable[[], Stoppable]) -> Iterator[Place]:
    """One that is backed up by the tool of its database."""
    yield from opened(request.param, side, tmp_path, stoppable)


@pytest.fixture(params=WAYS)
def sql_place(request: pytest.FixtureRequest, side: str, tmp_path: Path, stoppable: Callable[[], Stoppable]) -> Iterator[Place]:
    """Like ``place``, but of SQL only."""
    yield from opened(request.param, side, tmp_path, stoppable)


@pytest.fixture(params=DUMPS)
def sql_dumped(request: pytest.FixtureRequest, side: str, tmp_path: Path, stoppable: Callable[[], Stoppable]) -> Iterator[Place]:
    """Like ``dumped``, but of SQL only."""
    yield from opened(request.param, side, tmp_path, stoppable)


def opened(way: str, side: str, folder: Path, stoppable: Callable[[], Stoppable]) -> Iterator[Place]:
    with ExitStack() as stack:
        place = Place(stack.enter_context(backup(way, folder, stoppable)), side)
        stack.callback(place.close)
        if way != REDIS:
            with closing(SQLBackend(place.url, timeout=10.0)) as backend:
                backend.create_tables()
        yield place
