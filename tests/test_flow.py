"""The world of the flows, enumerated: every request shape times every answer of every question, failures included.

Each test asserts one claim over all of it. What is random elsewhere is counted here.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionward import BackendUnavailable, NotSignedIn, OutcomeUnknown, Session, SessionRevoked, StaleLogin, UsageError
from sessionward.backends import Credential, Device, RateLimited, RevokedCount, SignInTooOld
from sessionward.backends.memory import MemoryBackend
from sessionward.context import MAX_USER_AGENT
from sessionward.credential.token import is_token, new_token
from sessionward.door.handle import began, context_of
from sessionward.door.parts import Door
from sessionward.drive import SyncDriver
from sessionward.flow import begin_login, current, login, logout, on_request, revoke_all, revoke_others, revoke_others_endpoint
from sessionward.handle.sessions import Sessions
from sessionward.modes.mode import Mode
from sessionward.modes.own import Own
from sessionward.request.request import Fields
from sessionward.response.answer import Response
from sessionward.session.session import user_key
from sessionward.session.step import Step
from sessionward.session.steps import BeginLogin, Find, Login, Revoke, RevokeAll, RevokeOthers
from tests.support.core import (
    NAME,
    PAIR,
    RIVAL,
    SESSION,
    SIGNED,
    SIGNED_RIVAL,
    TOKEN,
    UNCHECKED,
    Field,
    FindsAndEnds,
    Opened,
    OverCarriers,
    Played,
    answer_of,
    answered,
    environ_of,
    mode_of,
    opened,
    play,
    signed_in,
)

CANARY = "canary-of-a-driver"

# --- what a client may send -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """The credentials of a request, and what they amount to by the contract."""

    name: str
    fields: tuple[Field, ...]
    reads: str
    """``nothing``, ``ours``, ``invalid``, ``foreign``, ``ambiguous``, ``ambiguous foreign``"""
    carrier: str
    """``nothing``, ``header``, ``cookie``"""
    long: bool = False
    beside: bytes | None = None
    """The token that our cookie proves beside a header that decides; empty if it proves none."""


def cookie(*values: bytes, padding: int = 0) -> Field:
    pairs = [NAME + b"=" + value for value in values]
    return (b"cookie", b"; ".join([*pairs, b"p=" + b"x" * padding] if padding else pairs))


def token(value: bytes) -> Field:
    return (b"x-session-token", value)


def bearer(value: bytes) -> Field:
    return (b"authorization", b"Bearer " + value)


SHAPES = (
    Shape("no credential", (), "nothing", "nothing"),
    Shape("cookies of the application", ((b"cookie", b"a=1; session=x"),), "nothing", "nothing"),
    Shape("bearer of the application", (bearer(b"eyJ.x.y"),), "nothing", "nothing"),
    Shape("token", (token(TOKEN),), "ours", "header"),
    Shape("bearer", (bearer(TOKEN),), "ours", "header"),
    Shape("cookie", (cookie(SIGNED),), "ours", "cookie"),
    Shape("same cookie twice", (cookie(SIGNED, SIGNED),), "ours", "cookie"),
    Shape("token over another cookie", (token(TOKEN), cookie(SIGNED_RIVAL)), "ours", "header", beside=RIVAL),
    Shape("token over a forged cookie", (token(TOKEN), cookie(b"a")), "ours", "header", beside=b""),
    Shape("bearer over the same cookie", (bearer(TOKEN), cookie(SIGNED)), "ours", "header"),
    Shape("token over two other cookies", (token(TOKEN), cookie(SIGNED, SIGNED_RIVAL)), "ours", "header", beside=b""),
    Shape("forged cookie", (cookie(SIGNED[:-1]),), "invalid", "cookie"),
    Shape("empty cookie", (cookie(b""),), "invalid", "cookie"),
    Shape("foreign token", (token(b"guest"),), "foreign", "header"),
    Shape("token whose check fails over a cookie", (token(UNCHECKED), cookie(SIGNED)), "foreign", "header", beside=TOKEN),
    Shape("two tokens", (token(TOKEN), token(RIVAL)), "ambiguous", "header"),
    Shape("token and another bearer", (token(TOKEN), bearer(RIVAL), cookie(SIGNED)), "ambiguous", "header"),
    Shape("two foreign tokens", (token(b"a"), token(b"b"), cookie(SIGNED)), "ambiguous foreign", "header", beside=TOKEN),
    Shape("two cookies", (cookie(SIGNED, SIGNED_RIVAL),), "ambiguous", "cookie"),
    Shape("two forged cookies", (cookie(b"a", b"b"),), "invalid", "cookie"),
    Shape("ours and a planted one", (cookie(b"a", SIGNED),), "ours", "cookie"),
    Shape("long cookie", (cookie(SIGNED, padding=16_384),), "ours", "cookie", long=True),
    Shape("long cookie in two fields", (cookie(SIGNED, padding=8_192), (b"cookie", b"q=" + b"x" * 8_192)), "ours", "cookie", long=True),
    Shape("long cookie beside a token", (token(TOKEN), (b"cookie", b"x" * 16_385)), "ours", "header", long=True),
    Shape("long cookie beside two tokens", (token(TOKEN), token(RIVAL), (b"cookie", b"x" * 16_385)), "ambiguous", "header", long=True),
    Shape("cookie as long as is allowed", (cookie(SIGNED, padding=16_384 - len(PAIR) - 4),), "ours", "cookie"),
)

CROSS = ((b"sec-fetch-site", b"cross-site"), (b"origin", b"https://evil.example"))
SITES: Mapping[str, tuple[tuple[Field, ...], bool]] = {
    # fields, may call
    "not a browser": ((), True),
    "a script that says so": (((b"x-requested-with", b"curl"),), True),
    "own page": (((b"sec-fetch-site", b"same-origin"), (b"origin", b"https://app.example")), True),
    "page of another site": (CROSS, False),
    "sibling": (((b"sec-fetch-site", b"same-site"), (b"origin", b"https://x.app.example")), False),
    "trusted sibling": (((b"sec-fetch-site", b"same-site"), (b"origin", b"https://spa.example")), True),
}

FAILURES: Mapping[str, Exception] = {
    "unavailable": BackendUnavailable(CANARY),
    "unknown": OutcomeUnknown(CANARY),
    "of another kind": RuntimeError(CANARY),
    "late": TimeoutError(CANARY),
    "refused": ConnectionRefusedError(CANARY),
    "stale": StaleLogin(CANARY),
}
FINDS: Mapping[str, object] = {"found": SESSION, "none": None, "revoked": SessionRevoked(CANARY), **FAILURES}
REFUSALS: Mapping[str, Exception] = {"too old": SignInTooOld(CANARY), "too often": RateLimited(12.2)}
COUNTS: Mapping[str, object] = {
    "0": 0,
    "3": 3,
    "2 and a generation": RevokedCount(2, 5),
    "revoked": SessionRevoked(CANARY),
    **REFUSALS,
    **FAILURES,
}


# --- our route --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One call of our route, and how it went."""

    shape: Shape
    site: str
    debug: bool
    find: str
    count: str
    here: Opened
    played: Played[Response]

    @property
    def response(self) -> Response:
        return self.played.value

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.response.body).get("error", {})
        return error

    @property
    def may_call(self) -> bool:
        return SITES[self.site][1]

    def __str__(self) -> str:
        return f"{self.shape.name}, {self.site}, find {self.find}, revoke {self.count}: {self.response.status}"


