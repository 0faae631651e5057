"""Whether a question was carried out wholly or not at all (P4)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Engine

from sessionward import Session
from tests.torture.places import Caller
from tests.torture.tables import generation_of, live_ids


def all_or_nothing(judge: Caller, engine: Engine, verb: str, made: Sequence[Session], token: str) -> bool:
    """Whether all of it has happened; an error if some of it has."""
    own, live = made[0], live_ids(engine, made[0].user_id)
    before = {session.id for session in made}
    new = judge.find(token)
    afterwards: dict[str, set[UUID | None]] = {
        "revoke_others": {own.id},
        "revoke_all": set(),
        "login": {*(before - {own.id}), new.id if new else None},
    }
    after = afterwards[verb]
    assert live in (before, after)
    done = live == after
    assert generation_of(engine, own.user_id) == int(done and verb != "login")
    assert (new is not None) == (done and verb == "login")
    return done
