"""StarletteSession against SessionMiddleware, and Starsessions against starsessions: the same cookie, the same user."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from itsdangerous import TimestampSigner
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starsessions import CookieStore, InMemoryStore, Serializer, SessionAutoloadMiddleware
from starsessions import SessionMiddleware as StarsessionsMiddleware

from sessionward.errors import ConfigurationError
from sessionward.identify.starlette import StarletteSession, Starsessions
from sessionward.session.identifier import IdentifierSpec, app_session_digest
from tests.identify.claims import FOREIGN_SECRET, GARBAGE, SECRET, UNREADABLE, identity, mutated, other_spellings, said, shows

DAY = 86_400


def login(request: Request) -> PlainTextResponse:
    request.session["user_id"] = request.path_params["user"]
    return PlainTextResponse()


def logout(request: Request) -> PlainTextResponse:
    request.session.clear()
    return PlainTextResponse()


def cart(request: Request) -> PlainTextResponse:
    request.session["cart"] = ["book"]
    return PlainTextResponse()


def me(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.session.get("user_id") or ""))


ROUTES = [Route("/login/{user}", login), Route("/logout", logout), Route("/cart", cart), Route("/me", me)]


def site(*middleware: Middleware) -> Starlette:
    return Starlette(routes=ROUTES, middleware=middleware)


def visit(app: Starlette, *paths: str) -> list[str]:
    """The values that a browser was given for its session cookie, page by page; a cleared one is dropped by it."""
    values = []
    with TestClient(app, base_url="https://testserver") as client:
        for path in paths:
            answer = client.get(path)
            values += re.findall(r"(?:^|, )session=([^;]*)", answer.headers.get("set-cookie", ""))
    return values


def app_says(app: Starlette, value: str) -> str | None:
    with TestClient(app, base_url="https://testserver") as client:
        answer = client.get("/me", headers={"Cookie": f"session={value}"})
    assert answer.status_code == 200
    return answer.text or None


# --- SessionMiddleware ------------------------------------------------------------------------------------------------

APP = site(Middleware(SessionMiddleware, secret_key=SECRET))
ADA = visit(APP, "/login/ada")[0]
IDENTIFIER = StarletteSession(SECRET, user="user_id")


def signed(content: Any, *, secret: str = SECRET, age: int = 0) -> str:
    """A session cookie as the middleware signs it, so many seconds ago."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return super().get_timestamp() - age

    return Then(secret).sign(b64encode(json.dumps(content).encode())).decode()


CASES: Mapping[str, str] = {
    "a login": ADA,
    "fresh": signed({"user_id": "ada"}),
    "nearly expired": signed({"user_id": "ada"}, age=13 * DAY),
    "expired": signed({"user_id": "ada"}, age=15 * DAY),
    "of the future": signed({"user_id": "ada"}, age=-DAY),
    "forged": signed({"user_id": "ada"}, secret=FOREIGN_SECRET),
    "anonymous cart": signed({"cart": ["book"]}),
    "nobody": signed({"user_id": None}),
    "an empty name": signed({"user_id": ""}),
    "truncated": ADA[:-1],
    "longer": ADA + "A",
    "null": "null",
    "words": "hello",
    "dots": "...",
}


@pytest.mark.parametrize("value", CASES.values(), ids=CASES)
def test_it_equals_what_the_application_decides(value: str) -> None:
    ours = said(IDENTIFIER, "session", value)
    assert (None if ours == UNREADABLE else ours) == app_says(APP, value)


@pytest.mark.parametrize("case", ["a login", "fresh", "nearly expired"])
def test_a_login_is_read_as_the_application_reads_it(case: str) -> None:
    assert said(IDENTIFIER, "session", CASES[case]) == "ada"


@pytest.mark.parametrize("case", ["anonymous cart", "nobody", "an empty name"])
def test_a_session_without_a_user_names_nobody(case: str) -> None:
    assert said(IDENTIFIER, "session", CASES[case]) is None


@pytest.mark.parametrize("case", ["expired", "of the future", "forged", "truncated", "longer", "null", "words", "dots"])
def test_what_is_no_session_of_the_application_is_unreadable(case: str) -> None:
    assert said(IDENTIFIER, "session", CASES[case]) == UNREADABLE


def test_what_starlette_sends_on_clearing_is_unreadable() -> None:
    assert visit(APP, "/login/ada", "/logout")[-1] == "null"
    assert said(IDENTIFIER, "session", "null") == UNREADABLE


