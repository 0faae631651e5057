"""What a backend over the application's own table is made from, and what is said about the rest: all of it, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from sessionward import ASGIMiddleware, ConfigurationError, WSGIMiddleware
from sessionward.backends import Carrier
from sessionward.backends.table import AsyncTableBackend, Expires, RevokedBy, TableBackend
from tests.contract.sql_world import KINDS, Kind

URL = "postgresql://nobody@127.0.0.1:1/none"
GOOD: dict[str, Any] = {"key": "token", "user": "user_id", "cookie": "sid"}
both = pytest.mark.parametrize("made", [TableBackend, AsyncTableBackend])
Made = Callable[..., Any]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_is_made_from_whatever_sql_backends_are_made_from_though_nothing_is_there(kind: Kind) -> None:
    url = f"{kind.scheme}:///nowhere/app.db" if kind.database == "sqlite" else f"{kind.scheme}://nobody@127.0.0.1:1/none"
    make: Any = create_async_engine if kind.is_async else create_engine
    made: Made = AsyncTableBackend if kind.is_async else TableBackend
    backend = made(make(url) if kind.over_engine else url, "sessions", **GOOD)
    assert backend.pool_size == 10
    assert backend.within(0.5)._timeout == 0.5
    assert backend._timeout == 2.0


@both
def test_carriers_are_the_header_and_then_the_cookies(made: Made) -> None:
    backend = made(URL, "s", key="token", user="user_id", cookie=["__Host-sid", "sid"], header="Authorization", scheme="Token")
    assert backend.carriers == (
        Carrier.header("authorization", scheme="token"),
        Carrier.cookie("__Host-sid"),
        Carrier.cookie("sid"),
    )
    assert made(URL, "s", key="token", user="user_id", header="X-Key").carriers == (Carrier.header("x-key"),)


@both
@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"cookie": None}, "must say where the client sends the application's credential", id="no carrier"),
        pytest.param({"cookie": ""}, "must say where the client sends the application's credential", id="an empty cookie"),
        pytest.param({"cookie": []}, "must say where the client sends the application's credential", id="no cookies"),
        pytest.param({"cookie": "s\N{EURO SIGN}d"}, "ASCII", id="a cookie that is not ASCII"),
        pytest.param({"cookie": [7]}, "ASCII", id="a cookie that is no text"),
        pytest.param({"header": 7}, "ASCII", id="a header that is no text"),
        pytest.param({"scheme": "Bearer"}, "must be given together with header", id="a scheme without a header"),
        pytest.param(
            {"header": "Authorization", "scheme": None}, "scheme: must be the str that precedes the value", id="a scheme that is no text"
        ),
        pytest.param({"table": ""}, "table: ''", id="no table"),
        pytest.param({"table": "a.b.c"}, "table: 'a.b.c'", id="a table in three parts"),
        pytest.param({"table": None}, "table: None", id="a table that is no text"),
        pytest.param({"table": 's"; DROP TABLE s'}, "is not a supported name", id="a piece of SQL"),
        pytest.param({"key": "a`b"}, "key: 'a`b' is not a supported name", id="a back-tick"),
        pytest.param({"key": "a%sb"}, "key: 'a%sb' is not a supported name", id="a placeholder"),
        pytest.param({"user": "{now}"}, "user: '{now}' is not a supported name", id="braces"),
        pytest.param({"user": ":user"}, "user: ':user' is not a supported name", id="a colon"),
        pytest.param({"user": "token"}, "must be two columns", id="one column for both"),
        pytest.param({"where": {"a'b": 1}}, "where:", id="a condition"),
        pytest.param({"expires": "expires"}, "expires: must be Expires.at", id="an expiry of no kind"),
        pytest.param({"expires": Expires.at("a b;")}, "expires: 'a b;' is not a supported name", id="an expiry without a column"),
        pytest.param({"revoked": "active"}, "revoked: must be RevokedBy.value", id="a soft column of no kind"),
        pytest.param(
            {"revoked": RevokedBy.time("t"), "rename": True}, "revoked, rename: must not be given together", id="two ways to revoke"
        ),
        pytest.param({"transform": "sha256"}, "transform: must be a function", id="a transform that is none"),
        pytest.param({"timeout": 0}, "timeout:", id="no time"),
        pytest.param({"pool_size": 0}, "pool_size:", id="no connection"),
        pytest.param({"database": "oracle://h"}, "is not supported", id="an unknown database"),
        pytest.param({"database": "sqlite://"}, "an SQLite database in memory", id="a database in memory"),
    ],
)
def test_what_is_wrong_is_told_by_the_name_of_the_option(made: Made, change: dict[str, Any], said: str) -> None:
    settings = {"database": URL, "table": "sessions", **GOOD, **change}
    with pytest.raises(ConfigurationError) as caught:
        made(settings.pop("database"), settings.pop("table"), **settings)
    assert [said in mistake for mistake in caught.value.mistakes] == [True]


@both
def test_all_mistakes_are_told_at_once(made: Made) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made("oracle://h", "a b;", key="", user="x;", scheme="Bearer", revoked=RevokedBy.time("t"), rename=True, pool_size=0, timeout=-1)
    options = [mistake.partition(":")[0] for mistake in caught.value.mistakes]
    assert options == ["table", "key", "user", "revoked, rename", "database", "scheme", "timeout", "pool_size"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Expires.created("c", lifetime="1h"), "lifetime: must be seconds or a timedelta"),  # type: ignore[arg-type]
        (lambda: Expires.created("c", lifetime=-1), "lifetime: must be at least 0 seconds, and finite"),
        (lambda: Expires.created("c", lifetime=float("nan")), "lifetime: must be at least 0 seconds, and finite"),
        (lambda: Expires.unix("c", lifetime=float("inf")), "lifetime: must be at least 0 seconds, and finite"),
        (lambda: Expires.unix("c", per_second=0), "per_second"),
        (lambda: Expires.unix("c", per_second=0.5), "per_second"),  # type: ignore[arg-type]
    ],
)
def test_an_expiry_that_cannot_be_is_refused(make: Callable[[], Expires], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make()


def test_a_lifetime_is_seconds_or_a_timedelta() -> None:
    assert Expires.created("c", lifetime=timedelta(hours=1)) == Expires.created("c", lifetime=3600)


def test_the_twin_is_named_for_an_async_url_and_for_a_sync_one() -> None:
    with pytest.raises(ConfigurationError, match="use AsyncTableBackend"):
        TableBackend("postgresql+asyncpg://h/d", "s", **GOOD)
    with pytest.raises(ConfigurationError, match="use TableBackend"):
        AsyncTableBackend("mysql+pymysql://h/d", "s", **GOOD)


def test_a_door_takes_it_without_secrets() -> None:
    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        raise AssertionError

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    WSGIMiddleware(wsgi, TableBackend(URL, "s", **GOOD))
    ASGIMiddleware(asgi, TableBackend(URL, "s", **GOOD))
    ASGIMiddleware(asgi, AsyncTableBackend(URL, "s", **GOOD))
