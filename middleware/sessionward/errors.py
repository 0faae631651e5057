"""The exceptions that sessionward raises.

::

    SessionwardError
    ├── ConfigurationError      one or more settings are wrong
    ├── BackendUnavailable      the backend could not answer; you may repeat the call
    │   └── OutcomeUnknown      the backend may have acted or not; you may repeat the call
    ├── UsageError              you called a function with a wrong argument or at the wrong time
    │   └── NotSignedIn         the caller of revoke_others() has no live session
    ├── SessionRevoked          another call has revoked the caller's own session
    ├── StaleLogin              the sign-in began before the user's sessions were revoked
    └── InvalidCredential       an identifier raises it for a credential that the application would not accept

A mistake of a client is a response, not an exception. The middleware catches its own exceptions. The application must catch
what the verbs of ``sessionward.of(request)`` raise: respond 503 with ``Retry-After`` to :class:`BackendUnavailable`, and 401
to :class:`StaleLogin`. Otherwise frameworks respond 500 to both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self


class SessionwardError(Exception):
    """The base class of all exceptions that sessionward raises."""


class ConfigurationError(SessionwardError):
    """One or more settings are wrong.

    ``mistakes``: all of them, one ``str`` each, so that one start of the application shows every mistake.
    """

    def __init__(self, *mistakes: str) -> None:
        self.mistakes: Sequence[str] = mistakes
        super().__init__(mistakes[0] if len(mistakes) == 1 else "\n".join(["several settings are wrong:", *(f"  - {m}" for m in mistakes)]))


class Mistakes:
    """Collects the mistakes of all parts of a configuration, so that one error reports them."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, mistakes: Iterable[str]) -> None:
        """Adds these mistakes."""
        self.found += mistakes

    def collected(self) -> Self:
        """For a ``with`` statement: catches a ConfigurationError and adds its mistakes."""
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None, /) -> bool:
        if not isinstance(error, ConfigurationError):
            return False
        self.found += error.mistakes
        return True

    def raise_any(self) -> None:
        """Raises one :class:`ConfigurationError` with all mistakes, if there are any."""
        if self.found:
            raise ConfigurationError(*self.found)


class BackendUnavailable(SessionwardError):
    """The backend could not answer in time. It has changed nothing. Respond 503; the call may be repeated."""


class OutcomeUnknown(BackendUnavailable):
    """The backend did not confirm its commit. All changes took effect or none did. Respond 503; repeating the call is safe (P4)."""


class UsageError(SessionwardError):
    """A function of sessionward was called with a wrong argument or at the wrong time."""


class NotSignedIn(UsageError):
    """``revoke_others()`` was called in a request that carries no live session."""


class SessionRevoked(SessionwardError):
    """Another call has revoked the caller's own session, so this one revokes nothing (P2)."""


class StaleLogin(SessionwardError):
    """This sign-in began before the user's sessions were revoked, so it may have used an old password (P3).

    Respond 401 and let the user sign in again. Do not repeat the call.
    """


class InvalidCredential(SessionwardError):
    """An identifier raises it for a credential that is forged, expired, unknown or malformed, and so signs no user in."""
