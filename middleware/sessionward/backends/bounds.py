"""The two settings that all backends over a server have: how long a question may take, and how many run at once."""

from __future__ import annotations

from sessionward.errors import Mistakes
from sessionward.settings import MAX_TIMEOUT, seconds


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
