"""What a worker may trust, when it says that a session has ended, and how the drivers wait: by a clock that is a value."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from math import nextafter
from threading import Barrier, Event
from typing import Any, Final
from uuid import UUID

import pytest

from sessionward import BackendUnavailable, OutcomeUnknown, Session, SessionRevoked, StaleLogin, flow, lease
from sessionward.backends import CompanionStatus, Credential, RevokedCount
from sessionward.backends.sql import SQLBackend
from sessionward.lease import RAISE_PAUSE, TRUSTED, WAITED, Leases
from sessionward.modes.choose import choose
from sessionward.modes.mode import Mode
from sessionward.session.pause import Join, Question, Wait
from sessionward.session.session import Checked, Terms
from sessionward.session.step import Flow, Step
from sessionward.session.steps import Check, FindCompanionStatus, LeaseWait, Login, RaiseLease, Revoke, RevokeAll, RevokeOthers
from sessionward.settings import MAX_LEASE
from tests.support.core import RIVAL, SECRET, SESSION, TOKEN, Opened, answered, opened, play, signed_in

ONE, TWO = Credential(TOKEN), Credential(RIVAL)
EVER: Final = 1e6
UNKNOWN: Final = Checked(None, lease=1.0, wait=1.0)
EXPIRED: Final = Checked(None, user_id="ada", lease=1.0, wait=1.0)
ENDED: Final = Checked(None, has_ended=True, user_id="ada", lease=1.0, wait=1.0)


def live(*, lease: float = 1.0, remaining: float = EVER, wait: float = 1.0) -> Checked:
    return Checked(SESSION, user_id="ada", remaining=remaining, lease=lease, wait=wait)


class Clock:
    """Stands until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def worker(clock: Clock) -> Leases:
    """A worker whose setting is one second."""
    return worker_of(clock)


def worker_of(clock: Clock, seconds: float = 1.0, waiters: int = 1000) -> Leases:
    return Leases(seconds, waiters=waiters, clock=clock)


class Running:
    """A flow that others run beside: it waits at ``step``, or has ended with ``value`` or ``raised``."""

    def __init__(self, flow: Flow[Any]) -> None:
        self._flow = flow
        self.step: Any = None
        self.value: Any = None
        self.raised: Exception | None = None
        self._go(lambda: flow.send(None))

    def answer(self, answer: object) -> None:
        self._go(lambda: self._flow.throw(answer) if isinstance(answer, Exception) else self._flow.send(answer))

    @property
    def joined(self) -> Question:
        """The question of another request that it waits for."""
        assert isinstance(self.step, Join)
        return self.step.question

    def go_on(self) -> None:
        """Gives it the answer to the question that it has joined."""
        question = self.joined
        try:
            answer: object = question.answer()
        except BackendUnavailable as failure:
            answer = failure
        self.answer(answer)

    def cancel(self) -> None:
        self._flow.close()

    def _go(self, on: Any) -> None:
        self.step = None
        try:
            self.step = on()
        except StopIteration as end:
            self.value = end.value
        except Exception as failure:
            self.raised = failure


def is_trusted(worker: Leases, credential: Credential = ONE) -> bool:
    """Whether a check that begins now is accepted without a question."""
    check = Running(worker.find(credential))
    if check.step is None:
        assert check.value is SESSION
        return True
    check.cancel()
    return False


def asks(worker: Leases, credential: Credential = ONE) -> Running:
    """A check that has to ask, at its question."""
    check = Running(worker.find(credential))
    assert check.step == Check(credential)
    return check


def read(worker: Leases, checked: Checked, credential: Credential = ONE) -> Running:
    """A check that asks and is answered at once."""
    check = asks(worker, credential)
    check.answer(checked)
    return check


# --- what is trusted --------------------------------------------------------------------------------------------------

SECONDS: Final = (0.0, 0.05, 1.0, 5.0)
REMAINING: Final = (0.0, 0.02, 0.5, EVER)


