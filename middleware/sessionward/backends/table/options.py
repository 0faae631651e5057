"""Checks the options of both backends together, so that one start of the application reports all mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sessionward.backends.bounds import checked
from sessionward.backends.sql.connect import Database, Schemas, Statements, database_of
from sessionward.backends.sql.dialect import Dialect
from sessionward.backends.table.layout import Layout, Timestamp
from sessionward.backends.table.queries import Queries
from sessionward.backends.table.statements import catalogue
from sessionward.backends.table.transform import Transform
from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError, Mistakes

CLASS_NAMES = ("TableBackend", "AsyncTableBackend")


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of a backend."""

    database: Database
    queries: Queries
    carriers: Sequence[Carrier]
    caches: Sequence[str]
    timeout: float
    pool_size: int


def options(
    database: object,
    *,
    is_async: bool,
    cookie: str | Sequence[str] | None,
    header: str | None,
    scheme: str,
    cookie_cache: str | Sequence[str],
    transform: Transform,
    timeout: object,
    pool_size: object,
    layout: Mapping[str, Any],
) -> Options:
    """Returns the checked options. Raises a :class:`ConfigurationError` that names all mistakes."""
    mistakes = Mistakes()
    mapped = found = carriers = bounds = None
    with mistakes.collected():
        times = {option: Timestamp.at(name) for option in ("issued", "last_seen") if isinstance(name := layout[option], str)}
        named: dict[str, Any] = {**layout, **times}
        mapped = Layout(**named)
    with mistakes.collected():
        found = database_of(database, is_async=is_async, statements=_statements_of(mapped), class_names=CLASS_NAMES)
    with mistakes.collected():
        carriers = _carriers(cookie, header, scheme)
    with mistakes.collected():
        bounds = checked(timeout, pool_size)
    caches = (cookie_cache,) if isinstance(cookie_cache, str) else tuple(cookie_cache)
    if not all(isinstance(name, str) and name and name.isascii() for name in caches):  # pyright: ignore[reportUnnecessaryIsInstance]
        mistakes.add(["cookie_cache: must be the name of a cookie, or a list of names"])
    if not callable(transform):
        mistakes.add(["transform: must be a function that takes the credential as a str and returns the value in the key column"])
    mistakes.raise_any()
    assert mapped is not None
    assert found is not None
    assert carriers is not None
    assert bounds is not None
    return Options(found, Queries(mapped.in_schema(found.schemas), transform), carriers, caches, *bounds)


def _statements_of(layout: Layout | None) -> Statements:
    """Returns what makes the first statement for a layout; the others follow from its answer. A layout that was wrong has none."""

    def make(dialect: Dialect, schemas: Schemas) -> Mapping[str, str]:
        return {} if layout is None else catalogue(layout.in_schema(schemas), dialect)

    return make


def _carriers(cookie: object, header: object, scheme: object) -> Sequence[Carrier]:
    """Returns the carriers. The header is the first, as everywhere: a page of another site cannot send one."""
    if not isinstance(scheme, str) or (scheme and not header):
        raise ConfigurationError(
            "scheme: must be the str that precedes the value in the header, such as Bearer or Token, and must be given together with header"
        )
    cookies = [cookie] if isinstance(cookie, str) else list(cast("Sequence[object]", cookie or ()))
    try:
        carriers = [Carrier.header(cast("str", header), scheme=scheme)] if header is not None else []
        carriers += [Carrier.cookie(cast("str", name)) for name in cookies]
    except (AttributeError, UnicodeEncodeError):
        raise ConfigurationError("cookie, header, scheme: must be ASCII strings") from None
    if not carriers or not all(carrier.name for carrier in carriers):
        raise ConfigurationError(
            "cookie, header: must say where the client sends the application's credential:"
            " cookie='session_token', or header='Authorization', scheme='Bearer'"
        )
    return tuple(carriers)
