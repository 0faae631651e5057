"""The contract in memory."""

from __future__ import annotations

import pytest

from tests.contract.signs_in import SignsInContract
from tests.contract.world import MemoryWorld


class TestMemory(SignsInContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()
