"""The contract in memory."""

from __future__ import annotations

from threading import Thread

import pytest

from sessionward import SessionRevoked, StaleLogin
from sessionward.backends import Credential, NewSession, Session
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.memory.rows import KEPT, SWEEP_FROM, Row, Rows
from sessionward.credential.token import new_token
from sessionward.testing import (
    CompanionsContract,
    EverybodyCompanionsContract,
    EverybodyContract,
    ManyContract,
    QuietContract,
    RefusingContract,
    SeenCompanionsContract,
    SeenContract,
    SessionAPIContract,
    TermsContract,
)
from tests.contract.memory import MemoryWorld
from tests.contract.signs_in import SignsInContract


class TestMemory(
    ManyContract,
    QuietContract,
    SeenContract,
    SeenCompanionsContract,
    SessionAPIContract,
    TermsContract,
    SignsInContract,
    RefusingContract,
    CompanionsContract,
    EverybodyContract,
    EverybodyCompanionsContract,
):
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
    assert len(backend._rows.by_digest) < 2 * SWEEP_FROM
    assert len(backend._rows.revoked_app_sessions) < 2 * KEPT / 120 + 2 * SWEEP_FROM
    assert backend.is_revoked_app_session((20 * SWEEP_FROM - 1).to_bytes(32, "little"))


class LooksWithoutTheLock(MemoryBackend):
    """Does not ask whether a change is under way."""

    def find(self, credential: Credential, /) -> Session | None:
        return self._rows.find(credential, self._clock())


def seen_during_a_revocation(kind: type[MemoryBackend]) -> tuple[list[bool], list[bool]]:
    """What a thread reads while a call has revoked one of two sessions: before it was revoked, and then the other one."""

    class Interrupted(Rows):
        def forget(self, row: Row) -> None:
            Rows.forget(self, row)
            if not observers:
                observers.append(Thread(target=observe))
                observers[0].start()
                observers[0].join(0.2)  # it ends, if it does not wait for the change

    observers: list[Thread] = []
    seen: list[bool] = []
    backend = kind()
    backend._rows = Interrupted()
    clients = [Credential(new_token().encode()) for _ in range(2)]
    for client in clients:
        backend.login(NewSession(user_id="ann", digest=client.digest, lifetime=60.0))

    def observe() -> None:
        seen.extend(backend.find(client) is not None for client in clients)

    before = [backend.find(client) is not None for client in clients]
    assert backend.revoke_all("ann") == 2
    observers[0].join()
    return before, seen


def test_p10_a_check_sees_a_revocation_of_several_sessions_whole_or_not_at_all() -> None:
    assert seen_during_a_revocation(MemoryBackend) == ([True, True], [False, False])


def test_canary_a_check_that_does_not_ask_for_changes_sees_a_half() -> None:
    assert seen_during_a_revocation(LooksWithoutTheLock) == ([True, True], [False, True])


def test_a_change_that_is_refused_holds_up_no_check() -> None:
    backend = MemoryBackend()
    client = Credential(new_token().encode())
    session = backend.login(NewSession(user_id="ann", digest=client.digest, lifetime=60.0))
    backend.revoke_all("ann")
    for refused in (
        lambda: backend.revoke_others(session),
        lambda: backend.login(NewSession(user_id="ann", digest=b"", lifetime=1.0, generation=0)),
    ):
        with pytest.raises((SessionRevoked, StaleLogin)):
            refused()
        assert backend._changes_begun == backend._changes_ended
    assert backend.find(client) is None