@pytest.mark.parametrize("took", [0.0, 0.01, 0.3], ids=lambda took: f"answered after {took} s")
def test_p1_an_answer_is_trusted_strictly_younger_than_nine_tenths_of_a_lease_since_the_question_began(took: float) -> None:
    trusted = 0
    for setting, in_answer, remaining in product(SECONDS, SECONDS, REMAINING):
        clock = Clock()
        worker = worker_of(clock, setting)
        check = asks(worker)
        began, clock.now = clock.now, clock.now + took
        check.answer(live(lease=in_answer, remaining=remaining))
        if isinstance(check.step, RaiseLease):
            check.answer(None)
        assert check.value is SESSION
        until = began + min(TRUSTED * min(setting, in_answer), remaining)
        assert worker.trusted_for(ONE.digest) == max(0.0, until - clock.now)
        last = nextafter(until, 0.0)
        if last >= clock.now:
            trusted += 1
            clock.now = last
            assert is_trusted(worker)
        clock.now = max(until, clock.now)
        assert not is_trusted(worker)
    assert trusted > 5


@pytest.mark.parametrize("first", ["the older", "the younger"])
def test_of_two_answers_that_overtake_each_other_the_younger_question_counts(clock: Clock, worker: Leases, first: str) -> None:
    older = asks(worker)
    clock.now += TRUSTED  # too old to be joined
    younger = asks(worker)
    for one in (older, younger) if first == "the older" else (younger, older):
        one.answer(live())
    assert worker.trusted_for(ONE.digest) == pytest.approx(TRUSTED)


def test_a_setting_of_zero_asks_every_time_and_says_still_nothing_too_early(clock: Clock) -> None:
    worker = worker_of(clock, 0.0)
    for _ in range(2):
        assert read(worker, live(lease=5.0, wait=5.0)).value is SESSION
    assert read(worker, ENDED).step == Wait(clock.now + WAITED)


def test_a_lease_of_zero_everywhere_waits_for_nothing(clock: Clock) -> None:
    worker = worker_of(clock, 0.0)
    check = read(worker, Checked(None, has_ended=True, user_id="ada"))
    assert (check.step, check.value) == (None, None)
    asks(worker)


# --- what is said -----------------------------------------------------------------------------------------------------


def test_p1_that_a_session_has_ended_is_said_only_after_the_longest_trust_and_from_then_on_without_a_question(
    clock: Clock, worker: Leases
) -> None:
    not_before = clock.now + WAITED * 3.0
    first = read(worker, ENDED._replace(wait=3.0))
    assert first.step == Wait(not_before)
    clock.now = nextafter(not_before, 0.0)
    second = Running(worker.find(ONE))
    assert second.step == Wait(not_before), "the wait is not counted anew"
    for one in (first, second):
        one.answer(None)
        assert (one.step, one.value) == (None, None)
    for clock.now in (not_before, not_before + EVER):
        later = Running(worker.find(ONE))
        assert (later.step, later.value, later.raised) == (None, None, None)


def test_the_wait_is_counted_from_the_answer_and_not_from_the_question(clock: Clock, worker: Leases) -> None:
    check = asks(worker)
    clock.now += 0.7
    check.answer(ENDED)
    assert check.step == Wait(clock.now + WAITED)


@pytest.mark.parametrize("nothing", [UNKNOWN, EXPIRED], ids=["unknown", "expired"])
def test_unknown_and_expired_are_said_at_once_and_never_remembered(worker: Leases, nothing: Checked) -> None:
    for _ in range(2):
        check = read(worker, nothing)
        assert (check.step, check.value) == (None, None)
    assert read(worker, live()).value is SESSION


def test_that_a_session_has_ended_decides_over_a_positive_answer_that_comes_late(clock: Clock, worker: Leases) -> None:
    late = asks(worker)
    clock.now += TRUSTED
    waiting = read(worker, ENDED)
    not_before = clock.now + WAITED
    late.answer(live())
    assert late.value is SESSION, "it began before"
    assert worker.recall(ONE.digest) is None
    assert worker.trusted_for(ONE.digest) == 0.0
    assert Running(worker.find(ONE)).step == Wait(not_before)
    waiting.answer(None)
    clock.now = not_before
    later = Running(worker.find(ONE))
    assert (later.step, later.value) == (None, None)


