"""P6: what one worker has found missing on a PostgreSQL server, every call refuses, also on a connection that was examined before."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import pytest
from sqlalchemy import Engine, create_engine, text

from sessionward import BackendUnavailable
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential, new_token
from sessionward.session.session import Session
from tests.support.sessions import new_session


class World(NamedTuple):
    backend: SQLBackend
    own: Session
    credential: Credential
    engine: Engine

    @property
    def app(self) -> bytes:
        assert self.own.app_session is not None
        return self.own.app_session

    def mark(self, rolled_back: bool) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE sessionward_state SET rolled_back = :is"), {"is": rolled_back})


@pytest.fixture
def world(postgresql_url: str) -> Iterator[World]:
    backend = SQLBackend(postgresql_url, timeout=20.0)
    backend.create_tables()
    token = new_token()
    own = backend.login(new_session(f"user-{token}", token, app_session=secrets.token_bytes(32)))
    engine = create_engine(postgresql_url.replace("postgresql://", "postgresql+psycopg://"))
    made = World(backend, own, Credential(token.encode()), engine)
    yield made
    made.mark(False)
    backend.close()
    engine.dispose()


UNKNOWN: Final = Credential(new_token().encode())
CALLS: Final[dict[str, Callable[[World], Any]]] = {
    "find": lambda world: world.backend.find(world.credential),
    "check": lambda world: world.backend.check(world.credential),
    "check of a session that may have been lost": lambda world: world.backend.check(UNKNOWN),
    "find_many": lambda world: world.backend.find_many([world.credential]),
    "find_many of a session that may have been lost": lambda world: world.backend.find_many([UNKNOWN]),
    "list": lambda world: world.backend.list(world.own.user_id),
    "list of nobody": lambda world: world.backend.list("bob"),
    "note_seen": lambda world: world.backend.note_seen([world.own], None),
    "begin_login": lambda world: world.backend.begin_login(world.own.user_id),
    "begin_login of nobody": lambda world: world.backend.begin_login("bob"),
    "login": lambda world: world.backend.login(new_session("bob", new_token())),
    "revoke_others": lambda world: world.backend.revoke_others(world.own),
    "revoke_others_quietly": lambda world: world.backend.revoke_others_quietly(world.own),
    "revoke_one": lambda world: world.backend.revoke_one(world.own, world.own.id),
    "revoke": lambda world: world.backend.revoke(world.own.user_id, world.own.id),
    "revoke_own": lambda world: world.backend.revoke_own(world.own.user_id, world.own.id),
    "revoke_all": lambda world: world.backend.revoke_all(world.own.user_id),
    "companion_status": lambda world: world.backend.companion_status(world.own.user_id, world.app),
    "is_revoked_app_session": lambda world: world.backend.is_revoked_app_session(world.app),
    "adopt": lambda world: world.backend.adopt(new_session(world.own.user_id, new_token(), app_session=secrets.token_bytes(32))),
    "extend": lambda world: world.backend.extend(world.own, lifetime=60.0, app_session=None),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_p6_a_call_on_a_connection_of_before_is_refused(world: World, call: Callable[[World], Any]) -> None:
    world.mark(True)
    with pytest.raises(BackendUnavailable, match="has lost commits; an operator must decide: sessionward restored"):
        call(world)
    world.mark(False)
    assert world.backend.find(world.credential) == world.own, "nothing was changed"
    assert world.backend.begin_login(world.own.user_id) == 0
    call(world)
