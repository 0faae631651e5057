"""Real servers over loopback: the button works behind each of them, and nothing they do to a request opens a door."""

from __future__ import annotations

from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import pytest

from tests.doors.servers import ASGI_SERVERS, WSGI_SERVERS, Client, Server, answered, request, signed_in, town_on
from tests.doors.sides import COOKIE, SESSIONS

PRELOADED = "gunicorn sync --preload --workers 2"


@pytest.fixture(scope="module", params=[*ASGI_SERVERS, *WSGI_SERVERS])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with town_on(request.param, tmp_path_factory.mktemp("town")) as server:
        yield server


def is_asgi(server: Server) -> bool:
    return server.kind in ASGI_SERVERS


# --- the story --------------------------------------------------------------------------------------------------------


def test_p1_of_three_clients_one_presses_the_button_and_the_others_are_out_at_once(server: Server) -> None:
    first, second, third, bystander = signed_in(server, "ann", "ann", "ann", "bob")
    answer = first.press()
    assert (answer.status, answer.json(), answer.value("cache-control")) == (200, {"count": 2}, "no-store")
    assert [client.me() for client in (first, second, third, bystander)] == ["ann", "nobody", "nobody", "bob"]
    assert (second.press().status, first.press().json()) == (401, {"count": 0})


def test_a_body_is_ignored_and_the_connection_stays_in_step(server: Server) -> None:
    first, second = signed_in(server, "cid", "cid")
    answer = server.ask("DELETE", SESSIONS, ("Cookie", first.cookie), body=b'{"count": 9}' * 1000)
    assert (answer.status, answer.json()) == (200, {"count": 1})
    assert second.me() == "nobody"


def test_other_methods_on_our_path_reach_the_application(server: Server) -> None:
    for method in ("GET", "POST", "OPTIONS", "PUT"):
        assert server.ask(method, SESSIONS).value("x-method") == method


def asked_of_both(server: Server, method: str, target: str, client: Client) -> dict[str, str]:
    """Process to user, of one answer by each of the two workers.

    A worker of this kind serves one connection at a time, so half a request keeps one of them busy.
    """
    whole = request(method, target, ("Cookie", client.cookie))
    with server.connect() as half:
        half.sendall(whole[:-2])
        one = server.ask(method, target, ("Cookie", client.cookie))
        half.sendall(whole[-2:])
        two = answered(half, method)
    return {answer.value("x-process"): answer.value("x-user") for answer in (one, two)}


def test_p1_the_others_are_out_in_every_worker_of_a_preloaded_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    with town_on(PRELOADED, tmp_path_factory.mktemp("town")) as server:
        first, second, third = signed_in(server, "ann", "ann", "ann")
        before = [asked_of_both(server, "GET", "/me", client) for client in (first, second, third)]
        assert first.press().json() == {"count": 2}
        after = [asked_of_both(server, "GET", "/me", client) for client in (first, second, third)]
    assert {len(users) for users in before + after} == {2}
    assert [set(users.values()) for users in before] == [{"ann"}, {"ann"}, {"ann"}]
    assert [set(users.values()) for users in after] == [{"ann"}, {"nobody"}, {"nobody"}]


# --- what servers do to headers ---------------------------------------------------------------------------------------


def test_two_lines_of_a_token_are_one_if_equal_and_ambiguous_if_not(server: Server) -> None:
    one, two = Client(server).sign_in("dan"), Client(server).sign_in("dan")
    same = server.ask("GET", "/me", ("X-Session-Token", one), ("X-Session-Token", one))
    assert (same.status, same.body) == (200, b"dan")
    for method, target in (("GET", "/me"), ("DELETE", SESSIONS)):
        answer = server.ask(method, target, ("X-Session-Token", one), ("X-Session-Token", two))
        assert (answer.status, answer.error) == (400, "ambiguous_credentials")


def test_two_cookie_lines_are_joined_or_prove_nothing(server: Server) -> None:
    one, two = signed_in(server, "eve", "eve")
    apart = server.ask("GET", "/me", ("Cookie", "a=1"), ("Cookie", one.cookie))
    rivals = server.ask("DELETE", SESSIONS, ("Cookie", one.cookie), ("Cookie", two.cookie))
    if is_asgi(server):
        assert (apart.body, rivals.status) == (b"eve", 400)
    else:  # joined by a comma, against RFC 6265: no pair of ours is left whole
        assert (apart.body, rivals.status) == (b"nobody", 401)
    assert (one.me(), two.me()) == ("eve", "eve")


