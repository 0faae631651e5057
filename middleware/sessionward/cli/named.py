"""Opens any backend for a command that ends all sessions: a database of sessionward, a Django project, or an object by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from inspect import isawaitable
from typing import Any, Final

from sessionward.cli.database import over, refuse
from sessionward.errors import ConfigurationError, SessionwardError, UsageError
from sessionward.sidecar.config.named import named_object, names_object, set_up_django

TIMEOUT: Final = 600.0
"""Seconds that the revocation of all rows of an application may take. It is linear in their number."""
URL_TIMEOUT: Final = 10.0
"""Seconds for a database of sessionward, where it is one write."""


class EndsAll:
    """What the commands ask of a backend of any kind, sync or async. No call waits for a lease."""

    def __init__(self, backend: Any, timeout: float) -> None:
        self._timeout = timeout
        self._runner = asyncio.Runner()
        self._opened = [backend]
        """The backend, and the view of it that is used."""

    @property
    def keeps_leases(self) -> bool:
        """Whether its workers trust for a while that a session is live."""
        return self._has("lease_wait")

    def use_any_server(self) -> None:
        """Uses, from now on, a server which others refuse, too."""
        if self._has("on_any_server"):
            self._opened.append(self._opened[0].on_any_server())

    def revoke_everybody(self) -> None:
        """Revokes all sessions of all users."""
        self._call("revoke_everybody")

    def lease_wait(self) -> float:
        """Returns for how many seconds a worker may still trust what it has read, as the backend knows it."""
        return float(self._call("lease_wait")) if self.keeps_leases else 0.0

    def accept_server(self) -> str:
        """Returns the server that was accepted, or an empty string for a backend that compares none."""
        return str(self._call("accept_server")) if self._has("accept_server") else ""

    def close(self) -> None:
        try:
            for opened in reversed(self._opened):
                self._done(getattr(opened, "close", bool)())
        finally:
            self._runner.close()

    def _has(self, name: str) -> bool:
        return callable(getattr(self._opened[0], name, None))

    def _call(self, name: str) -> Any:
        backend = self._opened[-1]
        within = getattr(backend, "within", None)
        return self._done(getattr(within(self._timeout) if callable(within) else backend, name)())

    def _done(self, answer: Any) -> Any:
        return self._runner.run(_awaited(answer)) if isawaitable(answer) else answer


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def over_any(named: str, act: Callable[[EndsAll], int]) -> int:
    """Returns the exit code of ``act`` on the backend that is named, as :func:`over` does for a URL.

    ``django``: the project of DJANGO_SETTINGS_MODULE. ``package.module:object``: a backend of the application, sync or async, or a
    function that makes it.
    """
    if "://" in named:
        return over(named, lambda backend: _acted(backend, URL_TIMEOUT, act))
    try:
        backend = _made(named)
        if backend is None:
            return refuse(_WHICH, code=2)
        if not callable(getattr(backend, "revoke_everybody", None)):
            return refuse(_CANNOT.format(type(backend).__name__), code=2)
        return _acted(backend, TIMEOUT, act)
    except ConfigurationError as error:
        return refuse("\nsessionward: ".join(map(_with_way_out, error.mistakes)), code=2)
    except UsageError as error:
        return refuse(str(error), code=2)
    except SessionwardError as error:
        return refuse(str(error), code=1)


def _acted(backend: Any, timeout: float, act: Callable[[EndsAll], int]) -> int:
    with closing(EndsAll(backend, timeout)) as opened:
        return act(opened)


def _made(named: str) -> Any:
    if named == "django":
        set_up_django("--backend")
        return named_object("--backend", "sessionward.backends.django:DjangoBackend")
    return named_object("--backend", named) if names_object(named) else None


def _with_way_out(mistake: str) -> str:
    return mistake + _STATELESS if "signed_cookies" in mistake else mistake


_WHICH: Final = (
    "--backend: give a database URL, a URL of Redis, django, or package.module:object; sessions in memory do not outlive their process,"
    " so restart it"
)
_CANNOT: Final = (
    "--backend: {} has no revoke_everybody(), so it cannot end all sessions; empty the application's store of sessions, or change the"
    " secret that signs them"
)
_STATELESS: Final = (
    "; then give the URL of that SQLBackend here. Without it only the project can end its sessions: change SECRET_KEY, and empty"
    " SECRET_KEY_FALLBACKS"
)
