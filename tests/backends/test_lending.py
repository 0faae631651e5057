"""Connections that are lent to us, by a user's Engine or across a fork: no wait of theirs outlasts our deadline or spoils an answer."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.util import await_only

from sessionward import BackendUnavailable, Session
from sessionward.backends import Credential, NewSession
from sessionward.backends.permits import Permits
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.support.core import TOKEN

DEADLINE = 0.3
PATIENCE = 20.0
"""Seconds. Only a test that fails waits so long."""


def new(number: int) -> NewSession:
    return NewSession(user_id="ada", digest=bytes([number]) * 32, lifetime=60.0, age=lambda: -1.0)


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """An Engine that asks its server before it lends, as many in the field do."""
    engine = create_engine(sqlite_url, pool_pre_ping=True)
    yield engine
    for thread in threading.enumerate():
        if thread.name in ("sessionward connect", "sessionward give back"):  # it gives a connection back that is to be disposed of
            thread.join(PATIENCE)
    engine.dispose()


def sign_in(backend: SQLBackend, number: int) -> Session:
    return backend.login(new(number))


def test_p7_a_lent_connection_whose_check_out_falls_silent_is_given_up_within_the_deadline(engine: Engine) -> None:
    backend, over = SQLBackend(engine, timeout=DEADLINE), threading.Event()
    backend.create_tables()
    event.listen(engine, "checkout", lambda *_: over.wait(PATIENCE))
    try:
        with pytest.raises(BackendUnavailable, match="no connection within"):
            backend.find(Credential(TOKEN))
        assert not over.is_set()
    finally:
        over.set()


def test_p7_a_lent_connection_that_falls_silent_as_it_goes_back_does_not_hold_up_the_answer(engine: Engine) -> None:
    backend, over = SQLBackend(engine, timeout=DEADLINE), threading.Event()
    asked, gone_back = threading.Event(), threading.Event()
    backend.create_tables()
    own = sign_in(backend, 1)
    sign_in(backend, 2)

    def silent(*_: object) -> None:
        asked.set()
        over.wait(PATIENCE)
        gone_back.set()

    event.listen(engine, "reset", silent)
    try:
        assert backend.revoke_others(own) == 1
        assert asked.is_set()
        assert not gone_back.is_set()
    finally:
        over.set()


def test_p4_a_deadline_that_strikes_as_a_lent_connection_goes_back_leaves_the_answer_true(sqlite_url: str) -> None:
    async def run() -> tuple[int, int]:
        engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
        backend = AsyncSQLBackend(engine, timeout=DEADLINE)
        await backend.create_tables()
        own, _ = [await backend.login(new(number)) for number in (1, 2)]
        past = asyncio.Event()

        def slow(*_: object) -> None:
            asyncio.get_running_loop().call_later(2 * DEADLINE, past.set)
            await_only(past.wait())

        event.listen(engine.sync_engine, "reset", slow)
        ended = int(await backend.revoke_others(own))
        event.remove(engine.sync_engine, "reset", slow)
        assert past.is_set()
        live = len(await backend.list("ada"))
        await engine.dispose()
        return ended, live

    assert asyncio.run(run()) == (1, 1)


def test_p7_permits_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    permits, served = Permits(1), list[int]()
    assert permits.take(0)

    def wait(number: int) -> None:
        assert permits.take(PATIENCE)
        served.append(number)
        permits.give()

    waiting = [threading.Thread(target=wait, args=(number,)) for number in range(5)]
    for number, thread in enumerate(waiting, 1):
        thread.start()
        ends = time.monotonic() + PATIENCE
        while len(permits._waiting) < number:
            assert time.monotonic() < ends
    permits.give()
    for thread in waiting:
        thread.join(PATIENCE)
    assert served == [0, 1, 2, 3, 4]


def test_p7_a_permit_that_is_not_to_be_had_in_time_is_not_taken() -> None:
    permits = Permits(1)
    assert permits.take(0)
    assert not permits.take(0.01)
    permits.give()
    assert permits.take(0)


FORK = """
import os, sys
from sessionward.backends.sql import SQLBackend
backend = SQLBackend(sys.argv[1])
backend.create_tables()
backend.begin_login("ada")
with backend._pool._opened().permits._lock:  # as a thread may hold it that takes a connection
    child = os.fork()
    if child == 0:
        os._exit(0 if backend.begin_login("ada") == 0 else 1)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_while_a_connection_is_being_taken_asks_as_if_nothing_had_been(sqlite_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, sqlite_url], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
