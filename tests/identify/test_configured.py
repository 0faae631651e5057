"""Identifiers that need no program: a query, a key in Redis, a signed cookie, over what Trac, Datasette and others really keep."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from itsdangerous import URLSafeSerializer, URLSafeTimedSerializer
from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.identify.redis import RedisKey
from sessionward.identify.signed import SignedCookie
from sessionward.identify.sql import SQLQuery
from sessionward.session.identifier import AnonymousSession, Identity
from sessionward.testing import IdentifierContract, Samples
from tests.identify.claims import FOREIGN_SECRET, SECRET, UNREADABLE, said

ANN, BOB = "a" * 32, "0123456789abcdef" * 2
"""Cookies as Trac's ``hex_entropy()`` makes them."""
TRAC = "CREATE TABLE auth_cookie (cookie text, name text, ipnr text, time integer, UNIQUE (cookie, ipnr, name))"
"""The table of Trac 1.6."""
QUERY = "SELECT name FROM auth_cookie WHERE cookie = :value"


@pytest.fixture
def trac(tmp_path: Path) -> str:
    """Trac's database, as the URL of a file."""
    with closing(sqlite3.connect(tmp_path / "trac.db")) as connection, connection:
        connection.execute(TRAC)
        for cookie, name in ((ANN, "ann"), (BOB, "bob"), ("c" * 32, None)):
            connection.execute("INSERT INTO auth_cookie VALUES (?, ?, '127.0.0.1', 1700000000)", (cookie, name))
    return f"sqlite:///{tmp_path}/trac.db"


class TestSQLQuery(IdentifierContract):
    @pytest.fixture
    def identifier(self, trac: str) -> Any:
        return SQLQuery(trac, QUERY, cookie="trac_auth")

    @pytest.fixture
    def samples(self) -> Samples:
        return Samples(
            [("trac_auth", ANN, "ann"), ("trac_auth", BOB, "bob")],
            anonymous=[("trac_auth", "c" * 32)],
            invalid=[("trac_auth", "d" * 32), ("trac_auth", f'"{ANN}"'), ("trac_auth", f"{ANN}\0"), ("trac_auth", "' OR 1=1 --")],
        )


KEYS = {
    "json": ({"field": "passport.user"}, json.dumps({"passport": {"user": "ann"}}), json.dumps({"cart": []})),
    "hash": ({"field": "uid", "format": "hash"}, {"uid": "ann"}, {"cart": "1"}),
    "string": ({"format": "string"}, "ann", ""),
}


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def prefix(client: redis.Redis) -> Iterator[str]:
    prefix = f"sessionward-test:{uuid4()}:"
    yield prefix
    for key in client.scan_iter(f"{prefix}*"):
        client.delete(key)


def put(client: redis.Redis, key: str, value: Any) -> None:
    if isinstance(value, dict):
        client.hset(key, mapping=value)
    else:
        client.set(key, value)


class TestRedisKey(IdentifierContract):
    @pytest.fixture(params=KEYS)
    def keywords(self, request: pytest.FixtureRequest, client: redis.Redis, prefix: str) -> dict[str, Any]:
        keywords, of_ann, anonymous = KEYS[request.param]
        put(client, f"{prefix}{ANN}", of_ann)
        put(client, f"{prefix}{'c' * 32}", anonymous)
        return {**keywords}

    @pytest.fixture
    def identifier(self, keywords: dict[str, Any], redis_url: str, prefix: str) -> Any:
        return RedisKey(redis_url, f"{prefix}{{value}}", cookie="sid", **keywords)

    @pytest.fixture
    def samples(self) -> Samples:
        return Samples(
            [("sid", ANN, "ann")], anonymous=[("sid", "c" * 32)], invalid=[("sid", "d" * 32), ("sid", "*"), ("sid", f"{ANN}\r\n")]
        )


def ds_actor(value: Any, secret: str = SECRET) -> str:
    """As Datasette signs it: ``datasette.sign(value, "actor")``."""
    return URLSafeSerializer(secret, "actor").dumps(value)


