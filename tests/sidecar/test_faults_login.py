"""Nobody signs in by shaping a header: only the answer on a login path, with the proof of its own request, signs a user in."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from tests.sidecar.processes import sidecar
from tests.sidecar.scripted import TIMEOUT, Client, Heard, Upstream, Wire, answer, ask, fields_of, get, scripted, status_of, wait_until
from tests.support.servers import HOST, Server

TOKEN = b"X-Session-Token-Request: 1\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)
OURS = (b"session-login", b"session-logout", b"x-session-proof")
"""What we and the upstream say to each other. None of it reaches a client."""


@dataclass(frozen=True, slots=True)
class World:
    upstream: Upstream
    server: Server
    log: Path

    def signs_in(self, said: bytes) -> bool:
        """Returns whether an answer holds a credential of ours."""
        return bool(fields_of(said, b"set-cookie") or fields_of(said, b"x-session-token"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("login")
    log = folder / "access.log"
    with (
        scripted() as upstream,
        sidecar(
            folder, f"http://{HOST}:{upstream.port}", "--login-path", "/login", "--login-path", "/in/", "--access-log", str(log)
        ) as server,
    ):
        yield World(upstream, server, log)
        assert "Traceback" not in server.printed()


def proof_of(heard: Heard) -> bytes:
    return heard.field(b"x-session-proof") or b""


def login(user: bytes) -> Callable[[Wire, Heard], bytes]:
    return lambda wire, heard: answer(b"welcome", b"Session-Login: %b; proof=%b\r\n" % (user, proof_of(heard)))


# --- who is signed in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [b"ann", b"ann@example.com", b"Zo%C3%AB", b"a%20b%2Fc", b"(a)-b._~!*'", b"%41"])
def test_the_proof_of_the_request_signs_in_the_user(world: World, user: bytes) -> None:
    path = world.upstream.on(login(user), prefix=b"/in/")
    said = ask(world.server.port, get(path, TOKEN))
    assert status_of(said) == 200
    assert said.endswith(b"welcome")
    (token,) = fields_of(said, b"x-session-token")
    seen = world.upstream.on(lambda wire, heard: answer(heard.field(b"x-session-user") or b"anonymous"))
    name = ask(world.server.port, get(seen, b"X-Session-Token: %b\r\n" % token)).partition(b"\r\n\r\n")[2]
    assert unquote_to_bytes(name) == unquote_to_bytes(user)
    assert not any(fields_of(said, name) for name in OURS)


def test_a_browser_is_given_a_cookie(world: World) -> None:
    world.upstream.scripts[b"/login"] = login(b"ann")
    said = ask(world.server.port, get(b"/login"))
    assert len(fields_of(said, b"set-cookie")) == 1
    assert not fields_of(said, b"x-session-token")


def test_a_101_signs_in_as_any_other_answer_does(world: World) -> None:
    def script(wire: Wire, heard: Heard) -> None:
        wire.send(SWITCHED + b"Session-Login: ann; proof=%b\r\n\r\n" % proof_of(heard))
        raise EOFError

    said = ask(world.server.port, get(world.upstream.on(script, prefix=b"/in/"), UPGRADE))
    assert status_of(said) == 101
    assert len(fields_of(said, b"set-cookie")) == 1
    assert not any(fields_of(said, name) for name in OURS)


# --- who is not -------------------------------------------------------------------------------------------------------

Forged = Callable[[bytes], bytes]
"""Makes the fields of an answer out of the proof of its request."""

DROPPED: dict[str, tuple[bytes, Forged]] = {
    "no proof on an ordinary path": (b"/t", lambda proof: b"Session-Login: admin\r\n"),
    "a made-up proof on an ordinary path": (b"/t", lambda proof: b"Session-Login: admin; proof=%b\r\n" % (b"A" * 22)),
    "an empty proof on an ordinary path": (b"/t", lambda proof: b"Session-Login: admin; proof=\r\n"),
    "no proof on a login path": (b"/in/", lambda proof: b"Session-Login: admin\r\n"),
    "another proof": (b"/in/", lambda proof: b"Session-Login: admin; proof=%b\r\n" % proof.swapcase()),
    "another name of the proof": (b"/in/", lambda proof: b"Session-Login: ann; Proof=%b\r\n" % proof),
    "a path that only begins as a login path": (b"/login-", lambda proof: b"Session-Login: admin; proof=%b\r\n" % proof),
    "a path below a login path": (b"/login/", lambda proof: b"Session-Login: admin; proof=%b\r\n" % proof),
    "a login path in another case": (b"/Login", lambda proof: b"Session-Login: admin; proof=%b\r\n" % proof),
    "a login path in percents": (b"/%6cogin", lambda proof: b"Session-Login: admin; proof=%b\r\n" % proof),
    "a login path behind a slash": (b"//in/", lambda proof: b"Session-Login: admin; proof=%b\r\n" % proof),
}


@pytest.mark.parametrize("status", [b"200 OK", b"303 See Other", b"404 Not Found", b"500 Internal Server Error"])
@pytest.mark.parametrize(("prefix", "forged"), DROPPED.values(), ids=DROPPED)
def test_without_its_proof_the_field_is_dropped_and_the_answer_passes(world: World, prefix: bytes, forged: Forged, status: bytes) -> None:
    path = world.upstream.on(lambda wire, heard: answer(b"as it was", forged(proof_of(heard)), status), prefix=prefix)
    for fields in (b"", TOKEN):
        said = ask(world.server.port, get(path, fields))
        assert said.startswith(b"HTTP/1.1 " + status)
        assert said.endswith(b"as it was")
        assert not world.signs_in(said)
        assert not any(fields_of(said, name) for name in OURS)


def test_the_log_says_what_to_set(world: World) -> None:
    ask(world.server.port, get(world.upstream.on(answer(b"ok", b"Session-Login: admin; proof=%b\r\n" % (b"A" * 22)))))
    assert wait_until(lambda: "--login-path" in world.server.printed())


def test_the_proof_of_an_earlier_request_signs_nobody_in(world: World) -> None:
    proofs: list[bytes] = []

    def script(wire: Wire, heard: Heard) -> bytes:
        proofs.append(proof_of(heard))
        return answer(b"welcome", b"Session-Login: admin; proof=%b\r\n" % proofs[0])

    path = world.upstream.on(script, prefix=b"/in/")
    with Client(world.server.port) as client:
        assert world.signs_in(client.ask(get(path, TOKEN)))
        assert not world.signs_in(client.ask(get(path, TOKEN)))
    assert not world.signs_in(ask(world.server.port, get(path, TOKEN)))
    assert len(set(proofs)) == 3


def test_the_proof_of_a_request_that_is_under_way_signs_in_its_own_client_only(world: World) -> None:
    first, opened = list[bytes](), threading.Event()

    def slow(wire: Wire, heard: Heard) -> bytes:
        first.append(proof_of(heard))
        opened.wait(TIMEOUT)
        return answer(b"welcome", b"Session-Login: ann; proof=%b\r\n" % first[0])

    path = world.upstream.on(slow, prefix=b"/in/")
    stolen = world.upstream.on(lambda wire, heard: answer(b"", b"Session-Login: admin; proof=%b\r\n" % first[0]), prefix=b"/in/")
    with Client(world.server.port) as client:
        client.send(get(path, TOKEN))
        assert wait_until(lambda: bool(first))
        assert not world.signs_in(ask(world.server.port, get(stolen, TOKEN)))
        opened.set()
        assert world.signs_in(client.answer())


MALFORMED: dict[str, Forged] = {
    "twice": lambda proof: b"Session-Login: ann; proof=%b\r\n" % proof * 2,
    "twice, one of them with another proof": lambda proof: (
        b"Session-Login: admin; proof=%b\r\nSession-Login: ann; proof=%b\r\n" % (b"A" * 22, proof)
    ),
    "twice, in two spellings": lambda proof: b"Session-Login: ann; proof=%b\r\nsession-LOGIN: eve; proof=%b\r\n" % (proof, proof),
    "in a list": lambda proof: b"Session-Login: ann; proof=%b, eve; proof=%b\r\n" % (proof, proof),
    "with a sign-out": lambda proof: b"Session-Login: ann; proof=%b\r\nSession-Logout: 1\r\n" % proof,
    "with a sign-out before it": lambda proof: b"Session-Logout: 1\r\nSession-Login: ann; proof=%b\r\n" % proof,
    "with two sign-outs": lambda proof: b"Session-Logout: 1\r\nSession-Logout: 1\r\n",
    "something behind the proof": lambda proof: b"Session-Login: ann; proof=%b; x=1\r\n" % proof,
    "a semicolon behind it": lambda proof: b"Session-Login: ann; proof=%b;\r\n" % proof,
    "a second proof": lambda proof: b"Session-Login: ann; proof=%b; proof=%b\r\n" % (proof, proof),
    "a proof in quotes": lambda proof: b'Session-Login: ann; proof="%b"\r\n' % proof,
    "no blank before the proof": lambda proof: b"Session-Login: ann;proof=%b\r\n" % proof,
    "a shorter proof": lambda proof: b"Session-Login: admin; proof=%b\r\n" % proof[:-1],
    "a longer one": lambda proof: b"Session-Login: admin; proof=%bA\r\n" % proof,
    "no user": lambda proof: b"Session-Login: ; proof=%b\r\n" % proof,
    "a blank in the user": lambda proof: b"Session-Login: ann b; proof=%b\r\n" % proof,
    "half of a percent": lambda proof: b"Session-Login: ann%%4; proof=%b\r\n" % proof,
    "a percent of no number": lambda proof: b"Session-Login: ann%%zz; proof=%b\r\n" % proof,
    "a control character in percents": lambda proof: b"Session-Login: ann%%00; proof=%b\r\n" % proof,
    "no UTF-8": lambda proof: b"Session-Login: %%ff; proof=%b\r\n" % proof,
    "too many bytes": lambda proof: b"Session-Login: %b; proof=%b\r\n" % (b"x" * 256, proof),
    "a sign-out of something else": lambda proof: b"Session-Logout: yes\r\n",
}


@pytest.mark.parametrize("forged", MALFORMED.values(), ids=MALFORMED)
def test_a_login_that_is_not_one_well_formed_field_is_a_502(world: World, forged: Forged) -> None:
    path = world.upstream.on(lambda wire, heard: answer(b"as it was", forged(proof_of(heard))), prefix=b"/in/")
    said = ask(world.server.port, get(path, TOKEN))
    assert status_of(said) == 502
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == 502
    assert not world.signs_in(said)
    assert not any(fields_of(said, name) for name in OURS)


@pytest.mark.parametrize("place", ["a 103", "a 101", "a 101 on an ordinary path", "a trailer section"])
def test_elsewhere_than_in_the_final_head_the_field_signs_nobody_in(world: World, place: str) -> None:
    def script(wire: Wire, heard: Heard) -> None:
        proof = proof_of(heard) if place != "a 101" else b"A" * 22
        field = b"Session-Login: admin; proof=%b\r\n" % proof
        if place.startswith("a 101"):
            wire.send(SWITCHED + field + b"\r\n")
            raise EOFError
        if place == "a 103":
            wire.send(b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % field + answer())
        else:
            wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Session-Login\r\n\r\n2\r\nok\r\n0\r\n%b\r\n" % field)

    path = world.upstream.on(script, prefix=b"/t" if "ordinary" in place else b"/in/")
    with Client(world.server.port) as client:
        client.send(get(path, (UPGRADE if "101" in place else b"") + TOKEN + b"Connection: close\r\n" * ("101" not in place)))
        said = client.rest()
    assert b"ession-login" not in said
    assert b"set-cookie" not in said.lower()
    assert b"x-session-token" not in said.lower()


# --- what the client says and what it is told -------------------------------------------------------------------------

SPELLINGS = (b"X-Session-Proof", b"x-session-proof", b"X_Session_Proof", b"X-Session_Proof")


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("prefix", [b"/t", b"/in/"])
def test_a_client_cannot_choose_the_proof(world: World, name: bytes, prefix: bytes) -> None:
    path = world.upstream.on(login(b"admin"), prefix=prefix)
    said = ask(world.server.port, get(path, b"%b: %b\r\n" % (name, b"c" * 22) * 2))
    (heard,) = world.upstream.at(path)
    assert b"c" * 22 not in heard.head
    assert len(re.findall(rb"(?i)x.session.proof", heard.head)) == (prefix == b"/in/")
    assert world.signs_in(said) is (prefix == b"/in/")


def test_proofs_are_fresh_and_no_log_holds_one(world: World) -> None:
    path = world.upstream.on(login(b"ann"), prefix=b"/in/")
    with Client(world.server.port) as client:
        for _ in range(50):
            client.ask(get(path))
    proofs = {proof_of(heard) for heard in world.upstream.at(path)}
    assert len(proofs) == 50
    assert all(re.fullmatch(rb"[A-Za-z0-9_-]{22}", proof) for proof in proofs)
    assert wait_until(lambda: world.log.read_bytes().count(b'"%b"' % path) >= 50)
    for printed in (world.log.read_bytes(), world.server.printed().encode()):
        assert not any(proof in printed for proof in proofs)


def test_what_is_announced_to_us_never_reaches_the_client_and_a_sign_out_is_believed_everywhere(world: World) -> None:
    cookie = fields_of(ask(world.server.port, get(world.upstream.on(login(b"ann"), prefix=b"/in/"))), b"set-cookie")[0].partition(b";")[0]
    out = world.upstream.on(answer(b"bye", b"Session-Logout: 1\r\nX-Session-Proof: x\r\n"))
    seen = world.upstream.on(lambda wire, heard: answer(heard.field(b"x-session-user") or b"anonymous"))
    fields = b"Cookie: %b\r\n" % cookie
    assert ask(world.server.port, get(seen, fields)).endswith(b"ann")
    said = ask(world.server.port, get(out, fields))
    assert said.endswith(b"bye")
    assert not any(fields_of(said, name) for name in OURS)
    assert ask(world.server.port, get(seen, fields)).endswith(b"anonymous")


STORED_BY_CACHES: Sequence[bytes] = (
    b"Cache-Control: public, max-age=600",
    b"Expires: Fri, 01 Jan 2100 00:00:00 GMT",
    b"Surrogate-Control: max-age=600",
    b"CDN-Cache-Control: max-age=600",
)


def test_an_answer_with_a_token_is_stored_by_no_cache(world: World) -> None:
    stored = b"".join(line + b"\r\n" for line in STORED_BY_CACHES)
    path = world.upstream.on(
        lambda wire, heard: answer(b"welcome", b"Session-Login: ann; proof=%b\r\n%b" % (proof_of(heard), stored)), prefix=b"/in/"
    )
    for fields in (TOKEN, b""):
        said = ask(world.server.port, get(path, fields))
        assert world.signs_in(said)
        assert fields_of(said, b"cache-control") == [b"no-store"]
        for name in (b"expires", b"surrogate-control", b"cdn-cache-control"):
            assert fields_of(said, name) == [], name
