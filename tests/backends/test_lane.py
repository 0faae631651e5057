"""The short way to PostgreSQL gives back what is whole, and nothing else; what fails there is asked once more, in the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import pytest

from sessionward import BackendUnavailable
from sessionward.backends.sql.async_pool import LoopPool, _Opened  # pyright: ignore[reportPrivateUsage]
from sessionward.backends.sql.connect import database_of
from sessionward.backends.sql.executor import Lookup
from sessionward.backends.sql.lane import Lane

ROW: Final = ("a row",)
LOOKUP: Final = Lookup("check", {"digest": b"d"}, lambda _, row: row)
PATIENT: Final = 10.0
HASTY: Final = 0.05
"""Seconds."""


class Held:
    """A connection of the pool. ``driver_connection``: is told when it is aborted."""

    def __init__(self) -> None:
        self.driver_connection = self
        self.is_aborted = asyncio.Event()


class Idle:
    """The part of a pool that the short way uses."""

    def __init__(self, *held: Held) -> None:
        self.idle = [*held]
        self.discarded: list[Held] = []
        self.examined = True

    def is_examined(self, _held: Held) -> bool:
        return self.examined

    def take_idle(self) -> Held | None:
        return self.idle.pop() if self.idle else None

    def give_idle(self, held: Held) -> None:
        self.idle.append(held)

    def discard(self, held: Held) -> None:
        self.discarded.append(held)


class SQL:
    """``aborted``: each connection that was aborted."""

    dialect = None
    statements: Final = {"check": ("SELECT 1", ("digest",))}

    def __init__(self) -> None:
        self.aborted: list[Held] = []

    def abort(self, connection: Held) -> None:
        self.aborted.append(connection)
        connection.is_aborted.set()


Fetch = Callable[[Any, str, Sequence[Any]], Awaitable[Any]]


async def at_once(connection: Any, text: str, values: Sequence[Any]) -> Any:
    assert (text, values) == ("SELECT 1", [b"d"])
    return ROW


async def broken(connection: Any, text: str, values: Sequence[Any]) -> Any:
    raise OSError("broken")


async def silent(connection: Any, text: str, values: Sequence[Any]) -> Any:
    await connection.is_aborted.wait()
    raise OSError("aborted")


async def at_the_last_moment(connection: Any, text: str, values: Sequence[Any]) -> Any:
    await connection.is_aborted.wait()
    return ROW


async def _read(fetch: Fetch, timeout: float) -> tuple[Any, Idle, SQL, Held]:
    held = Held()
    pool, sql = Idle(held), SQL()
    lane = Lane(pool, sql, fetch)  # type: ignore[arg-type]
    async with asyncio.timeout(PATIENT):
        return await lane.read(LOOKUP, timeout), pool, sql, held


def test_an_answer_in_time_leaves_the_connection_idle() -> None:
    found, pool, sql, held = asyncio.run(_read(at_once, PATIENT))
    assert found == (ROW,)
    assert (pool.idle, pool.discarded, sql.aborted) == ([held], [], [])


@pytest.mark.parametrize(("fetch", "timeout"), [(broken, PATIENT), (silent, HASTY)], ids=["broken", "silent"])
def test_a_failure_says_nothing_and_its_connection_is_never_used_again(fetch: Fetch, timeout: float) -> None:
    found, pool, sql, held = asyncio.run(_read(fetch, timeout))
    assert found is None
    assert (pool.idle, pool.discarded) == ([], [held])
    assert held in sql.aborted


def test_an_answer_behind_the_deadline_is_valid_and_its_connection_is_not() -> None:
    found, pool, _, held = asyncio.run(_read(at_the_last_moment, HASTY))
    assert found == (ROW,)
    assert (pool.idle, pool.discarded) == ([], [held])


def test_a_cancelled_caller_leaves_no_connection_in_the_middle_of_an_answer() -> None:
    async def story() -> None:
        held = Held()
        pool, sql = Idle(held), SQL()
        task = asyncio.create_task(Lane(pool, sql, silent).read(LOOKUP, PATIENT))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (pool.idle, pool.discarded, sql.aborted) == ([], [held], [held])

    asyncio.run(story())


def test_without_an_idle_connection_it_asks_nothing() -> None:
    async def story() -> None:
        lane = Lane(Idle(), SQL(), broken)  # type: ignore[arg-type]
        assert await lane.read(LOOKUP, PATIENT) is None

    asyncio.run(story())


def test_a_connection_whose_server_must_be_examined_first_is_left_to_the_long_way() -> None:
    """The short way runs one statement, and asks nothing else."""

    async def story() -> None:
        held = Held()
        pool = Idle(held)
        pool.examined = False
        assert await Lane(pool, SQL(), broken).read(LOOKUP, PATIENT) is None  # type: ignore[arg-type]
        assert (pool.idle, pool.discarded) == ([held], [])

    asyncio.run(story())


def test_p7_what_the_short_way_has_used_up_is_not_waited_for_again() -> None:
    pool = LoopPool(database_of("postgresql://nobody@127.0.0.1/nothing", is_async=True), size=1, timeout=PATIENT)

    async def story() -> None:
        lane = Lane(Idle(Held()), SQL(), silent)  # type: ignore[arg-type]
        opened = _Opened(None, asyncio.Semaphore(1), lane, None)  # type: ignore[arg-type]
        pool._opened[asyncio.get_running_loop()] = opened  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(BackendUnavailable, match=r"PostgreSQL did not answer within 0\.05 s"):
            await pool.ask(LOOKUP, HASTY)

    asyncio.run(story())