class TestSignedCookie(IdentifierContract):
    @pytest.fixture
    def identifier(self) -> Any:
        return SignedCookie(SECRET, salt="actor", cookie="ds_actor", user="a.id", expires="e")

    @pytest.fixture
    def samples(self) -> Samples:
        return Samples(
            [("ds_actor", ds_actor({"a": {"id": "ann"}}), "ann"), ("ds_actor", ds_actor({"a": {"id": 7}, "e": "E3d1S6"}), "7")],
            anonymous=[("ds_actor", ds_actor({"a": {"token": "x"}})), ("ds_actor", ds_actor(["a"]))],
            invalid=[
                ("ds_actor", ds_actor({"a": {"id": "ann"}}, FOREIGN_SECRET)),
                ("ds_actor", URLSafeSerializer(SECRET, "messages").dumps({"a": {"id": "ann"}})),
                ("ds_actor", ds_actor({"a": {"id": "ann"}, "e": "B2yh"})),
                ("ds_actor", ds_actor({"a": {"id": "ann"}, "e": "?"})),
                ("ds_actor", ds_actor({"a": {"id": "ann"}, "e": {}})),
            ],
            secrets=[SECRET],
        )


# --- signed cookies ---------------------------------------------------------------------------------------------------

DATASETTE = {
    "without an end": "eyJhIjp7ImlkIjoicm9vdCJ9fQ.fTy30fVHaadHiKu28mgd9iULDXc",
    "until 2100": "eyJhIjp7ImlkIjoicm9vdCJ9LCJlIjoiRTNkMVM2In0.qhKiR-2wK0_EqQxRu3DnaSSETcc",
}
"""What Datasette 0.65.5 wrote with the secret of 40 letters s."""


@pytest.mark.parametrize("value", DATASETTE.values(), ids=DATASETTE)
def test_a_cookie_that_datasette_wrote_is_read(value: str) -> None:
    found = SignedCookie("s" * 40, salt="actor", cookie="ds_actor", user="a.id", expires="e").identify("ds_actor", value)
    assert found is not None
    assert found.user_id == "root"
    assert found.app_session is None, "two browsers of one user have the same cookie"
    assert (found.lifetime is None) is (value == DATASETTE["without an end"])


def test_a_cookie_with_a_time_expires() -> None:
    identifier = SignedCookie(SECRET, salt="login", cookie="who", user="id", max_age=60, digest="sha512", key_derivation="hmac")

    def at(when: float) -> str:
        serializer = URLSafeTimedSerializer(SECRET, salt="login", signer_kwargs={"digest_method": hashlib.sha512, "key_derivation": "hmac"})
        signer: Any = serializer.make_signer("login")
        signer.get_timestamp = lambda: int(when)
        return str(signer.sign(serializer.dump_payload({"id": "ann"})), "ascii")

    now = datetime.now(UTC).timestamp()
    assert said(identifier, "who", at(now)) == "ann"
    assert said(identifier, "who", at(now - 120)) == UNREADABLE
    assert identifier.lifetime == 60.0


# --- queries ----------------------------------------------------------------------------------------------------------


