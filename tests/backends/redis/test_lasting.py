"""Answers that must outlive the primary: each is behind a write of its own, since WAIT proves nothing after a script that wrote nothing.

And logins that change the keys of two users, of which a process that ends leaves what a user would expect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from sessionward import SessionRevoked, StaleLogin, TooManySessions
from sessionward.backends.redis.call import Call
from sessionward.credential.token import Credential, new_token
from sessionward.session.session import NewSession
from sessionward.settings.limits import AtLimit
from sessionward.testing import Client
from sessionward.testing.companion_world import APP_SESSION, adopted
from tests.contract.redis_world import RedisWorld
from tests.contract.stepping import Stepper


class Crash(Exception):
    """The process ends here."""


@pytest.fixture
def stepper(world: RedisWorld) -> Iterator[Stepper]:
    """A runner that waits for replicas, as the backend knows it."""
    runner, place = world.backend._runner, world.place
    made = Stepper(world.looker)
    made.waits = True
    world.through(made)
    yield made
    world.backend._runner, world.backend._place = runner, place


def companion(limit: int | None) -> NewSession:
    """Ann's next session in the same session of the application."""
    return NewSession(
        user_id="ann",
        digest=Credential(new_token().encode()).digest,
        lifetime=60.0,
        generation=0,
        app_session=APP_SESSION,
        max_sessions=limit,
        at_limit=AtLimit.REFUSE,
    )


def written(world: RedisWorld, stepper: Stepper, call: Callable[[], Any], refusal: type[Exception] | None = None) -> list[str]:
    """The scripts whose answers must last. Each of them has written something."""
    stepper.calls.clear()
    changes: list[int] = []

    def before(_: Call) -> None:
        changes.append(world.looker.info("persistence")["rdb_changes_since_last_save"])

    stepper.before = before
    if refusal is None:
        call()
    else:
        with pytest.raises(refusal):
            call()
    stepper.before = lambda call: None
    changes.append(world.looker.info("persistence")["rdb_changes_since_last_save"])
    lasting = [(call, later > earlier) for call, earlier, later in zip(stepper.calls, changes, changes[1:], strict=False) if call.lasts]
    assert all(has_written for _, has_written in lasting)
    assert all(call.writes for call, _ in lasting)
    return [call.script.name for call, _ in lasting]


