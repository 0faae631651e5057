"""Which path is ours, and what is left of a request when our credential is taken out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.carriers import OWN_FIELDS, without_own
from sessionward.request.request import ASGIRequest, WSGIRequest, despelled, fields_in
from tests.support.core import NAME, PAIR, RIVAL, SECRET, SIGNED, TOKEN, UNCHECKED, Field, environ_of, scope_of

# --- the path ---------------------------------------------------------------------------------------------------------

SCOPES: Sequence[tuple[str, dict[str, Any], bytes]] = [
    ("path only", {"path": "/auth/sessions"}, b"/auth/sessions"),
    ("raw path wins", {"path": "/auth/sessions", "raw_path": b"/auth%2fsessions"}, b"/auth%2fsessions"),
    ("raw path is None", {"path": "/auth/sessions", "raw_path": None}, b"/auth/sessions"),
    ("raw path is empty", {"path": "/auth/sessions", "raw_path": b""}, b"/auth/sessions"),
    ("raw path with a query", {"path": "/auth/sessions", "raw_path": b"/auth/sessions?x=/y"}, b"/auth/sessions"),
    ("path outside ASCII", {"path": "/é"}, "/é".encode()),
    ("path with a lone surrogate", {"path": "/\udcff"}, b"/?"),
    ("below a root path", {"path": "/app/auth/sessions", "root_path": "/app"}, b"/auth/sessions"),
    ("below a root path, raw", {"path": "/app/x", "raw_path": b"/app/auth/sessions", "root_path": "/app"}, b"/auth/sessions"),
    ("root path that the server has cut off", {"path": "/auth/sessions", "root_path": "/app"}, b"/auth/sessions"),
    ("root path is only the beginning of a segment", {"path": "/application/x", "root_path": "/app"}, b"/application/x"),
    ("root path alone", {"path": "/app", "root_path": "/app"}, b""),
    ("root path twice", {"path": "/app/app/x", "root_path": "/app"}, b"/app/x"),
    ("root path with a blank, raw", {"path": "/", "raw_path": b"/my%20app/x", "root_path": "/my app"}, b"/x"),
    ("root path outside ASCII, raw", {"path": "/", "raw_path": b"/%C3%A9/x", "root_path": "/é"}, b"/x"),
    ("root path outside ASCII", {"path": "/é/x", "root_path": "/é"}, b"/x"),
]

ENVIRONS: Sequence[tuple[str, dict[str, Any], bytes]] = [
    ("path info only", {"PATH_INFO": "/auth/sessions"}, b"/auth/sessions"),
    ("path info below a script name", {"PATH_INFO": "/auth/sessions", "SCRIPT_NAME": "/app"}, b"/auth/sessions"),
    ("path info outside ASCII", {"PATH_INFO": "/\xc3\xa9"}, "/é".encode()),
    ("RAW_URI wins", {"PATH_INFO": "/auth/sessions", "RAW_URI": "/auth%2fsessions"}, b"/auth%2fsessions"),
    ("REQUEST_URI wins", {"PATH_INFO": "/auth/sessions", "REQUEST_URI": "/auth%2fsessions"}, b"/auth%2fsessions"),
    ("RAW_URI before REQUEST_URI", {"PATH_INFO": "/x", "RAW_URI": "/a", "REQUEST_URI": "/b"}, b"/a"),
    ("empty RAW_URI", {"PATH_INFO": "/x", "RAW_URI": "", "REQUEST_URI": "/b"}, b"/b"),
    ("RAW_URI with a query", {"PATH_INFO": "/auth/sessions", "RAW_URI": "/auth/sessions?x=/y?"}, b"/auth/sessions"),
    ("RAW_URI below a script name", {"PATH_INFO": "/x", "RAW_URI": "/app/auth/sessions", "SCRIPT_NAME": "/app"}, b"/auth/sessions"),
    ("script name is only the beginning of a segment", {"PATH_INFO": "/x", "RAW_URI": "/apple/x", "SCRIPT_NAME": "/app"}, b"/apple/x"),
    ("script name outside ASCII", {"PATH_INFO": "/x", "RAW_URI": "/%C3%A9/x", "SCRIPT_NAME": "/\xc3\xa9"}, b"/x"),
    ("absolute form", {"PATH_INFO": "/auth/sessions", "RAW_URI": "http://evil.example/auth/sessions"}, b"/auth/sessions"),
    ("asterisk form", {"PATH_INFO": "*", "RAW_URI": "*"}, b"*"),
    ("two slashes in front", {"PATH_INFO": "/auth/sessions", "RAW_URI": "//auth/sessions"}, b"//auth/sessions"),
]


@pytest.mark.parametrize(("scope", "route"), [pytest.param(scope, route, id=name) for name, scope, route in SCOPES])
def test_the_route_of_an_asgi_request(scope: dict[str, Any], route: bytes) -> None:
    assert ASGIRequest(scope_of(**scope)).route() == route


@pytest.mark.parametrize(("environ", "route"), [pytest.param(environ, route, id=name) for name, environ, route in ENVIRONS])
def test_the_route_of_a_wsgi_request(environ: dict[str, Any], route: bytes) -> None:
    assert WSGIRequest(environ_of(**environ)).route() == route


def test_a_path_that_is_not_there_at_all() -> None:
    assert WSGIRequest({}).route() == b""


@pytest.mark.parametrize("name", [b"x-forwarded-uri", b"x-original-url", b"x-rewrite-url", b"x-forwarded-prefix", b"x-forwarded-host"])
def test_forwarded_headers_never_move_the_path(name: bytes) -> None:
    field = (name, b"/auth/sessions")
    assert ASGIRequest(scope_of(field)).route() == b"/work"
    assert WSGIRequest(environ_of(field)).route() == b"/work"


OURS = ["/auth/sessions", "/auth/sessions/", "/auth//sessions", "/auth//sessions/"]
NOT_OURS = [
    "",
    "/",
    "/auth",
    "/auth/",
    "/auth/session",
    "/auth/sessionss",
    "/auth/sessions//",
    "//auth/sessions",
    "//auth//sessions",
    "/auth///sessions",
    "/auth/sessions/1",
    "/auth/sessions/whoami",
    "/auth/sessions;x",
    "/auth;x/sessions",
    "/auth/sessions.json",
    "/auth/sessions%20",
    "/auth/sessions%2f",
    "/auth%2fsessions",
    "/auth%2Fsessions",
    "/auth%5csessions",
    "/%61uth/sessions",
    "/auth/sess%69ons",
    "/auth/./sessions",
    "/auth/../auth/sessions",
    "/AUTH/SESSIONS",
    "/Auth/sessions",
    "/auth\\sessions",
    "/auth/sessions\x00",
    "/auth/sessions ",
    " /auth/sessions",
    "/app/auth/sessions",
    "auth/sessions",
    "/auth/sessions#x",
]


@pytest.mark.parametrize("path", OURS)
def test_these_spellings_are_our_route(path: str) -> None:
    assert despelled(ASGIRequest(scope_of(path=path, raw_path=path.encode())).route()) == b"/auth/sessions"
    assert despelled(ASGIRequest(scope_of(path=path, raw_path=path.encode() + b"?page=/x")).route()) == b"/auth/sessions"
    assert despelled(WSGIRequest(environ_of(PATH_INFO=path)).route()) == b"/auth/sessions"
    assert despelled(WSGIRequest(environ_of(PATH_INFO="/auth/sessions", RAW_URI=path)).route()) == b"/auth/sessions"


@pytest.mark.parametrize("path", NOT_OURS, ids=repr)
def test_these_are_not(path: str) -> None:
    assert despelled(path.encode()) != b"/auth/sessions"
    if path.startswith("/"):
        assert despelled(ASGIRequest(scope_of(path="/auth/sessions", raw_path=path.encode())).route()) != b"/auth/sessions"
        assert despelled(WSGIRequest(environ_of(PATH_INFO="/auth/sessions", RAW_URI=path)).route()) != b"/auth/sessions"


@pytest.mark.parametrize("path", ["/a/b/c", "/a/b/c/", "/a//b/c", "/a//b/c/", "/a/b//c", "/a/b//c/"])
def test_the_spellings_of_another_path(path: str) -> None:
    assert despelled(path.encode()) == b"/a/b/c"


@pytest.mark.parametrize("path", ["//a/b/c", "/a/b/c//", "/a///b/c", "/a//b//c", "/a/b/c;", "/a/b%2fc"])
def test_other_spellings_are_other_paths(path: str) -> None:
    assert despelled(path.encode()) != b"/a/b/c"


# --- header fields ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        pytest.param([], b"origin", None, id="absent"),
        pytest.param([(b"origin", b"")], b"origin", b"", id="empty is not absent"),
        pytest.param([(b"origin", b"a")], b"origin", b"a", id="once"),
        pytest.param([(b"origin", b"a"), (b"origin", b"b")], b"origin", b"a,b", id="twice, by a comma"),
        pytest.param([(b"cookie", b"a"), (b"cookie", b"b"), (b"cookie", b"")], b"cookie", b"a; b; ", id="cookies by a semicolon"),
        pytest.param([(b"x-session-token", b"\xff")], b"x-session-token", b"\xff", id="bytes beyond ASCII"),
        pytest.param([(b"x-session-token", b"a")], b"x-session", None, id="a longer name"),
    ],
)
def test_a_header_is_read_alike_at_both_doors(fields: list[Field], name: bytes, value: bytes | None) -> None:
    assert ASGIRequest(scope_of(*fields)).header(name) == value
    assert WSGIRequest(environ_of(*fields)).header(name) == value


def test_text_that_is_not_latin_1_does_not_fail() -> None:
    """A server that breaks PEP 3333 must not break us."""
    assert WSGIRequest({"HTTP_ORIGIN": "https://\u20ac"}).header(b"origin") == b"https://?"


def test_the_address_of_the_peer() -> None:
    assert ASGIRequest(scope_of(client=("192.0.2.7", 5))).client() == "192.0.2.7"
    assert ASGIRequest(scope_of(client=None)).client() is None
    assert ASGIRequest(scope_of()).client() is None
    assert WSGIRequest(environ_of(REMOTE_ADDR="192.0.2.7")).client() == "192.0.2.7"
    assert WSGIRequest(environ_of(REMOTE_ADDR="")).client() is None
    assert WSGIRequest(environ_of()).client() is None


def test_a_forwarded_address_is_not_the_peers() -> None:
    assert WSGIRequest(environ_of((b"x-forwarded-for", b"192.0.2.7"), REMOTE_ADDR="198.51.100.1")).client() == "198.51.100.1"
    assert ASGIRequest(scope_of((b"x-forwarded-for", b"192.0.2.7"), client=("198.51.100.1", 1))).client() == "198.51.100.1"


# --- taking our credential out ----------------------------------------------------------------------------------------

STRIPPED: Sequence[tuple[str, list[Field], list[Field]]] = [
    ("nothing of ours", [(b"accept", b"*/*"), (b"cookie", b"a=1; b=2")], [(b"accept", b"*/*"), (b"cookie", b"a=1; b=2")]),
    ("only our cookie", [(b"cookie", PAIR), (b"accept", b"*/*")], [(b"accept", b"*/*")]),
    ("our cookie among others", [(b"cookie", b"a=1; " + PAIR + b'; b="x y"')], [(b"cookie", b'a=1; b="x y"')]),
    ("our cookie first", [(b"cookie", PAIR + b"; a=1")], [(b"cookie", b"a=1")]),
    ("our cookie thrice", [(b"cookie", PAIR + b"; a=1;" + PAIR + b" ;" + NAME + b"=x")], [(b"cookie", b"a=1")]),
    ("a forged cookie", [(b"cookie", NAME + b"=forged; a=1")], [(b"cookie", b"a=1")]),
    ("a quoted cookie", [(b"cookie", NAME + b'="' + SIGNED + b'"; a=1')], [(b"cookie", b"a=1")]),
    ("our name in other places", [(b"cookie", b"x" + PAIR + b"; a=" + PAIR)], [(b"cookie", b"x" + PAIR + b"; a=" + PAIR)]),
    ("token", [(b"x-session-token", TOKEN), (b"accept", b"*/*")], [(b"accept", b"*/*")]),
    ("foreign token", [(b"x-session-token", b"guest")], [(b"x-session-token", b"guest")]),
    ("token whose check fails", [(b"x-session-token", UNCHECKED)], [(b"x-session-token", UNCHECKED)]),
    ("token in a list", [(b"x-session-token", b"guest, " + TOKEN)], []),
    ("bearer", [(b"authorization", b"Bearer " + TOKEN)], []),
    ("bearer in a list", [(b"authorization", b"Basic x, bearer " + RIVAL)], []),
    ("foreign bearer", [(b"authorization", b"Bearer eyJ")], [(b"authorization", b"Bearer eyJ")]),
    ("basic", [(b"authorization", b"Basic YTpi")], [(b"authorization", b"Basic YTpi")]),
    ("all carriers", [(b"cookie", PAIR), (b"x-session-token", TOKEN), (b"authorization", b"Bearer " + TOKEN)], []),
]


BYSTANDERS: list[Field] = [(b"host", b"app.example"), (b"x-cookie", b"a"), (b"accept", b"*/*"), (b"accept", b"text/html")]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


def wsgi_app(environ: Any, start_response: Any) -> Any:
    raise NotImplementedError


ASGI = ASGIMiddleware(asgi_app, MemoryBackend(), secrets=[SECRET])
WSGI = WSGIMiddleware(wsgi_app, MemoryBackend(), secrets=[SECRET])


def found(fields: Iterable[Field]) -> list[Field]:
    """The fields that a door hands to its mode."""
    return [field for field in fields if field[0] in OWN_FIELDS]


@pytest.mark.parametrize(("fields", "kept"), [pytest.param(fields, kept, id=name) for name, fields, kept in STRIPPED])
def test_stripping_takes_our_credential_and_leaves_the_rest(fields: list[Field], kept: list[Field]) -> None:
    assert list(without_own(fields, NAME)) == kept


@pytest.mark.parametrize(("fields", "kept"), [pytest.param(fields, kept, id=name) for name, fields, kept in STRIPPED])
def test_what_is_left_stands_in_the_scope_in_place_of_it_and_all_else_as_it_was(fields: list[Field], kept: list[Field]) -> None:
    scope = scope_of(*BYSTANDERS[:2], *fields, *BYSTANDERS[2:], client=("192.0.2.7", 5))
    before = {**scope, "headers": [*scope["headers"]]}
    stripped = ASGI._with_fields(scope, without_own(found(fields), NAME))
    assert stripped["headers"] == scope_of(*BYSTANDERS[:2], *kept, *BYSTANDERS[2:])["headers"], "each in its place"
    assert {**stripped, "headers": ()} == {**scope, "headers": ()}
    assert (stripped is not scope, scope) == (True, before), "the server's own scope stays as it was"


@pytest.mark.parametrize(("fields", "kept"), [pytest.param(fields, kept, id=name) for name, fields, kept in STRIPPED])
def test_what_is_left_stands_in_the_environ_in_place_of_it_and_all_else_as_it_was(fields: list[Field], kept: list[Field]) -> None:
    environ = environ_of(*fields, SERVER_NAME="app.example")
    WSGI._put_fields(environ, without_own(fields_in(environ, OWN_FIELDS), NAME))
    assert environ == environ_of(*kept, SERVER_NAME="app.example")


def test_stripping_goes_through_every_field_of_the_same_name() -> None:
    fields = [(b"cookie", PAIR), (b"cookie", b"a=1"), (b"cookie", b"b=2; " + PAIR), (b"x-session-token", TOKEN), (b"x-session-token", b"a")]
    kept = [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x-session-token", b"a")]
    assert list(without_own(fields, NAME)) == kept
    assert ASGI._with_fields(scope_of(*fields), without_own(fields, NAME))["headers"] == kept


LEFT_ALONE: Mapping[str, dict[str, str]] = {
    "blanks around a cookie": {"HTTP_COOKIE": " a=1 ;", "HTTP_AUTHORIZATION": "Basic x"},
    "an empty cookie": {"HTTP_COOKIE": ""},
    "not Latin-1": {"HTTP_COOKIE": "a=\u20ac"},
}


@pytest.mark.parametrize("fields", LEFT_ALONE.values(), ids=LEFT_ALONE)
@pytest.mark.parametrize("token", ["guest", TOKEN.decode()], ids=["foreign token", "a token of ours beside it"])
def test_what_holds_no_credential_of_ours_is_left_in_the_environ_as_it_is(fields: dict[str, str], token: str) -> None:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return []

    door = WSGIMiddleware(application, MemoryBackend(), secrets=[SECRET], exempt_paths=["/static/"])
    door(environ_of(PATH_INFO="/static/x", HTTP_X_SESSION_TOKEN=token, **fields), lambda *_: lambda _: None)
    del seen["sessionward.sessions"]
    left = {**fields, "HTTP_X_SESSION_TOKEN": token} if token == "guest" else fields
    assert seen == environ_of(PATH_INFO="/static/x", **left)


def test_cookie_bytes_beyond_ascii_survive_in_an_environ() -> None:
    environ = environ_of((b"cookie", b"a=\xe9\xff; " + PAIR))
    WSGI._put_fields(environ, without_own(fields_in(environ, OWN_FIELDS), NAME))
    assert environ["HTTP_COOKIE"] == "a=\xe9\xff"
