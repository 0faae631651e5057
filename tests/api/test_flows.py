"""The world of the API's flows, enumerated: every request shape times every answer of every question, failures included."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final
from uuid import UUID

from sessionward import Session, SessionRevoked
from sessionward.api.routes import Routes
from sessionward.backends import Credential, SessionList
from sessionward.errors import RateLimited, SignInTooOld
from sessionward.modes.mode import Mode
from sessionward.response.answer import Response
from sessionward.session.steps import Find, ListSessions, RevokeOne
from tests.support.core import NOON, RIVAL, SESSION, SIGNED, TOKEN, Played, answered, mode_of, opened
from tests.test_flow import CANARY, FAILURES, FINDS, SHAPES, SITES, Shape

OTHER: Final = UUID(int=0xC0FFEE)
CANARIES: Final = [CANARY.encode(), TOKEN, RIVAL, SIGNED, Credential(TOKEN).digest.hex().encode()]


def listed(count: int) -> SessionList:
    return SessionList([Session(id=UUID(int=100 - n), user_id="ada", issued_at=NOON) for n in range(count)], total=count)


LISTS: Final[Mapping[str, object]] = {"none": listed(0), "two": listed(2), "more": listed(3), **FAILURES}
ON_TERMS: Final[Mapping[str, object]] = {"too old": SignInTooOld(CANARY), "too often": RateLimited(7.2)}
REVOKED: Final[Mapping[str, object]] = {"live": True, "not live": False, "revoked": SessionRevoked(CANARY), **ON_TERMS, **FAILURES}


@dataclass(frozen=True)
class Call:
    """What a client asks. ``last``: what the backend may answer last. ``bad``: the error id, where it asks for what there is not."""

    method: str
    path: str
    last: Mapping[str, object]
    query: bytes = b""
    bad: str = ""

    @property
    def changes(self) -> bool:
        return self.method == "DELETE"

    @property
    def question(self) -> str:
        if self.bad or "whoami" in self.path:
            return ""
        return "RevokeOne" if self.changes else "ListSessions"

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.query.decode()}"


ONCE: Final[Mapping[str, object]] = {"nothing": None}
CALLS: Final = (
    Call("GET", "/whoami", ONCE),
    Call("HEAD", "/whoami", ONCE),
    Call("GET", "", LISTS),
    Call("HEAD", "", LISTS),
    Call("GET", "", LISTS, query=b"page_size=2"),
    Call("GET", "", ONCE, query=b"page_size=0", bad="invalid_page"),
    Call("GET", "", ONCE, query=b"page_token=x", bad="invalid_page"),
    Call("DELETE", f"/{OTHER}", REVOKED),
    Call("DELETE", f"/{SESSION.id}", ONCE, bad="cannot_revoke_current_session"),
    Call("DELETE", "/nonsense", ONCE, bad="invalid_session_id"),
)


@dataclass(frozen=True)
class Case:
    """One call, and how it went."""

    call: Call
    shape: Shape
    site: str
    find: str
    last: str
    context: Any
    played: Played[Response]

    @property
    def response(self) -> Response:
        return self.played.value

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        return dict(self.response.headers)

    @property
    def may_call(self) -> bool:
        """Whether no rule against other sites refuses the call."""
        return self.shape.carrier != "cookie" or SITES[self.site][1]

    @property
    def failed(self) -> bool:
        """Whether a question that was asked had no answer."""
        kinds = self.played.kinds
        return ("Find" in kinds and self.find in FAILURES) or (len(kinds) > 1 and self.last in FAILURES)

    def __str__(self) -> str:
        return f"{self.call}, {self.shape.name}, {self.site}, find {self.find}, then {self.last}: {self.played}"


@cache
def cases() -> Sequence[Case]:
    return [*_cases()]


def _cases() -> Iterator[Case]:
    mode: Mode[Any] = mode_of(api=True, trusted_origins=["https://spa.example"], public_origin="https://app.example")
    routes = Routes(mode.settings)
    for call, shape, site, find in product(CALLS, SHAPES, SITES, FINDS):
        for last in call.last:
            if find != "found" and last != next(iter(call.last)):
                continue  # the second question is not asked
            path = f"/auth/sessions{call.path}"
            here = opened(*shape.fields, *SITES[site][0], mode=mode, path=path, method=call.method, query_string=call.query)
            route = routes.at(path.encode())
            assert route is not None
            endpoint = routes.endpoint(route, call.method, here.context.request)
            assert endpoint is not None
            answers = {Find: FINDS[find], ListSessions: call.last[last], RevokeOne: call.last[last]}
            played = answered(endpoint(*here), lambda step, answers=answers: answers[type(step)])  # type: ignore[misc]
            yield Case(call, shape, site, find, last, here.context, played)


def expected_status(case: Case) -> int:
    """Statuses in the order of CONTRACT.md 1, and after them those of section 6."""
    if case.shape.long:
        return 431
    if case.shape.reads.startswith("ambiguous"):
        return 400
    if case.call.changes and not case.may_call:
        return 403
    if case.shape.reads != "ours" or case.find in ("none", "revoked"):
        return 401
    if case.find in FAILURES:
        return 503
    if case.call.bad:
        return 400
    if case.last in FAILURES:
        return 503
    return {"revoked": 401, "too old": 403, "too often": 429}.get(case.last, 204 if case.call.changes else 200)


def test_no_exception_leaves_our_routes() -> None:
    assert len(cases()) > 10_000
    assert [str(case) for case in cases() if case.played.raised is not None] == []


def test_every_call_is_answered_by_the_order_of_the_contract() -> None:
    for case in cases():
        assert case.response.status == expected_status(case), case


def test_p7_no_success_and_no_empty_list_after_a_failure_and_no_failure_without_one() -> None:
    for case in cases():
        assert case.failed == (case.response.status == 503), case
        assert (case.response.status in (429, 503)) == (b"retry-after" in case.headers), case
        if case.failed:
            assert b"x-total-count" not in case.headers, case


def test_nothing_is_asked_before_every_refusal_that_needs_no_answer() -> None:
    for case in cases():
        if case.response.status == 431 or case.shape.reads != "ours" or (case.call.changes and not case.may_call):
            assert case.played.asked == [], case


def test_p8_only_the_session_that_was_found_asks_and_only_for_its_own_user() -> None:
    for case in cases():
        first, *rest = case.played.asked or [Find(Credential(TOKEN))]
        assert first == Find(Credential(TOKEN)), case
        assert case.played.kinds == ["Find", case.call.question] if rest else not rest, case
        for step in rest:
            assert case.find == "found", case
            if isinstance(step, ListSessions):
                assert (step.user_id, step.without, step.after) == (SESSION.user_id, SESSION.id, None), case
            else:
                assert isinstance(step, RevokeOne), case
                assert step.session is SESSION, case
                assert step.id == OTHER, case


def test_a_session_that_was_live_and_one_that_was_not_get_the_same_answer() -> None:
    answers: dict[tuple[str, str], set[str]] = {}
    for case in cases():
        if case.last in ("live", "not live") and case.response.status == 204:
            answers.setdefault((case.shape.name, case.site), set()).add(repr(case.response))
    assert answers
    assert all(len(same) == 1 for same in answers.values())


def test_a_list_has_what_the_backend_says_and_no_more_than_the_page() -> None:
    seen: set[tuple[int, bool]] = set()
    for case in cases():
        if case.response.status == 200 and case.call.path == "" and case.call.method == "GET":
            total = {"none": 0, "two": 2, "more": 3}[case.last]
            shown = json.loads(case.response.body)
            assert len(shown) == min(total, 2 if case.call.query else 250), case
            assert case.headers[b"x-total-count"] == str(total).encode(), case
            has_next = b'rel="next"' in case.headers[b"link"]
            assert has_next == (len(shown) < total), case
            seen.add((len(shown), has_next))
    assert seen == {(0, False), (2, False), (2, True), (3, False)}


def test_head_asks_the_same_and_gets_the_same_head_as_get() -> None:
    def key(case: Case) -> tuple[object, ...]:
        return case.call.path, case.call.query, case.shape.name, case.site, case.find, case.last

    gets = {key(case): case for case in cases() if case.call.method == "GET"}
    heads = [case for case in cases() if case.call.method == "HEAD"]
    assert heads
    for head in heads:
        get = gets[key(head)]
        assert head.response.body == b"", head
        assert (head.response.status, head.played.kinds) == (get.response.status, get.played.kinds), head
        if get.response.status == 200:
            assert head.response.headers == get.response.headers, head


def test_no_answer_sets_a_cookie_or_shows_a_credential_or_the_words_of_a_driver() -> None:
    for case in cases():
        shown = case.response.body + b"".join(value for _, value in case.response.headers)
        assert not any(canary in shown for canary in CANARIES), case
        assert b"set-cookie" not in case.headers, case
        assert case.context.cookie is None, case


def test_a_read_is_a_use_of_the_session_and_a_change_is_none() -> None:
    for case in cases():
        reads = not case.call.changes and case.played.kinds[:1] == ["Find"] and case.find == "found"
        assert case.context.session is (SESSION if reads else None), case
