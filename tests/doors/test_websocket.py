"""WebSocket handshakes: guarded like any request, refused before they are accepted, and able to sign in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

import sessionward
from sessionward.credential.token import new_token
from tests.doors.keepers import Memory
from tests.doors.servers import PATIENCE, Client, Server, signed_in, town_on
from tests.doors.sides import COOKIE, SECRET, TEXT, ASGIHouse, town
from tests.doors.test_scenarios import cookie, signed

Messages = list[dict[str, Any]]
Scope = dict[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

DENIAL: Final[Scope] = {"websocket.http.response": {}}
"""The extension by which a server can be told a whole answer in place of a handshake."""


def handshake(app: Application, backend: Any, *fields: tuple[str, str], extensions: Any = None, **settings: Any) -> tuple[Messages, Scope]:
    """What the door sends to the server, and the scope that it was given."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    scope: Scope = {"type": "websocket", "path": "/", "raw_path": b"/", "query_string": b"", "headers": headers, "subprotocols": []}
    if extensions is not None:
        scope["extensions"] = extensions
    given = iter(
        [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}, {"type": "websocket.disconnect", "code": 1000}]
    )
    sent: Messages = []

    async def receive() -> Any:
        return next(given)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(sessionward.ASGIMiddleware(app, backend, secrets=[SECRET], **settings)(scope, receive, send))  # type: ignore[arg-type]
    return sent, scope


