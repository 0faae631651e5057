"""FlaskSession against Flask-Session on Redis, an SQL table and a cachelib cache, under Flask-Login."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio
from cachelib.file import FileSystemCache
from flask import Flask, session
from flask_login import (  # type: ignore[import-untyped]
    LoginManager,
    UserMixin,
    current_user,
    login_user,
    logout_user,
)
from flask_session import Session  # type: ignore[import-untyped]
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import create_async_engine

from sessionward.errors import ConfigurationError, UsageError
from sessionward.identify.flask_session import FlaskSession
from sessionward.session.identifier import IdentifierSpec, app_session_digest
from tests.identify.claims import FOREIGN_SECRET, GARBAGE, SECRET, UNREADABLE, identity, mutated, other_spellings, said, shows

pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'use_signer' option is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),  # both libraries', from Python 3.12 on
]


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, id: str) -> None:
        self.id = id


@dataclass(frozen=True)
class Site:
    """An application with Flask-Session and Flask-Login; ``put`` writes into its store past it."""

    app: Flask
    identifier: FlaskSession
    put: Callable[[str, Any], object]
    forget: Callable[[str], object]

    def cookies(self, *paths: str) -> dict[str, str]:
        client = self.app.test_client()
        for path in paths:
            client.get(path)
        found = {name: client.get_cookie(name) for name in ("session", "remember_token")}
        return {name: cookie.value for name, cookie in found.items() if cookie is not None}

    def app_says(self, name: str, value: str) -> str | None:
        answer = self.app.test_client(use_cookies=False).get("/me", headers={"Cookie": f"{name}={value}"})
        assert answer.status_code == 200
        return answer.text or None

    def key(self, cookie: str) -> str:
        return self.identifier.prefix + cookie


def application(database: SQLAlchemy | None = None, **config: Any) -> Flask:
    app = Flask("site")
    app.config.update(SECRET_KEY=SECRET, **config)
    if database is not None:
        database.init_app(app)
    Session(app)
    manager = LoginManager(app)
    manager.session_protection = None
    manager.user_loader(User)

    @app.get("/login/<user>")
    def login(user: str) -> str:
        login_user(User(user), remember=True)
        return user

    @app.get("/logout")
    def logout() -> str:
        logout_user()
        session["cart"] = 1
        return ""

    @app.get("/cart")
    def cart() -> str:
        session["cart"] = 1
        return ""

    @app.get("/me")
    def me() -> str:
        return current_user.get_id() or ""

    return app


@pytest.fixture(scope="module")
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def on_redis(client: redis.Redis) -> Iterator[Callable[..., Site]]:
    prefix = f"test:{uuid4().hex}:"

    def site(**config: Any) -> Site:
        app = application(SESSION_TYPE="redis", SESSION_REDIS=client, SESSION_KEY_PREFIX=prefix, **config)
        return Site(app, FlaskSession.of(app), client.set, client.delete)

    yield site
    for key in client.scan_iter(match=f"{prefix}*"):
        client.delete(key)


@pytest.fixture
def on_sql(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    url = f"sqlite:///{tmp_path}/flask.db"
    engine = create_engine(url)

    def put(key: str, data: Any) -> None:
        with engine.begin() as connection:
            connection.execute(text("UPDATE sessions SET data = :data WHERE session_id = :key"), {"key": key, "data": data})

    def forget(key: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM sessions WHERE session_id = :key"), {"key": key})

    databases: list[tuple[Flask, SQLAlchemy]] = []

    def site(**config: Any) -> Site:
        database = SQLAlchemy()
        app = application(database, SQLALCHEMY_DATABASE_URI=url, SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=database, **config)
        databases.append((app, database))
        return Site(app, FlaskSession(engine, secret_key=SECRET), put, forget)

    yield site
    engine.dispose()
    for app, database in databases:
        with app.app_context():
            database.engine.dispose()


@pytest.fixture
def on_cachelib(tmp_path: Path) -> Callable[..., Site]:
    cache = FileSystemCache(str(tmp_path))

    def site(**config: Any) -> Site:
        app = application(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache, **config)
        return Site(app, FlaskSession(cache, secret_key=SECRET), cache.set, cache.delete)

    return site


Make = Callable[..., Site]


@pytest.fixture(params=["on_redis", "on_sql", "on_cachelib"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.getfixturevalue(request.param)
    return made


@pytest.fixture(params=["on_redis", "on_sql"])
def make_encoded(request: pytest.FixtureRequest) -> Make:
    """The stores whose values Flask-Session encodes itself."""
    made: Make = request.getfixturevalue(request.param)
    return made


# --- the same as the application --------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
def test_a_login_is_read_as_the_application_reads_it(make: Make, encoding: str) -> None:
    site = make(SESSION_SERIALIZATION_FORMAT=encoding)
    cookies = site.cookies("/login/ada")
    for name in ("session", "remember_token"):
        assert said(site.identifier, name, cookies[name]) == site.app_says(name, cookies[name]) == "ada"


def test_a_companion_goes_with_the_session_and_not_with_the_remember_me_cookie(make: Make) -> None:
    site = make()
    cookies = site.cookies("/login/ada")
    found = identity(site.identifier, "session", cookies["session"])
    remembered = identity(site.identifier, "remember_token", cookies["remember_token"])
    assert found is not None
    assert remembered is not None
    assert (found.app_session, found.lifetime) == (app_session_digest(cookies["session"]), None)
    assert (remembered.app_session, remembered.lifetime) == (None, 365 * 86_400.0)


def test_a_session_without_a_user_names_nobody(make: Make) -> None:
    site = make()
    assert said(site.identifier, "session", site.cookies("/cart")["session"]) is None
    assert said(site.identifier, "session", site.cookies("/login/ada", "/logout")["session"]) is None


def test_the_user_changes_behind_a_cookie_that_stays(make: Make) -> None:
    site = make()
    browser = site.app.test_client()
    seen = []
    for path in ("/cart", "/login/ada", "/logout", "/login/bob"):
        browser.get(path)
        cookie = browser.get_cookie("session")
        assert cookie is not None
        seen.append((cookie.value, said(site.identifier, "session", cookie.value)))
    assert [user for _, user in seen] == [None, "ada", None, "bob"]
    assert len({cookie for cookie, _ in seen}) == 1
    assert IdentifierSpec.of(site.identifier).server_side


def test_an_id_that_the_store_does_not_know_is_unreadable(make: Make) -> None:
    site = make()
    assert said(site.identifier, "session", "chosen-by-the-client") == UNREADABLE
    cookie = site.cookies("/login/ada")["session"]
    site.forget(site.key(cookie))
    assert said(site.identifier, "session", cookie) == UNREADABLE
    assert site.app_says("session", cookie) is None


def test_another_spelling_is_unreadable(make: Make) -> None:
    site = make()
    cookie = site.cookies("/login/ada")["session"]
    assert site.app_says("session", f'"{cookie}"') == "ada"
    assert {said(site.identifier, "session", value) for value in other_spellings(cookie)} == {UNREADABLE}


def test_reading_changes_nothing_in_the_store(on_redis: Make, client: redis.Redis) -> None:
    site = on_redis()
    cookie = site.cookies("/login/ada")["session"]
    client.persist(site.key(cookie))
    before = client.get(site.key(cookie))
    said(site.identifier, "session", cookie)
    assert (client.get(site.key(cookie)), client.ttl(site.key(cookie))) == (before, -1)


# --- what lies in the store -------------------------------------------------------------------------------------------


class Trap:
    """What a pickle may do when it is read."""

    sprung: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize("data", [pickle.dumps({"_user_id": "ada"}), pickle.dumps(Trap())], ids=["a session", "a trap"])
def test_a_pickle_is_never_loaded(make_encoded: Make, data: bytes) -> None:
    site = make_encoded()
    cookie = site.cookies("/login/ada")["session"]
    site.put(site.key(cookie), data)
    assert said(site.identifier, "session", cookie) == UNREADABLE
    assert not Trap.sprung


def test_the_trap_is_one() -> None:
    pickle.loads(pickle.dumps(Trap()))
    try:
        assert Trap.sprung
    finally:
        Trap.sprung = False


@pytest.mark.parametrize("data", [b"", b"[1]", b"7", b"\xc1", b"\xff\xfe", b"{"], ids=repr)
def test_a_value_that_is_no_session_is_unreadable(make_encoded: Make, data: bytes) -> None:
    site = make_encoded()
    cookie = site.cookies("/login/ada")["session"]
    site.put(site.key(cookie), data)
    assert said(site.identifier, "session", cookie) == UNREADABLE


def test_a_number_is_a_user_too(make_encoded: Make) -> None:
    site = make_encoded()
    cookie = site.cookies("/cart")["session"]
    site.put(site.key(cookie), json.dumps({"_user_id": 7}).encode())
    assert said(site.identifier, "session", cookie) == "7"


def test_a_row_that_has_expired_is_unreadable(on_sql: Make) -> None:
    site = on_sql()
    cookie = site.cookies("/login/ada")["session"]
    engine = site.identifier.store
    for expiry in ("datetime('now', '-1 second')", "NULL"):
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE sessions SET expiry = {expiry}"))
        assert said(site.identifier, "session", cookie) == UNREADABLE
    with engine.begin() as connection:
        connection.execute(text("UPDATE sessions SET expiry = datetime('now', '+1 minute')"))
    assert said(site.identifier, "session", cookie) == site.app_says("session", cookie) == "ada"


def test_a_row_of_another_spelling_is_not_the_session_of_this_id(on_sql: Make) -> None:
    site = on_sql()
    cookie = site.cookies("/login/ada")["session"]
    with site.identifier.store.begin() as connection:  # as MariaDB compares text by default
        connection.execute(text("ALTER TABLE sessions RENAME TO before"))
        connection.execute(text("CREATE TABLE sessions (session_id VARCHAR(255) COLLATE NOCASE, data BLOB, expiry DATETIME)"))
        connection.execute(text("INSERT INTO sessions SELECT session_id, data, expiry FROM before"))
    assert said(site.identifier, "session", cookie) == "ada"
    assert said(site.identifier, "session", cookie.swapcase()) == UNREADABLE


def test_a_store_that_cannot_answer_is_no_unknown_session(on_sql: Make, tmp_path: Path) -> None:
    cookie = on_sql().cookies("/login/ada")["session"]
    empty = create_engine(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(OperationalError):
        identity(FlaskSession(empty, remember_cookie=None), "session", cookie)
    empty.dispose()
    nowhere = redis.Redis(port=1, socket_connect_timeout=1)
    with pytest.raises(redis.ConnectionError):
        identity(FlaskSession(nowhere, remember_cookie=None), "session", cookie)


def test_a_store_with_answers_of_another_kind_is_told(on_redis: Make, redis_url: str) -> None:
    site = on_redis(SESSION_SERIALIZATION_FORMAT="json")
    cookie = site.cookies("/login/ada")["session"]
    with redis.Redis.from_url(redis_url, decode_responses=True) as client, pytest.raises(UsageError, match="bytes"):
        identity(FlaskSession(client, prefix=site.identifier.prefix, remember_cookie=None), "session", cookie)


# --- signed ids -------------------------------------------------------------------------------------------------------


def test_signed_ids_are_read_as_the_application_reads_them(on_redis: Make) -> None:
    site = on_redis(SESSION_USE_SIGNER=True)
    cookie = site.cookies("/login/ada")["session"]
    session_id = cookie.partition(".")[0]
    assert "." in cookie
    assert said(site.identifier, "session", cookie) == site.app_says("session", cookie) == "ada"
    found = identity(site.identifier, "session", cookie)
    assert found is not None
    assert found.app_session == app_session_digest(session_id)
    for value in (session_id, cookie[:-1], cookie.swapcase(), f"{session_id}."):
        assert said(site.identifier, "session", value) == UNREADABLE
        assert site.app_says("session", value) is None


def test_the_secret_signs_ids_and_remember_me_cookies(on_redis: Make) -> None:
    site = on_redis(SESSION_USE_SIGNER=True)
    foreign = FlaskSession(site.identifier.store, secret_key=FOREIGN_SECRET, prefix=site.identifier.prefix, use_signer=True)
    for name, value in site.cookies("/login/ada").items():
        assert said(site.identifier, name, value) == "ada"
        assert said(foreign, name, value) == UNREADABLE


def test_a_signed_id_is_unreadable_where_ids_are_not_signed(on_redis: Make) -> None:
    site = on_redis()
    assert said(site.identifier, "session", site.cookies("/login/ada")["session"] + ".signature") == UNREADABLE


# --- garbage ----------------------------------------------------------------------------------------------------------


class Known:
    """A cache that knows one session."""

    def __init__(self, key: str) -> None:
        self.key = key

    def get(self, key: str) -> dict[str, str] | None:
        return {"_user_id": "ada"} if key == self.key else None


ID = "pVYFUfF9iFJ1qkLvvj0ysmZQOB-lHTS7RSCqkmHcNzE"
IDENTIFIER = FlaskSession(Known(f"session:{ID}"), secret_key=SECRET)


@given(GARBAGE)
def test_garbage_is_unreadable_and_nothing_worse(garbage: str) -> None:
    assert said(IDENTIFIER, "session", garbage) == said(IDENTIFIER, "remember_token", garbage) == UNREADABLE


@given(mutated(ID))
def test_a_changed_id_is_unreadable(value: str) -> None:
    assert said(IDENTIFIER, "session", ID) == "ada"
    assert said(IDENTIFIER, "session", value) == UNREADABLE or value == ID


class Down:
    """A cache that does not answer."""

    def get(self, key: str) -> None:
        raise ConnectionError("the cache is down")


@pytest.mark.parametrize("value", ["a b", "a\x00b", "*", "", "caf\xe9", "a" * 256, "a.b.c"], ids=repr)
def test_a_store_is_not_asked_for_what_no_id_looks_like(value: str) -> None:
    assert said(FlaskSession(Down(), remember_cookie=None), "session", value) == UNREADABLE


# --- configuration ----------------------------------------------------------------------------------------------------


def test_the_application_s_own_configuration_is_taken(on_redis: Make, on_sql: Make, on_cachelib: Make) -> None:
    config: dict[str, Any] = {
        "SESSION_COOKIE_NAME": "sid",
        "REMEMBER_COOKIE_NAME": "stay",
        "PERMANENT_SESSION_LIFETIME": timedelta(hours=1),
        "REMEMBER_COOKIE_DURATION": timedelta(days=7),
    }
    for make in (on_redis, on_sql, on_cachelib):
        app = make(**config).app
        identifier = FlaskSession.of(app)
        spec = IdentifierSpec.of(identifier)
        assert (spec.cookies, spec.lifetime) == ((b"sid", b"stay"), 3600.0)
        assert (spec.server_side, spec.blocks, spec.is_async) == (True, True, False)
        browser = app.test_client()
        browser.get("/login/ada")
        for name in ("sid", "stay"):
            cookie = browser.get_cookie(name)
            assert cookie is not None
            assert said(identifier, name, cookie.value) == "ada"


def test_a_table_of_another_name_is_taken(on_sql: Make) -> None:
    app = on_sql(SESSION_SQLALCHEMY_TABLE="logins").app
    identifier = FlaskSession.of(app)
    assert identifier.table == "logins"
    browser = app.test_client()
    browser.get("/login/ada")
    cookie = browser.get_cookie("session")
    assert cookie is not None
    assert said(identifier, "session", cookie.value) == "ada"


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as told:
        FlaskSession(object(), cookie="", lifetime="long")  # type: ignore[arg-type]
    assert {mistake.partition(":")[0] for mistake in told.value.mistakes} == {"store", "secret_key", "cookie", "lifetime"}


@pytest.mark.parametrize("wanted", [{}, {"use_signer": True, "remember_cookie": None}], ids=["remember-me", "signed ids"])
def test_what_needs_the_secret_is_not_forgotten(wanted: Any) -> None:
    with pytest.raises(ConfigurationError, match="secret_key"):
        FlaskSession(Known(""), **wanted)


def test_a_store_of_the_other_colour_is_refused() -> None:
    for store in (redis.asyncio.Redis(), create_async_engine("sqlite+aiosqlite://")):
        with pytest.raises(ConfigurationError, match="store"):
            FlaskSession(store, remember_cookie=None)


def test_an_application_with_signed_cookies_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"identify\.flask"):
        FlaskSession.of(Flask("plain"))


def test_a_secret_that_flask_login_cannot_use_is_refused_unless_it_is_not_used() -> None:
    with pytest.raises(ConfigurationError, match="latin-1"):
        FlaskSession(Known(""), secret_key="ключ от приложения")
    assert FlaskSession(Known(""), secret_key="ключ от приложения", remember_cookie=None).cookies == ("session",)


def test_it_shows_no_secret() -> None:
    assert SECRET not in shows(FlaskSession(Known(""), secret_key=SECRET, use_signer=True))
