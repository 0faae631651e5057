"""The last use of a session in the sidecar: its requests and its checks count, and what it asks for itself does not."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from sessionward.backends.sql import AsyncSQLBackend
from sessionward.credential.token import Credential
from sessionward.drive import run_sync
from sessionward.session.session import NewSession
from sessionward.sidecar import build
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.config.config import configure
from sessionward.sidecar.gate import UNDECIDED, Admitted, Gate
from sessionward.sidecar.observe.counts import Counts
from tests.doors.keepers import Memory
from tests.sidecar.checks import SECRET, Service, cookie
from tests.support.sessions import started, unused_for

IDLE = 900.0
"""Seconds."""


def last_seen(backend: Memory) -> datetime:
    (session,) = backend.list("ann")
    assert session.last_seen_at is not None
    return session.last_seen_at


def request_with(token: str, path: bytes = b"/work", method: bytes = b"GET") -> Request:
    name, value = cookie(token)
    return Request(method, path, [(name.lower().encode(), value.encode())], "1.1")


def admitted(gate: Gate, backend: Memory, request: Request) -> object:
    """What becomes of a request, by the short way if it can go there."""
    decided = gate.at_once(request)
    return run_sync(gate.before(request), lambda step: step.ask(backend)) if decided is UNDECIDED else decided


@pytest.mark.parametrize("way", ["the short way", "the flow"])
def test_a_request_is_a_use(way: str) -> None:
    backend = Memory()
    gate = Gate(backend, {"secrets": [SECRET], "idle_timeout": IDLE})
    _, token = started(backend, "ann")
    before = last_seen(backend)
    backend.now += 100
    request = request_with(token)
    if way == "the flow":
        assert isinstance(run_sync(gate.before(request), lambda step: step.ask(backend)), Admitted)
    else:
        assert isinstance(gate.at_once(request), Admitted)
    assert (last_seen(backend) - before).total_seconds() == pytest.approx(100, abs=5)


@pytest.mark.parametrize(
    ("method", "path", "counts"),
    [(b"GET", b"/auth/sessions/whoami", True), (b"DELETE", b"/auth/sessions", False), (b"GET", b"/static/logo", False)],
    ids=["who am I", "a revocation", "an exempt path"],
)
def test_of_our_routes_only_those_that_read_count(method: bytes, path: bytes, counts: bool) -> None:
    backend = Memory()
    gate = Gate(backend, {"secrets": [SECRET], "api": True, "exempt_paths": ["/static/"]})
    _, token = started(backend, "ann")
    before = last_seen(backend)
    backend.now += 100
    admitted(gate, backend, request_with(token, path, method))
    assert (last_seen(backend) > before) == counts


def test_a_session_ends_at_the_idle_limit_and_its_use_moves_the_end() -> None:
    backend = Memory()
    client = Credential(b"MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE")
    backend.login(NewSession(user_id="ann", digest=client.digest, lifetime=86_400.0, idle_timeout=IDLE))
    for _ in range(3):
        backend.now += IDLE - 20
        gate = Gate(backend, {"secrets": [SECRET], "idle_timeout": IDLE})  # as in another worker
        decided = admitted(gate, backend, request_with("MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE"))
        assert isinstance(decided, Admitted)
        assert decided.session is not None
    backend.now += IDLE + 1
    decided = admitted(gate, backend, request_with("MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE"))
    assert isinstance(decided, Admitted)
    assert decided.session is None


def test_a_check_is_a_use_and_a_refused_one_is_not() -> None:
    backend = Memory()
    service = Service(backend, idle_timeout=IDLE)
    token = service.login()
    before = last_seen(backend)
    backend.now += 100
    assert service.ask("/authz", cookie(token), is_trusted=False).status == 401
    assert last_seen(backend) == before
    assert service.ask("/authz", cookie(token)).status == 204
    assert last_seen(backend) > before


def test_the_probe_of_the_backend_is_no_use() -> None:
    backend = Memory()
    gate = Gate(backend, {"secrets": [SECRET], "idle_timeout": IDLE})
    started(backend, "ann")
    before = last_seen(backend)
    backend.now += 100
    asyncio.run(gate.drive(build._find_no_session()))
    assert last_seen(backend) == before


def test_what_waits_is_recorded_when_a_worker_ends(sqlite_url: str) -> None:
    async def served() -> tuple[float, float]:
        backend = AsyncSQLBackend(sqlite_url)
        await backend.create_tables()
        client = Credential(b"MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE")
        await backend.login(NewSession(user_id="ann", digest=client.digest, lifetime=86_400.0))  # from before the limit
        config = configure("authz", {"backend": sqlite_url, "session-idle-timeout": "900", "trusted-proxy": "127.0.0.1"}, {})
        parts = build.build(config, Counts())
        session = await backend.find(client)
        assert session is not None
        assert session.expires_at is not None
        assert parts.gate.seen is not None
        unused_for(sqlite_url, 120.0)
        parts.gate.seen.note(session, 0.0)
        await parts.close()
        after = await backend.find(client)
        assert after is not None
        assert after.expires_at is not None
        await backend.close()
        return session.expires_at.timestamp(), after.expires_at.timestamp()

    before, after = asyncio.run(served())
    assert before - after == pytest.approx(86_400 - 900, abs=60)
