"""The contract in memory."""

from __future__ import annotations

import pytest

from sessionward.testing import CompanionsContract, QuietContract
from tests.contract.memory import MemoryWorld
from tests.contract.signs_in import SignsInContract


class TestMemory(QuietContract, SignsInContract, CompanionsContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
