"""The session API over the application's own table: its rows are listed with what they know, and revoked one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import BigInteger, Column, DateTime, LargeBinary
from sqlalchemy.dialects import mysql, postgresql

from sessionward import BackendUnavailable, ConfigurationError, SessionRevoked
from sessionward.backends import Credential, Position, SessionList, SignInTooOld, Terms, public_id
from sessionward.backends.table import Expires, TableBackend, Timestamp
from sessionward.session.session import ANY_TERMS
from sessionward.testing import Client
from sessionward.testing.bridge import together
from tests.backends.conftest import Open, Place
from tests.backends.schemas import BETTER_AUTH, LARAVEL, RAILS, SCHEMAS, laravel_cookie
from tests.backends.tableworld import TableWorld, simple
from tests.backends.test_table_many import WAYS, fill
from tests.contract.sql_world import ASYNCPG, FROM_URL, PSYCOPG, PYMYSQL, SQLITE, SQLITE_ASYNC, Kind

every_driver = pytest.mark.parametrize("kind", FROM_URL, ids=str)
one_of_each = pytest.mark.parametrize("kind", [SQLITE, SQLITE_ASYNC, PSYCOPG, ASYNCPG, PYMYSQL], ids=str)
STAMP = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
FIRST = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - as the application writes it


@pytest.fixture(scope="class")
def made(kind: Kind, name: str, place: Place) -> Iterator[TableWorld]:
    world = TableWorld(kind, place(kind.database), SCHEMAS[name])
    yield world
    world.close()


@pytest.fixture
def world(made: TableWorld) -> TableWorld:
    made.clean()
    return made


def examine(world: TableWorld) -> None:
    """Calls ``check``, be it sync or async."""
    answer = world.backend.check()
    if answer is not None:
        world.run(answer)


def listed(world: TableWorld, user: str = "ann", **page: Any) -> SessionList:
    found: SessionList = world.sessions.list(world.text_of(user), **page)
    return found


def revoked_one(world: TableWorld, own: Client, id: UUID, terms: Terms = ANY_TERMS) -> bool:
    was_live: bool = world.sessions.revoke_one(own.session, id, terms)
    return was_live


@pytest.mark.parametrize("kind", FROM_URL, ids=str, scope="class")
@pytest.mark.parametrize("name", SCHEMAS, scope="class")
class TestSchemas:
    """Each table in each database, through each driver."""

    def test_the_list_has_the_live_sessions_of_one_user_under_the_ids_that_find_gives_them(self, world: TableWorld) -> None:
        clients, bob = [world.sign_in() for _ in range(3)], world.sign_in("bob")
        if world.schema.expires:
            world.sign_in_expired()
        world.sessions.revoke_others(bob.session)
        found = listed(world)
        assert {session.id for session in found} == {client.session.id for client in clients}
        assert {session.user_id for session in found} == {world.text_of("ann")}
        assert all(session.credential is None for session in found)
        assert found.total == 3
        assert found.now is not None
        assert abs(datetime.now(UTC) - found.now) < timedelta(minutes=1)
        assert [session.id for session in listed(world, "bob")] == [bob.session.id]

    def test_without_leaves_a_session_out_of_the_list_and_of_its_total(self, world: TableWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        found = listed(world, without=own.session.id)
        assert ([session.id for session in found], found.total) == ([other.session.id], 1)

    def test_revoked_sessions_are_not_listed(self, world: TableWorld) -> None:
        own, _ = world.sign_in(), world.sign_in()
        world.sessions.revoke_others(own.session)
        assert [session.id for session in listed(world)] == [own.session.id]

    def test_pages_have_every_session_once(self, world: TableWorld) -> None:
        clients = [world.sign_in() for _ in range(5)]
        seen, after = list[UUID](), None
        while page := listed(world, after=after, limit=2):
            assert len(page) <= 2
            assert page.total == 5
            seen += [session.id for session in page]
            after = Position.of(page[-1])
        assert len(seen) == 5
        assert set(seen) == {client.session.id for client in clients}

    def test_one_is_revoked_and_every_other_lives(self, world: TableWorld) -> None:
        own, victim, third, bob = world.sign_in(), world.sign_in(), world.sign_in(), world.sign_in("bob")
        before = [world.row(client) for client in (own, third, bob)]
        assert revoked_one(world, own, victim.session.id)
        assert world.lives(own, victim, third, bob) == [True, False, True, True]
        assert [world.row(client) for client in (own, third, bob)] == before
        assert not revoked_one(world, own, victim.session.id)

    def test_p8_a_user_whom_the_database_takes_for_the_same_is_another_one(self, world: TableWorld) -> None:
        own, *near = [world.sign_in(user) for user in ("ann", "ANN", "\N{LATIN SMALL LETTER A WITH ACUTE}nn", "ann ")]
        assert [session.id for session in listed(world)] == [own.session.id]
        assert not any(revoked_one(world, own, client.session.id) for client in near)
        assert world.lives(own, *near) == [True] * 4

    def test_p8_an_id_of_another_user_of_nobody_and_ones_own_revoke_nothing(self, world: TableWorld) -> None:
        own, bob = world.sign_in(), world.sign_in("bob")
        for other in (bob.session.id, uuid4(), own.session.id):
            assert not revoked_one(world, own, other)
        assert world.lives(own, bob) == [True, True]

    def test_an_expired_session_is_not_revoked(self, world: TableWorld) -> None:
        if not world.schema.expires:
            return
        own, expired = world.sign_in(), world.sign_in_expired()
        before = world.row(expired)
        assert not revoked_one(world, own, public_id(Credential(str(world.key_of(expired)).encode())))
        assert world.row(expired) == before

    def test_a_session_that_has_gone_meanwhile_revokes_nobody(self, world: TableWorld) -> None:
        own, other = world.sign_in(), world.sign_in()
        world.sign_out(own)
        with pytest.raises(SessionRevoked):
            revoked_one(world, own, other.session.id)
        assert world.lives(other) == [True]

    def test_p2_of_two_that_revoke_each_other_one_is_left(self, world: TableWorld) -> None:
        for _ in range(5):
            one, two = world.sign_in(), world.sign_in()
            answers = together(
                partial(revoked_one, world, one, two.session.id),
                partial(revoked_one, world, two, one.session.id),
            )
            assert sorted(map(repr, map(type, answers))) == sorted([repr(bool), repr(SessionRevoked)])
            assert sorted(world.lives(one, two)) == [False, True]
            world.clean()


# --- what the rows know -----------------------------------------------------------------------------------------------


@every_driver
def test_better_auth_says_when_where_and_with_what_a_user_has_signed_in(kind: Kind, open_world: Open) -> None:
    world = open_world(BETTER_AUTH)
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    known: dict[str, Any] = {"createdAt": at, "updatedAt": at + timedelta(hours=1), "ipAddress": "192.0.2.7", "userAgent": "M" * 700}
    own = world.sign_in(**known)
    (session,) = listed(world)
    for seen in (session, own.session):
        assert (seen.issued_at, seen.authenticated_at, seen.last_seen_at) == (at, at, at + timedelta(hours=1))
        assert (seen.ip_address, seen.user_agent) == ("192.0.2.7", "M" * 512)
        assert seen.expires_at is not None
    world.insert(ipAddress="", userAgent=None)
    assert (listed(world)[0].ip_address, listed(world)[0].user_agent) == (None, None)


@every_driver
def test_laravel_says_when_a_session_was_seen_and_its_id_stays_while_its_cookie_changes(kind: Kind, open_world: Open) -> None:
    world = open_world(LARAVEL)
    seen = int(datetime.now(UTC).timestamp()) - 60
    key = world.insert(last_activity=seen, ip_address="2001:db8::7", user_agent="a browser")
    one, again = (world.client(laravel_cookie(key)).session for _ in range(2))
    (session,) = listed(world)
    assert session.id == one.id == again.id
    assert (session.issued_at, session.last_seen_at) == (None, datetime.fromtimestamp(seen, UTC))
    assert (session.ip_address, session.user_agent) == ("2001:db8::7", "a browser")


@every_driver
def test_the_newest_sign_in_comes_first_and_a_row_without_a_time_last(kind: Kind, open_world: Open) -> None:
    schema = simple(Column("began", STAMP), issued="began")
    world = open_world(schema)
    times = [FIRST, FIRST + timedelta(microseconds=1), FIRST + timedelta(days=1), FIRST, None, None]
    clients = [world.sign_in(began=at) for at in times]
    found = listed(world)
    assert [session.issued_at for session in found] == [
        None if at is None else at.replace(tzinfo=UTC) for at in [times[2], times[1], FIRST, FIRST, None, None]
    ]
    assert found[0].id == clients[2].session.id
    assert [found[2].id, found[3].id] == sorted([found[2].id, found[3].id], reverse=True)
    pages = [listed(world, after=after, limit=1)[0].id for after in [None, *map(Position.of, found[:-1])]]
    assert pages == [session.id for session in found]
    assert not listed(world, after=Position.of(found[-1]))
    assert listed(world, after=Position(FIRST.replace(tzinfo=UTC), UUID(int=2**128 - 1)))[0].id == found[2].id


@pytest.mark.parametrize("kind", [PSYCOPG, ASYNCPG], ids=str)
def test_postgresql_may_keep_addresses_and_times_that_no_driver_reads(kind: Kind, open_world: Open) -> None:
    columns: list[Column[Any]] = [Column("at", DateTime(timezone=True)), Column("ip", postgresql.INET()), Column("agent", LargeBinary)]
    world = open_world(simple(*columns, issued="at", last_seen="at", ip_address="ip", user_agent="agent"))
    key = world.insert(ip="192.0.2.7", agent=b"a \xff browser")
    with world.safe.begin() as connection:
        connection.exec_driver_sql("UPDATE small SET at = 'infinity'")
    (session,) = listed(world)
    assert (session.issued_at, session.last_seen_at) == (None, None)
    assert (session.ip_address, session.user_agent) == ("192.0.2.7", "a \N{REPLACEMENT CHARACTER} browser")
    assert world.client(key).session == session


@one_of_each
def test_milliseconds_are_times_too(kind: Kind, open_world: Open) -> None:
    world = open_world(simple(Column("at", BigInteger), issued=Timestamp.unix("at", per_second=1000)))
    world.insert(at=1_772_366_400_500)
    assert listed(world)[0].issued_at == datetime(2026, 3, 1, 12, 0, 0, 500_000, UTC)


@every_driver
def test_columns_that_hold_something_else_are_told_when_the_table_is_examined(kind: Kind, open_world: Open) -> None:
    columns: list[Column[Any]] = [Column("count", BigInteger), Column("at", STAMP)]
    wrong = open_world(simple(*columns, issued="count", last_seen=Timestamp.unix("at"), ip_address="missing"))
    with pytest.raises(ConfigurationError, match="ip_address: small has no column missing"):
        examine(wrong)
    columns = [Column("count", BigInteger), Column("at", STAMP)]
    wrong = open_world(simple(*columns, name="other", issued="count", last_seen=Timestamp.unix("at")))
    if kind.database == "sqlite":  # a column of it holds anything, so that only values tell
        examine(wrong)
        wrong.insert(count=7, at=FIRST)
        assert (listed(wrong)[0].issued_at, listed(wrong)[0].last_seen_at) == (None, None)
        with pytest.raises(ConfigurationError, match=r"count does not hold times; use Timestamp\.unix"):
            examine(wrong)
        return
    with pytest.raises(ConfigurationError) as told:
        examine(wrong)
    assert told.value.mistakes == (
        "issued: count holds numbers; use Timestamp.unix",
        "last_seen: at holds times; use Timestamp.at",
    )


def test_a_wrong_option_is_told_at_once(sqlite_url: str) -> None:
    wrong: Any = {"issued": 7, "last_seen": "no good; name", "ip_address": "", "user_agent": 7}
    with pytest.raises(ConfigurationError) as told:
        TableBackend(sqlite_url, "small", key="token", user="owner", cookie="sid", **wrong)
    assert [mistake.partition(":")[0] for mistake in told.value.mistakes] == ["last_seen", "ip_address", "user_agent", "issued"]
    with pytest.raises(ConfigurationError, match="per_second"):
        Timestamp.unix("at", per_second=0)


@one_of_each
def test_p7_a_list_that_would_be_too_long_is_refused_and_revoking_still_works(kind: Kind, open_world: Open) -> None:
    world = open_world(simple())
    own, other = world.sign_in(), world.sign_in()
    fill(world, "ann", 9_998)
    assert len(listed(world, limit=3)) == 3
    fill(world, "ann", 1)
    with pytest.raises(BackendUnavailable, match="more than 10000 sessions"):
        listed(world, limit=3)
    assert revoked_one(world, own, other.session.id)
    assert listed(world).total == 10_000


@one_of_each
@pytest.mark.parametrize("way", ["marked", "renamed"])
def test_rows_of_revoked_sessions_make_no_list_too_long(kind: Kind, way: str, open_world: Open) -> None:
    world = open_world(WAYS[way], timeout=30.0)
    own = world.sign_in()
    fill(world, "ann", 10_001)
    assert world.sessions.revoke_others(own.session) == 10_001
    assert [session.id for session in listed(world)] == [own.session.id]


@pytest.mark.parametrize("kind", [PSYCOPG, PYMYSQL], ids=str)
def test_rows_of_expired_sessions_make_no_list_too_long_where_the_database_can_judge_them(kind: Kind, open_world: Open) -> None:
    world = open_world(simple(Column("until", STAMP, default=FIRST - timedelta(days=365)), expires=Expires.at("until")), timeout=30.0)
    own = world.sign_in(until=FIRST + timedelta(days=36_500))
    fill(world, "ann", 10_001)
    endless = world.sign_in(until=None)
    assert {session.id for session in listed(world)} == {own.session.id, endless.session.id}


# --- terms ------------------------------------------------------------------------------------------------------------


@every_driver
def test_recent_is_judged_by_the_column_of_the_sign_in(kind: Kind, open_world: Open) -> None:
    world = open_world(RAILS)
    old = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=400)
    own, other = world.sign_in(created_at=old), world.sign_in()
    assert world.backend.judges_recent
    for refused in (partial(revoked_one, world, own, other.session.id), partial(world.sessions.revoke_others_quietly, own.session)):
        with pytest.raises(SignInTooOld):
            refused(Terms(recent=300))
        assert world.lives(own, other) == [True, True]
    assert revoked_one(world, own, other.session.id, Terms(recent=500))
    world.sign_in()
    assert world.sessions.revoke_others_quietly(own.session, Terms(recent=500)) == 1
    for ahead, is_recent in ((30, True), (90, False)):  # seconds by which the application's clock is ahead
        world.clean()
        at = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=ahead)
        own, other = world.sign_in(created_at=at), world.sign_in()
        if is_recent:
            assert revoked_one(world, own, other.session.id, Terms(recent=300))
        else:
            with pytest.raises(SignInTooOld):
                revoked_one(world, own, other.session.id, Terms(recent=300))


@one_of_each
def test_a_sign_in_whose_time_is_unknown_is_not_recent(kind: Kind, open_world: Open) -> None:
    world = open_world(simple(Column("began", STAMP), issued="began"))
    own, other = world.sign_in(), world.sign_in()
    with pytest.raises(SignInTooOld):
        revoked_one(world, own, other.session.id, Terms(recent=300))
    world = open_world(simple(name="other"))
    assert not world.backend.judges_recent
