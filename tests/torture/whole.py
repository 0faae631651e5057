"""Whether a question was carried out wholly or not at all (P4)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sessionward import Session
from tests.torture.grounds import Ground
from tests.torture.places import Caller


def all_or_nothing(judge: Caller, ground: Ground, verb: str, made: Sequence[Session], token: str) -> bool:
    """Whether all of it has happened; an error if some of it has."""
    own, live = made[0], ground.live_ids(made[0].user_id)
    before = {session.id for session in made}
    new = judge.find(token)
    begun = ground.id_of(token) if new is None else new.id
    afterwards: dict[str, set[UUID | None]] = {
        "revoke_others": {own.id},
        "revoke_all": set(),
        "login": {*(before - {own.id}), begun},
    }
    after = afterwards[verb]
    assert live in (before, after)
    done = live == after
    assert ground.generation_of(own.user_id) == int(done and verb != "login")
    assert (new is not None) == (done and verb == "login") or (new is None and begun in live)
    return done
