"""The session keys of the request that Django answers in this context, when that request began, and in which thread."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final, NamedTuple

from django.core.signals import request_finished, request_started

from sessionward.credential.carriers import Carrier, cookie_values, schemed


class Came(NamedTuple):
    """The session keys of a request, when it began by the monotonic clock, and how many seconds it waits for locks.

    ``thread``: in which Django answers it, or None. Its connections are those of the view.
    """

    keys: frozenset[str]
    began: float
    timeout: float = 2.0
    thread: int | None = None

    def age(self) -> float:
        return monotonic() - self.began


_came: Final[ContextVar[Came | None]] = ContextVar("sessionward_django_came", default=None)


def keys_that_came() -> Came | None:
    """Returns the keys and the beginning of the current request, or None outside of a request."""
    return _came.get()


def is_answered_here() -> bool:
    """Returns whether Django answers a request in this thread, so that a view may hold its connections."""
    came = _came.get()
    return came is not None and came.thread == threading.get_ident()


@contextmanager
def coming_with(keys: frozenset[str], age: float, timeout: float) -> Generator[None]:
    """Runs the block as a part of a request with these keys. Doors use it, since they may run in another process or thread."""
    token = _came.set(Came(keys, monotonic() - age, timeout))
    try:
        yield
    finally:
        _came.reset(token)


def watch(carriers: Sequence[Carrier]) -> None:
    """Records the keys of each request that Django begins in this process. New keys may be in response bodies, which no door reads."""

    def begins(environ: Mapping[str, Any] | None = None, scope: Mapping[str, Any] | None = None, **_: object) -> None:
        fields = _of_environ(environ, carriers) if environ is not None else _of_scope(scope or {})
        _came.set(Came(frozenset(key for carrier in carriers for key in _keys(fields, carrier)), monotonic(), thread=threading.get_ident()))

    def ends(**_: object) -> None:
        _came.set(None)

    request_started.connect(begins, weak=False, dispatch_uid="sessionward")
    request_finished.connect(ends, weak=False, dispatch_uid="sessionward")


def _keys(fields: Mapping[bytes, bytes], carrier: Carrier) -> Sequence[str]:
    if carrier.is_cookie:
        values = [value.strip(b'"') for value in cookie_values(fields.get(b"cookie"), carrier.name)]
    else:
        values = schemed(fields.get(carrier.name), carrier.scheme)
    return [value.decode("latin-1") for value in values if value]


def _of_environ(environ: Mapping[str, Any], carriers: Sequence[Carrier]) -> Mapping[bytes, bytes]:
    names = {b"cookie", *(carrier.name for carrier in carriers if not carrier.is_cookie)}
    found = {name: environ.get("HTTP_" + name.decode().upper().replace("-", "_")) for name in names}
    return {name: value.encode("latin-1", "replace") for name, value in found.items() if isinstance(value, str)}


def _of_scope(scope: Mapping[str, Any]) -> Mapping[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in scope.get("headers", ()):
        fields[name] = value if name not in fields else fields[name] + (b"; " if name == b"cookie" else b",") + value
    return fields
