"""What a caller can catch.

::

    SessionwardError
    ├── ConfigurationError      you configured it wrongly
    ├── BackendUnavailable      the backend could not answer; the question may be repeated
    │   └── OutcomeUnknown      ... and whether it acted is not known; repeating is safe
    ├── UsageError              you called it wrongly
    │   └── NotSignedIn         there is no session whose others could be ended
    ├── SessionRevoked            the caller's own session has ended meanwhile
    ├── StaleLogin              a sign-in that began before the user's sessions were ended
    └── InvalidCredential              said by an identifier: this is no credential that the application would take

Mistakes of clients are responses, not exceptions. The doors answer by themselves; what the verbs of a ward raise inside
the application is the application's to answer: 503 with ``Retry-After`` for :class:`BackendUnavailable`, 401 for
:class:`StaleLogin`. A framework that is not told so makes 500 of both.
"""

from __future__ import annotations

from collections.abc import Sequence


class SessionwardError(Exception):
    """The base of everything that sessionward raises."""


class ConfigurationError(SessionwardError):
    """One or more settings are wrong.

    ``mistakes`` lists them all, so that one start of the application shows everything.
    """

    def __init__(self, *mistakes: str) -> None:
        self.mistakes: Sequence[str] = mistakes
        super().__init__(mistakes[0] if len(mistakes) == 1 else "\n".join(["several settings are wrong:", *(f"  - {m}" for m in mistakes)]))


class BackendUnavailable(SessionwardError):
    """The backend could not answer in time. Nothing is known about the session, nothing was changed; answer 503."""


class OutcomeUnknown(BackendUnavailable):
    """The backend fell silent while it committed. Either all of it happened or none; repeating is safe (P4)."""


class UsageError(SessionwardError):
    """A function of sessionward was called with the wrong thing or at the wrong time."""


class NotSignedIn(UsageError):
    """``revoke_others()`` was called in a request that carries no live session."""


class SessionRevoked(SessionwardError):
    """The session that asked was ended by somebody else before the question was decided (P2)."""


class StaleLogin(SessionwardError):
    """This sign-in began before the user's sessions were ended, so it may rest on an old password (P3).

    Answer 401 and let the person sign in again; do not retry by yourself.
    """


class InvalidCredential(SessionwardError):
    """What an identifier raises for a credential that is forged, expired, unknown or malformed: it signs nobody in."""
