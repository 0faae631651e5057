"""Helpers that start and revoke companions in the tests of backends."""

from __future__ import annotations

from typing import Final

from sessionward.session.identifier import app_session_digest
from sessionward.testing.world import Client, LoginWorld

APP_SESSION: Final = app_session_digest("one")
"""The digest of a session of the application."""

REVOKED_BY: Final = [
    "a logout",
    "another session",
    "itself, others",
    "revoke_all",
    "a login that replaces it",
    "a login of another user that replaces it",
]
"""The ways to revoke a companion, or another companion of its user. Each makes companions compulsory for that user."""


def adopted(world: LoginWorld, user: str = "ann", *, app_session: bytes = APP_SESSION, lasts: float = 3600.0) -> Client:
    client = world.adopt(user, app_session, lasts=lasts)
    assert client is not None
    return client


def signed_in(
    world: LoginWorld, user: str = "ann", *, generation: int | None = None, age: float = 0.0, replaces: Client | None = None
) -> Client:
    """Starts the companion of a sign-in at the application, as a middleware does."""
    return world.login(user, generation=generation, age=age, replaces=replaces, app_session=APP_SESSION)


def revoke_companion(world: LoginWorld, client: Client, how: str) -> None:
    """Revokes a companion, or uses it to revoke the others of its user, in one of the ways of ``REVOKED_BY``."""
    match how:
        case "a logout":
            world.log_out(client)
        case "another session":
            world.sessions.revoke_others(signed_in(world).session)
        case "itself, others":
            world.sessions.revoke_others(client.session)
        case "revoke_all":
            world.sessions.revoke_all("ann")
        case "a login that replaces it":
            signed_in(world, replaces=client)
        case "a login of another user that replaces it":
            signed_in(world, "bob", replaces=client)
        case _:
            raise AssertionError(how)
