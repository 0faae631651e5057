"""What the client is told, to the last field; and the head of an application's answer with our cookie in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest

from sessionward.backends import RevokedCount
from sessionward.flow import revoke_others_endpoint
from sessionward.request.request import Fields
from sessionward.response.answer import Problem, Response, counted, refusal, refused
from sessionward.response.head import sets_cookie, with_set_cookie, without_set_cookie
from sessionward.settings import Settings
from tests.support.core import NAME, PAIR, SESSION, TOKEN, Field, mode_of, opened, play, request_of

NOBODY: frozenset[bytes] = frozenset()

# --- the error form ---------------------------------------------------------------------------------------------------

ERRORS: Mapping[Problem, dict[str, Any]] = {
    Problem.HEADER_TOO_LARGE: {
        "id": "header_too_large",
        "code": 431,
        "status": "Request Header Fields Too Large",
        "message": "The request header fields are too large",
        "reason": "The Cookie header is longer than this service accepts.",
    },
    Problem.AMBIGUOUS: {
        "id": "ambiguous_credentials",
        "code": 400,
        "status": "Bad Request",
        "message": "The request was malformed or contained invalid parameters",
        "reason": "The request carries more than one session credential, with different values.",
    },
    Problem.CROSS_SITE: {
        "id": "security_csrf_violation",
        "code": 403,
        "status": "Forbidden",
        "message": "The requested action was forbidden",
        "reason": "The request comes from a page of another site.",
    },
    Problem.INACTIVE: {
        "id": "session_inactive",
        "code": 401,
        "status": "Unauthorized",
        "message": "The request could not be authorized",
        "reason": "No valid session credentials found in the request.",
    },
    Problem.UNAVAILABLE: {
        "id": "backend_unavailable",
        "code": 503,
        "status": "Service Unavailable",
        "message": "The service is unavailable",
        "reason": "The sessions cannot be read or changed at the moment. Nothing was changed; please try again.",
    },
    Problem.UNKNOWN: {
        "id": "outcome_unknown",
        "code": 503,
        "status": "Service Unavailable",
        "message": "The service is unavailable",
        "reason": "Whether the sessions were changed is not known. Repeating the request is safe.",
    },
    Problem.PAGE: {
        "id": "invalid_page",
        "code": 400,
        "status": "Bad Request",
        "message": "The request was malformed or contained invalid parameters",
        "reason": "page_size must be a number from 1 to 500, and page_token one from a Link header of this service; each may occur once.",
    },
    Problem.SESSION_ID: {
        "id": "invalid_session_id",
        "code": 400,
        "status": "Bad Request",
        "message": "The request was malformed or contained invalid parameters",
        "reason": "The id of a session must be a UUID.",
    },
    Problem.CURRENT_SESSION: {
        "id": "cannot_revoke_current_session",
        "code": 400,
        "status": "Bad Request",
        "message": "The request was malformed or contained invalid parameters",
        "reason": "cannot revoke current session: sign out instead.",
    },
    Problem.SIGN_IN_TOO_OLD: {
        "id": "session_refresh_required",
        "code": 403,
        "status": "Forbidden",
        "message": "The requested action was forbidden",
        "reason": "The sign-in of this session is too old for this. Nothing was changed; please sign in again.",
    },
    Problem.RATE_LIMITED: {
        "id": "rate_limited",
        "code": 429,
        "status": "Too Many Requests",
        "message": "There are too many requests",
        "reason": "This session has done this as often as it may within an hour. Nothing was changed; please try again later.",
    },
    Problem.IMPERSONATION: {
        "id": "forbidden_for_impersonation",
        "code": 403,
        "status": "Forbidden",
        "message": "The requested action was forbidden",
        "reason": "This session is an impersonation. Only the user can sign out the user's other sessions.",
    },
    Problem.METHOD: {
        "id": "method_not_allowed",
        "code": 405,
        "status": "Method Not Allowed",
        "message": "The method is not allowed",
        "reason": "The Allow header field names the methods that this resource has.",
    },
}


def error_of(response: Response) -> dict[str, Any]:
    body = json.loads(response.body)
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize("problem", Problem, ids=lambda problem: problem.id)
def test_every_problem_has_exactly_the_body_of_the_contract(problem: Problem) -> None:
    request = request_of((b"x-request-id", b"d7ef54b1"), (b"accept", b"text/html, application/problem+json"))
    response = refused(problem, request, NOBODY)
    assert error_of(response) == {**ERRORS[problem], "request": "d7ef54b1"}
    assert response.status == ERRORS[problem]["code"]


@pytest.mark.parametrize("problem", Problem, ids=lambda problem: problem.id)
def test_every_problem_has_exactly_the_headers_of_the_contract(problem: Problem) -> None:
    response = refused(problem, request_of(), NOBODY)
    retry = [b"retry-after"] if problem.status == 503 else []
    assert [name for name, _ in response.headers] == [
        b"content-type",
        b"content-length",
        b"cache-control",
        b"vary",
        b"x-content-type-options",
        *retry,
    ]
    assert dict(response.headers).items() >= PLAIN_HEADERS.items()
    assert dict(response.headers)[b"content-length"] == str(len(response.body)).encode()


PLAIN_HEADERS = {
    b"content-type": b"application/json; charset=utf-8",
    b"cache-control": b"no-store",
    b"vary": b"Cookie, Authorization, X-Session-Token",
    b"x-content-type-options": b"nosniff",
}


@pytest.mark.parametrize("count", [0, 1, 10_000, RevokedCount(3, 7)], ids=["none", "one", "many", "with a generation"])
def test_success_is_a_count_and_nothing_else(count: int) -> None:
    response = counted(count, request_of(), Settings())
    assert response.status is HTTPStatus.OK
    assert response.body == b'{"count": %d}' % count
    assert dict(response.headers) == {**PLAIN_HEADERS, b"content-length": str(len(response.body)).encode()}


def test_a_truth_is_counted_as_a_number() -> None:
    """A backend's slip must not make ``{"count": true}``."""
    assert counted(True, request_of(), Settings()).body == b'{"count": 1}'


