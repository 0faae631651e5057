"""Real proxies with the printed configurations: they let pass whom the authorization service passes, and nobody else."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.sidecar.engines import Engine, engine, nowhere, silent
from tests.sidecar.town import COOKIE, Town


def test_a_live_session_passes_with_its_identity_and_its_cookie(town: Town) -> None:
    cookie = town.login("ann@example.com")
    answer = town.ask(b"/a/b?c=%2F", b"Cookie: theme=dark; " + cookie)
    assert answer.status == 200
    assert answer.heads[0].startswith(b"GET /a/b?c=%2F HTTP/1.1\r\n")
    assert answer.values(b"x-session-user") == [b"ann%40example.com"]
    assert len(answer.values(b"x-session-id")[0]) == 36
    assert answer.values(b"cookie") == [b"theme=dark; " + cookie]


def test_two_cookie_fields_are_judged_together(town: Town) -> None:
    cookie = town.login()
    answer = town.ask(b"/", b"Cookie: theme=dark", b"Cookie: " + cookie)
    assert answer.status == (401 if town.kind == "envoy" else 200)  # which joins them by a comma
    if answer.heads:
        assert answer.values(b"x-session-user") == [b"ann"]


@pytest.mark.parametrize("fields", [[], [b"Cookie: theme=dark"], [b"Cookie: " + COOKIE + b"=forged"], [b"X-Session-Token: nonsense"]])
def test_nobody_else_passes(town: Town, fields: list[bytes]) -> None:
    answer = town.ask(b"/", *fields)
    assert answer.status == 401
    assert answer.heads == []
    assert b'"session_inactive"' in answer.body
    assert b"www-authenticate: bearer" in answer.head.lower()
    assert b"content-type: application/json" in answer.head.lower()


def test_a_revoked_session_does_not_pass_any_more(town: Town) -> None:
    mine, other = town.login(), town.login()
    assert town.ask(b"/", b"Cookie: " + other).status == 200
    answer = town.ask(b"/auth/sessions", b"Cookie: " + mine, method=b"DELETE")
    assert answer.status == 200
    assert b'{"count": ' in answer.body
    assert answer.heads == []
    assert town.ask(b"/", b"Cookie: " + other).status == 401
    assert town.ask(b"/", b"Cookie: " + mine).status == 200


def test_a_backend_that_is_silent_is_a_503_and_nobody_passes(town: Town) -> None:
    cookie = town.login()
    flag = town.folder / "flag"
    flag.touch()
    try:
        for target, method in ((b"/", b"GET"), (b"/auth/sessions", b"DELETE")):
            answer = town.ask(target, b"Cookie: " + cookie, method=method)
            assert answer.status == 503
            assert answer.heads == []
            assert b'"backend_unavailable"' in answer.body or town.kind == "envoy"
    finally:
        flag.unlink()


@pytest.mark.parametrize("down", ["down", "silent"])
def test_a_service_that_does_not_answer_lets_nobody_pass(chosen: Engine, town: Town, folder: Path, down: str) -> None:
    if chosen.wheel and chosen.kind != "envoy":
        pytest.skip("once for each kind of engine")
    with ExitStack() as stack:
        port = stack.enter_context(nowhere() if down == "down" else silent()).getsockname()[1]

        def sooner(text: str) -> str:
            return (
                text.replace("8s", "1s")
                .replace("MILLISECONDS = 8000", "MILLISECONDS = 1000")
                .replace("uri /authz/forward", "uri /authz/forward\n\t\t\ttransport http {\n\t\t\t\tresponse_header_timeout 1s\n\t\t\t}")
            )

        other = stack.enter_context(
            engine(chosen, folder / f"{str(chosen).replace(' ', '-')}-{down}", authz=port, app=town.app.port, change=sooner)
        )
        answer = Town(other.port, town.app, folder, town.backend, town.kind).ask(b"/", b"Cookie: " + town.login())
        assert answer.status == 503
        assert answer.heads == []


# --- what a client may try --------------------------------------------------------------------------------------------

IDENTITY = (b"X-Session-User", b"X-Session-Id", b"X-Session-Assertion")
SPELLINGS = {
    "plain": lambda name: [name + b": e@ve"],
    "lower case": lambda name: [name.lower() + b": e@ve"],
    "underscores": lambda name: [name.replace(b"-", b"_") + b": e@ve"],
    "one underscore": lambda name: [name.replace(b"-", b"_", 1) + b": e@ve", name[::-1].replace(b"-", b"_", 1)[::-1] + b": e@ve"],
    "twice": lambda name: [name + b": e@ve", name + b": e@ve2"],
    "named by Connection": lambda name: [name + b": e@ve", b"Connection: close, " + name],
    "named by Connection alone": lambda name: [b"Connection: close, " + name],
}


@pytest.mark.parametrize("name", IDENTITY, ids=lambda name: name.decode())
@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_an_identity_that_a_client_names_never_arrives(town: Town, name: bytes, spelled: Any) -> None:
    answer = town.ask(b"/", b"Cookie: " + town.login("ann"), *spelled(name))
    if answer.status in (400, 431):  # the engine refuses it
        return
    assert answer.status == 200
    assert b"e@ve" not in answer.heads[0]
    assert answer.values(b"x-session-user") == [b"ann"]
    assert len(answer.values(b"x-session-id")) == 1


@pytest.mark.parametrize(
    "name", [b"X-Original-Method", b"X-Original-Uri", b"X-Forwarded-Uri", b"X-Forwarded-For", b"Forwarded"], ids=lambda name: name.decode()
)
def test_what_a_client_says_of_the_way_makes_no_difference(town: Town, name: bytes) -> None:
    assert town.ask(b"/", name + b": /auth/sessions").status == 401
    answer = town.ask(b"/", b"Cookie: " + town.login("ann"), name + b": 6.6.6.6")
    assert answer.status == 200
    assert answer.values(b"x-session-user") == [b"ann"]


def test_the_address_of_a_client_is_that_of_its_connection(town: Town) -> None:
    said = (b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-For: 7.7.7.7", b"X-Real-IP: 6.6.6.6", b"Forwarded: for=6.6.6.6")
    answer = town.ask(b"/", b"Cookie: " + town.login(), *said, b"X-Forwarded-Proto: https")
    (address,) = answer.values(b"x-forwarded-for")
    assert address == b"127.0.0.1" or (town.kind == "envoy" and address not in b"6.6.6.6, 7.7.7.7")  # it names its own for the loopback
    assert answer.values(b"x-forwarded-proto") == [b"http"]
    assert b"".join(answer.values(b"forwarded")) == b""


def test_an_identity_in_a_trailer_never_becomes_a_field(town: Town) -> None:
    body = b"1\r\nx\r\n0\r\nX-Session-User: e@ve\r\n\r\n"
    answer = town.ask(b"/", b"Cookie: " + town.login("ann"), b"Transfer-Encoding: chunked", method=b"POST", body=body)
    if town.kind == "haproxy":
        assert answer.status == 411
        return
    assert answer.status == 200
    assert b"e@ve" not in answer.heads[0]


def test_an_invalid_cookie_beside_a_live_token_does_not_reach_the_application(town: Town) -> None:
    revoked, live = town.login("bob"), town.login("ann")
    town.ask(b"/auth/sessions", b"Cookie: " + town.login("bob"), method=b"DELETE")
    token = live.partition(b"=")[2][:32]
    answer = town.ask(b"/", b"X-Session-Token: " + token, b"Cookie: theme=dark; " + revoked)
    assert answer.status == 200
    assert answer.values(b"x-session-user") == [b"ann"]


PATHS = [
    b"//auth/sessions",
    b"/auth/sessions/",
    b"/auth//sessions",
    b"/AUTH/sessions",
    b"/auth%2Fsessions",
    b"/%61uth/sessions",
    b"/x/../auth/sessions",
    b"/auth/sessions;a=b",
    b"/auth/sessionsx",
]


@pytest.mark.parametrize("target", PATHS, ids=lambda target: target.decode())
def test_no_other_spelling_of_the_path_gets_past_the_check(town: Town, target: bytes) -> None:
    """Whether it is the endpoint, the application's, or nothing: without a session it is never the application that answers."""
    mine, other = town.login("ann"), town.login("ann")
    anonymous = town.ask(target, method=b"DELETE")
    assert anonymous.status in (400, 401, 404)
    assert anonymous.heads == []
    answer = town.ask(target, b"Cookie: " + mine, method=b"DELETE")
    assert answer.status in (200, 400, 404)
    if answer.heads:
        assert answer.values(b"x-session-user") == [b"ann"]
    still = town.ask(b"/", b"Cookie: " + other).status
    assert still == (401 if b'{"count": ' in answer.body else 200)


