"""A Galera cluster of MariaDB servers on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from tests.support.servers import ATTEMPTS, HOST, Server, end, free_port, mariadb_install, start
from tests.support.services import missing

NODES = 3
READY = 90.0
"""Seconds within which a node has joined; also on a machine that is busy."""
PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")


@dataclass(frozen=True, slots=True)
class GaleraNode:
    server: Server

    @property
    def url(self) -> str:
        return f"mysql://root@{HOST}:{self.server.port}/sessions"

    def ask(self, query: str, column: int = 0) -> str:
        """The first row's column that the server answers, as a string."""
        engine = create_engine(f"mysql+pymysql://root@{HOST}:{self.server.port}/", poolclass=NullPool)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            result = connection.execute(text(query))
            row = result.first() if result.returns_rows else None
            return "" if row is None else str(row[column])

    def until(self, query: str, answer: str) -> None:
        """Wait until the server answers so."""
        ends = time.monotonic() + READY
        while (said := self.ask(query)) != answer:
            assert time.monotonic() < ends, f"{query}: {said}"
            time.sleep(0.02)

    def has_joined(self, size: int) -> bool:
        try:
            return (
                self.ask("SHOW GLOBAL STATUS LIKE 'wsrep_local_state_comment'", 1) == "Synced"
                and self.ask("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_size'", 1) == str(size)
            )  # fmt: skip
        except OperationalError:  # it is starting
            return False


def _needs() -> None:
    for program in ("mariadbd", "mariadb-install-db", "rsync", "lsof"):
        if shutil.which(program) is None:
            missing("galera", f"{program} is not installed")
    if not PROVIDER.exists():
        missing("galera", f"there is no {PROVIDER}")


@contextmanager
def galera() -> Iterator[Sequence[GaleraNode]]:
    """Three nodes that have joined one cluster; gone at the end."""
    _needs()
    folder = Path(tempfile.mkdtemp(prefix="sessionward-galera-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    try:
        folder.chmod(0o755)
        for attempt in range(1, ATTEMPTS + 1):
            with ExitStack() as stack:
                nodes = _started(folder / str(attempt), stack)
                if nodes is None:
                    assert attempt < ATTEMPTS, "the nodes of the Galera cluster did not start"
                    continue
                nodes[0].ask("CREATE DATABASE sessions")
                yield nodes
                return
    finally:
        shutil.rmtree(folder)


def _started(folder: Path, stack: ExitStack) -> Sequence[GaleraNode] | None:
    """The nodes, or None if one of them has ended: another process has taken a port of its before it could."""
    folder.mkdir()
    ports = [(free_port(), free_port(), free_port(), free_port()) for _ in range(NODES)]
    members = ",".join(f"{HOST}:{group}" for _, group, _, _ in ports)
    nodes: list[GaleraNode] = []
    for number, (port, group, transfer, snapshot) in enumerate(ports):
        data = folder / str(number)
        user = ["--user=mysql"] if os.geteuid() == 0 else []
        made = subprocess.run([*mariadb_install(data), *user], capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
        command = [
            "mariadbd", "--no-defaults", *user, f"--datadir={data}", f"--port={port}", f"--bind-address={HOST}", f"--socket={data}/socket",
            f"--tmpdir={data}",
            f"--pid-file={data}/pid", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--performance-schema=OFF",
            "--wsrep-on=ON", f"--wsrep-provider={PROVIDER}", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
            f"--wsrep-cluster-address=gcomm://{members}", f"--wsrep-cluster-name={folder.parent.name}",
            f"--wsrep-node-address={HOST}:{group}",
            f"--wsrep-provider-options=base_port={group};gmcast.listen_addr=tcp://{HOST}:{group};ist.recv_addr={HOST}:{transfer};"
            "gcache.size=16M;pc.recovery=false",
            "--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address={HOST}:{snapshot}",
            *(["--wsrep-new-cluster"] if number == 0 else []),
        ]  # fmt: skip
        node = GaleraNode(start(command, port=port, log=folder / f"{number}.log"))
        stack.callback(end, node.server.process)
        ends = time.monotonic() + READY
        while not node.has_joined(number + 1):
            if node.server.process.poll() is not None:
                return None
            assert time.monotonic() < ends, f"node {number} has not joined:\n{node.server.printed()[-4000:]}"
            time.sleep(0.1)
        nodes.append(node)
    return nodes