# --- joined questions -------------------------------------------------------------------------------------------------


def test_a_question_is_asked_once_and_all_who_join_get_its_answer(clock: Clock, worker: Leases) -> None:
    asker = asks(worker)
    clock.now = nextafter(clock.now + TRUSTED, 0.0)
    joined = [Running(worker.find(ONE)) for _ in range(3)]
    assert all(isinstance(one.step, Join) for one in joined)
    asks(worker, TWO).cancel()
    asker.answer(live())
    for one in joined:
        one.go_on()
        assert one.value is SESSION


@pytest.mark.parametrize("nothing", [UNKNOWN, EXPIRED, ENDED], ids=["unknown", "expired", "ended"])
def test_only_a_positive_answer_is_joined(clock: Clock, worker: Leases, nothing: Checked) -> None:
    asker = asks(worker)
    joined = Running(worker.find(ONE))
    asker.answer(nothing)
    joined.go_on()
    assert joined.step == (Wait(clock.now + WAITED) if nothing is ENDED else Check(ONE))


@pytest.mark.parametrize(
    ("age", "answer"),
    [(0.5, live(lease=0.5)), (0.5, live(remaining=0.5)), (0.5, live(remaining=0.01)), (0.5, live(lease=0.0))],
    ids=["of a shorter lease", "of a session that ended meanwhile", "of one that ended long before", "without a lease"],
)
def test_p1_a_question_that_is_older_than_its_answer_may_be_trusted_is_asked_again(
    clock: Clock, worker: Leases, age: float, answer: Checked
) -> None:
    asker = asks(worker)
    clock.now += age
    joined = Running(worker.find(ONE))
    asker.answer(answer)
    joined.go_on()
    assert joined.step == Check(ONE)


def test_p1_a_question_as_old_as_the_lease_is_not_joined(clock: Clock, worker: Leases) -> None:
    asks(worker)
    clock.now += TRUSTED
    asks(worker)


def test_those_who_joined_a_request_that_was_cancelled_ask_by_themselves(worker: Leases) -> None:
    asker, joined = asks(worker), Running(worker.find(ONE))
    over: list[str] = []
    question = joined.joined
    question.when_over(lambda: over.append("before"))
    asker.cancel()
    question.when_over(lambda: over.append("after"))
    assert over == ["before", "after"]
    joined.go_on()
    assert joined.step == Check(ONE)
    joined.answer(live())
    assert joined.value is SESSION


def test_p7_those_who_joined_a_question_that_failed_fail_with_it_and_the_next_one_asks(worker: Leases) -> None:
    asker, joined = asks(worker), Running(worker.find(ONE))
    failure = BackendUnavailable("silent")
    asker.answer(failure)
    joined.go_on()
    assert asker.raised is joined.raised is failure
    assert read(worker, live()).value is SESSION


class _Interleaved(dict[bytes, Question]):
    """Lets another thread run to its end before the next look at a question: a thread may be stopped between any two operations."""

    other: Callable[[], None] | None = None

    def _switch(self) -> None:
        other, self.other = self.other, None
        if other is not None:
            other()

    def get(self, digest: bytes, default: Any = None, /) -> Any:
        found = super().get(digest, default)
        self._switch()
        return found

    def pop(self, digest: bytes, default: Any = None, /) -> Any:
        self._switch()
        return super().pop(digest, default)


