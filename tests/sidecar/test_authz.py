"""The authorization service: 2xx where a session is proven, 401 or 503 for everything else, and no other status."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from sessionward.credential.token import Credential, Signature, new_token
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from tests.sidecar.checks import COOKIE, SECRET, Field, Service, Signs, Silent, cookie, invalid
from tests.sidecar.listening import listening
from tests.sidecar.stage import read_answer

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
@pytest.mark.parametrize("path", ["/authz", "/authz/200", "/authz/envoy/auth/sessions"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_whatever_comes_it_is_a_401_and_nothing_else(fields: list[Field], path: str, method: str) -> None:
    answer = Service().ask(path, *fields, method=method)
    assert answer.status == 401
    assert "x-session-user" not in answer.fields


@pytest.mark.parametrize("path", ["/authz", "/authz/optional", "/authz/200"])
def test_a_backend_that_cannot_say_is_a_503(path: str) -> None:
    service = Service(Silent())
    answer = service.ask(path, cookie(new_token()))
    assert answer.status == 503
    assert "retry-after" in answer.fields
    assert "x-session-user" not in answer.fields


def test_a_peer_that_is_not_trusted_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    service = Service()
    with caplog.at_level(logging.WARNING, logger="sessionward"):
        assert service.ask("/authz/optional", cookie(service.login()), is_trusted=False).status == 401


# --- over a connection ------------------------------------------------------------------------------------------------


def asked(service: Service, *requests: str, trusted: str = "127.0.0.1", close: bool = False) -> list[bytes]:
    """Returns the answers to requests that are sent at once on one connection."""

    async def story() -> list[bytes]:
        async with listening(service.checks, trusted=TrustedProxies([trusted])) as (port, listener):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write("".join(requests).encode("latin-1"))
            answers = [await read_answer(reader) for _ in requests]
            if close:
                listener.drain()
                assert await reader.read() == b""
            writer.close()
            return answers

    return asyncio.run(story())


def request(target: str, *fields: Field, method: str = "GET") -> str:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: a", *(f"{name}: {value}" for name, value in fields), "", ""])


def test_checks_on_one_connection_are_answered_in_order_and_a_service_that_drains_closes_it() -> None:
    service = Service()
    check = request("/authz", cookie(service.login()))
    answers = asked(service, check, request("/authz"), check, request("/authz"), close=True)
    assert [answer[9:12] for answer in answers] == [b"204", b"401", b"204", b"401"]


@pytest.mark.parametrize(("trusted", "status"), [("127.0.0.0/8", b"204"), ("10.0.0.9", b"401"), ("unix", b"401")])
def test_only_peers_that_are_trusted_are_answered(trusted: str, status: bytes) -> None:
    service = Service()
    assert asked(service, request("/authz", cookie(service.login())), trusted=trusted)[0][9:12] == status


@pytest.mark.parametrize("path", ["/", "/authzx", "/AUTHZ", "/x/authz", "//authz", "/%61uthz"])
def test_elsewhere_there_is_nothing(path: str) -> None:
    service = Service()
    (answer,) = asked(service, request(path, cookie(service.login())))
    assert answer[9:12] == b"404"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["id"] == "not_found"


def test_the_endpoint_is_on_the_same_port_with_its_own_statuses() -> None:
    service = Service()
    twice = ("Cookie", f"{COOKIE}={signed()}; {COOKIE}={signed()}")
    mine, _ = cookie(service.login()), service.login()
    cases: list[tuple[list[Field], bytes]] = [
        ([], b"401"),
        ([twice], b"400"),
        ([mine, ("Sec-Fetch-Site", "cross-site")], b"403"),
        ([mine, ("X-Forwarded-For", "6.6.6.6, 203.0.113.9")], b"200"),
    ]
    answers = asked(service, *(request("/auth/sessions", *fields, method="DELETE") for fields, _ in cases))
    assert [answer[9:12] for answer in answers] == [status for _, status in cases]
    assert answers[-1].endswith(b'{"count": 1}')
