"""The thread that aborts queries: it calls what is due, and sleeps when the first call returns, since a server may fork next."""

from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import Any

import pytest

from sessionward.backends.watchdog import Watchdog


class Bell:
    """Notes that the thread sleeps."""

    def __init__(self, bell: Any) -> None:
        self._bell = bell
        self.rests = 0

    def acquire(self, timeout: float) -> bool:
        self.rests += 1
        return bool(self._bell.acquire(timeout=timeout))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bell, name)


def late(run: Any, arguments: Any) -> None:
    """Starts a thread that the system lets run only after a while."""

    def begin() -> None:
        sleep(0.05)
        run(*arguments)

    threading.Thread(target=begin, daemon=True).start()


def test_the_first_call_returns_when_the_thread_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """uWSGI forks without the lock of the interpreter: a thread that is about to run would take it along into a worker, which hangs."""
    dog = Watchdog()
    bell = Bell(dog._bell)
    monkeypatch.setattr(dog, "_bell", bell)
    monkeypatch.setattr(dog, "_start", late)
    key = dog.watch(monotonic() + 60.0, lambda: None)
    assert bell.rests == 1
    assert dog.cancel(key)


def test_what_is_due_is_called_and_what_was_cancelled_is_not() -> None:
    dog, called = Watchdog(), list[str]()
    done = threading.Event()
    late_key = dog.watch(monotonic() + 60.0, lambda: called.append("never"))
    soon = dog.watch(monotonic() + 0.01, lambda: called.append("cancelled"))
    assert dog.cancel(soon)

    def due() -> None:
        called.append("due")
        done.set()

    dog.watch(monotonic() + 0.02, due)
    assert done.wait(10.0)
    assert called == ["due"]
    assert dog.cancel(late_key)