def test_a_thread_that_asks_and_is_answered_while_another_one_ends_its_question_disturbs_nobody(clock: Clock, worker: Leases) -> None:
    worker._questions = questions = _Interleaved()
    slow = asks(worker)
    joined = Running(worker.find(ONE))
    clock.now += TRUSTED  # so that the other thread does not join
    other: list[Running] = []
    questions.other = lambda: other.append(read(worker, live()))
    slow.answer(live())
    joined.go_on()
    assert other[0].value is slow.value is joined.value is SESSION


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_bounded_and_what_was_dropped_is_asked_again(clock: Clock, worker: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "MAX_KEPT", 3)
    many = [Credential(f"{number:032}".encode()) for number in range(4)]
    for one in many:
        read(worker, live(), one)
    assert [is_trusted(worker, one) for one in many] == [False, True, True, True]
    for one in many:
        status = worker.companion_status("ada", one.digest, may_adopt=False)
        play(status, CompanionStatus(companion_required=False, lease=1.0, wait=1.0))
    for number, one in enumerate(many):
        status = worker.companion_status("ada", one.digest, may_adopt=False)
        assert isinstance(Running(status).step, FindCompanionStatus) is (number == 0)
    for one in many[1:]:
        Running(worker.settled(Revoke("ada", UUID(int=1)), one))
    clock.now += TRUSTED
    for one in many:
        read(worker, ENDED, one).answer(None)
    clock.now += WAITED
    assert [Running(worker.find(one)).step for one in many] == [Check(many[0]), None, None, None]


def test_the_checks_that_wait_are_bounded_for_each_user_and_in_all(clock: Clock) -> None:
    worker = worker_of(clock, waiters=8)
    waiting: list[Running] = []
    for user in range(5):
        for number in range(2):
            token = Credential(f"{user}{number}".rjust(32, "x").encode())
            waiting.append(read(worker, ENDED._replace(user_id=str(user)), token))
    assert [one.raised is None for one in waiting] == [True] * 8 + [False] * 2, "in all"
    assert all(isinstance(one.raised, BackendUnavailable) for one in waiting[8:])
    for one in waiting[:4]:
        one.answer(None)
    another = Credential(b"y" * 32)
    assert isinstance(read(worker, ENDED._replace(user_id="2"), another).raised, BackendUnavailable), "of one user"
    waiting[4].cancel()
    assert isinstance(Running(worker.find(another)).step, Wait), "who was refused is remembered, and one who gave up leaves the place"


def test_a_bound_of_one_lets_one_wait(clock: Clock) -> None:
    worker = worker_of(clock, waiters=1)
    first = read(worker, ENDED)
    assert isinstance(first.step, Wait)
    assert isinstance(read(worker, ENDED, TWO).raised, BackendUnavailable)


def test_threads_that_wait_and_leave_at_once_are_counted_exactly(clock: Clock) -> None:
    worker = worker_of(clock, waiters=8)  # two for each user
    read(worker, ENDED).cancel()
    begin, stop = Barrier(4), Event()

    def comes_and_goes(_: int) -> int:
        refused = 0
        begin.wait(30)
        for _ in range(20_000):
            one = Running(worker.find(ONE))
            refused += one.raised is not None
            assert one.raised is None or isinstance(one.raised, BackendUnavailable)
            one.cancel()
            if stop.is_set():
                break
        stop.set()
        return refused

    with ThreadPoolExecutor(4) as threads, _restless():
        assert sum(threads.map(comes_and_goes, range(4))), "they were never more than two at once: this showed nothing"
    kept = [Running(worker.find(ONE)) for _ in range(3)]
    assert [isinstance(one.step, Wait) for one in kept] == [True, True, False]


@contextmanager
def _restless() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


# --- the lease in the backend -----------------------------------------------------------------------------------------


def test_a_larger_setting_is_written_once_a_minute_and_trusted_only_when_it_was_read(clock: Clock) -> None:
    worker = worker_of(clock, 5.0)
    first = read(worker, live(lease=1.0))
    assert first.step == RaiseLease(5.0)
    assert worker.trusted_for(ONE.digest) == pytest.approx(TRUSTED)
    first.answer(BackendUnavailable("busy"))
    assert first.value is SESSION
    for elapsed, again in ((1.0, False), (RAISE_PAUSE - 2, False), (1.0, True)):
        clock.now += elapsed
        assert (read(worker, live(lease=1.0)).step == RaiseLease(5.0)) is again
    clock.now += RAISE_PAUSE
    assert read(worker, live(lease=5.0)).step is None
    assert worker.trusted_for(ONE.digest) == pytest.approx(TRUSTED * 5)


