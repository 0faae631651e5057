"""A record of the last use that is held up revives nobody, and it holds up nobody: with canaries, on real servers."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import count
from time import monotonic
from typing import Any, Final

import pytest
from sqlalchemy import Connection, inspect, text

from sessionward.backends.sql import use
from sessionward.backends.sql.executor import Executor
from sessionward.backends.sql.statements import AT_ONCE, STATEMENTS
from sessionward.errors import BackendUnavailable
from sessionward.session.use import SEEN_PAUSE
from sessionward.testing import Client
from tests.backends.conftest import Place
from tests.contract.sql_world import PSYCOPG, PYMYSQL, SQLITE, Kind, SQLWorld

IDLE: Final = 900.0
LASTS: Final = 86_400.0
LEFT: Final = 2.0
"""Seconds that a session has left when its use is noted."""
PATIENCE: Final = 30.0


@pytest.fixture
def open_on(place: Place) -> Iterator[Callable[[Kind], SQLWorld]]:
    with ExitStack() as closing:

        def opened(kind: Kind) -> SQLWorld:
            world = SQLWorld(kind, place(kind.database), timeout=10.0)
            closing.callback(world.close)
            world.sessions.create_tables()
            world.clean()
            return world

        yield opened


@contextmanager
def nobody_writes(world: SQLWorld) -> Iterator[None]:
    """Somebody else's transaction, which lets everybody read and nobody lock or write."""
    with world.safe.connect() as connection:
        if world.kind.database == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("LOCK TABLE sessionward_sessions IN EXCLUSIVE MODE")
        yield
        connection.rollback()


def used_while_it_ends(world: SQLWorld, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Notes a use of a session that is live, and lets it be written when the session has ended. Returns the client."""
    monkeypatch.setattr(use, "TOO_LATE", 0.0)  # else the session would be left alone from the beginning
    has_read = threading.Event()
    write = use._written

    def written(*args: Any) -> Any:
        has_read.set()
        return write(*args)

    monkeypatch.setattr(use, "_written", written)
    client = world.login(lasts=LASTS, idle=IDLE)
    world.pass_time(IDLE - LEFT)
    with ThreadPoolExecutor(1) as thread:
        with nobody_writes(world):
            noted = thread.submit(world.sessions.note_seen, [client.session], IDLE)
            assert has_read.wait(PATIENCE)
            waits, ends = threading.Event(), monotonic() + PATIENCE
            while world.lives(client) == [True]:
                assert monotonic() < ends
                waits.wait(0.02)
        noted.result(PATIENCE)
    return client


BOTH = pytest.mark.parametrize("kind", [SQLITE, PSYCOPG], ids=str)


@BOTH
def test_p6_a_record_that_was_held_up_revives_no_session(
    kind: Kind, open_on: Callable[[Kind], SQLWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = open_on(kind)
    client = used_while_it_ends(world, monkeypatch)
    assert world.lives(client) == [False]


@BOTH
def test_canary_without_the_conditions_it_revives_one(
    kind: Kind, open_on: Callable[[Kind], SQLWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in AT_ONCE:
        for name in (f"lock_seen_of_{number}", f"note_use_of_{number}"):
            naive = re.sub(r"(WHERE id IN \([^)]*\)) AND .*?( ORDER BY id\{free\}|$)", r"\1\2", STATEMENTS[name])
            assert naive != STATEMENTS[name]
            monkeypatch.setitem(STATEMENTS, name, naive)
    world = open_on(kind)
    client = used_while_it_ends(world, monkeypatch)
    assert world.lives(client) == [True]


@pytest.mark.parametrize("kind", [PSYCOPG, PYMYSQL], ids=str)
def test_a_record_waits_for_no_change_of_the_same_session(kind: Kind, open_on: Callable[[Kind], SQLWorld]) -> None:
    world = open_on(kind)
    held, free = world.login(lasts=LASTS, idle=IDLE), world.login("bob", lasts=LASTS, idle=IDLE)
    world.pass_time(SEEN_PAUSE + 1)
    with row_held(world, held):
        due = world.sessions.note_seen([held.session, free.session], IDLE)
    assert due == {held.session.id: 0.0, free.session.id: SEEN_PAUSE}
    assert world.sessions.note_seen([held.session], IDLE) == {held.session.id: SEEN_PAUSE}


@contextmanager
def row_held(world: SQLWorld, client: Client) -> Iterator[Connection]:
    """Somebody else's transaction, which holds the lock of a session."""
    with world.safe.connect() as connection, connection.begin():
        found = connection.execute(
            text("SELECT id FROM sessionward_sessions WHERE id = :id FOR UPDATE"), {"id": world.id(client.session)}
        ).all()
        assert len(found) == 1
        yield connection


def in_between(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object]) -> None:
    """Calls ``act``, in another thread, whenever a sign-in has read which sessions are beyond ``max_sessions``, with how often it has."""
    real, times = Executor.row, count(1)

    def row(self: Executor, statement: Any, **values: Any) -> Any:
        found = real(self, statement, **values)
        if statement == "first_beyond":
            with ThreadPoolExecutor(1) as thread:
                thread.submit(act, next(times)).result(PATIENCE)
        return found

    monkeypatch.setattr(Executor, "row", row)


