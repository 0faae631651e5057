"""What the database and Python compare differently: compared by the database, or refused at start by the name of the column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import CHAR, BigInteger, Boolean, Column, Date, DateTime, Enum, Float, LargeBinary, Numeric, String, Text, Uuid, text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import UserDefinedType

from sessionward import ConfigurationError
from sessionward.backends import Credential
from sessionward.backends.table import Expires, RevokedBy
from sessionward.session.session import user_key
from tests.backends.conftest import Open
from tests.backends.tableworld import TableWorld, schema_of, simple
from tests.contract.sql_world import ASYNCMY, ASYNCPG, FROM_URL, PSYCOPG, PYMYSQL, SQLITE, Kind

every_driver = pytest.mark.parametrize("kind", FROM_URL, ids=str)
every_database = pytest.mark.parametrize("kind", [SQLITE, PSYCOPG, PYMYSQL], ids=str)
postgresql = pytest.mark.parametrize("kind", [PSYCOPG, ASYNCPG], ids=str)
mariadb = pytest.mark.parametrize("kind", [PYMYSQL, ASYNCMY], ids=str)


class Declared(UserDefinedType[Any]):
    """A column of just this type."""

    cache_ok = True

    def __init__(self, declared: str) -> None:
        self.declared = declared

    def get_col_spec(self, **_: Any) -> str:
        return self.declared


# --- users ------------------------------------------------------------------------------------------------------------

UUIDS: dict[str, tuple[Any, Callable[[UUID], Any]]] = {
    "of the database": (Uuid(), lambda uuid: uuid),
    "32 characters": (CHAR(32), lambda uuid: uuid.hex),
    "36 characters": (CHAR(36), str),
    "text without hyphens": (String(64), lambda uuid: uuid.hex),
    "text with hyphens": (String(64), str),
    "bytes": (LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb"), lambda uuid: uuid.bytes),
}


@every_driver
@pytest.mark.parametrize("held", UUIDS)
@pytest.mark.parametrize("spelling", [str, lambda uuid: uuid.hex], ids=["with hyphens", "without"])
def test_a_uuid_of_a_user_is_found_as_the_column_holds_it(kind: Kind, held: str, spelling: Callable[[UUID], str], open_world: Open) -> None:
    column, form = UUIDS[held]
    world = open_world(simple(user=column))
    ann, bob = uuid4(), uuid4()
    own, _, bystander = (Credential(world.insert(owner=form(owner)).encode()) for owner in (ann, ann, bob))
    session = world.sessions.find(own)
    assert UUID(session.user_id) == ann
    assert world.sessions.revoke_all(user_key(spelling(ann))) == 2
    assert world.sessions.find(own) is None
    assert world.sessions.find(bystander) is not None


@every_driver
def test_names_that_are_kept_as_bytes_are_users(kind: Kind, open_world: Open) -> None:
    world = open_world(simple(user=LargeBinary(64).with_variant(mysql.VARBINARY(64), "mysql", "mariadb")))
    for owner in (b"ann", b"ann", b"bob"):
        world.insert(owner=owner)
    assert world.sessions.revoke_all("ann") == 2
    assert world.sessions.revoke_all(b"bob".hex()) == 1


@mariadb
def test_numbers_without_a_sign_are_users_up_to_the_last_one(kind: Kind, open_world: Open) -> None:
    world = open_world(simple(user=mysql.BIGINT(unsigned=True)))
    own, _, bystander = (Credential(world.insert(owner=owner).encode()) for owner in (2**64 - 1, 2**64 - 1, 2**64 - 2))
    session = world.sessions.find(own)
    assert world.sessions.revoke_others(session) == 1
    assert [world.sessions.revoke_all(user) for user in (str(2**64 - 1), "-1", str(2**64))] == [1, 0, 0]
    assert world.sessions.find(bystander) is not None


def test_columns_of_no_type_hold_what_the_application_wrote(sqlite_url: str) -> None:
    world = TableWorld(SQLITE, sqlite_url, simple(key=Declared(""), user=Declared("")))
    with world.safe.begin() as connection:
        connection.execute(text("INSERT INTO small VALUES ('a', 7), ('b', 7), ('c', '8'), ('d', '70')"))
    session = world.sessions.find(Credential(b"a"))
    assert session.user_id == "7"
    assert world.sessions.revoke_others(session) == 1
    assert [world.sessions.revoke_all(user) for user in ("7", "8")] == [1, 1]
    world.close()


# --- what says that a row is revoked ----------------------------------------------------------------------------------

STATUSES: dict[str, dict[str, Any]] = {
    "sqlite": {"text": String(16), "no case": String(16, collation="NOCASE")},
    "postgresql": {"padded": CHAR(10), "text": Text(), "labels": Enum("live", "Revoked", name="status_of_session")},
    "mariadb": {"padded": mysql.CHAR(10), "text": String(16), "labels": mysql.ENUM("live", "Revoked")},
}


@pytest.mark.parametrize(
    ("kind", "spoken"), [(kind, spoken) for kind in FROM_URL for spoken in STATUSES[kind.database]], ids=lambda value: str(value)
)
def test_a_status_says_that_a_row_is_revoked_however_its_column_pads_it(kind: Kind, spoken: str, open_world: Open) -> None:
    column = STATUSES[kind.database][spoken]
    world = open_world(simple(Column("status", column, server_default="live"), revoked=RevokedBy.value("status", "Revoked")))
    thief, owner = world.sign_in(), world.sign_in()
    assert world.sessions.revoke_others(owner.session) == 1
    assert world.lives(thief, owner) == [False, True]
    assert world.sessions.revoke_others(owner.session) == 0
    assert world.sessions.revoke_all("ann") == 1


# --- times ------------------------------------------------------------------------------------------------------------

ENDLESS: list[tuple[Kind, Any, str, str]] = [
    *((kind, column, "'infinity'", "'-infinity'") for kind in (PSYCOPG, ASYNCPG) for column in (DateTime(), DateTime(timezone=True))),
    *((kind, DateTime(), "'250000-01-01'", "'0500-01-01 BC'") for kind in (PSYCOPG, ASYNCPG)),
    *((kind, mysql.DATETIME(fsp=6), "'9999-12-31'", "'0000-00-00'") for kind in (PYMYSQL, ASYNCMY)),
    *((kind, mysql.TIMESTAMP(), "'2037-12-31'", "'0000-00-00'") for kind in (PYMYSQL, ASYNCMY)),
    *((kind, Text(), "'infinity'", "'-Infinity'") for kind in (SQLITE, PSYCOPG, PYMYSQL)),
]


@pytest.mark.parametrize("lifetime", [0, 3600])
@pytest.mark.parametrize(("kind", "column", "never", "always"), ENDLESS, ids=str)
def test_p6_a_time_without_end_makes_nobody_unavailable(
    kind: Kind, column: Any, never: str, always: str, lifetime: int, open_world: Open
) -> None:
    expires = Expires.created("until", lifetime=lifetime) if lifetime else Expires.at("until")
    world = open_world(simple(Column("until", column, nullable=True), expires=expires))
    world.run(world.backend.check()) if kind.is_async else world.backend.check()
    own = world.sign_in(until=None)
    with world.safe.begin() as connection:
        if kind.database == "mariadb":
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
        for token, until in (("never", never), ("always", always)):
            connection.exec_driver_sql(f"INSERT INTO small VALUES ('{token}', 'ann', {until})")
    assert [world.sessions.find(Credential(token)) is not None for token in (b"never", b"always")] == [True, False]
    assert world.sessions.revoke_others(own.session) == 1
    assert {row["token"] for row in world.rows("token")} == {own.credential.reveal(), "always"}


@every_database
@pytest.mark.parametrize(
    ("column", "value", "expires"),
    [(Text(), "soon", Expires.at("until")), (Float(53), float("nan"), Expires.unix("until")), (Text(), "soon", Expires.unix("until"))],
    ids=["no time", "no number", "a word for a number"],
)
def test_p5_a_row_whose_expiry_is_none_counts_as_live_and_stops_only_its_own_session(
    kind: Kind, column: Any, value: Any, expires: Expires, open_world: Open
) -> None:
    if value != value and kind.database != "postgresql":
        pytest.skip("this database keeps no such number")
    world = open_world(simple(Column("until", column, nullable=True), expires=expires))
    own, odd = world.sign_in(until=None), world.insert(until=value)
    with pytest.raises(ConfigurationError, match="until does not hold"):
        world.sessions.find(Credential(odd.encode()))
    assert world.sessions.revoke_others(own.session) == 1
    assert world.lives(own) == [True]


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, list[Kind], dict[str, Any], dict[str, Any], str]] = [
    ("a key with fractions", [PSYCOPG, PYMYSQL], {"key": Numeric(20, 0)}, {}, "key: token is .*whose values .* compare differently"),
    ("a user with fractions", [PSYCOPG, PYMYSQL], {"user": Float()}, {}, "user: owner is "),
    ("a user of a list", [PSYCOPG, PYMYSQL], {"user": Enum("ann", "bob", name="owner_of_session")}, {}, "user: owner is enum"),
    ("a user that may become a number", [SQLITE], {"user": Declared("STRING")}, {}, "user: owner is STRING"),
    ("a user that is a day", [PSYCOPG, PYMYSQL], {"user": Date()}, {}, "user: owner is date"),
    ("JSON", [PSYCOPG], {"user": Declared("jsonb")}, {}, "user: owner is jsonb"),
    ("a flag for a word", [PSYCOPG, PYMYSQL, SQLITE], {"more": String(9)}, {"revoked": RevokedBy.value("more", True)}, "revoked: more is"),
    ("a word for a flag", [PSYCOPG], {"more": Boolean()}, {"revoked": RevokedBy.value("more", "yes")}, "use True or False"),
    ("a number for a flag", [PSYCOPG], {"more": Boolean()}, {"revoked": RevokedBy.value("more", 1)}, "use True or False"),
    ("a flag for a number", [PSYCOPG], {"more": BigInteger()}, {"revoked": RevokedBy.value("more", True)}, "use an int"),
    ("no label", [PSYCOPG, PYMYSQL], {"more": Enum("a", "b", name="more_of_session")}, {"where": {"more": "c"}}, "use one of its labels"),
    ("a number for a word", [PSYCOPG, PYMYSQL, SQLITE], {"more": String(9)}, {"where": {"more": 0}}, "where: more is .*use a str"),
    ("a number too big", [PSYCOPG], {"more": Declared("smallint")}, {"where": {"more": 70_000}}, "use an int that it can hold"),
    ("words for times", [PSYCOPG, PYMYSQL], {"more": String(40)}, {"revoked": RevokedBy.time("more")}, "revoked: more .*holds no times"),
    ("days for times", [PSYCOPG, PYMYSQL], {"more": Date()}, {"expires": Expires.at("more")}, "expires: more is date"),
    ("fractions for times", [PSYCOPG, PYMYSQL], {"more": Float()}, {"expires": Expires.at("more")}, "holds numbers; use Expires.unix"),
    ("flags for numbers", [PSYCOPG], {"more": Boolean()}, {"expires": Expires.unix("more")}, "expires: more is boolean"),
]


@pytest.mark.parametrize(
    ("kind", "types", "options", "said"),
    [pytest.param(kind, types, options, said, id=f"{name}, {kind}") for name, kinds, types, options, said in REFUSED for kind in kinds],
)
def test_a_column_that_the_database_compares_in_its_own_way_is_refused_by_its_name(
    kind: Kind, types: dict[str, Any], options: dict[str, Any], said: str, open_world: Open
) -> None:
    more = [Column("more", types["more"], nullable=True)] if "more" in types else []
    world = open_world(simple(*more, key=types.get("key"), user=types.get("user"), **options))
    with pytest.raises(ConfigurationError, match=said):
        world.backend.check()
    with pytest.raises(ConfigurationError, match=said):
        world.sessions.find(Credential(b"x"))


def test_a_column_without_any_time_is_told_by_the_check(sqlite_url: str) -> None:
    world = TableWorld(SQLITE, sqlite_url, simple(Column("until", BigInteger(), nullable=True), expires=Expires.at("until")))
    world.insert(until=None), world.insert(until=1_700_000_000)
    with pytest.raises(ConfigurationError, match="until does not hold times"):
        world.sessions.check()
    world.close()


@pytest.mark.parametrize("kind", [PSYCOPG, ASYNCPG], ids=str)
def test_a_domain_counts_as_what_it_is_made_of(kind: Kind, open_world: Open) -> None:
    columns: list[Column[Any]] = [Column("token", String(64), unique=True), Column("owner", String(64)), Column("until", DateTime())]
    world = open_world(schema_of(*columns, row=lambda user, _: {}, expires=Expires.at("until")))
    with world.safe.begin() as connection:
        connection.exec_driver_sql("CREATE DOMAIN owner_of_session AS integer")
        connection.exec_driver_sql("ALTER TABLE small ALTER owner TYPE owner_of_session USING 1")
        connection.exec_driver_sql("INSERT INTO small VALUES ('a', 7, 'infinity'), ('b', 7, 'infinity'), ('c', 8, 'infinity')")
    session = world.sessions.find(Credential(b"a"))
    assert world.sessions.revoke_others(session) == 1
    assert [world.sessions.revoke_all(user) for user in ("7", "x")] == [1, 0]
    with world.safe.begin() as connection:
        connection.exec_driver_sql("DROP DOMAIN owner_of_session CASCADE")
