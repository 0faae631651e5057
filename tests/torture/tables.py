"""The two tables, looked at and filled without a backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Engine, create_engine, make_url, select

from sessionward import Session
from sessionward.backends import Credential
from sessionward.backends.sql import metadata

PATIENCE: Final = 30.0
"""Seconds that a question may wait for its turn: a torture asks for more at once than two cores can do in a timeout."""

sessions: Final = metadata.tables["sessionward_sessions"]
users: Final = metadata.tables["sessionward_users"]

_SCHEMES: Final = {"asyncpg": "postgresql+asyncpg", "psycopg": "postgresql+psycopg", "asyncmy": "mysql+asyncmy", "pymysql": "mysql+pymysql"}


def with_driver(url: str, driver: str) -> str:
    return make_url(url).set(drivername=_SCHEMES.get(driver, "sqlite")).render_as_string(hide_password=False)


def engine_of(url: str) -> Engine:
    """A sync Engine in autocommit: how the tests, and the naive, look at the tables."""
    name = make_url(url).get_backend_name()
    sync = with_driver(url, {"postgresql": "psycopg", "mysql": "pymysql"}.get(name, ""))
    arguments = {"timeout": PATIENCE} if name == "sqlite" else {}
    return create_engine(sync, isolation_level="AUTOCOMMIT", connect_args=arguments)


def _is_mysql(engine: Engine) -> bool:
    return engine.dialect.name in ("mysql", "mariadb")


def key(engine: Engine, user: str) -> Any:
    """A user's id as it is compared in the tables."""
    return user.encode() if _is_mysql(engine) else user


def row_id(engine: Engine, session: Session) -> Any:
    """A session's id as it is compared in the tables."""
    return session.id.hex if _is_mysql(engine) else session.id


def stock(engine: Engine, sessions_of: Mapping[str, Iterable[str]]) -> dict[str, Session]:
    """Users with live sessions that have these tokens, put in directly; the sessions by their tokens."""
    made: dict[str, Session] = {}
    rows: list[dict[str, Any]] = []
    now = datetime.now(UTC)
    for user, tokens in sessions_of.items():
        for token in tokens:
            made[token] = session = Session(id=uuid4(), user_id=user)
            rows.append(
                {
                    "id": row_id(engine, session),
                    "user_id": key(engine, user),
                    "digest": Credential(token.encode()).digest,
                    "issued_at": now,
                    "authenticated_at": now,
                    "expires_at": now + timedelta(hours=1),
                    "last_seen_at": now,
                    "methods": "password",
                }
            )
    with engine.begin() as connection:
        connection.execute(
            users.insert(), [{"user_id": key(engine, user), "generation": 0, "companion_required": False} for user in sessions_of]
        )
        connection.execute(sessions.insert(), rows)
    return made


def live_ids(engine: Engine, user: str) -> set[UUID]:
    """The sessions of a user that have not been marked as ended."""
    query = select(sessions.c.id).where(sessions.c.user_id == key(engine, user), sessions.c.ended_at.is_(None))
    with engine.connect() as connection:
        return {one if isinstance(one, UUID) else UUID(one) for one in connection.execute(query).scalars()}


def generation_of(engine: Engine, user: str) -> int | None:
    with engine.connect() as connection:
        return connection.execute(select(users.c.generation).where(users.c.user_id == key(engine, user))).scalar()