def test_a_session_that_is_not_there_says_nothing_about_the_lease(clock: Clock) -> None:
    """Its answer has a lease of 0.0, and anybody can send tokens that nobody knows."""
    worker = worker_of(clock, 5.0)
    for _ in range(2):
        check = read(worker, Checked(None))
        assert (check.step, check.value) == (None, None)
    assert read(worker, live(lease=1.0)).step == RaiseLease(5.0)


# --- after what ends a session ----------------------------------------------------------------------------------------


@pytest.fixture
def mode(clock: Clock) -> Mode[Any]:
    return choose(SQLBackend("sqlite:///unopened.db"), {"secrets": [SECRET], "lease": 1.0}, clock)


def _endpoint(mode: Mode[Any]) -> Flow[Any]:
    return flow.revoke_others_endpoint(*opened((b"x-session-token", TOKEN), mode=mode))


def _login(mode: Mode[Any], here: Opened | None = None) -> Flow[Any]:
    return flow.login(*(here or opened(mode=mode)), "ada", ticket=None, methods=["password"], persistent=True)


ENDING: Final = {
    "the endpoint": (_endpoint, RevokeOthers(SESSION, Terms()), RevokedCount(2, 5)),
    "the endpoint, nothing to end": (_endpoint, RevokeOthers(SESSION, Terms()), RevokedCount(0, 5)),
    "revoke_others": (lambda mode: flow.revoke_others(*signed_in(mode=mode)), RevokeOthers(SESSION), RevokedCount(2, 5)),
    "revoke_all": (lambda mode: flow.revoke_all(*signed_in(mode=mode), "ada"), RevokeAll("ada"), RevokedCount(1, 5)),
    "revoke_all of another": (lambda mode: flow.revoke_all(*opened(mode=mode), "bob"), RevokeAll("bob"), RevokedCount(0, 1)),
    "logout": (lambda mode: flow.logout(*signed_in(mode=mode)), Revoke("ada", SESSION.id), True),
    "logout, ended already": (lambda mode: flow.logout(*signed_in(mode=mode)), Revoke("ada", SESSION.id), False),
    "a login that ends others": (_login, None, Session(id=UUID(int=2), user_id="ada", has_ended_others=True)),
}


def _run_to(running: Running, change: Step[Any] | None) -> None:
    """Answers what comes before the change."""
    if running.step == Check(ONE):
        running.answer(live())
    assert isinstance(running.step, Login) if change is None else running.step == change


@pytest.mark.parametrize(("verb", "change", "result"), ENDING.values(), ids=ENDING)
def test_p1_whatever_ends_a_session_is_answered_only_when_no_worker_trusts_it(
    clock: Clock, mode: Mode[Any], verb: Any, change: Step[Any] | None, result: object
) -> None:
    running = Running(verb(mode))
    _run_to(running, change)
    clock.now += 0.25
    running.answer(result)
    assert running.step == LeaseWait()
    clock.now += 0.25
    running.answer(2.0)
    assert running.step == Wait(clock.now + WAITED * 2.0), "from the answer that says how long"
    clock.now += WAITED * 2.0
    running.answer(None)
    assert (running.step, running.raised) == (None, None)


@pytest.mark.parametrize(("verb", "change", "result"), ENDING.values(), ids=ENDING)
def test_with_a_lease_of_zero_a_verb_returns_at_once(mode: Mode[Any], verb: Any, change: Step[Any] | None, result: object) -> None:
    running = Running(verb(mode))
    _run_to(running, change)
    running.answer(result)
    running.answer(0.0)
    assert (running.step, running.raised) == (None, None)


