"""Closing while others are at work: nobody notices, and nothing stays open."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from sessionward.backends.sql import AsyncSQLBackend, SQLBackend

CALLERS = 8
CLOSINGS = 12
PATIENCE = 20.0
"""Seconds. Only a test that fails waits so long."""


def left_open(url: str, name: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (name,)).fetchone()
    assert row is not None
    return int(row[0])


def none_is_left_open(url: str, name: str) -> bool:
    ends = time.monotonic() + PATIENCE
    while left_open(url, name):  # the server notices a moment later
        if time.monotonic() > ends:
            return False
    return True


def test_closing_under_threads_that_ask_is_noticed_by_none_and_leaves_nothing_open(postgresql_url: str) -> None:
    name = uuid4().hex
    backend = SQLBackend(f"{postgresql_url}?application_name={name}", pool_size=3, timeout=20)
    backend.create_tables()
    over = threading.Event()

    def ask() -> int:
        asked = 0
        while not over.is_set():
            assert backend.begin_login("ada") == 0
            asked += 1
        return asked

    with ThreadPoolExecutor(CALLERS) as callers:
        asking = [callers.submit(ask) for _ in range(CALLERS)]
        for _ in range(CLOSINGS):
            before = backend.begin_login("ada")
            backend.close()
            assert before == 0
        over.set()
        assert all(caller.result() for caller in asking)
    backend.close()
    assert none_is_left_open(postgresql_url, name)


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql+asyncpg"])
def test_closing_under_tasks_that_ask_is_noticed_by_none_and_leaves_nothing_open(postgresql_url: str, scheme: str) -> None:
    name = uuid4().hex
    option = "application_name" if scheme.endswith("psycopg") else "server_settings"
    url = postgresql_url.replace("postgresql://", f"{scheme}://") + (f"?{option}={name}" if option == "application_name" else "")

    async def run() -> list[int]:
        backend = AsyncSQLBackend(url, pool_size=3, timeout=20)
        await backend.create_tables()
        over = asyncio.Event()

        async def ask() -> int:
            asked = 0
            while not over.is_set():
                assert await backend.begin_login("ada") == 0
                asked += 1
            return asked

        asking = [asyncio.create_task(ask()) for _ in range(CALLERS)]
        for _ in range(CLOSINGS):
            await backend.begin_login("ada")
            await backend.close()
        over.set()
        return await asyncio.gather(*asking)

    assert all(asyncio.run(run()))
    assert none_is_left_open(postgresql_url, name)
