"""Both doors with ``api=True`` over the tables that are in the field: the application's own credential asks and revokes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

import sessionward
from sessionward.testing import Client
from tests.backends.schemas import SCHEMAS
from tests.backends.tableworld import TableWorld
from tests.backends.test_table_doors import async_nobody, headers_of, nobody
from tests.contract.doors import Answer, asgi_scope, ask_asgi, ask_wsgi, wsgi_environ
from tests.contract.sql_world import SQLITE, SQLITE_ASYNC, Kind

Ask = Callable[..., Answer]


def through_wsgi(world: TableWorld, method: str, address: str, headers: dict[str, str]) -> Answer:
    app = sessionward.WSGIMiddleware(nobody, world.backend, api=True, backend_timeout=10)
    path, query = urlsplit(address).path, urlsplit(address).query
    return ask_wsgi(app, {**wsgi_environ(method, path, headers), "QUERY_STRING": query})


def through_asgi(world: TableWorld, method: str, address: str, headers: dict[str, str]) -> Answer:
    app = sessionward.ASGIMiddleware(async_nobody, world.backend, api=True, backend_timeout=10)
    path, query = urlsplit(address).path, urlsplit(address).query
    return asyncio.run(ask_asgi(app, {**asgi_scope(method, path, headers), "query_string": query.encode()}))


@pytest.fixture
def world(kind: Kind, name: str, sqlite_url: str) -> Iterator[TableWorld]:
    world = TableWorld(kind, sqlite_url, SCHEMAS[name])
    yield world
    world.close()


through_each_door = pytest.mark.parametrize(
    ("kind", "ask"),
    [
        pytest.param(SQLITE, through_wsgi, id="WSGI"),
        pytest.param(SQLITE, through_asgi, id="ASGI, a sync backend"),
        pytest.param(SQLITE_ASYNC, through_asgi, id="ASGI"),
    ],
)
every_table = pytest.mark.parametrize("name", SCHEMAS)


def ids(answer: Answer) -> list[Any]:
    assert answer.status == 200, answer
    return [session["id"] for session in json.loads(answer.body)]


@through_each_door
@every_table
def test_whoami_is_the_session_of_the_credential_and_the_list_has_the_others(world: TableWorld, ask: Ask) -> None:
    own, other, third, bob = world.sign_in(), world.sign_in(), world.sign_in(), world.sign_in("bob")
    came = headers_of(world, own.credential.reveal())
    answer = ask(world, "GET", "/auth/sessions/whoami", came)
    session = json.loads(answer.body)
    assert (answer.status, session["id"]) == (200, str(own.session.id))
    assert session["identity"]["external_id"] == world.text_of("ann")
    answer = ask(world, "GET", "/auth/sessions", came)
    assert set(ids(answer)) == {str(other.session.id), str(third.session.id)}
    assert ("x-total-count", "2") in [(name.lower(), value) for name, value in answer.headers]
    assert str(bob.session.id) not in answer.body.decode()
    for client in (own, other, third, bob):
        assert client.credential.reveal() not in answer.body.decode()
        assert len(str(world.key_of(client))) < 8 or str(world.key_of(client)) not in answer.body.decode()
    for wrong in ("x", world.schema.forged(world.insert())):
        for path in ("/auth/sessions", "/auth/sessions/whoami"):
            assert ask(world, "GET", path, headers_of(world, wrong)).status == 401


@through_each_door
@every_table
def test_the_links_of_the_pages_lead_to_every_session_once(world: TableWorld, ask: Ask) -> None:
    own, *others = (world.sign_in() for _ in range(6))
    came, seen, address, links = headers_of(world, own.credential.reveal()), list[Any](), "/auth/sessions?page_size=2", ""
    for _ in range(3):
        answer = ask(world, "GET", address, came)
        seen += ids(answer)
        (links,) = [value for name, value in answer.headers if name.lower() == "link"]
        address = links.rpartition("<")[2].partition(">")[0]
    assert 'rel="next"' not in links
    assert sorted(seen) == sorted(str(client.session.id) for client in others)
    assert ask(world, "GET", "/auth/sessions?page_token=x", came).status == 400


@through_each_door
@pytest.mark.parametrize("name", ["laravel"])
def test_a_link_and_a_receipt_are_good_for_a_cookie_that_each_response_enciphers_anew(world: TableWorld, ask: Ask) -> None:
    own, *others = (world.sign_in() for _ in range(5))
    bob = world.sign_in("bob")

    def came(client: Client = own) -> dict[str, str]:
        return headers_of(world, world.schema.credential(world.key_of(client)))

    assert came() != came()
    first = ask(world, "GET", "/auth/sessions?page_size=2", came())
    (links,) = [value for name, value in first.headers if name.lower() == "link"]
    address = links.rpartition("<")[2].partition(">")[0]
    second = ask(world, "GET", address, came())
    assert sorted(ids(first) + ids(second)) == sorted(str(client.session.id) for client in others)
    assert ask(world, "GET", address, came(bob)).status == 400
    form = ask(world, "POST", "/auth/sessions/revoke-others", came() | {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"})
    (shown,) = [value for name, value in form.headers if name.lower() == "location"]
    assert b"Done. 4 other sign-ins" in ask(world, "GET", shown, came() | {"Accept": "text/html"}).body
    assert b"Done. 4 other sign-ins" not in ask(world, "GET", shown, came(bob) | {"Accept": "text/html"}).body


@through_each_door
@every_table
def test_one_is_revoked_by_its_id_and_every_other_lives(world: TableWorld, ask: Ask) -> None:
    own, other, third, bob = world.sign_in(), world.sign_in(), world.sign_in(), world.sign_in("bob")
    came = headers_of(world, own.credential.reveal())
    (first, _) = ids(ask(world, "GET", "/auth/sessions", came))
    clients = {str(client.session.id): client for client in (other, third)}
    assert ask(world, "DELETE", f"/auth/sessions/{first}", came).status == 204
    assert world.lives(clients.pop(first), *clients.values(), own, bob) == [False, True, True, True]
    assert ask(world, "DELETE", f"/auth/sessions/{first}", came).status == 204
    assert ask(world, "DELETE", f"/auth/sessions/{bob.session.id}", came).status == 204
    assert ask(world, "DELETE", f"/auth/sessions/{own.session.id}", came).status == 400
    assert ask(world, "DELETE", "/auth/sessions/1", came).status == 400
    assert world.lives(own, bob) == [True, True]


@through_each_door
@every_table
def test_a_page_of_another_site_cannot_revoke_one_with_the_cookie_of_the_application(world: TableWorld, ask: Ask) -> None:
    own, other = world.sign_in(), world.sign_in()
    came = headers_of(world, own.credential.reveal())
    answer = ask(world, "DELETE", f"/auth/sessions/{other.session.id}", came | {"Sec-Fetch-Site": "cross-site"})
    is_cookie = "Cookie" in came
    assert answer.status == (403 if is_cookie else 204)
    assert world.lives(own, other) == [True, is_cookie]


@through_each_door
@pytest.mark.parametrize("name", ["better-auth", "rails", "laravel"])
def test_the_page_shows_what_the_rows_know_and_its_form_revokes(world: TableWorld, ask: Ask) -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    address, agent = ("ipAddress", "userAgent") if world.schema is SCHEMAS["better-auth"] else ("ip_address", "user_agent")
    own, other = world.sign_in(), world.sign_in(**{address: "192.0.2.77", agent: firefox})
    came = headers_of(world, own.credential.reveal())
    page = ask(world, "GET", "/auth/sessions", came | {"Accept": "text/html"})
    assert page.status == 200
    assert all(said in page.body.decode() for said in ("192.0.2.77", "Firefox", str(other.session.id)))
    assert ask(world, "POST", f"/auth/sessions/{other.session.id}/revoke", came | {"Sec-Fetch-Site": "same-origin"}).status == 303
    assert world.lives(own, other) == [True, False]


@through_each_door
@pytest.mark.parametrize("name", ["authjs"])
def test_p7_a_table_that_has_gone_is_503(world: TableWorld, ask: Ask) -> None:
    own, other = world.sign_in(), world.sign_in()
    came = headers_of(world, own.credential.reveal())
    world.schema.table.drop(world.safe)
    try:
        for method, path in (("GET", ""), ("GET", "/whoami"), ("DELETE", f"/{other.session.id}")):
            assert ask(world, method, f"/auth/sessions{path}", came).status == 503
    finally:
        world.schema.table.create(world.safe)


@pytest.mark.parametrize("kind", [SQLITE], ids=str)
@pytest.mark.parametrize("name", ["rails"])
def test_recent_holds_where_a_column_says_when_users_signed_in(world: TableWorld) -> None:
    app = sessionward.WSGIMiddleware(nobody, world.backend, api=True, recent=300, sign_in="/login", backend_timeout=10)
    old = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=400)
    own, other = world.sign_in(created_at=old), world.sign_in()
    for path in ("/auth/sessions", f"/auth/sessions/{other.session.id}"):
        answer = ask_wsgi(app, wsgi_environ("DELETE", path, headers_of(world, own.credential.reveal())))
        assert (answer.status, json.loads(answer.body)["error"]["id"]) == (403, "session_refresh_required")
    assert ask_wsgi(app, wsgi_environ("DELETE", "/auth/sessions", headers_of(world, other.credential.reveal()))).status == 200
    assert world.lives(own, other) == [False, True]


@pytest.mark.parametrize("kind", [SQLITE, SQLITE_ASYNC], ids=str)
@pytest.mark.parametrize("name", ["authjs", "rails"])
def test_a_limit_that_the_rows_cannot_keep_is_refused_at_start(world: TableWorld, name: str) -> None:
    def start(**settings: Any) -> None:
        sessionward.ASGIMiddleware(async_nobody, world.backend, **settings)

    with pytest.raises(sessionward.ConfigurationError, match="rate_limit"):
        start(rate_limit=10)
    if name == "rails":
        start(recent=300)
    else:
        with pytest.raises(sessionward.ConfigurationError, match="recent"):
            start(recent=300)
