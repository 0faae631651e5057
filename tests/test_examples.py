"""Every example runs as its docstring says, over its own server, and does what it promises."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import runpy
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any, Self

import httpx2 as httpx
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sessionward import Session, SessionRevoked
from sessionward.backends import RevokedCount
from sessionward.backends.sql import SQLBackend
from tests.support.servers import Server, served
from tests.support.services import missing

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
OLD, NEW = "correct horse battery", "staple of another kind"
REDIS = os.environ.get("SESSIONWARD_TEST_REDIS", "redis://127.0.0.1:6379/0")


@dataclass(frozen=True, slots=True)
class Example:
    """An example and how a client talks to it. ``form``: by form posts, else by JSON. ``whoami``: who is signed in.

    ``server``: which one, where the docstring names several.
    """

    name: str
    whoami: str
    form: bool = True
    signed_in: Callable[[httpx.Response], bool] = lambda answer: "You are " in answer.text
    server: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.server and '-'}{self.server}"

    @property
    def manual(self) -> str:
        return ast.get_docstring(ast.parse((EXAMPLES / f"{self.name}.py").read_text())) or ""

    @property
    def has_secret(self) -> bool:
        """Whether a cookie of ours is signed: everywhere but where the application's own rows are ended."""
        return "SESSIONWARD_SECRET" in self.manual


def _answers(answer: httpx.Response) -> bool:
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


CHANGE = Example("change_password", "/")
FASTAPI = Example("fastapi_app", "/me", form=False, signed_in=_answers)
FLASK = Example("flask_app", "/")
FORGOT = Example("forgot_password", "/me", signed_in=_answers)
LEGACY = Example("legacy_wsgi", "/")
STARLETTE = Example("starlette_postgresql", "/")
OURS = [CHANGE, FASTAPI, FLASK, FORGOT, LEGACY, STARLETTE]

BEAKER = Example("beaker_bottle", "/")
DJANGO_ASGI = Example("django_admin", "/", server="uvicorn")
DJANGO_WSGI = Example("django_admin", "/", server="gunicorn")
FASTAPI_SESSIONS = Example("fastapi_sessions", "/")
FASTAPI_USERS = Example("fastapi_users_app", "/users/me", signed_in=_answers)
FLASK_LOGIN = Example("flask_login_app", "/")
FLASK_SESSION = Example("flask_session_redis", "/")
PYRAMID = Example("pyramid_app", "/")
WITH_COMPANION = [BEAKER, FASTAPI_SESSIONS, FLASK_LOGIN, FLASK_SESSION, PYRAMID]
"""Applications that keep their login, and their sessions where they cannot be ended."""

IN_THEIR_STORE = [DJANGO_ASGI, DJANGO_WSGI, FASTAPI_USERS]
"""Applications that keep their login, and their sessions where they can be ended."""

SIGN_UP = [*OURS, *WITH_COMPANION]
"""Those that sign up and in alike, by ``/signup`` and ``/login``."""
WITH_CART = [*WITH_COMPANION, DJANGO_ASGI, DJANGO_WSGI]
ALL = [*SIGN_UP, *IN_THEIR_STORE]


@dataclass(frozen=True, slots=True)
class Running:
    """An example that is being served. ``folder``: where it keeps its file."""

    example: Example
    server: Server
    folder: Path

    def browser(self) -> Browser:
        return _BROWSERS.get(self.example.name, Browser)(self)


