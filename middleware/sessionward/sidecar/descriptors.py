"""How many file descriptors this process may have open, and how many connections they allow."""

from __future__ import annotations

import resource
from typing import Final

MOST: Final = 10_000
"""Connections of clients, unless --max-connections says more."""
RESERVED: Final = 100
"""Descriptors for everything that is no connection of a client or to the upstream."""


def raise_descriptor_limit() -> None:
    """Raises the soft limit of this process to its hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # an unlimited hard limit may exceed what the kernel allows
            return


def connections_by_default(*, has_upstream: bool) -> int:
    """Returns how many connections of clients the limit of this process allows, at most :data:`MOST`.

    Each needs a descriptor, and with an upstream perhaps a second one.
    """
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return MOST
    return max(16, min(MOST, (soft - RESERVED) // (2 if has_upstream else 1)))
