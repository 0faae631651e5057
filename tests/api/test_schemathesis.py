"""schemathesis calls each operation as the document allows it, and as it does not: no answer is one that the document does not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.transport.wsgi import WSGITransport
from starlette.applications import Starlette

from sessionward import ASGIMiddleware, WSGIMiddleware
from sessionward.backends import Credential, NewSession
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.credential.token import new_token
from tests.api.houses import SIGNATURE
from tests.doors.sides import COOKIE, SECRET, SESSIONS

CONFIG: Final = schemathesis.Config.from_path(Path(__file__).with_name("schemathesis.toml"))


def _wsgi(environ: Any, start_response: Any) -> Any:
    start_response("404 Not Found", [("Content-Length", "0")])
    return [b""]


def _signed_in(backend: Any) -> str:
    """Signs in several times; the token of the last one."""
    token = ""
    for methods in ((), ("password", "totp"), ("sms", "unheard_of")):
        token = new_token()
        backend.login(NewSession(user_id="ada", digest=Credential(token.encode()).digest, lifetime=36_000.0, methods=methods))
    return token


def _without_network(send: Any) -> Any:
    """The engine of schemathesis 4.32 hands on settings of a network that its own way to WSGI applications does not know."""

    def sending(transport: Any, case: Any, **keywords: Any) -> Any:
        known = {name: value for name, value in keywords.items() if name not in ("max_redirects", "verify", "proxies", "cert")}
        return send(transport, case, **known)

    return sending


def _signing_in(schema: Any, backend: Any) -> Any:
    """Makes schemathesis send one token with all calls: no operation can revoke the session that makes it."""
    token = _signed_in(backend)

    class Token:
        def get(self, case: Any, ctx: Any) -> str:
            return token

        def set(self, case: Any, data: str, ctx: Any) -> None:
            if case.method == "POST":  # a form of the page
                case.cookies[COOKIE] = SIGNATURE.sign(data.encode()).decode()
                case.headers["Sec-Fetch-Site"] = "same-origin"
            else:
                case.headers["X-Session-Token"] = data

    schema.auth()(Token)
    return schema


@pytest.fixture(params=["memory", "SQLite"])
def kept(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[tuple[Any, Any, Any]]:
    """A backend for WSGI, one for ASGI over the same sessions, and one that signs in."""
    if request.param == "memory":
        memory = MemoryBackend()
        yield memory, memory, memory
        return
    backend = SQLBackend(sqlite_url)
    backend.create_tables()
    yield backend, AsyncSQLBackend(sqlite_url), backend
    backend.close()


@pytest.fixture(params=["asgi", "wsgi"])
def schema(request: pytest.FixtureRequest, kept: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The document as a door serves it."""
    path, wsgi, (for_wsgi, for_asgi, aside) = f"{SESSIONS}/openapi.json", request.param == "wsgi", kept
    if wsgi:
        monkeypatch.setattr(WSGITransport, "send", _without_network(WSGITransport.send))
        door: Any = WSGIMiddleware(_wsgi, for_wsgi, secrets=[SECRET], api=True)
        return _signing_in(schemathesis.openapi.from_wsgi(path, door, config=CONFIG), aside)
    door = ASGIMiddleware(Starlette(), for_asgi, secrets=[SECRET], api=True)
    return _signing_in(schemathesis.openapi.from_asgi(path, door, config=CONFIG), aside)


def test_schemathesis_finds_no_answer_that_the_document_does_not_have(schema: Any) -> None:
    statuses: Counter[int] = Counter()
    phases: set[str] = set()
    for event in from_schema(schema).execute():
        assert not isinstance(event, FatalError | NonFatalError), vars(event) if isinstance(event, FatalError) else event.value
        if isinstance(event, ScenarioFinished):
            for case, checks in event.recorder.checks.items():
                for check in checks:
                    assert check.failure_info is None, f"{event.recorder.interactions[case].response}\n{check.failure_info}"
            statuses.update(each.response.status_code for each in event.recorder.interactions.values() if each.response is not None)
            phases.add(event.phase.value)
    assert {200, 204, 303, 400, 401, 405} <= set(statuses)
    assert not {status for status in statuses if status >= 500}
    assert {"coverage", "fuzzing", "stateful"} <= phases
