"""What middleware/README.md prints under "After a restore" is run as it is printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import create_engine, text

from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential, new_token
from tests.support.demo import COMMAND
from tests.support.services import missing
from tests.support.sessions import new_session

PAGE = (Path(__file__).parents[2] / "middleware" / "README.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("### After a restore\n")[2].partition("\n## ")[0]
URL = "postgresql://user@host/db"

SHOP = {
    "__init__.py": "",
    "settings.py": """
        SECRET_KEY = "a secret of these tests that has more than fifty characters"
        INSTALLED_APPS = ["django.contrib.sessions", "django.contrib.contenttypes", "django.contrib.auth"]
        MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}
        """,
    "sessions.py": """
        from sessionward.backends.table import TableBackend

        backend = TableBackend("sqlite:///shop.db", "django_session", key="session_key", user="session_data", cookie="sid")
        """,
}


def run(command: str, folder: Path, **names: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the page in the folder. ``names``: what stands in it for what is real."""
    words = shlex.split(command)
    environment: Mapping[str, str] = {**os.environ, **dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))}
    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    for printed, real in names.items():
        words = [word.replace(URL if printed == "url" else printed, real) for word in words]
    program: Sequence[str] = COMMAND if words[0] == "sessionward" else words[:1]
    if shutil.which(program[0]) is None:
        missing(program[0], "it is not installed")
    return subprocess.run([*program, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _of_any(printed: str) -> str:
    """What a command has printed, of whatever server."""
    return re.sub(r"PostgreSQL \d+, timeline \d+", "PostgreSQL", printed).strip()


def test_the_commands_that_the_page_prints_do_what_it_prints(empty_postgresql_url: str, tmp_path: Path) -> None:
    (block,) = re.findall(r"```console\n(.*?)```", SECTION, re.DOTALL)
    steps = [step.split("\n", 1) for step in block.removeprefix("$ ").split("\n$ ")]
    assert [command.split()[0] for command, *_ in steps] == ["pg_dump", "pg_restore", "sessionward", "sessionward"]
    backend = SQLBackend(empty_postgresql_url, timeout=10.0)
    backend.create_tables()
    own, other = (new_token(), new_token())
    session = backend.login(new_session("ann", own))
    backend.login(new_session("ann", other))
    live = [[True, False], [True, True], [False, False], [False, False]]
    for (command, *printed), expected in zip(steps, live, strict=True):
        backend.close()
        done = run(command, tmp_path, url=empty_postgresql_url)
        assert (done.returncode, done.stderr, _of_any(done.stdout)) == (0, "", _of_any("".join(printed))), command
        if command.startswith("pg_dump"):
            assert backend.revoke_others(session) == 1
        backend.close()
        backend = SQLBackend(empty_postgresql_url, timeout=10.0)  # workers start anew
        assert [backend.find(Credential(token.encode())) is not None for token in (own, other)] == expected, command
    backend.close()


@pytest.mark.parametrize("backend", ["django", "shop.sessions:backend"])
def test_the_commands_of_the_table_end_the_sessions_of_an_application(backend: str, tmp_path: Path) -> None:
    (command,) = re.findall(rf"`([^`]*sessionward restored --backend {backend})`", SECTION)
    (tmp_path / "shop").mkdir()
    for name, content in SHOP.items():
        (tmp_path / "shop" / name).write_text(dedent(content))
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE django_session (session_key VARCHAR(40) PRIMARY KEY, session_data TEXT, expire_date DATETIME)")
        )
        connection.execute(text("INSERT INTO django_session VALUES ('abcdefghijklmnop', 'data', '2999-01-01 00:00:00')"))
    engine.dispose()
    done = run(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    with engine.connect() as connection:
        keys = connection.execute(text("SELECT session_key FROM django_session")).scalars().all()
    engine.dispose()
    assert [key for key in keys if not key.startswith("revoked:")] == []
    assert len(keys) == (1 if backend == "django" else 0)
