"""Under WSGI a response of a revoked session is cut at its next block, on the paths that are named, and nothing else changes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from math import nextafter
from time import monotonic, sleep
from typing import Any, Final

import pytest

import sessionward
from sessionward.backends import Credential
from sessionward.backends.memory import MemoryBackend
from sessionward.lease import WAITED
from tests.doors.keepers import Foreign, Memory
from tests.doors.sides import COOKIE, SECRET
from tests.doors.test_scenarios import signed
from tests.streams.leasing import LEASE, Leasing
from tests.streams.played import RECHECK, Many, token_of

MARGIN: Final = 10.0
"""Seconds more, for a machine that is busy."""


class Blocks:
    """The iterable of an application: endless, or of so many blocks. ``closed``: how often it was closed."""

    def __init__(self, count: int | None = None) -> None:
        self.closed = 0
        self._left = count

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._left == 0:
            raise StopIteration
        if self._left is not None:
            self._left -= 1
        sleep(0.01)
        return b"data: 1\n\n"

    def close(self) -> None:
        self.closed += 1


def door_of(body: Any, backend: Any, **settings: Any) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return body() if callable(body) else body

    return sessionward.WSGIMiddleware(app, backend, **{"secrets": [SECRET], "recheck": RECHECK, "recheck_paths": ["/events"], **settings})


def ask(door: Any, token: str | None, path: str = "/events", **more: str) -> Any:
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "wsgi.url_scheme": "https", **more}
    if token is not None:
        environ["HTTP_COOKIE"] = f"{COOKIE}={signed(token)}"
    return door(environ, lambda *head: None)


def taken(body: Any) -> float:
    """How many seconds the server could take blocks before the iterable raised. The server closes it, as PEP 3333 says."""
    began = monotonic()
    try:
        with pytest.raises(sessionward.SessionRevoked):
            deque(body, maxlen=0)
    finally:
        body.close()
    return monotonic() - began


@pytest.mark.parametrize("kind", [Many, Memory], ids=["asks about many", "asks about each"])
def test_the_next_block_raises_and_the_applications_iterable_is_closed(kind: type[Memory]) -> None:
    backend = kind()
    blocks = Blocks()
    mine = backend if kind is Many else Foreign(backend)
    own, other = token_of(backend, "ann"), token_of(backend, "ann")
    body, stays = ask(door_of(blocks, mine), other), ask(door_of(Blocks(), mine), own)
    assert next(body) == next(stays)
    session = backend.find(Credential(own.encode()))
    assert session is not None
    assert backend.revoke_others(session) == 1
    assert taken(body) < RECHECK + MARGIN
    assert blocks.closed == 1
    with pytest.raises(sessionward.SessionRevoked):
        next(body)
    sleep(2 * RECHECK)
    assert next(stays)


def test_one_question_in_a_period_for_the_whole_process() -> None:
    backend = Many()
    tokens = [token_of(backend, user) for user in ("ann", "bob")]
    door = door_of(lambda: Blocks(100), backend)
    lasted = []

    def takes(token: str) -> None:
        began = monotonic()
        body = ask(door, token)
        assert len([*body]) == 100
        body.close()
        lasted.append(monotonic() - began)

    threads = [threading.Thread(target=takes, args=(token,)) for token in tokens for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lasted) == 8
    assert max(lasted) / RECHECK / 2 < len(backend.questions) <= max(lasted) / RECHECK + 1
    assert {len(question) for question in backend.questions[:3]} == {2}
    assert backend.asked.count("find") == 8  # at admission


def test_an_outage_cuts_nothing_and_the_next_period_asks_again() -> None:
    backend = Many()
    body = ask(door_of(Blocks(), backend), token_of(backend, "ann"))

    def fails() -> None:
        raise sessionward.BackendUnavailable("gone")

    backend.on_many = fails
    backend.revoke_all("ann")
    while len(backend.questions) < 3:
        next(body)
    backend.on_many = lambda: None
    assert taken(body) < RECHECK + MARGIN


def test_one_question_that_fails_is_enough_in_a_period_for_all_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question of a backend that is silent takes the whole timeout, and the responses wait for one another."""
    now = [0.0]  # (a + b) - a may be less than b
    monkeypatch.setattr("sessionward.streams.wsgi.monotonic", lambda: now[0])
    backend = Memory()
    door = door_of(Blocks, Foreign(backend))
    bodies = [ask(door, token_of(backend, f"user {number}")) for number in range(5)]
    backend.fail(sessionward.BackendUnavailable("gone"))
    backend.asked.clear()
    for period in (1, 2):
        now[0] += RECHECK
        for body in bodies:
            assert next(body)
        assert backend.asked == ["find"] * period
    for body in bodies:
        body.close()


