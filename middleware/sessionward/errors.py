"""What a caller can catch.

::

    SessionwardError
    ├── ConfigurationError      you configured it wrongly
    ├── BackendUnavailable      the backend could not answer; the call may be repeated
    │   └── OutcomeUnknown      ... and whether it acted is not known; repeating is safe
    ├── UsageError              you called it wrongly
    │   └── NotSignedIn         there is no session whose others could be revoked
    ├── SessionRevoked          the caller's own session was revoked meanwhile
    ├── StaleLogin              a sign-in that began before the user's sessions were revoked
    └── InvalidCredential       raised by an identifier: the application would not accept this credential

Mistakes of clients are responses, not exceptions. The middleware answers by itself; what the verbs of
``sessionward.of(request)`` raise inside the application is the application's to answer: 503 with ``Retry-After`` for
:class:`BackendUnavailable`, 401 for :class:`StaleLogin`. A framework that is not told so makes 500 of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self


class SessionwardError(Exception):
    """The base of everything that sessionward raises."""


class ConfigurationError(SessionwardError):
    """One or more settings are wrong.

    ``mistakes`` lists them all, so that one start of the application shows everything.
    """

    def __init__(self, *mistakes: str) -> None:
        self.mistakes: Sequence[str] = mistakes
        super().__init__(mistakes[0] if len(mistakes) == 1 else "\n".join(["several settings are wrong:", *(f"  - {m}" for m in mistakes)]))


class Mistakes:
    """Collects mistakes of a configuration from all of its parts, so that they are told at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, mistakes: Iterable[str]) -> None:
        """Adds these to what is wrong."""
        self.found += mistakes

    def collected(self) -> Self:
        """For a ``with`` statement: catches the ConfigurationError of a part and adds its mistakes."""
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None, /) -> bool:
        if not isinstance(error, ConfigurationError):
            return False
        self.found += error.mistakes
        return True

    def raise_any(self) -> None:
        """Raises one :class:`ConfigurationError` of all mistakes, if there are any."""
        if self.found:
            raise ConfigurationError(*self.found)


class BackendUnavailable(SessionwardError):
    """The backend could not answer in time. Nothing is known about the session, nothing was changed; answer 503."""


class OutcomeUnknown(BackendUnavailable):
    """The backend fell silent while it committed. Either all of it happened or nothing did; repeating is safe (P4)."""


class UsageError(SessionwardError):
    """A function of sessionward was called with a wrong argument or at the wrong time."""


class NotSignedIn(UsageError):
    """``revoke_others()`` was called in a request that carries no live session."""


class SessionRevoked(SessionwardError):
    """The caller's own session was revoked by another call before this one was decided (P2)."""


class StaleLogin(SessionwardError):
    """This sign-in began before the user's sessions were revoked, so it may rest on an old password (P3).

    Answer 401 and let the person sign in again; do not retry by yourself.
    """


class InvalidCredential(SessionwardError):
    """What an identifier raises for a credential that is forged, expired, unknown or malformed: it signs nobody in."""