def test_retry_after_is_drawn_from_one_to_five_seconds() -> None:
    drawn = {dict(refused(Problem.UNAVAILABLE, request_of(), NOBODY).headers)[b"retry-after"] for _ in range(400)}
    assert drawn == {b"1", b"2", b"3", b"4", b"5"}


def test_debug_is_a_field_of_its_own_and_absent_without() -> None:
    assert error_of(refused(Problem.INACTIVE, request_of(), NOBODY, debug="why"))["debug"] == "why"
    assert "debug" not in error_of(refused(Problem.INACTIVE, request_of(), NOBODY))


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("answer", [None, RuntimeError("words of a driver")], ids=["unknown", "failure"])
def test_debugging_is_a_setting_and_never_shows_the_words_of_a_driver(answer: object, debug: bool) -> None:
    here = opened((b"x-session-token", TOKEN), mode=mode_of(debug=debug))
    response = play(revoke_others_endpoint(*here), answer).value
    assert ("debug" in error_of(response)) == debug
    assert b"driver" not in response.body


# --- the id of a request ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [b"1", b"d7ef54b1-ec15-46e6-bccb-524b82c035e6", b"!~", b"a" * 128, b'"\\<script>', b"a,b"],
    ids=["one character", "a UUID", "the ends of visible ASCII", "128 characters", "to be escaped", "a list"],
)
def test_a_request_id_that_is_visible_is_given_back(given: bytes) -> None:
    assert error_of(refused(Problem.AMBIGUOUS, request_of((b"x-request-id", given)), NOBODY))["request"] == given.decode()


@pytest.mark.parametrize(
    "given",
    [None, b"", b"a" * 129, b"a b", b" a", b"a\n", b"a\x00", b"a\x7f", b"\xc3\xa9", b"\xff"],
    ids=["absent", "empty", "129 characters", "blank", "blank in front", "line feed", "NUL", "DEL", "UTF-8", "not UTF-8"],
)
def test_any_other_is_replaced_by_a_new_uuid(given: bytes | None) -> None:
    request = request_of(*([] if given is None else [(b"x-request-id", given)]))
    ids = [error_of(refused(Problem.AMBIGUOUS, request, NOBODY))["request"] for _ in range(2)]
    assert ids[0] != ids[1]
    assert all(str(UUID(new)) == new and UUID(new).version == 4 for new in ids)


# --- pages of other sites ---------------------------------------------------------------------------------------------

FRIEND = b"https://spa.example"


