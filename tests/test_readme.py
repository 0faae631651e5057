"""What README and the pages that it leads to say, held against the code."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import fastapi
import flask
import flask_login  # type: ignore[import-untyped]
import pytest
from starlette.middleware.sessions import SessionMiddleware
from starlette.testclient import TestClient

import sessionward
from sessionward import identify
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.response.answer import Problem
from sessionward.settings import Options

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "middleware" / "README.md").read_text(encoding="utf-8")
SIDECAR = (ROOT / "examples" / "deploy" / "README.md").read_text(encoding="utf-8")
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/**/*.md"), *ROOT.glob(".github/*.md")] if ".venv" not in path.parts)
SECRET = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"
URL = "https://app.example"


def table(page: str, heading: str) -> str:
    return page.partition(f"## {heading}\n")[2].partition("\n## ")[0]


# --- the README -------------------------------------------------------------------------------------------------------


def test_it_is_read_in_two_minutes() -> None:
    assert len(README.splitlines()) <= 160
    assert len(re.sub(r"```.*?```", "", README, flags=re.DOTALL).split()) <= 1_100


def test_the_first_screen_shows_what_it_does_and_the_button() -> None:
    screen = "\n".join(README.splitlines()[:30])
    for shown in (
        "Sign out my other devices",
        "DELETE /auth/sessions",
        "revokes",
        "Django",
        "Flask-Login",
        "FastAPI",
        "fetch('/auth/sessions'",
    ):
        assert shown in screen


def test_its_commands_are_one_line_each() -> None:
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [command.count("\n") for command in commands] == [1, 1]
    assert "sessionward demo" in commands[0]
    assert "python -m pytest" in commands[1]


def test_every_call_in_its_table_exists() -> None:
    rows = table(README, "Which line do I add?")
    calls = set(re.findall(r"(?:backend|identify)=([A-Za-z_]+)(?:\.of)?\(", rows))
    places = [
        "backends.django", "backends.sql", "backends.table", "identify.beaker", "identify.django", "identify.flask",
        "identify.flask_session", "identify.jwt", "identify.litestar", "identify.starlette",
    ]  # fmt: skip
    modules = [__import__(f"sessionward.{place}", fromlist=["_"]) for place in places]
    assert calls >= {"DjangoBackend", "FlaskLogin", "StarletteSession", "TableBackend"}
    assert {call for call in calls if not any(hasattr(module, call) for module in [identify, *modules])} == set()


def test_every_verb_is_named_and_exists() -> None:
    verbs = {name for name, value in vars(sessionward.Sessions).items() if callable(value) and not name.startswith("_")}
    assert {verb for verb in verbs if f"`sessions.{verb}(" not in MANUAL} == set()
    assert set(re.findall(r"sessions\.(?:blocking\.)?([a-z_]+)", README)) - {"db", "blocking"} <= verbs | {"current"}


def test_its_settings_are_settings() -> None:
    named = re.findall(r"^\| `([a-z_]+)` \|", table(README, "Settings that people use"), re.MULTILINE)
    assert len(named) == 5
    assert set(named) <= set(Options.__annotations__)


# --- the manual -------------------------------------------------------------------------------------------------------


def test_the_smallest_program_signs_out_other_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSIONWARD_SECRET", SECRET)
    program = re.search(r"```python\n(import os\n.*?)```", MANUAL, re.DOTALL)
    assert program is not None
    names: dict[str, Any] = {}
    exec(compile(program[1], "middleware/README.md", "exec"), names)
    app = names["app"]
    with TestClient(app, base_url=URL) as laptop, TestClient(app, base_url=URL) as phone:
        laptop.post("/login")
        phone.post("/login")
        assert phone.get("/me").json() == "the user's id"
        assert laptop.delete("/auth/sessions").json() == {"count": 1}
        assert phone.get("/me").json() is None
        assert laptop.get("/me").json() == "the user's id"


def test_every_setting_is_in_the_table() -> None:
    assert {name for name in Options.__annotations__ if f"`{name}`" not in table(MANUAL, "Settings")} == set()


def test_every_error_is_in_the_table() -> None:
    for problem in Problem:
        assert re.search(rf"\| {int(problem.status)} \|.*`{problem.id}`", MANUAL), problem


def test_the_page_of_truth_is_in_the_order_of_the_alphabet() -> None:
    names = re.findall(r"^\| ([^|]+?) \| ", table(MANUAL, "What is covered"), re.MULTILINE)[2:]
    named = [name.replace("`", "").lower() for name in names if name != "any"]
    assert len(named) > 12
    assert named == sorted(named)


# --- all pages --------------------------------------------------------------------------------------------------------


def test_every_extra_that_a_page_names_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in (README, MANUAL, SIDECAR):
        assert {name for pair in re.findall(r"`\[([a-z-]+)\]`|sessionward\[([a-z-]+)\]", page) for name in pair if name} <= set(extras)


@pytest.mark.parametrize("page", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_description_of_the_distribution_has_no_link_into_the_repository() -> None:
    description = str(metadata("sessionward").json["description"])
    assert "Sign out my other devices" in description
    assert [link for link in re.findall(r"\]\(([^)]*)\)", description) if not link.startswith("http")] == []


def test_every_example_is_named() -> None:
    page = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\|? ?\[(\w+\.py)\]\(\1\)", page, re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in (ROOT / "examples").glob("*.py"))


# --- the three programs of the first screen ---------------------------------------------------------------------------


def lines_for(framework: str) -> str:
    """What README adds to an application of this framework."""
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    return next(part for part in block[1].split("\n\n") if part.startswith(f"# {framework}"))


def test_the_lines_for_flask_login_sign_out_other_devices(sqlite_url: str) -> None:
    app = flask.Flask(__name__)
    app.config["SECRET_KEY"] = SECRET
    login = flask_login.LoginManager(app)
    login.user_loader(lambda user_id: User(user_id))

    @app.get("/login")
    def sign_in() -> str:
        flask_login.login_user(User("7"), remember=True)
        return ""

    @app.get("/")
    def home() -> str:
        return str(flask_login.current_user.get_id())

    backend = backend_of_the_readme(SQLBackend, sqlite_url)
    exec(lines_for("Flask"), {"app": app, "backend": backend, "SECRET": SECRET[::-1]})
    laptop, phone = (app.test_client() for _ in range(2))
    for device in (laptop, phone):
        device.get("/login", base_url=URL)
        assert device.get("/", base_url=URL).text == "7"
    assert laptop.delete("/auth/sessions", base_url=URL).json == {"count": 1}
    assert phone.get("/", base_url=URL).text == "None"
    assert laptop.get("/", base_url=URL).text == "7"
    backend.close()


def test_the_lines_for_fastapi_sign_out_other_devices(sqlite_url: str) -> None:
    app = fastapi.FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=SECRET)

    @app.get("/login")
    async def sign_in(request: fastapi.Request) -> None:
        request.session["user_id"] = "7"

    @app.get("/")
    async def home(request: fastapi.Request) -> str:
        return str(request.session.get("user_id"))

    exec(
        lines_for("FastAPI"),
        {"app": app, "backend": backend_of_the_readme(AsyncSQLBackend, sqlite_url), "KEY": SECRET, "SECRET": SECRET[::-1]},
    )
    with TestClient(app, base_url=URL) as laptop, TestClient(app, base_url=URL) as phone:
        for device in (laptop, phone):
            device.get("/login")
            assert device.get("/").json() == "7"
        assert laptop.delete("/auth/sessions").json() == {"count": 1}
        assert phone.get("/").json() == "None"
        assert laptop.get("/").json() == "7"


def test_the_lines_for_django_sign_out_other_devices(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", DJANGO, lines_for("Django"), f"{tmp_path}/site.db"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.stdout.split() == ["1", "AnonymousUser", "ann"], ran.stderr


def backend_of_the_readme(kind: type[Any], url: str) -> Any:
    """The backend that README shows below the three programs, over another file."""
    block = re.search(r'```python\nfrom sessionward\.backends\.sql.*?"(sqlite:///sessions\.db)".*?```', README, re.DOTALL)
    assert block is not None
    assert "backend.create_tables()" in block[0]
    backend = kind(url)
    SQLBackend(url).create_tables()
    return backend


class User(flask_login.UserMixin):  # type: ignore[misc]  # the library ships no types
    def __init__(self, user_id: str) -> None:
        self.id = user_id


DJANGO = """
import sys
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__", USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[2]}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"],
)
django.setup()
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpResponse
from django.urls import path
from webtest import TestApp
def sign_in(request):
    login(request, User.objects.get(username="ann"))
    return HttpResponse("")
urlpatterns = [path("login", sign_in), path("", lambda request: HttpResponse(str(request.user)))]
call_command("migrate", verbosity=0)
User.objects.create_user("ann")
application = get_wsgi_application()
exec(sys.argv[1])
devices = [TestApp(application, extra_environ={"wsgi.url_scheme": "https"}) for _ in range(2)]
for device in devices:
    device.get("/login")
print(devices[0].delete("/auth/sessions").json["count"], devices[1].get("/").text, devices[0].get("/").text)
connections.close_all()
"""
