"""The tests for backends that answer about many sessions at once."""

from __future__ import annotations

from sessionward.credential.token import Credential, new_token
from sessionward.testing.world import LoginWorld


def unknown(number: int) -> list[Credential]:
    return [Credential(new_token().encode()) for _ in range(number)]


class ManyContract:
    """The tests for a backend with ``find_many``. A second base, with the fixture of ``LoginContract``."""

    def test_those_that_prove_a_live_session_are_found(self, world: LoginWorld) -> None:
        ann, out, short, bob = world.sign_in(), world.sign_in(), world.sign_in(lasts=60.0), world.sign_in("bob")
        world.log_out(out)
        world.pass_time(61)
        asked = [client.credential for client in (ann, out, short, bob)] + unknown(3)
        assert set(world.sessions.find_many(asked)) == {ann.credential, bob.credential}

    def test_of_none_none_is_found(self, world: LoginWorld) -> None:
        world.sign_in()
        assert list(world.sessions.find_many([])) == []

    def test_any_number_is_answered(self, world: LoginWorld) -> None:
        clients = [world.sign_in(f"user {number % 7}") for number in range(35)]
        live = [client.credential for client in clients]
        for number in (0, 65, 66, 465, 466, 1200):
            asked = [*unknown(number), *live]
            for turned in (asked, asked[::-1], asked[::2] + asked[1::2]):
                assert set(world.sessions.find_many(turned)) == set(live)

    def test_one_that_is_asked_about_twice_is_found(self, world: LoginWorld) -> None:
        client = world.sign_in()
        assert set(world.sessions.find_many([client.credential, client.credential])) == {client.credential}

    def test_p1_what_was_revoked_is_found_no_more(self, world: LoginWorld) -> None:
        own, *others = [world.sign_in() for _ in range(12)]
        world.sessions.revoke_others(own.session)
        assert set(world.sessions.find_many([client.credential for client in (own, *others)])) == {own.credential}
