"""The command ``sessionward index``: reads all sessions of a Django project once, so that later calls need not search."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from time import monotonic
from typing import Any, Final, TextIO

WIDTH: Final = 30
"""The width of the bar in characters."""
PAUSE: Final = 0.2
"""Seconds between two updates of the bar. A log file gets a line after ten times as many."""


def index(*, batch: int, incomplete: bool = False) -> int:
    """Reads all sessions of the project that DJANGO_SETTINGS_MODULE names into the index.

    You can stop it at any time; the next run continues where this one stopped. Run it after all workers run with sessionward.
    ``incomplete``: only marks the index as incomplete. Do so before a process without sessionward saves sessions.
    """
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return _refuse("set DJANGO_SETTINGS_MODULE to the project's settings, and run this where manage.py is")
    sys.path.insert(0, os.getcwd())
    try:
        setup: Any = import_module("django").setup  # Django is a dependency of the project, not ours
        setup()
        database: Any = import_module("django.db")
    except Exception as error:
        return _refuse(f"Django could not be set up: {type(error).__name__}: {error}")
    from sessionward.backends.django.completeness import mark_incomplete
    from sessionward.backends.django.filling import fill
    from sessionward.backends.django.store import store_of
    from sessionward.errors import SessionwardError

    try:
        store = store_of()
        if not store.listable:
            print("The sessions of this cache cannot be listed, so there is nothing to do: sessionward notes each at its first request.")
            return 0
        if incomplete:
            mark_incomplete(store)
            print("The index is marked as incomplete: sessionward reads all sessions to find those of a user.")
            return 0
        bar = Bar(store.count(), sys.stderr)
        total = fill(store, batch=batch, progress=bar)
    except SessionwardError as error:
        return _refuse(str(error), code=1)
    except (database.OperationalError, database.ProgrammingError) as error:  # the messages of these quote no values
        return _refuse(f"Django's database failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}", code=1)
    bar.end()
    print(f"Read {total} sessions; the index is complete.")
    return 0


def _refuse(why: str, *, code: int = 2) -> int:
    print(f"sessionward: {why}", file=sys.stderr)
    return code


class Bar:
    """Shows the progress: a bar on a terminal, and a line every two seconds elsewhere."""

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float] = monotonic) -> None:
        self._total = max(1, total)
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._done = 0
        self._next = clock()

    def __call__(self, more: int) -> None:
        """Adds the number of sessions that have been read since the last call."""
        self._done += more
        if self._clock() >= self._next:
            self._show()

    def end(self) -> None:
        """Shows the last state."""
        self._show()
        if self._live:
            self._stream.write("\n")

    def _show(self) -> None:
        self._next = self._clock() + (PAUSE if self._live else 10 * PAUSE)
        part = min(1.0, self._done / self._total)
        filled = int(part * WIDTH)
        line = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {part:4.0%} {self._done}"
        self._stream.write(f"\r{line}" if self._live else f"{line}\n")
        self._stream.flush()
