"""Our own responses to a client, as values that do not depend on ASGI or WSGI.

CONTRACT.md 1 is the source of their bodies and headers.
"""

from __future__ import annotations

import enum
import json
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import quote
from uuid import uuid4

from sessionward.credential.carriers import CredentialSource
from sessionward.errors import OutcomeUnknown
from sessionward.request.request import Fields, Request
from sessionward.settings import Settings
from sessionward.settings.limits import RETURN_TO

VARY: Final = b"Cookie, Authorization, X-Session-Token"
RETRY_AFTER: Final = (1, 5)
"""Seconds. Each response gets a random number in this range, so that clients do not all repeat at once."""

Details: TypeAlias = Mapping[str, object]
"""What an error says to programs, as JSON has it."""

_NONE: Final[Details] = {}
_REQUEST_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Response:
    """One of our own responses."""

    status: HTTPStatus
    headers: Fields
    body: bytes


class Refusal(enum.Enum):
    """A kind of error response: status, error id, message and reason."""

    def __init__(self, status: HTTPStatus, id: str, message: str, reason: str) -> None:
        self.status = status
        self.id = id
        self.message = message
        self.reason = reason


class Problem(Refusal):
    """The error responses of the middlewares."""

    HEADER_TOO_LARGE = (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "header_too_large",
        "The request header fields are too large",
        "The Cookie header is longer than this service accepts.",
    )
    AMBIGUOUS = (
        HTTPStatus.BAD_REQUEST,
        "ambiguous_credentials",
        "The request was malformed or contained invalid parameters",
        "The request carries more than one session credential, with different values.",
    )
    CROSS_SITE = (
        HTTPStatus.FORBIDDEN,
        "security_csrf_violation",
        "The requested action was forbidden",
        "The request comes from a page of another site.",
    )
    INACTIVE = (
        HTTPStatus.UNAUTHORIZED,
        "session_inactive",
        "The request could not be authorized",
        "No valid session credentials found in the request.",
    )
    UNAVAILABLE = (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "backend_unavailable",
        "The service is unavailable",
        "The sessions cannot be read or changed at the moment. Nothing was changed; please try again.",
    )
    UNKNOWN = (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "outcome_unknown",
        "The service is unavailable",
        "Whether the sessions were changed is not known. Repeating the request is safe.",
    )

    PAGE = (
        HTTPStatus.BAD_REQUEST,
        "invalid_page",
        "The request was malformed or contained invalid parameters",
        "page_size must be a number from 1 to 500, and page_token one from a Link header of this service; each may occur once.",
    )
    SESSION_ID = (
        HTTPStatus.BAD_REQUEST,
        "invalid_session_id",
        "The request was malformed or contained invalid parameters",
        "The id of a session must be a UUID.",
    )
    CURRENT_SESSION = (
        HTTPStatus.BAD_REQUEST,
        "cannot_revoke_current_session",
        "The request was malformed or contained invalid parameters",
        "cannot revoke current session: sign out instead.",
    )
    IMPERSONATION = (
        HTTPStatus.FORBIDDEN,
        "forbidden_for_impersonation",
        "The requested action was forbidden",
        "This session is an impersonation. Only the user can sign out the user's other sessions.",
    )
    SIGN_IN_TOO_OLD = (
        HTTPStatus.FORBIDDEN,
        "session_refresh_required",
        "The requested action was forbidden",
        "The sign-in of this session is too old for this. Nothing was changed; please sign in again.",
    )
    RATE_LIMITED = (
        HTTPStatus.TOO_MANY_REQUESTS,
        "rate_limited",
        "There are too many requests",
        "This session has done this as often as it may within an hour. Nothing was changed; please try again later.",
    )
    METHOD = (
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "The method is not allowed",
        "The Allow header field names the methods that this resource has.",
    )


def counted(count: int, request: Request, settings: Settings) -> Response:
    """Returns the 200 that says how many sessions were revoked."""
    return _response(HTTPStatus.OK, json.dumps({"count": int(count)}).encode(), request, settings.trusted)


def shown(value: bytes, request: Request, settings: Settings, *extra: tuple[bytes, bytes]) -> Response:
    """Returns a 200 with ``value``, which is JSON."""
    return _response(HTTPStatus.OK, value, request, settings.trusted, *extra)


def compact(value: object) -> bytes:
    """Returns a value as JSON without blanks."""
    return _compact(value).encode()


_compact: Final = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps() would make an encoder for each answer


def done(request: Request, settings: Settings) -> Response:
    """Returns the 204 of a session that is not live any more."""
    response = _response(HTTPStatus.NO_CONTENT, b"", request, settings.trusted)
    return Response(response.status, [field for field in response.headers if field[0] not in _OF_A_BODY], b"")


_OF_A_BODY: Final = frozenset({b"content-type", b"content-length"})  # RFC 9110, 8.6: no Content-Length in a 204


