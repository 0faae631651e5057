"""Failpoints: something happens just before or after a given statement is sent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sessionward.backends.sql.executor import Executor


@contextmanager
def watched(*, before: Callable[[str], None] = lambda _: None, after: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Have each statement reported: its name, or what is said of a transaction."""

    def around(method: Callable[..., Any]) -> Callable[..., Any]:
        def reported(executor: Executor, statement: str, *more: Any, **named: Any) -> Any:
            before(statement)
            answer = method(executor, statement, *more, **named)
            after(statement)
            return answer

        return reported

    with patch.object(Executor, "_execute", around(Executor._execute)), patch.object(Executor, "_run_script", around(Executor._run_script)):
        yield


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
