"""The contract of backends over Redis."""

from __future__ import annotations

from sessionward.testing import (
    CompanionsContract,
    EverybodyCompanionsContract,
    EverybodyContract,
    EverybodyLeasesContract,
    LeasesContract,
    ManyContract,
    QuietContract,
    RefusingContract,
    SeenCompanionsContract,
    SeenContract,
    SessionAPIContract,
    TermsContract,
)
from tests.contract.signs_in import SignsInContract


class RedisContract(
    EverybodyContract,
    EverybodyLeasesContract,
    EverybodyCompanionsContract,
    LeasesContract,
    ManyContract,
    QuietContract,
    SeenContract,
    SeenCompanionsContract,
    SessionAPIContract,
    TermsContract,
    RefusingContract,
    CompanionsContract,
    SignsInContract,
):
    """Subclass it with ``is_async``; the fixture is in ``tests/backends/redis/conftest.py``."""
