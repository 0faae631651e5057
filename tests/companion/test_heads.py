"""Heads that come late, twice, or by ``write``: the companion follows the head that goes out (PEP 3333)."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final

import pytest

import sessionward
from sessionward.backends.memory import MemoryBackend
from tests.companion.identifiers import Signed, sealed
from tests.contract.doors import Answer, wsgi_environ
from tests.doors.sides import COOKIE, SECRET

TEXT: Final = ("Content-Type", "text/plain")
LOGIN: Final = ("Set-Cookie", f"session={sealed('ann.1')}; Path=/")
Application = Callable[[Any, Any], Iterable[bytes]]


def early(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [TEXT, LOGIN])
    return [b"in"]


def late(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [TEXT, LOGIN])
    yield b"in"


def empty(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [TEXT, LOGIN])
    yield from ()


def written(environ: Any, start_response: Any) -> Iterable[bytes]:
    write = start_response("200 OK", [TEXT, LOGIN])
    write(b"in")
    return []


def replaced(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [TEXT, LOGIN])
    try:
        raise ValueError
    except ValueError:
        start_response("500 Internal Server Error", [TEXT], sys.exc_info())
    return [b"oops"]


def replaced_by_a_login(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [TEXT])
    try:
        raise ValueError
    except ValueError:
        start_response("200 OK", [TEXT, LOGIN], sys.exc_info())
    return [b"in"]


def late_and_replaced(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [TEXT, LOGIN])
    try:
        raise ValueError
    except ValueError:
        start_response("500 Internal Server Error", [TEXT], exc_info=sys.exc_info())
    yield b"oops"


def late_and_repeated(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [TEXT, LOGIN])
    try:
        raise ValueError
    except ValueError:
        start_response("202 Accepted", [TEXT, LOGIN], exc_info=sys.exc_info())
    yield b"in"


def late_and_replaced_by_a_login(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [TEXT, ("Set-Cookie", "session=; Max-Age=0")])
    try:
        raise ValueError
    except ValueError:
        start_response("200 OK", [TEXT, LOGIN], exc_info=sys.exc_info())
    yield b"in"


def ask(application: Application, backend: Any, cookie: str = "") -> Answer:
    """The last head that the server is told before the body."""
    door = sessionward.WSGIMiddleware(application, backend, secrets=[SECRET], identify=Signed())
    heads: list[Any] = []
    chunks: list[bytes] = []

    def start_response(status: str, fields: Any, exc_info: Any = None) -> Any:
        heads.append((status, fields))
        return chunks.append

    body = door(wsgi_environ("GET", "/", {"Cookie": cookie} if cookie else {}), start_response)
    chunks.extend(body)
    close = getattr(body, "close", None)
    if close is not None:
        close()
    status, fields = heads[-1]
    return Answer(int(status[:3]), fields, b"".join(chunks))


def set_cookies(answer: Answer) -> list[str]:
    return [value.partition("=")[0] for name, value in answer.headers if name == "set-cookie" or name == "Set-Cookie"]


@pytest.mark.parametrize("cookie", ["", "theme=dark", f"session={sealed('-.1')}", "session=forged"])
@pytest.mark.parametrize("application", [early, late, empty, written, replaced_by_a_login])
def test_a_sign_in_brings_its_companion_whenever_its_head_comes(application: Application, cookie: str) -> None:
    backend = MemoryBackend()
    answer = ask(application, backend, cookie)
    assert set_cookies(answer) == ["session", COOKIE]
    assert len(backend.list("ann")) == 1


@pytest.mark.parametrize("cookie", ["", "theme=dark"])
def test_a_head_that_was_replaced_has_signed_nobody_in(cookie: str) -> None:
    backend = MemoryBackend()
    answer = ask(replaced, backend, cookie)
    assert (answer.status, set_cookies(answer), list(backend.list("ann"))) == (500, [], [])


@pytest.mark.parametrize("application", [early, late, empty, written])
def test_p9_a_head_of_a_user_whose_sessions_were_revoked_before_it_came_sets_no_login(application: Application) -> None:
    backend = MemoryBackend()

    def overtaken(environ: Any, start_response: Any) -> Iterable[bytes]:
        backend.revoke_all("ann")
        return application(environ, start_response)

    answer = ask(overtaken, backend)
    assert (set_cookies(answer), list(backend.list("ann"))) == ([], [])


def test_p9_a_revocation_between_head_and_body_counts_where_the_head_has_waited() -> None:
    """Under WSGI a head that sets a login waits until the application has returned."""
    backend = MemoryBackend()

    def overtaken(environ: Any, start_response: Any) -> Iterable[bytes]:
        body = early(environ, start_response)
        backend.revoke_all("ann")
        return body

    assert set_cookies(ask(overtaken, backend)) == []


def test_a_head_in_place_of_one_that_signed_somebody_in_revokes_what_that_one_has_minted() -> None:
    backend = MemoryBackend()
    answer = ask(late_and_replaced, backend)
    assert (answer.status, set_cookies(answer), list(backend.list("ann"))) == (500, [], [])


def test_a_head_in_place_of_one_that_says_the_same_of_the_login_mints_nothing_anew() -> None:
    backend = MemoryBackend()
    answer = ask(late_and_repeated, backend)
    assert (answer.status, set_cookies(answer), len(backend.list("ann"))) == (202, ["session", COOKIE], 1)


def test_a_head_in_place_of_another_one_signs_nobody_in() -> None:
    backend = MemoryBackend()
    answer = ask(late_and_replaced_by_a_login, backend, f"session={sealed('-.1')}")
    assert (set_cookies(answer), list(backend.list("ann"))) == ([], [])


@pytest.mark.parametrize("application", [late, empty, late_and_replaced, late_and_repeated])
def test_the_iterable_of_the_application_is_handed_on_whenever_its_head_comes(application: Application) -> None:
    given: list[Iterable[bytes]] = []

    def kept(environ: Any, start_response: Any) -> Iterable[bytes]:
        given.append(application(environ, start_response))
        return given[0]

    door = sessionward.WSGIMiddleware(kept, MemoryBackend(), secrets=[SECRET], identify=Signed())
    body = door(wsgi_environ("GET", "/", {}), lambda status, fields, exc_info=None: lambda data: None)
    assert body is given[0]
    assert isinstance(body, Generator)
    body.close()


@pytest.mark.parametrize("mode", ["own", "companion"])
def test_p3_a_sign_in_that_is_refused_is_in_the_log_without_its_user(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    backend = MemoryBackend()

    def overtaken(environ: Any, start_response: Any) -> Iterable[bytes]:
        backend.revoke_all("ann")
        if mode == "own":
            with pytest.raises(sessionward.StaleLogin):
                sessionward.of(environ).login("ann")
        return early(environ, start_response)

    door = sessionward.WSGIMiddleware(overtaken, backend, secrets=[SECRET], identify=Signed() if mode == "companion" else None)
    with caplog.at_level(logging.WARNING, "sessionward"):
        list(door(wsgi_environ("GET", "/", {}), lambda status, fields, exc_info=None: lambda data: None))
    (record,) = caplog.records
    assert f"a sign-in of user {hashlib.sha256(b'ann').hexdigest()[:8]} was refused" in record.getMessage()
    assert "ann" not in record.getMessage()


def test_p9_one_that_the_mode_itself_refuses_is_in_the_log_too(caplog: pytest.LogCaptureFixture) -> None:
    backend = MemoryBackend()
    with caplog.at_level(logging.WARNING, "sessionward"):
        ask(late_and_replaced_by_a_login, backend, f"session={sealed('-.1')}")
    (record,) = caplog.records
    assert f"a sign-in of user {hashlib.sha256(b'ann').hexdigest()[:8]} was refused" in record.getMessage()
