"""Servers for tests: databases and Redis, real ones where they run. Each worker of a test session has fresh databases.

Without a server, the tests that need it are skipped and say why. With SESSIONWARD_REQUIRE_SERVICES=1 that is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
import redis
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

REQUIRED = os.environ.get("SESSIONWARD_REQUIRE_SERVICES") == "1"

POSTGRESQL = make_url(os.environ.get("SESSIONWARD_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"))
MARIADB = make_url(os.environ.get("SESSIONWARD_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306/test"))
SERVERS = {"postgresql": POSTGRESQL, "mariadb": MARIADB}
REDIS = os.environ.get("SESSIONWARD_TEST_REDIS", "redis://127.0.0.1:6379/0")


def missing(what: str, why: object) -> None:
    """Skip, or fail where services are required."""
    message = f"{what} is needed: {why}"
    if REQUIRED:
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def fresh_database(server: URL) -> Iterator[str]:
    """The URL, without a driver's name, of a new database on a server; dropped at the end."""
    name = f"sessionward_test_{uuid4().hex[:12]}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 3})
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError as error:
        engine.dispose()
        missing(server.get_backend_name(), str(error.orig).splitlines()[0])
    try:
        yield server.set(drivername=server.get_backend_name(), database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            force = " WITH (FORCE)" if server.get_backend_name() == "postgresql" else ""
            connection.execute(text(f"DROP DATABASE {name}{force}"))
        engine.dispose()


def redis_server() -> str:
    """The URL of a Redis that answers. It is nobody's alone: use a prefix."""
    with redis.Redis.from_url(REDIS, socket_connect_timeout=3) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            missing("redis", error)
    return REDIS
