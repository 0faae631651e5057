"""Every program in ``examples/`` runs as its docstring says, over its own server, and does what it promises."""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sessionward import Session, SessionRevoked
from sessionward.backends import RevokedCount
from sessionward.backends.sql import SQLBackend
from tests.support.examples import COMPANION, EXAMPLES, Browser, Example, Running, run, surroundings
from tests.support.servers import served

OLD, NEW = "correct horse battery", "a new one of 8 characters or more"
SECRET = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"

FASTAPI, FLASK = Example("fastapi_app"), Example("flask_app")
CHANGE, FORGOT = Example("change_password"), Example("forgot_password")
FASTAPI_SESSIONS, FLASK_LOGIN = Example("fastapi_sessions"), Example("flask_login_app")
DJANGO_ASGI, DJANGO_WSGI = (Example("django_admin", "/admin/", server) for server in ("uvicorn", "gunicorn"))

WITH_COMPANION = [FASTAPI_SESSIONS, FLASK_LOGIN]
"""Mode companion."""
WITH_OUR_COOKIE = [CHANGE, FASTAPI, FLASK, FORGOT, *WITH_COMPANION]
"""Modes own and companion."""
SITES = [*WITH_OUR_COOKIE, DJANGO_WSGI]
"""Each program once: the settings of Django are the same under both servers."""
ALL = [*SITES, DJANGO_ASGI]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Example], Running]]:
    """Gives an example that is being served for development. Each is started once, and every test finds the users as they were."""
    running: dict[str, Running] = {}
    with ExitStack() as stack:

        def get(example: Example) -> Running:
            if str(example) not in running:
                running[str(example)] = stack.enter_context(run(example, tmp_path_factory.mktemp(str(example))))
            return running[str(example)]

        yield get


@pytest.fixture(params=ALL, ids=str)
def running(request: pytest.FixtureRequest, started: Callable[[Example], Running]) -> Running:
    return started(request.param)


# --- what the reader sees ---------------------------------------------------------------------------------------------


def test_every_program_is_run() -> None:
    functions = {"geoip"}  # not a program: tests/api/test_geoip.py
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {example.name for example in ALL} | functions


@pytest.mark.parametrize("example", ALL, ids=str)
def test_what_the_reader_came_for_is_in_view(example: Example) -> None:
    lines = example.source.splitlines()
    assert len([line for line in lines if line.strip()]) <= 80
    assert any(re.search(r"(ASGI|WSGI)Middleware[(,]", line) for line in lines[:45])