@cache
def modes() -> Mapping[tuple[str, bool], Mode[Any]]:
    return {
        (on_invalid, debug): mode_of(
            on_invalid=on_invalid,
            debug=debug,
            trusted_origins=["https://spa.example"],
            public_origin="https://app.example",
            exempt_paths=["/static/"],
        )
        for on_invalid, debug in product(("strip", "reject"), (False, True))
    }


@cache
def calls() -> Sequence[Call]:
    return [*_calls()]


def _calls() -> Iterator[Call]:
    for (on_invalid, debug), mode in modes().items():
        for shape, site, find, count in product(SHAPES, SITES, FINDS, COUNTS):
            if (find != "found" and count != "0") or (on_invalid == "reject" and debug):
                continue  # the second question is not asked; and these two do not meet
            here = opened(*shape.fields, *SITES[site][0], mode=mode, path="/auth/sessions", method="DELETE")
            answers: Mapping[type[Step[Any]], object] = {Find: FINDS[find], RevokeOthers: COUNTS[count]}
            played = answered(revoke_others_endpoint(*here), lambda step, answers=answers: answers[type(step)])  # type: ignore[misc]
            yield Call(shape, site, debug, find, count, here, played)


def expected_status(call: Call) -> int:
    """Statuses in the order of the contract's table."""
    if call.shape.long:
        return 431
    if call.shape.reads.startswith("ambiguous"):
        return 400
    if call.shape.carrier == "cookie" and not call.may_call:
        return 403
    if call.shape.reads != "ours" or call.find in ("none", "revoked"):
        return 401
    if call.find in FAILURES:
        return 503
    return {"revoked": 401, "too old": 403, "too often": 429}.get(call.count, 503 if call.count in FAILURES else 200)


def test_the_world_is_as_large_as_it_should_be() -> None:
    assert len(calls()) == len(SHAPES) * len(SITES) * (len(FINDS) - 1 + len(COUNTS)) * 3


def test_no_exception_leaves_our_route() -> None:
    assert [call.played.raised for call in calls() if call.played.raised is not None] == []


def test_every_call_is_answered_by_the_order_of_the_table() -> None:
    for call in calls():
        assert call.response.status == expected_status(call), call


def test_only_a_known_live_client_revokes_sessions() -> None:
    for call in calls():
        if RevokeOthers.__name__ in call.played.kinds:
            assert call.played.kinds == ["Find", "RevokeOthers"], call
            assert call.find == "found", call
            assert call.shape.reads == "ours", call


def test_p8_exactly_the_session_that_was_found_asks_and_nothing_else_is_asked() -> None:
    for call in calls():
        for step in call.played.asked:
            assert step == Find(Credential(TOKEN)) or (isinstance(step, RevokeOthers) and step.session is SESSION), call


def test_nothing_is_asked_before_every_refusal_that_needs_no_answer() -> None:
    for call in calls():
        if call.response.status in (431, 400) or call.error.get("id") == "security_csrf_violation" or call.shape.reads != "ours":
            assert call.played.asked == [], call


def test_p7_no_success_after_a_failure_and_no_401_for_one() -> None:
    for call in calls():
        failed = "Find" in call.played.kinds and call.find in FAILURES
        failed = failed or ("RevokeOthers" in call.played.kinds and call.count in FAILURES)
        assert failed == (call.response.status == 503), call


def test_a_sign_in_that_is_too_old_and_a_call_too_often_are_told_as_such() -> None:
    seen = {call.count: call.error["id"] for call in calls() if "RevokeOthers" in call.played.kinds and call.count in REFUSALS}
    assert seen == {"too old": "session_refresh_required", "too often": "rate_limited"}


def test_an_unknown_outcome_is_told_as_such() -> None:
    for call in calls():
        if call.response.status == 503:
            unknown = "unknown" in (call.find, call.count) if call.find == "found" else call.find == "unknown"
            assert call.error["id"] == ("outcome_unknown" if unknown else "backend_unavailable"), call
            retry = dict(call.response.headers)[b"retry-after"]
            assert 1 <= int(retry) <= 5, call
        elif call.response.status == 429:
            assert dict(call.response.headers)[b"retry-after"] == b"13", call
        else:
            assert b"retry-after" not in dict(call.response.headers), call


def test_p5_the_count_is_the_backends() -> None:
    seen = set[str]()
    for call in calls():
        if call.response.status == 200:
            assert json.loads(call.response.body) == {"count": int(COUNTS[call.count])}, call  # type: ignore[call-overload]
            seen.add(call.count)
    assert seen == {"0", "3", "2 and a generation"}


