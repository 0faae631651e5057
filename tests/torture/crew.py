"""Worker processes that live long, meet at a barrier, and go on together."""

from __future__ import annotations

import multiprocessing
import random
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

T = TypeVar("T")

SIZES: Final = (2, 4, 16)
JITTER: Final = 0.0005
"""Seconds that each may come late to a race, drawn anew each time."""
MEETING: Final = 60.0
"""Seconds after which whoever waits at a barrier gives up."""


class Meet(Protocol):
    """Waits for all others of the job, then a moment that chance decides."""

    def __call__(self, jitter: float = JITTER, /) -> None: ...


def context() -> multiprocessing.context.ForkServerContext:
    """Processes come from one that holds nothing: cheap to start, and without a thread or a connection of the tests."""
    forkserver = multiprocessing.get_context("forkserver")
    drivers = ["psycopg", "pymysql", "asyncpg", "asyncmy", "aiosqlite", "redis"]
    forkserver.set_forkserver_preload(["sessionward.backends.sql", "sessionward.backends.redis", *drivers])
    return forkserver


class Crew:
    """As many workers as the largest job needs."""

    def __init__(self, size: int = max(SIZES)) -> None:
        forkserver = context()
        self._barriers = {parties: forkserver.Barrier(parties) for parties in SIZES}  # kept: they go with their maker
        self._workers: list[tuple[ForkServerProcess, Connection]] = []
        for number in range(size):
            here, there = forkserver.Pipe()
            process = forkserver.Process(target=_work, args=(there, self._barriers, number), daemon=True)
            process.start()
            there.close()
            self._workers.append((process, here))

    def run(self, job: Callable[..., T], parts: Sequence[tuple[Any, ...]], *, timeout: float = 300.0) -> list[T]:
        """``job(meet, *part)`` for each part, in as many processes at once; the answers in order."""
        lines = [line for _, line in self._workers[: len(parts)]]
        for line, part in zip(lines, parts, strict=True):
            line.send((job, len(parts), part))
        answers: dict[int, tuple[str | None, T]] = {}
        ends = monotonic() + timeout
        while len(answers) < len(lines):
            waiting = [line for number, line in enumerate(lines) if number not in answers]
            ready = wait(waiting, max(0.0, ends - monotonic()))
            if not ready:
                raise TimeoutError(f"{len(waiting)} of {len(lines)} workers did not finish {job.__name__} within {timeout:g} s")
            answers |= {number: line.recv() for number, line in enumerate(lines) if line in ready}
        failures = [failure for failure, _ in answers.values() if failure is not None]
        if failures:
            self._barriers[len(parts)].reset()  # whoever failed has broken it for the others, who failed by that
            raise RuntimeError(f"a worker failed in {job.__name__}:\n{max(failures, key=lambda text: 'BrokenBarrierError' not in text)}")
        return [answers[number][1] for number in range(len(lines))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process, line in self._workers:
            line.close()
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def _meet(barrier: Barrier | None, jitter: float = JITTER, /) -> None:
    if barrier is not None:
        barrier.wait(MEETING)
    sleep(random.uniform(0, jitter))


def _work(line: Connection, barriers: dict[int, Barrier], number: int) -> None:
    random.seed(f"{number} {monotonic()}")
    while True:
        try:
            job, parties, part = line.recv()
        except EOFError:
            return
        try:
            line.send((None, job(partial(_meet, barriers.get(parties)), *part)))
        except BaseException:
            if parties in barriers:
                barriers[parties].abort()
            line.send((traceback.format_exc(), None))
