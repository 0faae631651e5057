"""The options of both backends, looked at together, so that one start tells all mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sessionward.backends.sql.connect import Database, Statements, checked, database_of
from sessionward.backends.sql.dialect import Dialect
from sessionward.backends.table.layout import Layout
from sessionward.backends.table.queries import Queries
from sessionward.backends.table.statements import statements
from sessionward.backends.table.transform import Transform
from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError, Mistakes

TWINS = ("TableBackend", "AsyncTableBackend")


@dataclass(frozen=True, slots=True)
class Options:
    """What a backend is made of."""

    database: Database
    queries: Queries
    carriers: Sequence[Carrier]
    timeout: float
    pool_size: int


def options(
    database: object,
    *,
    is_async: bool,
    cookie: str | Sequence[str] | None,
    header: str | None,
    scheme: str,
    transform: Transform,
    timeout: object,
    pool_size: object,
    layout: Mapping[str, Any],
) -> Options:
    """Raises :class:`ConfigurationError` that names all mistakes."""
    mistakes = Mistakes()
    mapped = found = carriers = bounds = None
    with mistakes.collected():
        mapped = Layout(**layout)
    with mistakes.collected():
        found = database_of(database, is_async=is_async, statements=_of(mapped), twins=TWINS)
    with mistakes.collected():
        carriers = _carriers(cookie, header, scheme)
    with mistakes.collected():
        bounds = checked(timeout, pool_size)
    if not callable(transform):
        mistakes.add(["transform: must be a function, from the credential's text to the value in the key column"])
    mistakes.raise_any()
    assert mapped is not None
    assert found is not None
    assert carriers is not None
    assert bounds is not None
    return Options(found, Queries(mapped, transform), carriers, *bounds)


def _of(layout: Layout | None) -> Statements:
    """Nothing is asked of a table that is not known yet."""

    def said(dialect: Dialect) -> Mapping[str, str]:
        return {} if layout is None else statements(layout, dialect)

    return said


def _carriers(cookie: object, header: object, scheme: object) -> Sequence[Carrier]:
    """The header first, as everywhere: no page of another site can send one."""
    if not isinstance(scheme, str) or (scheme and not header):
        raise ConfigurationError("scheme: what stands before the value in the header, such as Bearer or Token; it needs header")
    cookies = [cookie] if isinstance(cookie, str) else list(cast("Sequence[object]", cookie or ()))
    try:
        carriers = [Carrier.header(cast("str", header), scheme=scheme)] if header is not None else []
        carriers += [Carrier.cookie(cast("str", name)) for name in cookies]
    except (AttributeError, UnicodeEncodeError):
        raise ConfigurationError("cookie, header, scheme: the names of a cookie and of a header are ASCII text") from None
    if not carriers or not all(carrier.name for carrier in carriers):
        raise ConfigurationError(
            "cookie, header: where does the application's credential travel?"
            " Say cookie='session_token', or header='Authorization', scheme='Bearer'"
        )
    return tuple(carriers)
