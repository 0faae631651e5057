"""Callers of a backend that sign in, check and revoke without a pause, while something happens to its servers.

Each caller knows what must be true of its own users whatever fails: an answer that says otherwise is wrong. A failure is no answer:
:class:`~sessionward.BackendUnavailable` says that nothing has happened, :class:`~sessionward.errors.OutcomeUnknown` that it may have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any, Final, TypeVar
from uuid import uuid4

from sessionward import BackendUnavailable, Session
from sessionward.backends import Credential
from sessionward.credential.token import new_token
from sessionward.errors import OutcomeUnknown
from tests.support.sessions import new_session

T = TypeVar("T")

CALLERS: Final = 4
PATIENCE: Final = 60.0
"""Seconds within which a call must succeed, tried again and again."""


@dataclass(slots=True)
class Tally:
    """What the callers have seen. ``slowest``: seconds that the slowest call took, whether it succeeded or failed."""

    calls: int = 0
    rounds: int = 0
    unavailable: int = 0
    unknown: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)
    """What the failures said."""

    @property
    def failed(self) -> int:
        return self.unavailable + self.unknown


class Caller:
    """One caller with a backend whose methods are sync."""

    def __init__(self, backend: Any, tally: Tally, lock: Lock) -> None:
        self._backend = backend
        self._tally = tally
        self._lock = lock
        self._in_doubt = 0

    def round(self) -> None:
        """One user's story: three sign in, one revokes the others, signs in anew, signs out, and all are revoked."""
        user = f"load {uuid4()}"
        self._in_doubt = 0
        (own, session), *others = [self._signed_in(user) for _ in range(3)]
        for token, made in ((own, session), *others):
            self._expect(self._found(token) == made.id, f"{user}: a session that was just begun is not live")
        self._expect(len(self._listed(user)) >= 3, f"{user}: a live session is not listed")
        count, unknown = self._insisted(lambda: int(self._backend.revoke_others(session)))
        self._expect((0 if unknown else 2) <= count <= 2 + self._in_doubt, f"{user}: {count} revoked, not 2")
        self._only(user, (own, session), [token for token, _ in others])
        count, _ = self._insisted(lambda: int(self._backend.revoke_others(session)))
        self._expect(count == 0, f"{user}: a repeat revoked {count}")
        ticket, _ = self._insisted(lambda: self._backend.begin_login(user))
        late, made = self._signed_in(user, ticket)
        self._insisted(lambda: self._backend.revoke(user, session.id))
        self._expect(self._found(own) is None, f"{user}: a session that was signed out is live")
        self._expect(self._found(late) == made.id, f"{user}: a sign-in did not last")
        self._insisted(lambda: int(self._backend.revoke_all(user)))
        self._only(user, None, [own, late, *(token for token, _ in others)])
        with self._lock:
            self._tally.rounds += 1

    def _signed_in(self, user: str, ticket: int | None = None) -> tuple[str, Session]:
        """A token and its session. Each attempt has a token of its own; one whose outcome was unknown may have left a session."""
        tokens: list[str] = []

        def sign_in() -> Session:
            tokens.append(new_token())
            session: Session = self._backend.login(new_session(user, tokens[-1], generation=ticket))
            return session

        session, unknown = self._insisted(sign_in)
        self._in_doubt += unknown
        return tokens[-1], session

    def _only(self, user: str, own: tuple[str, Session] | None, others: Sequence[str]) -> None:
        """One session of a user is live, or none."""
        for token in others:
            self._expect(self._found(token) is None, f"{user}: a revoked session is live")
        if own is not None:
            self._expect(self._found(own[0]) == own[1].id, f"{user}: the session that revoked the others is not live")
        listed = {one.id for one in self._listed(user)}
        self._expect(listed == (set() if own is None else {own[1].id}), f"{user}: listed are {len(listed)}")

    def _listed(self, user: str) -> Sequence[Session]:
        listed: Sequence[Session] = self._insisted(lambda: self._backend.list(user))[0]
        return listed

    def _found(self, token: str) -> Any:
        found: Session | None = self._insisted(lambda: self._backend.find(Credential(token.encode())))[0]
        return None if found is None else found.id

    def _insisted(self, call: Callable[[], T]) -> tuple[T, int]:
        """The answer, after as many failures as it takes, and of how many of these the outcome was unknown."""
        unknown = 0
        ends = time.monotonic() + PATIENCE
        while True:
            began = time.monotonic()
            failure: BackendUnavailable | None = None
            try:
                answer = call()
            except OutcomeUnknown as error:
                failure = error
                unknown += 1
            except BackendUnavailable as error:
                failure = error
            took = time.monotonic() - began
            with self._lock:
                self._tally.calls += 1
                self._tally.slowest = max(self._tally.slowest, took)
                if failure is not None:
                    self._tally.reasons.add(f"{type(failure).__name__}: {failure}")
                    self._tally.unknown += isinstance(failure, OutcomeUnknown)
                    self._tally.unavailable += not isinstance(failure, OutcomeUnknown)
            if failure is None:
                return answer, unknown
            assert time.monotonic() < ends, f"it goes on failing: {failure}"

    def _expect(self, holds: bool, wrong: str) -> None:
        if not holds:
            with self._lock:
                self._tally.wrong.append(wrong)


@contextmanager
def under_load(backend: Any, *, callers: int = CALLERS) -> Iterator[Tally]:
    """Callers go on in the block, and each ends the round it is in. Raises what a caller has raised."""
    over, tally, lock = Event(), Tally(), Lock()

    def call() -> None:
        caller = Caller(backend, tally, lock)
        while not over.is_set():
            caller.round()

    with ThreadPoolExecutor(callers) as threads:
        running = [threads.submit(call) for _ in range(callers)]
        try:
            yield tally
        finally:
            over.set()
        for one in running:
            one.result(PATIENCE)
