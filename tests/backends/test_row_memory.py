"""What was made of a row is used again as long as the row is the same, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from sessionward import Session
from sessionward.backends.sql import reading
from sessionward.backends.sql.dialect import MYSQL, POSTGRESQL, SQLITE, Dialect

ID = uuid4()
DIALECTS = pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL, MYSQL], ids=lambda dialect: dialect.name)


@pytest.fixture(autouse=True)
def nothing_made() -> Iterator[None]:
    reading._MADE.clear()
    yield
    reading._MADE.clear()


def row(dialect: Dialect, **other: Any) -> tuple[Any, ...]:
    """A row of ``sessionward_sessions`` as the driver of this database gives it; ``other``: columns that differ."""
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    columns = {
        "id": ID,
        "user_id": "ann",
        "issued_at": now,
        "authenticated_at": now,
        "expires_at": now + timedelta(hours=1),
        "ends_at": now + timedelta(hours=2),
        "generation": 3,
        "app_session": b"a",
        "last_seen_at": now,
        "methods": "password otp",
        "ip_address": "192.0.2.7",
        "user_agent": "Firefox",
        "kind": "impersonation",
        "actor": "bob",
        "era": 5,
        **other,
    }
    times = {"issued_at", "authenticated_at", "expires_at", "ends_at", "last_seen_at"}
    converted = {
        name: None
        if value is None
        else dialect.time_in(value)
        if name in times
        else dialect.user_in(value)
        if name in ("user_id", "actor")
        else dialect.id_in(value)
        if name == "id"
        else value
        for name, value in columns.items()
    }
    order = list(columns)
    order.remove("era")
    return (*(converted[name] for name in order), converted["era"])


def all_of(session: Session) -> list[object]:
    """Also what does not count for equality."""
    return [getattr(session, column.name) for column in fields(session)]


@DIALECTS
def test_the_same_row_gives_the_same_session(dialect: Dialect) -> None:
    assert reading._session(dialect, row(dialect)) is reading._session(dialect, row(dialect))


@DIALECTS
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("user_id", "ben"),
        ("issued_at", datetime(2026, 11, 29, 13, tzinfo=UTC)),
        ("authenticated_at", None),
        ("expires_at", datetime(2026, 11, 29, 13, 0, 0, 1, tzinfo=UTC)),
        ("ends_at", None),
        ("generation", 4),
        ("app_session", b"b"),
        ("last_seen_at", datetime(2026, 11, 29, 13, tzinfo=UTC)),
        ("methods", ""),
        ("ip_address", None),
        ("user_agent", "Firefox "),
        ("kind", None),
        ("actor", None),
        ("era", 6),
    ],
)
def test_a_row_of_which_anything_has_changed_gives_another_one(dialect: Dialect, column: str, value: object) -> None:
    before = reading._session(dialect, row(dialect))
    changed = row(dialect, **{column: value})
    assert all_of(reading._session(dialect, changed)) == all_of(reading._made(dialect, changed)) != all_of(before)
    assert all_of(reading._session(dialect, row(dialect))) == all_of(before)


def test_two_databases_share_nothing() -> None:
    in_both = row(SQLITE)
    reading._session(SQLITE, in_both)
    assert {name for name, _ in reading._MADE} == {"sqlite"}
    reading._session(MYSQL, row(MYSQL))
    assert {name for name, _ in reading._MADE} == {"sqlite", "mysql"}


def test_it_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_MADE", 10)
    for number in range(25):
        reading._session(SQLITE, (f"{number:032x}", *row(SQLITE)[1:]))
        assert len(reading._MADE) <= 10


@DIALECTS
def test_a_session_that_has_ended_is_not_kept(dialect: Dialect) -> None:
    now = dialect.time_in(datetime(2026, 11, 29, 12, 30, tzinfo=UTC))
    live = row(dialect, era=0)
    assert reading._checked(dialect, (*live, None, now, 0.0, 0.0, None, 0, 0)).session is not None
    assert len(reading._MADE) == 1
    assert reading._checked(dialect, (*live, now, now, 0.0, 0.0, None, 0, 0)).has_ended
    assert reading._MADE == {}
