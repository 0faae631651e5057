"""The exceptions that sessionward raises.

::

    SessionwardError
    ├── ConfigurationError      one or more settings are wrong
    ├── BackendUnavailable      the backend could not answer; you may repeat the call
    │   └── OutcomeUnknown      the backend may have acted or not; you may repeat the call
    ├── UsageError              you called a function with a wrong argument or at the wrong time
    │   └── NotSignedIn         the caller of revoke_others(), revoke() or list() has no live session
    ├── TooManySessions         the user has max_sessions live sessions, and at_limit is "refuse"
    ├── SignInTooOld            the caller must sign in again before it may revoke others
    ├── RateLimited             the caller's session has revoked too often
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
from typing import Final, Self


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
    """``revoke_others()``, ``revoke()`` or ``list()`` was called in a request that carries no live session."""


class SessionRevoked(SessionwardError):
    """Another call has revoked the caller's own session, so this one revokes nothing (P2)."""


class TooManySessions(SessionwardError):
    """The user has ``max_sessions`` live sessions, and ``at_limit`` is ``"refuse"``. The sign-in has changed nothing.

    Ask the user. To sign in all the same, call ``login(user, ticket=error.ticket)``: it revokes the sessions used longest ago. The
    ticket holds until the user's sessions are revoked. It does not prove who the user is: check the password again, or keep the
    ticket where only you can read it.

    - ``count``: how many live sessions the user has, without the one that this sign-in would replace.
    - ``generation``: that of the user, as ``begin_login`` of a backend returns it.
    - ``ticket``: for :meth:`~sessionward.Sessions.login`. Empty if a backend was called directly.
    """

    def __init__(self, count: int, generation: int) -> None:
        self.count = count
        self.generation = generation
        self.ticket = ""
        super().__init__(f"the user has {count} live sessions, and may not have one more")


class SignInTooOld(SessionwardError):
    """The caller's sign-in is older than the setting ``recent`` allows. It has revoked nothing."""


class RateLimited(SessionwardError):
    """The caller's session has revoked as often as the setting ``rate_limit`` allows. It has revoked nothing now.

    ``retry_after``: the seconds after which it may revoke again.
    """

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"this session may revoke again in {retry_after:.0f} seconds")


class StaleLogin(SessionwardError):
    """This sign-in began before the user's sessions were revoked, so it may have used an old password (P3).

    Respond 401 and let the user sign in again. Do not repeat the call.
    """


class InvalidCredential(SessionwardError):
    """An identifier raises it for a credential that is forged, expired, unknown or malformed, and so signs no user in."""


ANSWERS: Final = (SessionRevoked, StaleLogin, InvalidCredential, TooManySessions, SignInTooOld, RateLimited)
"""The exceptions that answer a question, and are no failure."""
