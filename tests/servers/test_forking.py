"""Servers that load the application in a master and fork: each worker has locks, threads and connections of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import make_url, select, update

from sessionward.backends.sql import SQLBackend
from tests.contract.sql_world import SESSIONS, safe_engine
from tests.doors.servers import Client, Server, running
from tests.servers.tap import Tap, tapped

TARGET = "tests.servers.forked:wsgi"
IDLE = 900.0
"""As in forked.py."""
CASES = pytest.mark.parametrize(
    ("name", "early"),
    [("sqlite", False), ("sqlite", True), ("postgresql", False), ("postgresql", True), ("mariadb", False)],
    ids=["SQLite", "SQLite, asked in the master too", "PostgreSQL", "PostgreSQL, asked in the master too", "MariaDB"],
)


@pytest.fixture
def database(request: pytest.FixtureRequest, name: str) -> str:
    url: str = request.getfixturevalue(f"{name}_url")
    backend = SQLBackend(url)
    backend.create_tables()
    backend.close()
    return url


@contextmanager
def town(kind: str, database: str, *, early: bool, timeout: float = 10.0) -> Iterator[Server]:
    environment = {"SESSIONWARD_TEST_DATABASE": database, "SESSIONWARD_TEST_TIMEOUT": str(timeout)}
    with running(kind, TARGET, **environment, SESSIONWARD_TEST_ASKS_EARLY="1" if early else "") as server:
        yield server


@CASES
def test_the_first_sign_ins_of_each_worker_hold(forking: str, database: str, early: bool) -> None:
    with town(forking, database, early=early) as server:

        def browser(user: str) -> str:
            own, other = Client(server), Client(server)
            own.sign_in(user)
            other.sign_in(user)
            seen = [client.me() == user for client in (own, other)]
            counted = own.press().json()
            return f"{seen} {counted} {[client.me() == user for client in (own, other)]}"

        for times in ("when a worker is new", "later"):
            users = [f"{forking} {early} {times} {number}".encode().hex() for number in range(8)]
            with ThreadPoolExecutor(8) as threads:
                assert set(threads.map(browser, users)) == {"[True, True] {'count': 1} [True, False]"}


@pytest.mark.parametrize(("name", "early"), CASES.args[1][2:], ids=CASES.kwargs["ids"][2:])  # a file does not fall silent
def test_p7_a_database_that_falls_silent_is_503_within_the_deadline(forking: str, name: str, database: str, early: bool) -> None:
    url = make_url(database)
    with tapped(url.host or "127.0.0.1", url.port or {"postgresql": 5432, "mysql": 3306}[url.get_backend_name()]) as tap:
        through = url.set(host="127.0.0.1", port=tap.port).render_as_string(hide_password=False)
        with town(forking, through, early=early, timeout=1.0) as server:
            client = Client(server)
            client.sign_in(user := f"{forking} {early} {name}".encode().hex())
            assert client.me() == user
            assert_silence_is_told(client, tap)
            assert client.me() == user


def assert_silence_is_told(client: Client, tap: Tap) -> None:
    tap.hold()
    try:
        began = time.monotonic()
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda _: client.ask("GET", "/me"), range(3)))
        assert [answer.status for answer in answers] == [503] * 3
        assert time.monotonic() - began < 9.0  # three times a deadline, one after the other where a worker serves one at a time
    finally:
        tap.release()


@pytest.mark.parametrize(
    ("name", "early"), [("sqlite", False), ("postgresql", True)], ids=["SQLite", "PostgreSQL, asked in the master too"]
)
def test_each_worker_records_the_last_use_and_moves_the_end(forking: str, name: str, database: str, early: bool) -> None:
    """Also where threads stand still between two requests (uWSGI): there, a later request records its own use."""
    aside = SQLBackend(database)
    with town(forking, database, early=early) as server:
        client = Client(server)
        client.sign_in(user := f"{forking} {early} {name} last use".encode().hex())
        (before,) = aside.list(user)
        age(database, user, 300.0)
        ends = time.monotonic() + 30.0
        while True:
            assert client.me() == user
            (after,) = aside.list(user)
            assert before.last_seen_at is not None
            assert after.last_seen_at is not None
            if after.expires_at == after.last_seen_at + timedelta(seconds=IDLE) and after.last_seen_at >= before.last_seen_at:
                break
            assert time.monotonic() < ends
            time.sleep(0.1)
    aside.close()


def age(database: str, user: str, seconds: float) -> None:
    """Makes the last use of a user's session so many seconds older, and its end as much nearer."""
    engine = safe_engine(database)
    with engine.begin() as connection:
        (row,) = connection.execute(select(SESSIONS).where(SESSIONS.c.user_id == user)).mappings().all()
        moved = {name: row[name] - timedelta(seconds=seconds) for name in ("last_seen_at", "expires_at")}
        connection.execute(update(SESSIONS).where(SESSIONS.c.id == row["id"]).values(moved))
    engine.dispose()
