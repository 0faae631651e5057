"""The world of ``follow``, enumerated: every answer of the application, times every answer of every question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from itertools import product
from typing import Any, Final

from sessionward import Session, StaleLogin
from sessionward.backends import CompanionStatus, Credential
from sessionward.credential.login_cookies import LoginCredential
from sessionward.errors import InvalidCredential
from sessionward.identify import Identity
from sessionward.modes.companion.after import follow, touches
from sessionward.modes.companion.judge import CompanionContext
from sessionward.modes.companion.mode import Companion
from sessionward.request.request import Fields
from sessionward.session.identifier import Identify, app_session_digest
from sessionward.session.step import Step
from sessionward.session.steps import Adopt, Extend, Find, FindCompanionStatus, Revoke
from sessionward.session.steps import Login as SignIn
from tests.companion.spelled import (
    APP_SESSION,
    FAILURE,
    IDENTIFIERS,
    LATE,
    RAISED,
    SESSION_ID,
    STATUSES,
    companion_of,
    modes,
    rules_of,
    user_of,
)
from tests.companion.ways import Ending, endings
from tests.support.core import NAME, NOON, SESSION, TOKEN, opened

ANN, NOBODY, REMEMBERED = (
    LoginCredential("session", "ann", (1,)),
    LoginCredential("session", "-", (1,)),
    LoginCredential("remember", "ann", (2,)),
)
WAS_REMEMBERED: Final = LoginCredential("session", "ann.remembered", (1,))
HEADER: Final = LoginCredential("x-login", f"ann@{LATE}", ())


class Here:
    """A request of a door in this mode, at noon."""

    def __init__(self, mode: Companion, has_id: bool) -> None:
        self.mode, self.has_id = mode, has_id
        self.context: CompanionContext = opened(mode=mode).context
        self.context.clock = lambda: RAISED


def signed_in(here: Here, *kept: LoginCredential, left: float = 900.0, session_id: str = SESSION_ID) -> None:
    here.context.session = here.context.companion = companion_of("ann", left=left, app_session=app_session_digest(session_id))
    here.context.credential = Credential(TOKEN)
    here.context.identity = Identity(user_id="ann", session_id=session_id if here.has_id else None)
    here.context.kept = kept


def was_remembered(here: Here) -> None:
    signed_in(here, WAS_REMEMBERED)
    here.context.identity = Identity(user_id="ann", session_id=SESSION_ID if here.has_id else None, fresh=False)


def was_answered(here: Here) -> None:
    was_remembered(here)
    have(here, is_answered=True)


def came(here: Here, *kept: LoginCredential, **more: object) -> None:
    here.context.kept, here.context.identity = kept, Identity(user_id="ann")
    have(here, **more)


def have(here: Here, **more: object) -> None:
    for name, value in more.items():
        setattr(here.context, name, value)


def has_asked_us(here: Here) -> None:
    """The application has called ``sessions.login`` for Ann."""
    here.mode.hold(here.context, companion_of("ann"), Credential(TOKEN), max_age=60.0)


STATES: Final[Mapping[str, Callable[[Here], object]]] = {
    "nobody": lambda here: None,
    "a cart": lambda here: have(here, kept=[NOBODY]),
    "a companion": lambda here: signed_in(here, ANN),
    "a companion with two logins": lambda here: signed_in(here, ANN, REMEMBERED),
    "a companion that grows old": lambda here: signed_in(here, ANN, left=100.0),
    "a companion of another session": lambda here: signed_in(here, ANN, session_id="old"),
    "a companion of a login that was remembered": was_remembered,
    "a companion of a login that was remembered, and a head": was_answered,
    "a companion alone": lambda here: have(here, companion=companion_of("ann")),
    "adopting": lambda here: came(here, ANN, adopting=APP_SESSION),
    "adopting, two logins": lambda here: came(here, ANN, REMEMBERED, adopting=APP_SESSION),
    "not may_adopt": lambda here: came(here, ANN),
    "needs one, by a header": lambda here: came(here, HEADER, companion_required=True),
    "needs one, taken out": lambda here: have(here, companion_required=True),
    "revoked in this request": lambda here: came(here, ANN, generations={"ann": 5}),
    "revoked in this request, nobody": lambda here: have(here, generations={"ann": 5}),
    "asked of us": has_asked_us,
}
SET: Final = {
    "nothing": [],
    "Ann": [b"session=ann; Path=/"],
    "Ann anew": [b"session=ann.2; Path=/"],
    "Ann, fresh": [b"session=ann.fresh"],
    "Ann, remembered": [b"session=ann.remembered"],
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
MINTED: Final = replace(SESSION, user_id="minted", app_session=APP_SESSION, expires_at=NOON + timedelta(seconds=1000))
ANSWERS: Final[Mapping[type[Step[Any]], Sequence[object]]] = {
    Find: (companion_of("ann"), None, FAILURE),
    FindCompanionStatus: STATUSES,
    Adopt: (MINTED, None, StaleLogin("companions are compulsory"), FAILURE),
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
    has_id: bool
    """The application's sessions have an id of their own."""
    before: Here
    ending: Ending[Fields]

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
        """Whether a question met an error, but for a revocation: the login is deleted whatever becomes of it."""
        steps = zip(self.ending.asked, self.ending.answers, strict=True)
        return any(
            isinstance(answer, Exception) and not isinstance(answer, InvalidCredential) and not isinstance(step, Revoke)
            for step, answer in steps
        )

    def __str__(self) -> str:
        return f"{self.state}, sets {self.sets}, public={self.public}, has_id={self.has_id}: {self.ending}"


