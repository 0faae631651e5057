"""What the sidecar refuses, in the words of CONTRACT.md 1."""

from __future__ import annotations

from http import HTTPStatus

from sessionward.response.answer import Refusal

_MALFORMED = "The request was malformed or contained invalid parameters"
_GATEWAY = "The service behind this one did not answer properly"


class SidecarProblem(Refusal):
    """Refused before a request reaches the upstream, or because the upstream fails: status, error id, message, reason."""

    BAD_REQUEST = (HTTPStatus.BAD_REQUEST, "bad_request", _MALFORMED, "The request is not well-formed HTTP/1.1.")
    BAD_HOST = (HTTPStatus.BAD_REQUEST, "bad_host", _MALFORMED, "Exactly one valid Host is needed.")
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
    CODING = (HTTPStatus.NOT_IMPLEMENTED, "coding_not_implemented", "The transfer coding is not known", "Only chunked is known.")
    VERSION = (HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "version_not_supported", "The HTTP version is not supported", "Speak HTTP/1.1.")
    STALE_LOGIN = (
        HTTPStatus.CONFLICT,
        "stale_login",
        "The sign-in is out of date",
        "The user's sessions were ended while this sign-in was on its way. Please sign in again.",
    )
    UPSTREAM_FAILED = (HTTPStatus.BAD_GATEWAY, "upstream_failed", _GATEWAY, "The application cannot be reached, or broke off its answer.")
    UPSTREAM_INVALID = (HTTPStatus.BAD_GATEWAY, "upstream_invalid", _GATEWAY, "The application's answer cannot be understood.")
    UPSTREAM_TIMEOUT = (HTTPStatus.GATEWAY_TIMEOUT, "upstream_timeout", _GATEWAY, "The application did not answer in time.")