def preflight(request: Request, settings: Settings, methods: bytes = b"DELETE") -> Response | None:
    """Returns 204 for a browser that asks whether a page of a trusted origin may call our route (Fetch standard, 3.3.2).

    ``methods``: those of the route, separated by commas. Returns None for every other OPTIONS request: the application answers it.
    The application does not know our route.
    """
    origin, method = request.header(b"origin"), request.header(b"access-control-request-method")
    if origin is None or origin not in settings.trusted or method is None:
        return None
    asked = (request.header(b"access-control-request-headers") or b"").lower().split(b",")
    allowed = sorted(_FIELDS_OF_OURS.intersection(name.strip(b" \t") for name in asked))
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-allow-methods", methods),
        *([(b"access-control-allow-headers", b", ".join(allowed))] if allowed else []),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Origin"),
    ]
    return Response(HTTPStatus.NO_CONTENT, headers, b"")


_FIELDS_OF_OURS: Final = frozenset({b"authorization", b"content-type", b"x-request-id", b"x-session-token"})
"""The request fields that a page may send to our route."""


def refusal(
    problem: Refusal,
    request: Request,
    settings: Settings,
    *extra: tuple[bytes, bytes],
    debug: str | None = None,
    details: Details = _NONE,
    beside: Details = _NONE,
) -> Response:
    """Returns an error response (CONTRACT.md 1). ``debug``: a ``str`` for its body, which we leave out unless the settings have debug."""
    said = debug if settings.debug else None
    return refused(problem, request, settings.trusted, *extra, debug=said, details=details, beside=beside)


def inactive(request: Request, settings: Settings, source: CredentialSource, why: str) -> Response:
    """Returns the 401 for a request without a live session. ``why``: the reason, which only debug shows."""
    challenge = b'Bearer error="invalid_token"' if source is CredentialSource.HEADER else b"Bearer"
    return refusal(Problem.INACTIVE, request, settings, (b"www-authenticate", challenge), debug=why)


def sign_in_again(request: Request, settings: Settings) -> Response:
    """Returns the 403 for a caller whose sign-in is older than ``recent``. Kratos has the address beside ``error``, too."""
    target = sign_in_target(request, settings)
    there = {} if target is None else {"redirect_browser_to": target}
    return refusal(Problem.SIGN_IN_TOO_OLD, request, settings, details={"max_age": int(settings.recent or 0), **there}, beside=there)


def sign_in_target(request: Request, settings: Settings) -> str | None:
    """Returns where the user signs in again: the setting ``sign_in`` with our own path in it, or None.

    Our own path and nothing else: an address that a client names could lead to another site.
    """
    if settings.sign_in is None:
        return None
    own = request.mount().decode("latin-1") + settings.path
    return settings.sign_in.replace(RETURN_TO, quote(own, safe=""))


def rate_limited(retry_after: float, request: Request, settings: Settings) -> Response:
    """Returns the 429 for a session that has revoked too often. ``retry_after``: seconds until it may again."""
    return refusal(Problem.RATE_LIMITED, request, settings, (b"retry-after", b"%d" % max(1, math.ceil(retry_after))))


def unavailable(failure: Exception, request: Request, settings: Settings) -> Response:
    """P7: returns the 503 for an exception of a backend or an identifier."""
    problem = Problem.UNKNOWN if isinstance(failure, OutcomeUnknown) else Problem.UNAVAILABLE
    return refusal(problem, request, settings, debug=type(failure).__name__)


def refused(
    problem: Refusal,
    request: Request,
    trusted: frozenset[bytes],
    *extra: tuple[bytes, bytes],
    debug: str | None = None,
    details: Details = _NONE,
    beside: Details = _NONE,
) -> Response:
    """Returns an error response (CONTRACT.md 1) with ``extra`` header fields. A 503 also has ``Retry-After``.

    ``details``: of the error. ``beside``: what the body has beside ``error``.
    """
    error: dict[str, object] = {
        "id": problem.id,
        "code": int(problem.status),
        "status": problem.status.phrase,
        "request": request_id(request.header(b"x-request-id")),
        "message": problem.message,
        "reason": problem.reason,
    }
    if details:
        error["details"] = details
    if debug:
        error["debug"] = debug
    if problem.status is HTTPStatus.SERVICE_UNAVAILABLE:
        extra = (*extra, (b"retry-after", str(random.randint(*RETRY_AFTER)).encode()))  # noqa: S311 - jitter is no secret
    return _response(problem.status, json.dumps({"error": error, **beside}).encode(), request, trusted, *extra)


def _response(status: HTTPStatus, body: bytes, request: Request, trusted: frozenset[bytes], *extra: tuple[bytes, bytes]) -> Response:
    vary = VARY
    origin = request.header(b"origin") if trusted else None
    if origin is not None and origin in trusted:
        vary += b", Origin"
        readable = b", ".join(_READABLE[name] for name, _ in extra if name in _READABLE)
        extra = (*extra, (b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true"))
        if readable:
            extra = (*extra, (b"access-control-expose-headers", readable))
    headers = [
        (b"content-type", b"application/json; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"vary", vary),
        (b"x-content-type-options", b"nosniff"),
        *extra,
    ]
    return Response(status, headers, body)


_READABLE: Final = {b"link": b"Link", b"x-total-count": b"X-Total-Count"}
"""The response fields that a page of another origin needs, and reads only if we say so (Fetch standard, 3.3.3)."""


def request_id(given: bytes | None) -> str:
    """Returns the id of a request. ``given``: its X-Request-Id, which counts only if it is valid; else the id is a new one."""
    return given.decode("ascii") if given is not None and _REQUEST_ID.fullmatch(given) else str(uuid4())