@cache
def seen() -> Sequence[Seen]:
    return [*_seen()]


def _seen() -> Iterator[Seen]:
    for state, sets, public, has_id in product(STATES, SET, (False, True), IDENTIFIERS):
        head = [*OTHERS, *((b"set-cookie", value) for value in SET[sets])]
        if public:
            head.append((b"cache-control", b"public"))

        def here_in(state: str = state, has_id: bool = has_id) -> Here:
            here = Here(modes()[has_id], has_id)
            STATES[state](here)
            return here

        def start(head: Fields = head, here_in: Callable[[], Here] = here_in) -> Any:
            here = here_in()
            return here.context, follow(rules_of(here.mode), here.context, head)

        def answers(step: Step[Any], has_id: bool = has_id) -> Sequence[object]:
            return (IDENTIFIERS[has_id].said(step), FAILURE) if isinstance(step, Identify) else ANSWERS[type(step)]

        for ending in endings(start, answers):
            yield Seen(state, sets, public, has_id, here_in(), ending)


def test_the_world_of_answers_is_as_large_as_it_should_be() -> None:
    assert len({(case.state, case.sets, case.public, case.has_id) for case in seen()}) == len(STATES) * len(SET) * 4
    assert {kind for case in seen() for kind in case.ending.kinds} == {
        "Identify",
        "Find",
        "FindCompanionStatus",
        "Adopt",
        "Login",
        "Extend",
        "Revoke",
    }


def test_no_exception_costs_the_answer() -> None:
    assert [case for case in seen() if case.ending.raised is not None] == []


def test_no_login_and_no_companion_is_set_after_a_failure() -> None:
    for case in seen():
        if case.trouble:
            assert case.signs_in == set(), case
            assert not case.companion_given, case
            assert case.ending.context.session is None, case


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
            assert made in ([MINTED], [True]) or case.before.context.cookie is not None, case


def test_no_answer_makes_two_companions_or_sets_our_cookie_twice() -> None:
    for case in seen():
        assert len(case.ours) <= 1, case
        assert case.ending.kinds.count("Adopt") + case.ending.kinds.count("Login") <= 1, case
        changes = {"Adopt", "Login", "Extend", "Revoke"} & set(case.ending.kinds)
        assert len(changes) <= 1 or (changes == {"Adopt", "Revoke"} and not case.ours), case


def test_what_the_application_says_of_our_cookie_never_goes_out() -> None:
    for case in seen():
        assert NAME + b"=planted" not in case.cookies, case


def test_only_an_adoptable_user_is_adopted_and_on_no_public_answer() -> None:
    for case in seen():
        for step in case.ending.asked:
            if isinstance(step, Adopt):
                assert case.state.startswith("adopting"), case
                assert not case.public or not case.ours, case
                assert (step.new.user_id, step.new.app_session, step.new.lifetime) == ("ann", APP_SESSION, 1000.0), case


def test_only_an_answer_that_signs_in_makes_a_companion_for_a_user_who_needs_one() -> None:
    for case in seen():
        if case.state.startswith(("needs one", "revoked")) and {"Adopt", "Login"} & set(case.ending.kinds):
            assert case.ending.kinds.count("Login") == 1, case
            (step,) = [step for step in case.ending.asked if isinstance(step, SignIn)]
            assert step.new.user_id in {user_of(value.partition(b"=")[2].partition(b";")[0].decode()) for value in SET[case.sets]}, case


