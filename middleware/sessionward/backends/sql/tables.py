"""The three tables in SQLAlchemy's form. ``metadata`` describes them to Alembic.

Times are UTC. The tables do not contain the token of a session: ``digest`` is its SHA-256.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Engine,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Uuid,
    false,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError

from sessionward.errors import BackendUnavailable

metadata: Final = MetaData()

# P8: compared byte for byte, so `Bob`, `bob` and `bob ` are three users. SQLite does so by default.
_USER_ID: Final = (
    String(255).with_variant(postgresql.VARCHAR(255, collation="C"), "postgresql").with_variant(mysql.VARBINARY(255), "mysql", "mariadb")
)
_TIME: Final = DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_ID: Final = Uuid().with_variant(mysql.CHAR(32, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
_DIGEST: Final = LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb")
_SECONDS: Final[Double[float]] = Double()
_MYSQL: Final[dict[str, Any]] = {
    f"{name}_{option}": value for name in ("mysql", "mariadb") for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}

users: Final = Table(
    "sessionward_users",
    metadata,
    Column("user_id", _USER_ID, primary_key=True),
    Column("generation", BigInteger, nullable=False, server_default=text("0"), comment="how often this user's sessions were revoked"),
    Column("revoked_at", _TIME, comment="when the generation was raised last"),
    Column("companion_required", Boolean, nullable=False, server_default=false(), comment="whether only a new sign-in makes a companion"),
    **_MYSQL,
)

sessions: Final = Table(
    "sessionward_sessions",
    metadata,
    Column("id", _ID, primary_key=True, comment="public, never a credential"),
    Column("user_id", _USER_ID, nullable=False),
    Column("digest", _DIGEST, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("issued_at", _TIME, nullable=False),
    Column("authenticated_at", _TIME, comment="NULL if the sign-in is unknown"),
    Column("expires_at", _TIME, nullable=False, comment="with an idle limit, when it ends unless it is used"),
    Column("ends_at", _TIME, comment="with an idle limit, when it ends whatever its use"),
    Column("last_seen_at", _TIME, nullable=False),
    Column("ended_at", _TIME),
    Column("ended_by", _ID, comment="the session that revoked it, if one did"),
    Column("reason", String(16), comment="others, one, all, logout, replaced, limit or expired"),
    Column("methods", String(255), nullable=False, server_default="", comment="how the person signed in, separated by blanks"),
    Column("ip_address", String(64)),
    Column("user_agent", String(512)),
    Column("raises_at", _TIME, comment="the time that stands for its raises of the generation"),
    Column("app_session", _DIGEST, comment="companions: digest of the application's own session"),
    Column("allowed_at", _TIME, comment="the time that stands for its revocations of others, where they are limited"),
    Column("kind", String(16), comment="NULL for an ordinary sign-in, or impersonation"),
    Column("actor", _USER_ID, comment="who acts as the user"),
    Column("era", BigInteger, nullable=False, server_default=text("0"), comment="that of the installation when the session began"),
    **_MYSQL,
)

state: Final = Table(
    "sessionward_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, comment="1: there is one row, for the whole installation"),
    Column("lease", _SECONDS, nullable=False, server_default=text("0"), comment="seconds for which workers trust an answer"),
    Column("former_lease", _SECONDS, nullable=False, server_default=text("0"), comment="the longer lease, before it was lowered"),
    Column("lowered_at", _TIME, comment="when the lease was lowered last"),
    Column("era", BigInteger, nullable=False, server_default=text("0"), comment="sessions of another era have ended"),
    Column("era_at", _TIME, comment="when the era began, or NULL if there was none before"),
    Column("lineage", String(255), comment="PostgreSQL: the server and the timeline, and where earlier ones ended"),
    Column("rolled_back", Boolean, nullable=False, server_default=false(), comment="whether commits were found missing"),
    CheckConstraint("id = 1", name="sessionward_state_one_row"),
    **_MYSQL,
)

# A record of the last use changes no index, so that it costs a new version of the row and nothing else, if there is room on its page
# (1 209 of 1 500 with full pages, and all with this). An index on last_seen_at would end that.
_leave_room: Final[DDL] = DDL("ALTER TABLE %(fullname)s SET (fillfactor = 80)")  # type: ignore[no-untyped-call]
listen(sessions, "after_create", _leave_room.execute_if(dialect="postgresql"))

# Rows with a time in ended_at do not slow a lookup: they are not in the index, or (MariaDB, MySQL) in another part of it.
live: Final = Index(
    "sessionward_sessions_live",
    sessions.c.user_id,
    sessions.c.ended_at,
    postgresql_where=sessions.c.ended_at.is_(None),
    sqlite_where=sessions.c.ended_at.is_(None),
)

app_session_index: Final = Index(
    "sessionward_sessions_app_session",
    sessions.c.app_session,
    postgresql_where=sessions.c.app_session.is_not(None),
    sqlite_where=sessions.c.app_session.is_not(None),
)


def create(engine: Engine) -> None:
    """Creates what is missing, the row of ``sessionward_state`` too. If another process creates the same at this moment, it tries again."""
    for attempt in range(5):
        try:
            metadata.create_all(engine)
            with engine.begin() as connection:
                if connection.execute(select(state.c.id)).first() is None:
                    connection.execute(insert(state).values(id=1))
        except DBAPIError as error:
            if attempt == 4:
                raise BackendUnavailable(
                    f"the tables of sessionward could not be created: {str(error.orig).partition(chr(10))[0]}"
                ) from error
        else:
            return
