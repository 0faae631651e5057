"""Tells the failure of a backend whose tables are missing from its other failures."""

from __future__ import annotations

from typing import Final

from sessionward.errors import ConfigurationError

MISSING: Final = "our tables are missing"
WAY_OUT: Final = "start once with create-tables, or create them by a migration"
_SAID_BY_BACKENDS: Final = "the tables of sessionward are missing"


def are_missing(failed: BaseException) -> bool:
    """Returns whether a backend has failed since its tables are missing."""
    return isinstance(failed, ConfigurationError) and any(mistake.startswith(_SAID_BY_BACKENDS) for mistake in failed.mistakes)