def test_who_revoked_all_of_its_own_sessions_in_this_request_is_signed_in_by_nothing_that_rolls() -> None:
    for case in seen():
        if case.state == "revoked in this request":
            assert "ann" not in [step.new.user_id for step in case.ending.asked if isinstance(step, SignIn)], case


def test_no_login_of_a_user_goes_out_unless_a_companion_lives_or_the_user_needs_none() -> None:
    for case in seen():
        if case.signs_in:
            lives = any(isinstance(answer, Session) for kind in (Find, Adopt, SignIn) for answer in case.ending.answer(kind))
            needs_none = any(
                isinstance(answer, CompanionStatus) and not answer.companion_required for answer in case.ending.answer(FindCompanionStatus)
            )
            declined = None in case.ending.answer(Adopt)  # under the lock, so the user needed none then
            waits = any(isinstance(answer, CompanionStatus) and answer.companions for answer in case.ending.answer(FindCompanionStatus))
            assert lives or needs_none or declined or waits, case


def test_a_second_look_that_finds_the_session_revoked_sets_nothing() -> None:
    for case in seen():
        if None in case.ending.answer(Find):
            assert (case.signs_in, case.ours) == (set(), []), case


def test_a_companion_is_revoked_exactly_when_no_login_is_left_of_a_browser_that_had_one() -> None:
    for case in seen():
        if case.state.startswith("a companion") and case.state != "a companion alone" and not case.trouble:
            two = case.state == "a companion with two logins"
            gone = case.sets == "deletions" or (not two and case.sets in ("nobody", "what cannot be read", "a deletion"))
            assert ("Revoke" in case.ending.kinds) == gone, case
            assert bool(case.ours and b"Max-Age=0" in case.ours[0]) == gone, case
            assert case.ending.context.session is not case.before.context.session or not gone, case
        elif "Revoke" in case.ending.kinds:  # a login that never had one: what was copied of it is revoked with it
            assert case.state.startswith("adopting"), case
            assert "Adopt" in case.ending.kinds, case


def test_a_sign_in_is_decided_with_all_that_is_known_of_it() -> None:
    for case in seen():
        for step in case.ending.asked:
            if isinstance(step, SignIn):
                new = step.new
                assert new.replaces == case.before.context.companion, case
                assert new.generation == case.before.context.generations.get(new.user_id), case
                assert new.age is case.ending.context.age, case
                assert new.app_session is not None, case
                assert (new.lifetime, new.methods) == (1000.0, ()), case


def test_only_a_login_that_was_remembered_and_is_fresh_now_signs_the_same_user_in_anew() -> None:
    confirmed = 0
    for case in seen():
        before = case.before.context
        for step in case.ending.asked:
            if isinstance(step, SignIn) and before.session is not None and before.session.user_id == step.new.user_id:
                assert (case.state, case.sets) == ("a companion of a login that was remembered", "Ann, fresh"), case
                confirmed += 1
    assert confirmed


def test_a_sign_in_is_of_now_unless_the_login_says_that_it_was_remembered_and_an_adoption_never_is() -> None:
    said: dict[bool, int] = {True: 0, False: 0}
    for case in seen():
        for step in case.ending.asked:
            if isinstance(step, Adopt):
                assert not step.new.is_fresh, case
            elif isinstance(step, SignIn) and step.new.user_id == "ann":
                assert step.new.is_fresh == (case.sets != "Ann, remembered"), case
                said[step.new.is_fresh] += 1
    assert all(said.values())


def test_tokens_are_never_the_same() -> None:
    minted = [step.new.digest for case in seen() for step in case.ending.asked if isinstance(step, (Adopt, SignIn))]
    at_ends = {case.ending.context.credential.digest for case in seen() if MINTED in case.ending.answers and case.ending.context.credential}
    assert len(set(minted)) == len(minted)
    assert at_ends <= set(minted)


def test_an_answer_that_touches_nobody_would_have_gone_out_as_it_is() -> None:
    for case in seen():
        head = [*OTHERS, *((b"set-cookie", value) for value in SET[case.sets]), *([(b"cache-control", b"public")] if case.public else [])]
        if not touches(rules_of(case.before.mode), case.before.context, head) and not case.ending.failed:
            assert case.ending.value == head, case
            assert not {"Find", "FindCompanionStatus", "Adopt", "Login", "Extend", "Revoke"} & set(case.ending.kinds), case


def test_an_answer_with_our_cookie_is_kept_by_no_cache() -> None:
    for case in seen():
        assert case.ending.value is not None
        caching = [value for name, value in case.ending.value if name == b"cache-control"]
        if case.ours:
            assert caching == [b"no-store"], case
        else:
            assert caching == ([b"public"] if case.public else []), case
