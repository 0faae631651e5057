"""Both doors over the tables that are in the field: the application's own credential is all that they need."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sessionward
from sessionward import ConfigurationError
from tests.backends.schemas import SCHEMAS
from tests.backends.tableworld import TableWorld
from tests.contract.doors import Answer, asgi_scope, ask_asgi, ask_wsgi, wsgi_environ
from tests.contract.sql_world import SQLITE, SQLITE_ASYNC, Kind


@pytest.fixture
def world(kind: Kind, name: str, sqlite_url: str) -> Iterator[TableWorld]:
    world = TableWorld(kind, sqlite_url, SCHEMAS[name])
    yield world
    world.close()


def through_wsgi(world: TableWorld, headers: dict[str, str]) -> Answer:
    return ask_wsgi(
        sessionward.WSGIMiddleware(nobody, world.backend, backend_timeout=10), wsgi_environ("DELETE", "/auth/sessions", headers)
    )


def through_asgi(world: TableWorld, headers: dict[str, str]) -> Answer:
    app = sessionward.ASGIMiddleware(async_nobody, world.backend, backend_timeout=10)
    return asyncio.run(ask_asgi(app, asgi_scope("DELETE", "/auth/sessions", headers)))


def nobody(environ: Any, start_response: Any) -> Any:
    raise AssertionError("this is not for the application")


async def async_nobody(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("this is not for the application")


def headers_of(world: TableWorld, value: str) -> dict[str, str]:
    carrier = world.backend.carriers[-1]
    name = carrier.name.decode()
    return {"Cookie": f"theme=dark; {name}={value}"} if carrier.is_cookie else {name: f"Bearer {value}"}


@pytest.mark.parametrize("ask", [through_wsgi, through_asgi], ids=["WSGI", "ASGI"])
@pytest.mark.parametrize("kind", [SQLITE, SQLITE_ASYNC], ids=str)
@pytest.mark.parametrize("name", SCHEMAS)
def test_their_credential_is_all_that_a_door_needs(world: TableWorld, ask: Callable[..., Answer]) -> None:
    if world.kind.is_async and ask is through_wsgi:
        with pytest.raises(ConfigurationError):
            ask(world, {})
        return
    own, other = world.sign_in(), world.sign_in()
    answer = ask(world, headers_of(world, own.credential.reveal()))
    assert (answer.status, json.loads(answer.body)) == (200, {"count": 1})
    assert world.lives(own, other) == [True, False]
    assert not [field for field, _ in answer.headers if field.lower() == "set-cookie"]
    for forged in (world.schema.forged(world.insert()), other.credential.reveal(), "x"):
        assert ask(world, headers_of(world, forged)).status == 401
    twice = headers_of(world, own.credential.reveal())
    if "Cookie" in twice:
        twice["Cookie"] += f"; {world.backend.carriers[-1].name.decode()}=another"
        assert ask(world, twice).status == 400
        assert ask(world, headers_of(world, own.credential.reveal()) | {"Sec-Fetch-Site": "cross-site"}).status == 403


@pytest.mark.parametrize("ask", [through_wsgi, through_asgi], ids=["WSGI", "ASGI"])
@pytest.mark.parametrize("kind", [SQLITE], ids=str)
@pytest.mark.parametrize("name", ["authjs"])
def test_p7_a_table_that_has_gone_is_503_and_its_credential_is_in_no_log(
    world: TableWorld, ask: Callable[..., Answer], caplog: pytest.LogCaptureFixture
) -> None:
    own = world.sign_in()
    world.schema.table.drop(world.safe)
    answer = ask(world, headers_of(world, own.credential.reveal()))
    world.schema.table.create(world.safe)
    assert (answer.status, json.loads(answer.body)["error"]["id"]) == (503, "backend_unavailable")
    assert caplog.text
    assert own.credential.reveal() not in caplog.text
