"""The contract in memory."""

from __future__ import annotations

import pytest

from sessionward.testing import CompanionsContract
from tests.contract.memory import MemoryWorld
from tests.contract.signs_in import SignsInContract


class TestMemory(SignsInContract, CompanionsContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
