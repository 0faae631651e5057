"""The OpenAPI 3.1 document of exactly our routes.

It is public: a client needs it before it has a credential, and it says nothing about any user. HEAD is answered wherever GET is, and
so has no operation of its own (RFC 9110, 9.3.2). The texts of errors are those of the errors themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from sessionward.api.paging import DEFAULT_SIZE, MAX_SIZE
from sessionward.api.schemas import SCHEMAS
from sessionward.credential.carriers import Carrier
from sessionward.response.answer import Problem, Refusal

Node = dict[str, Any]


def openapi(path: str, mount: str, carriers: Sequence[Carrier]) -> Node:
    """Returns the document as JSON has it.

    ``path``: of the list of sessions, below ``mount``, where the application is. ``carriers``: of the credential of a caller.
    """
    schemes = _schemes(carriers)
    by_cookie: list[Node] = [{name: []} for name, scheme in schemes.items() if scheme.get("in") == "cookie"]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sessions", "version": "1", "summary": "Who is signed in, and where else.", "description": _DESCRIPTION},
        "servers": [{"url": mount or "/"}],
        "paths": {
            path: {"get": _LIST, "delete": _REVOKE_OTHERS},
            f"{path}/whoami": {"get": _WHOAMI},
            f"{path}/openapi.json": {"get": _DOCUMENT},
            f"{path}/{{id}}": {"parameters": [_ID], "delete": _REVOKE_ONE},
            f"{path}/revoke-others": {"post": {**_SUBMIT_OTHERS, "security": by_cookie}},
            f"{path}/{{id}}/revoke": {"parameters": [_ID], "post": {**_SUBMIT_ONE, "security": by_cookie}},
        },
        "security": [{name: []} for name in schemes],
        "components": {"securitySchemes": schemes, "schemas": SCHEMAS},
    }


_DESCRIPTION: Final = """\
The sessions of the signed-in user. No answer may be stored. All are JSON, except for a browser whose `Accept` prefers HTML: where the
page *Your devices* is installed, it gets the list, and the refusals of the list and of the forms, as a page of the same status.

Each path answers the methods that it has here, HEAD wherever it has GET, and 405 with `Allow` to all others but OPTIONS. A path with
one trailing slash, or one doubled slash between its segments, is the same path.

