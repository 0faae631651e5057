"""Many callers of one user at once over the application's own table: one is left, and what one would write first leaves nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Event, Thread
from time import sleep
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select

from sessionward import Session, SessionRevoked
from sessionward.backends import Credential
from sessionward.backends.sql.dialect import MYSQL
from sessionward.backends.table import verbatim
from sessionward.backends.table.layout import Layout
from sessionward.backends.table.queries import Queries
from sessionward.testing.bridge import PATIENCE, together
from tests.backends.conftest import Place
from tests.backends.schemas import AUTHJS, BETTER_AUTH, LARAVEL, OWN, RAILS, Schema
from tests.backends.tableworld import TableWorld
from tests.contract.sql_world import ASYNCMY, ASYNCPG, PSYCOPG, PYMYSQL, SQLITE, SQLITE_ASYNC, Kind, safe_engine

TRIALS = 20
THINKING = 0.002
"""Seconds between a check and the act that rests on it: what a framework does meanwhile."""
SYNC = [SQLITE, PSYCOPG, PYMYSQL]
BOTH = [*SYNC, SQLITE_ASYNC, ASYNCPG, ASYNCMY]


@dataclass
class Tally:
    """How many trials ended how; all but ``trials`` ought to be 0."""

    trials: int = 0
    nobody: int = 0
    several: int = 0
    wrong_count: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return self.trials > 0 and not (self.nobody or self.several or self.wrong_count or self.errors)


def race(world: TableWorld, sessions: Any, *, callers: int, trials: int = TRIALS) -> Tally:
    """Every caller has a session of the same user, and all call at once."""
    tally = Tally()
    for _ in range(trials):
        world.clean()
        clients = [world.sign_in() for _ in range(callers)]
        answers = together(*(partial(sessions.revoke_others, client.session) for client in clients))
        tally.trials += 1
        left = sum(world.lives(*clients))
        tally.nobody += left == 0
        tally.several += left > 1
        tally.wrong_count += sum(answer for answer in answers if isinstance(answer, int)) != callers - 1
        tally.errors += [repr(answer) for answer in answers if not isinstance(answer, (int, SessionRevoked))]
    return tally


# --- what one would write first ---------------------------------------------------------------------------------------


class CheckThenDelete:
    """Look whether the caller is live, then delete all others with one statement."""

    def __init__(self, world: TableWorld) -> None:
        self.world = world
        self.engine = safe_engine(world.url)
        self.table = world.schema.table

    def revoke_others(self, session: Session, /) -> int:
        own = self.world.schema.options.get("transform", str)(_revealed(session))
        key, user = self.table.c[self.world.schema.key], self.table.c[self.world.schema.options["user"]]
        with self.engine.connect() as connection:
            found = connection.execute(select(user).where(key == own)).scalar()
            connection.rollback()
            if found is None:
                raise SessionRevoked
            sleep(THINKING)
            count = 0
            for other in connection.execute(select(key).where(user == found, key != own).order_by(key)).scalars().all():
                connection.rollback()
                count += connection.execute(delete(self.table).where(key == other)).rowcount
                connection.commit()
            return count


class LocksWithoutLooking(CheckThenDelete):
    """Lock all rows of the user, in order, then delete all others: that the caller is live was seen before."""

    def revoke_others(self, session: Session, /) -> int:
        own = self.world.schema.options.get("transform", str)(_revealed(session))
        key, user = self.table.c[self.world.schema.key], self.table.c[self.world.schema.options["user"]]
        with self.engine.connect() as connection:
            found = connection.execute(select(user).where(key == own)).scalar()
        if found is None:
            raise SessionRevoked
        sleep(THINKING)
        sqlite = self.engine.dialect.name == "sqlite"
        with self.engine.execution_options(isolation_level="SERIALIZABLE" if sqlite else "READ COMMITTED").connect() as connection:
            if sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            connection.execute(select(key).where(user == found).order_by(key).with_for_update()).all()
            count: int = connection.execute(delete(self.table).where(user == found, key != own)).rowcount
            connection.commit()
            return count


def _revealed(session: Session) -> str:
    assert session.credential is not None
    return session.credential.reveal()


# --- the races --------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(kind: Kind, schema: Schema, place: Place) -> Iterator[TableWorld]:
    world = TableWorld(kind, place(kind.database), schema)
    yield world
    world.close()


@pytest.mark.parametrize("callers", [2, 4, 16])
@pytest.mark.parametrize("schema", [AUTHJS, LARAVEL, RAILS, OWN], ids=str)
@pytest.mark.parametrize("kind", BOTH, ids=str)
def test_p2_exactly_one_of_many_callers_survives_and_its_count_is_true(world: TableWorld, callers: int) -> None:
    tally = race(world, world.sessions, callers=callers, trials=TRIALS if callers < 16 else 5)
    assert tally.clean, tally


@pytest.mark.parametrize("naive", [CheckThenDelete, LocksWithoutLooking])
@pytest.mark.parametrize("schema", [AUTHJS, BETTER_AUTH], ids=str)
@pytest.mark.parametrize("kind", SYNC, ids=str)
def test_canary_a_naive_variant_leaves_nobody_in_most_trials(world: TableWorld, naive: type[CheckThenDelete]) -> None:
    variant = naive(world)
    try:
        tally = race(world, variant, callers=2)
    finally:
        variant.engine.dispose()
    assert tally.nobody > TRIALS / 2, tally


@pytest.mark.parametrize("schema", [AUTHJS, LARAVEL], ids=str)
@pytest.mark.parametrize("kind", BOTH, ids=str)
def test_p8_many_users_at_once_and_logins_meanwhile_neither_fail_nor_meet(world: TableWorld) -> None:
    """Auth.js has no index on its users: what a scan passes belongs to others."""
    users = [f"user {number}" for number in range(8)]
    owns = [world.sign_in(user) for user in users]
    for user in users * 5:
        world.insert(user)
    over = Event()

    def sign_in_others() -> None:
        while not over.wait(0.005):
            world.insert(f"somebody {uuid4()}")

    busy = Thread(target=sign_in_others)
    busy.start()
    try:
        counts = together(*(partial(world.sessions.revoke_others, own.session) for own in owns))
    finally:
        over.set()
        busy.join(PATIENCE)
    assert counts == [5] * len(users)
    assert all(world.lives(*owns))


@pytest.mark.parametrize("schema", [AUTHJS, LARAVEL], ids=str)
@pytest.mark.parametrize("kind", [PSYCOPG, PYMYSQL, ASYNCPG, ASYNCMY], ids=str)
def test_p8_who_holds_the_row_of_another_user_is_not_waited_for(world: TableWorld) -> None:
    """InnoDB would wait at every row that a scan passes, and users of Auth.js have no index."""
    own, _, bob = world.sign_in(), world.sign_in(), world.sign_in("bob")
    with world.safe.connect() as connection:
        held = select(world.schema.table).where(world.key_column == world.key_of(bob)).with_for_update()
        assert len(connection.execute(held).all()) == 1
        assert world.sessions.revoke_others(own.session) == 1
        connection.rollback()


class Recorded:
    """An executor of MariaDB's with many rows of one user, in the order of the database, that notes what is locked."""

    dialect = MYSQL

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self.locked: list[str] = []
        self.templates: Mapping[str, str] = {}

    def compiled(self, templates: Mapping[str, str]) -> Mapping[str, str]:
        self.templates = templates
        return {name: name for name in templates}

    def rows(self, name: str, **values: Any) -> list[tuple[Any, ...]]:
        now = datetime(2026, 1, 1)  # noqa: DTZ001 - as the driver gives it
        if name == "columns":
            return [("token", "varchar(64)", "by_token"), ("owner", "varchar(64)", None)]
        if name == "of_user":
            return [(key, "ann") for key in self.keys]
        named = list(dict.fromkeys(value for parameter, value in values.items() if parameter.startswith("key")))
        self.locked += named if name.startswith("lock_") and name != "lock_one" else []
        return [(key, "ann", None, 0, 0, now, now) for key in named]

    def change(self, name: str, **values: Any) -> int:
        return len({value for parameter, value in values.items() if parameter.startswith("key")})

    def check_time(self) -> None:
        pass

    def transact(self, body: Callable[[Any], Any]) -> Any:
        return body(self)


@pytest.mark.parametrize("many", [1, 2, 20, 21, 500, 501, 1234])
def test_rows_are_locked_in_the_order_of_the_database_whatever_index_finds_them(many: int) -> None:
    keys = [f"{number:x}" for number in range(many)]
    queries = Queries(Layout(table="t", key="token", user="owner"), verbatim)
    executor: Any = Recorded(keys)
    found = queries.find(Credential(keys[-1].encode()))
    assert found is not None
    session = found.run(executor)
    assert session is not None
    assert queries.revoke_others(session).run(executor) == many - 1
    assert executor.locked == keys
    templates = executor.templates
    assert templates["of_user"].endswith("ORDER BY `token`")
    locking = [template for name, template in templates.items() if name.startswith("lock_") and name[5:].isdigit()]
    assert all(" FORCE INDEX (`by_token`) " in template and "ORDER BY `token`" in template for template in locking)
