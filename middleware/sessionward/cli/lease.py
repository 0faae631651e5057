"""The command ``sessionward lease``: shows for how long the workers of a database trust an answer, or sets it."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from sessionward.cli.database import over

if TYPE_CHECKING:
    from sessionward.backends.redis import RedisBackend
    from sessionward.backends.sql import SQLBackend


def lease(database: str, seconds: float | None) -> int:
    """Shows the lease of a database: for how many seconds a worker trusts that a session is live, and a revocation waits.

    SECONDS: sets it, to 0 to 5, while workers run. After it was lowered, revocations wait for the longer one for another hour.
    """
    return over(database, lambda backend: _show(backend, seconds))


def _show(backend: SQLBackend | RedisBackend, seconds: float | None) -> int:
    if seconds is not None:
        backend.set_lease(seconds)
    found = backend.lease()
    if found.seconds == 0:
        print("The lease is 0: workers ask the database about every request.")
    else:
        print(f"The lease is {found.seconds:g} s: workers trust an answer for so long.")
    if found.former_until is not None:
        until = found.former_until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        print(f"Revocations wait for the former lease of {found.wait:g} s until {until}.")
    elif found.wait:
        print("Revocations wait for it before they answer.")
    return 0
