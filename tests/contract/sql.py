"""The contract of backends over SQL: what stays in the tables, and what a database that fails half-way leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text, update

from sessionward import BackendUnavailable, Session, SessionRevoked
from sessionward.backends import Device, NewSession, Position, RateLimited, SignInTooOld, Terms
from sessionward.credential.token import Credential, new_token
from sessionward.lease import WAITED
from sessionward.session.session import ANY_TERMS
from sessionward.testing import (
    LeasesContract,
    ManyContract,
    QuietContract,
    RefusingContract,
    SeenContract,
    SessionAPIContract,
    TermsContract,
)
from sessionward.testing.leases import SHORT, waited
from tests.contract.later import Later, until
from tests.contract.signs_in import SignsInContract
from tests.contract.sql_everybody import SQLEverybodyContract
from tests.contract.sql_world import SESSIONS, SQLWorld


class SQLContract(
    LeasesContract,
    SQLEverybodyContract,
    ManyContract,
    QuietContract,
    SeenContract,
    SessionAPIContract,
    TermsContract,
    RefusingContract,
    SignsInContract,
):
    """Subclass it with a ``kind``; the fixture is in ``tests/backends/conftest.py``."""

    # --- what stays

    def test_rows_of_ended_sessions_stay_with_time_reason_and_author(self, world: SQLWorld) -> None:
        expired, out, barred, replaced, one, other, own = world.sign_in(lasts=60.0), *(world.sign_in() for _ in range(6))
        world.pass_time(61)
        renewed = world.login(replaces=replaced)
        world.sessions.revoke_own(out.session.user_id, out.session.id)
        world.sessions.revoke(barred.session.user_id, barred.session.id)
        world.sessions.revoke_one(own.session, one.session.id, ANY_TERMS)
        world.sessions.revoke_others(own.session)
        world.sessions.revoke_all("ann")
        rows = {row["id"]: row for row in world.rows()}
        kept = {client: rows[world.id(client.session)] for client in (expired, out, barred, replaced, one, other, renewed, own)}
        assert [row["reason"] for row in kept.values()] == ["expired", "logout", "one", "replaced", "one", "others", "others", "all"]
        authors = [None, out, None, renewed, own, own, own, None]
        assert [row["ended_by"] for row in kept.values()] == [None if author is None else world.id(author.session) for author in authors]
        assert all(_just_now(row["ended_at"]) for row in kept.values())
        assert len(rows) == len(kept)

    def test_a_row_keeps_what_the_login_brought(self, world: SQLWorld) -> None:
        client = world.sign_in(lasts=7200.0)
        row = world.row(client.session)
        assert row["user_id"] == world.key("ann")
        assert row["digest"] == client.credential.digest
        assert (row["methods"], row["ip_address"], row["user_agent"]) == ("password totp", "192.0.2.7", "a browser")
        assert row["issued_at"] == row["authenticated_at"] == row["last_seen_at"] == row["expires_at"] - timedelta(seconds=7200)
        assert _just_now(row["issued_at"])
        assert [row[name] for name in ("ended_at", "ended_by", "reason", "app_session", "allowed_at", "kind", "actor")] == [None] * 7

    def test_a_row_says_who_acts_as_the_user(self, world: SQLWorld) -> None:
        client = world.login(kind="impersonation", actor="röot")
        row = world.row(client.session)
        assert (row["kind"], row["actor"]) == ("impersonation", world.key("röot"))

    def test_what_is_too_long_for_a_row_is_cut_alike_in_the_answer_and_in_the_row(self, world: SQLWorld) -> None:
        long = NewSession(
            user_id="ann",
            digest=b"d" * 32,
            lifetime=60.0,
            device=Device(ip_address="1" * 65, user_agent="é" * 513),
            methods=["m" * 32 for _ in range(9)],
        )
        session = world.sessions.login(long)
        assert (len(session.ip_address or ""), len(session.user_agent or ""), len(" ".join(session.methods))) == (64, 512, 255)
        assert list(world.sessions.list("ann")) == [session]

    def test_the_token_is_nowhere(self, world: SQLWorld) -> None:
        client = world.sign_in()
        assert client.credential.reveal() not in str(world.everything())

    def test_begin_for_a_user_never_seen_writes_nothing(self, world: SQLWorld) -> None:
        assert world.sessions.begin_login("nobody") == 0
        assert world.sessions.find(Credential(new_token().encode())) is None
        assert list(world.sessions.list("nobody")) == []
        assert world.everything() == ([], [])

    def test_p3_the_raise_is_noted_by_the_clock_of_the_database(self, world: SQLWorld) -> None:
        world.sessions.revoke_all("ann")
        ((user,), _) = world.everything()
        assert (user["user_id"], user["generation"], bool(user["companion_required"])) == (world.key("ann"), 1, True)
        assert _just_now(user["revoked_at"])

    def test_p8_end_others_touches_no_other_row(self, world: SQLWorld) -> None:
        own, out, bob = world.sign_in(), world.sign_in(), world.sign_in("bob")
        world.sessions.revoke(out.session.user_id, out.session.id)
        world.sign_in()
        before = [world.row(client.session) for client in (own, out, bob)]
        world.sessions.revoke_others(own.session)
        assert [world.row(client.session) for client in (own, out, bob)] == before

    def test_a_session_whose_row_says_that_it_ended_is_not_found(self, world: SQLWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        with world.safe.begin() as connection:
            row = world.row(other.session)
            connection.execute(update(SESSIONS).where(SESSIONS.c.id == row["id"]).values(ended_at=row["issued_at"]))
        assert world.lives(own, other) == [True, False]
        assert world.sessions.revoke_others(own.session) == 0

    # --- the list

    @pytest.mark.parametrize("apart", [0, 1], ids=["at the same time", "a microsecond apart"])
    def test_sessions_that_began_at_almost_one_time_are_each_on_one_page(self, world: SQLWorld, apart: int) -> None:
        clients = [world.sign_in() for _ in range(6)]
        began = world.row(clients[0].session)["issued_at"].replace(microsecond=999_990)
        with world.safe.begin() as connection:
            for number, client in enumerate(clients):
                at = began + timedelta(microseconds=number * apart)
                connection.execute(update(SESSIONS).where(SESSIONS.c.id == world.id(client.session)).values(issued_at=at))
        found: list[Session] = []
        for _ in clients:
            place = Position(found[-1].issued_at, found[-1].id) if found else None
            found += world.sessions.list("ann", after=place, limit=1)
        places = [Position.of(session) for session in found]
        assert places == sorted(set(places), reverse=True)
        assert {session.id for session in found} == {client.session.id for client in clients}
        assert list(world.sessions.list("ann", after=places[-1])) == []

    def test_the_number_of_sessions_and_the_rows_are_of_one_moment(self, world: SQLWorld) -> None:
        """Five live all the time, one of them a new one again and again."""
        clients = [world.sign_in() for _ in range(5)]
        done: list[bool] = []

        def renew() -> None:
            for _ in range(40):
                clients[0] = world.login(replaces=clients[0])
            done.append(True)

        thread = Thread(target=renew)
        thread.start()
        seen: set[tuple[int, int]] = set()
        while thread.is_alive():
            listed = world.sessions.list("ann")
            seen.add((len(listed), listed.total))
        thread.join()
        assert (done, seen) == ([True], {(5, 5)})

    def test_a_revocation_of_one_waits_for_the_lease(self, world: SQLWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        world.sessions.set_lease(SHORT)
        for call in (
            lambda: world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS),
            lambda: world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS),  # the repeat of one that did not wait
            lambda: _raises(SessionRevoked, lambda: world.sessions.revoke_one(other.session, own.session.id, ANY_TERMS)),
        ):
            assert waited(call) >= WAITED * SHORT

    # --- a backend that fails half-way

    @pytest.mark.parametrize("point", ["marking the live ones", "marking the expired ones", "raising the generation"])
    @pytest.mark.parametrize("everybody", [False, True], ids=["revoke_others", "revoke_all"])
    def test_p4_an_end_that_fails_changes_nothing_and_a_repeat_completes_it(self, world: SQLWorld, point: str, everybody: bool) -> None:
        own, *others, _short = world.sign_in(), world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
        world.pass_time(61)
        before = world.everything()

        def question() -> int:
            count: int = world.sessions.revoke_all("ann") if everybody else world.sessions.revoke_others(own.session)
            return count

        with world.failing(point), pytest.raises(BackendUnavailable):
            question()
        assert world.everything() == before
        assert not world.is_locked()
        assert question() == 2 + everybody
        assert world.lives(own, *others) == [not everybody, False, False]

    @pytest.mark.parametrize("point", ["marking the live ones", "adding the session"])
    def test_p4_a_login_that_fails_leaves_the_session_that_it_replaces(self, world: SQLWorld, point: str) -> None:
        own = world.sign_in()
        before = world.everything()
        with world.failing(point), pytest.raises(BackendUnavailable):
            world.login(replaces=own)
        assert world.everything() == before
        assert not world.is_locked()
        assert world.lives(world.login(replaces=own), own) == [True, False]

    def test_p4_a_logout_that_fails_leaves_the_session(self, world: SQLWorld) -> None:
        own = world.sign_in()
        with world.failing("marking the live ones"), pytest.raises(BackendUnavailable):
            world.sessions.revoke(own.session.user_id, own.session.id)
        assert world.lives(own) == [True]
        assert world.sessions.revoke(own.session.user_id, own.session.id)

    def test_p4_a_revocation_of_one_that_fails_changes_nothing_and_spends_nothing(self, world: SQLWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        before, once = world.everything(), Terms(rate_limit=1)
        with world.failing("marking the live ones"), pytest.raises(BackendUnavailable):
            world.sessions.revoke_one(own.session, other.session.id, once)
        assert world.everything() == before
        assert not world.is_locked()
        assert world.sessions.revoke_one(own.session, other.session.id, once) is True

    @pytest.mark.parametrize("point", ["marking the live ones", "raising the generation"])
    def test_p4_a_call_of_the_endpoint_that_fails_spends_nothing(self, world: SQLWorld, point: str) -> None:
        own, _ = world.sign_in(), world.sign_in()
        before, once = world.everything(), Terms(rate_limit=1)
        with world.failing(point), pytest.raises(BackendUnavailable):
            world.sessions.revoke_others_quietly(own.session, once)
        assert world.everything() == before
        assert world.sessions.revoke_others_quietly(own.session, once) == 1

    def test_p4_a_call_beyond_the_rate_is_rolled_back(self, world: SQLWorld) -> None:
        """What it has revoked under the lock, it has not revoked."""
        own, once = world.sign_in(), Terms(rate_limit=1)
        world.sign_in()
        world.sessions.revoke_others_quietly(own.session, once)
        other = world.sign_in()
        before = world.everything()
        _raises(RateLimited, lambda: world.sessions.revoke_others_quietly(own.session, once))
        _raises(RateLimited, lambda: world.sessions.revoke_one(own.session, other.session.id, once))
        assert (world.everything(), world.is_locked()) == (before, False)

    def test_p7_a_failure_tells_nothing_of_what_was_asked(self, world: SQLWorld) -> None:
        own, _ = world.sign_in(), world.sign_in()
        with world.failing("marking the live ones"), pytest.raises(BackendUnavailable) as caught:
            world.sessions.revoke_others(own.session)
        shown = f"{caught.value} {caught.value!r}"
        assert not [word for word in ("UPDATE", "sessionward_sessions", "refused", str(own.session.id), "ann") if word in shown]

    # --- what is decided under the lock

    def test_p2_a_call_that_waited_for_the_lock_sees_that_its_session_has_ended(self, world: SQLWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        with world.hold() as connection:
            asked = Later(lambda: world.sessions.revoke_others(own.session))
            until(world.somebody_waits)
            ended = update(SESSIONS).where(SESSIONS.c.id == world.id(own.session)).values(ended_at=datetime.now(UTC).replace(tzinfo=None))
            connection.execute(ended)
            connection.execute(text("COMMIT")) if world.kind.database == "sqlite" else connection.commit()
        assert isinstance(asked.answer(), SessionRevoked)
        assert world.lives(own, other) == [False, True]

    def test_p3_the_age_of_a_login_is_asked_under_the_lock(self, world: SQLWorld) -> None:
        world.sessions.revoke_all("ann")
        world.pass_time(10)
        locked: list[bool] = []

        def age() -> float:
            locked.append(world.is_locked())
            return 1.0

        assert world.lives(world.login(age=age)) == [True]
        assert locked == [True]

    def test_p2_revoke_one_takes_the_second_look_under_the_lock(self, world: SQLWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        with world.hold() as connection:
            asked = Later(lambda: world.sessions.revoke_one(own.session, other.session.id, ANY_TERMS))
            until(world.somebody_waits)
            ended = update(SESSIONS).where(SESSIONS.c.id == world.id(own.session)).values(ended_at=datetime.now(UTC).replace(tzinfo=None))
            connection.execute(ended)
            connection.execute(text("COMMIT")) if world.kind.database == "sqlite" else connection.commit()
        assert isinstance(asked.answer(), SessionRevoked)
        assert world.lives(own, other) == [False, True]

    def test_p8_no_question_leaves_a_lock_behind(self, world: SQLWorld) -> None:
        own, other, third = world.sign_in(), world.sign_in(), world.sign_in()
        locked = []
        for question in (
            lambda: world.sessions.find(own.credential),
            lambda: world.sessions.revoke_one(own.session, third.session.id, Terms(rate_limit=1)),
            lambda: _raises(RateLimited, lambda: world.sessions.revoke_one(own.session, other.session.id, Terms(rate_limit=1))),
            lambda: _raises(RateLimited, lambda: world.sessions.revoke_others_quietly(own.session, Terms(rate_limit=1))),
            lambda: world.sessions.revoke_others(own.session),
            lambda: _raises(SessionRevoked, lambda: world.sessions.revoke_others(other.session)),
            lambda: _raises(SignInTooOld, lambda: world.sessions.revoke_others_quietly(own.session, Terms(recent=0.0))),
            lambda: _raises(SessionRevoked, lambda: world.sessions.revoke_one(other.session, own.session.id, ANY_TERMS)),
            lambda: world.login(replaces=own),
            lambda: world.sessions.revoke(own.session.user_id, own.session.id),
            lambda: world.sessions.revoke_all("ann"),
            lambda: world.sessions.begin_login("ann"),
            lambda: world.sessions.list("ann"),
            lambda: world.sessions.purge(0.0),
        ):
            question()
            locked.append(world.is_locked())
        assert locked == [False] * 14

    def test_p8_a_user_whose_row_is_locked_holds_up_nobody_else(self, world: SQLWorld) -> None:
        ann, bob, other = world.sign_in("ann"), world.sign_in("bob"), world.sign_in("bob")
        with world.hold("ann"):
            assert world.lives(ann, bob, other) == [True, True, True]
            if world.kind.database != "sqlite":  # which has one lock for all that is written
                assert world.sessions.revoke_others(bob.session) == 1
                assert world.lives(bob, other, world.sign_in("bob")) == [True, False, True]


def _raises(kind: type[Exception], call: Any) -> None:
    with pytest.raises(kind):
        call()


def _just_now(time: datetime) -> bool:
    """Whether a time of a row is that of the last two minutes, or a moment ahead."""
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return timedelta(seconds=-60) < datetime.now(UTC) - aware < timedelta(seconds=120)
