"""PostgreSQL servers of a test's own, which it can stop, copy and promote. They run as the user postgres if the tests run as root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.support.servers import ATTEMPTS, HOST, NotStarted, Server, end, free_port, start, wait_until_listening
from tests.support.services import missing

READY = 30.0
"""Seconds within which a server answers; also on a machine that is busy."""


def programs() -> Path:
    """The folder of PostgreSQL's own programs, of the newest version; skips where they are not installed."""
    found = sorted(glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda name: [int(part) for part in name.split("/") if part.isdecimal()])
    if not found:
        missing("postgresql", "initdb is not installed")
    return Path(found[-1]).parent


def as_postgres(command: Sequence[str]) -> list[str]:
    """PostgreSQL refuses to run as root. ``setpriv`` becomes the command, so that the process id is the command's."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *command]


@dataclass(slots=True)
class Node:
    """A server with its folder. ``server`` is None while it does not run. ``family``: it, and all that were copied of it."""

    folder: Path
    family: list[Node]
    server: Server | None = None
    port: int = 0

    def start(self) -> None:
        """Start it, on the same port as before if there was one, and wait until it answers."""
        for attempt in range(1, ATTEMPTS + 1):
            port = self.port or free_port()
            command = [
                str(programs() / "postgres"), "-D", str(self.folder), "-p", str(port), "-k", str(self.folder),
                "-c", f"listen_addresses={HOST}", "-c", "shared_buffers=16MB", "-c", "hot_standby=on",
                "-c", "wal_retrieve_retry_interval=100ms", "-c", "autovacuum=off",
            ]  # fmt: skip
            server = start(as_postgres(command), port=port, log=self.folder.with_suffix(".log"))
            try:
                wait_until_listening(server)
            except NotStarted:
                end(server.process)
                if attempt == ATTEMPTS or self.port:
                    raise
                continue
            self.server, self.port = server, port
            self.until("SELECT 1", "1")
            return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: by SIGINT it first sends its whole log to its standbys; by SIGKILL it crashes."""
        if self.server is not None:
            self.server.process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                self.server.process.wait(READY)
            end(self.server.process)
            self.server = None

    def ask(self, query: str, *, database: str = "postgres") -> str:
        """The first value that the server answers, as a string."""
        engine = create_engine(f"postgresql+psycopg://postgres@{HOST}:{self.port}/{database}", poolclass=NullPool)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            result = connection.execute(text(query))
            return str(result.scalar()) if result.returns_rows else ""

    def until(self, query: str, answer: str) -> None:
        """Wait until the server answers so."""
        ends = time.monotonic() + READY
        while True:
            said: object
            try:
                said = self.ask(query)
            except OperationalError as error:  # it is starting
                said = error
            if said == answer:
                return
            assert time.monotonic() < ends, f"{query}: {said}"
            time.sleep(0.02)

    def copy(self, *, follows: bool, name: str) -> Node:
        """A base backup of it. ``follows``: whether it becomes a standby, which streams."""
        folder = self.folder.with_name(name)
        more = ["-R"] if follows else []
        command = [str(programs() / "pg_basebackup"), "-h", HOST, "-p", str(self.port), "-U", "postgres", "-c", "fast", "-D", str(folder)]
        subprocess.run(as_postgres([*command, *more]), check=True, capture_output=True, cwd="/")
        node = Node(folder, self.family)
        self.family.append(node)
        return node

    def keep_up(self, other: Node) -> None:
        """Wait until a standby has replayed what this server has in its log by now."""
        position = self.ask("SELECT pg_current_wal_flush_lsn()")
        other.until(f"SELECT pg_last_wal_replay_lsn() >= '{position}'", "True")

    def cut_off(self) -> None:
        """A standby receives nothing more, and goes on without its primary."""
        self.ask("ALTER SYSTEM SET primary_conninfo = ''")
        self.ask("SELECT pg_reload_conf()")
        self.until("SELECT COUNT(*) FROM pg_stat_wal_receiver", "0")

    def promote(self) -> None:
        assert self.ask(f"SELECT pg_promote(true, {READY:g})") == "True"


def standby_of(primary: Node) -> Node:
    """A standby that runs and streams."""
    node = primary.copy(follows=True, name="standby")
    node.start()
    primary.until("SELECT COUNT(*) FROM pg_stat_replication WHERE state = 'streaming'", "1")
    return node


@contextmanager
def cluster(*, port: int = 0) -> Iterator[Node]:
    """A primary that runs, on this port or a free one. What is copied of it lies beside it, and is gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="sessionward-postgresql-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    family: list[Node] = []
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            folder.chmod(0o755)
        initdb = [str(programs() / "initdb"), "-D", str(folder / "primary"), "-A", "trust", "-U", "postgres", "--no-sync"]
        subprocess.run(as_postgres(initdb), check=True, capture_output=True, cwd="/")
        family.append(Node(folder / "primary", family, port=port))
        family[0].start()
        yield family[0]
    finally:
        for node in family:
            node.stop()
        shutil.rmtree(folder)