def test_a_key_that_the_application_hashes_is_hashed_before_it_is_looked_up(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE token (digest text, user_id integer)")
        connection.execute("INSERT INTO token VALUES (?, 0)", (hashlib.sha256(b"abc").hexdigest(),))
    query = "SELECT user_id FROM token WHERE digest = :value"
    identifier = SQLQuery(f"sqlite:///{file}", query, cookie="sid", pattern=r"v1\.([a-z]+)\..*", digest="sha256")
    assert said(identifier, "sid", "v1.abc.signature") == "0"
    for value in ("abc", "v1..x", "v1.abd.signature", hashlib.sha256(b"abc").hexdigest()):
        assert said(identifier, "sid", value) == UNREADABLE


def test_a_second_column_says_when_a_header_was_issued(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE token (key text, user_id text, created)")
        for key, created in (("number", 1_700_000_000), ("none", None), ("odd", "yesterday")):
            connection.execute("INSERT INTO token VALUES (?, 'ann', ?)", (key, created))
    identifier = SQLQuery(f"sqlite:///{file}", "SELECT user_id, created FROM token WHERE key = :value", header=("Authorization", "Token"))
    assert [(carrier.name, carrier.scheme) for carrier in identifier.headers] == [(b"authorization", b"token")]
    found = identifier.identify("authorization", "number")
    assert isinstance(found, Identity)
    assert found.issued_at == 1_700_000_000.0
    assert said(identifier, "authorization", "none") == "ann"
    with pytest.raises(sessionward.SessionwardError, match="must be a number of seconds or a time"):
        identifier.identify("authorization", "odd")


def test_times_of_a_database_are_utc(empty_postgresql_url: str) -> None:
    engine = create_engine(empty_postgresql_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE token (key text, user_id uuid, aware timestamptz, naive timestamp)"))
        connection.execute(
            text("INSERT INTO token VALUES ('k', '12345678-1234-5678-1234-567812345678', '2030-01-01T00:00Z', '2030-01-01T00:00')")
        )
    engine.dispose()
    for column in ("aware", "naive"):
        identifier = SQLQuery(empty_postgresql_url, f"SELECT user_id, {column} FROM token WHERE key = :value;", header=("x-key",))
        found = identifier.identify("x-key", "k")
        identifier.close()
        assert isinstance(found, Identity)
        assert found.user_id == "12345678-1234-5678-1234-567812345678"
        assert found.issued_at == datetime(2030, 1, 1, tzinfo=UTC).timestamp()


def test_mariadb_is_asked_too(mariadb_url: str) -> None:
    identifier = SQLQuery(mariadb_url, "SELECT CONCAT('user ', :value)", cookie="sid")
    assert said(identifier, "sid", "x") == "user x"
    identifier.close()


def test_a_database_that_was_restarted_is_asked_again(empty_postgresql_url: str) -> None:
    identifier = SQLQuery(empty_postgresql_url, "SELECT CAST(:value AS text)", cookie="sid")
    assert said(identifier, "sid", "x") == "x"
    killer = create_engine(empty_postgresql_url.replace("postgresql://", "postgresql+psycopg://"))
    with killer.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        )
    killer.dispose()
    assert said(identifier, "sid", "x") == "x"
    identifier.close()


def test_rows_of_several_users_sign_nobody_in(trac: str) -> None:
    with closing(sqlite3.connect(trac.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("INSERT INTO auth_cookie VALUES (?, 'bob', '127.0.0.2', 1)", (ANN,))
    with pytest.raises(InvalidCredential, match="several users"):
        SQLQuery(trac, QUERY, cookie="trac_auth").identify("trac_auth", ANN)


@pytest.mark.parametrize("names", [["ann", "ann", "bob"], ["ann"] * 1001], ids=["the third row", "rows without end"])
def test_a_query_that_doubles_rows_hides_no_other_user(trac: str, names: list[str]) -> None:
    values = ", ".join(f"('{name}')" for name in names)
    query = f"WITH found(name) AS (VALUES {values}) SELECT name FROM found WHERE :value <> ''"
    with pytest.raises(InvalidCredential, match="several users"):
        SQLQuery(trac, query, cookie="sid").identify("sid", "x")
    same = f"WITH found(name) AS (VALUES {values.replace('bob', 'ann')}) SELECT name FROM found WHERE :value <> '' LIMIT 1000"
    assert said(SQLQuery(trac, same, cookie="sid"), "sid", "x") == "ann"


def test_a_file_of_the_application_is_never_created_or_changed(tmp_path: Path, trac: str) -> None:
    with pytest.raises(OperationalError):
        SQLQuery(f"sqlite:///{tmp_path}/none.db", QUERY, cookie="a").identify("a", ANN)
    assert not (tmp_path / "none.db").exists()
    odd = tmp_path / "a?b #%20.db"
    (tmp_path / "trac.db").rename(odd)
    assert said(SQLQuery(URL.create("sqlite", database=str(odd)), QUERY, cookie="a"), "a", ANN) == "ann"


def test_an_anonymous_row_keeps_its_id(trac: str) -> None:
    found = SQLQuery(trac, QUERY, cookie="trac_auth").identify("trac_auth", "c" * 32)
    assert isinstance(found, AnonymousSession)


# --- keys in Redis ----------------------------------------------------------------------------------------------------


def test_the_cookie_of_express_session_is_read_by_a_pattern(client: redis.Redis, prefix: str, redis_url: str) -> None:
    put(client, f"{prefix}n0tSoSecretId", json.dumps({"cookie": {"path": "/"}, "passport": {"user": 7}}))
    identifier = RedisKey(redis_url, f"{prefix}{{value}}", field="passport.user", cookie="connect.sid", pattern=r"s%3A([^.]+)\..+")
    assert said(identifier, "connect.sid", "s%3An0tSoSecretId.qk2EaB0tQxyTfJ1KqPbq3nN6y5zY1b0cUw6QpK9Zb%2Bk") == "7"
    assert said(identifier, "connect.sid", "n0tSoSecretId") == UNREADABLE


def test_a_session_that_is_not_json_is_refused(client: redis.Redis, prefix: str, redis_url: str) -> None:
    put(client, f"{prefix}a", "\x80pickle")
    with pytest.raises(InvalidCredential, match="not JSON"):
        RedisKey(redis_url, f"{prefix}{{value}}", field="u", cookie="sid").identify("sid", "a")


def test_a_redis_that_is_away_is_an_outage_and_signs_nobody_out() -> None:
    with pytest.raises(redis.ConnectionError):
        RedisKey("redis://127.0.0.1:1/0", "s:{value}", format="string", cookie="sid", timeout=1).identify("sid", ANN)


# --- mistakes ---------------------------------------------------------------------------------------------------------

MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "no carrier": (lambda: SQLQuery("sqlite:///a.db", QUERY), "cookie: neither a cookie nor a header is named"),
    "a header that is one string": (lambda: SQLQuery("sqlite:///a.db", QUERY, header="token"), "header: must be a name"),
    "a statement that writes": (lambda: SQLQuery("sqlite:///a.db", "DELETE FROM a WHERE b = :value", cookie="a"), "must be one SELECT"),
    "two statements": (lambda: SQLQuery("sqlite:///a.db", "SELECT :value; DELETE FROM a", cookie="a"), "must be one SELECT"),
    "no parameter": (lambda: SQLQuery("sqlite:///a.db", "SELECT 1", cookie="a"), "exactly one parameter, :value, and has none"),
    "another parameter": (lambda: SQLQuery("sqlite:///a.db", "SELECT :id, :value", cookie="a"), "and has :id, :value"),
    "no database": (lambda: SQLQuery("user:hunter2@host", QUERY, cookie="a"), "database: must be a URL"),
    "a database in memory": (lambda: SQLQuery("sqlite://", QUERY, cookie="a"), "must name the application's file"),
    "a broken pattern": (lambda: SQLQuery("sqlite:///a.db", QUERY, cookie="a", pattern="("), "pattern: is not a regular expression"),
    "a pattern without a group": (lambda: SQLQuery("sqlite:///a.db", QUERY, cookie="a", pattern="x"), "exactly one group"),
    "an unknown hash": (lambda: SQLQuery("sqlite:///a.db", QUERY, cookie="a", digest="md5"), "digest: must be one of sha1"),
    "a key without the value": (lambda: RedisKey("redis://a", "s:", format="string", cookie="a"), "key: must contain {value} once"),
    "no field": (lambda: RedisKey("redis://a", "s:{value}", cookie="a"), "field: must say where the user's id is"),
    "a field of a string": (lambda: RedisKey("redis://a", "{value}", field="x", format="string", cookie="a"), "a string has none"),
    "an unknown format": (lambda: RedisKey("redis://a", "{value}", field="x", format="pickle", cookie="a"), "format: must be one of json"),
    "no Redis": (lambda: RedisKey("http://:hunter2@a", "{value}", field="x", cookie="a"), "url: must be a URL such as redis://"),
    "an empty secret": (lambda: SignedCookie("", cookie="a", user="id"), "secret: is empty"),
    "no user": (lambda: SignedCookie(SECRET, cookie="a", user=""), "user: must be a path"),
    "half a second": (lambda: SignedCookie(SECRET, cookie="a", user="id", max_age=0), "max_age: must be whole seconds"),
    "a hash that is not ours": (lambda: SignedCookie(SECRET, cookie="a", user="id", digest="crc32"), "digest: must be one of"),
    "a derivation that is not there": (
        lambda: SignedCookie(SECRET, cookie="a", user="id", key_derivation="x"),
        "key_derivation: must be one",
    ),
}


@pytest.mark.parametrize(("make", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_the_way_out_and_no_password(make: Callable[[], object], told: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make()
    assert any(told in mistake for mistake in raised.value.mistakes)
    assert "hunter2" not in str(raised.value)


# --- with the middleware ----------------------------------------------------------------------------------------------


def test_a_copied_cookie_of_trac_is_removed_after_the_user_has_signed_the_others_out(trac: str) -> None:
    file = trac.removeprefix("sqlite:///")

    async def page(request: Request) -> Response:
        return PlainTextResponse(request.cookies.get("trac_auth", "anonymous"))

    async def login(request: Request) -> Response:
        cookie = uuid4().hex
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("INSERT INTO auth_cookie VALUES (?, 'ann', '127.0.0.1', 1)", (cookie,))
        response = PlainTextResponse("in")
        response.set_cookie("trac_auth", cookie)
        return response

    app = Starlette(routes=[Route("/", page), Route("/login", login)])
    door = sessionward.ASGIMiddleware(
        app, MemoryBackend(), identify=SQLQuery(trac, QUERY, cookie="trac_auth"), secrets=[SECRET], insecure=True, cookie_name="ward"
    )
    with TestClient(door) as laptop, TestClient(door) as phone:
        for browser in (laptop, phone):
            browser.get("/login")
            assert browser.get("/").text == browser.cookies["trac_auth"]
        answer = laptop.delete("/auth/sessions", headers={"origin": "http://testserver"})
        assert (answer.status_code, answer.json()) == (200, {"count": 1})
        assert laptop.get("/").text == laptop.cookies["trac_auth"]
        assert phone.get("/").text == "anonymous"
