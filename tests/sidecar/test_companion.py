"""In front of applications with a login of their own, which were not changed at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.sidecar.processes import ROOT, Client, sidecar
from tests.support.servers import served

OWN = "the application's own secret: 0123456789"


class Shopfront:
    """An application with a sidecar before it."""

    def __init__(self, folder: Path, serving: Sequence[str], arguments: Sequence[str], env: Mapping[str, str], backend: str = "") -> None:
        self._stack = ExitStack()
        env = {**env, "DJANGO_SHOP_DATABASE": f"{folder}/django.db"}
        if "DJANGO_SETTINGS_MODULE" in env:
            subprocess.run([sys.executable, "-m", "tests.sidecar.apps.django_shop"], cwd=ROOT, env={**_environment(), **env}, check=True)
        application = self._stack.enter_context(
            served(
                lambda port: [sys.executable, "-m", *(word.format(port=port) for word in serving)],
                log=folder / "application.log",
                cwd=ROOT,
                env={**env, "DJANGO_SHOP_SERVES": "1"},
            )
        )
        own = folder / "own"
        own.write_text(OWN + "\n")
        given = [argument.format(own=own) for argument in arguments]
        self.server = self._stack.enter_context(sidecar(folder, application.url, *given, backend=backend, env=env))
        self.direct = application.port
        self.port = self.server.port

    def close(self) -> None:
        self._stack.close()


def _environment() -> Mapping[str, str]:
    import os

    return os.environ


GUNICORN = ["gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "warning", "--no-control-socket"]
DJANGO = [*GUNICORN, "tests.sidecar.apps.django_shop:application"]
PROJECT = {"DJANGO_SETTINGS_MODULE": "tests.sidecar.apps.django_settings"}
SHOPS = {
    "Flask": ([*GUNICORN, "tests.sidecar.apps.flask_shop:app"], ["--identify", "flask", "--identify-secret-file", "{own}"], {}, ""),
    "Starlette": (
        ["uvicorn", "tests.sidecar.apps.starlette_shop:app", "--port", "{port}", "--log-level", "warning"],
        ["--identify", "starlette", "--identify-secret-file", "{own}", "--identify-user", "user_id"],
        {},
        "",
    ),
    "Django, signed cookies": (DJANGO, ["--identify", "django"], {**PROJECT, "DJANGO_SHOP_ENGINE": "signed_cookies"}, ""),
    "Django, its database": (DJANGO, [], PROJECT, "django"),
}


@pytest.fixture(scope="module", params=list(SHOPS.values()), ids=list(SHOPS))
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shopfront]:
    serving, arguments, env, backend = request.param
    made = Shopfront(tmp_path_factory.mktemp("shop"), serving, arguments, env, backend)
    yield made
    made.close()


def test_the_applications_own_login_is_revoked_by_the_call_and_a_copy_of_it_is_worth_nothing(front: Shopfront) -> None:
    with Client(front.port) as laptop, Client(front.port) as phone, Client(front.port) as thief, Client(front.port) as bob:
        for device, user in ((laptop, "ann"), (phone, "ann"), (bob, "bob")):
            assert device.ask(f"/in/{user}") == (200, b"welcome")
            assert device.ask("/") == (200, user.encode())
        thief.cookies = dict(phone.cookies)
        assert laptop.ask("/auth/sessions", "DELETE") == (200, b'{"count": 1}')
        for device in (phone, thief):
            assert device.ask("/") == (200, b"nobody")
        assert laptop.ask("/") == (200, b"ann")
        assert bob.ask("/") == (200, b"bob")
        assert phone.ask("/in/ann") == (200, b"welcome")
        assert phone.ask("/") == (200, b"ann")
    assert "Traceback" not in front.server.printed()


def test_signing_out_in_the_application_signs_out_here_too(front: Shopfront) -> None:
    with Client(front.port) as laptop:
        laptop.ask("/in/ann")
        kept = dict(laptop.cookies)
        assert laptop.ask("/out") == (200, b"bye")
        laptop.cookies = kept
        assert laptop.ask("/") == (200, b"nobody")


def test_an_identity_that_the_client_names_is_nobodys(front: Shopfront) -> None:
    with Client(front.port) as laptop:
        laptop.ask("/in/ann")
        assert laptop.ask("/", X_Session_User="eve") == (200, b"ann")
        assert laptop.ask("/auth/sessions", "DELETE", X_Session_User="eve")[0] == 200
        assert laptop.ask("/auth/sessions", "DELETE", X_Session_User="eve") == (200, b'{"count": 0}')
