"""The statements that follow from a layout, in the SQL of a dialect."""
# ruff: noqa: S608 - the statements contain only names that the layout has checked; all values are parameters

from __future__ import annotations

from collections.abc import Mapping

from sessionward.backends.sql.dialect import MYSQL, POSTGRESQL, SQLITE, Dialect
from sessionward.backends.table.layout import Layout, parameter


def statements(layout: Layout, dialect: Dialect) -> Mapping[str, str]:
    """Returns the statements on the table, by name. They contain only names that the layout has checked; values are parameters."""
    key, user = _quoted(layout.key, dialect), _quoted(layout.user, dialect)
    table = ".".join(_quoted(part, dialect) for part in layout.table.split("."))
    expires = _quoted(layout.expires.column, dialect) if layout.expires else "NULL"
    revoked = _quoted(layout.revoked.column, dialect) if layout.revoked else "NULL"
    local = "NOW(6)" if dialect is MYSQL else "NULL"
    rows = f"SELECT {key}, {user}, {expires}, {revoked}, {{now}}, {local} FROM {table}"
    only = "".join(f" AND {_quoted(name, dialect)} = :{parameter(number)}" for number, name in enumerate(layout.where))
    this = f"WHERE {key} = :key AND {user} = :user"
    if layout.revoked is not None:
        revoke = f"UPDATE {table} SET {revoked} = :revoked {this}"
    elif layout.rename:
        revoke = f"UPDATE {table} SET {key} = :renamed {this}"
    else:
        revoke = f"DELETE FROM {table} {this}"
    return {
        "find": f"{rows} WHERE {key} = :key{only}",
        "lock_one": f"{rows} WHERE {key} = :key{only}{{lock}}",
        "of_user": f"{rows} WHERE {user} = :user{only}",
        "lock_all": f"{rows} WHERE {user} = :user{only} ORDER BY {key}{{lock}}",
        "revoke": revoke,
        "columns": _catalogue(layout.table, table, dialect),
    }


def _quoted(name: str, dialect: Dialect) -> str:
    """Returns a name in quotes. SQLite gets back-ticks too: it takes an unknown name in double quotes for a string, and finds all rows."""
    return f'"{name}"' if dialect is POSTGRESQL else f"`{name}`"


def _catalogue(name: str, table: str, dialect: Dialect) -> str:
    """Returns the query for the name and the type of each column. It finds no row if there is no such table."""
    schema, _, own = name.rpartition(".")
    if dialect is POSTGRESQL:
        return (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
            f" WHERE attrelid = to_regclass('{table}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
    if dialect is SQLITE:
        return f"SELECT name, type FROM pragma_table_xinfo('{own}'" + (f", '{schema}')" if schema else ")")
    place = f"'{schema}'" if schema else "DATABASE()"
    return (
        "SELECT column_name, column_type FROM information_schema.columns"
        f" WHERE table_schema = {place} AND table_name = '{own}' ORDER BY ordinal_position"
    )