@pytest.mark.parametrize("example", ALL, ids=str)
def test_the_docstring_says_how_to_install_make_secrets_run_and_sign_in(example: Example) -> None:
    install, *lines = example.commands
    assert re.match(r"pip install '?sessionward\b", install)
    extras = tomllib.loads((EXAMPLES.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert all(extra in extras for extra in re.findall(r"sessionward\[(.*?)\]", install))
    assert ("SESSIONWARD_SECRET" in example.secrets) is (example in WITH_OUR_COOKIE)
    assert f"{example.name}:" in lines[-1]
    assert "ann" in example.users


@pytest.mark.parametrize(
    ("example", "missing"), [pytest.param(example, name, id=f"{example}-{name}") for example in ALL for name in example.secrets]
)
def test_without_a_secret_it_does_not_start_and_says_why(example: Example, missing: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if "SECRET" not in name} | surroundings(tmp_path)
    command = example.script(0, without=[f"{missing}="])
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert re.search(rf"{missing}\b.* is not set", ended.stdout + ended.stderr)


# --- what all of them promise -----------------------------------------------------------------------------------------


def test_the_button_signs_out_the_other_devices_and_the_caller_stays(running: Running) -> None:
    with running.browser() as laptop, running.browser() as phone, running.browser() as library:
        browsers = [laptop, phone, library]
        assert [browser.is_signed_in() for browser in browsers] == [False, False, False]
        laptop.sign_in_alone()
        for browser in (phone, library):
            assert browser.sign_in().status_code in (302, 303)
        assert [browser.is_signed_in() for browser in browsers] == [True, True, True]

        answer = laptop.delete()

        assert (answer.status_code, answer.json()) == (200, {"count": 2})
        assert [browser.is_signed_in() for browser in browsers] == [True, False, False]
        assert phone.delete().status_code == 401
        assert laptop.delete().json() == {"count": 0}


def test_who_was_signed_out_signs_in_again_at_once(running: Running) -> None:
    with running.browser() as laptop, running.browser() as phone:
        laptop.sign_in_alone()
        phone.sign_in()
        assert laptop.delete().json() == {"count": 1}
        assert phone.sign_in().status_code in (302, 303)
        assert [laptop.is_signed_in(), phone.is_signed_in()] == [True, True]
        assert phone.delete().json() == {"count": 1}
        assert [laptop.is_signed_in(), phone.is_signed_in()] == [False, True]


def test_a_wrong_password_and_an_unknown_name_are_refused_alike(running: Running) -> None:
    with running.browser() as browser:
        wrong, unknown = browser.sign_in("ann", NEW), browser.sign_in("<b>nobody</b>\0", OLD)
        assert not browser.is_signed_in()
        assert wrong.status_code == unknown.status_code
        assert {"sessionid", "session", COMPANION}.isdisjoint(browser.cookies())
        if running.example in WITH_OUR_COOKIE:  # Django's admin shows its form again, with what was typed
            assert wrong.status_code == 401
            assert wrong.content == unknown.content


def test_the_page_your_devices_is_a_link_away_and_leads_back_to_the_sign_in(started: Callable[[Example], Running]) -> None:
    with started(FASTAPI).browser() as browser:
        signed_out = browser.get("/auth/sessions", accept="text/html")
        assert (signed_out.status_code, 'href="/">Sign in</a>' in signed_out.text) == (401, True)
        browser.sign_in()
        assert 'href="/auth/sessions"' in browser.get("/").text
        page = browser.get("/auth/sessions", accept="text/html")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<title>Your devices · Example</title>" in page.text


@pytest.mark.parametrize("example", [FASTAPI, FLASK, *WITH_COMPANION, DJANGO_ASGI, DJANGO_WSGI], ids=str)
def test_a_page_shows_the_button_and_signs_out(example: Example, started: Callable[[Example], Running]) -> None:
    with started(example).browser() as laptop, started(example).browser() as phone:
        for browser in (laptop, phone):
            browser.sign_in()
        assert """onclick="fetch('/auth/sessions', {method: 'DELETE'})""" in laptop.get(example.whoami).text
        assert laptop.sign_out().status_code in (200, 303)
        assert [laptop.is_signed_in(), phone.is_signed_in()] == [False, True]


@pytest.mark.parametrize("example", WITH_OUR_COOKIE, ids=str)
def test_other_users_are_untouched(example: Example, started: Callable[[Example], Running]) -> None:
    with started(example).browser() as laptop, started(example).browser() as another:
        another.sign_in("bob")
        laptop.sign_in_alone("ann")
        assert another.is_signed_in()


@pytest.mark.parametrize("example", SITES, ids=str)
def test_the_cookie_is_secure_unless_told_otherwise(example: Example, tmp_path: Path) -> None:
    with run(example, tmp_path, without=["SESSIONWARD_INSECURE"]) as secure, secure.browser() as browser:
        cookies = browser.sign_in().headers.get_list("set-cookie")
        assert [cookie.startswith("__Host-session-ward=") for cookie in cookies].count(True) == (example in WITH_OUR_COOKIE)
        for cookie in cookies:  # the application's own too
            wanted = {"secure", "samesite=lax"} if cookie.startswith("csrftoken=") else {"secure", "httponly", "samesite=lax"}
            assert wanted <= set(cookie.lower().split("; "))
        assert not browser.is_signed_in()  # this is plain http


@pytest.mark.parametrize("example", SITES, ids=str)
def test_a_restart_with_the_same_secrets_keeps_everybody_signed_in(example: Example, tmp_path: Path) -> None:
    secrets = {name: f"{name}-{SECRET}" for name in example.secrets}
    with run(example, tmp_path, without=["SECRET"], **secrets) as first, first.browser() as laptop, first.browser() as phone:
        devices = [laptop, phone]
        for device in devices:
            device.sign_in()
            assert device.is_signed_in()
    done = ["SECRET", "migrate", "createsuperuser"]
    with run(example, tmp_path, without=done, **secrets) as again, again.browser() as laptop, again.browser() as phone:
        for device, before in zip([laptop, phone], devices, strict=True):
            assert device.takes(before.cookies()).is_signed_in()
        assert laptop.delete().json() == {"count": 1}
        assert [laptop.is_signed_in(), phone.is_signed_in()] == [True, False]


# --- what those promise that had a login before -----------------------------------------------------------------------


@pytest.mark.parametrize("example", WITH_COMPANION, ids=str)
def test_a_copied_login_without_its_companion_is_refused_from_then_on(example: Example, tmp_path: Path) -> None:
    with run(example, tmp_path) as guarded, guarded.browser() as phone, guarded.browser() as laptop, guarded.browser() as thief:
        for browser in (phone, laptop):
            browser.sign_in()
        copies = [browser.cookies(but=COMPANION) for browser in (phone, laptop)]
        assert [thief.takes(copy).is_signed_in() for copy in copies] == [True, True]  # they are good copies

        assert laptop.delete().status_code == 200

        assert [thief.takes(copy).is_signed_in() for copy in copies] == [False, False]
        assert thief.delete().status_code == 401
        assert laptop.is_signed_in()
        assert not thief.takes(phone.cookies() | copies[0]).is_signed_in()
        assert thief.takes(laptop.cookies()).is_signed_in()  # all cookies of a browser are that browser


def test_remember_me_stays_out(tmp_path: Path) -> None:
    with run(FLASK_LOGIN, tmp_path) as guarded, guarded.browser() as phone, guarded.browser() as laptop:
        for browser in (phone, laptop):
            browser.sign_in(remember="on")
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
    """``django_admin.py`` with the engine and the lines that its comment names, over plain http."""
    source = DJANGO_WSGI.source
    (engine,) = re.findall(r'SESSION_ENGINE="[\w.]+"', source)
    settings = source[: source.index("\napplication = WSGIMiddleware")]
    (urls,) = re.findall(r"^urlpatterns = .*\n", source, re.MULTILINE)
    rest = source[source.index("#   from") : source.index("if __name__")]
    lines = re.sub(r"^# *", "", rest, flags=re.MULTILINE).replace("[...]", f'["{SECRET}"], insecure=True')
    settings = settings.replace("from sessionward.backends.django import DjangoBackend\n", "")
    (tmp_path / "signed.py").write_text(settings.replace("SESSION_COOKIE_SECURE", f"{engine},\n    SESSION_COOKIE_SECURE") + lines + urls)

    def command(port: int) -> list[str]:
        *before, run = DJANGO_WSGI.script(port)[-1].splitlines()
        return ["bash", "-ec", "\n".join([*before, run.replace("django_admin:", "signed:")])]

    env = surroundings(tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{EXAMPLES}")
    with served(command, log=tmp_path / "log", cwd=tmp_path, env=env) as server:
        yield Running(DJANGO_WSGI, server, tmp_path)


def test_the_lines_for_signed_cookies_work_as_they_stand(signed_cookies: Running) -> None:
    with signed_cookies.browser() as phone, signed_cookies.browser() as laptop, signed_cookies.browser() as thief:
        for browser in (phone, laptop):
            browser.sign_in()
        copy = laptop.cookies(but=COMPANION)
        assert "sessionid" in copy
        assert thief.takes(copy).is_signed_in()

        assert laptop.delete().status_code == 200

        assert [browser.is_signed_in() for browser in (phone, laptop, thief.takes(copy))] == [False, True, False]
        phone.sign_in()
        assert phone.is_signed_in()


# --- what two of them are about ---------------------------------------------------------------------------------------


@pytest.fixture
def change(tmp_path: Path) -> Iterator[Running]:
    with run(CHANGE, tmp_path) as running:
        yield running


@pytest.fixture
def forgot(tmp_path: Path) -> Iterator[Running]:
    with run(FORGOT, tmp_path, PUBLIC_URL="https://public.example") as running:
        yield running


def test_changing_the_password_revokes_the_others_and_keeps_the_caller(change: Running) -> None:
    with change.browser() as here, change.browser() as there, change.browser() as library:
        for browser in (here, there, library):
            browser.sign_in()
        assert "sign out my other devices" in here.get("/").text

        assert here.post("/password", old=OLD, new=NEW).json() == {"count": 2}

        assert [browser.is_signed_in() for browser in (here, there, library)] == [True, False, False]
        assert there.sign_in("ann", OLD).status_code == 401
        assert there.sign_in("ann", NEW).status_code == 303
        assert there.is_signed_in()


def test_a_password_is_changed_only_by_who_knows_the_old_one_and_is_signed_in(change: Running) -> None:
    with change.browser() as here, change.browser() as there, change.browser() as stranger:
        for browser in (here, there):
            browser.sign_in()
        assert here.post("/password", old=NEW, new=NEW).status_code == 403
        assert here.post("/password", old=OLD, new="short").status_code == 403
        assert there.is_signed_in()
        assert stranger.post("/password", old=OLD, new=NEW).status_code == 401
        assert stranger.sign_in("ann", OLD).status_code == 303


def test_p3_no_sign_in_with_the_old_password_outlives_the_change(change: Running) -> None:
    with ExitStack() as stack:
        here, *attackers = [stack.enter_context(change.browser()) for _ in range(5)]
        here.sign_in()
        with ThreadPoolExecutor(4) as pool:
            attacks = [pool.submit(attacker.sign_in, "ann", OLD) for attacker in attackers]
            assert here.post("/password", old=OLD, new=NEW).status_code == 200
            assert {attack.result().status_code for attack in attacks} <= {303, 401}
        assert [attacker.is_signed_in() for attacker in attackers] == [False] * 4
        assert here.is_signed_in()


def test_a_forgotten_password_revokes_all_sessions_and_signs_the_caller_in(forgot: Running) -> None:
    with forgot.browser() as there, forgot.browser() as thief, forgot.browser() as here:
        for browser in (there, thief):
            browser.sign_in()
        token = link(forgot, here, "ann")
        form = here.get(f"/reset?token={token}")
        assert token in form.text
        assert form.headers["referrer-policy"] == "no-referrer"

        answer = here.post("/reset", token=token, password=NEW)

        assert answer.status_code == 200
        assert "2 devices" in answer.text
        assert [browser.is_signed_in() for browser in (there, thief, here)] == [False, False, True]
        assert thief.sign_in("ann", OLD).status_code == 401
        assert there.sign_in("ann", NEW).status_code == 303


def test_a_reset_link_works_once_and_takes_the_other_links_along(forgot: Running) -> None:
    with forgot.browser() as here, forgot.browser() as thief:
        first, second, of_another = link(forgot, here, "ann"), link(forgot, here, "ann"), link(forgot, here, "bob")
        assert here.post("/reset", token=second, password=NEW).status_code == 200
        for token in (first, second, "", "x" * 43):
            assert thief.post("/reset", token=token, password=OLD).status_code == 400
        assert here.is_signed_in()
        assert not thief.is_signed_in()
        assert thief.post("/reset", token=of_another, password=NEW).status_code == 200
        assert here.is_signed_in()


def test_asking_for_a_link_does_not_tell_which_names_are_known(forgot: Running) -> None:
    with forgot.browser() as here:
        unknown, known = here.post("/forgot", name="nobody"), here.post("/forgot", name="ann")
        assert known.status_code == unknown.status_code == 202
        assert known.content == unknown.content
        link(forgot, here, "bob")
        assert "Mail to nobody" not in forgot.server.printed()


def link(running: Running, browser: Browser, name: str) -> str:
    """Ask for a link. Returns the token in the mail, which a thread of the server prints."""
    mails = re.compile(rf"Mail to {name}: .* https://public\.example/reset\?token=(\S+)")
    before = len(mails.findall(running.server.printed()))
    assert browser.post("/forgot", name=name).status_code == 202
    for _ in range(1000):
        if len(tokens := mails.findall(running.server.printed())) > before:
            return str(tokens[-1])
        browser.get("/")  # gives the server something to do meanwhile
    raise AssertionError(running.server.printed())


# --- the order, which no client can see -------------------------------------------------------------------------------


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Example], dict[str, Any]]]:
    """Runs an example in this process. Returns its globals."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSIONWARD_SECRET", SECRET)
    with ExitStack() as stack:

        def load(example: Example) -> dict[str, Any]:
            module = runpy.run_path(str(EXAMPLES / f"{example.name}.py"))
            stack.callback(module["backend"].close)
            if "engine" in module:
                stack.callback(module["engine"].dispose)
            return module

        yield load


@pytest.fixture
def app(loaded: Callable[[Example], dict[str, Any]]) -> Flask:
    """``change_password.py``."""
    app: Flask = loaded(CHANGE)["app"]
    return app


@pytest.fixture
def signed_in(app: Flask) -> FlaskClient:
    client = app.test_client()
    assert post(client, "/login", name="ann", password=OLD).status_code == 303
    return client


def post(client: FlaskClient, path: str, **fields: str) -> TestResponse:
    return client.post(path, data=fields, base_url="https://localhost")


def shows_signed_in(client: FlaskClient) -> bool:
    return "You are ann" in client.get("/", base_url="https://localhost").text


def stored() -> str:
    with closing(sqlite3.connect("example.db")) as connection:
        (password,) = connection.execute("SELECT password FROM users WHERE name = 'ann'").fetchone()
        return str(password)


def test_p3_the_new_hash_is_committed_before_the_others_are_revoked(signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    old, seen, revoke_others = stored(), list[str](), SQLBackend.revoke_others

    def watched(self: SQLBackend, session: Session, /) -> RevokedCount:
        seen.append(stored())
        return revoke_others(self, session)

    monkeypatch.setattr(SQLBackend, "revoke_others", watched)
    assert post(signed_in, "/password", old=OLD, new=NEW).json == {"count": 0}
    assert seen == [stored()]
    assert seen != [old]


def test_p3_the_new_hash_of_a_forgotten_password_is_stored_before_all_are_revoked(
    loaded: Callable[[Example], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, seen, revoke_all = loaded(FORGOT), list[str](), SQLBackend.revoke_all
    old = module["USERS"]["ann"]

    def watched(self: SQLBackend, user_id: str, /) -> RevokedCount:
        seen.append(module["USERS"]["ann"])
        return revoke_all(self, user_id)

    monkeypatch.setattr(SQLBackend, "revoke_all", watched)
    module["LINKS"][hashlib.sha256(b"token").digest()] = "ann", 2.0**40
    assert post(module["app"].test_client(), "/reset", token="token", password=NEW).status_code == 200
    assert seen == [module["USERS"]["ann"]]
    assert seen != [old]


def test_a_reset_link_expires(loaded: Callable[[Example], dict[str, Any]]) -> None:
    module = loaded(FORGOT)
    client, old = module["app"].test_client(), module["USERS"]["ann"]
    module["LINKS"][hashlib.sha256(b"token").digest()] = "ann", 1_700_000_000.0
    assert post(client, "/reset", token="token", password=NEW).status_code == 400
    assert module["USERS"]["ann"] == old
    assert not shows_signed_in(client)


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


def test_p2_a_caller_that_another_device_revokes_meanwhile_revokes_all(signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> RevokedCount:
        raise SessionRevoked

    monkeypatch.setattr(SQLBackend, "revoke_others", late)
    assert post(signed_in, "/password", old=OLD, new=NEW).json == {"count": 1}
    assert not shows_signed_in(signed_in)


@pytest.mark.parametrize("name", ["ann", "nobody"])
@pytest.mark.parametrize("example", [FLASK, CHANGE, FORGOT], ids=str)
def test_a_known_and_an_unknown_name_cost_one_hash_each(
    example: Example, name: str, loaded: Callable[[Example], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scrypt, costs, app = hashlib.scrypt, list[object](), loaded(example)["app"]

    def counted(*args: Any, **options: Any) -> bytes:
        costs.append((options["n"], options["r"], options["p"]))
        return scrypt(*args, **options)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    assert post(app.test_client(), "/login", name=name, password=NEW).status_code == 401
    assert costs == [(2**15, 8, 1)]
