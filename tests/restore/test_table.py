"""Mode application: the rows of the application come back with its database, and the command ends them all."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import insert

from sessionward.backends.table import AsyncTableBackend, TableBackend
from tests.backends.schemas import AUTHJS, BETTER_AUTH, HOUR, LARAVEL, OWN, Schema
from tests.contract.sql_world import safe_engine
from tests.doors.sides import SESSIONS, Here, House, Reply
from tests.restore.conftest import Place


async def application(_: Here) -> Reply:
    return Reply()


def backend(place: Place, schema: Schema) -> Any:
    options: dict[str, Any] = {**schema.options, "timeout": 10.0}
    return (AsyncTableBackend if place.is_async else TableBackend)(place.url, schema.table.name, **options)


def add(place: Place, schema: Schema, user: str) -> tuple[str, str]:
    """A row of the application's, as its login makes it. Returns the field with which its client comes."""
    row = schema.row(schema.user(user), HOUR)
    engine = safe_engine(place.url)
    with engine.begin() as connection:
        made = connection.execute(insert(schema.table).values(row))
        key = row.get(schema.key)
        key = key if key is not None or made.inserted_primary_key is None else made.inserted_primary_key[0]
    engine.dispose()
    options = schema.options
    if "header" in options:
        return (options["header"], f"{options['scheme']} {schema.credential(key)}")
    name = options["cookie"] if isinstance(options["cookie"], str) else options["cookie"][-1]
    return ("Cookie", f"{name}={schema.credential(key)}")


def press(house: House, field: tuple[str, str]) -> int:
    return house.ask("DELETE", SESSIONS, field).status


@pytest.mark.parametrize("schema", [LARAVEL, OWN, BETTER_AUTH], ids=str)
def test_p6_in_no_layout_a_row_of_the_dump_signs_anybody_in(sql_dumped: Place, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    ends_everybody(sql_dumped, schema, monkeypatch)


def test_p6_after_the_command_no_row_of_the_backup_signs_anybody_in(sql_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ends_everybody(sql_place, AUTHJS, monkeypatch)


def ended(place: Place, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's command, over the backend of an application."""
    named = ModuleType("an_application_of_the_tests")
    named.backend = backend(place, schema)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, named.__name__, named)
    place.restored(f"{named.__name__}:backend")


def ends_everybody(place: Place, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = safe_engine(place.url)
    schema.table.create(engine)
    engine.dispose()
    house = place.open(application, lambda: backend(place, schema))
    own, other, bob = add(place, schema, "ann"), add(place, schema, "ann"), add(place, schema, "bob")
    place.take()
    assert house.ask("DELETE", SESSIONS, own).json() == {"count": 1}
    assert press(house, other) == 401
    place.restore()
    assert press(house, other) == 200, "the backup must revive it, or this shows nothing"
    place.restore()
    ended(place, schema, monkeypatch)
    assert [press(house, field) for field in (own, other, bob)] == [401, 401, 401]
    new, newer = add(place, schema, "ann"), add(place, schema, "ann")
    assert house.ask("DELETE", SESSIONS, new).json() == {"count": 1}
    assert [press(house, field) for field in (new, newer)] == [200, 401]


def test_p6_a_copy_of_a_session_in_a_cookie_is_taken_out_too(sql_dumped: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application trusts the copy without a look into its table, so the middleware looks."""
    caches = Schema(
        BETTER_AUTH.table, {**BETTER_AUTH.options, "cookie_cache": "better-auth.session_data"}, BETTER_AUTH.row, BETTER_AUTH.credential, str
    )
    engine = safe_engine(sql_dumped.url)
    caches.table.create(engine)
    engine.dispose()
    house = sql_dumped.open(application, lambda: backend(sql_dumped, caches))
    name, own = add(sql_dumped, caches, "ann")

    def copy_reaches_the_application() -> bool:
        assert house.ask("GET", "/", (name, f"{own}; better-auth.session_data=copy")).status == 200
        return "session_data" in (house.seen[-1].header("cookie") or "")

    sql_dumped.take()
    sql_dumped.restore()
    assert copy_reaches_the_application()
    ended(sql_dumped, caches, monkeypatch)
    assert not copy_reaches_the_application()