class Browser:
    """A client with a cookie jar, which returns Secure cookies over https only, and tells its origin as browsers do."""

    def __init__(self, running: Running) -> None:
        self.example, self.folder = running.example, running.folder
        origin = running.server.url
        headers = {"origin": origin, "sec-fetch-site": "same-origin"}
        # one connection for each request: a server with one thread never waits for the idle ones
        self._client = httpx.Client(base_url=origin, headers=headers, timeout=20, limits=httpx.Limits(max_keepalive_connections=0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self._client.post(path, data=fields) if self.example.form else self._client.post(path, json=fields)

    def delete(self) -> httpx.Response:
        return self._client.delete("/auth/sessions")

    def sign_up(self, name: str, password: str = OLD) -> None:
        assert self.post("/signup", name=name, password=password).status_code in (201, 303)

    def sign_in(self, name: str, password: str = OLD, **more: str) -> httpx.Response:
        return self.post("/login", name=name, password=password, **more)

    def sign_out(self) -> httpx.Response:
        return self.post("/logout")

    def is_signed_in(self) -> bool:
        return self.example.signed_in(self.get(self.example.whoami))

    def takes(self, cookies: dict[str, str]) -> Self:
        """Has these cookies from now on, and no others."""
        self._client.cookies.clear()
        self._client.cookies.update(cookies)
        return self

    def cookies(self, *, but: str = "") -> dict[str, str]:
        """What the jar holds, but for one cookie."""
        return {name: value for name, value in self._client.cookies.items() if name != but}


class UsersBrowser(Browser):
    """Talks to the routes of fastapi-users."""

    def sign_up(self, name: str, password: str = OLD) -> None:
        fields = {"email": f"{name}@example.com", "password": password}
        assert self._client.post("/auth/register", json=fields).status_code == 201

    def sign_in(self, name: str, password: str = OLD, **more: str) -> httpx.Response:
        return self.post("/auth/login", username=f"{name}@example.com", password=password)

    def sign_out(self) -> httpx.Response:
        return self.post("/auth/logout")


class AdminBrowser(Browser):
    """Fills in the forms of Django's admin, with the token that each of them has."""

    def post(self, path: str, **fields: str) -> httpx.Response:
        page = {"/cart": "/", "/admin/logout/": "/admin/"}.get(path, path)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(page).text)
        return super().post(path, **fields, csrfmiddlewaretoken=token[1] if token else "")

    def sign_up(self, name: str, password: str = OLD) -> None:
        command = ["python", "-m", "django_admin", "createsuperuser", "--noinput", "--username", name, "--email", f"{name}@example.com"]
        environment = {**os.environ, **surroundings(self.folder), "SECRET_KEY": "of tests only", "DJANGO_SUPERUSER_PASSWORD": password}
        subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, timeout=60, check=True)

    def sign_in(self, name: str, password: str = OLD, **more: str) -> httpx.Response:
        return self.post("/admin/login/", username=name, password=password, next="/admin/")

    def sign_out(self) -> httpx.Response:
        return self.post("/admin/logout/")


_BROWSERS = {FASTAPI_USERS.name: UsersBrowser, DJANGO_ASGI.name: AdminBrowser}


# --- how an example is run --------------------------------------------------------------------------------------------


def block(example: Example) -> list[str]:
    """The indented lines of the docstring: to install, to make a secret, to run."""
    return [line.strip() for line in example.manual.splitlines() if line.startswith("    ")]


def script(example: Example, *, port: int = 8000, secret: bool = True) -> list[str]:
    """What the docstring tells to type, but for the installation, with another port; the server takes the shell's place."""
    _, *lines = block(example)
    (run,) = [line for line in lines if "8000" in line and line.startswith(example.server)]
    assert run.count("8000") == 1
    before = [line for line in lines if "8000" not in line and (secret or "SESSIONWARD_SECRET" not in line)]
    return ["bash", "-ec", "\n".join([*before, f"exec {run.replace('8000', str(port))}"])]


def surroundings(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a newcomer whose programs are those of this Python; nothing is written outside ``folder``."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(EXAMPLES), "HOME": str(folder), "SESSIONWARD_INSECURE": "", **more}


@contextmanager
def run(example: Example, folder: Path, **more: str) -> Iterator[Running]:
    """Type what the docstring says, in an empty folder."""

    def command(port: int) -> list[str]:
        return script(example, port=port)

    with served(command, log=folder / "log", cwd=folder, env=surroundings(folder, **more)) as server:
        yield Running(example, server, folder)


@pytest.fixture(scope="module")
def for_development(postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Example], Running]]:
    """Gives an example that is being served over plain http; each is started once."""
    started: dict[str, Running] = {}
    more = {"SESSIONWARD_INSECURE": "1", "DATABASE_URL": postgresql_url, "PUBLIC_URL": "https://public.example", "REDIS_URL": REDIS}
    with ExitStack() as stack:

        def get(example: Example) -> Running:
            if str(example) not in started:
                if example is FLASK_SESSION:
                    stack.enter_context(redis_as_before())
                mine = more if example is STARLETTE else {name: value for name, value in more.items() if name != "DATABASE_URL"}
                started[str(example)] = stack.enter_context(run(example, tmp_path_factory.mktemp(example.name), **mine))
            return started[str(example)]

        yield get


@contextmanager
def redis_as_before() -> Iterator[None]:
    """What the example stores is gone at the end, and nothing else."""
    with closing(redis.Redis.from_url(REDIS, socket_connect_timeout=3)) as client:
        try:
            before = set(client.scan_iter("example:session:*"))
        except redis.ConnectionError as error:
            missing("redis", error)
        yield
        for key in set(client.scan_iter("example:session:*")) - before:
            client.delete(key)


