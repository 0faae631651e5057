"""Columns as they are in the field: what a value becomes for them, and whose row it then is."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import CHAR, BigInteger, Column, Integer, LargeBinary, SmallInteger, String, Uuid
from sqlalchemy.dialects import mysql
from sqlalchemy.types import UserDefinedType

from sessionward import ConfigurationError, SessionRevoked, UsageError
from sessionward.backends import Credential
from tests.backends.conftest import Open
from tests.backends.schemas import AUTHJS, LARAVEL, OWN
from tests.backends.tableworld import TableWorld, schema_of, simple
from tests.contract.sql_world import ASYNCMY, ASYNCPG, FROM_URL, PSYCOPG, PYMYSQL, SQLITE, Kind

every_driver = pytest.mark.parametrize("kind", FROM_URL, ids=str)
every_database = pytest.mark.parametrize("kind", [SQLITE, PSYCOPG, PYMYSQL], ids=str)


# --- keys and users ---------------------------------------------------------------------------------------------------

STRANGE = [
    "",
    "40000",
    "3000000000",
    "9" * 19,
    "0",
    "00",
    "1",
    "01",
    " 1",
    "1 ",
    "1.0",
    "1e0",
    "+1",
    "-1",
    "abc",
    "9" * 30,
    "1\0",
    "\N{DIGIT ONE}\u0661",
    "%",
    "x" * 9000,
    "\xff",
]


@every_driver
@pytest.mark.parametrize(
    ("column", "keys"),
    [
        pytest.param(String(64), ["two", "three", "four"], id="text"),
        pytest.param(SmallInteger(), [2, 3, 32767], id="a small number"),
        pytest.param(Integer(), [2, 3, 2**31 - 1], id="a number"),
        pytest.param(BigInteger(), [2, 3, 2**63 - 1], id="a big number"),
        pytest.param(Uuid(), [uuid4(), uuid4(), uuid4()], id="a UUID"),
        pytest.param(LargeBinary(64).with_variant(mysql.VARBINARY(64), "mysql", "mariadb"), [b"two", b"three", b"four"], id="bytes"),
    ],
)
def test_a_value_that_the_key_column_cannot_hold_is_nobodys(kind: Kind, column: Any, keys: list[Any], open_world: Open) -> None:
    world = open_world(simple(key=column))
    for key in keys:
        world.insert(token=key)
    for value in STRANGE:
        assert world.sessions.find(Credential(value.encode())) is None, value
    as_bytes = [key if isinstance(key, bytes) else (key.hex if isinstance(key, UUID) else str(key)).encode() for key in keys]
    found = [world.sessions.find(Credential(value)) for value in as_bytes]
    assert [session.user_id for session in found] == ["ann"] * 3
    assert world.sessions.revoke_others(found[0]) == 2


@every_driver
@pytest.mark.parametrize(
    ("column", "ann", "bob", "told"),
    [
        pytest.param(BigInteger(), 7, 70, "7", id="a number"),
        pytest.param(
            LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb"),
            bytes(range(16)),
            b"x" * 16,
            bytes(range(16)).hex(),
            id="bytes",
        ),
        pytest.param(String(64), "Ann", "ann", "Ann", id="a text in another case"),
        pytest.param(String(64), "ann", "ann ", "ann", id="a text with a blank behind it"),
    ],
)
def test_p8_users_of_every_form_are_told_apart(kind: Kind, column: Any, ann: Any, bob: Any, told: str, open_world: Open) -> None:
    world = open_world(simple(user=column))
    own, _, bystander = (Credential(world.insert(owner=owner).encode()) for owner in (ann, ann, bob))
    session = world.sessions.find(own)
    assert session.user_id == told
    assert world.sessions.revoke_others(session) == 1
    assert world.sessions.find(bystander) is not None
    assert world.sessions.revoke_all(told) == 1
    assert world.sessions.find(bystander) is not None
    assert [world.sessions.revoke_all(nobody) for nobody in ("zz", "70000", "8" * 40)] == [0, 0, 0]


@every_database
def test_an_anonymous_row_signs_nobody_in(kind: Kind, open_world: Open) -> None:
    world = open_world(LARAVEL)
    anonymous = Credential(LARAVEL.credential(world.insert(user_id=None)).encode())
    world.sign_in()
    assert world.sessions.find(anonymous) is None


@every_database
def test_a_key_in_another_case_is_another_key(kind: Kind, open_world: Open) -> None:
    world = open_world(simple())
    world.insert(token="Key")
    assert [world.sessions.find(Credential(value)) is not None for value in (b"Key", b"key", b"KEY", b"Key ", b"K\xe9y")] == [True] + [
        False
    ] * 4


@every_database
def test_a_key_that_is_not_unique_ends_nobody(kind: Kind, open_world: Open) -> None:
    schema = schema_of(Column("token", String(64)), Column("owner", String(64)), row=lambda user, _: {"token": uuid4().hex, "owner": user})
    world = open_world(schema)
    own, _ = world.sign_in(), [world.insert(token="twice") for _ in range(2)]
    with pytest.raises(ConfigurationError, match="token of small is not unique"):
        world.sessions.revoke_others(own.session)
    assert len(world.rows()) == 3
    with pytest.raises(ConfigurationError, match="is not unique"):
        world.sessions.find(Credential(b"twice"))


@every_driver
def test_only_rows_of_the_named_values_are_sessions(kind: Kind, open_world: Open) -> None:
    world = open_world(OWN)
    own, other = world.sign_in(), world.sign_in()
    reset = Credential(OWN.credential(world.insert(purpose="password reset")).encode())
    before = world.row(reset)
    assert world.sessions.find(reset) is None
    assert world.sessions.revoke_others(own.session) == 1
    assert world.sessions.revoke_all(own.session.user_id) == 1
    assert world.row(reset) == before
    assert world.lives(own, other) == [False, False]


@every_database
def test_revoke_all_revokes_what_has_expired_as_well_but_does_not_count_it(kind: Kind, open_world: Open) -> None:
    world = open_world(AUTHJS)
    world.sign_in(), world.sign_in_expired()
    assert world.sessions.revoke_all("ann") == 1
    assert world.rows() == []


def test_a_session_of_another_backend_is_a_usage_error(sqlite_url: str) -> None:
    world = TableWorld(SQLITE, sqlite_url, AUTHJS)
    own = world.sign_in()
    with pytest.raises(UsageError, match="carries no credential"):
        world.sessions.revoke_others(replace(own.session, credential=None))
    with pytest.raises(SessionRevoked):
        world.sessions.revoke_others(replace(own.session, user_id="bob"))
    with pytest.raises(SessionRevoked):
        world.sessions.revoke_others(replace(own.session, credential=Credential(b"\xff")))
    with pytest.raises(UsageError):
        world.sessions.revoke_all("")
    world.close()


def test_an_id_is_a_uuid_of_version_8_made_of_the_digest(sqlite_url: str) -> None:
    world = TableWorld(SQLITE, sqlite_url, AUTHJS)
    own = world.sign_in()
    digest = hashlib.sha256(own.credential.reveal().encode()).digest()
    expected = bytes([*digest[:6], digest[6] & 0x0F | 0x80, digest[7], digest[8] & 0x3F | 0x80, *digest[9:16]])  # RFC 9562, 5.8
    assert own.session.id == UUID(bytes=expected)
    world.close()


@every_driver
@pytest.mark.parametrize(
    ("column", "keys", "transform"),
    [
        pytest.param(
            LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb"),
            [hashlib.sha256(key).digest() for key in (b"1", b"2")],
            lambda value: hashlib.sha256(value.encode()).digest(),
            id="bytes",
        ),
        pytest.param(BigInteger(), [1, 2], int, id="a number for numbers"),
        pytest.param(String(64), ["1", "2"], int, id="a number for a text"),
        pytest.param(String(64), ["1", "2"], str.encode, id="bytes for a text"),
    ],
)
def test_a_transform_gives_what_the_column_holds(kind: Kind, column: Any, keys: list[Any], transform: Any, open_world: Open) -> None:
    world = open_world(simple(key=column, transform=transform))
    for key in keys:
        world.insert(token=key)
    session = world.sessions.find(Credential(b"1"))
    assert world.sessions.revoke_others(session) == 1
    assert [row["token"] for row in world.rows()] == keys[:1]


@every_driver
@pytest.mark.parametrize("key", ["\ud800", "a\0b", b"\xff", "", b""], ids=ascii)
def test_a_transform_that_gives_no_text_for_a_text_is_nobodys(kind: Kind, key: Any, open_world: Open) -> None:
    world = open_world(simple(transform=lambda _: key))
    world.insert(token="")
    assert world.sessions.find(Credential(b"x")) is None


@pytest.mark.parametrize("kind", [PSYCOPG, ASYNCPG], ids=str)
def test_blanks_that_fill_a_column_up_are_no_part_of_a_key_or_a_user(kind: Kind, open_world: Open) -> None:
    world = open_world(simple(key=CHAR(40), user=CHAR(20)))
    own, _, bob = (Credential(world.insert(owner).encode()) for owner in ("ann", "ann", "bob"))
    session = world.sessions.find(own)
    assert session.user_id == "ann"
    assert world.sessions.find(Credential(own.reveal().encode() + b" ")) is None
    assert world.sessions.revoke_others(session) == 1
    assert world.sessions.revoke_all("ann") == 1
    assert world.sessions.find(bob) is not None


class NativeUUID(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "UUID"


@pytest.mark.parametrize("kind", [PSYCOPG, ASYNCPG, PYMYSQL, ASYNCMY], ids=str)
def test_uuids_of_the_database_are_keys_and_users(kind: Kind, open_world: Open) -> None:
    world = open_world(simple(key=NativeUUID(), user=NativeUUID()))
    ann, bob = str(uuid4()), str(uuid4())
    own, _, bystander = (Credential(str(world.insert(token=str(uuid4()), owner=owner)).encode()) for owner in (ann, ann, bob))
    session = world.sessions.find(own)
    assert session.user_id == ann
    assert world.sessions.revoke_others(session) == 1
    assert [world.sessions.find(Credential(value)) for value in (b"x", b"{" + own.reveal().encode() + b"}")] == [None, None]
    assert world.sessions.revoke_all(ann.upper()) == 1
    assert world.sessions.find(bystander) is not None


def test_p8_users_are_told_apart_where_sqlite_does_not(sqlite_url: str) -> None:
    loose = String(64, collation="NOCASE")
    world = TableWorld(SQLITE, sqlite_url, simple(key=loose, user=loose))
    own, _, bob = (Credential(world.insert(owner).encode()) for owner in ("ann", "ann", "ANN"))
    session = world.sessions.find(own)
    assert world.sessions.find(Credential(own.reveal().upper().encode())) is None
    assert world.sessions.revoke_others(session) == 1
    assert world.sessions.find(bob) is not None
    world.close()
