"""What a project's settings say of its sessions: where their keys travel."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError

log = logging.getLogger("sessionward")

KNOWN: Final = ("django.contrib.sessions.middleware", "user_sessions.middleware", "qsessions.middleware")
"""Modules whose session middleware names its cookie as SESSION_COOKIE_NAME says."""


def carriers_of(cookies: Sequence[str] | None) -> list[Carrier]:
    """Everything that the application reads a session's key from, in order of precedence.

    ``cookies``: the names of its session cookies, where they are not what SESSION_COOKIE_NAME says.
    Raises :class:`ConfigurationError` for what is no name of a cookie.
    """
    if cookies is None:
        _warn_of_another_middleware()
        names: Sequence[str] = [settings.SESSION_COOKIE_NAME]
    else:
        names = _checked(cookies)
    headers = [Carrier.header("X-Session-Token")] if apps.is_installed("allauth.headless") else []  # its client "app"
    return [*headers, *map(Carrier.cookie, names)]


def refuse_tenants(databases: Iterable[str]) -> None:
    """Raises :class:`ConfigurationError` where the tables depend on the request. ``databases``: modules of the connections."""
    tenants = TENANTS.intersection(module.partition(".")[0] for module in databases)
    if tenants:
        raise ConfigurationError(
            f"backend: a database of the project is {min(tenants)}'s, where the tables that a request sees are those of its tenant,"
            " which only the application knows; use SESSION_ENGINE signed_cookies, and SQLBackend(...) with"
            " identify=sessionward.identify.django.SignedCookies()"
        )


TENANTS: Final = frozenset({"django_tenants", "tenant_schemas"})
"""Packages whose database connections stand in the schema of the last request."""


def _checked(cookies: Any) -> list[str]:
    names: list[Any] = list(cookies) if isinstance(cookies, (list, tuple)) else []
    if not names or not all(isinstance(name, str) and name and name.isascii() and _NO_NAME.isdisjoint(name) for name in names):
        raise ConfigurationError("cookies: must be a list of one or more names of cookies")
    return list(dict.fromkeys(names))


_NO_NAME: Final = frozenset('()<>@,;:\\"/[]?={} \t').union(map(chr, range(0x20)), "\x7f")


def _warn_of_another_middleware() -> None:
    """A middleware of the project's own may name its cookie otherwise: then nobody would be recognised, and nothing said why."""
    kinds = {path: _kind(path) for path in settings.MIDDLEWARE}
    if any(kind is not None and kind.__module__ in KNOWN for kind in kinds.values()):
        return
    own = [path for path in kinds if "session" in path.lower()]
    log.warning(
        "Django's SessionMiddleware is not in MIDDLEWARE%s; if the session cookie is not always named %s,"
        " name all of its names: sessionward.backends.django.DjangoBackend(cookies=[...])",
        f", in its place stands {' or '.join(own)}" if own else "",
        settings.SESSION_COOKIE_NAME,
    )


def _kind(path: str) -> Any:
    """The class behind a line of MIDDLEWARE, whatever name it was imported by."""
    try:
        kind = import_string(path)
    except Exception:  # the application says better than we what is wrong with it
        return None
    return kind if isinstance(kind, type) and kind.__name__ == "SessionMiddleware" else None