@pytest.fixture(params=ALL, ids=str)
def running(request: pytest.FixtureRequest, for_development: Callable[[Example], Running]) -> Running:
    return for_development(request.param)


@pytest.fixture(params=SIGN_UP, ids=str)
def signing_up(request: pytest.FixtureRequest, for_development: Callable[[Example], Running]) -> Running:
    return for_development(request.param)


@pytest.fixture(params=WITH_CART, ids=str)
def with_cart(request: pytest.FixtureRequest, for_development: Callable[[Example], Running]) -> Running:
    return for_development(request.param)


@pytest.fixture(params=WITH_COMPANION, ids=str)
def guarded(request: pytest.FixtureRequest, for_development: Callable[[Example], Running]) -> Running:
    return for_development(request.param)


@pytest.fixture
def flask_login(for_development: Callable[[Example], Running]) -> Running:
    return for_development(FLASK_LOGIN)


@pytest.fixture
def change(for_development: Callable[[Example], Running]) -> Running:
    return for_development(CHANGE)


@pytest.fixture
def forgot(for_development: Callable[[Example], Running]) -> Running:
    return for_development(FORGOT)


# --- what all of them promise -----------------------------------------------------------------------------------------


def test_every_file_in_examples_is_covered() -> None:
    programs = {path.name for path in EXAMPLES.iterdir() if path.name not in ("__pycache__", "deploy")}  # tests/sidecar/test_deploy.py
    assert programs == {f"{example.name}.py" for example in ALL}


@pytest.mark.parametrize("example", ALL, ids=str)
def test_the_docstring_says_how_to_install_make_a_secret_and_run(example: Example) -> None:
    install, *lines = block(example)
    assert re.match(r"pip install '?sessionward\b", install)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert all(extra in extras for extra in re.findall(r"sessionward\[(.*?)\]", install))
    assert any(line.startswith("export SESSIONWARD_SECRET=") for line in lines) is example.has_secret
    assert f"{example.name}:" in lines[-1]


