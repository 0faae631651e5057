"""What all backends demand of the numbers that they are given: of a timeout, the size of a pool, and the age of what is purged."""

from __future__ import annotations

from typing import Final

from sessionward.errors import Mistakes, UsageError
from sessionward.settings import MAX_TIMEOUT, seconds

MAX_AGE: Final = 1000 * 365.25 * 86_400.0
"""Seconds. The calendar of MariaDB begins with the year 1000."""


def checked(timeout: object, pool_size: object) -> tuple[float, int]:
    """Returns the timeout in seconds and the size of the pool. Raises :class:`ConfigurationError` that names all mistakes."""
    mistakes = Mistakes()
    bound = 0.0
    try:
        bound = seconds(timeout)
    except TypeError as error:
        mistakes.add([f"timeout: {error}"])
    else:
        if not 0 < bound <= MAX_TIMEOUT:
            mistakes.add([f"timeout: must be more than 0 and at most {MAX_TIMEOUT:g} seconds"])
    if type(pool_size) is not int or pool_size < 1:
        mistakes.add(["pool_size: must be at least 1"])
    mistakes.raise_any()
    assert isinstance(pool_size, int)
    return bound, pool_size


def purgeable_age(older_than: object) -> float:
    """Returns in seconds how long ago a session must have ended to be purged.

    Raises :class:`UsageError` for anything else: of a negative age, live sessions would be deleted.
    """
    try:
        age = seconds(older_than)
    except TypeError as wrong:
        raise UsageError(f"older_than {wrong}") from None
    if not 0 <= age <= MAX_AGE:  # nan is neither
        raise UsageError("older_than must be at least 0 seconds and at most 1000 years")
    return age
