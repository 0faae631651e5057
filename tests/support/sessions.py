"""Sessions for tests, started without a door."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from sessionward.backends import Credential, NewSession
from sessionward.credential.token import new_token


def new_session(user: str, token: str | bytes, **more: Any) -> NewSession:
    """What a login of this user with this token brings; it lives for an hour."""
    digest = Credential(token.encode() if isinstance(token, str) else token).digest
    return NewSession(**{"user_id": user, "digest": digest, "lifetime": 3600.0, **more})


def started(backend: Any, user: str) -> tuple[Any, str]:
    """What ``login`` returns (of an async backend, something to be awaited), and the token of the new session."""
    token = new_token()
    return backend.login(new_session(user, token)), token


def unused_for(url: str, seconds: float) -> None:
    """Makes the last use of all sessions in an SQLite file so many seconds older."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        older = "strftime('%Y-%m-%d %H:%M:%f000', last_seen_at, ?)"
        connection.execute(f"UPDATE sessionward_sessions SET last_seen_at = {older}", (f"-{seconds} seconds",))
