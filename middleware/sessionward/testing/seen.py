"""The contract of ``note_seen``: a use is recorded now and then, moves the end of a session, and never revives one."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import pytest

from sessionward.errors import SessionRevoked
from sessionward.session.session import Session
from sessionward.session.use import SEEN_PAUSE, TOO_LATE
from sessionward.testing.bridge import together
from sessionward.testing.world import Client, LoginWorld

IDLE = 900.0
"""Seconds."""
LASTS = 86_400.0
CLOSE = 5.0
"""Seconds that a slow machine may take between two calls."""


def used(world: LoginWorld, *clients: Client, idle: float | None = IDLE, ago: float = 0.0) -> list[float | None]:
    """Records a use of each session, ``ago`` seconds back. Returns in how many seconds each is due again, None for one not live."""
    due = world.sessions.note_seen([client.session for client in clients], idle, lambda: ago)
    return [due.get(client.session.id) for client in clients]


def between(earlier: datetime | None, later: datetime | None) -> float:
    assert earlier is not None
    assert later is not None
    return (later - earlier).total_seconds()


def left(session: Session) -> float:
    """The seconds from the last recorded use to the end."""
    return between(session.last_seen_at, session.expires_at)


class SeenContract:
    """The tests for a backend with ``note_seen``. A second base, with the fixture of ``LoginContract``."""

    # --- the record

    def test_a_use_is_recorded_once_in_each_pause(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS)
        world.pass_time(SEEN_PAUSE + 10)
        assert used(world, client, idle=None) == [SEEN_PAUSE]
        first = world.found(client)
        assert between(first.issued_at, first.last_seen_at) == pytest.approx(SEEN_PAUSE + 10, abs=CLOSE)
        world.pass_time(SEEN_PAUSE - 20)
        (due,) = used(world, client, idle=None)
        assert due == pytest.approx(20, abs=CLOSE)
        world.pass_time(20 + CLOSE)
        assert used(world, client, idle=None) == [SEEN_PAUSE]

    def test_without_an_idle_limit_the_end_stays(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS)
        world.pass_time(600)
        used(world, client, idle=None)
        after = world.found(client)
        assert after.ends_at is None
        assert between(after.issued_at, after.expires_at) == pytest.approx(LASTS, abs=0.001)

    def test_a_record_in_the_future_is_made_anew(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS)
        world.pass_time(600)
        used(world, client)
        world.pass_time(-300)  # the clock was set back
        assert used(world, client) == [SEEN_PAUSE]
        assert left(world.found(client)) == pytest.approx(IDLE, abs=0.001)

    def test_any_number_is_recorded_and_what_is_unknown_is_not(self, world: LoginWorld) -> None:
        clients = [world.login(f"user {number % 7}", lasts=LASTS) for number in range(25)]
        gone = world.login("eve", lasts=LASTS)
        world.log_out(gone)
        world.pass_time(600)
        assert world.sessions.note_seen([], IDLE) == {}
        assert used(world, *clients, gone, *clients[:3]) == [SEEN_PAUSE] * 25 + [None] + [SEEN_PAUSE] * 3
        assert all(left(world.found(client)) == pytest.approx(IDLE, abs=0.001) for client in clients)

    def test_p8_a_use_is_that_of_one_session(self, world: LoginWorld) -> None:
        client, other, bob = world.login(lasts=LASTS), world.login(lasts=LASTS), world.login("bob", lasts=LASTS)
        before = [world.found(other), world.found(bob)]
        world.pass_time(600)
        used(world, client)
        now = [world.found(other), world.found(bob)]
        assert [left(session) for session in now] == [left(session) for session in before]

    def test_a_use_counts_from_when_it_was_not_from_when_it_is_recorded(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS, idle=IDLE)
        world.pass_time(SEEN_PAUSE + 10)
        assert used(world, client, ago=4.0) == [SEEN_PAUSE - 4.0]
        found = world.found(client)
        assert between(found.issued_at, found.last_seen_at) == pytest.approx(SEEN_PAUSE + 6, abs=1)
        assert left(found) == pytest.approx(IDLE, abs=0.001)
        world.pass_time(SEEN_PAUSE - 2)
        assert used(world, client, ago=6.0) == [0.0], "a minute after the record, but the use was before that"
        after = world.found(client)
        assert between(after.issued_at, after.last_seen_at) == between(found.issued_at, found.last_seen_at)
        (due,) = used(world, client)
        assert due == SEEN_PAUSE

    def test_a_use_from_before_the_last_record_moves_nothing_back(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS, idle=IDLE)
        world.pass_time(100)
        used(world, client)
        found = world.found(client)
        (due,) = used(world, client, ago=5.0)
        assert due == pytest.approx(SEEN_PAUSE, abs=CLOSE)
        assert world.found(client) == found

    # --- the idle limit

    def test_a_session_that_is_not_used_ends_at_the_idle_limit(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS, idle=IDLE)
        assert left(world.found(client)) == pytest.approx(IDLE, abs=0.001)
        world.pass_time(IDLE - CLOSE)
        assert world.lives(client) == [True]
        world.pass_time(CLOSE + 1)
        assert world.lives(client) == [False]
        assert list(world.sessions.list("ann")) == []

    def test_what_login_returns_has_both_ends(self, world: LoginWorld) -> None:
        session = world.login(lasts=LASTS, idle=IDLE).session
        assert between(session.issued_at, session.expires_at) == pytest.approx(IDLE, abs=0.001)
        assert between(session.issued_at, session.ends_at) == pytest.approx(LASTS, abs=0.001)
        short = world.login(lasts=60.0, idle=IDLE).session
        assert short.expires_at == short.ends_at

    def test_a_use_moves_the_end(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS, idle=IDLE)
        for _ in range(5):
            world.pass_time(IDLE - 60)
            assert used(world, client) == [SEEN_PAUSE]
        assert left(world.found(client)) == pytest.approx(IDLE, abs=0.001)
        world.pass_time(IDLE + 1)
        assert world.lives(client) == [False]

    def test_the_absolute_end_wins(self, world: LoginWorld) -> None:
        client = world.login(lasts=IDLE * 2, idle=IDLE)
        for _ in range(2):
            world.pass_time(IDLE - 60)
            used(world, client)
        found = world.found(client)
        assert found.expires_at == found.ends_at
        world.pass_time(121)
        assert world.lives(client) == [False]

    def test_a_session_from_before_the_limit_has_it_from_its_first_use_on(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS)
        world.pass_time(IDLE * 2)
        assert used(world, client) == [SEEN_PAUSE]
        found = world.found(client)
        assert left(found) == pytest.approx(IDLE, abs=0.001)
        assert between(found.issued_at, found.ends_at) == pytest.approx(LASTS, abs=0.001)

    def test_whoever_knows_no_limit_does_not_move_the_end(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS, idle=IDLE)
        world.pass_time(300)
        assert used(world, client, idle=None) == [SEEN_PAUSE]
        found = world.found(client)
        assert between(found.issued_at, found.expires_at) == pytest.approx(IDLE, abs=0.001)
        world.pass_time(IDLE - 299)
        assert world.lives(client) == [False]

    def test_a_short_limit_is_recorded_at_each_tenth(self, world: LoginWorld) -> None:
        client = world.login(lasts=LASTS, idle=120.0)
        world.pass_time(12.5)
        assert used(world, client, idle=120.0) == [12.0]
        assert left(world.found(client)) == pytest.approx(120.0, abs=0.001)

    # --- what is not live stays so

    @pytest.mark.parametrize("end", ["revoked with the others", "logged out", "idle", "expired"])
    def test_p6_a_late_use_revives_nobody(self, world: LoginWorld, end: str) -> None:
        client, other = world.login(lasts=3 * IDLE, idle=IDLE), world.login(lasts=LASTS)
        world.pass_time(70)
        if end == "revoked with the others":
            world.sessions.revoke_others(other.session)
        elif end == "logged out":
            world.log_out(client)
        else:
            world.pass_time(IDLE if end == "idle" else 3 * IDLE)
        for idle in (None, IDLE, LASTS):
            assert used(world, client, idle=idle) == [None]
            assert world.lives(client) == [False]

    def test_p6_a_session_that_ends_at_once_is_left_alone(self, world: LoginWorld) -> None:
        """The record could be committed after a check has read that the session has expired."""
        client = world.login(lasts=LASTS, idle=120.0)
        world.pass_time(120 - TOO_LATE + 1)
        assert used(world, client, idle=120.0) == [0.0]
        world.pass_time(TOO_LATE)
        assert world.lives(client) == [False]

    def test_p5_a_session_that_was_not_used_is_not_counted(self, world: LoginWorld) -> None:
        own, _idle = world.login(lasts=LASTS), world.login(lasts=LASTS, idle=IDLE)
        world.pass_time(IDLE + 1)
        assert world.sessions.revoke_others(own.session) == 0

    def test_p2_a_session_that_was_not_used_revokes_nobody(self, world: LoginWorld) -> None:
        own, other = world.login(lasts=LASTS, idle=IDLE), world.login(lasts=LASTS)
        world.pass_time(IDLE + 1)
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(own.session)
        assert world.lives(other) == [True]

    def test_p1_of_uses_and_a_revocation_at_once_the_revocation_wins(self, world: LoginWorld) -> None:
        for _ in range(5):
            own, *others = [world.login(generation=world.sessions.begin_login("ann"), lasts=LASTS, idle=IDLE) for _ in range(4)]
            world.pass_time(100)
            answers = together(partial(world.sessions.revoke_others, own.session), *[partial(used, world, *others)] * 3)
            assert answers[0] == 3
            assert not any(world.lives(*others))
            assert used(world, *others) == [None] * 3
            world.sessions.revoke_all("ann")

    def test_purge_keeps_what_ended_for_want_of_use_until_its_absolute_end(self, world: LoginWorld) -> None:
        world.login(lasts=2 * LASTS, idle=IDLE)
        world.pass_time(LASTS)
        assert world.sessions.purge(3600.0) == 0
        world.pass_time(LASTS + 7200.0)
        assert world.sessions.purge(3600.0) == 1

    # --- who goes first

    def test_the_limit_of_sessions_ends_the_one_used_longest_ago(self, world: LoginWorld) -> None:
        clients: list[Client] = []
        for _ in range(3):
            clients.append(world.login(generation=0, lasts=LASTS))
            world.pass_time(70)
        used(world, clients[0], idle=None)
        world.pass_time(70)
        new = world.login(generation=0, lasts=LASTS, max_sessions=3)
        assert world.lives(*clients, new) == [True, False, True, True]
