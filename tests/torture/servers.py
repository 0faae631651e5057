"""Database servers of the tests' own, to be killed, stopped and started at will."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ClassVar, Final

from redis.exceptions import RedisError
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from tests.support.redis_servers import DURABLE
from tests.support.servers import mariadb_install
from tests.support.services import missing
from tests.torture.redis_keys import client_of

STARTING: Final = 60.0
"""Seconds that a server may take to start."""


class Server(ABC):
    """A server on a free port, with its data in a folder of its own; not yet started."""

    name: ClassVar[str]
    account: ClassVar[str]
    program: ClassVar[str]

    def __init__(self) -> None:
        self._programs = self._found()
        self.folder = Path(tempfile.mkdtemp(prefix=f"sessionward-{self.name}-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.account)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._run(self.initialising())
        except subprocess.CalledProcessError as error:
            shutil.rmtree(self.folder)
            missing(f"a {self.name} server of our own", error.stderr.decode("utf-8", "replace")[-500:])

    @abstractmethod
    def initialising(self) -> Sequence[str]:
        """The command that makes the data."""

    @abstractmethod
    def serving(self) -> Sequence[str]:
        """The command that serves them in the foreground."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Without a driver's name."""

    def tool(self, name: str) -> str:
        return str(self._programs / name)

    def start(self) -> None:
        """Start, and wait until it answers."""
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self.serving(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self._as
            )
        ends = monotonic() + STARTING
        while not self.answers():
            if self._process.poll() is not None or monotonic() > ends:
                log_text = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"{self.name} did not start:\n{log_text[-2000:]}")
            sleep(0.05)

    def answers(self) -> bool:
        driver = "postgresql+psycopg" if self.name == "postgresql" else "mysql+pymysql"
        engine = create_engine(self.url.replace(self.url.partition(":")[0], driver, 1), connect_args={"connect_timeout": 2})
        try:
            engine.connect().close()
        except OperationalError:
            return False
        finally:
            engine.dispose()
        return True

    def kill(self) -> None:
        """As a power cut does it, to all of its processes."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Nothing of it runs any more; its sockets stay, and the kernel goes on acknowledging."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        """To the parent first, so that it starts no more children; each of PostgreSQL's leads a group of its own."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)
        for child in _children(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, number)

    def _found(self) -> Path:
        places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/sbin"), Path("/usr/bin")]
        found = shutil.which(self.program, path=os.pathsep.join(map(str, places)))
        if found is None:
            missing(f"a {self.name} server of our own", f"{self.program} is not installed")
        return Path(str(found)).parent

    def _run(self, command: Sequence[str]) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, timeout=STARTING, **self._as)


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # of a thread that has ended since: it may be killed already
            children += map(int, task.read_text().split())
    return children


class PostgreSQL(Server):
    name = "postgresql"
    account = "postgres"
    program = "postgres"

    def initialising(self) -> Sequence[str]:
        return [self.tool("initdb"), "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]

    def serving(self) -> Sequence[str]:
        settings = ["fsync=off", "shared_buffers=16MB", "unix_socket_directories=", "listen_addresses=127.0.0.1"]
        options = [part for setting in settings for part in ("-c", setting)]
        return [self.tool("postgres"), "-D", f"{self.folder}/data", "-p", str(self.port), *options]

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


class MariaDB(Server):
    name = "mariadb"
    account = "mysql"
    program = "mariadbd"

    def initialising(self) -> Sequence[str]:
        return mariadb_install(self.folder / "data")

    def serving(self) -> Sequence[str]:
        data = [f"--datadir={self.folder}/data", f"--tmpdir={self.folder}/data"]  # as of mariadb_install
        where = [*data, f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid"]
        how = [f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=16M"]
        return [self.tool("mariadbd"), "--no-defaults", *where, *how]

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/mysql"


class Redis(Server):
    name = "redis"
    account = "nobody"
    program = "redis-server"

    def initialising(self) -> Sequence[str]:
        return [self.tool(self.program), "--version"]

    def serving(self) -> Sequence[str]:
        return [self.tool(self.program), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), *DURABLE]

    def answers(self) -> bool:
        with client_of(self.url) as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


SERVERS: Final[dict[str, type[Server]]] = {"postgresql": PostgreSQL, "mariadb": MariaDB, "redis": Redis}
