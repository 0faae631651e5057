"""The settings of a backend that a database URL may carry, too, for programs that take nothing but a URL."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, TypeAlias, TypeVar

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from sessionward.backends.sql.connect import Database
from sessionward.backends.sql.dialect import MYSQL, POSTGRESQL
from sessionward.backends.sql.galera import Galera
from sessionward.backends.sql.witness import OnRollback, Witness
from sessionward.errors import ConfigurationError

E = TypeVar("E", bound=Enum)

Rollback: TypeAlias = Literal["refuse", "revoke", "ignore"]
GaleraUse: TypeAlias = Literal["refuse", "single_node"]
NAMES: Final = ("on_rollback", "galera")


def split_options(database: object) -> tuple[object, dict[str, str]]:
    """Returns a URL without our own options, and these by name. What is no URL is returned as it is."""
    if not isinstance(database, (str, URL)):
        return database, {}
    try:
        url = make_url(database)
    except (ArgumentError, ValueError):  # the backend reports it
        return database, {}
    found = {name: values[-1] for name in NAMES if (values := url.normalized_query.get(name))}
    return (url.difference_update_query(found), found) if found else (database, {})


def witness_of(database: Database, options: dict[str, str], *, on_rollback: str, galera: str) -> Witness | None:
    """Returns who examines the connections of a database, or None if there is nothing to examine.

    ``options``: those of the URL, which count more than the arguments. Raises :class:`ConfigurationError`.
    """
    dialect = database.sql.dialect
    rollback = _chosen(OnRollback, "on_rollback", options.get("on_rollback", on_rollback))
    use = _chosen(Galera, "galera", options.get("galera", galera))
    if rollback is not OnRollback.REFUSE and dialect is not POSTGRESQL:
        raise ConfigurationError(f"on_rollback: is for PostgreSQL, and this database is {dialect.display_name}; leave it out")
    if use is not Galera.REFUSE and dialect is not MYSQL:
        raise ConfigurationError(f"galera: is for MariaDB and MySQL, and this database is {dialect.display_name}; leave it out")
    witness = Witness(dialect, rollback, use)
    return witness if witness.is_needed else None


def _chosen(kind: type[E], name: str, value: object) -> E:
    for member in kind:
        if member.value == value:
            return member
    raise ConfigurationError(f"{name}: must be {' or '.join(repr(member.value) for member in kind)}, not {value!r}")
