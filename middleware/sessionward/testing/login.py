"""The tests for backends that start sessions themselves, and keep their times and generations."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from sessionward.errors import SessionRevoked, StaleLogin
from sessionward.session.session import Session
from sessionward.testing.backend import BackendContract
from sessionward.testing.bounded import BoundedContract
from sessionward.testing.bridge import together
from sessionward.testing.fresh_login import LONG, REVOKED_BY, FreshLoginContract, revoke_by
from sessionward.testing.world import Client, LoginWorld

USERS = [
    pytest.param("ann", id="plain"),
    pytest.param("ann@example.org", id="an address"),
    pytest.param("Ünïcödé 用户 \N{GRINNING FACE}", id="unicode"),
    pytest.param("  ", id="blanks"),
    pytest.param("0", id="zero"),
    pytest.param("'; DROP TABLE sessionward_users; --", id="a piece of SQL"),
    pytest.param("%s ? :user $1 {now} \\", id="what drivers and templates replace"),
    pytest.param("x" * 255, id="255 letters"),
    pytest.param("é" * 127 + "x", id="255 bytes"),
    pytest.param("\N{GRINNING FACE}" * 63 + "xyz", id="255 bytes outside the basic plane"),
]
TRIPLETS = [
    pytest.param(["Bob", "bob", "bob "], id="case and blanks"),
    pytest.param([" bob", "bob", "bob  "], id="blanks"),
    pytest.param(["strasse", "straße", "STRASSE"], id="sharp s"),
    pytest.param(["e\N{COMBINING ACUTE ACCENT}", "é", "e"], id="accents"),
    pytest.param(["1", "01", "1.0"], id="numbers"),
    pytest.param(["x" * 255, "x" * 254, "x" * 254 + "y"], id="long ones"),
]


class LoginContract(FreshLoginContract, BoundedContract, BackendContract):
    """The tests for a backend with ``login``. Subclass it with a fixture ``world`` that returns a :class:`LoginWorld`."""

    # --- sessions and their times

    def test_a_session_has_an_id_of_its_own(self, world: LoginWorld) -> None:
        ids = {world.sign_in().session.id for _ in range(5)}
        assert len(ids) == 5
        assert all(isinstance(own, UUID) for own in ids)

    def test_times_are_aware_and_in_utc(self, world: LoginWorld) -> None:
        for session in (client := world.sign_in(lasts=7200.0)).session, world.found(client):
            for time in session.issued_at, session.authenticated_at, session.expires_at:
                assert time is not None
                assert time.utcoffset() == timedelta(0)
            assert session.issued_at == session.authenticated_at
            assert session.expires_at is not None
            assert session.issued_at is not None
            assert session.expires_at - session.issued_at == timedelta(seconds=7200)

    def test_login_answers_what_find_gives(self, world: LoginWorld) -> None:
        client = world.sign_in()
        assert world.found(client) == client.session

    def test_an_expired_session_is_not_found(self, world: LoginWorld) -> None:
        short, long = world.sign_in(lasts=60.0), world.sign_in(lasts=3600.0)
        world.pass_time(59)
        assert world.lives(short, long) == [True, True]
        world.pass_time(2)
        assert world.lives(short, long) == [False, True]

    @pytest.mark.parametrize("user", USERS)
    def test_a_user_id_comes_back_as_it_was(self, world: LoginWorld, user: str) -> None:
        own, other = world.sign_in(user), world.sign_in(user)
        assert world.found(own).user_id == own.session.user_id == user
        assert [session.user_id for session in world.sessions.list(user)] == [user, user]
        assert world.sessions.revoke_others(own.session) == 1
        assert world.sessions.revoke_all(user) == 1
        assert world.lives(own, other) == [False, False]
        assert world.sessions.begin_login(user) == 2

    @pytest.mark.parametrize("users", TRIPLETS)
    def test_p8_user_ids_are_compared_byte_for_byte(self, world: LoginWorld, users: list[str]) -> None:
        clients = [world.sign_in(user) for user in users for _ in range(2)]
        assert world.sessions.revoke_others(clients[0].session) == 1
        assert world.lives(*clients) == [True, False, True, True, True, True]
        assert world.sessions.revoke_all(users[1]) == 2
        assert world.lives(*clients) == [True, False, False, False, True, True]
        assert [world.sessions.begin_login(user) for user in users] == [1, 1, 0]
        assert [len(world.sessions.list(user)) for user in users] == [1, 0, 2]

    # --- revoke_others and revoke_all

    def test_p8_the_own_session_is_left_as_it_was(self, world: LoginWorld) -> None:
        own, _ = world.sign_in(), world.sign_in()
        before = world.found(own)
        world.pass_time(5)
        world.sessions.revoke_others(own.session)
        world.pass_time(-5)
        after = world.found(own)
        assert (after.id, after.user_id, after.generation) == (before.id, before.user_id, 1)
        assert after.issued_at == before.issued_at
        assert after.authenticated_at == before.authenticated_at
        assert after.expires_at == before.expires_at

    def test_p5_what_was_revoked_or_expired_before_is_not_counted(self, world: LoginWorld) -> None:
        own, _live, out, _short = world.sign_in(), world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
        world.log_out(out)
        world.pass_time(61)
        assert world.sessions.revoke_others(own.session) == 1

    def test_p5_revoke_all_counts_live_ones_only(self, world: LoginWorld) -> None:
        _live, out, _short = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
        world.log_out(out)
        world.pass_time(61)
        assert [world.sessions.revoke_all("ann"), world.sessions.revoke_all("ann")] == [1, 0]

    @pytest.mark.parametrize("everybody", [False, True], ids=["revoke_others", "revoke_all"])
    def test_p6_neither_revoked_nor_expired_sessions_return_when_the_clock_is_set_back(self, world: LoginWorld, everybody: bool) -> None:
        own, ended, expired = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
        world.pass_time(61)
        assert (world.sessions.revoke_all("ann") if everybody else world.sessions.revoke_others(own.session)) == (2 if everybody else 1)
        world.pass_time(-LONG)
        assert world.lives(own, ended, expired) == [not everybody, False, False]
        assert len(world.sessions.list("ann")) == (0 if everybody else 1)

    def test_p6_a_session_that_logged_out_or_was_replaced_does_not_return_when_the_clock_is_set_back(self, world: LoginWorld) -> None:
        out, replaced = world.sign_in(), world.sign_in()
        world.log_out(out)
        world.login(replaces=replaced)
        world.pass_time(-LONG)
        assert world.lives(out, replaced) == [False, False]

    @pytest.mark.parametrize("how", REVOKED_BY)
    def test_p2_a_session_that_is_not_live_revokes_nobody(self, world: LoginWorld, how: str) -> None:
        own, other = world.sign_in(lasts=60.0), world.sign_in()
        revoke_by(how, world, own, other)
        bystander = world.sign_in()
        generation = world.sessions.begin_login("ann")
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(own.session)
        assert world.lives(own, bystander) == [False, True]
        assert world.sessions.begin_login("ann") == generation

    def test_a_session_of_another_user_revokes_nobody(self, world: LoginWorld) -> None:
        ann, bob = world.sign_in("ann"), world.sign_in("bob")
        forged = Session(id=ann.session.id, user_id="bob")
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(forged)
        assert not world.sessions.revoke(forged.user_id, forged.id)
        assert world.lives(ann, bob) == [True, True]

    def test_each_revocation_of_others_and_of_all_raises_the_generation_of_this_user(self, world: LoginWorld) -> None:
        own, bob = world.sign_in("ann"), world.sign_in("bob")
        assert [world.sessions.begin_login("ann"), own.session.generation] == [0, 0]
        world.sessions.revoke_others(own.session)
        assert [world.sessions.begin_login("ann"), world.found(own).generation] == [1, 1]
        world.sessions.revoke_all("ann")
        assert [world.sessions.begin_login("ann"), world.sign_in("ann").session.generation] == [2, 2]
        assert [world.sessions.begin_login("bob"), world.found(bob).generation] == [0, 0]

    def test_a_revocation_returns_the_generation_that_it_set(self, world: LoginWorld) -> None:
        own = world.sign_in()
        assert getattr(world.sessions.revoke_others(own.session), "generation", None) == 1
        assert getattr(world.sessions.revoke_all("ann"), "generation", None) == world.sessions.begin_login("ann") == 2

    def test_p3_revoke_all_of_a_user_never_seen_refuses_logins_that_began_before(self, world: LoginWorld) -> None:
        before = world.sessions.begin_login("new")
        assert world.sessions.revoke_all("new") == 0
        assert world.sessions.begin_login("new") == before + 1
        world.pass_time(1)
        with pytest.raises(StaleLogin):
            world.login("new", age=2.0)
        with pytest.raises(StaleLogin):
            world.login("new", generation=before)
        assert list(world.sessions.list("new")) == []

    # --- revoke and begin_login

    def test_to_log_out_twice_is_to_log_out(self, world: LoginWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        assert [world.log_out(own), world.log_out(own)] == [
            True,
            False,
        ]
        assert world.lives(own, other) == [False, True]

    def test_an_expired_session_was_not_live_when_it_is_revoked(self, world: LoginWorld) -> None:
        own = world.sign_in(lasts=60.0)
        world.pass_time(61)
        assert world.log_out(own) is False

    def test_to_log_out_leaves_the_generation(self, world: LoginWorld) -> None:
        world.log_out(world.sign_in())
        assert world.sessions.begin_login("ann") == 0

    def test_begin_for_a_user_never_seen_is_zero_again_and_again(self, world: LoginWorld) -> None:
        assert [world.sessions.begin_login("nobody"), world.sessions.begin_login("nobody")] == [0, 0]

    # --- list and purge

    def test_the_newest_session_is_listed_first(self, world: LoginWorld) -> None:
        clients: list[Client] = []
        for _ in range(4):
            clients.append(world.sign_in())
            world.pass_time(1)
        assert [session.id for session in world.sessions.list("ann")] == [client.session.id for client in reversed(clients)]

    def test_only_live_sessions_of_the_user_are_listed(self, world: LoginWorld) -> None:
        own, out, _short, _bob = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0), world.sign_in("bob")
        world.log_out(out)
        world.pass_time(61)
        assert [session.id for session in world.sessions.list("ann")] == [own.session.id]
        assert list(world.sessions.list("nobody")) == []

    def test_purge_leaves_what_lives_and_forgets_no_generation(self, world: LoginWorld) -> None:
        own, _other, _short = world.sign_in(lasts=LONG), world.sign_in(), world.sign_in(lasts=60.0)
        world.sessions.revoke_others(own.session)
        world.pass_time(1000)
        world.sessions.purge(0.0)
        assert world.lives(own) == [True]
        assert world.sessions.begin_login("ann") == 1
        with pytest.raises(StaleLogin):
            world.login(generation=0)

    # --- several at once

    def test_p5_counts_add_up_whoever_revokes_what_at_once(self, world: LoginWorld) -> None:
        clients = [world.sign_in() for _ in range(9)]
        answers = together(
            *(partial(world.sessions.revoke_others, client.session) for client in clients[:3]),
            *(partial(world.log_out, client) for client in clients[3:6]),
            partial(world.sessions.revoke_all, "ann"),
        )
        ended = sum(answer for answer in answers if isinstance(answer, int))
        assert all(isinstance(answer, (int, SessionRevoked)) for answer in answers)
        assert ended == len(clients)
        assert not any(world.lives(*clients))

    def test_p10_a_login_at_the_moment_of_a_revocation_is_counted_or_lives_or_is_refused(self, world: LoginWorld) -> None:
        for _ in range(5):
            own = world.sign_in()
            before = world.sessions.begin_login("ann")
            counted, came = together(partial(world.sessions.revoke_others, own.session), partial(world.login, generation=before))
            if isinstance(came, Client):
                assert counted == 1
                assert world.lives(own, came) == [True, False]
            else:
                assert isinstance(came, StaleLogin)
                assert counted == 0
            world.sessions.revoke_all("ann")

    def test_of_renewals_of_one_session_at_once_exactly_one_is_taken(self, world: LoginWorld) -> None:
        own = world.sign_in()
        answers = together(*(lambda: world.login(replaces=own) for _ in range(4)))
        assert sorted(type(answer).__name__ for answer in answers) == ["Client", "StaleLogin", "StaleLogin", "StaleLogin"]
        assert len(world.sessions.list("ann")) == 1

    def test_two_users_who_take_over_each_others_browser_at_once_both_sign_in(self, world: LoginWorld) -> None:
        for _ in range(3):
            ann, bob = world.sign_in("ann"), world.sign_in("bob")
            came = together(
                partial(world.login, "bob", generation=0, replaces=ann), partial(world.login, "ann", generation=0, replaces=bob)
            )
            assert [client.session.user_id for client in came if isinstance(client, Client)] == ["bob", "ann"]
            assert world.lives(ann, bob) == [False, False]

    def test_first_sign_ins_of_a_user_at_once_all_succeed(self, world: LoginWorld) -> None:
        came = together(*(lambda: world.login("new", generation=0) for _ in range(6)))
        assert all(isinstance(client, Client) for client in came)
        assert len(world.sessions.list("new")) == 6
