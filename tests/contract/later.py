"""A call that goes on while the test does something else."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

from sessionward.testing.bridge import PATIENCE


class Later:
    """A call in a thread, and what became of it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._answers: list[Any] = []
        self._thread = Thread(target=self._run, args=(call,))
        self._thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self._answers.append(call())
        except Exception as error:
            self._answers.append(error)

    def answer(self) -> Any:
        self._thread.join(PATIENCE)
        return self._answers[0]


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.12)  # MariaDB renews what it tells of transactions after 0.1 s without a look
