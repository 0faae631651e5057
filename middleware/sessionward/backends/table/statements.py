"""The statements that follow from a layout and from the types of its columns, in the SQL of a dialect.

What is compared is compared by the database, so that its rules count: padding, collations, infinite times.
"""
# ruff: noqa: S608 - the statements contain only names that the layout has checked; all values are parameters

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sessionward.backends.sql.dialect import MYSQL, POSTGRESQL, SQLITE, Dialect
from sessionward.backends.table.columns import Kind
from sessionward.backends.table.described import Table
from sessionward.backends.table.layout import RENAMED_LENGTH, REVOKED, Expires, Layout, Timestamp, parameter

SIZES: Final = (1, 20, 500)
"""How many keys one statement names. MariaDB makes a temporary table of 1000 and more, SQLite takes 999 parameters at least."""
LISTED: Final = 10_000
"""The most live rows of one user that we list. They are sorted here, since the database does not know their public ids."""
_LONGEST: Final = 1e10
"""Seconds, 317 years: no database subtracts any number of seconds from the present."""


def catalogue(layout: Layout, dialect: Dialect) -> Mapping[str, str]:
    """Returns the query for the name, the type and the unique index of each column. It finds no row if there is no such table."""
    return {"columns": _catalogue(layout.table, ".".join(_quoted(part, dialect) for part in layout.table.split(".")), dialect)}


def statements(layout: Layout, table: Table, dialect: Dialect) -> Mapping[str, str]:
    """Returns the statements on the table, by name. They contain only names that the layout has checked; values are parameters."""
    key, user = _quoted(layout.key, dialect), _quoted(layout.user, dialect)
    name = ".".join(_quoted(part, dialect) for part in layout.table.split("."))
    local = "NOW(6)" if dialect is MYSQL else "NULL"
    columns = f"{key}, {user}, {_expires(layout, table, dialect)}, {_is_revoked(layout, dialect)}, {{now}}, {local}"
    only = "".join(f" AND {_quoted(column, dialect)} = :{parameter(number)}" for number, column in enumerate(layout.where))
    # InnoDB locks each row that it passes. By this index it passes only the rows that a statement names.
    hint = f" FORCE INDEX ({_quoted(table.index, dialect)})" if re.fullmatch(r"[\w$-]+", table.index) else ""
    rows, of_user = f"SELECT {columns} FROM {name}", f"WHERE {user} = :user{only}"
    shown = f"SELECT {columns}, {_about(layout, table, dialect)} FROM {name}"
    made = {
        "find": f"{shown} WHERE {key} = :key{only}",
        "lock_one": f"{shown} WHERE {key} = :key{only}{{lock}}",
        "list": f"{shown} {of_user}{_is_live(layout, table, dialect)} LIMIT {LISTED + 1}",
        "of_user": f"SELECT {key}, {user} FROM {name} {of_user} ORDER BY {key}",
        "lock_all": f"{rows} {of_user} ORDER BY {key}{{lock}}",
    }
    everybody = f"WHERE {user} IS NOT NULL{_is_named(user, table)}{only}{_is_not_revoked(layout, dialect)}"
    locked = f"(SELECT {key} FROM {name} {everybody} ORDER BY {key}{{lock}}) AS locked" if dialect is not MYSQL else f"{name} {everybody}"
    made["lock_everybody"] = f"SELECT COUNT(*), {{now}}, {local} FROM {locked}" + (" FOR UPDATE" if dialect is MYSQL else "")
    made["revoke_everybody"] = f"{_change(name, layout, dialect)} {everybody}"
    for option, at in layout.moments.items():
        column = _quoted(at.column, dialect)
        read = _readable(column, at, table.times.get(option, table.expires), dialect)
        made[f"sample_{option}"] = f"SELECT {read}, {{now}}, {local} FROM {name} WHERE {column} IS NOT NULL LIMIT 20"
    for size in SIZES:
        keys = f"{key} IN ({', '.join(':' + parameter(number, 'key') for number in range(size))})"
        made[f"lock_{size}"] = f"{rows}{hint} WHERE {keys}{only} ORDER BY {key}{{lock}}"
        made[f"revoke_{size}"] = f"{_change(name, layout, dialect, hint)} WHERE {keys} AND {user} = :user"
    return made


