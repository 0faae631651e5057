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
from sessionward.request.request import Fields
from sessionward.session.identifier import Identify, app_session_digest
from sessionward.session.step import Step
from sessionward.session.steps import FindCompanionStatus, IsRevokedAppSession
from tests.companion.spelled import APP_SESSION, EARLY, FAILURE, IDENTIFIERS, LATE, STATUSES, companion_of, modes, rules_of, user_of
from tests.companion.ways import Ending, endings
from tests.support.core import opened

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
    has_id: bool
    """The application's sessions have an id of their own."""
    ending: Ending[Fields | None]

    @property
    def passed(self) -> list[str]:
        """The pairs that go on."""
        fields = self.ending.value
        if fields is None:
            return ["theme=dark", *self.pairs, "lang=en"]
        (cookie,) = [value for name, value in fields if name == b"cookie"]
        return cookie.decode().split("; ")

    @property
    def header_passed(self) -> bool:
        fields = self.ending.value
        return bool(self.header) and (fields is None or (b"x-login", self.header.encode()) in fields)

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
        return f"{self.pairs} {self.header!r}, companion {self.companion}, has_id={self.has_id}: {self.ending}"


@cache
def admitted() -> Sequence[Admitted]:
    return [*_admitted()]


def _admitted() -> Iterator[Admitted]:
    for session, remember, header, companion, has_id in product(SESSIONS, REMEMBERS, HEADERS, COMPANIONS, IDENTIFIERS):
        pairs = [*session, *remember]
        fields = [(b"cookie", "; ".join(["theme=dark", *pairs, "lang=en"]).encode())]
        if header:
            fields.append((b"x-login", header.encode()))

        def start(fields: Any = fields, companion: Any = companion, has_id: bool = has_id) -> Any:
            mode = modes()[has_id]
            context = opened(*fields, mode=mode).context
            return context, admit(rules_of(mode), context, companion)

        def answers(step: Step[Any], has_id: bool = has_id) -> Sequence[object]:
            if isinstance(step, IsRevokedAppSession):
                return (False, FAILURE)
            return STATUSES if isinstance(step, FindCompanionStatus) else (IDENTIFIERS[has_id].said(step), FAILURE)  # type: ignore[arg-type]

        for ending in endings(start, answers):
            yield Admitted(pairs, header, companion, has_id, ending)


def well() -> Iterator[Admitted]:
    """Those that did not fail."""
    return (case for case in admitted() if case.ending.raised is None)


def test_the_world_of_requests_is_as_large_as_it_should_be() -> None:
    requests = {
        (tuple(case.pairs), case.header, str(case.companion), case.companion and case.companion.app_session, case.has_id)
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


def test_no_cookie_passes_without_a_companion_once_the_user_needs_one() -> None:
    for case in well():
        if case.companion is None and isinstance(case.companion_status, CompanionStatus) and case.companion_status.companion_required:
            assert case.users == set(), case


def test_a_header_of_such_a_user_passes_only_if_it_was_issued_well_after_the_revocation() -> None:
    seen = set[bool]()
    for case in well():
        status = case.companion_status
        if case.header_passed and isinstance(status, CompanionStatus) and status.companion_required and case.header != "-":
            assert status.revoked_at is None or case.header.endswith(f"@{LATE}"), case
            seen.add(status.revoked_at is None)
    assert seen == {True, False}


def test_beside_a_companion_only_its_own_user_passes_and_only_in_its_own_session() -> None:
    for case in well():
        if case.companion is not None:
            assert case.users <= {case.companion.user_id}, case
            assert not case.header_passed or user_of(case.header) == case.companion.user_id, case
            if case.has_id and case.companion.app_session != APP_SESSION:
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
        context = case.ending.context
        goes = case.companion is not None and bool(case.users or case.header_passed)
        assert context.session is (case.companion if goes else None), case
        assert context.companion is case.companion, case
        assert (context.identity is not None) == bool(case.users or case.header_passed), case


def test_only_a_user_who_needs_no_companion_in_a_browser_of_one_login_without_companion_is_adopted() -> None:
    for case in well():
        if case.ending.context.adopting is not None:
            assert case.companion is None, case
            assert case.companion_status == CompanionStatus(companion_required=False), case
            assert case.users or case.header_passed, case
    assert any(case.ending.context.adopting for case in well())


def test_what_the_context_keeps_is_what_the_application_sees() -> None:
    for case in well():
        kept = {f"{login.name}={login.value}" for login in case.ending.context.kept if login.places}
        assert kept == {pair for pair in case.passed if pair not in ("theme=dark", "lang=en")}, case
        assert any(not login.places for login in case.ending.context.kept) == case.header_passed, case


def test_fields_are_made_anew_and_never_changed() -> None:
    mode = modes()[False]
    context = opened((b"cookie", b"session=x; theme=dark"), mode=mode).context
    sent = context.found
    (ending,) = endings(lambda: (context, admit(rules_of(mode), context, None)), lambda _: [InvalidCredential("forged")])
    assert ending.value == [(b"cookie", b"theme=dark")]
    assert sent == [(b"cookie", b"session=x; theme=dark")]
