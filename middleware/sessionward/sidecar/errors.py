"""What the sidecar refuses, and how the upstream can fail."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from sessionward.request.request import Request
from sessionward.response.answer import Refusal, Response, refused

_MALFORMED: Final = "The request was malformed or contained invalid parameters"
_GATEWAY: Final = "The service behind this one did not answer properly"


class SidecarProblem(Refusal):
    """The error responses of the sidecar: status, error id, message, reason (CONTRACT.md 1)."""

    BAD_REQUEST = (HTTPStatus.BAD_REQUEST, "bad_request", _MALFORMED, "The request is not well-formed HTTP/1.1.")
    BAD_HOST = (HTTPStatus.BAD_REQUEST, "bad_host", _MALFORMED, "The request must have exactly one valid Host field.")
    BAD_TARGET = (HTTPStatus.BAD_REQUEST, "bad_target", _MALFORMED, "The request target is not a plain path with a query.")
    NOT_FOUND = (HTTPStatus.NOT_FOUND, "not_found", "There is nothing here", "Checks are answered under /authz.")
    METHOD = (HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed", "CONNECT and TRACE do not pass.")
    REQUEST_TIMEOUT = (HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The request took too long", "The request did not arrive in time.")
    TARGET_TOO_LONG = (HTTPStatus.REQUEST_URI_TOO_LONG, "target_too_long", "The request target is too long", "Shorten the URL.")
    EXPECTATION = (HTTPStatus.EXPECTATION_FAILED, "expectation_failed", "The expectation cannot be met", "Only 100-continue is known.")
    HEAD_TOO_LARGE = (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "header_too_large",
        "The request header fields are too large",
        "There are more header fields, or longer ones, than this service accepts.",
    )
    METHOD_UNKNOWN = (HTTPStatus.NOT_IMPLEMENTED, "method_not_implemented", "The method is not known", "This service does not know it.")
    CODING = (HTTPStatus.NOT_IMPLEMENTED, "coding_not_implemented", "The transfer coding is not known", "Only chunked is known.")
    VERSION = (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "version_not_supported", "The HTTP version is not supported", "Speak HTTP/1.1.")
    TOO_MANY_CONNECTIONS = (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too_many_connections",
        "The service is unavailable",
        "There are more connections than this service accepts. Please try again.",
    )
    STALE_LOGIN = (
        HTTPStatus.CONFLICT,
        "stale_login",
        "The sign-in is out of date",
        "The user's sessions were revoked while this sign-in was under way. Please sign in again.",
    )
    SESSION_LIMIT = (
        HTTPStatus.CONFLICT,
        "session_limit",
        "There are too many sessions",
        "The user has as many live sessions as are allowed. Sign out on another device, and sign in again.",
    )
    UPSTREAM_FAILED = (HTTPStatus.BAD_GATEWAY, "upstream_failed", _GATEWAY, "The application cannot be reached, or broke off its answer.")
    UPSTREAM_INVALID = (HTTPStatus.BAD_GATEWAY, "upstream_invalid", _GATEWAY, "The application's answer cannot be understood.")
    UPSTREAM_TIMEOUT = (HTTPStatus.GATEWAY_TIMEOUT, "upstream_timeout", _GATEWAY, "The application did not answer in time.")


def refusal_of(problem: Refusal, request: Request, *extra: tuple[bytes, bytes]) -> Response:
    """Returns an error response (CONTRACT.md 1) with ``extra`` header fields. Pages of other origins cannot read it."""
    return refused(problem, request, _NO_ORIGINS, *extra)


_NO_ORIGINS: Final = frozenset[bytes]()


class UpstreamError(Exception):
    """The upstream could not be asked, or has not answered as HTTP demands. ``kind`` is for metrics and the log."""

    kind = "reset"
    problem = SidecarProblem.UPSTREAM_FAILED


class CannotConnect(UpstreamError):
    """The upstream does not accept the connection, or TLS failed."""

    kind = "connect"


class Invalid(UpstreamError):
    """The upstream has sent something other than one well-formed answer."""

    kind = "invalid"
    problem = SidecarProblem.UPSTREAM_INVALID


class TooSlow(UpstreamError):
    """The upstream did not accept a connection, take the request, or answer, within its time."""

    kind = "timeout"
    problem = SidecarProblem.UPSTREAM_TIMEOUT
