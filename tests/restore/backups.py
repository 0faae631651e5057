"""Real backups of real databases, by the tools that come with them."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import create_engine, make_url, text

from tests.support.redis_servers import Node, started
from tests.support.services import MARIADB, POSTGRESQL, fresh_database, missing
from tests.torture.servers import PostgreSQL

SECONDS: Final = 60.0
"""How long a tool may take, also on a machine that is busy."""


class Backup(ABC):
    """A database at ``url``, without a driver's name. No backend may have a connection open while it is restored."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    @abstractmethod
    def take(self) -> None:
        """Take the backup."""

    @abstractmethod
    def restore(self) -> None:
        """Put the database into the state of the backup."""


class SQLiteCopies(Backup):
    """The online backup of SQLite, there and back."""

    def take(self) -> None:
        self._copy(self._file, self.folder / "backup.db")

    def restore(self) -> None:
        self._copy(self.folder / "backup.db", self._file)

    @property
    def _file(self) -> Path:
        return Path(str(make_url(self.url).database))

    def _copy(self, source: Path, target: Path) -> None:
        with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
            read.backup(written)


class SQLiteFiles(SQLiteCopies):
    """The files, copied while nothing has them open."""

    def _copy(self, source: Path, target: Path) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{target}{suffix}").unlink(missing_ok=True)
            assert not Path(f"{source}{suffix}").exists(), "somebody has the database open"
        shutil.copyfile(source, target)


class PostgreSQLDump(Backup):
    """``pg_dump`` and ``pg_restore``."""

    def take(self) -> None:
        run("pg_dump", "--format=custom", f"--file={self.folder}/backup", f"--dbname={self.url}")

    def restore(self) -> None:
        run("pg_restore", "--clean", "--if-exists", "--exit-on-error", f"--dbname={self.url}", f"{self.folder}/backup")


class MariaDBDump(Backup):
    """``mariadb-dump`` and ``mariadb``."""

    def take(self) -> None:
        with (self.folder / "backup.sql").open("wb") as output:
            run("mariadb-dump", *self._where, "--single-transaction", self._name, stdout=output)

    def restore(self) -> None:
        with (self.folder / "backup.sql").open("rb") as source:
            run("mariadb", *self._where, self._name, stdin=source)

    @property
    def _where(self) -> Sequence[str]:
        url = make_url(self.url)
        secret = [f"--password={url.password}"] if url.password else []
        return ["--no-defaults", f"--host={url.host}", f"--port={url.port or 3306}", f"--user={url.username}", *secret]

    @property
    def _name(self) -> str:
        return str(make_url(self.url).database)


class PostgreSQLFiles(Backup):
    """The data of a whole server, copied while it is stopped."""

    def __init__(self, server: Stoppable, url: str, folder: Path) -> None:
        super().__init__(url, folder)
        self._server = server

    def take(self) -> None:
        self._server.stop()
        self._server.copy("data", "backup")
        self._server.start()

    def restore(self) -> None:
        self._server.stop()
        self._server.copy("backup", "data")
        self._server.start()


class Stoppable(PostgreSQL):
    """A server of our own that can be stopped as an operator stops it."""

    def new_database(self) -> str:
        """The URL, without a driver's name, of a database that nobody has used."""
        url, name = make_url(self.url), f"sessionward_test_{uuid4().hex[:12]}"
        engine = create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)  # its "fast" shutdown
        assert self._process.wait(SECONDS) == 0
        self._process = None

    def copy(self, source: str, target: str) -> None:
        self._run(["rm", "-rf", f"{self.folder}/{target}"])
        self._run(["cp", "-a", f"{self.folder}/{source}", f"{self.folder}/{target}"])


class RedisSnapshot(Backup):
    """The RDB file of a server, put back while it is stopped."""

    def __init__(self, node: Node, folder: Path) -> None:
        super().__init__(node.url, folder)
        self._node = node

    def take(self) -> None:
        self._node.client.save()
        shutil.copyfile(self._file, self.folder / "backup.rdb")

    def restore(self) -> None:
        self._node.kill()
        self._node.client.connection_pool.disconnect()
        shutil.copyfile(self.folder / "backup.rdb", self._file)
        self._node.start()

    @property
    def _file(self) -> Path:
        return self._node.folder / "dump.rdb"


SNAPSHOTS: Final = ("--appendonly", "no", "--save", "", "--maxmemory-policy", "noeviction")
"""The options of a Redis that writes its RDB file when it is told to."""


def run(program: str, *arguments: str, **streams: Any) -> None:
    """Run a tool of a database. It fails with what it has printed."""
    if shutil.which(program) is None:
        missing(program, "it is not installed")
    done = subprocess.run([program, *arguments], stderr=subprocess.PIPE, timeout=SECONDS, check=False, **streams)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


REDIS: Final = "redis, RDB"
DUMPS: Final = ("sqlite, its backup", "postgresql, pg_dump", "mariadb, mariadb-dump")
WAYS: Final = (*DUMPS, "sqlite, files", "postgresql, files")


@contextmanager
def backup(way: str, folder: Path, stoppable: Callable[[], Stoppable]) -> Iterator[Backup]:
    """An empty database, and how it is backed up. ``stoppable``: the server whose files are copied."""
    database, _, how = way.partition(", ")
    if database == "sqlite":
        yield (SQLiteFiles if how == "files" else SQLiteCopies)(f"sqlite:///{folder}/sessions.db", folder)
        return
    if way == REDIS:
        with started(lambda ports: [Node(folder, ports[0], SNAPSHOTS)], 1) as (node,):
            yield RedisSnapshot(node, folder)
        return
    if how == "files":
        server = stoppable()
        yield PostgreSQLFiles(server, server.new_database(), folder)
        return
    with fresh_database(POSTGRESQL if database == "postgresql" else MARIADB) as url:
        yield (PostgreSQLDump if database == "postgresql" else MariaDBDump)(url, folder)
