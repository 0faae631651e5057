"""A PostgreSQL server that lacks commits, since a standby that lagged was promoted or a backup restored, is not used unnoticed."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

import sessionward
from sessionward import BackendUnavailable
from sessionward.backends.sql import AsyncSQLBackend, SQLBackend
from sessionward.cli import main
from sessionward.credential.token import Credential, new_token
from sessionward.sidecar.config.config import configure
from sessionward.sidecar.doctor.run import doctor
from sessionward.testing.bridge import Bridged, Loop
from tests.contract.doors import SECRET, asgi_scope, ask_asgi, ask_wsgi, wsgi_environ
from tests.contract.sql_world import ASYNCPG, ASYNCPG_ENGINE, PSYCOPG, PSYCOPG_ASYNC, PSYCOPG_ENGINE, Kind
from tests.support.postgresql import Node, cluster, standby_of
from tests.support.sessions import new_session

TIMEOUT = 20.0


class Worker:
    """One worker: a backend with a door around it, and a session of each of a user's two devices."""

    def __init__(self, kind: Kind, *nodes: Node, **options: Any) -> None:
        # As an operator writes it: several hosts, of which the driver takes the one that is primary.
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in nodes)
        self.url = f"{kind.scheme}://postgres@/postgres?{hosts}&target_session_attrs=read-write"
        self.loop = Loop() if kind.is_async else None
        self.engine: Any = None
        if kind.over_engine:
            create: Any = create_async_engine if kind.is_async else create_engine
            self.engine = create(self.url)
        made: Any = (AsyncSQLBackend if kind.is_async else SQLBackend)(self.engine or self.url, timeout=TIMEOUT, **options)
        self.backend: Any = made if self.loop is None else Bridged(made, self.loop)
        settings: Any = {"backend": made, "secrets": [SECRET], "backend_timeout": TIMEOUT}
        door: Any = sessionward.ASGIMiddleware if kind.is_async else sessionward.WSGIMiddleware
        self.door: Any = door(greet if kind.is_async else hello, **settings)

    def sign_in(self, user: str) -> tuple[Any, str]:
        token = new_token()
        return self.backend.login(new_session(user, token)), token

    def lives(self, token: str) -> bool:
        return self.backend.find(Credential(token.encode())) is not None

    def status(self, token: str) -> int:
        """That of a DELETE through the door, which revokes the others."""
        headers = {"X-Session-Token": token}
        if self.loop is None:
            return ask_wsgi(self.door, wsgi_environ("DELETE", "/auth/sessions", headers)).status
        return self.loop.run(ask_asgi(self.door, asgi_scope("DELETE", "/auth/sessions", headers))).status

    def close(self) -> None:
        self.backend.close()
        if self.engine is not None:
            disposed = self.engine.dispose()
            if self.loop is not None:
                self.loop.run(disposed)
        if self.loop is not None:
            self.loop.close()


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


