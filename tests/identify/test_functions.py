"""Identifiers of a few lines for Pyramid and Litestar, against the real libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from litestar import Litestar, Request, get
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.testing import TestClient

from sessionward.identify import Function
from sessionward.identify.litestar import client_side, server_side
from sessionward.session.identifier import IdentifierSpec, app_session_digest
from tests.identify.claims import FOREIGN_SECRET, GARBAGE, SECRET, UNREADABLE, identity, mutated, other_spellings, said
from tests.identify.functions import pyramid_session
from tests.identify.old import Configurator, Response, SignedCookieSessionFactory, TestApp

# --- Pyramid ----------------------------------------------------------------------------------------------------------


def pyramid_site(factory: Any) -> Any:
    config = Configurator(session_factory=factory)

    def login(request: Any) -> Any:
        request.session["user"] = request.matchdict["user"]
        return Response("")

    def cart(request: Any) -> Any:
        request.session["cart"] = 1
        return Response("")

    def me(request: Any) -> Any:
        return Response(request.session.get("user", ""))

    for name, path, view in (("login", "/login/{user}", login), ("cart", "/cart", cart), ("me", "/me", me)):
        config.add_route(name, path)
        config.add_view(view, route_name=name)
    return config.make_wsgi_app()


FACTORY = SignedCookieSessionFactory(SECRET, timeout=86_400)  # the visits below are from when the tests were collected
PYRAMID = pyramid_site(FACTORY)
OF_PYRAMID = pyramid_session(FACTORY, user="user")


def pyramid_visit(app: Any, path: str) -> str:
    browser = TestApp(app)
    browser.get(path)
    return str(browser.cookies["session"])


def pyramid_says(app: Any, value: str) -> str | None:
    return TestApp(app).get("/me", headers={"Cookie": f"session={value}"}).text or None


PYRAMID_ADA = pyramid_visit(PYRAMID, "/login/ada")


def test_a_login_of_pyramid_is_read_as_the_application_reads_it() -> None:
    assert said(OF_PYRAMID, "session", PYRAMID_ADA) == pyramid_says(PYRAMID, PYRAMID_ADA) == "ada"
    assert said(OF_PYRAMID, "session", pyramid_visit(PYRAMID, "/cart")) is None


def test_what_pyramid_did_not_sign_is_unreadable() -> None:
    foreign = pyramid_visit(pyramid_site(SignedCookieSessionFactory(FOREIGN_SECRET)), "/login/ada")
    for value in (foreign, PYRAMID_ADA[:-2], PYRAMID_ADA[2:], "null", "hello"):
        assert said(OF_PYRAMID, "session", value) == UNREADABLE
        assert pyramid_says(PYRAMID, value) is None
    assert {said(OF_PYRAMID, "session", value) for value in other_spellings(PYRAMID_ADA)} == {UNREADABLE}


def test_a_session_of_pyramid_that_has_timed_out_names_nobody() -> None:
    factory = SignedCookieSessionFactory(SECRET, timeout=-1)
    app = pyramid_site(factory)
    value = pyramid_visit(app, "/login/ada")
    assert said(pyramid_session(factory, user="user"), "session", value) is None
    assert pyramid_says(app, value) is None


# --- Litestar ---------------------------------------------------------------------------------------------------------


@get("/login/{user:str}")
async def login(request: Request[Any, Any, Any]) -> str:
    request.session["user"] = request.path_params["user"]
    return ""


@get("/cart/{size:int}")
async def cart(request: Request[Any, Any, Any]) -> str:
    request.session["cart"] = "book " * request.path_params["size"]
    return ""


@get("/me")
async def me(request: Request[Any, Any, Any]) -> str:
    return str(request.session.get("user") or "")


def litestar_site(config: Any) -> Litestar:
    return Litestar([login, cart, me], middleware=[config.middleware], openapi_config=None)


def litestar_visit(app: Litestar, *paths: str) -> Mapping[str, str]:
    jar: dict[str, str] = {}
    with TestClient(app, base_url="http://testserver.local") as client:
        for path in paths:
            client.cookies.clear()
            answer = client.get(path, headers={"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())} if jar else {})
            jar.update(re.findall(r"(?:^|, )(session[^=]*)=([^;]*)", answer.headers.get("set-cookie", "")))
    return {name: value for name, value in jar.items() if value != "null"}


def litestar_says(app: Litestar, cookies: Mapping[str, str]) -> str | None:
    with TestClient(app, base_url="http://testserver.local") as client:
        answer = client.get("/me", headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())})
    assert answer.status_code == 200
    return answer.text or None


IN_STORE = ServerSideSessionConfig()
IN_COOKIE = CookieBackendConfig(secret=SECRET.encode()[:32])
OF_COOKIE = client_side(IN_COOKIE, user="user")


def test_a_session_in_litestar_s_store_is_read_as_the_application_reads_it() -> None:
    app = litestar_site(IN_STORE)
    identifier = server_side(app, IN_STORE, user="user")
    cookies = litestar_visit(app, "/login/ada")
    found = identity(identifier, "session", cookies["session"])
    assert found is not None
    assert found.user_id == litestar_says(app, cookies) == "ada"
    assert found.app_session == app_session_digest(cookies["session"])
    assert said(identifier, "session", litestar_visit(app, "/cart/1")["session"]) is None
    assert said(identifier, "session", "null") is None, "what signing out leaves, and Litestar takes for no id"
    for value in ("0123456789abcdef", "chosen by the client", *other_spellings(cookies["session"])):
        assert said(identifier, "session", value) == UNREADABLE
    assert (IdentifierSpec.of(identifier).is_async, IdentifierSpec.of(identifier).server_side) == (True, True)


def test_a_session_in_litestar_s_cookie_is_read_as_the_application_reads_it() -> None:
    app = litestar_site(IN_COOKIE)
    cookies = litestar_visit(app, "/login/ada")
    assert said(OF_COOKIE, "session", cookies["session"]) == litestar_says(app, cookies) == "ada"
    assert said(OF_COOKIE, "session", litestar_visit(app, "/cart/1")["session"]) is None


def test_a_long_session_of_litestar_comes_in_parts() -> None:
    app = litestar_site(IN_COOKIE)
    cookies = litestar_visit(app, "/login/ada", "/cart/2000")
    parts = {name: value for name, value in cookies.items() if name != "session"}
    assert sorted(parts) == [f"session-{number}" for number in range(len(parts))]
    assert len(parts) > 1
    assert litestar_says(app, parts) == "ada"
    assert said(OF_COOKIE, "session-*", "".join(part.strip('"') for part in parts.values())) == "ada"
    for part in parts.values():
        assert said(OF_COOKIE, "session", part) == UNREADABLE


def test_what_litestar_did_not_encrypt_or_has_expired_is_unreadable() -> None:
    app = litestar_site(IN_COOKIE)
    foreign = litestar_visit(litestar_site(CookieBackendConfig(secret=FOREIGN_SECRET.encode()[:32])), "/login/ada")
    expired = CookieBackendConfig(secret=IN_COOKIE.secret, max_age=1)
    expired.max_age = -1
    old = litestar_visit(litestar_site(expired), "/login/ada")
    for value in (foreign["session"], old["session"]):
        assert said(OF_COOKIE, "session", value) == UNREADABLE
        assert litestar_says(app, {"session": value}) is None


def cookies() -> Iterator[Any]:
    litestar = litestar_visit(litestar_site(IN_COOKIE), "/login/ada")["session"]
    yield pytest.param(OF_PYRAMID, PYRAMID_ADA, id="Pyramid")
    yield pytest.param(OF_COOKIE, litestar, id="Litestar")


@pytest.mark.parametrize(("identifier", "value"), [*cookies()])
def test_garbage_is_unreadable_and_nothing_worse(identifier: Function, value: str) -> None:
    @given(GARBAGE)
    def garbage(text: str) -> None:
        assert said(identifier, "session", text) == UNREADABLE

    @given(mutated(value))
    def changed(text: str) -> None:
        assert said(identifier, "session", text) in {UNREADABLE, "ada"}

    garbage()
    changed()
