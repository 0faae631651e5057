"""A table that cannot be asked: the deadline is kept, nothing is changed, and nobody is told that all is well."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from sessionward import BackendUnavailable
from sessionward.backends import Credential
from sessionward.backends.table import AsyncTableBackend, TableBackend
from sessionward.testing.bridge import together
from tests.backends.conftest import Place, others
from tests.backends.schemas import AUTHJS, LARAVEL
from tests.backends.tableworld import TableWorld
from tests.contract.sql_world import ASYNCMY, ASYNCPG, FROM_URL, PSYCOPG, PYMYSQL, Kind

DEADLINE = 0.5
every_driver = pytest.mark.parametrize("kind", FROM_URL, ids=str)
servers = pytest.mark.parametrize("kind", [PSYCOPG, ASYNCPG, PYMYSQL, ASYNCMY], ids=str)


@pytest.fixture
def world(kind: Kind, place: Place) -> Iterator[TableWorld]:
    world = TableWorld(kind, place(kind.database), AUTHJS, timeout=DEADLINE)
    yield world
    world.close()


@servers
def test_p7_a_server_that_is_not_there_is_an_outage(kind: Kind) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and not listening
        url = f"{kind.scheme}://nobody@127.0.0.1:{nobody.getsockname()[1]}/none"
        made: Any = AsyncTableBackend if kind.is_async else TableBackend
        backend = made(url, "s", key="k", user="u", cookie="c", timeout=DEADLINE)
        with pytest.raises(BackendUnavailable):
            asyncio.run(backend.find(Credential(b"x"))) if kind.is_async else backend.find(Credential(b"x"))


@every_driver
def test_p7_somebody_who_holds_a_row_makes_it_unavailable_within_the_deadline_and_nothing_is_ended(world: TableWorld) -> None:
    own, *others = [world.sign_in() for _ in range(3)]
    with world.safe.connect() as connection:
        if world.kind.database == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            table = world.safe.dialect.identifier_preparer.quote("Session")
            connection.exec_driver_sql(f"SELECT * FROM {table} FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(BackendUnavailable):
            world.sessions.revoke_others(own.session)
        assert time.monotonic() - began < DEADLINE + 1
        connection.rollback()
    assert world.lives(own, *others) == [True] * 3
    assert world.sessions.revoke_others(own.session) == 2


@servers
def test_connections_that_were_closed_are_replaced(world: TableWorld) -> None:
    own, _ = world.sign_in(), world.sign_in()
    with world.safe.connect() as connection:
        for number in others(connection):
            command = f"SELECT pg_terminate_backend({number})" if world.kind.database == "postgresql" else f"KILL {number}"
            connection.exec_driver_sql(command)
        connection.rollback()
    assert world.sessions.revoke_others(own.session) == 1


@pytest.mark.parametrize("kind", [ASYNCPG, ASYNCMY], ids=str)
def test_who_stops_waiting_does_not_stop_what_has_begun(kind: Kind, place: Place) -> None:
    world = TableWorld(kind, place(kind.database), LARAVEL)
    own, *_ = [world.sign_in() for _ in range(4)]

    async def cancelled() -> None:
        task = asyncio.ensure_future(world.backend.revoke_others(own.session))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        ends = time.monotonic() + 10
        while len([row for row in await asyncio.to_thread(world.rows) if not row["id"].startswith("revoked:")]) > 1:
            assert time.monotonic() < ends
            await asyncio.sleep(0.02)

    world.run(cancelled())
    assert world.lives(own) == [True]
    world.close()


@servers
def test_the_tokens_are_in_no_error(world: TableWorld) -> None:
    own, other = world.sign_in(), world.sign_in()
    with world.refusing(other), pytest.raises(BackendUnavailable) as caught:
        world.sessions.revoke_others(own.session)
    shown: Any = caught.value
    while shown is not None:
        said = f"{shown!r} {shown}"
        if shown is caught.value:
            assert own.credential.reveal() not in said
            assert other.credential.reveal() not in said
        shown = shown.__cause__
    assert repr(own.session).count(own.credential.reveal()) == 0


@every_driver
def test_first_questions_at_once_look_at_the_table_and_all_succeed(world: TableWorld) -> None:
    keys = [world.insert(f"user {number}") for number in range(8)]
    world.backend._timeout = 10.0
    found: list[Any] = together(*(partial(world.sessions.find, Credential(key.encode())) for key in keys))
    assert [session.user_id for session in found] == [f"user {number}" for number in range(8)]