def test_an_underscore_twin_is_no_credential_where_the_server_tells_them_apart(server: Server) -> None:
    token, other = Client(server).sign_in("fay"), Client(server).sign_in("gus")
    alone = server.ask("GET", "/me", ("X_Session_Token", token))
    beside = server.ask("GET", "/me", ("X-Session-Token", other), ("X_Session_Token", token))
    if server.kind == "wsgiref":  # it gives both names the same key, so nobody behind it can know
        assert (alone.body, beside.status) == (b"fay", 400)
    else:
        assert (alone.body, beside.body) == (b"nobody", b"gus")


def test_a_folded_token_signs_nobody_in(server: Server) -> None:
    token = Client(server).sign_in("hal")
    for fold in (f"{token[:16]}\r\n {token[16:]}", f"{token}\r\n {token}", f"{token}\r\n\tx"):
        answer = server.raw(request("GET", "/me", ("X-Session-Token", fold)))
        assert (answer.status, answer.body) == (200, b"nobody") if answer.status == 200 else answer.status == 400


def test_blanks_around_a_value_do_not_matter(server: Server) -> None:
    token = Client(server).sign_in("ivy")
    assert server.raw(request("GET", "/me", ("X-Session-Token", f" \t{token} \t"))).body == b"ivy"


def test_a_cookie_of_60_kilobytes_harms_nobody(server: Server) -> None:
    """A server that refuses a head before it is complete may reset the connection while the client still sends."""
    (ann,) = signed_in(server, "ann")
    limits_heads = server.kind.startswith(("gunicorn", "hypercorn"))
    try:
        status = server.ask("DELETE", SESSIONS, ("Cookie", f'{COOKIE}="' + "\\" * 60_000 + '"')).status
    except ConnectionError:
        assert limits_heads
    else:
        assert status in ((400, 431) if limits_heads else (431,))
    assert ann.me() == "ann"


# --- what servers do to paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [SESSIONS, "/auth//sessions", "/auth/sessions/", "/auth/sessions?x=1", "/auth//sessions/?x=%2f"])
def test_these_spellings_are_our_route_behind_every_server(server: Server, target: str) -> None:
    first, second = signed_in(server, "jan", "jan")
    assert first.press(target=target).json() == {"count": 1}
    assert second.me() == "nobody"
    assert first.ask("POST", "/logout").status == 200


@pytest.mark.parametrize(
    "target", ["/auth/sessions;x", "/auth/sessions/x", "/auth/./sessions", "/auth", "/Auth/sessions", "/auth/sessions//"]
)
def test_these_spellings_are_the_applications_behind_every_server(server: Server, target: str) -> None:
    answer = server.ask("DELETE", target)
    assert (answer.status, answer.value("x-method")) == (200, "DELETE")


@pytest.mark.parametrize("target", ["//auth/sessions", "/auth%2fsessions", "/%61uth/sessions"])
def test_these_spellings_are_the_applications_as_far_as_the_server_shows_them(server: Server, target: str) -> None:
    answer = server.ask("DELETE", target)
    assert answer.status == (200 if server.shows_raw_path else 401)


# --- HTTP/2 -----------------------------------------------------------------------------------------------------------


def test_over_http2_crumbs_of_a_cookie_are_joined(tmp_path_factory: pytest.TempPathFactory) -> None:
    with town_on("hypercorn", tmp_path_factory.mktemp("town")) as server:
        first, second = signed_in(server, "ann", "ann")
        crumbs = [("cookie", "a=1"), ("cookie", first.cookie), ("cookie", "b=2")]
        assert over_http2(server, "DELETE", SESSIONS, crumbs) == ("200", b'{"count": 1}')
        assert over_http2(server, "DELETE", SESSIONS, [*crumbs, ("cookie", second.cookie)])[0] == "400"
        assert (first.me(), second.me()) == ("ann", "nobody")


def over_http2(server: Server, method: str, path: str, fields: list[tuple[str, str]]) -> tuple[str, bytes]:
    """Status and body of one request by a client that starts with HTTP/2."""
    state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    status, body = "", b""
    with server.connect() as connection:
        state.initiate_connection()
        pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "127.0.0.1")]
        state.send_headers(1, [*pseudo, *fields], end_stream=True)
        connection.sendall(state.data_to_send())
        while data := connection.recv(65_536):
            for event in state.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = next(str(value) for name, value in event.headers or () if str(name) == ":status")
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body
            connection.sendall(state.data_to_send())
    raise AssertionError("the server closed the connection")
