"""The contract of backends that own their sessions: they start them, and keep times and generations (way 1)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from sessionward import Session, SessionRevoked, StaleLogin, UsageError
from tests.contract.bridge import together
from tests.contract.doors import signed_in_through_the_door
from tests.contract.required import Contract
from tests.contract.world import Client, SignsInWorld

LONG = 86_400.0
"""Seconds: longer than any request has been on its way."""

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
NO_USERS = [
    pytest.param("", id="empty"),
    pytest.param("x" * 256, id="256 letters"),
    pytest.param("é" * 128, id="256 bytes"),
    pytest.param("a\x00b", id="NUL"),
    pytest.param("a\nb", id="line feed"),
    pytest.param("a\x7fb", id="DEL"),
    pytest.param("a\x85b", id="a control character beyond ASCII"),
    pytest.param("\ud800", id="half a surrogate pair"),
    pytest.param(None, id="None"),
    pytest.param(True, id="a truth value"),
    pytest.param(b"ann", id="bytes"),
    pytest.param(1.5, id="a float"),
]


class SignsInContract(Contract):
    """Subclass it with a fixture ``world`` that can let time pass."""

    # --- sessions and their times

    def test_a_session_has_an_id_of_its_own(self, world: SignsInWorld) -> None:
        ids = {world.sign_in().session.id for _ in range(5)}
        assert len(ids) == 5
        assert all(isinstance(own, UUID) for own in ids)

    def test_times_are_aware_and_in_utc(self, world: SignsInWorld) -> None:
        for session in (client := world.sign_in(lasts=7200.0)).session, world.found(client):
            for time in session.issued_at, session.authenticated_at, session.expires_at:
                assert time is not None
                assert time.utcoffset() == timedelta(0)
            assert session.issued_at == session.authenticated_at
            assert session.expires_at is not None
            assert session.issued_at is not None
            assert session.expires_at - session.issued_at == timedelta(seconds=7200)

    def test_login_answers_what_find_gives(self, world: SignsInWorld) -> None:
        client = world.sign_in()
        assert world.found(client) == client.session

    def test_an_expired_session_is_not_found(self, world: SignsInWorld) -> None:
        short, long = world.sign_in(lasts=60.0), world.sign_in(lasts=3600.0)
        world.pass_time(59)
        assert world.lives(short, long) == [True, True]
        world.pass_time(2)
        assert world.lives(short, long) == [False, True]

    @pytest.mark.parametrize("user", USERS)
    def test_a_user_id_comes_back_as_it_was(self, world: SignsInWorld, user: str) -> None:
        own, other = world.sign_in(user), world.sign_in(user)
        assert world.found(own).user_id == own.session.user_id == user
        assert [session.user_id for session in world.sessions.list(user)] == [user, user]
        assert world.sessions.revoke_others(own.session) == 1
        assert world.sessions.revoke_all(user) == 1
        assert world.lives(own, other) == [False, False]
        assert world.sessions.begin_login(user) == 2

    @pytest.mark.parametrize("users", TRIPLETS)
    def test_p8_user_ids_are_compared_byte_for_byte(self, world: SignsInWorld, users: list[str]) -> None:
        clients = [world.sign_in(user) for user in users for _ in range(2)]
        assert world.sessions.revoke_others(clients[0].session) == 1
        assert world.lives(*clients) == [True, False, True, True, True, True]
        assert world.sessions.revoke_all(users[1]) == 2
        assert world.lives(*clients) == [True, False, False, False, True, True]
        assert [world.sessions.begin_login(user) for user in users] == [1, 1, 0]
        assert [len(world.sessions.list(user)) for user in users] == [1, 0, 2]

    @pytest.mark.parametrize("user", [7, 2**63, -1], ids=["small", "big", "less than zero"])
    def test_through_the_door_an_int_is_kept_as_its_text(self, world: SignsInWorld, user: int) -> None:
        assert signed_in_through_the_door(world, user) is None
        assert [session.user_id for session in world.sessions.list(str(user))] == [str(user)]

    def test_through_the_door_a_uuid_is_kept_as_its_text(self, world: SignsInWorld) -> None:
        user = UUID("0A1B2C3D-0000-4000-8000-00000000000F")
        assert signed_in_through_the_door(world, user) is None
        assert [session.user_id for session in world.sessions.list("0a1b2c3d-0000-4000-8000-00000000000f")] == [str(user)]

    @pytest.mark.parametrize("user", NO_USERS)
    def test_what_is_no_user_id_is_refused(self, world: SignsInWorld, user: str) -> None:
        assert isinstance(signed_in_through_the_door(world, user), UsageError)
        for question in world.sessions.revoke_all, world.sessions.list:
            with pytest.raises(UsageError):
                question(user)

    # --- revoke_others and revoke_all

    def test_p8_the_own_session_is_left_as_it_was(self, world: SignsInWorld) -> None:
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

    def test_p5_what_was_ended_or_expired_before_is_not_counted(self, world: SignsInWorld) -> None:
        own, _live, out, _short = world.sign_in(), world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
        world.sessions.revoke(out.session.user_id, out.session.id)
        world.pass_time(61)
        assert world.sessions.revoke_others(own.session) == 1

    def test_p5_end_all_counts_live_ones_only(self, world: SignsInWorld) -> None:
        _live, out, _short = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
        world.sessions.revoke(out.session.user_id, out.session.id)
        world.pass_time(61)
        assert [world.sessions.revoke_all("ann"), world.sessions.revoke_all("ann")] == [1, 0]

    @pytest.mark.parametrize("everybody", [False, True], ids=["revoke_others", "revoke_all"])
    def test_p6_neither_ended_nor_expired_sessions_return_when_the_clock_is_set_back(self, world: SignsInWorld, everybody: bool) -> None:
        own, ended, expired = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
        world.pass_time(61)
        assert (world.sessions.revoke_all("ann") if everybody else world.sessions.revoke_others(own.session)) == (2 if everybody else 1)
        world.pass_time(-LONG)
        assert world.lives(own, ended, expired) == [not everybody, False, False]
        assert len(world.sessions.list("ann")) == (0 if everybody else 1)

    def test_p6_a_session_that_logged_out_or_was_replaced_does_not_return_when_the_clock_is_set_back(self, world: SignsInWorld) -> None:
        out, replaced = world.sign_in(), world.sign_in()
        world.sessions.revoke(out.session.user_id, out.session.id)
        world.login(replaces=replaced)
        world.pass_time(-LONG)
        assert world.lives(out, replaced) == [False, False]

    @pytest.mark.parametrize("how", ["ended by another", "all ended", "expired", "replaced", "logged out"])
    def test_p2_a_session_that_died_ends_nobody(self, world: SignsInWorld, how: str) -> None:
        own, other = world.sign_in(lasts=60.0), world.sign_in()
        self._kill(world, own, other, how)
        bystander = world.sign_in()
        generation = world.sessions.begin_login("ann")
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(own.session)
        assert world.lives(own, bystander) == [False, True]
        assert world.sessions.begin_login("ann") == generation

    def test_a_session_of_another_user_ends_nobody(self, world: SignsInWorld) -> None:
        ann, bob = world.sign_in("ann"), world.sign_in("bob")
        forged = Session(id=ann.session.id, user_id="bob")
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(forged)
        assert not world.sessions.revoke(forged.user_id, forged.id)
        assert world.lives(ann, bob) == [True, True]

    def test_each_end_of_others_and_of_all_raises_the_epoch_of_this_user(self, world: SignsInWorld) -> None:
        own, bob = world.sign_in("ann"), world.sign_in("bob")
        assert [world.sessions.begin_login("ann"), own.session.generation] == [0, 0]
        world.sessions.revoke_others(own.session)
        assert [world.sessions.begin_login("ann"), world.found(own).generation] == [1, 1]
        world.sessions.revoke_all("ann")
        assert [world.sessions.begin_login("ann"), world.sign_in("ann").session.generation] == [2, 2]
        assert [world.sessions.begin_login("bob"), world.found(bob).generation] == [0, 0]

    def test_what_ended_others_tells_the_epoch_that_it_set(self, world: SignsInWorld) -> None:
        own = world.sign_in()
        assert getattr(world.sessions.revoke_others(own.session), "generation", None) == 1
        assert getattr(world.sessions.revoke_all("ann"), "generation", None) == world.sessions.begin_login("ann") == 2

    def test_p3_end_all_of_a_user_never_seen_refuses_logins_that_began_before(self, world: SignsInWorld) -> None:
        before = world.sessions.begin_login("new")
        assert world.sessions.revoke_all("new") == 0
        assert world.sessions.begin_login("new") == before + 1
        world.pass_time(1)
        with pytest.raises(StaleLogin):
            world.login("new", age=2.0)
        with pytest.raises(StaleLogin):
            world.login("new", generation=before)
        assert list(world.sessions.list("new")) == []

    # --- end and begin

    def test_to_log_out_twice_is_to_log_out(self, world: SignsInWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        assert [world.sessions.revoke(own.session.user_id, own.session.id), world.sessions.revoke(own.session.user_id, own.session.id)] == [
            True,
            False,
        ]
        assert world.lives(own, other) == [False, True]

    def test_an_expired_session_was_not_live_when_it_is_ended(self, world: SignsInWorld) -> None:
        own = world.sign_in(lasts=60.0)
        world.pass_time(61)
        assert world.sessions.revoke(own.session.user_id, own.session.id) is False

    def test_to_log_out_leaves_the_epoch(self, world: SignsInWorld) -> None:
        self._sign_in_and_out(world)
        assert world.sessions.begin_login("ann") == 0

    def test_begin_for_a_user_never_seen_is_zero_again_and_again(self, world: SignsInWorld) -> None:
        assert [world.sessions.begin_login("nobody"), world.sessions.begin_login("nobody")] == [0, 0]

    # --- P3, in its three forms

    def test_p3_a_login_younger_than_the_raise_is_taken(self, world: SignsInWorld) -> None:
        world.sessions.revoke_all("ann")
        world.pass_time(10)
        assert world.lives(world.login(age=5.0)) == [True]

    def test_p3_a_login_older_than_the_raise_is_refused(self, world: SignsInWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_others(own.session)
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            world.login(age=20.0)
        assert len(world.sessions.list("ann")) == 1

    def test_p3_the_raise_of_another_user_is_no_matter(self, world: SignsInWorld) -> None:
        world.sessions.revoke_all("bob")
        assert world.lives(world.login("ann", age=LONG)) == [True]

    def test_p3_without_a_raise_no_login_is_too_old(self, world: SignsInWorld) -> None:
        self._sign_in_and_out(world)
        assert world.lives(world.login(age=LONG)) == [True]

    def test_p3_the_right_epoch_decides_in_place_of_the_age(self, world: SignsInWorld) -> None:
        world.sessions.revoke_all("ann")
        assert world.lives(world.login(generation=world.sessions.begin_login("ann"), age=LONG)) == [True]

    @pytest.mark.parametrize("off", [-1, 1, 1000])
    def test_p3_a_wrong_epoch_is_refused_whatever_the_age(self, world: SignsInWorld, off: int) -> None:
        world.sessions.revoke_all("ann")
        world.pass_time(LONG)
        with pytest.raises(StaleLogin):
            world.login(generation=world.sessions.begin_login("ann") + off, age=0.0)

    def test_p3_a_wrong_epoch_is_refused_though_the_session_it_replaces_is_live(self, world: SignsInWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_others(own.session)
        with pytest.raises(StaleLogin):
            world.login(generation=0, replaces=own)
        assert world.lives(own) == [True]

    def test_p3_the_right_epoch_is_taken_though_the_session_it_replaces_is_dead(self, world: SignsInWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_all("ann")
        assert world.lives(world.login(generation=1, age=LONG, replaces=own)) == [True]

    def test_p3_a_live_session_renews_itself_in_place_of_the_age(self, world: SignsInWorld) -> None:
        own = world.sign_in()
        world.sessions.revoke_others(own.session)
        renewed = world.login(age=LONG, replaces=own)
        assert world.lives(own, renewed) == [False, True]

    @pytest.mark.parametrize("how", ["ended by another", "all ended", "expired", "replaced", "logged out"])
    def test_p3_a_dead_session_cannot_renew_itself(self, world: SignsInWorld, how: str) -> None:
        own, other = world.sign_in(lasts=60.0), world.sign_in()
        self._kill(world, own, other, how)
        world.pass_time(LONG)
        live = len(world.sessions.list("ann"))
        with pytest.raises(StaleLogin):
            world.login(age=0.0, replaces=own)
        assert len(world.sessions.list("ann")) == live

    @pytest.mark.parametrize("alive", [True, False], ids=["live", "on_invalid"])
    def test_p3_the_session_of_another_user_leaves_the_age_to_decide(self, world: SignsInWorld, alive: bool) -> None:
        bob = world.sign_in("bob")
        if not alive:
            world.sessions.revoke(bob.session.user_id, bob.session.id)
        world.sessions.revoke_all("ann")
        world.pass_time(10)
        with pytest.raises(StaleLogin):
            world.login("ann", age=20.0, replaces=bob)
        assert world.lives(bob) == [alive]
        ann = world.login("ann", age=5.0, replaces=bob)
        assert world.lives(ann, bob) == [True, False]

    def test_a_login_ends_the_session_that_it_replaces_and_no_other(self, world: SignsInWorld) -> None:
        own, other, bob = world.sign_in(), world.sign_in(), world.sign_in("bob")
        renewed = world.login(replaces=own)
        assert world.lives(own, other, bob, renewed) == [False, True, True, True]
        assert world.sessions.revoke_others(renewed.session) == 1

    # --- list and purge

    def test_the_newest_session_is_listed_first(self, world: SignsInWorld) -> None:
        clients = []
        for _ in range(4):
            clients.append(world.sign_in())
            world.pass_time(1)
        assert [session.id for session in world.sessions.list("ann")] == [client.session.id for client in reversed(clients)]

    def test_only_live_sessions_of_the_user_are_listed(self, world: SignsInWorld) -> None:
        own, out, _short, _bob = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0), world.sign_in("bob")
        world.sessions.revoke(out.session.user_id, out.session.id)
        world.pass_time(61)
        assert [session.id for session in world.sessions.list("ann")] == [own.session.id]
        assert list(world.sessions.list("nobody")) == []

    def test_purge_leaves_what_lives_and_forgets_no_epoch(self, world: SignsInWorld) -> None:
        own, _other, _short = world.sign_in(lasts=LONG), world.sign_in(), world.sign_in(lasts=60.0)
        world.sessions.revoke_others(own.session)
        world.pass_time(1000)
        world.sessions.purge(0.0)
        assert world.lives(own) == [True]
        assert world.sessions.begin_login("ann") == 1
        with pytest.raises(StaleLogin):
            world.login(generation=0)

    # --- several at once

    def test_p5_counts_add_up_whoever_ends_what_at_once(self, world: SignsInWorld) -> None:
        clients = [world.sign_in() for _ in range(9)]
        answers = together(
            *(partial(world.sessions.revoke_others, client.session) for client in clients[:3]),
            *(partial(world.sessions.revoke, client.session.user_id, client.session.id) for client in clients[3:6]),
            partial(world.sessions.revoke_all, "ann"),
        )
        ended = sum(answer for answer in answers if isinstance(answer, int))
        assert all(isinstance(answer, (int, SessionRevoked)) for answer in answers)
        assert ended == len(clients)
        assert not any(world.lives(*clients))

    def test_p10_a_login_at_the_moment_of_an_end_is_counted_or_lives_or_is_refused(self, world: SignsInWorld) -> None:
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

    def test_of_renewals_of_one_session_at_once_exactly_one_is_taken(self, world: SignsInWorld) -> None:
        own = world.sign_in()
        answers = together(*(lambda: world.login(replaces=own) for _ in range(4)))
        assert sorted(type(answer).__name__ for answer in answers) == ["Client", "StaleLogin", "StaleLogin", "StaleLogin"]
        assert len(world.sessions.list("ann")) == 1

    def test_two_users_who_take_over_each_others_browser_at_once_both_sign_in(self, world: SignsInWorld) -> None:
        for _ in range(3):
            ann, bob = world.sign_in("ann"), world.sign_in("bob")
            came = together(
                partial(world.login, "bob", generation=0, replaces=ann), partial(world.login, "ann", generation=0, replaces=bob)
            )
            assert [client.session.user_id for client in came if isinstance(client, Client)] == ["bob", "ann"]
            assert world.lives(ann, bob) == [False, False]

    def test_first_sign_ins_of_a_user_at_once_all_succeed(self, world: SignsInWorld) -> None:
        came = together(*(lambda: world.login("new", generation=0) for _ in range(6)))
        assert all(isinstance(client, Client) for client in came)
        assert len(world.sessions.list("new")) == 6

    def _sign_in_and_out(self, world: SignsInWorld) -> None:
        session = world.sign_in().session
        world.sessions.revoke(session.user_id, session.id)

    def _kill(self, world: SignsInWorld, own: Client, other: Client, how: str) -> None:
        match how:
            case "ended by another":
                world.sessions.revoke_others(other.session)
            case "all ended":
                world.sessions.revoke_all("ann")
            case "expired":
                world.pass_time(61)
            case "replaced":
                world.login(replaces=own)
            case "logged out":
                world.sessions.revoke(own.session.user_id, own.session.id)
            case _:
                raise AssertionError(how)
