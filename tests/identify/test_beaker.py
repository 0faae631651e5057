"""Beaker's sessions on the server, read as its own middleware reads them."""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from beaker.container import MemoryNamespaceManager  # type: ignore[import-untyped]
from beaker.middleware import SessionMiddleware  # type: ignore[import-untyped]
from beaker.session import Session  # type: ignore[import-untyped]
from hypothesis import given

from sessionward.errors import ConfigurationError
from sessionward.identify.beaker import Beaker
from sessionward.session.identifier import IdentifierSpec, app_session_digest
from tests.identify.claims import FOREIGN_SECRET, GARBAGE, SECRET, UNREADABLE, identity, mutated, other_spellings, said, shows
from tests.identify.old import TestApp

NAME = "beaker.session.id"


def pages(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    session = environ["beaker.session"]
    path = environ["PATH_INFO"]
    if path.startswith("/login/"):
        session["user"] = path.removeprefix("/login/")
        session.save()
    if path == "/cart":
        session["cart"] = ["book"]
        session.save()
    if path == "/logout":
        session.delete()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [session.get("user", "").encode()]


def visit(app: SessionMiddleware, *paths: str) -> str:
    """The session cookie of a browser that has visited these pages."""
    browser = TestApp(app)
    for path in paths:
        browser.get(path)
    return str(browser.cookies[NAME]).strip('"')


def app_says(app: SessionMiddleware, value: str) -> str | None:
    return TestApp(app).get("/me", headers={"Cookie": f"{NAME}={value}"}).text or None


@pytest.fixture(params=["memory", "file", "json in files", "signed", "encrypted"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> SessionMiddleware:
    files = {"session.type": "file", "session.data_dir": str(tmp_path)}
    options = {
        "memory": {"session.type": "memory"},
        "file": files,
        "json in files": {**files, "session.data_serializer": "json"},
        "signed": {**files, "session.secret": SECRET},
        "encrypted": {**files, "session.encrypt_key": SECRET, "session.validate_key": SECRET},
    }
    return SessionMiddleware(pages, options[request.param])


def of(app: SessionMiddleware) -> Beaker:
    return Beaker(app.options, user="user")


def test_a_login_is_read_as_the_application_reads_it(app: SessionMiddleware) -> None:
    value = visit(app, "/login/ada")
    assert said(of(app), NAME, value) == app_says(app, value) == "ada"


def test_a_companion_goes_with_the_id_which_stays_the_same_at_login(app: SessionMiddleware) -> None:
    browser = TestApp(app)
    browser.get("/cart")
    value = browser.cookies[NAME]
    assert said(of(app), NAME, value) is None
    assert "Set-Cookie" not in browser.get("/login/ada").headers
    found = identity(of(app), NAME, value)
    assert found is not None
    assert (found.user_id, found.app_session) == ("ada", app_session_digest(value[-32:]))
    assert IdentifierSpec.of(of(app)).server_side


def test_an_id_that_the_store_does_not_know_is_unreadable(app: SessionMiddleware) -> None:
    assert said(of(app), NAME, "chosen-by-the-client") == UNREADABLE
    value = visit(app, "/login/ada")
    TestApp(app).get("/logout", headers={"Cookie": f"{NAME}={value}"})
    Session({}, id=value[-32:], **{**app.options, "use_cookies": False}).namespace.remove()
    assert said(of(app), NAME, value) == UNREADABLE
    assert app_says(app, value) is None


def test_another_spelling_is_unreadable(app: SessionMiddleware) -> None:
    value = visit(app, "/login/ada")
    assert app_says(app, f'"{value}"') == "ada"
    assert {said(of(app), NAME, spelled) for spelled in other_spellings(value)} == {UNREADABLE}


def test_reading_writes_nothing(app: SessionMiddleware) -> None:
    value = visit(app, "/login/ada")
    options = {**app.options, "use_cookies": False}
    before = Session({}, id=value[-32:], **options).last_accessed
    said(of(app), NAME, value)
    assert Session({}, id=value[-32:], **options).last_accessed == before


def test_a_session_that_has_timed_out_is_unreadable(tmp_path: Path) -> None:
    app = SessionMiddleware(pages, {"session.type": "file", "session.data_dir": str(tmp_path), "session.timeout": 60})
    value = visit(app, "/login/ada")
    session = Session({}, id=value, **{**app.options, "use_cookies": False})
    session["_accessed_time"] -= 61
    session.save()
    assert said(of(app), NAME, value) == UNREADABLE
    assert app_says(app, value) is None


@pytest.mark.filterwarnings("ignore:Invalidating corrupt session:beaker.exceptions.BeakerWarning")
def test_a_session_that_cannot_be_decoded_is_unreadable_where_the_application_begins_anew(tmp_path: Path) -> None:
    files = {"session.type": "file", "session.data_dir": str(tmp_path)}
    value = visit(SessionMiddleware(pages, files), "/login/ada")
    app = SessionMiddleware(pages, {**files, "session.data_serializer": "json"})
    assert app_says(app, value) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Beaker's own warning tells the id
        assert said(of(app), NAME, value) == UNREADABLE
    with pytest.raises(zlib.error):
        identity(Beaker({**app.options, "invalidate_corrupt": False}, user="user"), NAME, value)


class Down(MemoryNamespaceManager):  # type: ignore[misc]
    """A store that does not answer."""

    def __getitem__(self, key: str) -> Any:
        raise ConnectionError("the store is down")


@pytest.mark.parametrize("forgiving", [True, False])
def test_a_store_that_cannot_answer_is_no_unknown_session(forgiving: bool) -> None:
    identifier = Beaker({"namespace_class": Down, "invalidate_corrupt": forgiving}, user="user")
    with pytest.raises(ConnectionError):
        identity(identifier, NAME, "0123456789abcdef")


# --- signatures -------------------------------------------------------------------------------------------------------

SIGNED = SessionMiddleware(pages, {"session.type": "memory", "session.secret": SECRET})
ADA = visit(SIGNED, "/login/ada")


def test_the_secret_signs_the_id(tmp_path: Path) -> None:
    assert said(of(SIGNED), NAME, ADA) == "ada"
    strict = Beaker({**SIGNED.options, "type": "file", "data_dir": str(tmp_path), "invalidate_corrupt": False}, user="user")
    for value in (ADA[:-1], ADA[40:], ADA[:40], ADA.upper(), "g" + ADA[1:]):
        assert said(strict, NAME, value) == UNREADABLE
        assert app_says(SIGNED, value) is None
    assert [*tmp_path.rglob("*")] == []
    assert said(Beaker({**SIGNED.options, "secret": FOREIGN_SECRET}, user="user"), NAME, ADA) == UNREADABLE


@given(GARBAGE)
def test_garbage_is_unreadable_and_nothing_worse(garbage: str) -> None:
    assert said(of(SIGNED), NAME, garbage) == UNREADABLE


@given(mutated(ADA))
def test_a_changed_cookie_is_unreadable(value: str) -> None:
    assert said(of(SIGNED), NAME, value) == UNREADABLE or value == ADA


# --- configuration ----------------------------------------------------------------------------------------------------


def test_the_user_may_be_found_by_a_function() -> None:
    assert said(Beaker(SIGNED.options, user=lambda session: session["user"].upper()), NAME, ADA) == "ADA"


def test_what_is_declared_is_what_the_door_sees() -> None:
    spec = IdentifierSpec.of(Beaker({"key": "sid"}, user="user", lifetime=60))
    assert (spec.cookies, spec.lifetime, spec.server_side, spec.blocks, spec.is_async) == ((b"sid",), 60.0, True, True, False)
    assert IdentifierSpec.of(Beaker({"type": "file"}, user="user")).cookies == (NAME.encode(),)


def test_empty_options_are_not_those_of_a_middleware() -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        Beaker({}, user="user")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as told:
        Beaker({"type": "cookie"}, user="", lifetime="long")  # type: ignore[arg-type]
    assert {mistake.partition(":")[0] for mistake in told.value.mistakes} == {"options", "user", "lifetime"}


def test_it_shows_no_secret() -> None:
    assert not re.search(SECRET, shows(of(SIGNED)))
