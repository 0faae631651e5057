"""The contract of ``note_seen`` for companions: the login beside one that was not used does not go on by another one."""

from __future__ import annotations

import pytest

from sessionward.errors import StaleLogin
from sessionward.session.identifier import app_session_digest
from sessionward.session.use import SEEN_PAUSE, TOO_LATE
from sessionward.testing.companion_world import APP_SESSION
from sessionward.testing.seen import CLOSE, IDLE, LASTS, between, left, used
from sessionward.testing.world import LoginWorld

OTHER = app_session_digest("other")


class SeenCompanionsContract:
    """The tests for a backend with ``note_seen`` that keeps companions. A further base, with the fixture of ``LoginContract``."""

    def test_a_companion_that_was_not_used_is_not_adopted_again(self, world: LoginWorld) -> None:
        """Otherwise the application's login, which lives on, would go on after the limit as if nothing had been."""
        first = world.adopt("ann", APP_SESSION, lasts=LASTS, idle=IDLE)
        assert first is not None
        world.pass_time(IDLE + 1)
        assert world.lives(first) == [False]
        status = world.sessions.companion_status("ann", APP_SESSION)
        assert status.companion_required
        assert not status.may_adopt
        with pytest.raises(StaleLogin):
            world.adopt("ann", APP_SESSION, lasts=LASTS, idle=IDLE)

    def test_no_other_login_of_its_user_is_either_until_its_absolute_end(self, world: LoginWorld) -> None:
        """Many applications give their login another value in each answer."""
        world.adopt("ann", APP_SESSION, lasts=LASTS, idle=IDLE)
        world.login("bob", lasts=LASTS, idle=IDLE)
        world.pass_time(IDLE + 1)
        assert world.sessions.companion_status("ann", OTHER).companion_required
        with pytest.raises(StaleLogin):
            world.adopt("ann", OTHER, lasts=LASTS, idle=IDLE)
        assert not world.sessions.companion_status("bob", OTHER).companion_required, "what is no companion has no login beside it"
        world.pass_time(LASTS - IDLE)
        assert not world.sessions.companion_status("ann", OTHER).companion_required

    def test_it_is_not_even_after_a_revocation_that_found_nothing(self, world: LoginWorld) -> None:
        own = world.login(app_session=OTHER, lasts=LASTS, idle=LASTS)
        world.login(app_session=APP_SESSION, lasts=LASTS, idle=IDLE)
        world.pass_time(IDLE + 1)
        for _ in range(3):
            assert world.sessions.revoke_others_quietly(own.session) == 0
            assert world.sessions.companion_status("ann", b"3" * 32).companion_required

    def test_a_companion_that_reached_its_absolute_end_compels_nobody(self, world: LoginWorld) -> None:
        world.adopt("ann", APP_SESSION, lasts=IDLE, idle=IDLE)
        world.pass_time(IDLE + 1)
        assert not world.sessions.companion_status("ann", OTHER).companion_required

    def test_a_sign_in_makes_a_new_companion_after_the_limit(self, world: LoginWorld) -> None:
        world.adopt("ann", APP_SESSION, lasts=LASTS, idle=IDLE)
        world.pass_time(IDLE + 1)
        again = world.login(app_session=APP_SESSION, lasts=LASTS, idle=IDLE)
        assert world.lives(again) == [True]

    def test_an_extension_is_a_use(self, world: LoginWorld) -> None:
        """Else one that was recorded shortly before would leave it the end of the old lifetime."""
        client = world.adopt("ann", APP_SESSION, lasts=IDLE, idle=IDLE)
        assert client is not None
        world.pass_time(600)
        used(world, client)
        assert world.found(client).expires_at == world.found(client).ends_at
        assert world.sessions.extend(client.session, lifetime=7200.0, app_session=None, idle_timeout=IDLE)
        found = world.found(client)
        assert between(found.issued_at, found.last_seen_at) == pytest.approx(600, abs=CLOSE)
        assert left(found) == pytest.approx(IDLE, abs=0.001)
        assert between(found.last_seen_at, found.ends_at) == pytest.approx(7200, abs=CLOSE)
        world.pass_time(IDLE - CLOSE)
        assert world.lives(client) == [True]
        world.pass_time(CLOSE + 1)
        assert world.lives(client) == [False]

    @pytest.mark.parametrize("idle", [IDLE, None], ids=["with the limit", "from before the limit"])
    def test_an_extension_ends_no_later_than_the_absolute_end_and_no_sooner_than_before(
        self, world: LoginWorld, idle: float | None
    ) -> None:
        client = world.adopt("ann", APP_SESSION, lasts=3600.0, idle=idle)
        assert client is not None
        world.pass_time(100)
        assert world.sessions.extend(client.session, lifetime=300.0, app_session=None, idle_timeout=7200.0)
        found = world.found(client)
        assert found.expires_at == found.ends_at
        assert between(found.issued_at, found.ends_at) == pytest.approx(3600, abs=CLOSE)
        assert world.sessions.extend(client.session, lifetime=300.0, app_session=None, idle_timeout=120.0)
        assert world.found(client).expires_at == found.expires_at

    def test_a_companion_from_before_the_limit_has_it_from_its_extension_on(self, world: LoginWorld) -> None:
        client = world.adopt("ann", APP_SESSION, lasts=3600.0)
        assert client is not None
        world.pass_time(100)
        assert world.sessions.extend(client.session, lifetime=7200.0, app_session=None, idle_timeout=IDLE)
        found = world.found(client)
        assert left(found) == pytest.approx(IDLE, abs=0.001)
        assert between(found.issued_at, found.ends_at) == pytest.approx(7300, abs=CLOSE)

    def test_p6_an_extension_of_one_that_ends_at_once_moves_its_absolute_end_only(self, world: LoginWorld) -> None:
        client = world.adopt("ann", APP_SESSION, lasts=3600.0, idle=IDLE)
        assert client is not None
        world.pass_time(IDLE - TOO_LATE + 1)
        assert world.sessions.extend(client.session, lifetime=7200.0, app_session=None, idle_timeout=IDLE)
        world.pass_time(TOO_LATE)
        assert world.lives(client) == [False]

    def test_without_the_limit_a_companion_is_extended_in_its_absolute_end_only(self, world: LoginWorld) -> None:
        client = world.adopt("ann", APP_SESSION, lasts=3600.0, idle=IDLE)
        assert client is not None
        world.pass_time(100)
        assert world.sessions.extend(client.session, lifetime=7200.0, app_session=None)
        found = world.found(client)
        assert between(found.issued_at, found.ends_at) == pytest.approx(7300, abs=CLOSE)
        assert between(found.issued_at, found.expires_at) == pytest.approx(IDLE, abs=CLOSE)
        assert world.sessions.extend(client.session, lifetime=60.0, app_session=None)
        assert world.found(client).ends_at == found.ends_at
        assert used(world, client) == [SEEN_PAUSE]
        assert left(world.found(client)) == pytest.approx(IDLE, abs=0.001)