def test_no_answer_of_our_route_sets_or_clears_a_cookie() -> None:
    for call in calls():
        assert b"set-cookie" not in dict(call.response.headers), call
        assert call.here.context.cookie is None, call
        assert call.here.context.session is None, call


def test_all_401s_are_alike_apart_from_the_request_and_the_challenge_of_their_carrier() -> None:
    seen: dict[tuple[str, str], set[str]] = {}
    for call in calls():
        if call.response.status == 401 and not call.debug:
            error = {key: value for key, value in call.error.items() if key != "request"}
            headers = sorted((name, value) for name, value in call.response.headers if name != b"content-length")
            kind = (call.shape.carrier, "trusted" if call.site == "trusted sibling" else "")
            seen.setdefault(kind, set()).add(repr((error, headers)))
    assert len(seen) == 6
    assert all(len(answers) == 1 for answers in seen.values()), seen


def test_only_a_token_in_a_header_is_called_invalid() -> None:
    for call in calls():
        if call.response.status == 401:
            expected = b'Bearer error="invalid_token"' if call.shape.carrier == "header" else b"Bearer"
            assert dict(call.response.headers)[b"www-authenticate"] == expected, call
        else:
            assert b"www-authenticate" not in dict(call.response.headers), call


def test_no_answer_shows_a_credential_or_the_words_of_a_driver() -> None:
    secrets = [CANARY.encode(), TOKEN, RIVAL, SIGNED, Credential(TOKEN).digest.hex().encode(), b"guest"]
    for call in calls():
        shown = call.response.body + b"".join(value for _, value in call.response.headers)
        assert not any(secret in shown for secret in secrets), call


def test_reasons_are_shown_only_while_debugging() -> None:
    for call in calls():
        assert ("debug" in call.error) == (call.debug and call.response.status in (401, 503)), call


def test_trusted_origins_may_read_every_answer_and_no_other_page_may() -> None:
    for call in calls():
        headers = dict(call.response.headers)
        assert (headers.get(b"access-control-allow-origin") == b"https://spa.example") == (call.site == "trusted sibling"), call
        assert (b"access-control-allow-credentials" in headers) == (call.site == "trusted sibling"), call


# --- all other routes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Admitted:
    """One request for a route of the application, and how it went."""

    shape: Shape
    site: str
    on_invalid: str
    exempt: bool
    find: str
    beside: str
    """What the backend says of the cookie beside a header, or empty if it is not asked."""
    here: Opened
    played: Played[Response | Fields | None]

    @property
    def is_judged_beside(self) -> bool:
        """Whether a header has decided beside which our cookie is judged."""
        decides = self.find == "found" if self.shape.reads == "ours" else self.shape.reads in ("foreign", "ambiguous foreign")
        return decides and not self.exempt and self.shape.beside is not None

    @property
    def without_cookie(self) -> list[Field]:
        """The fields that credentials travel in, without our cookie."""
        return [field for field in self.shape.fields if field[0] != b"cookie"]

    @property
    def status(self) -> int | None:
        """Of our own answer, if it was one."""
        result = self.played.value
        return int(result.status) if isinstance(result, Response) else None

    @property
    def without_ours(self) -> list[Field]:
        """The fields that credentials travel in, without any of ours."""
        left = [(name, b"; ".join(p for p in value.split(b"; ") if not p.startswith(NAME + b"="))) for name, value in self.shape.fields]
        tokens = TOKEN, RIVAL, b"Bearer " + TOKEN, b"Bearer " + RIVAL
        return [(name, value) for name, value in left if value and value not in tokens]

    def __str__(self) -> str:
        asked = f"find {self.find}, {self.beside}"
        return f"{self.shape.name}, {self.site}, on_invalid={self.on_invalid}, exempt={self.exempt}, {asked}: {self.played}"


@cache
def admitted() -> Sequence[Admitted]:
    return [*_admitted()]


def _admitted() -> Iterator[Admitted]:
    for on_invalid in ("strip", "reject"):
        for shape, site, exempt, method, find in product(SHAPES, SITES, (False, True), ("GET", "POST"), FINDS):
            path = "/static/app.css" if exempt else "/work"
            for beside in FINDS if shape.beside and (find == "found" or shape.reads != "ours") else ("",):
                here = opened(*shape.fields, *SITES[site][0], mode=modes()[on_invalid, False], path=path, method=method)
                answers = [FINDS[find]] * (shape.reads == "ours") + [FINDS.get(beside)]
                yield Admitted(shape, site, on_invalid, exempt, find, beside, here, play(on_request(*here), *answers))


def test_no_exception_leaves_the_flow() -> None:
    assert [case.played.raised for case in admitted() if case.played.raised is not None] == []


def test_only_a_credential_that_may_be_live_costs_a_question_and_an_exempt_path_none() -> None:
    for case in admitted():
        asked = [Find(Credential(TOKEN))] if case.shape.reads == "ours" and not case.exempt else []
        if case.is_judged_beside and case.shape.beside:
            asked.append(Find(Credential(case.shape.beside)))
        assert case.played.asked == asked, case


def test_a_session_is_attached_exactly_when_it_was_found() -> None:
    for case in admitted():
        found = bool(case.played.asked) and case.find == "found" and case.shape.reads == "ours"
        assert case.here.context.session is (SESSION if found else None), case
        assert case.here.context.credential == (Credential(TOKEN) if found else None), case
        assert case.here.context.cookie is None, case


def test_an_invalid_credential_never_reaches_the_application() -> None:
    for case in admitted():
        invalid = case.shape.reads == "invalid" or (case.shape.reads == "ours" and case.find == "none")
        if invalid and not case.exempt:
            if case.on_invalid == "reject":
                assert case.status == 401, case
            else:
                assert case.played.value == case.without_ours, case


