"""Ory's own SDKs against real servers: who am I, my sessions page by page, disable one, disable the others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ory_client
import ory_kratos_client
import pytest

from sessionward.backends import Session
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import new_token
from tests.api.houses import SIGNATURE
from tests.doors.servers import running
from tests.doors.sides import COOKIE
from tests.support.services import missing
from tests.support.sessions import new_session

SERVERS: Final = {"uvicorn h11": "asgi", "gunicorn gthread --threads 4": "wsgi"}
CARRIERS: Final = ("token", "bearer", "cookie")
SDKS: Final = (ory_client, ory_kratos_client)
NPM: Final = os.environ.get("SESSIONWARD_TEST_NPM", "")
"""A directory with ``node_modules``: npm install @ory/client."""


@dataclass
class Town:
    """A server, and a way to sign in without it."""

    url: str
    backend: SQLBackend
    users: int = 0

    def sign_in(self, user: str) -> tuple[str, Session]:
        token = new_token()
        new = new_session(user, token, methods=("password", "sms", "unheard_of"))
        return token, self.backend.login(new)

    def caller(self) -> tuple[str, Session, list[Session]]:
        """A new user: the token and the session of the one that calls, and its three others."""
        self.users += 1
        user = f"user {self.users}"
        token, own = self.sign_in(user)
        self.sign_in(f"not {user}")
        return token, own, [self.sign_in(user)[1] for _ in range(3)]

    def live(self, session: Session) -> set[str]:
        return {str(each.id) for each in self.backend.list(session.user_id)}


@pytest.fixture(scope="module", params=[*SERVERS], ids=lambda kind: kind.partition(" ")[0])
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    url = f"sqlite:///{tmp_path_factory.mktemp('sdks')}/sessions.db"
    backend = SQLBackend(url)
    backend.create_tables()
    with running(request.param, f"tests.api.site:{SERVERS[request.param]}", SESSIONWARD_TEST_DATABASE=url) as server:
        yield Town(f"http://127.0.0.1:{server.port}/auth", backend)
    backend.close()


def value_of(carrier: str, token: str) -> str:
    return f"{COOKIE}={SIGNATURE.sign(token.encode()).decode()}" if carrier == "cookie" else token


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.__name__)
def test_the_sdks_for_python_understand_every_answer(town: Town, sdk: Any, carrier: str) -> None:
    token, own, others = town.caller()
    value = value_of(carrier, token)
    who = {"token": {"x_session_token": value}, "cookie": {"cookie": value}, "bearer": {}}[carrier]
    with sdk.ApiClient(sdk.Configuration(host=town.url)) as client:
        if carrier == "bearer":
            client.set_default_header("Authorization", f"Bearer {value}")
        api = sdk.FrontendApi(client)
        session = api.to_session(**who)
        assert (str(session.id), session.active, session.identity.external_id) == (str(own.id), True, own.user_id)
        assert session.issued_at == own.issued_at
        assert [method.method for method in session.authentication_methods] == ["password", "code", None]
        assert [len(session.devices), session.authenticator_assurance_level.value] == [1, "aal1"]

        found: list[str] = []
        page: dict[str, str] = {}
        while True:
            answer = api.list_my_sessions_with_http_info(page_size=2, **page, **who)
            assert answer.headers["x-total-count"] == "3"
            found += [str(each.id) for each in answer.data]
            _, _, after = answer.headers["link"].partition("page_token=")
            if not after:
                break
            page = {"page_token": after.partition(">")[0]}
        assert sorted(found) == sorted(str(other.id) for other in others)

        assert api.disable_my_session(found[0], **who) is None
        assert town.live(own) == {str(own.id), *found[1:]}
        with pytest.raises(sdk.exceptions.BadRequestException) as refused:
            api.disable_my_session(str(own.id), **who)
        assert json.loads(refused.value.body)["error"]["id"] == "cannot_revoke_current_session"
        assert api.disable_my_other_sessions(**who).count == 2
        assert api.list_my_sessions(**who) == []
    with sdk.ApiClient(sdk.Configuration(host=town.url)) as client:
        with pytest.raises(sdk.exceptions.UnauthorizedException) as nobody:
            sdk.FrontendApi(client).to_session(x_session_token="nonsense")
        assert json.loads(nobody.value.body)["error"]["id"] == "session_inactive"
    assert town.live(own) == {str(own.id)}


@pytest.fixture(scope="module")
def node() -> str:
    program = shutil.which("node")
    if program is None or not NPM or not (Path(NPM) / "node_modules" / "@ory" / "client").is_dir():
        missing("@ory/client", "node, and SESSIONWARD_TEST_NPM with the folder where npm has installed it")
    assert program is not None
    return program


@pytest.mark.parametrize("slash", ["", "/"], ids=["base", "base with a slash"])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_sdk_for_javascript_understands_every_answer(town: Town, node: str, carrier: str, slash: str) -> None:
    token, own, others = town.caller()
    command = [node, str(Path(__file__).with_name("sdk.js")), town.url + slash, carrier, value_of(carrier, token), str(others[0].id)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["whoami"]["id"] == str(own.id)
    assert [len(page["ids"]) for page in found["pages"]] == [2, 1]
    assert {page["total"] for page in found["pages"]} == {"3"}
    assert {each for page in found["pages"] for each in page["ids"]} == {str(other.id) for other in others}
    assert found["one"] == 204
    assert found["own"] == {"status": 400, "id": "cannot_revoke_current_session"}
    assert found["others"] == {"count": 2}
    assert found["nobody"] == {"status": 401, "id": "session_inactive"}
    assert town.live(own) == {str(own.id)}