A call that changes something and whose only credential is a cookie must come from a page of this site, or of an origin that it trusts."""


def _schemes(carriers: Sequence[Carrier]) -> dict[str, Node]:
    schemes: dict[str, Node] = {}
    for carrier in carriers:
        scheme = _scheme(carrier)
        kind = "bearer" if "scheme" in scheme else scheme["in"]
        schemes[kind if kind not in schemes else f"{kind}{len(schemes)}"] = scheme
    return schemes


def _scheme(carrier: Carrier) -> Node:
    name, word = carrier.name.decode("ascii"), carrier.scheme.decode("ascii")
    if carrier.is_cookie:
        return {"type": "apiKey", "in": "cookie", "name": name, "description": "The cookie of a browser."}
    if (name, word) == ("authorization", "bearer"):
        return {"type": "http", "scheme": "bearer", "description": "The token of a session."}
    value = f"`{word.title()} ` and the token" if word else "The token"
    return {"type": "apiKey", "in": "header", "name": name.title(), "description": f"{value} of a session."}


# --- answers ----------------------------------------------------------------------------------------------------------


def _header(description: str, **schema: Any) -> Node:
    return {"description": description, "required": True, "schema": {"type": "string", **schema}}


_ALWAYS: Final[Node] = {
    "Cache-Control": _header("No answer may be stored.", const="no-store"),
    "Vary": _header("What the answer depends on."),
    "X-Content-Type-Options": _header("The answer is what its type says.", const="nosniff"),
}
_CHALLENGE: Final = _header("`Bearer`, with `error` if a header carried the credential.", pattern="^Bearer")
_RETRY: Final = _header("The seconds after which the call may be repeated.", pattern="^[0-9]+$")
_MORE: Final[dict[HTTPStatus, Node]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": _CHALLENGE},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": _RETRY},
    HTTPStatus.TOO_MANY_REQUESTS: {"Retry-After": _RETRY},
}


def _success(description: str, schema: Node, *other_types: str, **headers: Node) -> Node:
    content = {"application/json": {"schema": schema}, **{kind: {"schema": {"type": "string"}} for kind in other_types}}
    return {"description": description, "headers": {**_ALWAYS, **headers}, "content": content}


def _refusals(*problems: Refusal) -> Node:
    """Returns the error responses by their status. Problems with the same status share one, which names their ids."""
    by_status: dict[HTTPStatus, list[Refusal]] = {}
    for problem in problems:
        by_status.setdefault(problem.status, []).append(problem)
    return {str(int(status)): _refusal(status, same) for status, same in sorted(by_status.items())}


def _refusal(status: HTTPStatus, problems: Sequence[Refusal]) -> Node:
    error = {"id": {"enum": [problem.id for problem in problems]}, "code": {"const": int(status)}, "status": {"const": status.phrase}}
    schema = {"allOf": [_ref("Error"), {"properties": {"error": {"properties": error}}}]}
    examples = {problem.id: {"value": _example(problem)} for problem in problems}
    return {
        "description": " ".join(problem.reason for problem in problems),
        "headers": {**_ALWAYS, **_MORE.get(status, {})},
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def _example(problem: Refusal) -> Node:
    error = {
        "id": problem.id,
        "code": int(problem.status),
        "status": problem.status.phrase,
        "request": "d7ef54b1-ec15-46e6-bccb-524b82c035e6",
        "message": problem.message,
        "reason": problem.reason,
    }
    return {"error": error}


def _ref(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


_READS: Final = (Problem.HEADER_TOO_LARGE, Problem.AMBIGUOUS, Problem.INACTIVE, Problem.UNAVAILABLE)
_OF_ONE_ROUTE: Final = (Problem.PAGE, Problem.SESSION_ID, Problem.CURRENT_SESSION)
_CHANGES: Final = tuple(problem for problem in Problem if problem is not Problem.METHOD and problem not in _OF_ONE_ROUTE)

# --- operations -------------------------------------------------------------------------------------------------------

_PARAMETERS: Final = [
    {
        "name": "page_size",
        "in": "query",
        "description": "How many sessions a page has at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_SIZE, "default": DEFAULT_SIZE},
    },
    {
        "name": "page_token",
        "in": "query",
        "description": 'Which page, as a `Link` field with `rel="next"` says. Only the session that got a token can use it.',
        "schema": {"type": "string"},
    },
]
_LIST: Final[Node] = {
    "operationId": "listMySessions",
    "summary": "Lists the other live sessions of the user.",
    "description": "The newest sign-in comes first. Following `next` reaches every session that lives all the time, and none twice.",
    "parameters": _PARAMETERS,
    "responses": {
        "200": _success(
            "The sessions of this page; the caller's own is not among them.",
            {"type": "array", "items": _ref("Session"), "maxItems": MAX_SIZE},
            "text/html",
            **{
                "Link": _header('The first page, and the next one if there is one (RFC 8288): `rel="first"`, `rel="next"`.'),
                "X-Total-Count": _header("How many sessions all pages have.", pattern="^[0-9]+$"),
            },
        ),
        **_refusals(*_READS, Problem.PAGE),
    },
}
_REVOKE_OTHERS: Final[Node] = {
    "operationId": "disableMyOtherSessions",
    "summary": "Revokes all sessions of the user but the caller's own.",
    "description": "It may be repeated. It changes neither the caller's session nor its cookie, and reads neither body nor query.",
    "responses": {"200": _success("Done, also if there was nothing to revoke.", _ref("Count")), **_refusals(*_CHANGES)},
}
_WHOAMI: Final[Node] = {
    "operationId": "toSession",
    "summary": "Returns the caller's own session.",
    "responses": {"200": _success("The session that the credential proves.", _ref("Session")), **_refusals(*_READS)},
}
_ID: Final[Node] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of another session of the user.",
    "schema": {"type": "string", "format": "uuid"},
}
_REVOKE_ONE: Final[Node] = {
    "operationId": "disableMySession",
    "summary": "Revokes one of the user's other sessions.",
    "description": "An id that is unknown, of another user, or of a session that has ended gets the same answer.",
    "responses": {
        "204": {"description": "That session is not live.", "headers": _ALWAYS},
        **_refusals(*_CHANGES, Problem.SESSION_ID, Problem.CURRENT_SESSION),
    },
}
_FORM: Final = """\
A form of the page, without a body. Its only credential is the cookie. It must come from a page of this site, or of an origin that it
trusts, and the browser must say so by `Origin` or `Sec-Fetch-Site`. Programs use DELETE."""
_SEE: Final[Node] = {
    "description": "Done. The address of the page says what was done.",
    "headers": {**_ALWAYS, "Location": _header("The page, with a receipt that only this session can read.")},
}
_SUBMIT_OTHERS: Final[Node] = {
    "operationId": "submitMyOtherSessions",
    "summary": "Revokes all sessions of the user but the caller's own, for the page.",
    "description": _FORM,
    "responses": {"303": _SEE, **_refusals(*_CHANGES)},
}
_SUBMIT_ONE: Final[Node] = {
    "operationId": "submitMySession",
    "summary": "Revokes one of the user's other sessions, for the page.",
    "description": _FORM,
    "responses": {"303": _SEE, **_refusals(*_CHANGES, Problem.SESSION_ID, Problem.CURRENT_SESSION)},
}
_DOCUMENT: Final[Node] = {
    "operationId": "describeSessions",
    "summary": "Returns this document.",
    "security": [],
    "responses": {"200": _success("This document.", {"type": "object"})},
}
