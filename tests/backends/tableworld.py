"""Applications with a session table of their own, in a database of each kind: they insert their rows without us."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Column, Engine, MetaData, RowMapping, String, Table, create_engine, delete, insert, make_url, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sessionward.backends import Credential
from sessionward.backends.table import AsyncTableBackend, TableBackend
from sessionward.testing import Client, World
from tests.backends.schemas import HOUR, Schema
from tests.contract.sql_world import Kind, safe_engine


class TableWorld(World):
    """One backend over one table. ``options`` override those of the schema."""

    sessions: Any

    def __init__(self, kind: Kind, url: str, schema: Schema, *, engine_options: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.kind, self.schema, self.url = kind, schema, url
        self.safe = safe_engine(url)
        schema.table.drop(self.safe, checkfirst=True)
        schema.table.create(self.safe)
        self.engine: Engine | AsyncEngine | None = None
        database: Any = make_url(url).set(drivername=kind.scheme)
        if kind.over_engine:
            make: Any = create_async_engine if kind.is_async else create_engine
            database = self.engine = make(database, **(engine_options or {}))
        settings: dict[str, Any] = {"timeout": 10.0, **schema.options, **options}
        super().__init__((AsyncTableBackend if kind.is_async else TableBackend)(database, schema.table.name, **settings))

    def close(self) -> None:
        self.sessions.close()
        if isinstance(self.engine, Engine):
            self.engine.dispose()
        if isinstance(self.engine, AsyncEngine):
            self.run(self.engine.dispose())
        if self._loop is not None:
            self._loop.close()
        self.schema.table.drop(self.safe)
        self.safe.dispose()

    # --- what the application does

    def insert(self, user: str = "ann", *, lasts: float = HOUR, **values: Any) -> Any:
        """A new row; its key."""
        row = {**self.schema.row(self.schema.user(user), lasts), **values}
        with self.safe.begin() as connection:
            made = connection.execute(insert(self.schema.table).values(row))
            key = row.get(self.schema.key)
            return key if key is not None or made.inserted_primary_key is None else made.inserted_primary_key[0]

    def sign_in(self, user: str = "ann", **values: Any) -> Client:
        return self.client(self.schema.credential(self.insert(user, **values)))

    def sign_in_expired(self, user: str = "ann") -> Credential:
        """A session that has expired."""
        return Credential(self.schema.credential(self.insert(user, lasts=-60.0)).encode())

    def sign_out(self, client: Client) -> None:
        with self.safe.begin() as connection:
            connection.execute(delete(self.schema.table).where(self.key_column == self.key_of(client)))

    def rewrite(self, client: Client, **values: Any) -> int:
        """What an application does that writes a session back: an UPDATE by the key; how many rows it found."""
        with self.safe.begin() as connection:
            return connection.execute(update(self.schema.table).where(self.key_column == self.key_of(client)).values(values)).rowcount

    @property
    def key_column(self) -> Any:
        return self.schema.table.c[self.schema.key]

    def key_of(self, client: Client | Credential) -> Any:
        """The key of a client's row while it lived."""
        key = self.backend._queries._key(client.credential if isinstance(client, Client) else client)
        return self.key_column.type.python_type(key)

    def row(self, client: Client | Credential) -> RowMapping | None:
        """The row of a client, as the application finds it."""
        with self.safe.connect() as connection:
            asked = select(self.schema.table).where(self.key_column == self.key_of(client))
            return connection.execute(asked).mappings().one_or_none()

    def rows(self, *names: str) -> Sequence[RowMapping]:
        """All rows, of which only these columns if any are named."""
        with self.safe.connect() as connection:
            asked = select(*(self.schema.table.c[name] for name in names)) if names else select(self.schema.table)
            return connection.execute(asked).mappings().all()

    def text_of(self, user: str) -> str:
        """A user's id as sessions tell it."""
        value = self.schema.user(user)
        return value.hex if isinstance(value, UUID) and self.kind.database != "postgresql" else str(value)

    def clean(self) -> None:
        with self.safe.begin() as connection:
            connection.exec_driver_sql(_TRIGGERS[self.kind.database][1])
            connection.execute(delete(self.schema.table))

    @contextmanager
    def refusing(self, client: Client) -> Iterator[None]:
        """The database refuses to end this one row."""
        what = "DELETE" if "revoked" not in self.schema.options and "rename" not in self.schema.options else "UPDATE"
        quote = self.safe.dialect.identifier_preparer.quote
        make, drop = _TRIGGERS[self.kind.database]
        condition = f"OLD.{quote(self.schema.key)} = '{self.key_of(client)}'"
        with self.safe.begin() as connection:
            connection.exec_driver_sql(make.format(when=f"{what} ON {quote(self.schema.table.name)}", condition=condition))
        try:
            yield
        finally:
            with self.safe.begin() as connection:
                connection.exec_driver_sql(drop)


_TRIGGERS: Final = {
    "sqlite": (
        "CREATE TRIGGER refusing BEFORE {when} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'refused'); END",
        "DROP TRIGGER IF EXISTS refusing",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;"
        " CREATE TRIGGER refusing BEFORE {when} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()",
        "DROP FUNCTION IF EXISTS refuse CASCADE",
    ),
    "mariadb": (
        "CREATE TRIGGER refusing BEFORE {when} FOR EACH ROW IF {condition} THEN SIGNAL SQLSTATE '45000'; END IF",
        "DROP TRIGGER IF EXISTS refusing",
    ),
}


# --- tables of a few columns -------------------------------------------------------------------------------------------


def schema_of(*columns: Column[Any], row: Callable[[Any, float], dict[str, Any]], name: str = "small", **options: Any) -> Schema:
    return Schema(
        Table(name, MetaData(), *columns),
        {"key": "token", "user": "owner", "cookie": "sid", **options},
        row,
        credential=str,
        forged=lambda key: "forged",
    )


def simple(*more: Column[Any], key: Any = None, user: Any = None, **options: Any) -> Schema:
    columns = [Column("token", key or String(64), unique=True), Column("owner", user or String(64))]
    return schema_of(*columns, *more, row=lambda user, _: {"token": uuid4().hex, "owner": user}, **options)
