"""How a row of the application's ends, and when it has expired by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, Text, create_engine, text
from sqlalchemy.dialects import mysql

from sessionward import ConfigurationError
from sessionward.backends import Credential
from sessionward.backends.table import Expires, RevokedBy, TableBackend
from sessionward.backends.table.columns import Clock
from sessionward.backends.table.columns import Kind as ColumnKind
from tests.backends.conftest import Open
from tests.backends.schemas import AUTHJS, HOUR, LARAVEL, OWN
from tests.backends.tableworld import TableWorld, simple
from tests.contract.sql_world import ASYNCMY, FROM_URL, PYMYSQL, PYMYSQL_ENGINE, SQLITE, Kind

every_driver = pytest.mark.parametrize("kind", FROM_URL, ids=str)


# --- three ways to end a row ------------------------------------------------------------------------------------------


@every_driver
def test_a_deleted_row_is_gone(kind: Kind, open_world: Open) -> None:
    world = open_world(AUTHJS)
    own, other = world.sign_in(), world.sign_in()
    world.sessions.revoke_others(own.session)
    assert [row["sessionToken"] for row in world.rows()] == [own.credential.reveal()]
    assert world.row(other) is None


@every_driver
def test_a_renamed_row_keeps_its_data_under_a_key_that_nobody_knows(kind: Kind, open_world: Open) -> None:
    world = open_world(LARAVEL)
    own, other = world.sign_in(), world.sign_in()
    before = world.row(other)
    assert before is not None
    assert world.sessions.revoke_others(own.session) == 1
    (renamed,) = [row for row in world.rows() if row["id"] != world.key_of(own)]
    assert {**renamed, "id": ""} == {**before, "id": ""}
    assert len(renamed["id"]) == 34
    assert renamed["id"].startswith("revoked:")
    assert world.rewrite(other, payload="late") == 0
    newer = world.sign_in()
    assert world.sessions.revoke_others(own.session) == 1  # what was renamed before is not counted again
    assert world.lives(own, other, newer) == [True, False, False]


def test_a_renamed_key_signs_nobody_in_where_it_is_the_credential(sqlite_url: str) -> None:
    schema = replace(AUTHJS, options={**AUTHJS.options, "rename": True})
    world = TableWorld(SQLITE, sqlite_url, schema)
    own, _ = world.sign_in(), world.sign_in()
    world.sessions.revoke_others(own.session)
    (renamed,) = [row["sessionToken"] for row in world.rows() if row["sessionToken"].startswith("revoked:")]
    assert world.sessions.find(Credential(renamed.encode())) is None
    world.close()


@every_driver
def test_a_soft_column_keeps_the_row_under_its_key(kind: Kind, open_world: Open) -> None:
    world = open_world(OWN)
    own, other = world.sign_in(), world.sign_in()
    before = world.row(other)
    assert before is not None
    assert world.sessions.revoke_others(own.session) == 1
    after: Any = world.row(other)
    assert after == {**before, "active": False}
    assert world.sessions.revoke_others(own.session) == 0


TIMES: dict[str, dict[str, Any]] = {
    "sqlite": {"with a zone": DateTime(timezone=True), "a number": Integer()},
    "postgresql": {"with a zone": DateTime(timezone=True), "without": DateTime(), "a number": BigInteger()},
    "mariadb": {"with a zone": mysql.TIMESTAMP(fsp=6), "without": mysql.DATETIME(fsp=6), "a number": BigInteger()},
}


@pytest.mark.parametrize(
    ("kind", "spoken"), [(kind, spoken) for kind in FROM_URL for spoken in TIMES[kind.database]], ids=lambda value: str(value)
)
def test_a_soft_column_takes_the_time_in_its_own_form(kind: Kind, spoken: str, open_world: Open) -> None:
    world = open_world(simple(Column("revoked_at", TIMES[kind.database][spoken], nullable=True), revoked=RevokedBy.time("revoked_at")))
    own, other = world.sign_in(), world.sign_in()
    assert world.sessions.revoke_others(own.session) == 1
    row = world.row(other)
    assert row is not None
    at = row["revoked_at"]
    aware = datetime.fromtimestamp(at, UTC) if isinstance(at, int) else at if at.tzinfo else at.replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - aware) < timedelta(minutes=1)
    assert world.lives(own, other) == [True, False]


# --- expiry -----------------------------------------------------------------------------------------------------------


def _naive(seconds: float) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=seconds)


def _posix(seconds: float) -> float:
    return datetime.now(UTC).timestamp() + seconds


EXPIRIES: dict[str, tuple[Any, Expires, Callable[[float], Any]]] = {
    "a time in UTC": (DateTime(), Expires.at("until"), _naive),
    "a time with its zone": (DateTime(timezone=True), Expires.at("until"), lambda lasts: _naive(lasts).replace(tzinfo=UTC)),
    "seconds": (BigInteger(), Expires.unix("until"), lambda lasts: int(_posix(lasts))),
    "seconds with fractions": (Float(53), Expires.unix("until"), _posix),
    "milliseconds": (BigInteger(), Expires.unix("until", per_second=1000), lambda lasts: int(_posix(lasts) * 1000)),
    "seconds of the last use": (Integer(), Expires.unix("until", lifetime=HOUR), lambda lasts: int(_posix(lasts - HOUR))),
    "the time of the sign-in": (DateTime(), Expires.created("until", lifetime=timedelta(hours=1)), lambda lasts: _naive(lasts - HOUR)),
    "digits": (Text(), Expires.unix("until"), lambda lasts: str(int(_posix(lasts)))),
    "ISO 8601 as text": (Text(), Expires.at("until"), lambda lasts: _naive(lasts).isoformat() + "Z"),
    "ISO 8601 with another zone": (Text(), Expires.at("until"), lambda lasts: _naive(lasts + 7 * HOUR).isoformat() + "+07:00"),
}


@every_driver
@pytest.mark.parametrize("spoken", EXPIRIES)
def test_p6_a_row_is_live_until_it_expires_whatever_says_so(kind: Kind, spoken: str, open_world: Open) -> None:
    column, expires, value = EXPIRIES[spoken]
    world = open_world(simple(Column("until", column, nullable=True), expires=expires))
    own, forever, _, expired = (world.insert(until=until) for until in (value(90), None, value(90), value(-90)))
    found = world.sessions.find(Credential(own.encode()))
    assert abs((found.expires_at - datetime.now(UTC)).total_seconds() - 90) < 30
    assert world.sessions.find(Credential(forever.encode())).expires_at is None
    assert world.sessions.find(Credential(expired.encode())) is None
    assert world.sessions.revoke_others(found) == 2
    assert {row["token"] for row in world.rows()} == {own, expired}


@pytest.mark.parametrize("zone", ["+00:00", "+05:30", "-08:00"])
@pytest.mark.parametrize("kind", [PYMYSQL_ENGINE], ids=str)
def test_p6_a_timestamp_of_mariadb_is_read_in_the_zone_of_the_connection(kind: Kind, zone: str, open_world: Open) -> None:
    schema = simple(
        Column("until", mysql.TIMESTAMP(fsp=3)), Column("revoked_at", mysql.TIMESTAMP(fsp=3), nullable=True), expires=Expires.at("until")
    )
    schema = replace(schema, options={**schema.options, "revoked": RevokedBy.time("revoked_at")})
    world = open_world(schema, engine_options={"connect_args": {"init_command": f"SET time_zone = '{zone}'"}})
    with world.safe.begin() as connection:
        for token, lasts in (("own", 90), ("other", 90), ("expired", -90)):
            connection.execute(text(f"INSERT INTO small VALUES ('{token}', 'ann', NOW(3) + INTERVAL {lasts} SECOND, NULL)"))
    own, expired = (world.sessions.find(Credential(token)) for token in (b"own", b"expired"))
    assert expired is None
    assert abs((own.expires_at - datetime.now(UTC)).total_seconds() - 90) < 30
    assert world.sessions.revoke_others(own) == 1
    with world.safe.connect() as connection:
        off = connection.execute(
            text("SELECT ABS(TIMESTAMPDIFF(SECOND, revoked_at, NOW(3))) FROM small WHERE token = 'other'")
        ).scalar_one()
    assert off < 30


def test_a_timestamp_of_mysql_does_not_depend_on_the_offset_of_now() -> None:
    """01:30 UTC in a zone whose summer time has ended since: the offset of now would make it an hour later, and a sign-in recent."""
    clock = Clock(datetime(2026, 10, 25, 1, 34, tzinfo=UTC), offset=timedelta(hours=1))
    for seconds in (Decimal("1792888200.250000"), 1792888200):
        at = clock.read(seconds, ColumnKind.LOCAL)
        assert at.replace(microsecond=0) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for kind in (ColumnKind.NAIVE, ColumnKind.AWARE):
        with pytest.raises(ValueError, match="not a time"):
            clock.read(1792888200, kind)


def test_p6_times_that_no_calendar_has(sqlite_url: str) -> None:
    world = TableWorld(SQLITE, sqlite_url, simple(Column("until", Float(53)), expires=Expires.unix("until")))
    keys = [world.insert(until=until) for until in (1e300, -1e300)]
    assert [world.sessions.find(Credential(key.encode())) is not None for key in keys] == [True, False]
    world.close()


@pytest.mark.parametrize(
    ("column", "value", "expires"),
    [
        (Text(), "soon", Expires.at("until")),
        (Text(), "soon", Expires.unix("until")),
        (Integer(), 1_700_000_000, Expires.at("until")),
        (Text(), "2026-01-01 00:00:00", Expires.unix("until")),
    ],
)
def test_a_column_that_holds_something_else_is_told_and_not_guessed(sqlite_url: str, column: Any, value: Any, expires: Expires) -> None:
    world = TableWorld(SQLITE, sqlite_url, simple(Column("until", column), expires=expires))
    key = world.insert(until=value)
    with pytest.raises(ConfigurationError, match="expires: until does not hold") as caught:
        world.sessions.find(Credential(key.encode()))
    assert str(value) not in str(caught.value)
    world.close()


def test_an_engine_of_the_users_is_taken(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE s (token TEXT UNIQUE, user_id TEXT, active BOOLEAN)"))
        connection.execute(text("INSERT INTO s VALUES ('a', 'ann', 1), ('b', 'ann', 1), ('c', 'ann', NULL), ('d', 'ann', 0)"))
    backend = TableBackend(engine, "s", key="token", user="user_id", cookie="c", revoked=RevokedBy.value("active", False))
    session = backend.find(Credential(b"a"))
    assert session is not None
    assert backend.revoke_others(session) == 2  # what is not known to have ended is ended
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM s WHERE active = 0")).scalar_one() == 3
    engine.dispose()


@pytest.mark.parametrize("kind", [PYMYSQL, ASYNCMY], ids=str)
def test_a_bit_of_mariadb_is_a_flag(kind: Kind, open_world: Open) -> None:
    world = open_world(simple(Column("active", mysql.BIT(1), server_default=text("1")), revoked=RevokedBy.value("active", False)))
    own, other = world.sign_in(), world.sign_in()
    assert world.sessions.revoke_others(own.session) == 1
    assert world.lives(own, other) == [True, False]
