"""The backend that a configuration names, and how to show it without its password."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sessionward.errors import ConfigurationError
from sessionward.sidecar.config.named import explained, named_object, names_object, set_up_django
from sessionward.sidecar.config.redis_url import is_redis, redis_backend, without_secrets
from sessionward.sidecar.config.values import MASK

_BY_WORD: Final = {
    "memory": "sessionward.backends.memory:MemoryBackend",
    "django": "sessionward.backends.django:DjangoBackend",
}
_SQL: Final = "sessionward.backends.sql"
_TIMEOUT: Final = 2.0
"""Seconds, of a backend that is made only to see whether its URL is right."""


def make_backend(named: str, timeout: float) -> Any:
    """Returns the backend that was named, for an application in another process. Raises :class:`ConfigurationError`."""
    backend = _made(named, timeout)
    for_sidecar = getattr(backend, "for_sidecar", None)
    return for_sidecar() if callable(for_sidecar) else backend


def _made(named: str, timeout: float) -> Any:
    if named == "django":
        set_up_django("backend")
    if named in _BY_WORD or names_object(named):
        return named_object("backend", _BY_WORD.get(named, named))
    if is_redis(named):
        return redis_backend("backend", named, is_async=True, timeout=timeout)
    with explained("backend"):
        kind = getattr(import_module(_SQL), "AsyncSQLBackend")  # noqa: B009 - a leaf, which the configuration names
        return kind(named, timeout=timeout)


def is_made(named: str) -> bool:
    """Returns whether each :func:`make_backend` makes a new one; else ``package.module:object`` names one that exists already."""
    if not names_object(named):
        return True
    module, _, name = named.partition(":")
    found = getattr(sys.modules.get(module), name, None)
    return inspect.isfunction(found) or inspect.isclass(found)


def backend_mistakes(value: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with the backend that is named. It connects to nothing."""
    named: str = value.get("backend", "memory")
    if named not in _BY_WORD and not names_object(named):
        try:
            if not is_redis(named):
                make_url(named)
            _made(named, _TIMEOUT)
        except ConfigurationError as error:
            yield from error.mistakes
        except (ArgumentError, ValueError):
            yield (
                "backend: it is no URL such as 'sqlite:///sessions.db' or 'redis://host:6379/0', and not memory, django or"
                " package.module:object"
            )
    if named == "memory" and value["workers"] > 1:
        yield "workers: with memory there can be one only, since the others would know nothing of its sessions"


def without_password(named: str) -> str:
    """Returns what was given as ``backend`` or as another URL, fit to be shown."""
    if is_redis(named):
        return without_secrets(named)
    try:
        url = make_url(named)
        if "@" in (url.host or ""):
            return MASK  # a part of the password, as far as we know
        hidden = {name: "***" for name in url.query if any(word in name.lower() for word in ("pass", "secret", "key", "token"))}
        return url.update_query_dict(hidden).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return named if names_object(named) or named in _BY_WORD else MASK
