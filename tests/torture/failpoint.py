"""Failpoints: something happens just before or after a given statement, or a step to Redis, is sent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from sessionward.backends.redis.course import Course
from sessionward.backends.redis.wire import Pause, Send, Step
from sessionward.backends.sql.executor import Executor

COMMIT: Final = "COMMIT"
WRITE: Final = "a script that may write"
"""What is said of calls to Redis that go out in one step."""
READ: Final = "a call that writes nothing"


@contextmanager
def watched(*, before: Callable[[str], None] = lambda _: None, after: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Have each statement reported: its name, or what is said of a transaction, or of a step to Redis."""

    def around(method: Callable[..., Any]) -> Callable[..., Any]:
        def reported(executor: Executor, statement: str, *more: Any, **named: Any) -> Any:
            if statement == COMMIT:
                return method(executor, statement, *more, **named)
            before(statement)
            answer = method(executor, statement, *more, **named)
            after(statement)
            return answer

        return reported

    commit, go_on = Executor._commit, Course.go_on

    def committed(executor: Executor) -> None:  # with some drivers it is no statement by itself
        before(COMMIT)
        commit(executor)
        after(COMMIT)

    def reported(course: Course[Any], result: Any = None) -> Any:
        if course.step is not None:
            after(_said_of(course.step))
        step = go_on(course, result)
        if step is not None:
            before(_said_of(step))
        return step

    with (
        patch.object(Executor, "_execute", around(Executor._execute)),
        patch.object(Executor, "_run_script", around(Executor._run_script)),
        patch.object(Executor, "_commit", committed),
        patch.object(Course, "go_on", reported),
    ):
        yield


def _said_of(step: Step) -> str:
    sends = [step] if isinstance(step, Send) else [] if isinstance(step, Pause) else step
    return WRITE if any(send.writes for send in sends) else READ


class Counted:
    """Does something at the n-th call, and only then."""

    def __init__(self, at: int, do: Callable[[], None]) -> None:
        self._at = at
        self._do = do
        self.calls = 0

    def __call__(self, _statement: str) -> None:
        self.calls += 1
        if self.calls == self._at:
            self._do()


def die() -> None:
    """As ``kill -9`` does it: no handler runs, nothing is flushed or closed."""
    os.kill(os.getpid(), signal.SIGKILL)
