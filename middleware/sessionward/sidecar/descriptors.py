"""How many file descriptors this process may have open, and how many connections they allow."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

MOST: Final = 10_000
"""Connections of clients, unless --max-connections says more."""
ENOUGH: Final = 1 << 20
"""Descriptors. Containers may have a hard limit of a thousand times as many, and each costs memory in some programs."""
RESERVED: Final = 100
"""Descriptors for everything that is no connection of a client or to the upstream."""


def raise_descriptor_limit() -> None:
    """Raises the soft limit of this process to its hard limit, at most to :data:`ENOUGH`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY and hard < ENOUGH else ENOUGH
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(ValueError, OSError):  # the kernel allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_by_default(*, has_upstream: bool) -> int:
    """Returns how many connections of clients the limit of this process allows, at most :data:`MOST`.

    Each needs a descriptor, and with an upstream perhaps a second one.
    """
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return MOST
    return max(16, min(MOST, (soft - RESERVED) // (2 if has_upstream else 1)))