@pytest.mark.parametrize(("verb", "change", "result"), ENDING.values(), ids=ENDING)
def test_p7_a_change_whose_wait_is_not_known_has_an_unknown_outcome(
    mode: Mode[Any], verb: Any, change: Step[Any] | None, result: object
) -> None:
    for failure in (BackendUnavailable("silent"), OutcomeUnknown("silent")):
        running = Running(verb(mode))
        _run_to(running, change)
        running.answer(result)
        running.answer(failure)
        if verb is _endpoint:
            assert running.value.status == 503
            assert b'"outcome_unknown"' in running.value.body
        else:
            assert isinstance(running.raised, OutcomeUnknown)


@pytest.mark.parametrize(
    ("verb", "change", "refusal"),
    [
        (_login, None, StaleLogin("too late")),
        (lambda mode: flow.revoke_others(*signed_in(mode=mode)), RevokeOthers(SESSION), SessionRevoked("another was faster")),
        (_endpoint, RevokeOthers(SESSION, Terms()), SessionRevoked("another was faster")),
    ],
    ids=["StaleLogin", "SessionRevoked", "the endpoint's 401"],
)
def test_p10_a_refusal_that_shows_a_revocation_waits_as_the_revocation_does(
    clock: Clock, mode: Mode[Any], verb: Any, change: Step[Any] | None, refusal: Exception
) -> None:
    running = Running(verb(mode))
    _run_to(running, change)
    running.answer(refusal)
    assert running.step == LeaseWait()
    running.answer(1.0)
    assert running.step == Wait(clock.now + WAITED)
    running.answer(None)
    assert running.raised is refusal if verb is not _endpoint else running.value.status == 401


@pytest.mark.parametrize("failure", [BackendUnavailable("down"), OutcomeUnknown("silent")], ids=["not done", "unknown"])
def test_what_was_not_done_waits_for_nothing(mode: Mode[Any], failure: Exception) -> None:
    running = Running(flow.revoke_others(*signed_in(mode=mode)))
    running.answer(failure)
    assert running.raised is failure


def test_a_login_that_ends_nothing_waits_for_nothing_and_is_asked_about_at_its_first_check(mode: Mode[Any]) -> None:
    running = Running(_login(mode))
    running.answer(Session(id=UUID(int=2), user_id="ada"))
    assert running.step is None
    asks(mode.leases, Credential(running.value.encode()))  # type: ignore[arg-type]


def _ends_own(mode: Mode[Any], verb: str, user: str = "ada", token: bytes = TOKEN) -> Running:
    """A verb that has ended the session of its own request, before it asks for how long others trust it."""
    session = replace(SESSION, user_id=user)
    here = signed_in(mode=mode, session=session)
    here.context.credential = Credential(token)
    ended: dict[str, tuple[Flow[Any], object]] = {
        "logout": (flow.logout(*here), True),
        "revoke_all": (flow.revoke_all(*here, user), RevokedCount(1, 5)),
        "a login that replaces": (_login(mode, here), Session(id=UUID(int=2), user_id="ada", has_ended_others=True)),
    }
    asked, result = ended[verb]
    running = Running(asked)
    running.answer(result)
    assert running.step == LeaseWait()
    return running


ends_own = pytest.mark.parametrize("verb", ["logout", "revoke_all", "a login that replaces"])


@ends_own
def test_what_a_worker_has_ended_itself_it_accepts_no_more_and_says_so_after_the_wait(clock: Clock, mode: Mode[Any], verb: str) -> None:
    worker = mode.leases
    assert isinstance(worker, Leases)
    read(worker, live())
    running = _ends_own(mode, verb)
    running.answer(1.0)
    not_before = clock.now + WAITED
    check = Running(worker.find(ONE))
    assert running.step == check.step == Wait(not_before)
    clock.now = not_before
    assert answered(worker.find(ONE), lambda _: None).returned == [None]


