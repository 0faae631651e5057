"""Real proxies that lose the answer of a service which has revoked sessions: none of them says that nothing was changed."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from sessionward.backends.sql import SQLBackend
from tests.sidecar.engines import App, Engine, authz, engine
from tests.sidecar.town import Answer, Town

LEASE: Final = 5.0
"""Seconds: the service has revoked the sessions, and waits for so long before it answers."""
OWN_WORDS: Final = ("nginx", "caddy")
"""The engines that say it in our words. The others have none for a service that does not answer, and use their own."""
HURRIED: Final = {"nginx": "proxy_read_timeout 8s;", "haproxy": "timeout server 8s"}
"""The settings that end the wait for the answer."""


@pytest.fixture
def place(folder: Path) -> Path:
    made = Path(tempfile.mkdtemp(dir=folder))
    made.chmod(0o755)  # for the workers of nginx
    return made


@pytest.fixture
def sessions(place: Path) -> Iterator[SQLBackend]:
    made = SQLBackend(f"sqlite:///{place}/sessions.db")
    made.create_tables()
    made.set_lease(LEASE)
    yield made
    made.close()


def assert_unknown(answer: Answer, kind: str) -> None:
    assert answer.status in (502, 503, 504)
    assert b"Nothing was changed" not in answer.body
    assert b"backend_unavailable" not in answer.body
    if kind in OWN_WORDS:
        assert answer.status == 503
        assert b'"outcome_unknown"' in answer.body
        for field in (b"retry-after: ", b"cache-control: no-store", b"content-type: application/json"):
            assert b"\r\n" + field in answer.head.lower()


def test_the_outcome_is_unknown_if_the_service_dies_after_the_revocation(
    chosen: Engine, place: Path, sessions: SQLBackend, app: App
) -> None:
    with authz(place, "--lease", str(LEASE)) as service, engine(chosen, place / "engine", authz=service.port, app=app.port) as server:
        town = Town(server.port, app, place, sessions, chosen.kind)
        mine, _ = town.login(), town.login()
        with ThreadPoolExecutor() as threads:
            asked = threads.submit(town.ask, b"/auth/sessions", b"Cookie: " + mine, method=b"DELETE")
            ends = time.monotonic() + LEASE
            while len(sessions.list("ann")) > 1:
                assert time.monotonic() < ends, "the sessions were not revoked"
                time.sleep(0.02)
            assert not asked.done()
            os.killpg(service.process.pid, signal.SIGKILL)
            assert_unknown(asked.result(), chosen.kind)
        assert len(sessions.list("ann")) == 1
        if chosen.kind == "nginx":  # where the check says it too, and nothing can have been changed
            assert b'"backend_unavailable"' in town.ask(b"/", b"Cookie: " + mine).body


def test_the_outcome_is_unknown_if_the_answer_comes_too_late(chosen: Engine, place: Path, sessions: SQLBackend, app: App) -> None:
    if chosen.kind not in HURRIED:
        pytest.skip("its time is no setting of ours")
    line = HURRIED[chosen.kind]

    def sooner(text: str) -> str:
        return text.replace(line, line.replace("8s", "1s"))

    with (
        authz(place, "--lease", str(LEASE)) as service,
        engine(chosen, place / "engine", authz=service.port, app=app.port, change=sooner) as server,
    ):
        town = Town(server.port, app, place, sessions, chosen.kind)
        mine, _ = town.login(), town.login()
        assert_unknown(town.ask(b"/auth/sessions", b"Cookie: " + mine, method=b"DELETE"), chosen.kind)
        assert len(sessions.list("ann")) == 1