@pytest.mark.parametrize(
    "value",
    [signed(["user_id"]), signed(7), TimestampSigner(SECRET).sign("ada@example.com").decode()],
    ids=["a list", "a number", "an address"],
)
def test_what_the_secret_signed_for_another_purpose_is_unreadable(value: str) -> None:
    assert said(IDENTIFIER, "session", value.replace("@", "")) == said(IDENTIFIER, "session", value) == UNREADABLE


@pytest.mark.parametrize("text", ["YWRh", "eyJ9", "abc", "_w=="], ids=["no JSON", "broken JSON", "no base64", "no UTF-8"])
def test_a_signed_text_that_is_no_session_is_unreadable(text: str) -> None:
    assert said(IDENTIFIER, "session", TimestampSigner(SECRET).sign(text).decode()) == UNREADABLE


def test_another_spelling_is_unreadable_even_where_starlette_reads_it() -> None:
    assert app_says(APP, f'"{ADA}"') == "ada"
    assert {said(IDENTIFIER, "session", value) for value in other_spellings(ADA)} == {UNREADABLE}


@given(GARBAGE)
def test_garbage_is_unreadable_and_nothing_worse(garbage: str) -> None:
    assert said(IDENTIFIER, "session", garbage) == said(IN_STORE, "session", garbage) == UNREADABLE


@given(mutated(ADA))
def test_a_changed_cookie_is_unreadable_or_the_same_to_the_application(value: str) -> None:
    found = said(IDENTIFIER, "session", value)
    assert found in {UNREADABLE, "ada"}
    assert found == UNREADABLE or app_says(APP, value) == "ada"


def test_the_user_may_be_found_by_a_function() -> None:
    identifier = StarletteSession(SECRET, user=lambda session: session.get("user", {}).get("sub"))
    assert said(identifier, "session", signed({"user": {"sub": 7}})) == "7"
    assert said(identifier, "session", signed({"cart": []})) is None


def test_what_the_function_raises_is_no_anonymous_visitor() -> None:
    identifier = StarletteSession(SECRET, user=lambda session: session["user"]["sub"])
    with pytest.raises(KeyError):
        identity(identifier, "session", signed({"cart": []}))


def test_a_secret_of_starlette_s_own_kind_is_taken() -> None:
    app = site(Middleware(SessionMiddleware, secret_key=Secret(SECRET), max_age=None, session_cookie="session"))
    identifier = StarletteSession(Secret(SECRET), user="user_id", max_age=None)
    assert said(identifier, "session", visit(app, "/login/ada")[0]) == "ada"
    assert said(identifier, "session", CASES["expired"]) == app_says(app, CASES["expired"]) == "ada"


def test_what_is_declared_is_what_the_door_sees() -> None:
    spec = IdentifierSpec.of(StarletteSession(SECRET, user="user_id", cookie="sid", max_age=60))
    assert (spec.cookies, spec.lifetime, spec.server_side, spec.blocks, spec.is_async) == ((b"sid",), 60.0, False, False, False)
    assert IdentifierSpec.of(StarletteSession(SECRET, user="user_id", max_age=None)).lifetime == 400 * DAY
    found = identity(IDENTIFIER, "session", ADA)
    assert found is not None
    assert (found.app_session, found.lifetime) == (None, None)


@pytest.mark.parametrize("secret", ["", None, SECRET.encode()], ids=["empty", "none", "bytes"])
def test_all_mistakes_are_told_at_once(secret: object) -> None:
    with pytest.raises(ConfigurationError) as told:
        StarletteSession(secret, user="", cookie="", max_age=1.5)  # type: ignore[arg-type]
    assert {mistake.partition(":")[0] for mistake in told.value.mistakes} == {"secret_key", "user", "cookie", "max_age"}
    assert SECRET not in str(told.value)


def test_it_shows_no_secret() -> None:
    assert SECRET not in shows(IDENTIFIER)
    assert SECRET not in shows(StarletteSession(Secret(SECRET), user="user_id"))


# --- starsessions -----------------------------------------------------------------------------------------------------

STORE = InMemoryStore()
STARSESSIONS = site(Middleware(StarsessionsMiddleware, store=STORE, lifetime=3600), Middleware(SessionAutoloadMiddleware))
IN_STORE = Starsessions(STORE, user="user_id", lifetime=3600)


def test_a_session_in_a_store_is_read_as_the_application_reads_it() -> None:
    value = visit(STARSESSIONS, "/login/ada")[0]
    assert said(IN_STORE, "session", value) == app_says(STARSESSIONS, value) == "ada"
    found = identity(IN_STORE, "session", value)
    assert found is not None
    assert found.app_session == app_session_digest(value)


