"""A password in a URL is in no repr, error, traceback or log."""

from __future__ import annotations

import logging
import socket
import traceback
from collections.abc import Callable, Iterator

import pytest

import sessionward
from sessionward import BackendUnavailable, ConfigurationError
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from tests.backends.conftest import Place
from tests.contract.doors import SECRET, asgi_scope, ask_asgi, ask_wsgi, wsgi_environ
from tests.contract.sql_world import KINDS, Kind, SQLWorld

PASSWORD = "hunter2-Zq9!canary"
QUOTED = "hunter2-Zq9%21canary"
TOKEN = "MP2YWEMeM8MxjkGKpH4dqOQ4Q40gOAkE"
SERVED = [kind for kind in KINDS if kind.database != "sqlite"]


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def url(kind: Kind, port: int) -> str:
    scheme = "postgresql" if kind.database == "postgresql" else "mysql"
    return f"{scheme}://nobody:{QUOTED}@127.0.0.1:{port}/none"


@pytest.mark.parametrize("kind", SERVED, ids=str)
def test_a_refused_connection_shows_no_password(kind: Kind, refusing: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = SQLWorld(kind, url(kind, refusing))
    try:
        with pytest.raises(BackendUnavailable) as caught:
            world.sessions.revoke_all("ann")
    finally:
        world.close()
    texts = [str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value)), caplog.text, repr(world.backend)]
    texts += [str(world.backend), repr(vars(world.backend)), f"{world.backend!r}"]
    assert not [text for text in texts if PASSWORD in text or QUOTED in text]


@pytest.mark.parametrize("made", [SQLBackend, AsyncSQLBackend])
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("oracle://nobody:{}@h/d", id="an unknown scheme"),
        pytest.param("postgresql://nobody:{}@h:port/d", id="a port that is none"),
        pytest.param("nobody:{}@h/d", id="no scheme"),
        pytest.param("postgresql+psycopg2://nobody:{}@h/d", id="an unknown driver"),
    ],
)
def test_a_url_that_is_refused_shows_no_password(made: Callable[[str], object], wrong: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(wrong.format(QUOTED))
    text = str(caught.value) + repr(caught.value) + "".join(traceback.format_exception(caught.value))
    assert QUOTED not in text
    assert PASSWORD not in text


@pytest.mark.parametrize("kind", SERVED, ids=str)
def test_p7_a_door_answers_503_and_logs_no_password_token_or_user(kind: Kind, refusing: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world = SQLWorld(kind, url(kind, refusing))
    headers = {"X-Session-Token": TOKEN}
    try:
        if kind.is_async:
            asgi = sessionward.ASGIMiddleware(_never_asgi, world.backend, secrets=[SECRET], debug=True)
            answer = world.run(ask_asgi(asgi, asgi_scope("DELETE", "/auth/sessions", headers)))
        else:
            wsgi = sessionward.WSGIMiddleware(_never_wsgi, world.backend, secrets=[SECRET], debug=True)
            answer = ask_wsgi(wsgi, wsgi_environ("DELETE", "/auth/sessions", headers))
    finally:
        world.close()
    assert answer.status == 503
    assert "sessionward" in {record.name for record in caplog.records}
    text = caplog.text + answer.body.decode() + str(answer.headers)
    assert not [secret for secret in (PASSWORD, QUOTED, TOKEN, SECRET) if secret in text]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_logs_of_sqlalchemy_show_no_token_and_no_digest(kind: Kind, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("sqlalchemy.engine", "sqlalchemy.pool"):
        caplog.set_level(logging.DEBUG, logger=name)
    world = SQLWorld(kind, place(kind.database), timeout=10.0)
    try:
        world.sessions.create_tables()
        caplog.clear()
        client = world.sign_in()
        world.sessions.revoke_others(client.session)
    finally:
        world.close()
    secrets = [client.credential.reveal(), client.credential.digest.hex(), repr(client.credential.digest)]
    assert not [secret for secret in secrets if secret in caplog.text]


async def _never_asgi(scope: object, receive: object, send: object) -> None:
    raise AssertionError


def _never_wsgi(environ: object, start_response: object) -> list[bytes]:
    raise AssertionError
