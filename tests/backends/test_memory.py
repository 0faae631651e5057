"""The contract in memory."""

from __future__ import annotations

import pytest

from tests.contract.companions import CompanionsContract
from tests.contract.signs_in import SignsInContract
from tests.contract.world import MemoryWorld


class TestMemory(SignsInContract, CompanionsContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
