"""The authorization service: 2xx where a session is proven, 401 or 503 for everything else, and no other status."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.token import Credential, Signature, new_token
from sessionward.drive import async_driver
from sessionward.modes.choose import choose
from sessionward.sidecar.authz.asgi import Checks, nothing_here
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.authz.settings import AuthzSettings
from sessionward.sidecar.peers import Believing, Peers
from sessionward.sidecar.straight import StraightChecks
from tests.sidecar.listening import listening
from tests.sidecar.stage import read_answer
from tests.support.sessions import started

SECRET = "a secret of the tests, long enough: 0123456789"
COOKIE = "__Host-session-ward"
PEER = ("127.0.0.1", 1)
Field = tuple[str, str]


class Signs:
    def sign(self, session: sessionward.Session, now: float, /) -> bytes:
        return f"{session.user_id} at {now}".encode()


class Answer:
    def __init__(self, messages: list[Any]) -> None:
        start, *rest = messages
        self.status: int = start["status"]
        self.fields = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = b"".join(message["body"] for message in rest)
        assert len(start["headers"]) == len(self.fields)


class Service:
    """The service in process."""

    def __init__(
        self, backend: Any = None, *, peers: Iterable[str] = ("127.0.0.1",), signer: Any = None, passes: Any = None, **settings: Any
    ) -> None:
        self.backend = MemoryBackend() if backend is None else backend
        trusted = Peers(peers)
        settings = {"secrets": [SECRET], **settings}
        mode = choose(self.backend, settings)
        self.peers = trusted
        self.rules = Rules(mode, passes or AuthzSettings(), signer=signer, clock=lambda: 5.0)
        driver = async_driver(self.backend, 2.0, is_async=mode.is_async, blocks=mode.blocks)
        self.app = Believing(
            Checks(sessionward.ASGIMiddleware(nothing_here, self.backend, **settings), self.rules, trusted, driver), trusted
        )

    def login(self, user: str = "ann") -> str:
        return started(self.backend, user)[1]

    def ask(self, path: str = "/authz", *fields: Field, method: str = "GET", client: Any = PEER, kind: str = "http") -> Answer:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("nobody reads a body")

        scope = {
            "type": kind, "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
            "client": client, "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in fields],
        }  # fmt: skip
        asyncio.run(self.app(scope, receive, send))
        return Answer(sent)


def cookie(token: str) -> Field:
    return "Cookie", f"{COOKIE}={Signature([SECRET.encode()], 'cookie').sign(token.encode()).decode()}"


IDENTITY = ("x-session-user", "x-session-id", "x-session-assertion")
CARRIERS = ("cookie", "authorization", "x-session-token")


@pytest.mark.parametrize(
    "path", ["/authz", "/authz/nginx", "/authz/forward", "/authz/haproxy", "/authz/optional", "/authz/optional/forward"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "OPTIONS"])
def test_a_live_session_passes_whatever_the_engine_appends(path: str, method: str) -> None:
    service = Service()
    mine, other = service.login("ann@example.com"), service.login("ann@example.com")
    answer = service.ask(path, cookie(mine), method=method)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.fields["x-session-user"] == "ann%40example.com"
    assert answer.fields["cache-control"] == "no-store"
    assert set(IDENTITY) | set(CARRIERS) <= set(answer.fields)
    assert service.backend.find(Credential(other.encode())) is not None  # nothing is revoked by a check


@pytest.mark.parametrize("path", ["/authz/200", "/authz/200/auth/sessions", "/authz/optional/200", "/authz/optional/200/x"])
def test_an_engine_that_wants_exactly_200_gets_it(path: str) -> None:
    service = Service()
    answer = service.ask(path, cookie(service.login()))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.fields["content-length"] == "0"


def test_the_assertion_is_signed_for_the_session_that_was_found() -> None:
    service = Service(signer=Signs())
    assert service.ask("/authz", cookie(service.login())).fields["x-session-assertion"] == "ann at 5.0"
    assert service.ask("/authz/optional").fields["x-session-assertion"] == ""


def invalid(service: Service) -> Field:
    token = service.login()
    session = service.backend.find(Credential(token.encode()))
    assert session is not None
    service.backend.revoke(session.user_id, session.id)
    return cookie(token)


VISITORS: dict[str, Callable[[Service], list[Field]]] = {
    "nothing": lambda _: [],
    "a forged cookie": lambda _: [("Cookie", f"theme=dark; {COOKIE}=forged; a=b")],
    "a revoked cookie": lambda service: [("Cookie", "theme=dark"), invalid(service), ("Cookie", "a=b")],
    "an unknown token": lambda _: [("X-Session-Token", new_token())],
    "an unknown bearer": lambda _: [("Authorization", f"Bearer {new_token()}")],
}


@pytest.mark.parametrize("fields", VISITORS.values(), ids=VISITORS)
def test_a_visitor_is_refused_or_passes_without_identity_and_without_what_is_invalid(fields: Any) -> None:
    service = Service()
    given = fields(service)
    answer = service.ask("/authz", *given)
    assert answer.status == 401
    assert answer.fields["www-authenticate"].startswith("Bearer")
    assert json.loads(answer.body)["error"]["id"] == "session_inactive"
    passed = service.ask("/authz/optional", *given)
    assert passed.status == 204
    assert [passed.fields[name] for name in IDENTITY] == ["", "", ""]
    assert passed.fields["x-session-token"] == passed.fields["authorization"] == ""
    assert COOKIE not in passed.fields["cookie"]
    if any("theme" in value for _, value in given):
        assert passed.fields["cookie"] == "theme=dark; a=b"


def test_credentials_of_the_applications_own_go_on_as_they_are() -> None:
    service = Service()
    answer = service.ask("/authz/optional", ("Authorization", "Basic YTpi"), ("Cookie", "sid=1"), ("X-Session-Token", "not ours"))
    assert [answer.fields[name] for name in CARRIERS] == ["sid=1", "Basic YTpi", "not ours"]


def test_with_reject_an_invalid_credential_is_refused_even_where_visitors_pass() -> None:
    service = Service(on_invalid="reject")
    assert service.ask("/authz/optional", invalid(service)).status == 401
    assert service.ask("/authz/optional").status == 204


def signed() -> str:
    """A cookie value of some session that does not exist."""
    return Signature([SECRET.encode()], "cookie").sign(new_token().encode()).decode()


HOSTILE: dict[str, list[Field]] = {
    "two cookies": [("Cookie", f"{COOKIE}={signed()}; {COOKIE}={signed()}")],
    "two tokens": [("X-Session-Token", new_token()), ("X-Session-Token", new_token())],
    "a huge cookie": [("Cookie", "a" * 60_000)],
    "an upgrade": [("Upgrade", "websocket"), ("Connection", "Upgrade")],
    "a body that is announced": [("Content-Length", "5")],
    "a cross-site page": [("Cookie", f"{COOKIE}=x"), ("Sec-Fetch-Site", "cross-site")],
    "rubbish": [("Cookie", "\xff\x80;;;=;"), ("Authorization", "Bearer"), ("X-Forwarded-For", "nonsense")],
    "a spoofed identity": [("X-Session-User", "eve"), ("X-Session-Id", "1")],
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("path", ["/authz", "/authz/200", "/authz/auth/sessions"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_whatever_comes_it_is_a_401_and_nothing_else(fields: list[Field], path: str, method: str) -> None:
    answer = Service().ask(path, *fields, method=method)
    assert answer.status == 401
    assert "x-session-user" not in answer.fields


class Silent(MemoryBackend):
    def find(self, credential: Credential, /) -> sessionward.Session | None:
        raise OSError("the disk is gone")


@pytest.mark.parametrize("path", ["/authz", "/authz/optional", "/authz/200"])
def test_a_backend_that_cannot_say_is_a_503(path: str) -> None:
    service = Service(Silent())
    answer = service.ask(path, cookie(new_token()))
    assert answer.status == 503
    assert "retry-after" in answer.fields
    assert "x-session-user" not in answer.fields


PEERS = {
    "another address": (("127.0.0.1",), ("10.0.0.9", 1), 401),
    "of a network": (("10.0.0.0/8",), ("10.0.0.9", 1), 204),
    "nobody is trusted": ((), PEER, 401),
    "a unix socket that is not listed": (("127.0.0.1",), None, 401),
    "a unix socket that is": (("unix",), None, 204),
}


@pytest.mark.parametrize(("peers", "client", "status"), PEERS.values(), ids=PEERS)
def test_only_peers_that_are_trusted_are_answered(peers: Any, client: Any, status: int, caplog: pytest.LogCaptureFixture) -> None:
    service = Service(peers=peers)
    with caplog.at_level(logging.WARNING, logger="sessionward"):
        assert service.ask("/authz", cookie(service.login()), client=client).status == status


def test_the_address_of_the_client_is_what_the_trusted_engine_says() -> None:
    service = Service()
    service.ask("/authz", cookie(service.login()), ("X-Forwarded-For", "6.6.6.6, 203.0.113.9"))
    token = service.login()
    answer = service.ask("/auth/sessions", cookie(token), ("X-Forwarded-For", "203.0.113.9"), method="DELETE")
    assert (answer.status, answer.body) == (200, b'{"count": 1}')


@pytest.mark.parametrize("path", ["/", "/authzx", "/AUTHZ", "/x/authz", "//authz"])
def test_elsewhere_there_is_nothing(path: str) -> None:
    service = Service()
    answer = service.ask(path, cookie(service.login()))
    assert answer.status == 404
    assert json.loads(answer.body)["error"]["id"] == "not_found"


def test_the_endpoint_is_on_the_same_port_with_its_own_statuses() -> None:
    service = Service()
    assert service.ask("/auth/sessions", method="DELETE").status == 401
    assert service.ask("/auth/sessions", ("Cookie", f"{COOKIE}={signed()}; {COOKIE}={signed()}"), method="DELETE").status == 400
    assert service.ask("/auth/sessions", cookie(service.login()), ("Sec-Fetch-Site", "cross-site"), method="DELETE").status == 403


# --- answered at once, where the backend never waits ------------------------------------------------------------------


def test_a_check_that_is_answered_at_once_says_the_same_as_one_that_is_not() -> None:
    service = Service(signer=Signs())
    live, gone = service.login(), invalid(service)
    requests = [
        (path, fields)
        for path in ("/authz", "/authz/", "/authz/200/x", "/authz/optional", "/authz/optional/200", "/authzx", "/")
        for fields in (
            [],
            [cookie(live)],
            [gone],
            [("X-Session-Token", live)],
            [cookie(live), gone],
            [("Cookie", "a=b")],
            *HOSTILE.values(),
        )
        if ("Content-Length", "5") not in fields
    ]

    async def story() -> None:
        straight = StraightChecks(service.rules, service.peers, service.backend, service.app, None)
        async with listening(service.app, straight=straight) as at_once, listening(service.app) as later:
            streams = [await asyncio.open_connection("127.0.0.1", port) for port in (at_once, later)]
            for path, fields in requests:
                lines = [f"GET {path} HTTP/1.1", "Host: a", "X-Request-Id: 1", *(f"{name}: {value}" for name, value in fields)]
                answers = []
                for reader, writer in streams:
                    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
                    answers.append(await read_answer(reader))
                assert answers[0] == answers[1], (path, fields)
            for _, writer in streams:
                writer.close()

    asyncio.run(story())


def test_pipelined_checks_are_answered_in_order_and_a_draining_service_closes() -> None:
    service = Service()
    name, value = cookie(service.login())
    draining = [False]

    async def story() -> None:
        straight = StraightChecks(service.rules, service.peers, service.backend, service.app, None)
        async with listening(service.app, straight=straight, draining=lambda: draining[0]) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            check = f"GET /authz HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\r\n"
            anonymous = "GET /authz HTTP/1.1\r\nHost: a\r\n\r\n"
            writer.write((check + anonymous + check + anonymous).encode())
            assert [(await read_answer(reader))[9:12] for _ in range(4)] == [b"204", b"401", b"204", b"401"]
            draining[0] = True
            writer.write(check.encode())
            assert b"connection: close" in await read_answer(reader)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(story())