def test_a_session_in_a_store_without_a_user_names_nobody() -> None:
    assert said(IN_STORE, "session", visit(STARSESSIONS, "/cart")[0]) is None


def test_the_user_changes_behind_an_id_that_stays() -> None:
    cart, ada = visit(STARSESSIONS, "/cart", "/login/ada")
    assert cart == ada
    assert IdentifierSpec.of(IN_STORE).server_side


def test_an_id_chosen_by_the_client_is_unreadable_until_the_application_has_taken_it() -> None:
    chosen = "chosen-by-the-client"
    assert said(IN_STORE, "session", chosen) == UNREADABLE
    with TestClient(STARSESSIONS, base_url="https://testserver") as client:
        client.get("/login/ada", headers={"Cookie": f"session={chosen}"})
    assert said(IN_STORE, "session", chosen) == "ada"  # the application would have, so nothing unreadable may reach it
    asyncio.run(STORE.remove(chosen))
    assert said(IN_STORE, "session", chosen) == UNREADABLE


def test_after_clearing_the_session_is_unknown() -> None:
    value = visit(STARSESSIONS, "/login/ada", "/logout")
    assert value[-1] == "''"
    assert said(IN_STORE, "session", value[0]) == said(IN_STORE, "session", "''") == UNREADABLE


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[]", b"7"], ids=repr)
def test_what_is_stored_but_no_session_is_unreadable(data: bytes) -> None:
    asyncio.run(STORE.write("broken", data, 0, 0))
    assert said(IN_STORE, "session", "broken") == UNREADABLE


def test_another_spelling_of_an_id_is_unreadable() -> None:
    value = visit(STARSESSIONS, "/login/ada")[0]
    assert app_says(STARSESSIONS, f'"{value}"') == "ada"
    assert {said(IN_STORE, "session", spelled) for spelled in other_spellings(value)} == {UNREADABLE}


class Reversed(Serializer):
    """A serializer of the application's own."""

    def serialize(self, data: Any) -> bytes:
        return json.dumps(data).encode()[::-1]

    def deserialize(self, data: bytes) -> Any:
        return json.loads(data[::-1]) if data else {}


def test_a_serializer_of_the_application_s_own_is_used() -> None:
    store = InMemoryStore()
    app = site(Middleware(StarsessionsMiddleware, store=store, serializer=Reversed()), Middleware(SessionAutoloadMiddleware))
    value = visit(app, "/login/ada")[0]
    assert said(Starsessions(store, user="user_id", serializer=Reversed()), "session", value) == "ada"
    assert said(Starsessions(store, user="user_id"), "session", value) == UNREADABLE
    assert said(Starsessions(store, user="user_id", serializer=Reversed()), "session", "unknown") == UNREADABLE


class Down:
    """A store that does not answer."""

    async def read(self, session_id: str, lifetime: int) -> bytes:
        raise ConnectionError("the store is down")


def test_a_store_that_cannot_answer_is_no_unknown_session() -> None:
    with pytest.raises(ConnectionError):
        identity(Starsessions(Down(), user="user_id"), "session", "0123456789abcdef")


@pytest.mark.parametrize("value", ["a b", "a\x00b", "*", "", "caf\xe9"], ids=repr)
def test_a_store_is_not_asked_for_what_no_id_looks_like(value: str) -> None:
    assert said(Starsessions(Down(), user="user_id"), "session", value) == UNREADABLE


def test_starsessions_that_keep_everything_in_the_cookie_are_read_by_the_other_one() -> None:
    app = site(Middleware(StarsessionsMiddleware, store=CookieStore(SECRET), lifetime=3600), Middleware(SessionAutoloadMiddleware))
    value = visit(app, "/login/ada")[0]
    assert said(StarletteSession(SECRET, user="user_id", max_age=3600), "session", value) == app_says(app, value) == "ada"
    with pytest.raises(ConfigurationError, match="StarletteSession"):
        Starsessions(CookieStore(SECRET), user="user_id")


def test_what_starsessions_declare_is_what_the_door_sees() -> None:
    spec = IdentifierSpec.of(Starsessions(STORE, user="user_id", cookie="sid", lifetime=60))
    assert (spec.cookies, spec.lifetime, spec.server_side, spec.blocks, spec.is_async) == ((b"sid",), 60.0, True, True, True)
    assert IdentifierSpec.of(Starsessions(STORE, user="user_id")).lifetime == 31 * DAY


def test_all_mistakes_with_a_store_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as told:
        Starsessions(object(), user=7, cookie="", lifetime="long")  # type: ignore[arg-type]
    assert {mistake.partition(":")[0] for mistake in told.value.mistakes} == {"store", "user", "cookie", "lifetime"}
