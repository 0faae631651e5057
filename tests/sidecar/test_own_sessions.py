"""Over sessions of the application's own (mode application): the upstream learns who is calling, and a check passes them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from time import time

import pytest

import sessionward
from sessionward import ASGIMiddleware
from sessionward.session.assertion import Signer, Verifier
from tests.doors.keepers import RecordedRows
from tests.sidecar.apps.table import fill
from tests.sidecar.processes import ROOT, SECRET, Client, shop, sidecar
from tests.sidecar.stage import OK, answering, staged
from tests.support.servers import served

BACKEND = "tests.sidecar.apps.table:backend"


def test_serve_names_the_user_and_revokes_the_other_rows(tmp_path: Path) -> None:
    fill(f"{tmp_path}/logins.db")
    with (
        shop() as application,
        sidecar(tmp_path, application.url, backend=BACKEND, env={"LOGINS": f"{tmp_path}/logins.db"}) as server,
        Client(server.port) as mine,
        Client(server.port) as other,
        Client(server.port) as bob,
    ):
        mine.cookies, other.cookies, bob.cookies = {"sid": "one"}, {"sid": "two"}, {"sid": "three"}
        assert [client.ask("/", X_Session_User="eve") for client in (mine, other, bob)] == [(200, b"ann"), (200, b"ann"), (200, b"bob")]
        assert mine.ask("/auth/sessions", "DELETE") == (200, b'{"count": 1}')
        assert [client.ask("/") for client in (mine, other, bob)] == [(200, b"ann"), (200, b"nobody"), (200, b"bob")]
        (tmp_path / "logins.db").write_bytes(b"this is no database any more, whatever anybody says" * 200)
        assert mine.ask("/")[0] == 503


def test_authz_passes_them_too(tmp_path: Path) -> None:
    fill(f"{tmp_path}/logins.db")
    (tmp_path / "secret").write_text(SECRET)
    command = [sys.executable, "-m", "sessionward", "authz", "--backend", BACKEND, "--trusted-proxy", "127.0.0.1", "--drain-delay", "0"]
    env = {"LOGINS": f"{tmp_path}/logins.db"}
    with (
        served(lambda port: [*command, "--listen", f"127.0.0.1:{port}"], log=tmp_path / "authz.log", cwd=ROOT, env=env) as server,
        Client(server.port) as mine,
        Client(server.port) as nobody,
    ):
        mine.cookies, nobody.cookies = {"sid": "one"}, {"sid": "none"}
        assert mine.ask("/authz") == (204, b"")
        assert mine.headers["X-Session-User"] == "ann"
        assert nobody.ask("/authz")[0] == 401
        assert nobody.ask("/authz/optional") == (204, b"")
        assert mine.ask("/auth/sessions", "DELETE") == (200, b'{"count": 1}')


NAMED = {
    "its cookie": (b"/", b"sid=key", b"sid=key", b"ann"),
    "its cookie beside others": (b"/", b"a=1; sid=key", b"a=1; sid=key", b"ann"),
    "a revoked one": (b"/", b"sid=other", b"", b""),
    "a revoked one beside others": (b"/", b"a=1; sid=other", b"a=1", b""),
    "a revoked one beside a live one": (b"/", b"sid=key; sid=other", b"sid=key", b"ann"),
    "a spelling that some frameworks read": (b"/", b'sid="k\\145y"', b"", b""),
    "an exempt path": (b"/static/x", b"sid=key", b"", b""),
}
"""A path and a Cookie field; what is left of the field, and the user that is named beside it."""


@pytest.mark.parametrize(("path", "cookie", "left", "user"), NAMED.values(), ids=NAMED)
def test_over_a_store_that_writes_late_the_user_named_is_of_the_cookie_that_is_left(
    path: bytes, cookie: bytes, left: bytes, user: bytes
) -> None:
    async def story() -> None:
        rows = RecordedRows(key="ann")
        async with staged(answering(OK), backend=rows, exempt_paths=["/static/"]) as stage:
            await stage.say(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + b"\r\n\r\n")
            (heard,) = stage.heard
        fields = dict(line.lower().split(b": ", 1) for line in heard.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])
        assert (fields.get(b"cookie", b""), fields[b"x-session-user"]) == (left, user)
        assert rows.asked == ["find"] * bool(left.endswith(b"sid=key"))

    asyncio.run(story())


def test_what_the_sidecar_states_a_door_behind_it_believes() -> None:
    key = b"the sidecar signs with this: 0123456789"

    async def story() -> None:
        async with staged(answering(OK), signer=Signer([key], "shop")) as stage:
            token = await stage.login("ann")
            for _ in range(2):
                await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await stage.say(b"GET / HTTP/1.1\r\nHost: a\r\nX-Session-Token: " + token.encode() + b"\r\n\r\n")
            *nobody, ann = (heard.partition(b"x-session-assertion: ")[2].partition(b"\r\n")[0] for heard in stage.heard)
            assert nobody == [b"", b""]
            stated = Verifier([key], "shop").verify(ann, time())
            assert stated is not None
            assert stated.user_id == "ann"
            assert Verifier([key], "forum").verify(ann, time()) is None
            users: list[str] = []

            async def application(scope: object, receive: object, send: object) -> None:
                users.append(sessionward.of(scope).current.user_id)

            door = ASGIMiddleware(application, stage.backend, secrets=[SECRET], assertion_secrets=[key], audience="shop")
            scope = {"type": "http", "method": "GET", "path": "/", "root_path": "", "headers": [(b"x-session-assertion", ann)]}
            await door(scope, None, None)  # type: ignore[arg-type]
            assert users == ["ann"]

    asyncio.run(story())