def _change(name: str, layout: Layout, dialect: Dialect, hint: str = "") -> str:
    """Returns the beginning of the statement that revokes rows."""
    if layout.revoked is not None:
        return f"UPDATE {name}{hint} SET {_quoted(layout.revoked.column, dialect)} = :revoked"
    if layout.rename:
        key = _quoted(layout.key, dialect)
        return f"UPDATE {name}{hint} SET {key} = {_renamed(key, dialect)}"
    return f"DELETE {name} FROM {name}{hint}" if hint else f"DELETE FROM {name}"


def in_sets(keys: Sequence[Any]) -> Sequence[tuple[int, int, Mapping[str, Any]]]:
    """Returns for each set of keys: the size of its statements, how many keys it has, and their parameters."""
    sets: list[tuple[int, int, Mapping[str, Any]]] = []
    for start in range(0, len(keys), SIZES[-1]):
        part = keys[start : start + SIZES[-1]]
        size = next(size for size in SIZES if size >= len(part))
        sets.append((size, len(part), {parameter(number, "key"): part[min(number, len(part) - 1)] for number in range(size)}))
    return sets


# --- expressions ------------------------------------------------------------------------------------------------------


def _expires(layout: Layout, table: Table, dialect: Dialect) -> str:
    """Returns the time of expiry as far as a driver can return it, and whether it has come; NULL where we have to work that out."""
    expires = layout.expires
    if expires is None:
        return "NULL, 0"
    column = _quoted(expires.column, dialect)
    compared = _compared(column, expires, table.expires, dialect)
    if compared is None:
        return f"{column}, NULL"
    return f"{_readable(column, expires, table.expires, dialect)}, CASE WHEN {compared} THEN 1 ELSE 0 END"


def _readable(column: str, at: Expires | Timestamp, kind: Kind, dialect: Dialect) -> str:
    """Returns a column of times as far as a driver can return it: NULL for infinite times, and for those of no calendar.

    A ``TIMESTAMP`` of MySQL comes as seconds. Otherwise it is in the zone of the connection, whose offset may have been another one then.
    """
    if dialect is SQLITE or at.per_second or kind not in (Kind.AWARE, Kind.NAIVE, Kind.LOCAL):
        return column
    bounds = f"{column} > '0001-01-02' AND {column} < '9999-12-30'" if dialect is POSTGRESQL else f"{column} > '1000-01-01'"
    return f"CASE WHEN {bounds} THEN {f'UNIX_TIMESTAMP({column})' if kind is Kind.LOCAL else column} END"


def _about(layout: Layout, table: Table, dialect: Dialect) -> str:
    """Returns the columns that say something about a session."""
    times = {option: _readable(_quoted(at.column, dialect), at, table.times[option], dialect) for option, at in layout.times.items()}
    texts = ("NULL" if name is None else _quoted(name, dialect) for name in (layout.ip_address, layout.user_agent))
    return ", ".join([times.get("issued", "NULL"), times.get("last_seen", "NULL"), *texts])


def _is_live(layout: Layout, table: Table, dialect: Dialect) -> str:
    """Returns the conditions of a live row that the database can judge. We judge all again."""
    conditions = _is_not_revoked(layout, dialect)
    if layout.expires is not None:
        compared = _compared(_quoted(layout.expires.column, dialect), layout.expires, table.expires, dialect)
        conditions += "" if compared is None else f" AND CASE WHEN {compared} THEN 1 ELSE 0 END = 0"
    return conditions


def _is_not_revoked(layout: Layout, dialect: Dialect) -> str:
    conditions = "" if layout.revoked is None else f" AND {_is_revoked(layout, dialect)} = 0"
    if layout.rename:
        conditions += f" AND SUBSTR({_quoted(layout.key, dialect)}, 1, {len(REVOKED)}) <> '{REVOKED}'"
    return conditions


