"""The commands that end all sessions, over a backend of SQL that the application has made: all that a URL can do."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import create_engine, text

from sessionward import BackendUnavailable
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Credential, new_token
from sessionward.lease import WAITED
from sessionward.settings import MAX_LEASE
from tests.support.sessions import new_session
from tests.test_cli_named import run

APPLICATION = """
    from sqlalchemy import create_engine

    from sessionward.backends.sql import AsyncSQLBackend, SQLBackend

    plain = SQLBackend({url!r})
    awaited = AsyncSQLBackend({url!r})
    over_engine = SQLBackend(create_engine({url!r}.replace("postgresql:", "postgresql+psycopg:")))

    def made():
        return AsyncSQLBackend({url!r}.replace("postgresql:", "postgresql+asyncpg:"))
    """
OPTIONS = """
    revoking = SQLBackend({url!r}, on_rollback="revoke")
    ignoring = AsyncSQLBackend({url!r}, on_rollback="ignore")
    """
AT_ONCE = """
    import sessionward.cli.everybody as everybody
    everybody.LONGEST = 0.0
    """
NAMES = ["plain", "awaited", "made", "over_engine", "revoking", "ignoring"]


def write(folder: Path, *parts: str, url: str) -> None:
    lines = "".join(parts).format(url=url).splitlines()
    (folder / "shop.py").write_text("\n".join(line.removeprefix("    ") for line in lines))


@pytest.fixture
def refused_url(empty_postgresql_url: str, tmp_path: Path) -> str:
    """A database that was copied from another server. Workers refuse it."""
    with closing(SQLBackend(empty_postgresql_url, timeout=10.0)) as backend:
        backend.create_tables()
    write(tmp_path, APPLICATION, OPTIONS, AT_ONCE, url=empty_postgresql_url)
    return empty_postgresql_url


def copied_from_another_server(url: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE sessionward_state SET lineage = '9/1 0'"))
    engine.dispose()


def lives(url: str, token: str) -> bool:
    with closing(SQLBackend(url, timeout=10.0)) as worker:
        return worker.find(Credential(token.encode())) is not None


def signed_in(url: str) -> str:
    """The token of a session in a database that is refused."""
    token = new_token()
    with closing(SQLBackend(url, timeout=10.0)) as backend:
        backend.login(new_session("ann", token))
    copied_from_another_server(url)
    with pytest.raises(BackendUnavailable, match="an operator must decide"):
        lives(url, token)
    return token


@pytest.mark.parametrize("name", NAMES)
def test_p6_a_server_that_is_refused_is_accepted_after_all_sessions_were_revoked(refused_url: str, tmp_path: Path, name: str) -> None:
    token = signed_in(refused_url)
    done = run(tmp_path, "restored", "--backend", f"shop:{name}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Accepted the server as it is: PostgreSQL" in done.stdout
    assert not lives(refused_url, token)


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_has_all_commits_is_accepted_and_nobody_is_revoked(refused_url: str, tmp_path: Path, name: str) -> None:
    token = signed_in(refused_url)
    done = run(tmp_path, "restored", "--nothing-lost", "--backend", f"shop:{name}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "No session was revoked" in done.stdout
    assert lives(refused_url, token)


def test_a_revocation_of_everybody_accepts_no_server(refused_url: str, tmp_path: Path) -> None:
    signed_in(refused_url)
    done = run(tmp_path, "revoke", "--everybody", "--backend", "shop:plain")
    assert (done.returncode, done.stdout) == (1, "")
    assert "an operator must decide" in done.stderr


@pytest.mark.parametrize("name", ["plain", "awaited"])
@pytest.mark.parametrize(
    ("command", "lease"),
    [
        pytest.param(["revoke", "--everybody"], 1.0, id="for the lease"),
        pytest.param(["restored"], MAX_LEASE, id="for the longest lease, whatever the database says"),
    ],
)
def test_it_waits_until_no_worker_trusts_a_session(sqlite_url: str, tmp_path: Path, command: list[str], lease: float, name: str) -> None:
    with closing(SQLBackend(sqlite_url)) as backend:
        backend.create_tables()
        backend.set_lease(1.0)
    write(tmp_path, APPLICATION.partition("over_engine")[0], url=sqlite_url)
    began = monotonic()
    done = run(tmp_path, *command, "--backend", f"shop:{name}")
    assert (done.returncode, done.stderr) == (0, "")
    assert monotonic() - began >= WAITED * lease
