"""The commands that end all sessions, over the backend of an application: one that is named in place of a URL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import create_engine, text

from tests.support.demo import COMMAND

APPLICATION = """
    from sessionward.backends.memory import MemoryBackend
    from sessionward.backends.sql import AsyncSQLBackend
    from sessionward.backends.table import AsyncTableBackend, TableBackend

    WHERE = {"key": "token", "user": "owner", "cookie": "sid"}
    table = TableBackend("sqlite:///app.db", "logins", **WHERE)
    awaited = AsyncTableBackend("sqlite:///app.db", "logins", **WHERE)
    missing = TableBackend("sqlite:///app.db", "nowhere", **WHERE)
    own = AsyncSQLBackend("sqlite:///app.db")
    number = 7

    def made():
        return TableBackend("sqlite:///app.db", "logins", **WHERE)

    class Stateless:
        carriers = ()

        def find(self, credential, /):
            return None

        def revoke_others(self, session, /):
            return 0
    """
SETTINGS = """
    SECRET_KEY = "a secret of these tests that has more than fifty characters"
    INSTALLED_APPS = ["django.contrib.sessions", "django.contrib.contenttypes", "django.contrib.auth"]
    SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "app.db"}}
    """


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with an application and two logins in its table."""
    (tmp_path / "shop.py").write_text(dedent(APPLICATION))
    (tmp_path / "shop_settings.py").write_text(dedent(SETTINGS))
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE logins (token VARCHAR(64) UNIQUE, owner VARCHAR(64))"))
        connection.execute(text("INSERT INTO logins VALUES ('1', 'ann'), ('2', 'bob')"))
    yield tmp_path
    engine.dispose()


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {**os.environ, **environment}
    return subprocess.run([*COMMAND, *arguments], cwd=folder, env=kept, capture_output=True, text=True, timeout=60, check=False)


def logins(folder: Path) -> int:
    engine = create_engine(f"sqlite:///{folder}/app.db")
    with engine.connect() as connection:
        count = connection.execute(text("SELECT COUNT(*) FROM logins")).scalar_one()
    engine.dispose()
    return int(count)


@pytest.mark.parametrize("command", [["restored"], ["revoke", "--everybody"]], ids=" ".join)
@pytest.mark.parametrize("name", ["table", "awaited", "made"])
def test_the_backend_of_an_application_is_given_by_its_name(folder: Path, command: Sequence[str], name: str) -> None:
    done = run(folder, *command, "--backend", f"shop:{name}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Revoked all sessions of all users")
    assert logins(folder) == 0


@pytest.mark.parametrize(
    ("backend", "code", "said"),
    [
        pytest.param("shop:Stateless", 2, "Stateless has no revoke_everybody(), so it cannot end all sessions", id="one that cannot"),
        pytest.param("shop:number", 2, "int has no revoke_everybody()", id="no backend"),
        pytest.param("shop:nothing", 2, "--backend: module 'shop' has no attribute 'nothing'", id="no such object"),
        pytest.param("nowhere:table", 2, "--backend: No module named 'nowhere'", id="no such module"),
        pytest.param("memory", 2, "sessions in memory do not outlive their process, so restart it", id="memory"),
        pytest.param("sessions.db", 2, "give a database URL, a URL of Redis, django, or package.module:object", id="a file"),
        pytest.param("shop:missing", 2, "there is no nowhere that the SQLite user can see", id="no such table"),
        pytest.param("shop:own", 2, "call backend.create_tables() once", id="tables that are missing"),
        pytest.param("django", 2, "set DJANGO_SETTINGS_MODULE", id="no settings of Django"),
    ],
)
def test_what_cannot_end_all_sessions_is_told_and_is_no_success(folder: Path, backend: str, code: int, said: str) -> None:
    done = run(folder, "restored", "--backend", backend, DJANGO_SETTINGS_MODULE="")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert logins(folder) == 2


def test_of_signed_cookies_it_says_what_ends_them(folder: Path) -> None:
    done = run(folder, "restored", "--backend", "django", DJANGO_SETTINGS_MODULE="shop_settings")
    assert (done.returncode, done.stdout) == (2, "")
    assert "SESSION_ENGINE is signed_cookies" in done.stderr
    assert "change SECRET_KEY, and empty SECRET_KEY_FALLBACKS" in done.stderr


def test_a_database_that_is_locked_for_too_long_is_told(folder: Path) -> None:
    (folder / "shop.py").write_text(dedent(APPLICATION) + "\nimport sessionward.cli.named as named\nnamed.TIMEOUT = 0.2\n")
    engine = create_engine(f"sqlite:///{folder}/app.db", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        done = run(folder, "restored", "--backend", "shop:table")
        connection.exec_driver_sql("ROLLBACK")
    engine.dispose()
    assert (done.returncode, done.stdout) == (1, "")
    assert logins(folder) == 2
