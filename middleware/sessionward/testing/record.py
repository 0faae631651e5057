"""The tests for backends that record which sessions were revoked, since the application's store may write them back."""

from __future__ import annotations

from abc import abstractmethod

import pytest

from sessionward.credential.token import Credential
from sessionward.errors import SessionRevoked
from sessionward.testing.backend import BackendContract
from sessionward.testing.world import Client, World


class RecordWorld(World):
    """A world over an application's store that may write a revoked session back."""

    @abstractmethod
    def write_back(self, client: Client) -> None:
        """Writes this session into the application's store again, as a late request does."""


class RecordContract(BackendContract):
    """The tests for a backend with ``which_revoked``. Subclass it with a fixture ``world`` that returns a :class:`RecordWorld`."""

    def test_nothing_is_revoked_at_first(self, world: RecordWorld) -> None:
        clients = [world.sign_in(), world.sign_in(), world.sign_in("bob")]
        assert which_revoked(world, *clients) == [False, False, False]

    def test_asked_about_nothing_it_answers_nothing(self, world: RecordWorld) -> None:
        assert list(world.sessions.which_revoked([])) == []

    def test_what_it_has_never_seen_is_not_called_revoked(self, world: RecordWorld) -> None:
        assert list(world.sessions.which_revoked([Credential(b"never seen")])) == []

    def test_the_others_are_on_record_and_the_own_session_is_not(self, world: RecordWorld) -> None:
        own, other, bob = world.sign_in(), world.sign_in(), world.sign_in("bob")
        world.sessions.revoke_others(own.session)
        assert which_revoked(world, own, other, bob) == [False, True, False]

    def test_p6_what_is_written_back_stays_revoked(self, world: RecordWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        world.sessions.revoke_others(own.session)
        world.write_back(other)
        assert which_revoked(world, own, other) == [False, True]
        assert world.lives(own, other) == [True, False]

    def test_p2_what_is_written_back_revokes_nobody(self, world: RecordWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        in_flight = world.found(other)
        world.sessions.revoke_others(own.session)
        world.write_back(other)
        with pytest.raises(SessionRevoked):
            world.sessions.revoke_others(in_flight)
        assert world.lives(own) == [True]

    def test_p5_what_is_written_back_is_not_counted_again(self, world: RecordWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        assert world.sessions.revoke_others(own.session) == 1
        world.write_back(other)
        assert world.sessions.revoke_others(own.session) == 0


def which_revoked(world: RecordWorld, *clients: Client) -> list[bool]:
    """Returns, for each client, whether its session is recorded as revoked."""
    revoked = world.sessions.which_revoked([client.credential for client in clients])
    return [client.credential in revoked for client in clients]
