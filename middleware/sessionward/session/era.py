"""The era of all sessions of an installation: a number that each session has from its sign-in, and that ends them all when it changes.

A restored backup, or a replica that lagged and was promoted, makes revoked sessions live again. The sessions of an earlier era are
not live, whatever their rows say. The number is random and not a counter: a restored counter would count to the same number again.
"""

from __future__ import annotations

import secrets
from typing import Final, Protocol

from sessionward.session.backend import AsyncBackend, Backend

NO_ERA: Final = 0
"""The era of an installation whose sessions were never ended all at once."""


def new_era() -> int:
    """Returns a random number of 62 bits, which no era before had. SQL keeps it as BIGINT."""
    return secrets.randbits(62) | 1


def in_era(era: int, generation: int) -> int:
    """Returns the generation of a user as callers see it, other than in any other era. In :data:`NO_ERA` it is the number itself."""
    return era << 32 | generation if era else generation


class SupportsEverybody(Backend, Protocol):
    """A backend that can end all sessions of all users at once."""

    def revoke_everybody(self) -> None:
        """Revokes all sessions of all users: begins a new era, also if there are no sessions.

        For each user, also for one that is unknown, this is a raise of the generation: a sign-in under way is refused (P3), and
        companions become compulsory. What was recorded of an application's sessions counts as revoked. A backend with leases
        returns only when no worker can still trust what it read before.
        """
        ...


class AsyncSupportsEverybody(AsyncBackend, Protocol):
    """Like :class:`SupportsEverybody`, but async."""

    async def revoke_everybody(self) -> None: ...
