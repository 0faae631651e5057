"""The flow that drops what stopped being live long ago. Without it, too, sessions go: by their own end, and at later sign-ins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sessionward.backends.redis.call import Flow
from sessionward.backends.redis.layout import KEPT, Place
from sessionward.backends.redis.sweeping import sweep
from sessionward.backends.redis.together import together

AT_ONCE: Final = 100
"""How many users are searched at once."""


def purge(place: Place, keys: Sequence[bytes], older_than: float) -> Flow[int]:
    """Searches the users among these keys. Returns how many sessions it has dropped. Keeps those that ended within the last hour."""
    owners = [owner for key in keys if (owner := place.owner_of(key)) is not None]
    count = 0
    for start in range(0, len(owners), AT_ONCE):
        counts = yield from together([sweep(place, owner, older_than, KEPT) for owner in owners[start : start + AT_ONCE]])
        count += sum(counts)
    return count