def test_p1_blocks_go_out_until_no_worker_trusts_the_session_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing block says that the session has ended, as a refusal does."""
    now = [0.0]  # (a + b) - a may be less than b
    monkeypatch.setattr("sessionward.streams.wsgi.monotonic", lambda: now[0])
    backend = Leasing()
    body = ask(door_of(Blocks(), backend, lease=LEASE), token_of(backend, "ann"))
    backend.revoke_all("ann")
    now[0] += RECHECK
    assert next(body)
    ends_at = now[0] + WAITED * LEASE
    assert len(backend.questions) == 1
    for now[0] in (ends_at - LEASE, nextafter(ends_at, 0.0)):
        assert next(body)
    now[0] = ends_at
    with pytest.raises(sessionward.SessionRevoked):
        next(body)
    body.close()
    assert len(backend.questions) == 1


def test_a_response_that_ends_in_time_is_whole() -> None:
    backend = Many()
    blocks = Blocks(3)
    body = ask(door_of(blocks, backend), token_of(backend, "ann"))
    backend.revoke_all("ann")
    assert len([*body]) == 3
    body.close()
    assert blocks.closed == 1


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        pytest.param("/events", {"recheck_paths": None}, id="by default"),
        pytest.param("/other", {}, id="another path"),
        pytest.param("/events", {"recheck": None}, id="switched off"),
        pytest.param("/events", {"recheck_paths": []}, id="none named"),
    ],
)
def test_where_streams_are_not_watched_the_iterable_is_the_applications_own(path: str, settings: dict[str, Any]) -> None:
    backend = MemoryBackend()
    blocks = Blocks()
    assert ask(door_of(blocks, backend, **settings), token_of(backend, "ann"), path) is blocks


@pytest.mark.parametrize("path", ["/events", "/events/1", "//events", "/a/../events"])
def test_every_spelling_of_a_path_is_watched(path: str) -> None:
    backend = MemoryBackend()
    blocks = Blocks()
    assert ask(door_of(blocks, backend), token_of(backend, "ann"), path) is not blocks


@pytest.mark.parametrize(
    "environ",
    [
        {"SCRIPT_NAME": "/app", "PATH_INFO": "/events/1", "REQUEST_URI": "/%61pp/events/1"},
        {"SCRIPT_NAME": "/app", "PATH_INFO": "/events/1", "RAW_URI": "/app/%65vents/1"},
        {"PATH_INFO": "/events/1", "REQUEST_URI": "/eve\tnts/1"},  # waitress and cheroot drop it on their way to PATH_INFO
    ],
    ids=["of the mount", "below it", "a blank that is dropped"],
)
def test_the_path_by_which_the_application_routes_counts_too(environ: dict[str, str]) -> None:
    backend = MemoryBackend()
    blocks = Blocks()
    assert ask(door_of(blocks, backend), token_of(backend, "ann"), **environ) is not blocks


def test_a_list_and_a_response_to_nobody_stay_as_they_are() -> None:
    backend = MemoryBackend()
    whole, blocks = [b"all of it"], Blocks()
    assert ask(door_of(whole, backend), token_of(backend, "ann")) is whole
    assert ask(door_of(blocks, backend), None) is blocks
