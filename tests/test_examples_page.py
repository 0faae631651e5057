"""Every snippet of ``examples/README.md`` is an application, and its users sign out their other devices."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final
from wsgiref.validate import validator

import httpx2 as httpx
import pytest
from starlette.testclient import TestClient

from tests.support.examples import EXAMPLES

PAGE: Final = (EXAMPLES / "README.md").read_text(encoding="utf-8")
SNIPPETS: Final = dict(re.findall(r"^### ([^\n]+)\n.*?^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
SERVERS: Final = {"Flask-Session on Redis": ("REDIS_URL", "redis_url"), "Starlette on PostgreSQL": ("DATABASE_URL", "empty_postgresql_url")}
"""The variable that a snippet reads, and the fixture that knows what it must be."""
URL: Final = "https://app.example"
PASSWORD: Final = "correct horse battery"


class Device:
    """A cookie jar of its own before the application."""

    def __init__(self, client: httpx.Client, cookies: httpx.Cookies | None = None) -> None:
        self._client, self.cookies = client, httpx.Cookies(cookies)

    def call(self, method: str, path: str, **fields: str) -> httpx.Response:
        self._client.cookies = self.cookies
        answer = self._client.request(method, path, data=fields or None)
        self.cookies = httpx.Cookies(self._client.cookies)
        return answer

    def sign_in(self, user: str) -> None:
        """``user`` is the field of the snippets, the other two are those of fastapi-users."""
        answer = self.call("POST", "/login", user=user, username=f"{user}@app.example", password=PASSWORD)
        assert answer.status_code in (200, 204), answer.text

    def user(self) -> str:
        """The user that the application sees, or an empty ``str``."""
        answer = self.call("GET", "/me")
        assert answer.status_code in (200, 401)
        return "ann" if "ann" in answer.text else answer.text if answer.status_code == 200 else ""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Runs a snippet as a module, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSIONWARD_SECRET", "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test")
    monkeypatch.setenv("SECRET_KEY", "a secret of the application, which is long")
    with ExitStack() as stack:

        def run(snippet: str) -> ModuleType:
            module = ModuleType("snippet")
            monkeypatch.setitem(sys.modules, module.__name__, module)
            exec(compile(SNIPPETS[snippet], "examples/README.md", "exec"), vars(module))
            if not inspect.iscoroutinefunction(module.backend.close):  # the others close with the application
                stack.callback(module.backend.close)
            return module

        yield run


@contextmanager
def client_of(module: ModuleType) -> Iterator[httpx.Client]:
    """A client of ``application`` or ``app``. The standard library's validator checks the protocol of a WSGI application."""
    application = getattr(module, "application", None) or module.app
    if inspect.iscoroutinefunction(application.__call__):
        with TestClient(application, base_url=URL) as client:
            yield client
    else:
        with httpx.Client(transport=httpx.WSGITransport(app=validator(application)), base_url=URL) as client:
            yield client


def forget(module: ModuleType, devices: list[Device]) -> None:
    """Delete what Flask-Session stores in Redis for these devices."""
    with closing(module.app.config["SESSION_REDIS"]) as store:
        store.delete(*[f"session:{device.cookies.get('session')}" for device in devices])


@pytest.mark.parametrize(("snippet", "server"), [pytest.param(name, SERVERS.get(name, ("", ""))[1], id=name) for name in SNIPPETS])
@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")  # Pyramid imports WebOb
def test_a_device_signs_out_the_others_and_stays(
    snippet: str, server: str, load: Callable[[str], ModuleType], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if snippet == "fastapi-users":
        pytest.importorskip("fastapi_users")  # it does not install beside every SQLAlchemy that we work with
    if server:
        variable, fixture = SERVERS[snippet]
        monkeypatch.setenv(variable, request.getfixturevalue(fixture))
    module = load(snippet)
    with ExitStack() as stack:
        client = stack.enter_context(client_of(module))
        laptop, phone, thief = devices = [Device(client) for _ in range(3)]
        if server == "redis_url":
            stack.callback(forget, module, devices)
        assert laptop.user() == ""
        if snippet == "fastapi-users":
            client.post("/register", json={"email": "ann@app.example", "password": PASSWORD}).raise_for_status()
        for device in (laptop, phone):
            device.sign_in("ann")
        thief.cookies = httpx.Cookies(phone.cookies)
        assert [device.user() for device in devices] == ["ann", "ann", "ann"]

        answer = laptop.call("DELETE", "/auth/sessions")

        assert (answer.status_code, answer.json()) == (200, {"count": 1})
        assert [device.user() for device in devices] == ["ann", "", ""]
        assert thief.call("DELETE", "/auth/sessions").status_code == 401
        phone.sign_in("ann")
        assert [device.user() for device in devices] == ["ann", "ann", ""]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_snippet_is_seen_at_once(snippet: str) -> None:
    lines = [line for line in SNIPPETS[snippet].splitlines() if line.strip()]
    assert len(lines) <= (50 if snippet == "fastapi-users" else 33)
    assert max(map(len, lines)) <= 120


def test_the_table_names_every_snippet() -> None:
    assert re.findall(r"^\| \[([^\]]+)\]\(#", PAGE, re.MULTILINE) == [*SNIPPETS]
