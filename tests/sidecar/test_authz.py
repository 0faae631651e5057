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
from sessionward.response.answer import Response
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.authz.service import Checks
from sessionward.sidecar.authz.settings import AuthzSettings
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from sessionward.sidecar.gate import Gate
from tests.sidecar.listening import listening
from tests.sidecar.stage import read_answer
from tests.support.sessions import started

SECRET = "a secret of the tests, long enough: 0123456789"
COOKIE = "__Host-session-ward"
PEER = "127.0.0.1"
Field = tuple[str, str]


class Signs:
    def sign(self, session: sessionward.Session, now: float, /) -> bytes:
        return f"{session.user_id} at {now}".encode()


class Answer:
    def __init__(self, response: Response) -> None:
        self.status = int(response.status)
        self.fields = {name.decode(): value.decode() for name, value in response.headers}
        self.body = response.body
        assert len(response.headers) == len(self.fields)


class Caught:
    """In place of the connection of an engine."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.response = loop.create_future()

    def respond(self, response: Response, result: str) -> None:
        self.response.set_result(response)


class Service:
    """The service in process."""

    def __init__(
        self, backend: Any = None, *, peers: Iterable[str] = ("127.0.0.1",), signer: Any = None, passes: Any = None, **settings: Any
    ) -> None:
        self.backend = MemoryBackend() if backend is None else backend
        self.trusted = TrustedProxies(peers)
        gate = Gate(self.backend, {"secrets": [SECRET], **settings})
        self.checks = Checks(gate, Rules(gate.mode, passes or AuthzSettings(), signer=signer, clock=lambda: 5.0))

    def login(self, user: str = "ann") -> str:
        return started(self.backend, user)[1]

    def ask(self, path: str = "/authz", *fields: Field, method: str = "GET", client: str | None = PEER) -> Answer:
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
        request = Request(method.encode(), path.encode(), headers, "1.1")
        request.peer, request.is_trusted = client, client in self.trusted
        request.address = self.trusted.client_of(client, headers)
        return asyncio.run(self._answer(request))

    async def _answer(self, request: Request) -> Answer:
        caught = Caught(asyncio.get_running_loop())
        self.checks.begin(caught, request)  # type: ignore[arg-type]
        return Answer(await caught.response)


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
    "another address": (("127.0.0.1",), "10.0.0.9", 401),
    "of a network": (("10.0.0.0/8",), "10.0.0.9", 204),
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


def test_pipelined_checks_are_answered_in_order_and_a_draining_service_closes() -> None:
    service = Service()
    name, value = cookie(service.login())

    async def story() -> None:
        async with listening(service.checks, trusted=service.trusted) as (port, listener):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            check = f"GET /authz HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\r\n"
            anonymous = "GET /authz HTTP/1.1\r\nHost: a\r\n\r\n"
            writer.write((check + anonymous + check + anonymous).encode())
            assert [(await read_answer(reader))[9:12] for _ in range(4)] == [b"204", b"401", b"204", b"401"]
            listener.announce()
            writer.write(check.encode())
            assert b"connection: close" in await read_answer(reader)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(story())