async def greet(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


Work = Callable[..., Worker]


@pytest.fixture
def primary() -> Iterator[Node]:
    with cluster() as node:
        yield node


@pytest.fixture
def standby(primary: Node) -> Node:
    return standby_of(primary)


@pytest.fixture(params=[PSYCOPG, PSYCOPG_ASYNC, ASYNCPG], ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def work(kind: Kind) -> Iterator[Work]:
    made: list[Worker] = []

    def make(*nodes: Node, **options: Any) -> Worker:
        made.append(Worker(kind, *nodes, **options))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture(autouse=True)
def own_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "sessionward")


def said(caplog: pytest.LogCaptureFixture, what: str) -> int:
    """How often the one who examines servers has said so in the log."""
    return sum(what in record.getMessage() for record in caplog.records if record.module == "witness")


def lose(worker: Worker, primary: Node, standby: Node) -> tuple[str, str]:
    """Revoke a session that a standby, which then takes over, does not know of. The tokens of the caller and of the other one."""
    worker.backend.create_tables()
    own, token = worker.sign_in("ann")
    _, other = worker.sign_in("ann")
    primary.keep_up(standby)
    standby.cut_off()
    assert worker.backend.revoke_others(own) == 1
    assert not worker.lives(other)
    primary.stop(signal.SIGKILL)
    standby.promote()
    return token, other


@pytest.mark.parametrize("kind", [PSYCOPG, PSYCOPG_ASYNC, ASYNCPG, PSYCOPG_ENGINE, ASYNCPG_ENGINE], ids=str)
def test_p6_a_promoted_standby_that_lagged_is_503_until_an_operator_decides(
    work: Work, primary: Node, standby: Node, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = work(primary, standby)
    token, other = lose(worker, primary, standby)
    assert worker.status(token) == 503
    assert worker.status(other) == 503
    with pytest.raises(BackendUnavailable, match="sessionward restored"):
        worker.sign_in("bob")
    assert said(caplog, "it is on timeline 2 and was on 1, which branched off at") == 1
    assert said(caplog, "Run sessionward restored") == 1

    assert main(["restored", "--backend", PSYCOPG.scheme + worker.url.removeprefix(worker.url.partition(":")[0])]) == 0
    assert "timeline 2" in capsys.readouterr().out
    assert worker.status(token) == 401
    assert worker.status(other) == 401
    _, token = worker.sign_in("ann")
    assert worker.lives(token)
    assert worker.status(token) == 200
    assert said(caplog, "an operator has accepted") == 1


def test_p6_a_switchover_that_lost_nothing_is_noted_and_logged(
    work: Work, primary: Node, standby: Node, caplog: pytest.LogCaptureFixture
) -> None:
    worker = work(primary, standby)
    worker.backend.create_tables()
    own, token = worker.sign_in("ann")
    _, other = worker.sign_in("ann")
    assert worker.backend.revoke_others(own) == 1
    primary.stop()
    standby.promote()
    assert worker.lives(token)
    assert not worker.lives(other)
    assert worker.status(token) == 200
    assert said(caplog, "went from timeline 1 to 2, and nothing is missing") == 1
    new = work(standby)
    assert new.lives(token)
    assert "/2 0 1:" in standby.ask("SELECT lineage FROM sessionward_state")
    assert said(caplog, "may have lost commits") == 0


def test_p6_a_worker_that_was_not_there_cannot_tell_and_asks_an_operator(
    work: Work, primary: Node, standby: Node, caplog: pytest.LogCaptureFixture
) -> None:
    _, other = lose(work(primary, standby), primary, standby)
    new = work(standby)
    for _ in range(3):
        with pytest.raises(BackendUnavailable, match="this worker was not there"):
            new.lives(other)
    assert main(["restored", "--nothing-lost", "--backend", f"postgresql://postgres@127.0.0.1:{standby.port}/postgres"]) == 0
    assert new.lives(other), "the test has shown nothing if the revoked session is not live again"


def test_p6_what_one_worker_finds_others_obey_on_connections_that_they_have_already(
    work: Work, primary: Node, standby: Node, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = work(primary, standby), work(primary, standby)
    first.backend.create_tables()
    _, token = first.sign_in("ann")
    _, other = first.sign_in("ann")
    second.sign_in("bob")
    primary.keep_up(standby)
    standby.cut_off()
    assert second.backend.revoke_all("ann") == 2
    primary.stop(signal.SIGKILL)
    standby.promote()
    assert first.lives(other)  # it has seen nothing that is missing
    assert said(caplog, "nothing is missing") == 1
    with pytest.raises(BackendUnavailable, match="branched off"):
        second.lives(other)
    with pytest.raises(BackendUnavailable, match="has lost commits"):
        first.lives(other)
    assert first.status(token) == 503


def test_p6_everybody_is_revoked_at_once_where_the_operator_has_decided_so_before(
    work: Work, primary: Node, standby: Node, caplog: pytest.LogCaptureFixture
) -> None:
    worker, second = work(primary, standby, on_rollback="revoke"), work(primary, standby, on_rollback="revoke")
    second.backend.create_tables()
    second.sign_in("bob")
    token, other = lose(worker, primary, standby)
    assert worker.status(token) == 401
    assert worker.status(other) == 401
    assert said(caplog, "All sessions of all users were revoked") == 1
    _, token = worker.sign_in("ann")
    assert second.lives(token)
    assert worker.lives(token)
    assert said(caplog, "All sessions of all users were revoked") == 1


def test_p6_a_restored_base_backup_is_refused(work: Work, primary: Node, caplog: pytest.LogCaptureFixture) -> None:
    worker = work(primary)
    worker.backend.create_tables()
    own, token = worker.sign_in("ann")
    _, other = worker.sign_in("ann")
    backup = primary.copy(follows=False, name="backup")
    assert worker.backend.revoke_others(own) == 1
    primary.stop()
    backup.port = primary.port
    backup.start()
    assert backup.ask("SELECT timeline_id FROM pg_control_checkpoint()") == "1"
    assert worker.status(token) == 503
    assert worker.status(other) == 503
    assert said(caplog, "its log ends at") == 1


def test_p6_a_backup_restored_to_a_point_in_time_is_refused(work: Work, primary: Node, caplog: pytest.LogCaptureFixture) -> None:
    worker = work(primary)
    worker.backend.create_tables()
    own, token = worker.sign_in("ann")
    backup = primary.copy(follows=False, name="backup")
    assert worker.backend.revoke_others(own) == 0
    primary.stop()
    (backup.folder / "recovery.signal").touch()
    with (backup.folder / "postgresql.auto.conf").open("a") as settings:
        settings.write("restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n")
    backup.port = primary.port
    backup.start()
    backup.until("SELECT pg_is_in_recovery()", "False")
    assert worker.status(token) == 503
    assert said(caplog, "it is on timeline 2 and was on 1, and it is not known where that branched off") == 1


def test_another_server_is_refused_whatever_it_holds(work: Work, primary: Node, caplog: pytest.LogCaptureFixture) -> None:
    worker = work(primary)
    worker.backend.create_tables()
    _, token = worker.sign_in("ann")
    port = primary.port
    primary.stop()
    with cluster(port=port) as other:
        work(other).backend.create_tables()
        assert worker.status(token) == 503
    assert said(caplog, "it is another server") == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "crashed"])
def test_the_same_server_is_the_same_after_a_restart(
    how: signal.Signals, work: Work, primary: Node, caplog: pytest.LogCaptureFixture
) -> None:
    worker = work(primary)
    worker.backend.create_tables()
    own, token = worker.sign_in("ann")
    _, other = worker.sign_in("ann")
    assert worker.backend.revoke_others(own) == 1
    primary.stop(how)
    primary.start()
    assert worker.lives(token)
    assert not worker.lives(other)
    assert worker.status(token) == 200
    assert work(primary).lives(token)
    assert said(caplog, "may have lost commits") == said(caplog, "timeline") == 0


def test_p1_a_standby_answers_nothing(work: Work, primary: Node, standby: Node) -> None:
    worker = work(primary)
    worker.backend.create_tables()
    _, token = worker.sign_in("ann")
    primary.keep_up(standby)
    reader = SQLBackend(f"postgresql://postgres@127.0.0.1:{standby.port}/postgres", timeout=TIMEOUT)
    with pytest.raises(BackendUnavailable, match="is a standby"):
        reader.find(Credential(token.encode()))
    reader.close()


def test_a_role_that_may_not_see_the_log_is_told_so_once_and_works(work: Work, primary: Node, caplog: pytest.LogCaptureFixture) -> None:
    primary.ask("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    primary.ask("CREATE ROLE app LOGIN")
    primary.ask("GRANT CREATE ON SCHEMA public TO app")
    worker = work(primary)
    url = worker.url.replace("postgres@", "app@")
    app = SQLBackend(PSYCOPG.scheme + url.removeprefix(url.partition(":")[0]))
    try:
        app.create_tables()
        assert app.revoke_all("ann") == 0
        app._pool.close()
        assert app.revoke_all("ann") == 0
        assert app.accept_server() == ""
    finally:
        app.close()
    assert said(caplog, "does not let this role see its log") == 1


def test_what_a_server_would_lose_is_said_once(work: Work, primary: Node, standby: Node, caplog: pytest.LogCaptureFixture) -> None:
    worker = work(primary, standby)
    worker.backend.create_tables()
    worker.sign_in("ann")
    worker.backend.close()
    worker.sign_in("ann")
    assert said(caplog, "synchronous_standby_names is empty") == 1
    primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.ask("SELECT pg_reload_conf()")
    primary.until("SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync'", "1")
    caplog.clear()
    work(primary, standby).sign_in("bob")
    assert said(caplog, "synchronous_standby_names is empty") == 0


def test_the_doctor_says_what_a_failover_would_lose(primary: Node, standby: Node) -> None:
    url = f"postgresql://postgres@127.0.0.1:{primary.port}/postgres?on_rollback=revoke"
    SQLBackend(url).create_tables()
    for names, level in (("", "warning"), ("*", "ok")):
        primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        primary.ask("SELECT pg_reload_conf()")
        primary.until("SELECT COUNT(*) FROM pg_stat_replication WHERE sync_state = 'sync'", "1" if names else "0")
        lines: list[str] = []
        flags = {"backend": url, "secret": [SECRET], "login-path": "/login", "upstream": "unix:/nowhere.sock"}
        doctor(configure("serve", flags, {}), lines.append)
        assert [line.split()[0] for line in lines if line[8:].startswith("failover:")] == [level]


@pytest.mark.parametrize("more", [(), ("--nothing-lost",)], ids=["restored", "nothing lost"])
def test_restored_says_of_a_standby_what_it_is(
    more: tuple[str, ...], primary: Node, standby: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    SQLBackend(f"postgresql://postgres@127.0.0.1:{primary.port}/postgres").create_tables()
    primary.keep_up(standby)
    assert main(["restored", *more, "--backend", f"postgresql://postgres@127.0.0.1:{standby.port}/postgres"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "standby" in said.err
    assert "connect to the primary" in said.err


def test_p6_a_lineage_that_nobody_has_written_is_refused_until_an_operator_decides(
    primary: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"postgresql://postgres@127.0.0.1:{primary.port}/postgres"
    backend = SQLBackend(url, timeout=TIMEOUT)
    backend.create_tables()
    primary.ask("UPDATE sessionward_state SET lineage = 'garbage'")
    with pytest.raises(BackendUnavailable, match="cannot be read; an operator must decide"):
        backend.begin_login("ann")
    assert main(["restored", "--nothing-lost", "--backend", url]) == 0
    assert "Accepted the server" in capsys.readouterr().out
    assert backend.begin_login("ann") == 0
    backend.close()