def test_a_cookie_beside_a_header_is_judged_by_itself() -> None:
    for case in admitted():
        if case.is_judged_beside and (not case.shape.beside or case.beside == "none"):
            assert case.played.value == case.without_cookie, case


def test_an_exempt_path_passes_without_our_credential() -> None:
    for case in admitted():
        if case.exempt:
            assert case.played.value == case.without_ours, case
            assert case.here.context.session is None, case


def test_p7_a_failure_is_503_and_passes_nobody() -> None:
    for case in admitted():
        first = case.shape.reads == "ours" and not case.exempt and (case.find in FAILURES or case.find == "revoked")
        failed = first or (case.is_judged_beside and (case.beside in FAILURES or case.beside == "revoked"))
        assert failed == (case.status == 503), case


def test_ambiguous_credentials_of_ours_are_refused_on_every_route_and_foreign_ones_never() -> None:
    for case in admitted():
        if not case.exempt:
            assert (case.status == 400) == (case.shape.reads == "ambiguous"), case


def test_a_request_passes_as_it_came_only_with_a_live_session_or_without_a_credential_of_ours() -> None:
    for case in admitted():
        as_it_came = case.played.value is None
        live = case.shape.reads == "ours" and case.find == "found"
        nothing = case.shape.reads in ("nothing", "foreign", "ambiguous foreign")
        beside = not case.is_judged_beside or case.beside == "found"
        assert as_it_came == ((live or nothing) and beside and not case.exempt), case


def test_the_cross_site_rule_and_the_limit_of_the_cookie_are_for_our_route_only() -> None:
    assert {case.status for case in admitted()} == {None, 400, 401, 503}
    for case in admitted():
        assert (case.status == 401) <= (case.on_invalid == "reject"), case


def test_a_question_before_the_application_finds_and_never_writes() -> None:
    assert {step.writes for case in admitted() for step in case.played.asked} == {False}


# --- the head of the application's answer -----------------------------------------------------------------------------

PLAIN: Fields = (
    (b"content-type", b"text/html"),
    (b"Cache-Control", b"public, max-age=60"),
    (b"Expires", b"x"),
    (b"CDN-Cache-Control", b"y"),
)
OTHERS: Fields = (
    (b"set-cookie", b"theme=dark"),
    (b"Set-Cookie", NAME + b"x=1"),
    (b"set-cookie", b"x" + NAME + b"=1"),
    (b"set-cookie", b"a=" + NAME + b"=1"),
    (b"x-set-cookie", NAME + b"=1"),
    (b"set-cookie", NAME.lower() + b"=1"),
)
HEADS: Mapping[str, tuple[Fields, bool]] = {
    # the head, and whether it sets our cookie
    "nothing": ((), False),
    "plain": (PLAIN, False),
    "cookies of its own": ((*PLAIN, *OTHERS), False),
    "our cookie": ((*PLAIN, (b"set-cookie", PAIR + b"; Path=/")), True),
    "our cookie and others, in any case": ((*OTHERS, (b"SET-COOKIE", PAIR), *PLAIN, (b"Set-Cookie", b" " + NAME + b" = x")), True),
    "our cookie cleared": (((b"Set-Cookie", NAME + b"=; Max-Age=0"),), True),
}
FRESH = NAME + b"=fresh; Path=/"


@dataclass(frozen=True)
class Answered:
    """The head of an answer on its way out, and how it went."""

    head: Fields
    sets_ours: bool
    known: bool
    ours: bool
    find: str
    played: Played[Fields]

    @property
    def goes_out(self) -> list[tuple[bytes, bytes]]:
        """Cookies of our name in the head that goes out."""
        return [(n, v) for n, v in self.played.value if n.lower() == b"set-cookie" and v.split(b"=")[0].strip() == NAME]

    @property
    def rest(self) -> list[tuple[bytes, bytes]]:
        """What the application wrote that is not a cookie of our name."""
        return [(n, v) for n, v in self.head if not (n.lower() == b"set-cookie" and v.split(b"=")[0].strip() == NAME)]

    def __str__(self) -> str:
        return f"{self.head}, known={self.known}, ours={self.ours}, find {self.find}: {self.played}"


@cache
def answers() -> Sequence[Answered]:
    cases: list[Answered] = []
    for (head, sets_ours), known, ours, find in product(HEADS.values(), (False, True), (False, True), FINDS):
        here = signed_in() if known else opened()
        here.context.cookie = FRESH if ours else None
        cases.append(Answered(head, sets_ours, known, ours, find, play(here.mode.on_response(here.context, head), FINDS[find])))
    return cases


def test_no_failure_costs_the_application_its_answer() -> None:
    assert [case.played.raised for case in answers() if case.played.raised is not None] == []


def test_p9_the_second_look_is_taken_only_if_a_cookie_of_ours_goes_out() -> None:
    for case in answers():
        looks = (case.ours or case.sets_ours) and case.known
        assert case.played.asked == ([Find(Credential(TOKEN))] if looks else []), case


def test_exactly_a_head_that_a_cookie_of_ours_goes_out_with_is_looked_at() -> None:
    for (head, sets_ours), known, ours in product(HEADS.values(), (False, True), (False, True)):
        here = signed_in() if known else opened()
        here.context.cookie = FRESH if ours else None
        set_cookies = [field for field in head if field[0].lower() == b"set-cookie"]
        for seen in (head, set_cookies):
            assert here.mode.touches(here.context, seen) == (ours or sets_ours)


def test_a_head_without_a_cookie_of_ours_is_handed_on_as_it_is() -> None:
    for case in answers():
        if not case.ours and not case.sets_ours:
            assert case.played.value is case.head, case


def test_p9_no_cookie_of_ours_goes_out_for_a_session_that_was_revoked_or_a_backend_that_cannot_answer() -> None:
    for case in answers():
        if case.played.asked and case.find != "found":
            assert case.goes_out == [], case
            assert list(case.played.value) == case.rest, case


