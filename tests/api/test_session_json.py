"""A session is written as JSON once, and again when a backend returns another value for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from sessionward import Session
from sessionward.api import session_object as objects
from sessionward.api.session_object import session_json, session_object
from sessionward.backends import Credential

START = datetime(2026, 1, 2, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_written() -> Iterator[None]:
    objects._WRITTEN.clear()
    yield
    objects._WRITTEN.clear()


def one(user: str = "ann") -> Session:
    return Session(id=uuid4(), user_id=user, issued_at=START, expires_at=START + timedelta(hours=1), last_seen_at=START)


def test_it_is_the_session_object() -> None:
    session = one("Zoë")
    assert json.loads(session_json(session)) == session_object(session)
    assert session_json(session) is session_json(session)


def test_another_value_is_written_anew_though_the_two_are_equal() -> None:
    """When a session was used last is no part of its equality."""
    session = one()
    used = replace(session, last_seen_at=START + timedelta(minutes=5))
    assert (used, session_json(used)) != (session, session_json(session))
    assert json.loads(session_json(used)) == session_object(used)
    assert json.loads(session_json(session)) == session_object(session)


def test_it_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_WRITTEN", 10)
    for _ in range(25):
        session_json(one())
        assert len(objects._WRITTEN) <= 10


@pytest.mark.parametrize("secret", ["credential", "key"])
def test_a_session_that_carries_a_secret_is_not_kept(secret: str) -> None:
    session = replace(one(), **{secret: Credential(b"a secret of the application")})  # type: ignore[arg-type]
    assert json.loads(session_json(session)) == session_object(session)
    assert objects._WRITTEN == {}
