"""What signals do while a sidecar starts, before its workers or its event loop take them.

In a container we may be process 1, for which the kernel has no default actions: a signal without a handler is lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
"""Each of these drains. SIGINT does so without a delay."""
OTHERS: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Reload, reopen the access log, and one that we have no use for."""

_AT_END: Final[list[Callable[[], None]]] = []
_LATER: Final[list[int]] = []


@contextmanager
def during_start() -> Generator[None]:
    """Ends the process at a signal that stops, and keeps the others for :func:`later`. The old handlers return at the end."""
    before = {each: signal.getsignal(each) for each in (*STOPS, *OTHERS)}
    _LATER.clear()
    for each in STOPS:
        signal.signal(each, _end)
    for each in OTHERS:
        signal.signal(each, _keep)
    try:
        yield
    finally:
        _AT_END.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def at_end(remove: Callable[[], None]) -> None:
    """Calls ``remove`` before a signal ends the process during the start."""
    _AT_END.append(remove)


def later() -> list[int]:
    """Returns the signals that came during the start and are still to be obeyed."""
    found = list(_LATER)
    _LATER.clear()
    return found


def _end(number: int, _frame: FrameType | None) -> None:
    """Ends at once: no request is under way, and a thread of a database driver may be in a wait that no exception ends."""
    with suppress(OSError):
        os.write(2, f"sessionward: {signal.Signals(number).name} during the start: nothing was served\n".encode())
    for remove in _AT_END:
        with suppress(Exception):
            remove()
    os._exit(0)


def _keep(number: int, _frame: FrameType | None) -> None:
    if number not in _LATER:
        _LATER.append(number)


@contextmanager
def held(numbers: tuple[Any, ...]) -> Generator[None]:
    """Holds these signals back: from this process until the end of the block, from a process that it starts until that accepts them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
