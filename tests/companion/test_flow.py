"""The world of ``admit``, enumerated: every request, times every answer of every question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

from sessionward import Session
from sessionward.backends import CompanionStatus
from sessionward.errors import InvalidCredential
from sessionward.modes.companion.before import admit
from sessionward.session.identifier import Identify, app_session_digest
from sessionward.session.step import Step
from sessionward.session.steps import FindCompanionStatus, IsRevokedAppSession
from tests.companion.spelled import EARLY, FAILURE, IDENTIFIERS, LATE, LINK, STANDINGS, companion_of, policies, user_of
from tests.companion.ways import Ending, endings
from tests.support.core import scope_of, visit_of

Pairs = list[str]

SESSIONS: Final[Sequence[Pairs]] = (
    [],
    ["session=ann"],
    ["session=bob"],
    ["session=-"],
    ["session=x"],
    ["session=ann", "session=ann"],
    ["session=ann", "session=ann.2"],
    ["session=bob", "session=ann"],
    ["session=-", "session=ann"],
    ["session=x", "session=ann"],
    ['"session"=ann'],
    ['"session"=ann', "session=ann"],
)
REMEMBERS: Final[Sequence[Pairs]] = (
    [],
    ["remember=ann"],
    ["remember=bob"],
    ["remember=-"],
    ["remember=x"],
    ["remember=ann", "remember=bob"],
)
HEADERS: Final = ("", f"ann@{EARLY}", f"ann@{LATE}", f"bob@{LATE}", "ann", "x", f"ann@{LATE}, ann")
COMPANIONS: Final = (None, companion_of("ann"), companion_of("ann", app_session=app_session_digest("another")), companion_of("bob"))


@dataclass(frozen=True)
class Admitted:
    """One request, and one way that it went."""

    pairs: Sequence[str]
    header: str
    companion: Session | None
    companions: bool
    ending: Ending[None]

    @property
    def passed(self) -> list[str]:
        """The pairs that go on."""
        taken = self.ending.visit.taken
        if taken is None:
            return ["theme=dark", *self.pairs, "lang=en"]
        return (taken.cookie or b"").decode().split("; ")

    @property
    def header_passed(self) -> bool:
        taken = self.ending.visit.taken
        return bool(self.header) and (taken is None or b"x-login" not in taken.headers)

    @property
    def users(self) -> set[str]:
        """Whom the cookies that go on sign in."""
        return {user for pair in self.passed if (user := user_of(pair.partition("=")[2])) is not None}

    @property
    def companion_status(self) -> object:
        """What was said of the user, if that was asked."""
        (found,) = self.ending.answer(FindCompanionStatus) or [None]
        return found

    def __str__(self) -> str:
        return f"{self.pairs} {self.header!r}, companion {self.companion}, companions={self.companions}: {self.ending}"


@cache
def admitted() -> Sequence[Admitted]:
    return [*_admitted()]


def _admitted() -> Iterator[Admitted]:
    for session, remember, header, companion, companions in product(SESSIONS, REMEMBERS, HEADERS, COMPANIONS, IDENTIFIERS):
        pairs = [*session, *remember]
        fields = [(b"cookie", "; ".join(["theme=dark", *pairs, "lang=en"]).encode())]
        if header:
            fields.append((b"x-login", header.encode()))

        def start(fields: Any = fields, companion: Any = companion, companions: bool = companions) -> Any:
            visit = visit_of(*fields, policy=policies()[companions])
            return visit, admit(visit, companion)

        def answers(step: Step[Any], companions: bool = companions) -> Sequence[object]:
            if isinstance(step, IsRevokedAppSession):
                return (False, FAILURE)
            return STANDINGS if isinstance(step, FindCompanionStatus) else (IDENTIFIERS[companions].said(step), FAILURE)  # type: ignore[arg-type]

        for ending in endings(start, answers):
            yield Admitted(pairs, header, companion, companions, ending)


def well() -> Iterator[Admitted]:
    """Those that did not fail."""
    return (case for case in admitted() if case.ending.raised is None)


def test_the_world_of_requests_is_as_large_as_it_should_be() -> None:
    requests = {
        (tuple(case.pairs), case.header, str(case.companion), case.companion and case.companion.app_session, case.companions)
        for case in admitted()
    }
    assert len(requests) == len(SESSIONS) * len(REMEMBERS) * len(HEADERS) * len(COMPANIONS) * 2
    assert len(admitted()) > 4 * len(requests)


def test_p7_every_failure_leaves_the_flow_and_nothing_else_does() -> None:
    for case in admitted():
        assert (case.ending.raised is FAILURE) == (FAILURE in case.ending.answers), case
        assert case.ending.raised in (FAILURE, None), case


def test_nothing_is_written_before_the_application() -> None:
    for case in admitted():
        assert set(case.ending.kinds) <= {"Identify", "IsRevokedAppSession", "FindCompanionStatus"}, case
        assert case.ending.kinds.count("FindCompanionStatus") <= 1, case


def test_each_credential_is_asked_about_once() -> None:
    for case in well():
        asked = [(step.name, step.value) for step in case.ending.asked if isinstance(step, Identify)]
        assert len(set(asked)) == len(asked), case


def test_no_cookie_passes_without_a_companion_once_the_user_is_closed() -> None:
    for case in well():
        if case.companion is None and isinstance(case.standing, CompanionStatus) and case.standing.companion_required:
            assert case.users == set(), case


def test_a_header_of_a_closed_user_passes_only_if_it_was_issued_well_after_the_end() -> None:
    seen = set[bool]()
    for case in well():
        standing = case.standing
        if case.header_passed and isinstance(standing, CompanionStatus) and standing.companion_required and case.header != "-":
            assert standing.revoked_at is None or case.header.endswith(f"@{LATE}"), case
            seen.add(standing.revoked_at is None)
    assert seen == {True, False}


def test_beside_a_companion_only_its_own_user_passes_and_only_in_its_own_session() -> None:
    for case in well():
        if case.companion is not None:
            assert case.users <= {case.companion.user_id}, case
            assert not case.header_passed or user_of(case.header) == case.companion.user_id, case
            if case.companions and case.companion.app_session != LINK:
                assert not any(pair.startswith("session=") and user_of(pair[8:]) for pair in case.passed), case


def test_without_a_companion_one_user_passes_at_most_and_no_doubled_cookie() -> None:
    for case in well():
        if case.companion is None:
            users = case.users | ({str(user_of(case.header))} if case.header_passed else set())
            assert len(users) <= 1, case
            doubled = [pair for pair in set(case.passed) if user_of(pair.partition("=")[2])]
            assert len({pair.partition("=")[0] for pair in doubled}) == len(doubled), case


def test_nobody_passes_unasked() -> None:
    for case in well():
        if case.companion is None and (case.users or case.header_passed):
            assert case.ending.kinds.count("FindCompanionStatus") == 1, case


def test_what_cannot_be_read_or_is_oddly_spelled_never_passes() -> None:
    for case in well():
        assert not {"session=x", "remember=x", '"session"=ann'} & set(case.passed), case
        assert not case.header_passed or (case.header != "x" and "," not in case.header), case


def test_other_cookies_always_pass_in_their_order() -> None:
    for case in well():
        assert [pair for pair in case.passed if pair in ("theme=dark", "lang=en")] == ["theme=dark", "lang=en"], case
        kept = iter(case.pairs)
        assert all(pair in kept for pair in case.passed if pair in case.pairs), case


def test_who_is_nobody_passes_unless_it_stands_in_front_of_somebody_who_is_proven() -> None:
    for case in well():
        for name in ("session", "remember"):
            if f"{name}=-" in case.pairs:
                proven = case.companion is not None and any(
                    pair.startswith(f"{name}=") and user_of(pair.partition("=")[2]) for pair in case.passed
                )
                assert (f"{name}=-" in case.passed) != proven, case


def test_a_session_is_attached_exactly_when_a_credential_goes_with_its_companion() -> None:
    for case in well():
        visit = case.ending.visit
        goes = case.companion is not None and bool(case.users or case.header_passed)
        assert visit.session is (case.companion if goes else None), case
        assert visit.companion is case.companion, case
        assert (visit.identity is not None) == bool(case.users or case.header_passed), case


def test_only_an_open_user_in_a_browser_of_one_login_without_companion_is_adopted() -> None:
    for case in well():
        if case.ending.visit.adopting is not None:
            assert case.companion is None, case
            assert case.standing == CompanionStatus(companion_required=False), case
            assert case.users or case.header_passed, case
    assert any(case.ending.visit.adopting for case in well())


def test_what_the_visit_keeps_is_what_the_application_sees() -> None:
    for case in well():
        kept = {f"{login.name}={login.value}" for login in case.ending.visit.kept if login.places}
        assert kept == {pair for pair in case.passed if pair not in ("theme=dark", "lang=en")}, case
        assert any(not login.places for login in case.ending.visit.kept) == case.header_passed, case


def test_scopes_are_made_anew_and_never_changed() -> None:
    scope = scope_of((b"cookie", b"session=x; theme=dark"))
    visit = visit_of((b"cookie", b"session=x; theme=dark"), policy=policies()[False])
    [*endings(lambda: (visit, admit(visit, None)), lambda _: [InvalidCredential("forged")])]
    assert visit.taken is not None
    assert visit.taken.from_scope(scope)["headers"] == [(b"cookie", b"theme=dark")]
    assert scope["headers"] == [(b"cookie", b"session=x; theme=dark")]
