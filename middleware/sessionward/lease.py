"""Decides how long a worker may trust what it has read about a session, and when it may say that a session has ended.

CONTRACT.md 5 has the rules; a model of them is checked in ``tests/model/``. A worker trusts a positive answer for less than one
lease, measured from the beginning of the question. No client learns that a session has ended before every such trust is over. All
times are durations on the clock of one machine, and two machines never compare their clocks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from sessionward.credential.token import Credential
from sessionward.errors import BackendUnavailable, OutcomeUnknown, SessionRevoked, StaleLogin
from sessionward.session.pause import Join, Question, Wait
from sessionward.session.session import Checked, CompanionStatus, Session
from sessionward.session.step import Flow, Step, answered
from sessionward.session.steps import Check, Find, FindCompanionStatus, LeaseWait, RaiseLease
from sessionward.settings import MAX_LEASE

T = TypeVar("T")

TRUSTED: Final = 0.9
"""The part of a lease for which a worker trusts an answer. The clocks of two machines may differ in speed by 20 %."""
WAITED: Final = 1.1
"""How many times a lease we wait, for the same reason."""
MAX_KEPT: Final = 10_000
"""The most answers of each kind that one worker keeps. A dropped one costs a question, or a wait."""
RAISE_PAUSE: Final = 60.0
"""Seconds until we try again to raise the lease of a backend, after it has failed."""


class NoLeases:
    """Asks the backend every time, and waits for nothing: for a backend that keeps no lease."""

    def recall(self, digest: bytes) -> Session | None:  # noqa: ARG002 - it keeps nothing
        """Returns a session that may still be trusted, or None. ``digest``: of its credential."""
        return None

    def has_ended(self, digest: bytes) -> bool:  # noqa: ARG002 - it keeps nothing
        """Returns whether this worker knows that a session has ended, so that the backend need not be asked. ``find`` may have to wait."""
        return False

    def trusted_for(self, digest: bytes) -> float:  # noqa: ARG002 - it keeps nothing
        """Returns for how many seconds more a session may be trusted: 0.0 if not at all."""
        return 0.0

    def find(self, credential: Credential) -> Flow[Session | None]:
        """Returns the live session that the credential proves, or None."""
        return iter(Find(credential))

    def anew(self, credential: Credential, session: Session) -> Flow[Session | None]:  # noqa: ARG002 - it keeps nothing
        """Returns what the backend says of a session now, if :meth:`find` may have returned an older answer."""
        return answered(session)

    def companion_status(self, user_id: str, app_session: bytes, *, may_adopt: bool) -> Flow[CompanionStatus]:  # noqa: ARG002 - it keeps nothing
        """Returns whether the user needs a companion. ``may_adopt``: whether the caller could start one."""
        return iter(FindCompanionStatus(user_id, app_session))

    def settled(self, change: Step[T], own: Credential | None = None, user_id: str = "") -> Flow[T]:  # noqa: ARG002 - it keeps nothing
        """Makes a change that ends sessions. Returns or raises only when no worker trusts any more that they are live.

        ``own``: the credential of a session of ``user_id`` that the change ends, which this worker refuses from now on.
        """
        return iter(change)


class Leases(NoLeases):
    """The answers that one worker may trust. ``seconds``: the setting ``lease``. ``waiters``: how many checks may wait at once.

    ``clock``: returns seconds, and goes on while the machine is suspended.

    Threads share it without a lock. Each value is written by one operation, and one that comes too late is only shorter.
    """

    def __init__(self, seconds: float, *, waiters: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._waiters = waiters
        self._clock = clock
        self._live: dict[bytes, tuple[float, Session]] = {}
        """By the digest of the credential: until when to trust that the session is live."""
        self._ended: dict[bytes, tuple[str, float]] = {}
        """By the digest: the user, and when it may be said that the session has ended. This decides over ``_live``."""
        self._statuses: dict[tuple[str, bytes], tuple[float, CompanionStatus]] = {}
        self._required: dict[str, float] = {}
        """By the user: when it may be said that companions are compulsory."""
        self._questions: dict[bytes, Question] = {}
        self._waiting: dict[object, str] = {}
        """The user of each check that waits."""
        self._raise_after = 0.0

    # --- checks ---

    def recall(self, digest: bytes) -> Session | None:
        held = self._live.get(digest)
        return held[1] if held is not None and self._clock() < held[0] and digest not in self._ended else None

    def has_ended(self, digest: bytes) -> bool:
        return digest in self._ended

    def trusted_for(self, digest: bytes) -> float:
        held = self._live.get(digest)
        return 0.0 if held is None or digest in self._ended else max(0.0, held[0] - self._clock())

    def find(self, credential: Credential) -> Flow[Session | None]:
        digest = credential.digest
        if digest not in self._ended:
            session = self.recall(digest)
            known = None if session is not None else self._questions.get(digest)
            if known is not None:
                session = yield from self._joined(known)
            if session is not None:
                return session
        ended = self._ended.get(digest)
        if ended is None:
            return (yield from self._asked(credential))
        yield from self._may_say(*ended)
        return None

    def anew(self, credential: Credential, session: Session) -> Flow[Session | None]:
        return self._asked(credential) if self._seconds else answered(session)

    def _joined(self, question: Question) -> Flow[Session | None]:
        """Returns a live session that another request is asking about, or None: then this request must ask by itself.

        A question that is older than the lease may have been answered before a revocation that the client knows of. An answer
        that there is no session may be older than a login that the client knows of.
        """
        age = self._clock() - question.began
        if age >= TRUSTED * self._seconds:
            return None
        checked = yield from Join(question)
        return None if checked is None or age >= self._trusted_for(checked) else checked.session

    def _asked(self, credential: Credential) -> Flow[Session | None]:
        digest, began = credential.digest, self._clock()
        if not self._seconds:
            checked = yield from Check(credential)
            return (yield from self._said(digest, checked))
        question = self._questions[digest] = Question(began)
        try:
            question.checked = checked = yield from Check(credential)
            self._trust(digest, began, checked)
        except BackendUnavailable as failure:
            question.failure = failure
            raise
        finally:
            self._questions.pop(digest, None)  # perhaps a younger one of another thread, which costs a question
            question.end()
        if checked.session is not None and checked.lease < self._seconds:
            yield from self._raised()
        return (yield from self._said(digest, checked))

    def _trusted_for(self, checked: Checked) -> float:
        """Returns for how many seconds after the beginning of the question a live session may be trusted."""
        return min(TRUSTED * min(self._seconds, checked.lease), checked.remaining)

    def _trust(self, digest: bytes, began: float, checked: Checked) -> None:
        session = checked.session
        if session is None:
            return
        until = began + self._trusted_for(checked)
        held = self._live.get(digest)
        if held is None or held[0] < until:
            _keep(self._live, digest, (until, session))

    def _said(self, digest: bytes, checked: Checked) -> Flow[Session | None]:
        """Returns the session, or None once it may be said that it has ended. Unknown and expired may be said at once."""
        if checked.has_ended and checked.wait > 0:
            ended = self._ended.get(digest)
            if ended is None:
                ended = (checked.user_id, self._clock() + WAITED * checked.wait)
                _keep(self._ended, digest, ended)
            yield from self._may_say(*ended)
        return checked.session

    def companion_status(self, user_id: str, app_session: bytes, *, may_adopt: bool) -> Flow[CompanionStatus]:
        held = self._statuses.get((user_id, app_session))
        if held is not None and self._clock() < held[0] and user_id not in self._required and not (may_adopt and held[1].may_adopt):
            return held[1]
        began = self._clock()
        status = yield from FindCompanionStatus(user_id, app_session)
        if not status.companion_required:
            until = began + TRUSTED * min(self._seconds, status.lease)
            if until > self._clock():
                _keep(self._statuses, (user_id, app_session), (until, status))
        elif status.wait > 0:
            not_before = self._required.get(user_id)
            if not_before is None:
                not_before = self._clock() + WAITED * status.wait
                _keep(self._required, user_id, not_before)
            yield from self._may_say(user_id, not_before)
        return status

    def _may_say(self, user_id: str, not_before: float) -> Flow[None]:
        """Waits until it may be said that a session has ended. Raises ``BackendUnavailable`` if too many checks wait."""
        if self._clock() >= not_before:
            return
        place = object()
        self._waiting[place] = user_id  # first, and counted then: of threads that do so at once none is overlooked
        try:
            users = list(self._waiting.values())
            if len(users) > self._waiters or users.count(user_id) > max(1, self._waiters // 4):
                raise BackendUnavailable(f"{self._waiters} checks of revoked sessions wait for the lease to pass already (lease_waiters)")
            yield from Wait(not_before)
        finally:
            del self._waiting[place]

    def _raised(self) -> Flow[None]:
        """Raises the lease in the backend to that of the setting. Until it is raised, nothing is trusted for longer."""
        if self._clock() >= self._raise_after:
            self._raise_after = self._clock() + RAISE_PAUSE
            with suppress(Exception):  # the driver has logged it
                yield from RaiseLease(self._seconds)

    # --- after what ends a session ---

    def settled(self, change: Step[T], own: Credential | None = None, user_id: str = "") -> Flow[T]:
        try:
            result = yield from change
        except (SessionRevoked, StaleLogin):
            yield from self._settle()
            raise
        if may_have_ended(result):
            yield from self._settle(own, user_id)
        return result

    def _settle(self, own: Credential | None = None, user_id: str = "") -> Flow[None]:
        """Waits, after a commit, until no worker trusts any more what it read before."""
        if own is not None:  # refused from now on, even if it cannot be found out for how long others trust it
            _keep(self._ended, own.digest, (user_id, self._clock() + WAITED * MAX_LEASE))
        try:
            wait = yield from LeaseWait()
        except OutcomeUnknown:
            raise
        except BackendUnavailable as failure:
            raise OutcomeUnknown(f"the change was made, but we do not know how long other workers trust the opposite: {failure}") from None
        until = self._clock() + WAITED * wait
        if own is not None:
            _keep(self._ended, own.digest, (user_id, until))
        if wait > 0:
            yield from Wait(until)


def may_have_ended(answer: object) -> bool:
    """Returns whether an operation with this answer has revoked sessions, or found that another call has done so.

    A count of 0 too: the call may be the repeat of one whose process ended before it waited.
    """
    return answer.has_ended_others if isinstance(answer, Session) else answer is not None


K = TypeVar("K")
V = TypeVar("V")


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    """Keeps a value. Drops the oldest one beyond the limit."""
    kept[key] = value
    if len(kept) > MAX_KEPT:
        with suppress(StopIteration, RuntimeError):  # another thread is dropping one
            kept.pop(next(iter(kept)), None)
