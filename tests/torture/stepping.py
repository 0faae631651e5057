"""Cancels a question at each of its awaits in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any


class Victim(Enum):
    """Who is cancelled: whoever asked, as when a client goes away; or all tasks, as when the loop ends."""

    CALLER = "the caller"
    ALL = "every task"


class Steps:
    """Counts the awaits of all tasks that are made meanwhile; at the n-th, cancels and calls ``cancelling``."""

    def __init__(self, at: int, victim: Victim, cancelling: Callable[[], None] = lambda: None) -> None:
        self._at = at
        self._victim = victim
        self._cancelling = cancelling
        self._tasks: list[asyncio.Task[Any]] = []
        self.taken = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._make)
        try:
            yield
        finally:
            loop.set_task_factory(None)

    def _make(self, loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(self._stepped(work), loop=loop, **named)
        task.add_done_callback(lambda _: work.close())  # a task that is cancelled before it starts never awaits it
        self._tasks.append(task)
        return task

    async def _stepped(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await _Watched(work, self._step)

    def _step(self) -> None:
        self.taken += 1
        if self.taken == self._at:
            self._cancelling()
            for task in self._tasks[:1] if self._victim is Victim.CALLER else self._tasks:
                asyncio.get_running_loop().call_soon(task.cancel)


class _Watched:
    """Awaits a coroutine, and reports each time that it waits."""

    def __init__(self, work: Coroutine[Any, Any, Any], waits: Callable[[], None]) -> None:
        self._work = work
        self._waits = waits

    def __await__(self) -> Generator[Any, Any, Any]:
        work = self._work
        try:
            waited = work.send(None)
            while True:
                self._waits()
                try:
                    answer = yield waited
                except BaseException as thrown:
                    waited = work.throw(thrown)
                else:
                    waited = work.send(answer)
        except StopIteration as end:
            return end.value
