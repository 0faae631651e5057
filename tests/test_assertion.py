"""The assertion of a sidecar about the caller: only a sidecar can, only for a minute, and only to whom it is meant."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import jwt
import pytest
import time_machine

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential
from sessionward.identify import Function
from sessionward.session.assertion import MAX_LENGTH, Signer, Verifier
from sessionward.session.impersonation import inherited
from tests.support.sessions import started

KEY, OLD, OTHER = (
    text.encode()
    for text in ("the sidecar signs with this: 0123456789", "and did with this: 0123456789abcdef", "nobody knows this one: 0123456789ab")
)
SECRET = "what our cookies are signed with: 0123456789"
NOW = 1_800_000_000.0
SESSION = sessionward.Session(id=UUID("12345678-1234-5678-1234-567812345678"), user_id="Zoë <ann@example.com>")


def made(claims: Any, header: bytes = b'{"alg":"HS256","typ":"JWT"}', key: bytes = KEY) -> bytes:
    """An assertion of anything, signed as it should be."""
    parts = [header, claims if isinstance(claims, bytes) else json.dumps(claims, separators=(",", ":")).encode()]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return text + b"." + base64.urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)).rstrip(b"=")


def claims(**changed: Any) -> dict[str, Any]:
    told = {"iss": "sessionward", "sub": "ann", "sid": str(SESSION.id), "iat": int(NOW), "exp": int(NOW) + 30, **changed}
    return {name: value for name, value in told.items() if value is not None}


def test_what_is_signed_is_accepted() -> None:
    found = Verifier([KEY]).verify(Signer([KEY]).sign(SESSION, NOW), NOW)
    assert found == SESSION


def test_it_says_who_acts_as_the_user() -> None:
    acting = replace(SESSION, kind="impersonation", actor="root")
    signed = Signer([KEY]).sign(acting, NOW)
    assert Verifier([KEY]).verify(signed, NOW) == acting
    assert jwt.decode(signed, KEY, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})["act"] == {"sub": "root"}


def test_it_says_when_an_impersonation_ends_and_so_a_sign_in_there_ends_with_it() -> None:
    end = datetime.fromtimestamp(NOW + 90.5, UTC)
    acting = replace(SESSION, kind="impersonation", actor="root", issued_at=None, expires_at=end)
    for session in (acting, replace(acting, ends_at=end, expires_at=end - timedelta(seconds=60))):
        found = Verifier([KEY]).verify(Signer([KEY]).sign(session, NOW), NOW)
        assert found is not None
        assert found.ends_at == datetime.fromtimestamp(int(NOW + 90.5), UTC)
        inherits = inherited("ann", found)
        assert inherits is not None
        assert inherits.until == found.ends_at
    for wrong in ("soon", True, 1.5, 10**30):
        found = Verifier([KEY]).verify(made(claims(act={"sub": "root"}, session_expiry=wrong)), NOW)
        assert found is None or found.ends_at is None


def test_an_old_secret_is_still_accepted_and_the_first_one_signs() -> None:
    assert Verifier([KEY, OLD]).verify(Signer([OLD]).sign(SESSION, NOW), NOW) == SESSION
    assert Verifier([KEY]).verify(Signer([OLD, KEY]).sign(SESSION, NOW), NOW) is None


def test_a_library_of_anybody_verifies_it() -> None:
    with time_machine.travel(NOW, tick=False):
        found = jwt.decode(Signer([KEY], "shop").sign(SESSION, NOW), KEY, algorithms=["HS256"], audience="shop", issuer="sessionward")
    assert found == {
        "iss": "sessionward",
        "aud": "shop",
        "sub": SESSION.user_id,
        "sid": str(SESSION.id),
        "iat": int(NOW),
        "exp": int(NOW) + 30,
    }


def test_one_changed_character_anywhere_is_refused() -> None:
    value = Signer([KEY]).sign(SESSION, NOW)
    verifier = Verifier([KEY])
    for place in range(len(value)):
        for other in b"Ax-.":
            changed = value[:place] + bytes([other]) + value[place + 1 :]
            assert changed == value or verifier.verify(changed, NOW) is None
    assert verifier.verify(value + b"=", NOW) is None
    assert verifier.verify(value[:-1], NOW) is None


ACCEPTED = {
    "as it should be": claims(),
    "a minute": claims(exp=int(NOW) + 60),
    "our clock is behind by less than the skew": claims(iat=int(NOW) + 5, exp=int(NOW) + 30),
}
REFUSED = {
    "longer than a minute": claims(exp=int(NOW) + 61),
    "expired": claims(iat=int(NOW) - 30, exp=int(NOW)),
    "from the future": claims(iat=int(NOW) + 6, exp=int(NOW) + 30),
    "another issuer": claims(iss="somebody"),
    "for another audience": claims(aud="forum"),
    "no user": claims(sub=None),
    "an empty user": claims(sub=""),
    "a user with a control character": claims(sub="a\nb"),
    "a number for a user": claims(sub=1),
    "no session": claims(sid=None),
    "an empty session": claims(sid=""),
    "a session that is no UUID": claims(sid="1"),
    "an actor that is no user": claims(act={"sub": ""}),
    "an actor without an id": claims(act={}),
    "an actor that is not an object": claims(act="root"),
    "times as text": claims(iat=str(int(NOW))),
    "true for a time": claims(exp=True),
    "a list": [1],
    "no JSON": b"{",
    "not UTF-8": b'"\xff"',
}


@pytest.mark.parametrize("told", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(told: Any) -> None:
    assert Verifier([KEY]).verify(made(told), NOW) == sessionward.Session(id=SESSION.id, user_id="ann")


@pytest.mark.parametrize("told", REFUSED.values(), ids=REFUSED)
def test_refused(told: Any) -> None:
    assert Verifier([KEY]).verify(made(told), NOW) is None


@pytest.mark.parametrize(
    "header",
    [b'{"typ":"JWT","alg":"HS256"}', b'{"alg":"none","typ":"JWT"}', b'{"alg":"HS512","typ":"JWT"}', b'{"alg": "HS256","typ":"JWT"}'],
)
def test_only_our_own_header_is_taken(header: bytes) -> None:
    assert Verifier([KEY]).verify(made(claims(), header), NOW) is None


def test_a_foreign_key_no_signature_and_a_very_long_one_are_refused() -> None:
    verifier = Verifier([KEY])
    assert verifier.verify(made(claims(), key=OTHER), NOW) is None
    assert verifier.verify(made(claims()).rpartition(b".")[0] + b".", NOW) is None
    assert verifier.verify(made(claims(more="x" * MAX_LENGTH)), NOW) is None
    assert Verifier([KEY], "shop").verify(made(claims()), NOW) is None


@pytest.mark.parametrize("lifetime", [0.5, 61])
def test_a_lifetime_beyond_a_minute_cannot_be_had(lifetime: float) -> None:
    with pytest.raises(ValueError, match="60 seconds"):
        Signer([KEY], lifetime=lifetime)


# --- in the doors -----------------------------------------------------------------------------------------------------


class Seen:
    """What the application saw of a request."""

    def __init__(self) -> None:
        self.user: str | None = "not called"
        self.fields: dict[str, str] = {}
        self.verb: Any = None
        self.outcome: object = None


def by_asgi(
    backend: Any, fields: Iterable[tuple[str, str]], verb: str | None = None, path: str = "/", method: str = "GET", **settings: Any
) -> tuple[Seen, int]:
    seen, sent = Seen(), list[Any]()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        sessions = sessionward.of(scope)
        seen.user = sessions.current and sessions.current.user_id
        seen.fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        if verb:
            seen.outcome = await getattr(sessions, verb)()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "client": ("127.0.0.1", 1), "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in fields],
    }  # fmt: skip
    asyncio.run(sessionward.ASGIMiddleware(application, backend, secrets=[SECRET], **settings)(scope, _never, send))
    return seen, sent[0]["status"]


async def _never() -> Any:
    raise AssertionError("nobody reads the body")


def by_wsgi(
    backend: Any, fields: Iterable[tuple[str, str]], verb: str | None = None, path: str = "/", method: str = "GET", **settings: Any
) -> tuple[Seen, int]:
    seen, statuses = Seen(), list[int]()

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        sessions = sessionward.of(environ)
        seen.user = sessions.current and sessions.current.user_id
        seen.fields = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        if verb:
            seen.outcome = getattr(sessions, verb)()
        start_response("200 OK", [])
        return [b""]

    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "REMOTE_ADDR": "127.0.0.1"}
    for name, value in fields:
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value

    def start_response(status: str, _headers: Any, _exc_info: Any = None, /) -> Any:
        statuses.append(int(status[:3]))

    list(sessionward.WSGIMiddleware(application, backend, secrets=[SECRET], **settings)(environ, start_response))
    return seen, statuses[0]


doors = pytest.mark.parametrize("through", [by_asgi, by_wsgi], ids=["ASGI", "WSGI"])
SPOOFED = [("X-Session-User", "eve"), ("X-Session-Id", "666")]
NAMES = ("x-session-user", "x-session-id", "x-session-assertion")


def signed_in(backend: Any, user: str = "ann") -> tuple[sessionward.Session, str]:
    return started(backend, user)


@pytest.fixture(autouse=True)
def _now() -> Iterable[None]:
    with time_machine.travel(NOW, tick=True):
        yield


def stated(session: sessionward.Session, key: bytes = KEY) -> list[tuple[str, str]]:
    return [
        ("X-Session-User", quote(session.user_id)),
        ("X-Session-Id", str(session.id)),
        ("X-Session-Assertion", Signer([key]).sign(session, NOW).decode()),
    ]


class Unasked(MemoryBackend):
    """Fails when it is asked for a session."""

    def find(self, credential: Credential, /) -> sessionward.Session | None:
        raise AssertionError("the statement is enough")


@doors
def test_a_valid_statement_is_believed_without_asking_the_backend(through: Any) -> None:
    seen, _ = through(Unasked(), stated(SESSION), assertion_secrets=[KEY])
    assert seen.user == SESSION.user_id
    assert set(NAMES) <= set(seen.fields)


@doors
def test_it_decides_over_a_credential_in_the_same_request(through: Any) -> None:
    backend = Unasked()
    seen, _ = through(backend, [*stated(SESSION), ("X-Session-Token", signed_in(backend)[1])], assertion_secrets=[KEY])
    assert seen.user == SESSION.user_id


@doors
@pytest.mark.parametrize("path", ["/", "/static/x"])
@pytest.mark.parametrize("name", ["X-Session-User", "X-Session-Id", "x-session_user", "X_Session_Id"])
def test_what_contradicts_a_valid_one_is_taken_out(through: Any, name: str, path: str) -> None:
    """A sidecar removes what its client says; an assertion that was copied off a log does not."""
    fields = [field for field in stated(SESSION) if field[0] != name.replace("_", "-").title()]
    seen, _ = through(Unasked(), [*fields, (name, "eve")], path=path, assertion_secrets=[KEY], exempt_paths=("/static/",))
    assert seen.user == SESSION.user_id
    assert "eve" not in "".join(seen.fields.values())


@doors
def test_a_cookie_of_ours_beside_a_valid_one_does_not_reach_an_exempt_path(through: Any) -> None:
    cookie = ("Cookie", f"a=1; __Host-session-ward={'x' * 75}")
    seen, _ = through(Unasked(), [cookie, *stated(SESSION)], path="/static/x", assertion_secrets=[KEY], exempt_paths=("/static/",))
    assert (seen.user, seen.fields["cookie"]) == (SESSION.user_id, "a=1")
    assert set(NAMES) <= set(seen.fields)


NOT_ACCEPTED = {
    "none": SPOOFED,
    "a foreign one": [*SPOOFED, *stated(SESSION, OTHER)],
    "an empty one": [*SPOOFED, ("X-Session-Assertion", "")],
    "two": [*stated(SESSION), stated(SESSION)[2]],
    "underscores": [("X_Session_User", "eve"), ("x_session-id", "666"), ("X_Session_Assertion", "a.b.c")],
}


@doors
@pytest.mark.parametrize("fields", NOT_ACCEPTED.values(), ids=NOT_ACCEPTED)
def test_without_a_valid_one_all_three_fields_are_taken_out(through: Any, fields: Any) -> None:
    seen, _ = through(MemoryBackend(), [*fields, ("X-Other", "1")], assertion_secrets=[KEY])
    assert seen.user is None
    assert {name.replace("_", "-") for name in seen.fields} == {"x-other"}


@doors
def test_without_a_valid_one_a_credential_counts_as_ever(through: Any) -> None:
    backend = MemoryBackend()
    seen, _ = through(backend, [*SPOOFED, ("X-Session-Token", signed_in(backend, "bob")[1])], assertion_secrets=[KEY])
    assert seen.user == "bob"
    assert set(seen.fields).isdisjoint(NAMES)


@doors
def test_without_the_setting_the_fields_are_the_applications_own(through: Any) -> None:
    seen, _ = through(MemoryBackend(), SPOOFED)
    assert seen.user is None
    assert seen.fields["x-session-user"] == "eve"


@doors
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_verbs_work_on_the_session_that_was_stated(through: Any, kind: str, sqlite_url: str) -> None:
    backend: Any = MemoryBackend() if kind == "memory" else SQLBackend(sqlite_url)
    if kind == "sqlite":
        backend.create_tables()
    with time_machine.travel(NOW, tick=True):
        session, token = signed_in(backend)
        _, other = signed_in(backend)
        seen, _ = through(backend, stated(session), "revoke_others", assertion_secrets=[KEY])
        assert seen.outcome == 1
        assert backend.find(Credential(token.encode())) is not None
        assert backend.find(Credential(other.encode())) is None
        through(backend, stated(session), "logout", assertion_secrets=[KEY])
        assert backend.find(Credential(token.encode())) is None
        with pytest.raises(sessionward.SessionRevoked):
            through(backend, stated(session), "revoke_others", assertion_secrets=[KEY])
    getattr(backend, "close", int)()


@doors
def test_it_is_no_credential_for_our_own_route(through: Any) -> None:
    backend = MemoryBackend()
    session, _ = signed_in(backend)
    seen, status = through(backend, stated(session), None, "/auth/sessions", "DELETE", assertion_secrets=[KEY])
    assert status == 401
    assert seen.user == "not called"


def test_remote_user_is_who_was_stated() -> None:
    users = []

    def application(environ: Any, start_response: Any) -> Iterable[bytes]:
        users.append(environ.get("REMOTE_USER"))
        start_response("200 OK", [])
        return []

    door = sessionward.WSGIMiddleware(application, MemoryBackend(), secrets=[SECRET], assertion_secrets=[KEY], remote_user=True)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_X_SESSION_ASSERTION": made(claims()).decode()}
    list(door(environ, lambda *_: print))
    assert users == ["ann"]


def test_a_websocket_handshake_is_believed_alike() -> None:
    users = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        session = sessionward.of(scope).current
        users.append(session and session.user_id)

    fields = [(name.lower().encode(), value.encode()) for name, value in stated(SESSION)]
    scope = {"type": "websocket", "path": "/", "raw_path": b"/", "headers": fields, "root_path": ""}
    door = sessionward.ASGIMiddleware(application, Unasked(), secrets=[SECRET], assertion_secrets=[KEY])
    asyncio.run(door(scope, _never, _never))  # type: ignore[arg-type]
    assert users == [SESSION.user_id]


@pytest.mark.parametrize("door", [sessionward.ASGIMiddleware, sessionward.WSGIMiddleware])
def test_it_does_not_go_with_an_identifier(door: Any) -> None:
    identify = Function(lambda name, value: None, cookies=["sid"])
    with pytest.raises(sessionward.ConfigurationError, match="assertion_secrets: must not be set together with identify"):
        door(lambda *_: None, MemoryBackend(), secrets=[SECRET], assertion_secrets=[KEY], identify=identify)