def test_a_live_session_has_its_cookie_once_and_no_cache_keeps_it() -> None:
    for case in answers():
        if case.ours and (not case.known or case.find == "found"):
            assert case.goes_out == [(b"set-cookie", FRESH)], case
            caching = [(n, v) for n, v in case.played.value if n.lower() in (b"cache-control", b"expires", b"cdn-cache-control")]
            assert caching == [(b"cache-control", b"no-store")], case
            assert [h for h in case.rest if h not in PLAIN[1:]] == [h for h in case.played.value if h in case.rest], case


def test_a_cookie_that_the_application_sets_itself_passes_while_its_session_lives() -> None:
    for case in answers():
        if case.sets_ours and not case.ours and (not case.known or case.find == "found"):
            assert case.played.value == case.head, case


# --- what the application asks for ------------------------------------------------------------------------------------

BOB = Session(id=UUID(int=2), user_id="bob", generation=1)
MINTED = Session(id=UUID(int=3), user_id="ada", generation=4)
FORM: dict[str, Any] = {"methods": ("password",), "persistent": True, "ticket": None}


def remembered(here: Opened) -> tuple[object, ...]:
    context = here.context
    return (context.session, context.credential, context.cookie, dict(context.generations))


CALLERS: Mapping[str, Callable[[], Opened]] = {
    "nobody": opened,
    "ada": signed_in,
    "bob": lambda: signed_in(session=BOB),
}
who_calls = pytest.mark.parametrize("caller", CALLERS)
all_failures = pytest.mark.parametrize("failure", [*FAILURES.values(), SessionRevoked(CANARY)], ids=[*FAILURES, "revoked"])


@who_calls
@pytest.mark.parametrize("persistent", [False, True])
def test_login_starts_a_session_in_place_of_the_one_before_and_sets_its_cookie(caller: str, persistent: bool) -> None:
    here = CALLERS[caller]()
    before = here.context.session
    played = play(login(*here, "ada", ticket=None, methods=["totp", "password"], persistent=persistent), MINTED)
    secret = played.value.encode()
    (asked,) = played.asked
    assert isinstance(asked, Login)
    new = asked.new
    assert new.replaces is before
    assert (new.user_id, new.digest, new.generation, new.lifetime) == ("ada", Credential(secret).digest, None, 14 * 86_400.0)
    assert (new.age(), new.methods, new.app_session) == (0.25, ("totp", "password"), None)
    assert is_token(secret)
    assert here.context.session is MINTED
    assert here.context.credential == Credential(secret)
    pair, *attributes = (here.context.cookie or b"").split(b"; ")
    assert isinstance(here.mode, Own)
    assert pair == NAME + b"=" + here.mode.own.signature.sign(secret)
    assert attributes == [*([b"Max-Age=1209600"] if persistent else []), b"Path=/", b"Secure", b"HttpOnly", b"SameSite=Lax"]


def test_login_tells_the_backend_the_device() -> None:
    here = opened((b"user-agent", b"\xffFirefox " + b"x" * 600), client=("192.0.2.7", 1234))
    asked = play(login(*here, "ada", **FORM), MINTED).asked[0]
    assert isinstance(asked, Login)
    assert asked.new.device == Device(ip_address="192.0.2.7", user_agent=("\ufffdFirefox " + "x" * 600)[:MAX_USER_AGENT])


@pytest.mark.parametrize("fields", [[], [(b"user-agent", b"")]], ids=["no header", "an empty one"])
def test_login_of_a_device_that_says_nothing(fields: list[Field]) -> None:
    asked = play(login(*opened(*fields), "ada", **FORM), MINTED).asked[0]
    assert isinstance(asked, Login)
    assert asked.new.device == Device(ip_address=None, user_agent=None)


def test_control_characters_of_a_device_are_kept_from_the_backend() -> None:
    asked = play(login(*opened((b"user-agent", b"a\x00b\nc\x1b[31m\x7f\xc2\x85d")), "ada", **FORM), MINTED).asked[0]
    assert isinstance(asked, Login)
    assert asked.new.device.user_agent == "a b c [31m  d"


@pytest.mark.parametrize(
    "methods",
    ["password", ["Password"], ["pass word"], [""], ["x" * 33], ["a\n"], ["é"], [1], [None], 5],
    ids=["a text", "upper case", "blank", "empty", "33 letters", "line feed", "not ASCII", "a number in it", "None in it", "a number"],
)
def test_wrong_methods_are_a_mistake_and_ask_nothing(methods: Any) -> None:
    played = play(login(*opened(), "ada", ticket=None, methods=methods, persistent=True))
    assert type(played.raised) is UsageError
    assert played.asked == []


@pytest.mark.parametrize("methods", [[], ["totp", "lookup_secret", "x" * 32], ("oidc2",)], ids=["none", "several", "a tuple"])
def test_methods_reach_the_backend_in_their_order(methods: Sequence[str]) -> None:
    asked = play(login(*opened(), "ada", ticket=None, methods=methods, persistent=True), MINTED).asked[0]
    assert isinstance(asked, Login)
    assert asked.new.methods == tuple(methods)


@who_calls
@all_failures
def test_a_login_that_failed_changes_nothing_and_sets_no_cookie(caller: str, failure: Exception) -> None:
    here = CALLERS[caller]()
    before = remembered(here)
    played = play(login(*here, "ada", **FORM), failure)
    assert played.raised is failure
    assert remembered(here) == before


