"""The world of ``see_off``, enumerated: every answer of the application, times every answer of every question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from itertools import product
from typing import Any, Final

from sessionward import Session, StaleLogin
from sessionward.backends import CompanionStatus, Credential
from sessionward.context import Visit
from sessionward.credential.login_cookies import LoginCredential
from sessionward.errors import InvalidCredential
from sessionward.identify import Identity
from sessionward.modes.companion.before import concerns, see_off
from sessionward.response.answer import Headers
from sessionward.session.identifier import Identify, app_session_digest
from sessionward.session.step import Step
from sessionward.session.steps import Adopt, Extend, Find, FindCompanionStatus, Revoke
from sessionward.session.steps import Login as SignIn
from tests.companion.spelled import FAILURE, IDENTIFIERS, LATE, LINK, RAISED, STANDINGS, companion_of, policies, user_of
from tests.companion.ways import Ending, endings
from tests.support.core import NAME, NOON, SESSION, TOKEN, visit_of

ANN, NOBODY, REMEMBERED = (
    LoginCredential("session", "ann", (1,)),
    LoginCredential("session", "-", (1,)),
    LoginCredential("remember", "ann", (2,)),
)
HEADER: Final = LoginCredential("x-login", f"ann@{LATE}", ())


def signed_in(visit: Visit, session: Session, *kept: LoginCredential) -> None:
    visit.session = visit.companion = session
    visit.credential = Credential(TOKEN)
    visit.identity = Identity(user_id="ann", app_session=session.app_session if visit.policy is policies()[True] else None)
    visit.kept = kept


def came(visit: Visit, *kept: LoginCredential, **more: object) -> None:
    visit.kept, visit.identity = kept, Identity(user_id="ann")
    for name, value in more.items():
        setattr(visit, name, value)


def has_asked_us(visit: Visit) -> None:
    """The application has called ``sessions.login`` for Ann."""
    visit.session = visit.companion = companion_of("ann")
    visit.credential = Credential(TOKEN)
    visit.cookie = visit.policy.cookie(visit.credential, max_age=60)


STATES: Final[Mapping[str, Callable[[Visit], object]]] = {
    "nobody": lambda visit: None,
    "a cart": lambda visit: setattr(visit, "kept", [NOBODY]),
    "a companion": lambda visit: signed_in(visit, companion_of("ann"), ANN),
    "a companion with two logins": lambda visit: signed_in(visit, companion_of("ann"), ANN, REMEMBERED),
    "a companion that grows old": lambda visit: signed_in(visit, companion_of("ann", left=100.0), ANN),
    "a companion of another session": lambda visit: signed_in(visit, companion_of("ann", app_session=app_session_digest("old")), ANN),
    "a companion alone": lambda visit: setattr(visit, "companion", companion_of("ann")),
    "adopting": lambda visit: came(visit, ANN, adopting=LINK),
    "adopting, two logins": lambda visit: came(visit, ANN, REMEMBERED, adopting=LINK),
    "not may_adopt": lambda visit: came(visit, ANN),
    "closed, by a header": lambda visit: came(visit, HEADER, companion_required=True),
    "closed, taken out": lambda visit: setattr(visit, "companion_required", True),
    "ended in this request": lambda visit: came(visit, ANN, generations={"ann": 5}),
    "ended in this request, nobody": lambda visit: setattr(visit, "generations", {"ann": 5}),
    "asked of us": has_asked_us,
}
SET: Final = {
    "nothing": [],
    "Ann": [b"session=ann; Path=/"],
    "Ann anew": [b"session=ann.2; Path=/"],
    "Bob": [b"session=bob"],
    "nobody": [b"session=-"],
    "what cannot be read": [b"session=x"],
    "a deletion": [b"session=; Max-Age=0"],
    "deletions": [b"session=; Max-Age=0", b"remember=; Max-Age=0"],
    "a deletion, and remember-me": [b"session=; Max-Age=0", b"remember=ann"],
    "two users": [b"session=ann.2", b"remember=bob"],
    "Bob, then Ann": [b"session=bob", b"session=ann.2"],
    "ours": [NAME + b"=planted"],
    "ours and Ann": [NAME + b"=planted", b"session=ann.2"],
}
OTHERS: Final = [(b"content-type", b"text/plain"), (b"set-cookie", b"theme=dark")]
MINTED: Final = replace(SESSION, user_id="minted", app_session=LINK, expires_at=NOON + timedelta(seconds=1000))
ANSWERS: Final[Mapping[type[Step[Any]], Sequence[object]]] = {
    Find: (companion_of("ann"), None, FAILURE),
    FindCompanionStatus: STANDINGS,
    Adopt: (MINTED, None, StaleLogin("closed"), FAILURE),
    SignIn: (MINTED, StaleLogin("began before"), FAILURE),
    Extend: (True, False, FAILURE),
    Revoke: (True, False, FAILURE),
}


@dataclass(frozen=True)
class Seen:
    """One answer of the application, and one way that it went out."""

    state: str
    sets: str
    public: bool
    companions: bool
    before: Visit
    ending: Ending[Headers]

    @property
    def cookies(self) -> list[bytes]:
        """The Set-Cookie values that go out."""
        assert self.ending.value is not None
        return [value for name, value in self.ending.value if name == b"set-cookie"]

    @property
    def ours(self) -> list[bytes]:
        return [cookie for cookie in self.cookies if cookie.startswith(NAME + b"=")]

    @property
    def companion_given(self) -> bool:
        return any(b"Max-Age=0" not in cookie for cookie in self.ours)

    @property
    def signs_in(self) -> set[str]:
        """Whom the login cookies that go out sign in."""
        names = (b"session=", b"remember=")
        values = [cookie.partition(b"=")[2].partition(b";")[0].decode() for cookie in self.cookies if cookie.startswith(names)]
        return {user for value in values if (user := user_of(value)) is not None}

    @property
    def trouble(self) -> bool:
        """Whether a question met an error, but for an end: the login is deleted whatever becomes of it."""
        steps = zip(self.ending.asked, self.ending.answers, strict=True)
        return any(
            isinstance(answer, Exception) and not isinstance(answer, InvalidCredential) and not isinstance(step, Revoke)
            for step, answer in steps
        )

    def __str__(self) -> str:
        return f"{self.state}, sets {self.sets}, public={self.public}, companions={self.companions}: {self.ending}"


@cache
def seen() -> Sequence[Seen]:
    return [*_seen()]


def _seen() -> Iterator[Seen]:
    for state, sets, public, companions in product(STATES, SET, (False, True), IDENTIFIERS):
        head = [*OTHERS, *((b"set-cookie", value) for value in SET[sets])]
        if public:
            head.append((b"cache-control", b"public"))

        def visit_in(state: str = state, companions: bool = companions) -> Visit:
            visit = visit_of(policy=policies()[companions])
            visit.clock = lambda: RAISED
            STATES[state](visit)
            return visit

        def start(head: Headers = head, visit_in: Callable[[], Visit] = visit_in) -> Any:
            visit = visit_in()
            return visit, see_off(visit, head)

        def answers(step: Step[Any], companions: bool = companions) -> Sequence[object]:
            return (IDENTIFIERS[companions].said(step), FAILURE) if isinstance(step, Identify) else ANSWERS[type(step)]

        for ending in endings(start, answers):
            yield Seen(state, sets, public, companions, visit_in(), ending)


def test_the_world_of_answers_is_as_large_as_it_should_be() -> None:
    assert len({(case.state, case.sets, case.public, case.companions) for case in seen()}) == len(STATES) * len(SET) * 4
    assert {kind for case in seen() for kind in case.ending.kinds} == {
        "Identify",
        "Find",
        "FindCompanionStatus",
        "Adopt",
        "Login",
        "Extend",
        "End",
    }


def test_no_exception_costs_the_answer() -> None:
    assert [case for case in seen() if case.ending.raised is not None] == []


def test_no_login_and_no_companion_is_set_after_a_failure() -> None:
    for case in seen():
        if case.trouble:
            assert case.signs_in == set(), case
            assert not case.companion_given, case
            assert case.ending.visit.session is None, case


def test_what_deletes_a_login_always_goes_out_and_so_does_all_else() -> None:
    for case in seen():
        assert case.ending.value is not None
        deleted = [value for value in SET[case.sets] if b"Max-Age=0" in value]
        assert [cookie for cookie in case.cookies if b"Max-Age=0" in cookie and not cookie.startswith(NAME)] == deleted, case
        assert [field for field in case.ending.value if field in OTHERS] == OTHERS, case


def test_a_companion_is_given_only_where_one_was_made_or_lives_on() -> None:
    for case in seen():
        if case.companion_given:
            made = [answer for kind in (Adopt, SignIn) for answer in case.ending.answer(kind)]
            made += case.ending.answer(Extend)
            assert made in ([MINTED], [True]) or case.before.cookie is not None, case


def test_no_answer_makes_two_companions_or_sets_our_cookie_twice() -> None:
    for case in seen():
        assert len(case.ours) <= 1, case
        assert case.ending.kinds.count("Adopt") + case.ending.kinds.count("Login") <= 1, case
        changes = {"Adopt", "Login", "Extend", "End"} & set(case.ending.kinds)
        assert len(changes) <= 1 or (changes == {"Adopt", "End"} and not case.ours), case


def test_what_the_application_says_of_our_cookie_never_goes_out() -> None:
    for case in seen():
        assert NAME + b"=planted" not in case.cookies, case


def test_only_an_adoptable_user_is_adopted_and_on_no_public_answer() -> None:
    for case in seen():
        for step in case.ending.asked:
            if isinstance(step, Adopt):
                assert case.state.startswith("adopting"), case
                assert not case.public or not case.ours, case
                assert (step.user_id, step.app_session, step.expires_in) == ("ann", LINK, 1000.0), case


def test_only_an_answer_that_signs_in_makes_a_companion_for_a_closed_user() -> None:
    for case in seen():
        if case.state.startswith(("closed", "ended")) and {"Adopt", "Login"} & set(case.ending.kinds):
            assert case.ending.kinds.count("Login") == 1, case
            (step,) = [step for step in case.ending.asked if isinstance(step, SignIn)]
            assert step.user_id in {user_of(value.partition(b"=")[2].partition(b";")[0].decode()) for value in SET[case.sets]}, case


def test_who_ended_all_of_its_own_sessions_in_this_request_is_signed_in_by_nothing_that_rolls() -> None:
    for case in seen():
        if case.state == "ended in this request":
            assert "ann" not in [step.user_id for step in case.ending.asked if isinstance(step, SignIn)], case


def test_no_login_of_a_user_goes_out_unless_a_companion_lives_or_the_user_is_open() -> None:
    for case in seen():
        if case.signs_in:
            lives = any(isinstance(answer, Session) for kind in (Find, Adopt, SignIn) for answer in case.ending.answer(kind))
            is_open = any(
                isinstance(answer, CompanionStatus) and not answer.companion_required for answer in case.ending.answer(FindCompanionStatus)
            )
            declined = None in case.ending.answer(Adopt)  # under the lock, so the user was open then
            waits = any(isinstance(answer, CompanionStatus) and answer.companions for answer in case.ending.answer(FindCompanionStatus))
            assert lives or is_open or declined or waits, case


def test_a_second_look_that_finds_the_session_dead_sets_nothing() -> None:
    for case in seen():
        if None in case.ending.answer(Find):
            assert (case.signs_in, case.ours) == (set(), []), case


def test_a_companion_is_ended_exactly_when_no_login_is_left_of_a_browser_that_had_one() -> None:
    for case in seen():
        if case.state.startswith("a companion") and case.state != "a companion alone" and not case.trouble:
            two = case.state == "a companion with two logins"
            gone = case.sets == "deletions" or (not two and case.sets in ("nobody", "what cannot be read", "a deletion"))
            assert ("End" in case.ending.kinds) == gone, case
            assert bool(case.ours and b"Max-Age=0" in case.ours[0]) == gone, case
            assert case.ending.visit.session is not case.before.session or not gone, case
        elif "End" in case.ending.kinds:  # a login that never had one: what was copied of it ends with it
            assert case.state.startswith("adopting"), case
            assert "Adopt" in case.ending.kinds, case


def test_a_sign_in_is_decided_with_all_that_is_known_of_it() -> None:
    for case in seen():
        for step in case.ending.asked:
            if isinstance(step, SignIn):
                assert step.replaces == case.before.companion, case
                assert step.since == case.before.generations.get(step.user_id), case
                assert step.age is case.ending.visit.age, case
                assert step.app_session is not None, case
                assert (step.expires_in, step.methods) == (1000.0, ()), case


def test_tokens_are_never_the_same() -> None:
    minted = [step.credential.digest for case in seen() for step in case.ending.asked if isinstance(step, (Adopt, SignIn))]
    at_ends = {case.ending.visit.credential.digest for case in seen() if MINTED in case.ending.answers and case.ending.visit.credential}
    assert len(set(minted)) == len(minted)
    assert at_ends <= set(minted)


def test_an_answer_that_concerns_nobody_would_have_gone_out_as_it_is() -> None:
    for case in seen():
        head = [*OTHERS, *((b"set-cookie", value) for value in SET[case.sets]), *([(b"cache-control", b"public")] if case.public else [])]
        if not concerns(case.before, head) and not case.ending.failed:
            assert case.ending.value == head, case
            assert not {"Find", "FindCompanionStatus", "Adopt", "Login", "Extend", "End"} & set(case.ending.kinds), case


def test_an_answer_with_our_cookie_is_kept_by_no_cache() -> None:
    for case in seen():
        assert case.ending.value is not None
        caching = [value for name, value in case.ending.value if name == b"cache-control"]
        if case.ours:
            assert caching == [b"no-store"], case
        else:
            assert caching == ([b"public"] if case.public else []), case