@ends_own
def test_what_a_worker_has_ended_itself_it_accepts_no_more_even_if_the_wait_is_not_known(clock: Clock, mode: Mode[Any], verb: str) -> None:
    worker = mode.leases
    assert isinstance(worker, Leases)
    read(worker, live())
    running = _ends_own(mode, verb)
    longest = Wait(clock.now + WAITED * MAX_LEASE)
    assert Running(worker.find(ONE)).step == longest, "also before it is known"
    running.answer(BackendUnavailable("gone"))
    assert isinstance(running.raised, OutcomeUnknown)
    assert worker.recall(ONE.digest) is None
    assert Running(worker.find(ONE)).step == longest


@ends_own
def test_what_a_user_has_ended_waits_in_the_name_of_this_user(clock: Clock, verb: str) -> None:
    """Else all who sign out would share one place in the bound."""
    mode = choose(SQLBackend("sqlite:///unopened.db"), {"secrets": [SECRET], "lease": 1.0, "lease_waiters": 8}, clock)
    worker = mode.leases
    for user, token in (("mallory", RIVAL), ("ann", TOKEN)):
        _ends_own(mode, verb, user, token).answer(1.0)
    busy = [Running(worker.find(TWO)) for _ in range(6)]
    assert [one.raised is None for one in busy] == [True] * 2 + [False] * 4
    assert isinstance(Running(worker.find(ONE)).step, Wait)


# --- companions -------------------------------------------------------------------------------------------------------


def _status(*, required: bool = False, may_adopt: bool = False, lease: float = 1.0, wait: float = 1.0) -> CompanionStatus:
    return CompanionStatus(companion_required=required, may_adopt=may_adopt, lease=lease, wait=wait)


def _asked_about(worker: Leases, status: CompanionStatus, *, may_adopt: bool = False) -> Running:
    running = Running(worker.companion_status("ada", b"a", may_adopt=may_adopt))
    assert running.step == FindCompanionStatus("ada", b"a")
    running.answer(status)
    return running


def test_p1_that_a_user_needs_no_companion_is_trusted_like_a_live_session() -> None:
    for setting, in_answer in product(SECONDS, SECONDS):
        clock = Clock()
        worker = worker_of(clock, setting)
        status = _status(lease=in_answer)
        running = Running(worker.companion_status("ada", b"a", may_adopt=True))
        until = clock.now + TRUSTED * min(setting, in_answer)
        clock.now = nextafter(until, 0.0)
        running.answer(status)
        if until > 100.0:
            assert Running(worker.companion_status("ada", b"a", may_adopt=True)).value is status
            assert Running(worker.companion_status("ada", b"other", may_adopt=True)).step == FindCompanionStatus("ada", b"other")
            assert Running(worker.companion_status("eve", b"a", may_adopt=True)).step == FindCompanionStatus("eve", b"a")
        clock.now = until
        assert isinstance(Running(worker.companion_status("ada", b"a", may_adopt=True)).step, FindCompanionStatus)


def test_a_browser_that_could_adopt_a_companion_is_asked_about_every_time(worker: Leases) -> None:
    status = _status(may_adopt=True)
    _asked_about(worker, status)
    assert Running(worker.companion_status("ada", b"a", may_adopt=False)).value is status
    _asked_about(worker, status, may_adopt=True)


def test_p1_that_a_user_needs_a_companion_is_said_after_the_wait_and_decides_over_an_older_answer(clock: Clock, worker: Leases) -> None:
    late = Running(worker.companion_status("ada", b"a", may_adopt=False))
    first = _asked_about(worker, _status(required=True, wait=3.0))
    not_before = clock.now + WAITED * 3.0
    assert first.step == Wait(not_before)
    late.answer(_status())
    clock.now += 1.0
    second = _asked_about(worker, _status(required=True, wait=3.0))
    assert second.step == Wait(not_before), "the wait is not counted anew"
    for one in (first, second):
        one.answer(None)
        assert one.value.companion_required
    clock.now = not_before
    third = _asked_about(worker, _status(required=True))
    assert third.value.companion_required
