"""Behind PgBouncer a worker's connection stays while the server changes: its next commit notices that."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from sessionward import BackendUnavailable, OutcomeUnknown
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential, new_token
from tests.servers.conftest import settings_of
from tests.support.postgresql import READY, Node, cluster, standby_of
from tests.support.servers import HOST, Server, served
from tests.support.services import missing
from tests.support.sessions import new_session


@pytest.fixture
def primary() -> Iterator[Node]:
    with cluster() as node:
        yield node


class Pooler:
    """A PgBouncer whose server can be replaced by another one."""

    def __init__(self, server: Server, settings: Path) -> None:
        self.url = f"postgresql://postgres@{HOST}:{server.port}/postgres"
        self._server = server
        self._settings = settings

    def go_over_to(self, node: Node) -> None:
        """Returns when it has read its settings. Until then a query of the backend could fail, which costs it its connection."""
        self._settings.write_text(settings_of(self._server.port, HOST, node.port, "postgres", None))
        self._server.process.send_signal(signal.SIGHUP)
        ends = time.monotonic() + READY
        while self._asked("SELECT inet_server_port()") != node.port:
            assert time.monotonic() < ends

    def _asked(self, question: LiteralString) -> object:
        with psycopg.connect(self.url, autocommit=True, prepare_threshold=None) as connection:
            row = connection.execute(question).fetchone()
            return None if row is None else row[0]


@pytest.fixture
def pooler(primary: Node, tmp_path: Path) -> Iterator[Pooler]:
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        missing("PgBouncer", "the program pgbouncer is not installed")
        return
    settings = primary.folder.with_name("pgbouncer.ini")  # which the user nobody can read

    def command(port: int) -> list[str]:
        settings.write_text(settings_of(port, HOST, primary.port, "postgres", None))
        return [program, *(["-u", "nobody"] if os.geteuid() == 0 else []), str(settings)]

    with served(command, log=tmp_path / "pgbouncer.log") as server:
        yield Pooler(server, settings)


def commit(backend: SQLBackend) -> None:
    """Commit something. PgBouncer reads its settings when it has the time, and until then there is no server."""
    ends = time.monotonic() + READY
    while True:
        try:
            backend.revoke_all("bob")
        except OutcomeUnknown:
            raise
        except BackendUnavailable:
            assert time.monotonic() < ends
            continue
        return


@pytest.mark.parametrize("lags", [False, True], ids=["nothing is missing", "commits are missing"])
def test_p6_a_commit_notices_that_the_server_behind_a_pooler_is_another_one(lags: bool, primary: Node, pooler: Pooler) -> None:
    standby = standby_of(primary)
    backend = SQLBackend(pooler.url, timeout=20.0, pool_size=1)
    try:
        backend.create_tables()
        token = new_token()
        own = backend.login(new_session("ann", token))
        primary.keep_up(standby)
        if lags:
            standby.cut_off()
        assert backend.revoke_others(own) == 0
        if not lags:
            primary.keep_up(standby)
        standby.promote()
        pooler.go_over_to(standby)
        primary.stop(signal.SIGKILL)
        with pytest.raises(OutcomeUnknown):
            commit(backend)
        if not lags:
            found = backend.find(Credential(token.encode()))
            assert found is not None
            assert found.id == own.id
            return
        with pytest.raises(BackendUnavailable, match="branched off"):
            backend.find(Credential(token.encode()))
    finally:
        backend.close()
