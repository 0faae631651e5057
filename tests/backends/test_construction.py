"""What a backend is made from, and what is said about the rest: at once, and with the way out."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, StaticPool

from sessionward import ASGIMiddleware, ConfigurationError, WSGIMiddleware
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.contract.doors import SECRET

SYNC_URLS = [
    "sqlite:///nowhere/sessions.db",
    "sqlite+pysqlite:///nowhere/sessions.db",
    "postgres://nobody@127.0.0.1:1/none",
    "postgresql://nobody@127.0.0.1:1/none",
    "postgresql+psycopg://nobody@127.0.0.1:1/none",
    "mysql://nobody@127.0.0.1:1/none",
    "mysql+pymysql://nobody@127.0.0.1:1/none",
    "mariadb://nobody@127.0.0.1:1/none",
    "mariadb+pymysql://nobody@127.0.0.1:1/none",
]
ASYNC_URLS = [
    "sqlite:///nowhere/sessions.db",
    "sqlite+aiosqlite:///nowhere/sessions.db",
    "postgresql://nobody@127.0.0.1:1/none",
    "postgresql+psycopg://nobody@127.0.0.1:1/none",
    "postgresql+psycopg_async://nobody@127.0.0.1:1/none",
    "postgresql+asyncpg://nobody@127.0.0.1:1/none",
    "mysql://nobody@127.0.0.1:1/none",
    "mysql+asyncmy://nobody@127.0.0.1:1/none",
    "mariadb://nobody@127.0.0.1:1/none",
    "mariadb+asyncmy://nobody@127.0.0.1:1/none",
]


@pytest.mark.parametrize("url", SYNC_URLS)
def test_a_sync_backend_is_made_from_a_url_though_nothing_is_there(url: str) -> None:
    backend = SQLBackend(url)
    assert SQLBackend(make_url(url)).pool_size == backend.pool_size == 10
    backend.close()


@pytest.mark.parametrize("url", ASYNC_URLS)
def test_an_async_backend_is_made_from_a_url_though_nothing_is_there(url: str) -> None:
    assert AsyncSQLBackend(make_url(url)).pool_size == AsyncSQLBackend(url).pool_size == 10


@pytest.mark.parametrize("made", [SQLBackend, AsyncSQLBackend])
@pytest.mark.parametrize("url", ["redis://127.0.0.1", "oracle://127.0.0.1", "mssql+pyodbc://127.0.0.1", "cockroachdb://127.0.0.1"])
def test_an_unknown_scheme_is_refused_with_those_that_are_known(made: Callable[[str], object], url: str) -> None:
    with pytest.raises(ConfigurationError, match="is not supported") as caught:
        made(url)
    assert "postgresql" in str(caught.value)
    assert "sqlite" in str(caught.value)
    assert url.partition(":")[0] in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///x.db", "postgresql+asyncpg://h/d", "mysql+asyncmy://h/d"])
def test_an_async_url_is_refused_by_the_sync_backend_with_its_twin(url: str) -> None:
    with pytest.raises(ConfigurationError, match="use AsyncSQLBackend"):
        SQLBackend(url)


@pytest.mark.parametrize("url", ["mysql+pymysql://h/d", "sqlite+pysqlite:///x.db"])
def test_a_sync_url_is_refused_by_the_async_backend_with_its_twin(url: str) -> None:
    with pytest.raises(ConfigurationError, match="use SQLBackend"):
        AsyncSQLBackend(url)


@pytest.mark.parametrize("made", [SQLBackend, AsyncSQLBackend])
@pytest.mark.parametrize("database", ["", "sessions.db", "/var/lib/sessions.db", "://", "sqlite"])
def test_what_is_no_url_is_refused_with_an_example(made: Callable[[str], object], database: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///sessions\.db"):
        made(database)


@pytest.mark.parametrize("made", [SQLBackend, AsyncSQLBackend])
@pytest.mark.parametrize("database", [None, 7, b"sqlite:///x.db", Path("x.db")], ids=["None", "a number", "bytes", "a path"])
def test_what_is_neither_url_nor_engine_is_refused(made: Callable[[Any], object], database: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"database: must be a URL or an? .*Engine, not"):
        made(database)


def test_an_engine_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    sync: Any = create_engine(f"sqlite:///{tmp_path}/x.db")
    asynchronous: Any = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    with pytest.raises(ConfigurationError, match="must be a URL or an AsyncEngine"):
        AsyncSQLBackend(sync)
    with pytest.raises(ConfigurationError, match="must be a URL or a sync Engine"):
        SQLBackend(asynchronous)


@pytest.mark.parametrize(
    ("url", "is_async", "module", "extra"),
    [
        ("postgresql://h/d", False, "psycopg", "postgresql"),
        ("postgresql://h/d", True, "psycopg", "postgresql"),
        ("postgresql+asyncpg://h/d", True, "asyncpg", "asyncpg"),
        ("mysql://h/d", False, "pymysql", "mysql"),
        ("mariadb://h/d", True, "asyncmy", "mysql-async"),
        ("postgresql+asyncpg://h/d", True, "greenlet", "asyncpg"),
    ],
)
def test_a_missing_driver_names_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, url: str, is_async: bool, module: str, extra: str
) -> None:
    monkeypatch.setattr("sessionward.backends.sql.connect.find_spec", lambda name: None if name == module else find_spec(name))
    made = AsyncSQLBackend if is_async else SQLBackend
    with pytest.raises(ConfigurationError) as caught:
        made(url)
    assert f"pip install 'sessionward[{extra}]'" in str(caught.value)
    assert module in str(caught.value)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_sqlite_from_a_url_needs_no_driver_to_be_installed(monkeypatch: pytest.MonkeyPatch, is_async: bool) -> None:
    monkeypatch.setattr("sessionward.backends.sql.connect.find_spec", lambda name: None if name == "aiosqlite" else find_spec(name))
    url = "sqlite+aiosqlite:///nowhere/x.db" if is_async else "sqlite:///nowhere/x.db"
    assert (AsyncSQLBackend if is_async else SQLBackend)(url).pool_size == 10


def test_the_extras_that_are_named_exist() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert {"postgresql", "asyncpg", "mysql", "mysql-async"} <= set(project["optional-dependencies"])


@pytest.mark.parametrize("made", [SQLBackend, AsyncSQLBackend])
@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&cache=shared&uri=true", "sqlite:///file::memory:?uri=true"]
)
def test_sqlite_in_memory_is_refused_with_the_way_out(made: Callable[[str], object], url: str) -> None:
    with pytest.raises(ConfigurationError, match="MemoryBackend"):
        made(url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///x.db"], ids=["in memory", "a file"])
def test_an_engine_that_shares_one_connection_is_refused(url: str) -> None:
    engine = create_engine(url, poolclass=StaticPool)
    with pytest.raises(ConfigurationError, match="StaticPool"):
        SQLBackend(engine)


def test_an_engine_in_memory_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="MemoryBackend"):
        SQLBackend(create_engine("sqlite://"))


def test_an_async_engine_that_shares_one_connection_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="StaticPool"):
        AsyncSQLBackend(create_async_engine("sqlite+aiosqlite://"))


def test_an_engine_without_a_pool_will_do(tmp_path: Path) -> None:
    backend = SQLBackend(create_engine(f"sqlite:///{tmp_path}/x.db", poolclass=NullPool))
    backend.create_tables()
    assert backend.begin_login("ann") == 0


def test_a_wsgi_door_refuses_an_async_backend_with_its_twin() -> None:
    backend: Any = AsyncSQLBackend("sqlite:///nowhere/x.db")
    with pytest.raises(ConfigurationError, match="SQLBackend"):
        WSGIMiddleware(lambda _environ, _start: [], backend, secrets=[SECRET])


def test_a_class_in_place_of_a_backend_is_refused_at_the_door() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    backend: Any = SQLBackend
    with pytest.raises(ConfigurationError, match="pass an instance"):
        ASGIMiddleware(app, backend, secrets=[SECRET])


@pytest.mark.parametrize("made", [SQLBackend, AsyncSQLBackend])
@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1.0}, {"pool_size": 0}, {"pool_size": -3}], ids=str)
def test_a_deadline_or_pool_size_of_nothing_is_refused(made: Callable[..., object], options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        made("sqlite:///nowhere/x.db", **options)