SERVED = pytest.mark.parametrize("kind", [PSYCOPG, PYMYSQL], ids=str)
"""Where a record does not wait for the transaction of a sign-in."""


@SERVED
def test_a_use_between_the_look_and_the_end_does_not_let_one_too_many_live(
    kind: Kind, open_on: Callable[[Kind], SQLWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = open_on(kind)
    first = world.login(generation=0, lasts=LASTS)
    world.pass_time(SEEN_PAUSE + 1)
    used: list[object] = []
    in_between(monkeypatch, lambda _: used.append(world.sessions.note_seen([first.session], None)))
    new = world.login(generation=0, lasts=LASTS, max_sessions=1)
    assert used[0] == {first.session.id: SEEN_PAUSE}
    assert world.lives(first, new) == [False, True]
    assert new.session.has_ended_others


@SERVED
def test_who_was_signed_out_between_the_two_was_not_ended_by_the_limit(
    kind: Kind, open_on: Callable[[Kind], SQLWorld], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = open_on(kind)
    first = world.login("eve", generation=0, lasts=LASTS)

    def end(_: int) -> None:
        with world.safe.begin() as connection:
            connection.execute(text("UPDATE sessionward_sessions SET ended_at = issued_at"))

    in_between(monkeypatch, end)
    new = world.login("eve", generation=0, lasts=LASTS, max_sessions=1)
    assert world.lives(first, new) == [False, True]
    assert not new.session.has_ended_others
    assert "max_sessions" not in caplog.text


def test_a_sign_in_gives_up_that_finds_no_session_to_end(open_on: Callable[[Kind], SQLWorld], monkeypatch: pytest.MonkeyPatch) -> None:
    """On MariaDB it holds all of the user's rows after the first try."""
    world = open_on(PSYCOPG)
    first = world.login(generation=0, lasts=LASTS)

    def move(times: int) -> None:
        with world.safe.begin() as connection:
            found = connection.execute(text("SELECT last_seen_at FROM sessionward_sessions")).scalar_one()
            later = {"at": found + timedelta(seconds=times)}
            connection.execute(text("UPDATE sessionward_sessions SET last_seen_at = :at"), later)

    in_between(monkeypatch, move)
    with pytest.raises(BackendUnavailable, match="max_sessions"):
        world.login(generation=0, lasts=LASTS, max_sessions=1)
    assert world.lives(first) == [True]
    assert world.sessions.list("ann").total == 1


def test_on_postgresql_a_record_changes_no_index(open_on: Callable[[Kind], SQLWorld]) -> None:
    """Else each record would write to all of them (heap-only tuples)."""
    world = open_on(PSYCOPG)
    indexed = {name for index in inspect(world.safe).get_indexes("sessionward_sessions") for name in index["column_names"]}
    assert indexed.isdisjoint({"last_seen_at", "expires_at", "ends_at"})
    with world.safe.connect() as connection:
        options = connection.execute(text("SELECT reloptions FROM pg_class WHERE relname = 'sessionward_sessions'")).scalar_one()
    assert options == ["fillfactor=80"]