def _is_named(user: str, table: Table) -> str:
    """Returns the condition that a row has a user: an empty text means an anonymous session, as NULL does."""
    return f" AND {user} <> ''" if table.user.kind in (Kind.TEXT, Kind.PADDED, Kind.ANY) else ""


def _compared(column: str, expires: Expires, kind: Kind, dialect: Dialect) -> str | None:
    """Returns the condition under which a row has expired, or None for values that the database cannot compare with a time."""
    seconds = f"{min(expires.lifetime, _LONGEST):.6f}"
    if dialect is POSTGRESQL and kind in (Kind.AWARE, Kind.NAIVE):
        now = "clock_timestamp()" if kind is Kind.AWARE else "(clock_timestamp() AT TIME ZONE 'UTC')"
        return f"{column} <= {now} - INTERVAL '{seconds} seconds'"
    if dialect is MYSQL and kind is Kind.NAIVE:
        return f"{column} <= UTC_TIMESTAMP(6) - INTERVAL {seconds} SECOND"
    if dialect is MYSQL and kind is Kind.LOCAL:
        return f"UNIX_TIMESTAMP({column}) <= UNIX_TIMESTAMP() - {seconds}"
    return None


def _is_revoked(layout: Layout, dialect: Dialect) -> str:
    if layout.revoked is None:
        return "0"
    column = _quoted(layout.revoked.column, dialect)
    return f"CASE WHEN {column} {'IS NOT NULL' if layout.revoked.revoked is None else '= :is_revoked'} THEN 1 ELSE 0 END"


def _renamed(key: str, dialect: Dialect) -> str:
    """Returns the new key of a row: ``revoked:`` and hexadecimal digits that depend on the secret ``:salt``."""
    length = RENAMED_LENGTH - len(REVOKED)
    if dialect is SQLITE:
        return f"'{REVOKED}' || lower(hex(randomblob({length // 2})))"
    if dialect is MYSQL:
        return f"CONCAT('{REVOKED}', LEFT(SHA2(CONCAT({key}, :salt), 256), {length}))"
    digested = f"sha256(convert_to(CAST({key} AS varchar) || CAST(:salt AS varchar), getdatabaseencoding()))"
    return f"'{REVOKED}' || left(encode({digested}, 'hex'), {length})"


def _quoted(name: str, dialect: Dialect) -> str:
    """Returns a name in quotes. SQLite gets back-ticks too: it takes an unknown name in double quotes for a string, and finds all rows."""
    return f'"{name}"' if dialect is POSTGRESQL else f"`{name}`"


def _catalogue(name: str, table: str, dialect: Dialect) -> str:
    schema, _, own = name.rpartition(".")
    if dialect is POSTGRESQL:  # a domain counts as what it is made of
        labels = "'enum(' || (SELECT string_agg(quote_literal(enumlabel), ',') FROM pg_enum WHERE enumtypid = b.oid) || ')'"
        modifier = "CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END"
        return (
            f"SELECT a.attname, CASE WHEN b.typtype = 'e' THEN {labels} ELSE format_type(b.oid, {modifier}) END, NULL"
            " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END"
            f" WHERE a.attrelid = to_regclass('{table}') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        )
    if dialect is SQLITE:
        return f"SELECT name, type, NULL FROM pragma_table_xinfo('{own}'" + (f", '{schema}')" if schema else ")")
    place = f"'{schema}'" if schema else "DATABASE()"
    index = (
        "SELECT MIN(s.index_name) FROM information_schema.statistics s WHERE s.table_schema = c.table_schema"
        " AND s.table_name = c.table_name AND s.column_name = c.column_name AND s.seq_in_index = 1 AND s.non_unique = 0"
    )
    return (
        f"SELECT c.column_name, c.column_type, ({index}) FROM information_schema.columns c"
        f" WHERE c.table_schema = {place} AND c.table_name = '{own}' ORDER BY c.ordinal_position"
    )