def test_a_failed_login_shows_no_token_in_a_traceback_with_locals(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def noted() -> str:
        seen.append(new_token())
        return seen[-1]

    monkeypatch.setattr("sessionward.flow.new_token", noted)
    failure = play(login(*opened(), "ada", **FORM), OutcomeUnknown("it fell silent")).raised
    assert failure is not None
    text = "".join(traceback.TracebackException.from_exception(failure, capture_locals=True).format())
    assert "in login" in text
    assert seen[0] not in text


@who_calls
def test_logout_revokes_exactly_the_callers_session_and_clears_the_cookie(caller: str) -> None:
    here = CALLERS[caller]()
    before = here.context.session
    played = play(logout(*here), True)
    assert played.value is None
    assert played.asked == ([] if before is None else [Revoke(before.user_id, before.id)])
    assert (here.context.session, here.context.credential) == (None, None)
    assert here.context.cookie == NAME + b"=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"


@all_failures
def test_p7_a_logout_that_failed_clears_no_cookie(failure: Exception) -> None:
    here = signed_in()
    before = remembered(here)
    assert play(logout(*here), failure).raised is failure
    assert remembered(here) == before


def test_a_backend_may_record_that_the_session_itself_has_signed_out() -> None:
    class Records:
        def revoke(self, user_id: str, id: UUID, /) -> str:
            return f"revoked {user_id} {id}"

    class RecordsWho(Records):
        def revoke_own(self, user_id: str, id: UUID, /) -> str:
            return f"{user_id} {id} signed out"

    step = Revoke("ada", SESSION.id)
    assert step.ask(Records()) == f"revoked ada {SESSION.id}"
    assert step.ask(RecordsWho()) == f"ada {SESSION.id} signed out"


def test_logout_twice_is_logout_once() -> None:
    here = signed_in()
    assert play(logout(*here), True).kinds == ["Revoke"]
    once = remembered(here)
    assert play(logout(*here)).kinds == []
    assert remembered(here) == once


@pytest.mark.parametrize("count", [0, 3, RevokedCount(2, 5)], ids=["none", "three", "two and a generation"])
def test_revoke_others_of_the_application_asks_for_exactly_the_caller(count: int) -> None:
    here = signed_in()
    played = play(revoke_others(*here), count)
    assert played.asked == [RevokeOthers(SESSION)]
    assert played.value == int(count)
    assert type(played.value) is int
    assert remembered(here) == (SESSION, Credential(TOKEN), None, {"ada": 5} if isinstance(count, RevokedCount) else {})


def test_revoke_others_of_nobody_is_a_mistake_and_asks_nothing() -> None:
    played = play(revoke_others(*opened()))
    assert isinstance(played.raised, NotSignedIn)
    assert played.asked == []


@all_failures
@pytest.mark.parametrize("verb", ["revoke_others", "revoke_all", "begin_login"])
def test_no_success_after_a_failure(verb: str, failure: Exception) -> None:
    here = signed_in()
    before = remembered(here)
    played: Played[Any] = play(VERBS[verb](here), failure)
    assert played.raised is failure
    assert remembered(here) == before


@who_calls
@pytest.mark.parametrize("count", [0, 3, RevokedCount(2, 5)], ids=["none", "three", "two and a generation"])
def test_revoke_all_forgets_the_caller_only_if_the_user_is_theirs(caller: str, count: int) -> None:
    here = CALLERS[caller]()
    here.context.cookie = FRESH
    session = here.context.session
    played = play(revoke_all(*here, "ada"), count)
    assert played.asked == [RevokeAll("ada")]
    assert played.value == int(count)
    assert type(played.value) is int
    assert here.context.session is (None if caller == "ada" else session)
    assert (here.context.credential is None) == (caller != "bob")
    assert here.context.cookie == (None if caller == "ada" else FRESH)
    assert here.context.generations == ({"ada": 5} if isinstance(count, RevokedCount) else {})


# --- P3: sign-ins that began before a revocation ----------------------------------------------------------------------


def generation_of(here: Opened, user: object, ticket: object = None) -> int | None:
    asked = play(login(*here, user, **{**FORM, "ticket": ticket}), MINTED).asked[0]
    assert isinstance(asked, Login)
    return asked.new.generation


def test_p3_the_generation_that_this_request_set_is_the_ticket_of_its_login() -> None:
    here = signed_in()
    play(revoke_others(*here), RevokedCount(2, 5))
    assert generation_of(here, "ada") == 5
    play(revoke_all(*here, "ada"), RevokedCount(1, 6))
    assert generation_of(here, "ada") == 6
    assert generation_of(here, "bob") is None


def test_p3_a_generation_is_of_one_user_however_the_id_is_written() -> None:
    here = opened()
    play(revoke_all(*here, 7), RevokedCount(0, 3))
    assert generation_of(here, "7") == 3
    assert generation_of(here, "07") is None


def test_p3_a_ticket_carries_the_generation_to_the_login_of_its_user_and_wins_over_the_requests_own() -> None:
    played = play(begin_login(mode_of(), "ada"), 41)
    assert played.asked == [BeginLogin("ada")]
    assert generation_of(opened(), "ada", played.value) == 41
    here = opened()
    play(revoke_all(*here, "ada"), RevokedCount(0, 99))
    assert generation_of(here, "ada", played.value) == 41


def test_a_ticket_does_not_show_whose_it_is() -> None:
    assert "ada" not in play(begin_login(mode_of(), "ada"), 41).value


def tickets() -> Mapping[str, str]:
    good = play(begin_login(mode_of(), "ada"), 41).value
    dotted = play(begin_login(mode_of(), "1.ada"), 4).value
    other = mode_of(audience="shop")
    return {
        "empty": "",
        "no signature": "41",
        "of another user": play(begin_login(mode_of(), "bob"), 41).value,
        "of the user in other case": play(begin_login(mode_of(), "Ada"), 41).value,
        "of a user whose id swallows the generation": dotted,
        "its dot moved": "4." + good.removeprefix("41."),
        "raised": good.replace("41", "42"),
        "zero in front": "0" + good,
        "in digits of another script": good.replace("41", "\u0664\u0661"),
        "negative": "-" + good,
        "truncated": good[:-1],
        "longer": good + "A",
        "padded": good + "=",
        "with a blank": good + " ",
        "of another audience": play(begin_login(other, "ada"), 41).value,
        "a cookie": "41." + SIGNED.decode().rpartition(".")[2],
        "a lone surrogate": "41.\ud800",
        "a NUL": "41.\x00",
        "very long": "9" * 10_000 + ".x",
    }


@pytest.mark.parametrize("ticket", tickets().values(), ids=tickets())
def test_p3_what_was_not_signed_for_this_user_is_stale_and_asks_nothing(ticket: str) -> None:
    here = signed_in()
    before = remembered(here)
    played = play(login(*here, "ada", **{**FORM, "ticket": ticket}))
    assert isinstance(played.raised, StaleLogin)
    assert played.asked == []
    assert remembered(here) == before


@given(st.text())
def test_p3_no_other_text_is_a_ticket(text: str) -> None:
    assert isinstance(play(login(*opened(), "ada", **{**FORM, "ticket": text})).raised, StaleLogin)


@given(st.text(min_size=1, max_size=60), st.integers(min_value=0, max_value=2**63))
def test_p3_every_ticket_comes_back_as_its_generation(user: str, generation: int) -> None:
    try:
        user_key(user)
    except UsageError:
        assert isinstance(play(begin_login(mode_of(), user)).raised, UsageError)
    else:
        assert generation_of(opened(), user, play(begin_login(mode_of(), user), generation).value) == generation


@pytest.mark.parametrize("ticket", [41, b"41.x", ["41.x"], True], ids=repr)
def test_a_ticket_of_another_kind_is_a_mistake(ticket: object) -> None:
    played = play(login(*opened(), "ada", **{**FORM, "ticket": ticket}))
    assert type(played.raised) is UsageError
    assert played.asked == []


def test_tickets_outlive_a_rotation_of_secrets() -> None:
    old = mode_of(secrets=["Qw8-eRt5yUi2oPa7sDf4gHj1kLz6xCv3-old!"])
    both = mode_of(secrets=["k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test", "Qw8-eRt5yUi2oPa7sDf4gHj1kLz6xCv3-old!"])
    ticket = play(begin_login(old, "ada"), 41).value
    assert generation_of(opened(mode=both), "ada", ticket) == 41


# --- wrong calls ------------------------------------------------------------------------------------------------------

VERBS: Mapping[str, Callable[[Opened], Any]] = {
    "login": lambda here: login(*here, "ada", **FORM),
    "logout": lambda here: logout(*here),
    "begin_login": lambda here: begin_login(here.mode, "ada"),
    "revoke_all": lambda here: revoke_all(*here, "ada"),
    "revoke_others": lambda here: revoke_others(*here),
}
OF_USERS: Mapping[str, Callable[[Opened, object], Any]] = {
    "login": lambda here, user: login(*here, user, **FORM),
    "begin_login": lambda here, user: begin_login(here.mode, user),
    "revoke_all": lambda here, user: revoke_all(*here, user),
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_changes_a_cookie_is_refused_once_the_head_is_out_and_nothing_else_is(verb: str) -> None:
    here = signed_in()
    here.context.head_is_out = True
    before = remembered(here)
    played: Played[Any] = play(VERBS[verb](here), RevokedCount(0, 1))
    if verb in ("login", "logout"):
        assert type(played.raised) is UsageError
        assert "has been sent already" in str(played.raised)
        assert played.asked == []
        assert remembered(here) == before
    else:
        assert played.raised is None


@pytest.mark.parametrize("backend", [FindsAndEnds(), OverCarriers()], ids=["two operations", "carriers of its own"])
@pytest.mark.parametrize("verb", VERBS)
def test_what_a_backend_cannot_do_is_a_mistake_and_asks_nothing(verb: str, backend: object) -> None:
    here = signed_in(mode=mode_of(backend))
    here.context.has_asked = True
    played: Played[Any] = play(VERBS[verb](here), 1)
    if verb == "revoke_others":
        assert played.value == 1
    else:
        assert type(played.raised) is UsageError
        assert played.asked == []


WRONG_USERS: Mapping[str, object] = {
    "empty": "",
    "256 bytes": "x" * 256,
    "256 bytes of UTF-8": "é" * 128,
    "a line feed": "a\nb",
    "NUL": "a\x00",
    "DEL": "a\x7f",
    "a control character of Latin-1": "a\x85",
    "a lone surrogate": "\ud800",
    "bytes": b"ada",
    "None": None,
    "a bool": True,
    "a float": 1.0,
    "a list": ["ada"],
}


@pytest.mark.parametrize("verb", OF_USERS)
@pytest.mark.parametrize("user", WRONG_USERS.values(), ids=WRONG_USERS)
def test_a_wrong_user_id_is_a_mistake_and_asks_nothing(user: object, verb: str) -> None:
    played: Played[Any] = play(OF_USERS[verb](opened(), user))
    assert type(played.raised) is UsageError
    assert played.asked == []


@pytest.mark.parametrize(
    ("user", "key"),
    [
        ("ada", "ada"),
        ("Ada ", "Ada "),
        ("x" * 255, "x" * 255),
        ("é\u00a0\u2028", "é\u00a0\u2028"),
        (7, "7"),
        (-7, "-7"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
    ids=["a str", "case and blanks are kept", "255 bytes", "not printable, but no control", "int", "negative", "UUID"],
)
def test_a_user_id_is_kept_as_its_text(user: object, key: str) -> None:
    assert user_key(user) == key
    asked = play(revoke_all(*opened(), user), 0).asked
    assert asked == [RevokeAll(key)]


# --- an application's own carriers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status", "asked"),
    [
        pytest.param([(b"cookie", b"sid=plain")], 200, ["Find", "RevokeOthers"], id="its cookie"),
        pytest.param([(b"x-key", b"Key plain")], 200, ["Find", "RevokeOthers"], id="its header"),
        pytest.param([(b"cookie", b"sid=a; sid=b")], 400, [], id="its cookie twice"),
        pytest.param([(b"cookie", b"sid=plain"), *CROSS], 403, [], id="its cookie from another site"),
        pytest.param([(b"x-key", b"Key plain"), *CROSS], 200, ["Find", "RevokeOthers"], id="its header from another site"),
        pytest.param([(b"x-session-token", TOKEN), cookie(SIGNED)], 401, [], id="credentials of our own form"),
        pytest.param([], 401, [], id="nothing"),
    ],
)
def test_a_backend_with_carriers_of_its_own_is_asked_about_those(fields: list[Field], status: int, asked: list[str]) -> None:
    played = play(revoke_others_endpoint(*opened(*fields, mode=mode_of(OverCarriers()))), SESSION, 1)
    assert played.value.status == status
    assert played.kinds == asked


def test_the_value_as_it_came_is_what_such_a_backend_is_asked_with() -> None:
    here = opened((b"cookie", b"sid=plain"), mode=mode_of(OverCarriers()))
    assert play(revoke_others_endpoint(*here), None).asked == [Find(Credential(b"plain"))]


# --- who is calling, over an application's own sessions ---------------------------------------------------------------


def test_over_an_applications_own_sessions_nobody_is_asked_before_somebody_wants_to_know() -> None:
    here = opened((b"cookie", b"sid=plain"), mode=mode_of(OverCarriers()))
    assert play(on_request(*here)).value is None
    played = play(current(*here), SESSION)
    assert (played.asked, played.value) == ([Find(Credential(b"plain"))], SESSION)
    assert play(current(*here)).value is SESSION, "it is asked once"


@pytest.mark.parametrize("fields", [[], [(b"cookie", b"theme=dark")], [(b"cookie", b"sid=a; sid=b")], [cookie(SIGNED)]], ids=repr)
def test_a_request_without_its_credential_is_anonymous_and_asks_nothing(fields: list[Field]) -> None:
    here = opened(*fields, mode=mode_of(OverCarriers()))
    assert (play(current(*here)).value, play(revoke_others(*here)).kinds) == (None, [])
    assert isinstance(play(revoke_others(*here)).raised, NotSignedIn)


def test_a_session_that_is_not_live_is_nobodys() -> None:
    here = opened((b"cookie", b"sid=plain"), mode=mode_of(OverCarriers()))
    assert play(current(*here), None).value is None
    assert play(current(*here)).asked == []


@all_failures
def test_p7_who_is_calling_is_not_guessed(failure: Exception) -> None:
    here = opened((b"cookie", b"sid=plain"), mode=mode_of(OverCarriers()))
    assert play(current(*here), failure).raised is failure
    assert play(current(*here), SESSION).value is SESSION, "the next question may be answered"


def test_revoke_others_finds_the_caller_by_itself() -> None:
    here = opened((b"cookie", b"sid=plain"), mode=mode_of(OverCarriers()))
    played = play(revoke_others(*here), SESSION, 3)
    assert (played.kinds, played.value) == (["Find", "RevokeOthers"], 3)


class RevokesAll(OverCarriers):
    def revoke_all(self, user_id: str, /) -> int:
        raise NotImplementedError


def test_after_revoke_all_of_the_callers_user_nobody_is_calling() -> None:
    here = opened((b"cookie", b"sid=plain"), mode=mode_of(RevokesAll()))
    assert play(current(*here), SESSION).value is SESSION
    assert play(revoke_all(*here, "ada"), 2).value == 2
    assert (play(current(*here)).value, play(current(*here)).asked) == (None, [])


def test_revoke_all_of_another_user_leaves_the_caller() -> None:
    here = opened((b"cookie", b"sid=plain"), mode=mode_of(RevokesAll()))
    assert play(current(*here), SESSION).value is SESSION
    assert play(revoke_all(*here, "bob"), 2).value == 2
    assert play(current(*here)).value is SESSION


def test_after_revoke_all_before_anybody_asked_the_backend_says_who_is_calling() -> None:
    """Whose the credential is was not known when the user was revoked, so it is not guessed afterwards either."""
    here = opened((b"cookie", b"sid=plain"), mode=mode_of(RevokesAll()))
    assert play(revoke_all(*here, "ada"), 2).kinds == ["RevokeAll"]
    played = play(current(*here), None)
    assert (played.asked, played.value) == ([Find(Credential(b"plain"))], None)


# --- a story ----------------------------------------------------------------------------------------------------------


def test_change_password_then_revoke_the_others_then_sign_in_anew_in_one_request() -> None:
    here = opened((b"x-session-token", TOKEN), path="/password")
    assert play(on_request(*here), SESSION).value is None
    assert play(revoke_others(*here), RevokedCount(3, 5)).value == 3
    renewed = play(login(*here, "ada", **FORM), MINTED)
    (asked,) = renewed.asked
    assert isinstance(asked, Login)
    assert (asked.new.generation, asked.new.replaces) == (5, SESSION)
    head = play(answer_of(here, *PLAIN), MINTED)
    assert head.asked == [Find(Credential(renewed.value.encode()))]
    assert (b"set-cookie", here.context.cookie) in head.value


def test_a_session_revoked_by_another_while_the_application_worked_is_not_brought_back() -> None:
    here = opened(cookie(SIGNED))
    play(on_request(*here), SESSION)
    play(login(*here, "ada", **FORM), MINTED)
    assert list(play(answer_of(here, *PLAIN), None).value) == list(PLAIN)


# --- guards of the handle ---------------------------------------------------------------------------------------------


class RevokesCarried(OverCarriers):
    """Over the application's sessions, and can revoke one of them."""

    def revoke(self, user_id: str, id: UUID, /) -> bool:
        raise NotImplementedError


def test_a_logout_over_the_applications_sessions_asks_who_is_calling_first() -> None:
    here = opened((b"cookie", b"sid=abc"), mode=mode_of(RevokesCarried(), secrets=()))
    played = answered(logout(*here), lambda step: SESSION if isinstance(step, Find) else True)
    assert (played.kinds, played.raised) == (["Find", "Revoke"], None)


def test_a_request_that_began_earlier_than_its_context_was_made_is_that_old() -> None:
    sessions = Sessions(Door(mode_of(), SyncDriver(MemoryBackend(), 1.0, blocks=False)), environ_of())
    context = context_of(sessions)
    assert context.age() < 100
    began(sessions, sessions._started - 100)
    assert context.age() >= 100