class Echo:
    """Accepts, says who is there, and echoes."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        self.scope, self.calls = scope, self.calls + 1
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "subprotocol": "chat", "headers": []})
        session = sessionward.of(scope).current
        await send({"type": "websocket.send", "text": "nobody" if session is None else session.user_id})
        while (message := await receive())["type"] == "websocket.receive":
            await send(message | {"type": "websocket.send"})


def live_token(backend: Memory, user: str = "ann") -> str:
    house = ASGIHouse(town, backend)
    try:
        return house.ask("POST", f"/login/{user}").body.decode()
    finally:
        house.close()


def header(messages: Messages, name: bytes) -> list[bytes]:
    return [value for key, value in messages[0]["headers"] if key == name]


# --- raw ASGI ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["cookie", "token", "bearer"])
def test_a_live_session_is_attached_and_the_messages_pass(carrier: str) -> None:
    backend, app = Memory(), Echo()
    token = live_token(backend)
    field = {"cookie": cookie(signed(token)), "token": ("X-Session-Token", token), "bearer": ("Authorization", f"Bearer {token}")}[carrier]
    sent, scope = handshake(app, backend, field)
    assert sent == [
        {"type": "websocket.accept", "subprotocol": "chat", "headers": []},
        {"type": "websocket.send", "text": "ann"},
        {"type": "websocket.send", "text": "hello"},
    ]
    assert app.scope is scope


def test_without_a_credential_the_scope_passes_as_it_is() -> None:
    app = Echo()
    sent, scope = handshake(app, Memory(), ("Cookie", "a=1"))
    assert app.scope is scope
    assert sent[1]["text"] == "nobody"


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(cookie(signed(new_token())), id="unknown"),
        pytest.param(cookie("forged"), id="forged"),
        pytest.param(("X-Session-Token", new_token()), id="a token"),
        pytest.param(("Authorization", f"Bearer {new_token()}"), id="a bearer"),
    ],
)
def test_an_invalid_credential_is_taken_out(field: tuple[str, str]) -> None:
    app = Echo()
    sent, _ = handshake(app, Memory(), field, ("X-Other", "kept"))
    assert sent[1]["text"] == "nobody"
    assert app.scope["headers"] == [(b"x-other", b"kept")]


def outage() -> Memory:
    backend = Memory()
    backend.fail(sessionward.BackendUnavailable("gone"))
    return backend


REFUSED: Final = [
    pytest.param(cookie(signed(new_token())), Memory, "reject", 401, "session_inactive", id="invalid, rejected"),
    pytest.param(cookie(signed(new_token()), signed(new_token())), Memory, "strip", 400, "ambiguous_credentials", id="ambiguous"),
    pytest.param(cookie(signed(new_token())), outage, "strip", 503, "backend_unavailable", id="an outage"),
]


@pytest.mark.parametrize(("field", "backend", "on_invalid", "status", "error"), REFUSED)
def test_a_refusal_is_a_whole_answer_where_the_server_can_give_one(
    field: tuple[str, str], backend: Callable[[], Memory], on_invalid: str, status: int, error: str
) -> None:
    app = Echo()
    (start, body), _ = handshake(app, backend(), field, extensions=DENIAL, on_invalid=on_invalid)
    assert (start["type"], start["status"], app.calls) == ("websocket.http.response.start", status, 0)
    assert body["type"] == "websocket.http.response.body"
    assert f'"id": "{error}"'.encode() in body["body"]
    assert (b"cache-control", b"no-store") in start["headers"]


@pytest.mark.parametrize(("field", "backend", "on_invalid", "status", "error"), REFUSED)
@pytest.mark.parametrize("extensions", [None, {}, {"tls": {}}], ids=["no extensions", "none", "others"])
def test_a_refusal_is_a_close_before_the_handshake_where_it_cannot(
    field: tuple[str, str], backend: Callable[[], Memory], on_invalid: str, status: int, error: str, extensions: Any
) -> None:
    app = Echo()
    sent, _ = handshake(app, backend(), field, extensions=extensions, on_invalid=on_invalid)
    assert ([message["type"] for message in sent], sent[0]["code"], app.calls) == (["websocket.close"], 1008, 0)


def test_the_cross_site_rule_is_the_applications_own_affair_here() -> None:
    backend = Memory()
    fields = (cookie(signed(live_token(backend))), ("Origin", "https://evil.test"), ("Sec-Fetch-Site", "cross-site"))
    sent, _ = handshake(Echo(), backend, *fields)
    assert sent[1]["text"] == "ann"


def test_a_login_at_the_handshake_sets_its_cookie_on_the_accept() -> None:
    async def signs_in(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await receive()
        sessions = sessionward.of(scope)
        await sessions.login("ann")
        await send({"type": "websocket.accept", "headers": [(b"x-own", b"1"), (b"set-cookie", b"theme=dark")]})
        with pytest.raises(sessionward.UsageError, match="head"):
            await sessions.login("ann")
        await send({"type": "websocket.close", "code": 1000})

    sent, _ = handshake(signs_in, Memory())
    theme, own = header(sent, b"set-cookie")
    assert theme == b"theme=dark"
    assert own.startswith(f"{COOKIE}=".encode())
    assert (header(sent, b"x-own"), header(sent, b"cache-control")) == ([b"1"], [b"no-store"])


@pytest.mark.parametrize("head", ["websocket.accept", "websocket.http.response.start"])
def test_p9_a_login_that_is_revoked_before_the_head_sets_no_cookie(head: str) -> None:
    backend = Memory()

    async def overtaken(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await receive()
        await sessionward.of(scope).login("ann")
        backend.revoke_all("ann")
        await send({"type": head, "status": 403, "headers": [(b"set-cookie", b"theme=dark")]})

    sent, _ = handshake(overtaken, backend, extensions=DENIAL)
    assert (sent[0]["type"], header(sent, b"set-cookie")) == (head, [b"theme=dark"])


def test_an_accept_without_headers_gets_its_cookie_too() -> None:
    async def signs_in(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await receive()
        await sessionward.of(scope).login("ann")
        await send({"type": "websocket.accept"})

    sent, _ = handshake(signs_in, Memory())
    assert len(header(sent, b"set-cookie")) == 1


def test_an_accept_without_a_cookie_of_ours_passes_as_the_same_object() -> None:
    accept = {"type": "websocket.accept", "headers": [*[(name.lower().encode(), value.encode()) for name, value in TEXT]]}

    async def accepts(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await send(accept)

    for fields in ([], [cookie(signed(new_token()))]):
        sent, _ = handshake(accepts, Memory(), *fields)
        assert sent[0] is accept


# --- over uvicorn -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["uvicorn h11", "hypercorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with town_on(request.param, tmp_path_factory.mktemp("town")) as server:
        yield server


def opened(server: Server, path: str, *fields: tuple[str, str]) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{server.port}{path}", additional_headers=fields, proxy=None, open_timeout=PATIENCE)


def test_a_socket_knows_its_user_and_the_next_one_does_not_after_the_button(server: Server) -> None:
    first, second = signed_in(server, "ann", "ann")
    for client in (first, second):
        with opened(server, "/socket", ("Cookie", client.cookie)) as socket:
            assert socket.recv(PATIENCE) == "ann"
            socket.send("hello")
            assert socket.recv(PATIENCE) == "hello"
    assert first.press().json() == {"count": 1}
    with opened(server, "/socket", ("Cookie", second.cookie)) as socket:
        assert socket.recv(PATIENCE) == "nobody"


def test_a_handshake_signs_in_with_a_cookie_that_works(server: Server) -> None:
    with opened(server, "/login/bob") as socket:
        assert socket.recv(PATIENCE) == "bob"
        assert socket.response is not None
        set_cookie = socket.response.headers["Set-Cookie"]
    assert Client(server, set_cookie.partition(";")[0]).me() == "bob"


def test_an_ambiguous_handshake_is_refused_before_it_is_accepted(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(server, "/socket", cookie(signed(new_token()), signed(new_token()))):
        raise AssertionError
    assert refused.value.response.status_code == 400
    assert b"ambiguous_credentials" in refused.value.response.body