class TestAnswersThatLast:
    """With ``wait``."""

    def test_p6_each_revocation_whatever_it_finds(self, world: RedisWorld, stepper: Stepper) -> None:
        own, other, third = world.sign_in(), world.sign_in(), world.sign_in()
        sessions = world.sessions
        sessions.begin_login("nobody")  # which makes the state of the tag
        for call in (
            partial(sessions.revoke_one, own.session, third.session.id),
            partial(sessions.revoke_one, own.session, third.session.id),
            partial(sessions.revoke_one, own.session, own.session.id),
        ):
            assert written(world, stepper, call) == ["revoke_one"]
        for call in (
            partial(sessions.revoke_others, own.session),
            partial(sessions.revoke_others, own.session),
            partial(sessions.revoke_others_quietly, own.session),
            partial(sessions.revoke_others_quietly, own.session),
            partial(sessions.revoke_all, "ann"),
            partial(sessions.revoke_all, "nobody"),
        ):
            assert written(world, stepper, call) == ["revoke"]
        assert written(world, stepper, partial(sessions.revoke, "ann", other.session.id)) == ["revoke_one"]
        assert "set_era" in written(world, stepper, world.within(9.0).revoke_everybody)

    def test_p6_the_first_quiet_call_that_does_not_raise_writes_too(self, world: RedisWorld, stepper: Stepper) -> None:
        own = world.sign_in()
        for _ in range(3):
            assert written(world, stepper, partial(world.sessions.revoke_others_quietly, own.session)) == ["revoke"]
        assert world.sessions.begin_login("ann") == 1

    def test_p6_a_refusal_that_shows_a_revocation(self, world: RedisWorld, stepper: Stepper) -> None:
        own, other = world.sign_in(), world.sign_in()
        world.sessions.revoke_all("ann")
        sessions = world.sessions
        assert written(world, stepper, partial(sessions.revoke_others, own.session), SessionRevoked) == ["revoke"]
        assert written(world, stepper, partial(sessions.revoke_one, own.session, other.session.id), SessionRevoked) == ["revoke_one"]
        assert written(world, stepper, partial(world.login, generation=0), StaleLogin) == ["start"]
        assert written(world, stepper, partial(world.login, replaces=own), StaleLogin) == ["start"]
        assert written(world, stepper, partial(world.login, age=60.0), StaleLogin) == ["confirm"]
        assert written(world, stepper, partial(world.adopt, "ann", APP_SESSION), StaleLogin) == ["start"]

    def test_p6_a_check_that_says_ended_and_none_that_says_live_or_unknown(self, world: RedisWorld, stepper: Stepper) -> None:
        own, out, short = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0)
        world.log_out(out)
        world.pass_time(61)
        for client, expected in ((out, ["confirm"]), (own, []), (short, [])):
            for look in (world.sessions.check, world.sessions.find):
                assert written(world, stepper, partial(look, client.credential)) == expected
        assert written(world, stepper, partial(world.sessions.check, Credential(new_token().encode()))) == []
        asked = [client.credential for client in (own, out, short)]
        assert written(world, stepper, partial(world.sessions.find_many, asked)) == ["confirm"]

    def test_p6_what_is_said_of_companions(self, world: RedisWorld, stepper: Stepper) -> None:
        client = adopted(world)
        status = partial(world.sessions.companion_status, "ann", APP_SESSION)
        is_revoked = partial(world.sessions.is_revoked_app_session, APP_SESSION)
        assert (written(world, stepper, status), written(world, stepper, is_revoked)) == ([], [])
        assert written(world, stepper, partial(world.log_out, client)) == ["revoke_one", "revoked_app_session"]
        assert (written(world, stepper, status), written(world, stepper, is_revoked)) == (["confirm"], ["confirm_app_session"])

    def test_a_login(self, world: RedisWorld, stepper: Stepper) -> None:
        bob = world.sign_in("bob")
        assert written(world, stepper, world.sign_in) == ["start"]
        assert written(world, stepper, partial(world.login, "ann", replaces=bob)) == ["start", "revoke_one"]

    def test_p6_a_refusal_for_a_user_of_whom_nothing_is_kept(self, world: RedisWorld, stepper: Stepper) -> None:
        """The new era shows a revocation, and WAIT waits for the last write of its connection, which may be that of another call."""
        gone = world.sign_in("gone")
        world.looker.delete(world.place.owner("gone").key)
        world.sessions.revoke_everybody()
        sessions = world.sessions
        status = partial(sessions.companion_status, "nobody", APP_SESSION)
        assert written(world, stepper, status) == ["confirm"]
        assert written(world, stepper, partial(world.login, "nobody", age=60.0), StaleLogin) == ["confirm"]
        assert written(world, stepper, partial(world.login, "nobody", generation=0), StaleLogin) == ["start"]
        assert written(world, stepper, partial(world.adopt, "nobody", APP_SESSION), StaleLogin) == ["start"]
        assert written(world, stepper, partial(sessions.revoke, "nobody", gone.session.id)) == ["revoke_one"]
        for call in (
            partial(sessions.revoke_one, gone.session, gone.session.id),
            partial(sessions.revoke_others, gone.session),
            partial(sessions.revoke_others_quietly, gone.session),
        ):
            assert len(written(world, stepper, call, SessionRevoked)) == 1
        world.pass_time(-100)
        assert written(world, stepper, partial(world.login, "nobody", age=60.0), StaleLogin) == ["note_anew"]
        assert list(world.keys("*:u:*")) == []

    def test_a_sign_in_that_is_not_allowed_now(self, world: RedisWorld, stepper: Stepper) -> None:
        adopted(world)
        assert written(world, stepper, partial(world.sessions.adopt, companion(None))) == ["start"]
        assert written(world, stepper, partial(world.sessions.login, companion(1)), TooManySessions) == ["start"]

    def test_p6_a_lease_that_is_so_already(self, world: RedisWorld, stepper: Stepper) -> None:
        world.sessions.set_lease(1.0)
        assert written(world, stepper, partial(world.sessions.set_lease, 1.0)) == ["change_lease"]
        world.looker.delete(world.place.overall)
        assert {"copy_lease", "overtake"} < set(written(world, stepper, partial(world.sessions.set_lease, 0.5)))


class TestTwoUsers:
    """A login that replaces a session of another user: two keys, two scripts."""

    @pytest.mark.parametrize("point", ["user", "point", "start", "revoke_one"])
    def test_p4_whoever_crashes_leaves_the_browser_as_it_was(self, world: RedisWorld, stepper: Stepper, point: str) -> None:
        bob, other = world.sign_in("bob"), world.sign_in("ann")
        made: list[Credential] = []

        def before(call: Call) -> None:
            if call.script.name == point:
                raise Crash

        def login() -> Client:
            made.append(Credential(new_token().encode()))
            new = NewSession(user_id="ann", digest=made[-1].digest, lifetime=60.0, replaces=bob.session)
            return Client(made[-1], world.sessions.login(new))

        stepper.before = before
        with pytest.raises(Crash):
            login()
        stepper.before = lambda call: None
        assert world.lives(bob, other) == [True, True]
        again = login()
        assert world.lives(bob, other, again) == [False, True, True]
        assert world.sessions.check(bob.credential).has_ended

    def test_a_companion_whose_record_was_not_written_is_recorded_by_the_repeat(self, world: RedisWorld, stepper: Stepper) -> None:
        own, companion = world.sign_in(), adopted(world)

        def before(call: Call) -> None:
            if call.script.name == "revoked_app_session":
                raise Crash

        for revoke in (
            partial(world.sessions.revoke_others, own.session),
            partial(world.sessions.revoke_one, own.session, companion.session.id),
            partial(world.log_out, companion),
        ):
            stepper.before = before
            with pytest.raises(Crash):
                revoke()
            stepper.before = lambda call: None
            assert world.lives(companion) == [False]
            assert world.sessions.companion_status("ann", APP_SESSION).companion_required
            revoke()
            assert world.sessions.is_revoked_app_session(APP_SESSION)
            world.looker.delete(world.place.app_session(APP_SESSION).key)
