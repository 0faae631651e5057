"""A real backup of the database is restored, and the real command ends all sessions of the project."""

# Django ships no types.
# mypy: disable-error-code="import-untyped, misc, no-untyped-call"

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.cache import cache
from django.db import connection, connections

from sessionward.backends.django import tables
from tests.backends.django.world import DEADLINE, backend, delete, person, sign_in, store, whom
from tests.doors.sides import ASGIHouse, town
from tests.restore.backups import Backup, MariaDBDump, PostgreSQLDump, SQLiteCopies

KINDS: dict[str, type[Backup]] = {"sqlite": SQLiteCopies, "postgresql": PostgreSQLDump, "mysql": MariaDBDump}


class Kept:
    """A backup of the database, of the folder of the engine ``file``, and of the copies of these sessions in the cache."""

    def __init__(self, folder: Path, keys: list[str]) -> None:
        self._folder, self._files = folder, Path(settings.SESSION_FILE_PATH)
        url = os.environ["SESSIONWARD_SITE"].split("|")[1]
        self._database = KINDS[connection.vendor](url, folder)
        self._keys = [store()(key).cache_key for key in keys] if hasattr(store()("x" * 32), "cache_key") else []
        connections.close_all()
        self._database.take()
        shutil.copytree(self._files, folder / "files")
        self._cached: dict[str, Any] = cache.get_many(self._keys)

    def restore(self) -> None:
        connections.close_all()
        self._database.restore()
        shutil.copytree(self._folder / "files", self._files, dirs_exist_ok=True)
        cache.set_many(self._cached)
        tables._there.clear()  # an operator starts the workers anew


def command(*arguments: str) -> str:
    """What the command has printed. It runs where manage.py would be, in a process of its own."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.backends.django.settings"}
    done = subprocess.run(
        [sys.executable, "-m", "sessionward", *arguments, "--backend", "django"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def by_asgi(key: str) -> str:
    """Whom Django takes this cookie for, behind the ASGI door."""
    house = ASGIHouse(town, backend(), around=get_asgi_application(), backend_timeout=DEADLINE)
    answer = house.ask("GET", "/me", ("Cookie", f"{settings.SESSION_COOKIE_NAME}={key}"))
    house.close()
    assert answer.status == 200, answer
    return answer.body.decode()


def _claimed(restored: Callable[[], object]) -> None:
    ann, bob = person("ann"), person("bob")
    own, other, foreign = sign_in(ann), sign_in(ann), sign_in(bob)
    with TemporaryDirectory() as folder:
        kept = Kept(Path(folder), [own, other, foreign])
        assert delete(own) == (200, 1)
        assert [whom(key) for key in (own, other)] == [ann, "nobody"]
        kept.restore()
        assert [whom(other), by_asgi(other)] == [ann, ann], "the backup must revive it, or this shows nothing"
        kept.restore()
    restored()
    assert [whom(key) for key in (own, other, foreign)] == ["nobody"] * 3
    assert [by_asgi(key) for key in (own, other, foreign)] == ["nobody"] * 3
    new, newer = sign_in(ann), sign_in(ann)
    assert [whom(new), by_asgi(newer)] == [ann, ann]
    assert delete(new) == (200, 1)
    assert [whom(key) for key in (new, newer, other)] == [ann, "nobody", "nobody"]


def case_p6_after_the_command_nobody_of_the_backup_is_signed_in() -> None:
    _claimed(lambda: command("restored"))


def case_everybody_can_be_revoked_without_a_backup_too() -> None:
    _claimed(lambda: command("revoke", "--everybody"))
