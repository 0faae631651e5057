"""Whose a session is, is asked by value: user 0 is a user like any other; what an application writes for nobody names nobody."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from beaker.session import Session  # type: ignore[import-untyped]
from flask import Flask
from itsdangerous import TimestampSigner
from litestar import Litestar
from litestar.middleware.session.client_side import ClientSideSessionBackend, CookieBackendConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.serialization import encode_json
from litestar.stores.memory import MemoryStore

from sessionward.identify import Function, Identity
from sessionward.identify.beaker import Beaker
from sessionward.identify.flask import FlaskLogin
from sessionward.identify.flask_session import FlaskSession
from sessionward.identify.litestar import client_side, server_side
from sessionward.identify.starlette import StarletteSession, Starsessions
from tests.identify.claims import SECRET

ID: Final = "f" * 40


def flask(session: dict[str, Any]) -> tuple[Any, str]:
    app = Flask(__name__)
    app.secret_key = SECRET
    serializer: Any = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return FlaskLogin.of(app, user_key="user"), serializer.dumps(session)


def flask_session(session: dict[str, Any]) -> tuple[Any, str]:
    store = SimpleNamespace(get=lambda key: msgspec.msgpack.encode(session))
    return FlaskSession(store, remember_cookie=None, user_key="user"), ID


def starlette(session: dict[str, Any]) -> tuple[Any, str]:
    signed = TimestampSigner(SECRET).sign(base64.b64encode(json.dumps(session).encode()))
    return StarletteSession(SECRET, user="user"), signed.decode()


def starlette_by_function(session: dict[str, Any]) -> tuple[Any, str]:
    return StarletteSession(SECRET, user=lambda found: found.get("user")), starlette(session)[1]


class Stored:
    def __init__(self, session: dict[str, Any]) -> None:
        self.data = json.dumps(session).encode()

    async def read(self, session_id: str, lifetime: int) -> bytes:
        return self.data


def starsessions(session: dict[str, Any]) -> tuple[Any, str]:
    return Starsessions(Stored(session), user="user"), ID


def beaker(session: dict[str, Any]) -> tuple[Any, str]:
    options = {"type": "memory", "use_cookies": False}
    made = Session({}, id=ID, **options)
    made.clear()
    made.update(session)
    made.save()
    return Beaker(options, user="user"), ID


def litestar_server(session: dict[str, Any]) -> tuple[Any, str]:
    store = MemoryStore()
    config = ServerSideSessionConfig(store="sessions")
    asyncio.run(store.set(ID, encode_json(session)))
    return server_side(Litestar(stores={"sessions": store}), config, user="user"), ID


def litestar_client(session: dict[str, Any]) -> tuple[Any, str]:
    config = CookieBackendConfig(secret=b"0123456789abcdef")
    (value,) = ClientSideSessionBackend(config).dump_data(session)
    return client_side(config, user="user"), value.decode()


SESSIONS: Final[list[Callable[[dict[str, Any]], tuple[Any, str]]]] = [
    flask,
    flask_session,
    starlette,
    starlette_by_function,
    starsessions,
    beaker,
    litestar_server,
    litestar_client,
]


def said(identifier: Any, value: str) -> Any:
    answer = identifier.identify(identifier.cookies[0], value)
    return asyncio.run(_awaited(answer)) if inspect.isawaitable(answer) else answer


async def _awaited(answer: Any) -> Any:
    return await answer


@pytest.mark.parametrize("user", [0, "0", 1, -1, "ann", str(UUID(int=0))], ids=repr)
@pytest.mark.parametrize("made", SESSIONS, ids=lambda made: made.__name__)
def test_a_user_is_a_user_whatever_its_id(made: Callable[[dict[str, Any]], tuple[Any, str]], user: object) -> None:
    identity = said(*made({"user": user}))
    assert isinstance(identity, Identity)
    assert identity.user_id == str(user)


@pytest.mark.parametrize("session", [{}, {"user": None}, {"user": ""}, {"user": False}], ids=repr)
@pytest.mark.parametrize("made", SESSIONS, ids=lambda made: made.__name__)
def test_what_an_application_writes_for_nobody_names_nobody(
    made: Callable[[dict[str, Any]], tuple[Any, str]], session: dict[str, Any]
) -> None:
    assert not isinstance(said(*made({"cart": 1, **session})), Identity)


def test_a_function_that_answers_0_names_user_0() -> None:
    assert said(Function(lambda name, value: 0, cookies=["sid"]), "x").user_id == "0"
