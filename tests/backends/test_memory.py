"""The contract in memory."""

from __future__ import annotations

import pytest

from sessionward.backends import NewSession
from sessionward.backends.memory import KEPT, SWEEP_FROM, MemoryBackend
from sessionward.testing import CompanionsContract, QuietContract
from tests.contract.memory import MemoryWorld
from tests.contract.signs_in import SignsInContract


class TestMemory(QuietContract, SignsInContract, CompanionsContract):
    @pytest.fixture
    def world(self) -> MemoryWorld:
        return MemoryWorld()


def test_memory_does_not_grow_with_sessions_that_have_expired() -> None:
    now = [1_000_000.0]
    backend = MemoryBackend(clock=lambda: now[0])
    for number in range(20 * SWEEP_FROM):
        now[0] += 60.0
        new = NewSession(
            user_id=f"user {number % 7}", digest=number.to_bytes(32), lifetime=600.0, app_session=number.to_bytes(32, "little")
        )
        session = backend.login(new)
        if number % 2:
            backend.revoke(session.user_id, session.id)
    assert len(backend._by_digest) < 2 * SWEEP_FROM
    assert len(backend._revoked_app_sessions) < 2 * KEPT / 120 + 2 * SWEEP_FROM
    assert backend.is_revoked_app_session((20 * SWEEP_FROM - 1).to_bytes(32, "little"))