def test_the_endpoint_by_another_method_is_the_applications(town: Town) -> None:
    answer = town.ask(b"/auth/sessions?a=b", b"Cookie: " + town.login())
    assert answer.status == 200
    assert answer.heads[0].startswith(b"GET /auth/sessions?a=b HTTP/1.1")


@pytest.mark.parametrize("target", [b"/authz", b"/sessionward/check", b"/authz/optional"])
def test_the_check_itself_is_not_to_be_had_from_outside(town: Town, target: bytes) -> None:
    answer = town.ask(target)
    assert answer.status in (401, 404)
    answer = town.ask(target, b"Cookie: " + town.login())
    assert answer.status in (200, 404)
    assert answer.status == 404 or answer.heads  # it is the application that has answered


# --- what must still work ---------------------------------------------------------------------------------------------


def test_a_websocket_passes(town: Town) -> None:
    fields = [
        b"Cookie: " + town.login(),
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
    ]
    request = b"\r\n".join([b"GET /ws HTTP/1.1", b"Host: app.example", *fields, b"", b""])
    with socket.create_connection(("127.0.0.1", town.port), timeout=15) as connection:
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"\x81\x85\x00\x00\x00\x00hello")
        echoed = answer.partition(b"\r\n\r\n")[2]
        while len(echoed) < 11:
            echoed += connection.recv(4096)
        assert echoed == b"\x81\x85\x00\x00\x00\x00hello"


def test_a_websocket_without_a_session_is_refused(town: Town) -> None:
    answer = town.ask(
        b"/ws", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13"
    )
    assert answer.status == 401
    assert answer.heads == []


def test_an_event_arrives_while_the_answer_goes_on(town: Town) -> None:
    request = b"\r\n".join([b"GET /sse HTTP/1.1", b"Host: app.example", b"Cookie: " + town.login(), b"", b""])
    with socket.create_connection(("127.0.0.1", town.port), timeout=15) as connection:
        connection.sendall(request)
        answer = b""
        while b"data: 1" not in answer:
            data = connection.recv(4096)
            assert data
            answer += data


def test_an_upload_passes(town: Town) -> None:
    answer = town.ask(b"/", b"Cookie: " + town.login(), b"Content-Length: 5", method=b"POST", body=b"hello")
    assert answer.status == 200
    assert answer.values(b"content-length") == [b"5"]
