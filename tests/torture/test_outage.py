"""P7: a backend that is down, dies, stalls or comes back: 503 in time, never 401, no cookie, and no restart of ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from sessionward.backends.redis import AsyncRedisBackend, RedisBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.torture.crew import context
from tests.torture.doors import PATH, Answer, ASGIDoor, Call, Door, WSGIDoor
from tests.torture.failpoint import WRITE, watched
from tests.torture.locker import hold_the_lock
from tests.torture.places import ASYNC
from tests.torture.redis_keys import is_redis
from tests.torture.servers import SERVERS, Server
from tests.torture.tables import with_driver

TIMEOUT: Final = 1.5
"""Seconds that a door waits for its backend: longer than a busy machine stalls, or a server that works would not answer either."""
SLACK: Final = 5.0
"""Seconds that an answer may take at most, on a machine that does much else. Without a timeout it takes minutes."""


@pytest.fixture(scope="module", params=["postgresql", "mariadb", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    one = SERVERS[str(request.param)]()
    try:
        one.start()
        if not is_redis(one.url):
            _make_tables(one.url)
        yield one
    finally:
        one.remove()


def _make_tables(url: str) -> None:
    backend = SQLBackend(url)
    backend.create_tables()
    backend.close()


@contextmanager
def _doors(url: str, asyncs: list[str]) -> Iterator[dict[str, Door]]:
    with ExitStack() as stack:
        doors: dict[str, Door] = {
            "WSGI": WSGIDoor(_sync(url), timeout=TIMEOUT),
            "ASGI, threads": ASGIDoor(partial(_sync, url), timeout=TIMEOUT),
        }
        for driver in asyncs:
            doors[f"ASGI, {driver}"] = ASGIDoor(partial(_async, url, driver), timeout=TIMEOUT)
        for door in doors.values():
            stack.callback(door.close)
        yield doors


def _sync(url: str) -> Any:
    return RedisBackend(url) if is_redis(url) else SQLBackend(url)


def _async(url: str, driver: str) -> Any:
    return AsyncRedisBackend(url) if is_redis(url) else AsyncSQLBackend(with_driver(url, driver))


def _refused(answer: Answer, error: str = "backend_unavailable") -> None:
    assert answer.status == 503, answer
    assert answer.error == error
    assert answer.field("retry-after") in ("1", "2", "3", "4", "5")
    assert answer.field("set-cookie") is None
    assert answer.seconds < SLACK


def _everything_is_refused(door: Door, cookies: list[str]) -> None:
    reached = door.reached
    calls = [Call(method, path, cookie=cookie) for cookie in cookies for method, path in (("GET", "/"), ("DELETE", PATH))]
    for answer in door.at_once(calls):
        _refused(answer)
    assert door.reached == reached, "nobody passes on whose session could not be looked up"


def _everything_works(door: Door, user: str, cookies: list[str]) -> None:
    """At once, and again: connections that have died meanwhile cost nobody an answer."""
    for _ in range(2):
        for answer in door.at_once([Call(cookie=cookie) for cookie in cookies * 2]):
            assert (answer.status, answer.body) == (200, f"signed in: {user}")


def _one_is_left(door: Door, cookies: list[str]) -> None:
    answer = door(Call("DELETE", PATH, cookie=cookies[0]))
    assert (answer.status, answer.body) == (200, f'{{"count": {len(cookies) - 1}}}')
    assert door(Call(cookie=cookies[1])).body == "anonymous"


def test_p7_down_at_start_then_up(server: Server) -> None:
    with _doors(server.url, ASYNC[server.name]) as doors:
        user = f"user {uuid4()}"
        cookies = [doors["WSGI"].sign_in(user) for _ in range(2)]
        server.kill()
        with _doors(server.url, ASYNC[server.name]) as fresh:
            for door in fresh.values():
                _everything_is_refused(door, cookies)
            server.start()
            for door in fresh.values():
                _everything_works(door, user, cookies)


def test_p7_dies_and_comes_back(server: Server) -> None:
    with _doors(server.url, ASYNC[server.name]) as doors:
        signed_in: dict[str, tuple[str, list[str]]] = {}
        for name, door in doors.items():
            user = f"user {uuid4()}"
            signed_in[name] = user, [door.sign_in(user) for _ in range(3)]
            _everything_works(door, *signed_in[name])
        server.kill()
        for name, door in doors.items():
            _everything_is_refused(door, signed_in[name][1])
        server.start()
        for name, door in doors.items():
            _everything_works(door, *signed_in[name])
            _one_is_left(door, signed_in[name][1])


def test_p7_is_restarted_between_two_requests(server: Server) -> None:
    with _doors(server.url, ASYNC[server.name]) as doors:
        signed_in: dict[str, tuple[str, list[str]]] = {}
        for name, door in doors.items():
            user = f"user {uuid4()}"
            signed_in[name] = user, [door.sign_in(user) for _ in range(3)]
            _everything_works(door, *signed_in[name])
        server.kill()
        server.start()
        for name, door in doors.items():
            _one_is_left(door, signed_in[name][1])


def test_p7_stalls_and_goes_on(server: Server) -> None:
    with _doors(server.url, ASYNC[server.name]) as doors, _doors(server.url, ASYNC[server.name]) as fresh:
        user = f"user {uuid4()}"
        cookies = [doors["WSGI"].sign_in(user) for _ in range(2)]
        for door in doors.values():
            _everything_works(door, user, cookies)
        server.freeze()
        try:
            for door in [*doors.values(), *fresh.values()]:
                _everything_is_refused(door, cookies)
        finally:
            server.thaw()
        for door in [*doors.values(), *fresh.values()]:
            _everything_works(door, user, cookies)


def test_p4_p7_stalls_at_commit_and_says_that_the_outcome_is_unknown(server: Server) -> None:
    def freeze(statement: str) -> None:
        if statement in ("COMMIT", WRITE):
            server.freeze()

    with _doors(server.url, ASYNC[server.name]) as doors:
        for door in doors.values():
            user = f"user {uuid4()}"
            cookies = [door.sign_in(user) for _ in range(3)]
            try:
                with watched(before=freeze):
                    answer = door(Call("DELETE", PATH, cookie=cookies[0]))
            finally:
                server.thaw()
            _refused(answer, "outcome_unknown")
            again = door(Call("DELETE", PATH, cookie=cookies[0]))
            assert (again.status, again.body) in [(200, '{"count": 0}'), (200, '{"count": 2}')]
            assert door(Call(cookie=cookies[0])).body == f"signed in: {user}"
            assert door(Call(cookie=cookies[1])).body == "anonymous"


def test_p7_a_stopped_process_that_holds_the_lock_of_an_sqlite_file(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    with _doors(sqlite_url, ASYNC["sqlite"]) as doors:
        doors["ASGI, aiosqlite"] = door = ASGIDoor(lambda: AsyncSQLBackend(engine), timeout=TIMEOUT, ending=engine.dispose)
        try:
            _make_tables(sqlite_url)
            user = f"user {uuid4()}"
            cookies = [doors["WSGI"].sign_in(user) for _ in range(2)]
            here, there = context().Pipe()
            holder = context().Process(target=hold_the_lock, args=(path, there))
            holder.start()
            assert here.poll(30)
            assert here.recv() == "held"
            assert holder.pid is not None
            os.kill(holder.pid, signal.SIGSTOP)
            try:
                for one in doors.values():
                    _refused(one(Call("DELETE", PATH, cookie=cookies[0])))
                    _everything_works(one, user, cookies)
            finally:
                os.kill(holder.pid, signal.SIGCONT)
                here.send("let go")
                holder.join(30)
                holder.close()
            for one in doors.values():
                assert one(Call("DELETE", PATH, cookie=cookies[0])).status == 200
        finally:
            door.close()