@pytest.mark.parametrize("answer", [partial(counted, 1), partial(refusal, Problem.INACTIVE)], ids=["200", "401"])
def test_a_trusted_origin_is_granted_exactly_itself(answer: Any) -> None:
    settings = Settings(trusted_origins=(FRIEND.decode(), "https://other.example"))
    headers = dict(answer(request_of((b"origin", FRIEND)), settings).headers)
    assert headers[b"access-control-allow-origin"] == FRIEND
    assert headers[b"access-control-allow-credentials"] == b"true"
    assert headers[b"vary"] == b"Cookie, Authorization, X-Session-Token, Origin"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"origin", b"https://evil.example")],
        [(b"origin", b"null")],
        [(b"origin", FRIEND + b".evil.example")],
        [(b"origin", FRIEND), (b"origin", FRIEND)],
        [(b"origin", FRIEND + b", " + FRIEND)],
        [(b"origin", b"")],
    ],
    ids=["none", "another", "null", "a longer one", "twice", "a list", "empty"],
)
def test_no_other_origin_is_granted_anything(fields: list[Field]) -> None:
    headers = dict(counted(1, request_of(*fields), Settings(trusted_origins=(FRIEND.decode(),))).headers)
    assert not any(name.startswith(b"access-control-") for name in headers)
    assert headers[b"vary"] == PLAIN_HEADERS[b"vary"]


def test_with_nobody_trusted_nobody_is_granted_anything() -> None:
    here = opened((b"x-session-token", TOKEN), (b"origin", FRIEND))
    assert b"access-control-allow-origin" not in dict(play(revoke_others_endpoint(*here), SESSION, 1).value.headers)


# --- the head of the application's answer -----------------------------------------------------------------------------

SETS: Mapping[str, tuple[Field, bool]] = {
    "ours": ((b"set-cookie", PAIR + b"; Path=/"), True),
    "ours in any case of the header": ((b"Set-COOKIE", PAIR), True),
    "ours with blanks": ((b"set-cookie", b" \t" + NAME + b"\t = x"), True),
    "ours cleared": ((b"set-cookie", NAME + b"=; Max-Age=0"), True),
    "bare name": ((b"set-cookie", NAME), True),
    "another": ((b"set-cookie", b"theme=dark"), False),
    "a longer name": ((b"set-cookie", NAME + b"2=x"), False),
    "a shorter name": ((b"set-cookie", NAME[:-1] + b"=x"), False),
    "name in other case": ((b"set-cookie", NAME.lower() + b"=x"), False),
    "name as a value": ((b"set-cookie", b"a=" + NAME + b"=x"), False),
    "nameless": ((b"set-cookie", b"=" + PAIR), False),
    "another header": ((b"set-cookie2", PAIR), False),
    "a header as long": ((b"get-cookie", PAIR), False),
}


@pytest.mark.parametrize(("field", "ours"), SETS.values(), ids=SETS)
def test_a_cookie_of_ours_in_a_head_is_known_by_its_name(field: Field, ours: bool) -> None:
    assert sets_cookie([(b"etag", b"x"), field], NAME) is ours
    kept = without_set_cookie([(b"etag", b"x"), field, (b"vary", b"y")], NAME)
    assert list(kept) == [(b"etag", b"x"), *([] if ours else [field]), (b"vary", b"y")]


def test_setting_our_cookie_keeps_the_answer_out_of_every_cache() -> None:
    head: Fields = [
        (b"Content-Type", b"text/html"),
        (b"Cache-Control", b"public, max-age=600"),
        (b"cache-control", b"s-maxage=600"),
        (b"Expires", b"Wed, 21 Oct 2030 07:28:00 GMT"),
        (b"Surrogate-Control", b"max-age=600"),
        (b"CDN-Cache-Control", b"max-age=600"),
        (b"Vary", b"Accept"),
        (b"ETag", b'"x"'),
        (b"Set-Cookie", b"theme=dark"),
    ]
    assert list(with_set_cookie(head, PAIR)) == [
        (b"Content-Type", b"text/html"),
        (b"Vary", b"Accept"),
        (b"ETag", b'"x"'),
        (b"Set-Cookie", b"theme=dark"),
        (b"cache-control", b"no-store"),
        (b"set-cookie", PAIR),
    ]


def test_looking_at_a_head_leaves_it_as_it_was() -> None:
    head = [(b"Expires", b"x"), (b"set-cookie", PAIR)]
    with_set_cookie(head, PAIR)
    without_set_cookie(head, NAME)
    assert head == [(b"Expires", b"x"), (b"set-cookie", PAIR)]
