"""``sessionward index`` in a real project: its bar, its end in the middle, its memory, and what it says when it cannot."""

from __future__ import annotations

import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SETTINGS = "tests.backends.django.settings"
PREPARE = """
import django, sys
django.setup()
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone
call_command("migrate", verbosity=0)
users = [get_user_model().objects.create_user(f"user {number}").pk for number in range(10)]
data = [SessionStore().encode({"_auth_user_id": str(user), "cart": ["a book"] * 20}) for user in users]
later = timezone.now() + timedelta(days=1)
rows = (Session(session_key=f"{number:032}", session_data=data[number % 10], expire_date=later) for number in range(int(sys.argv[1])))
Session.objects.bulk_create(rows, batch_size=2000)
"""


def environment(place: Path, site: str = "db on SQLite") -> Mapping[str, str]:
    (place / "files").mkdir(exist_ok=True)
    return {**os.environ, "SESSIONWARD_SITE": f"{site}|sqlite:///{place}/site.db|{place}/files", "DJANGO_SETTINGS_MODULE": SETTINGS}


def program(place: Path, source: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", "-c", source, *arguments]
    ran = subprocess.run(command, cwd=ROOT, env=environment(place), capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "sessionward", "index", *arguments]


def index(environ: Mapping[str, str], *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(command(*arguments), cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in ran.stderr
    return ran


def asked(place: Path, sql: str) -> Any:
    with closing(sqlite3.connect(place / "site.db", timeout=20)) as connection:
        return connection.execute(sql).fetchone()[0]


def entries(place: Path) -> int:
    return int(asked(place, "SELECT count(*) FROM sessionward_django_index"))


def is_complete(place: Path) -> bool:
    return bool(asked(place, "SELECT count(*) FROM sessionward_django_state WHERE name = 'complete'"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 300 sessions."""
    place = tmp_path_factory.mktemp("project")
    environment(place)
    program(place, PREPARE, "300")
    return place


def test_it_fills_the_index_says_so_and_can_be_repeated(place: Path) -> None:
    for _ in range(2):
        ran = index(environment(place), "--batch", "70")
        assert (ran.returncode, ran.stdout) == (0, "Read 300 sessions; the index is complete.\n")
        assert entries(place) == 300
        assert is_complete(place)


def test_that_it_is_complete_can_be_taken_back(place: Path) -> None:
    index(environment(place))
    for _ in range(2):
        ran = index(environment(place), "--incomplete")
        assert (ran.returncode, ran.stdout.startswith("The index is marked as incomplete")) == (0, True)
        assert not is_complete(place)
    assert index(environment(place)).stdout.startswith("Read 300 sessions")
    assert is_complete(place)


def test_in_a_file_the_bar_is_lines(place: Path) -> None:
    lines = index(environment(place), "--batch", "70").stderr.splitlines()
    assert lines[-1] == f"[{'#' * 30}] 100% 300"
    assert all(re.fullmatch(r"\[#*\.*\] +\d+% \d+", line) for line in lines)


def test_on_a_terminal_the_bar_is_one_line(place: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(command("--batch", "70"), cwd=ROOT, env=environment(place), stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert shown.startswith("\r[")
    assert shown.endswith(f"\r[{'#' * 30}] 100% 300\r\n")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=lambda value: str(value)
)
def test_stopped_in_the_middle_it_goes_on_from_there(tmp_path: Path, number: signal.Signals, code: int) -> None:
    environ = environment(tmp_path)
    program(tmp_path, PREPARE, "3000")
    with subprocess.Popen(command("--batch", "3"), cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        ends = monotonic() + 60
        while not has_begun(tmp_path):
            assert monotonic() < ends
            assert run.poll() is None
        run.send_signal(number)
        _, said = run.communicate(timeout=30)
    assert run.returncode == code
    assert "Traceback" not in said
    assert ("continues here" in said) == (number == signal.SIGINT)
    done = entries(tmp_path)
    assert 0 < done < 3000
    assert not is_complete(tmp_path)
    ran = index(environ)
    assert ran.stdout == f"Read {3000 - done} sessions; the index is complete.\n"
    assert entries(tmp_path) == 3000
    assert is_complete(tmp_path)


def has_begun(place: Path) -> bool:
    try:
        return entries(place) > 30
    except sqlite3.OperationalError:  # there is no table yet
        return False


def test_its_memory_does_not_grow_with_the_sessions(tmp_path: Path) -> None:
    peaks = []
    for sessions in (2_000, 50_000):
        place = tmp_path / str(sessions)
        place.mkdir()
        environment(place)
        program(place, PREPARE, str(sessions))
        source = (
            "import resource\nfrom sessionward.cli import main\nmain(['index'])\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        *_, said, peak = program(place, source).splitlines()
        assert said == f"Read {sessions} sessions; the index is complete."
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 6_000, f"kilobytes: {peaks}"


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"DJANGO_SETTINGS_MODULE": ""}, 2, "set DJANGO_SETTINGS_MODULE"),
        ({"DJANGO_SETTINGS_MODULE": "no.such.settings"}, 2, "ModuleNotFoundError: No module named 'no'"),
        ({"SESSIONWARD_SITE": "db on SQLite|sqlite:////nowhere/site.db|/nowhere"}, 1, "OperationalError"),
        ({"SESSIONWARD_SITE": "db on PostgreSQL|postgresql://nobody@127.0.0.1:1/nothing|/nowhere"}, 1, "OperationalError"),
    ],
    ids=["no settings", "settings that are not there", "no database", "no server"],
)
def test_it_says_what_is_missing(tmp_path: Path, changed: Mapping[str, str], code: int, said: str) -> None:
    ran = index({**environment(tmp_path), **changed})
    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.startswith("sessionward: ")
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_database_without_djangos_tables_is_said_so(tmp_path: Path) -> None:
    ran = index(environment(tmp_path))
    assert ran.returncode == 1
    assert ran.stderr.startswith("sessionward: ")
    assert "django_session" in ran.stderr or "OperationalError" in ran.stderr


def test_signed_cookies_cannot_be_indexed(tmp_path: Path) -> None:
    (tmp_path / "cookies.py").write_text(f"from {SETTINGS} import *\nSESSION_ENGINE = 'django.contrib.sessions.backends.signed_cookies'\n")
    environ = {**environment(tmp_path), "DJANGO_SETTINGS_MODULE": "cookies", "PYTHONPATH": str(ROOT)}
    ran = index(environ, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "signed_cookies" in ran.stderr


def test_a_cache_that_cannot_be_listed_has_nothing_to_do(tmp_path: Path, redis_url: str) -> None:
    ran = index(environment(tmp_path, "cache on Redis"))
    assert ran.returncode == 0
    assert "cannot be listed" in ran.stdout
    assert ran.stderr == ""


@pytest.mark.parametrize("batch", ["0", "-1", "many", "1000001"])
def test_a_batch_that_is_none_is_refused(tmp_path: Path, batch: str) -> None:
    ran = index(environment(tmp_path), "--batch", batch)
    assert ran.returncode == 2
    assert "--batch" in ran.stderr