@pytest.mark.parametrize("example", SIGN_UP, ids=str)
def test_without_a_secret_it_does_not_start_and_says_why(example: Example, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SESSIONWARD_SECRET"} | surroundings(tmp_path)
    command = script(example, port=0, secret=False)
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode != 0
    assert "SESSIONWARD_SECRET is not set" in ended.stdout + ended.stderr


def test_signing_out_the_other_devices_leaves_the_caller_alone_until_it_logs_out(running: Running) -> None:
    with running.browser() as phone, running.browser() as laptop, running.browser() as library:
        phone.sign_up("ann")
        browsers = [phone, laptop, library]
        assert [browser.is_signed_in() for browser in browsers] == [False, False, False]
        for browser in browsers:
            assert browser.sign_in("ann").status_code in (204, 302, 303)
        assert [browser.is_signed_in() for browser in browsers] == [True, True, True]

        answer = laptop.delete()

        assert (answer.status_code, answer.json()) == (200, {"count": 2})
        assert [browser.is_signed_in() for browser in browsers] == [False, True, False]
        assert phone.delete().status_code == 401
        assert laptop.delete().json() == {"count": 0}
        assert laptop.sign_out().status_code in (200, 204, 303)
        assert not laptop.is_signed_in()


def test_who_was_signed_out_signs_in_again_at_once(running: Running) -> None:
    with running.browser() as phone, running.browser() as laptop:
        phone.sign_up("eva")
        for browser in (phone, laptop):
            browser.sign_in("eva")
        assert laptop.delete().json() == {"count": 1}
        assert phone.sign_in("eva").status_code in (204, 302, 303)
        assert [phone.is_signed_in(), laptop.is_signed_in()] == [True, True]
        assert phone.delete().json() == {"count": 1}
        assert [phone.is_signed_in(), laptop.is_signed_in()] == [True, False]


def test_a_wrong_password_and_an_unknown_name_are_refused_alike(signing_up: Running) -> None:
    with signing_up.browser() as browser:
        browser.sign_up("dan")
        assert browser.post("/signup", name="dan", password=NEW).status_code == 409
        wrong, unknown = browser.sign_in("dan", NEW), browser.sign_in("nobody", NEW)
        assert wrong.status_code == unknown.status_code == 401
        assert wrong.content == unknown.content
        assert "set-cookie" not in wrong.headers
        assert not browser.is_signed_in()


def test_a_short_password_or_a_name_with_markup_is_refused(signing_up: Running) -> None:
    with signing_up.browser() as browser:
        assert browser.post("/signup", name="fay", password="short").status_code in (400, 422)
        assert browser.post("/signup", name="<b>fay</b>\0", password=OLD).status_code in (400, 422)
        assert browser.sign_in("<b>fay</b>\0").status_code in (401, 422)


@pytest.mark.parametrize("example", SIGN_UP, ids=str)
def test_the_cookie_is_secure_unless_told_otherwise(example: Example, postgresql_url: str, tmp_path: Path) -> None:
    more = {"DATABASE_URL": postgresql_url} if example is STARLETTE else {}
    with run(example, tmp_path, **more) as secure, secure.browser() as browser:
        browser.sign_up("zoe")
        cookies = browser.sign_in("zoe").headers.get_list("set-cookie")
        assert [cookie.startswith("__Host-session-ward=") for cookie in cookies].count(True) == 1
        for cookie in cookies:  # the application's own too
            assert {"secure", "httponly", "samesite=lax"} <= set(cookie.lower().split("; "))
        assert not browser.is_signed_in()  # this is plain http


# --- what those promise that had a login before -----------------------------------------------------------------------


def test_the_caller_keeps_what_its_session_holds(with_cart: Running) -> None:
    with with_cart.browser() as phone, with_cart.browser() as laptop:
        phone.sign_up("gil")
        for browser in (phone, laptop):
            browser.sign_in("gil")
            assert browser.post("/cart", item="tea").status_code in (302, 303)
        assert laptop.delete().json() == {"count": 1}
        assert laptop.post("/cart", item="rice").status_code in (302, 303)
        assert "tea, rice" in laptop.get("/").text
        assert phone.post("/cart", item="rice").status_code in (401, 403)
        assert "tea" not in phone.get("/").text


def test_a_copied_login_without_its_companion_is_refused_from_then_on(guarded: Running) -> None:
    with guarded.browser() as phone, guarded.browser() as laptop, guarded.browser() as thief:
        phone.sign_up("ora")
        for browser in (phone, laptop):
            browser.sign_in("ora")
        copies = [browser.cookies(but="session-ward") for browser in (phone, laptop)]
        assert [thief.takes(copy).is_signed_in() for copy in copies] == [True, True]  # they are good copies

        assert laptop.delete().status_code == 200

        assert [thief.takes(copy).is_signed_in() for copy in copies] == [False, False]
        assert thief.delete().status_code == 401
        assert laptop.is_signed_in()
        assert not thief.takes(phone.cookies() | copies[0]).is_signed_in()
        assert thief.takes(laptop.cookies()).is_signed_in()  # whoever has all that a browser has is that browser


def test_remember_me_stays_out(flask_login: Running) -> None:
    with flask_login.browser() as phone, flask_login.browser() as laptop:
        phone.sign_up("pia")
        for browser in (phone, laptop):
            browser.sign_in("pia", remember="yes")
        remembered = phone.cookies(but="session")
        assert "remember_token" in remembered
        assert phone.takes(remembered).is_signed_in()

        assert laptop.delete().json() == {"count": 1}

        assert not phone.is_signed_in()
        assert not phone.takes(remembered).is_signed_in()
        assert not phone.takes({"remember_token": remembered["remember_token"]}).is_signed_in()
        assert laptop.takes(laptop.cookies(but="session")).is_signed_in()


@pytest.fixture
def signed_cookies(tmp_path: Path) -> Iterator[Running]:
    """``django_admin.py`` with the engine and the lines that a comment in it names, over plain http."""
    source = (EXAMPLES / "django_admin.py").read_text()
    (engine,) = re.findall(r'SESSION_ENGINE="[\w.]+"', source)
    door = re.sub(r"^#   ?", "", source[source.index("#   from") : source.index("if __name__")], flags=re.MULTILINE).replace("#\n", "\n")
    door = door.replace("[...]", '["k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"], insecure=True')
    head = source[: source.index("application = sessionward")].replace("from sessionward.backends.django import DjangoBackend\n", "")
    (tmp_path / "signed.py").write_text(head.replace("USE_TZ=True,", f"USE_TZ=True,\n    {engine},") + door)

    def command(port: int) -> list[str]:
        run = f"gunicorn signed:application --bind 127.0.0.1:{port}"
        return ["bash", "-ec", f"python -m django_admin migrate\nexec {run}"]

    env = surroundings(tmp_path, SESSIONWARD_INSECURE="1", SECRET_KEY=NEW * 3, PYTHONPATH=f"{tmp_path}{os.pathsep}{EXAMPLES}")
    with served(command, log=tmp_path / "log", cwd=tmp_path, env=env) as server:
        yield Running(DJANGO_WSGI, server, tmp_path)


def test_the_lines_for_signed_cookies_work_as_they_stand(signed_cookies: Running) -> None:
    with signed_cookies.browser() as phone, signed_cookies.browser() as laptop, signed_cookies.browser() as thief:
        phone.sign_up("uwe")
        for browser in (phone, laptop):
            browser.sign_in("uwe")
        copy = laptop.cookies(but="session-ward")
        assert "sessionid" in copy
        assert thief.takes(copy).is_signed_in()

        assert laptop.delete().status_code == 200

        assert [browser.is_signed_in() for browser in (phone, laptop, thief.takes(copy))] == [False, True, False]
        phone.sign_in("uwe")
        assert phone.is_signed_in()


# --- what two of them are about ---------------------------------------------------------------------------------------


def test_changing_the_password_ends_the_others_and_keeps_the_caller(change: Running) -> None:
    with change.browser() as here, change.browser() as there, change.browser() as library:
        here.sign_up("hal")
        for browser in (here, there, library):
            browser.sign_in("hal")

        assert here.post("/password", old=OLD, new=NEW).json() == {"count": 2}

        assert [browser.is_signed_in() for browser in (here, there, library)] == [True, False, False]
        assert there.sign_in("hal", OLD).status_code == 401
        assert there.sign_in("hal", NEW).status_code == 303
        assert there.is_signed_in()


def test_a_password_is_changed_only_by_who_knows_the_old_one_and_is_signed_in(change: Running) -> None:
    with change.browser() as here, change.browser() as there:
        here.sign_up("ida")
        for browser in (here, there):
            browser.sign_in("ida")
        assert here.post("/password", old=NEW, new=NEW).status_code == 403
        assert here.post("/password", old=OLD, new="short").status_code == 403
        assert there.is_signed_in()
        with change.browser() as stranger:
            assert stranger.post("/password", old=OLD, new=NEW).status_code == 401
            assert stranger.sign_in("ida", OLD).status_code == 303


def test_p3_no_sign_in_with_the_old_password_outlives_the_change(change: Running) -> None:
    with change.browser() as here, ThreadPoolExecutor(4) as pool:
        here.sign_up("joe")
        here.sign_in("joe")
        attackers = [change.browser() for _ in range(4)]
        attacks = [pool.submit(attacker.sign_in, "joe", OLD) for attacker in attackers]
        assert here.post("/password", old=OLD, new=NEW).status_code == 200
        assert {attack.result().status_code for attack in attacks} <= {303, 401}
        assert [attacker.is_signed_in() for attacker in attackers] == [False] * 4
        assert here.is_signed_in()
        for attacker in attackers:
            attacker.__exit__()


def test_a_forgotten_password_ends_all_sessions_and_signs_the_caller_in(forgot: Running) -> None:
    with forgot.browser() as there, forgot.browser() as thief, forgot.browser() as here:
        there.sign_up("kim")
        for browser in (there, thief):
            browser.sign_in("kim")
        token = link(forgot, here, "kim")
        assert token in here.get(f"/reset?token={token}").text

        answer = here.post("/reset", token=token, password=NEW)

        assert answer.status_code == 200
        assert "2 devices" in answer.text
        assert [browser.is_signed_in() for browser in (there, thief, here)] == [False, False, True]
        assert thief.sign_in("kim", OLD).status_code == 401
        assert there.sign_in("kim", NEW).status_code == 204


def test_a_reset_link_works_once_and_takes_the_other_links_along(forgot: Running) -> None:
    with forgot.browser() as here, forgot.browser() as thief:
        here.sign_up("lea")
        first, second = link(forgot, here, "lea"), link(forgot, here, "lea")
        assert here.post("/reset", token=second, password=NEW).status_code == 200
        for token in (first, second, "", "x" * 43):
            assert thief.post("/reset", token=token, password=OLD).status_code in (400, 422)
        assert here.is_signed_in()
        assert not thief.is_signed_in()


def test_a_reset_link_expires(forgot: Running) -> None:
    with forgot.browser() as here:
        here.sign_up("max")
        token = link(forgot, here, "max")
        with closing(sqlite3.connect(forgot.folder / "example.db")) as connection, connection:
            assert connection.execute("UPDATE resets SET expires_at = expires_at - 1800").rowcount >= 1
        assert here.post("/reset", token=token, password=NEW).status_code == 400
        assert here.sign_in("max", OLD).status_code == 204


def test_asking_for_a_link_does_not_tell_which_names_are_known(forgot: Running) -> None:
    with forgot.browser() as here:
        here.sign_up("ned")
        known, unknown = here.post("/forgot", name="ned"), here.post("/forgot", name="nobody")
        assert known.status_code == unknown.status_code == 202
        assert known.content == unknown.content
        assert "Mail to nobody" not in forgot.server.printed()


def link(running: Running, browser: Browser, name: str) -> str:
    """Ask for a link; the token in the mail, which the server prints once it has answered."""
    mails = re.compile(rf"Mail to {name}: .* https://public\.example/reset\?token=(\S+)")
    before = len(mails.findall(running.server.printed()))
    assert browser.post("/forgot", name=name).status_code == 202
    for _ in range(1000):
        if len(tokens := mails.findall(running.server.printed())) > before:
            return str(tokens[-1])
        browser.get("/me")  # the mail goes out after the answer: give the server something to do meanwhile
    raise AssertionError(running.server.printed())


# --- the order, which no client can see -------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """``change_password.py`` in this process, where Ann has an account."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSIONWARD_SECRET", "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test")
    module = runpy.run_path(str(EXAMPLES / "change_password.py"))
    assert post(module["app"].test_client(), "/signup", name="ann", password=OLD).status_code == 303
    yield module["app"]
    module["backend"].close()


@pytest.fixture
def signed_in(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert post(client, "/login", name="ann", password=OLD).status_code == 303
    return client


def post(client: FlaskClient, path: str, **fields: str) -> TestResponse:
    return client.post(path, data=fields, base_url="https://localhost")


def shows_signed_in(client: FlaskClient) -> bool:
    return "You are signed in" in client.get("/", base_url="https://localhost").text


def stored() -> bytes:
    with closing(sqlite3.connect("example.db")) as connection:
        (password,) = connection.execute("SELECT password FROM users").fetchone()
        return bytes(password)


def test_p3_the_new_hash_is_committed_before_the_others_are_ended(signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    old, seen, revoke_others = stored(), list[bytes](), SQLBackend.revoke_others

    def watched(self: SQLBackend, session: Session, /) -> RevokedCount:
        seen.append(stored())
        return revoke_others(self, session)

    monkeypatch.setattr(SQLBackend, "revoke_others", watched)
    assert post(signed_in, "/password", old=OLD, new=NEW).json == {"count": 0}
    assert seen == [stored()]
    assert seen != [old]


def test_p3_a_sign_in_that_has_found_the_old_password_right_is_refused_after_the_change(
    app: Flask, signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    scrypt, attacker, checked, changed = hashlib.scrypt, app.test_client(), Event(), Event()

    def slow(*args: Any, **options: Any) -> bytes:
        key = scrypt(*args, **options)
        if current_thread() is not main_thread():
            checked.set()
            assert changed.wait(20)
        return key

    monkeypatch.setattr(hashlib, "scrypt", slow)
    with ThreadPoolExecutor(1) as pool:
        attack = pool.submit(post, attacker, "/login", name="ann", password=OLD)
        try:
            assert checked.wait(20)
            assert post(signed_in, "/password", old=OLD, new=NEW).json == {"count": 0}
        finally:
            changed.set()
        assert attack.result().status_code == 401
    assert not shows_signed_in(attacker)
    assert shows_signed_in(signed_in)


def test_p2_a_caller_that_another_session_ends_meanwhile_ends_all(signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> RevokedCount:
        raise SessionRevoked

    monkeypatch.setattr(SQLBackend, "revoke_others", late)
    assert post(signed_in, "/password", old=OLD, new=NEW).json == {"count": 1}
    assert not shows_signed_in(signed_in)


@pytest.mark.parametrize("name", ["ann", "nobody"])
def test_a_known_and_an_unknown_name_cost_one_hash_each(app: Flask, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scrypt, costs = hashlib.scrypt, list[object]()

    def counted(*args: Any, **options: Any) -> bytes:
        costs.append((options["n"], options["r"], options["p"]))
        return scrypt(*args, **options)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    assert post(app.test_client(), "/login", name=name, password=NEW).status_code == 401
    assert costs == [(2**14, 8, 5)]
