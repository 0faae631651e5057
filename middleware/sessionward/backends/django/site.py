"""What a project's settings say about its sessions: which cookies and headers carry the keys, and whether it has tenants."""

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
"""Modules whose session middleware always uses SESSION_COOKIE_NAME."""


def carriers_of(cookies: Sequence[str] | None) -> list[Carrier]:
    """Returns the cookies and headers from which the application reads a session's key, in order of precedence.

    ``cookies``: all names of its session cookie, if SESSION_COOKIE_NAME is not the only one. Raises
    :class:`ConfigurationError` if one of them cannot be the name of a cookie.
    """
    if cookies is None:
        _warn_of_another_middleware()
        names: Sequence[str] = [settings.SESSION_COOKIE_NAME]
    else:
        names = _checked(cookies)
    headers = [Carrier.header("X-Session-Token")] if apps.is_installed("allauth.headless") else []  # for its client "app"
    return [*headers, *map(Carrier.cookie, names)]


def refuse_tenants(databases: Iterable[str]) -> None:
    """Raises :class:`ConfigurationError` if each tenant has its own tables. ``databases``: the modules of the connections."""
    tenants = TENANTS.intersection(module.partition(".")[0] for module in databases)
    if tenants:
        raise ConfigurationError(
            f"backend: the project uses {min(tenants)}, so each tenant has its own session table, and only the application knows"
            " the tenant of a request; use SESSION_ENGINE signed_cookies, and SQLBackend(...) with"
            " identify=sessionward.identify.django.SignedCookies()"
        )


TENANTS: Final = frozenset({"django_tenants", "tenant_schemas"})
"""Packages that set the schema of a connection to that of each request's tenant."""


def _checked(cookies: Any) -> list[str]:
    names: list[Any] = list(cookies) if isinstance(cookies, (list, tuple)) else []
    if not names or not all(isinstance(name, str) and name and name.isascii() and _NO_NAME.isdisjoint(name) for name in names):
        raise ConfigurationError("cookies: must be a list of one or more names of cookies")
    return list(dict.fromkeys(names))


_NO_NAME: Final = frozenset('()<>@,;:\\"/[]?={} \t').union(map(chr, range(0x20)), "\x7f")


def _warn_of_another_middleware() -> None:
    """Warns of a middleware that may name its cookie otherwise: we would find no session, and no error would say why."""
    kinds = {path: _kind(path) for path in settings.MIDDLEWARE}
    if any(kind is not None and kind.__module__ in KNOWN for kind in kinds.values()):
        return
    own = [path for path in kinds if "session" in path.lower()]
    log.warning(
        "Django's SessionMiddleware is not in MIDDLEWARE%s; if the session cookie is not always named %s,"
        " pass all of its names: sessionward.backends.django.DjangoBackend(cookies=[...])",
        f", which has {' and '.join(own)} instead" if own else "",
        settings.SESSION_COOKIE_NAME,
    )


def _kind(path: str) -> Any:
    """Returns the ``SessionMiddleware`` that an entry of MIDDLEWARE names, under any path, or None if it names something else."""
    try:
        kind = import_string(path)
    except Exception:  # the application reports the error better than we can
        return None
    return kind if isinstance(kind, type) and kind.__name__ == "SessionMiddleware" else None
