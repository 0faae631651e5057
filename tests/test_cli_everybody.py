"""The commands that revoke all sessions of all users."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from time import monotonic, sleep

import pytest

from sessionward import BackendUnavailable, StaleLogin
from sessionward.backends.sql import SQLBackend
from sessionward.cli import main
from sessionward.credential.token import Credential, new_token
from tests.support.sessions import new_session
from tests.test_cli import run

RESTORED = ["restored"]
EVERYBODY = ["revoke", "--everybody"]


@pytest.fixture
def backend(sqlite_url: str) -> Iterator[SQLBackend]:
    made = SQLBackend(sqlite_url)
    made.create_tables()
    yield made
    made.close()


@pytest.mark.parametrize("command", [RESTORED, EVERYBODY], ids=" ".join)
def test_all_sessions_of_all_users_are_revoked(sqlite_url: str, backend: SQLBackend, command: Sequence[str]) -> None:
    tokens = {user: new_token() for user in ("ann", "bob")}
    for user, token in tokens.items():
        backend.login(new_session(user, token))
    ticket = backend.begin_login("cid")
    done = run(*command, "--backend", sqlite_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Revoked all sessions of all users")
    assert [backend.find(Credential(token.encode())) for token in tokens.values()] == [None, None]
    with pytest.raises(StaleLogin):
        backend.login(new_session("cid", new_token(), generation=ticket))
    assert backend.login(new_session("cid", new_token(), generation=backend.begin_login("cid"))).user_id == "cid"


def test_what_was_revoked_after_the_backup_is_revoked_after_the_restore(sqlite_url: str, backend: SQLBackend) -> None:
    phone, laptop = new_token(), new_token()
    backend.login(new_session("ann", phone))
    own = backend.login(new_session("ann", laptop))
    name = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(name)) as live, closing(sqlite3.connect(f"{name}.backup")) as backup:
        live.backup(backup)
        assert backend.revoke_others(own) == 1
        backend.close()
        backup.backup(live)
    assert backend.find(Credential(phone.encode())) is not None, "the restore has not brought it back: this shows nothing"
    assert run("restored", "--backend", sqlite_url).returncode == 0
    assert [backend.find(Credential(token.encode())) for token in (phone, laptop)] == [None, None]


@pytest.mark.parametrize("command", [RESTORED, EVERYBODY], ids=" ".join)
def test_it_waits_until_no_worker_trusts_a_session(sqlite_url: str, backend: SQLBackend, command: Sequence[str]) -> None:
    backend.set_lease(1.0)
    began = monotonic()
    assert run(*command, "--backend", sqlite_url).returncode == 0
    assert monotonic() - began >= 1.1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "TERM"])
@pytest.mark.parametrize("command", [RESTORED, EVERYBODY, ["revoke", "ann"]], ids=" ".join)
def test_one_that_is_stopped_while_it_waits_says_what_is_done(
    sqlite_url: str, backend: SQLBackend, command: Sequence[str], number: signal.Signals, code: int
) -> None:
    backend.set_lease(5.0)
    token = new_token()
    backend.login(new_session("ann", token))
    run_command = [sys.executable, "-m", "sessionward", *command, "--backend", sqlite_url]
    with subprocess.Popen(run_command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stopped:
        while backend.find(Credential(token.encode())) is not None:
            sleep(0.02)
        stopped.send_signal(number)
        printed, said = stopped.communicate(timeout=30)
    assert (stopped.returncode, printed) == (code, "")
    assert said.startswith("sessionward: stopped. The sessions may be revoked, and workers may accept them for some seconds: run the")
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["revoke"], "give USER, or --everybody for all users, and not both", id="nobody"),
        pytest.param(["revoke", "--everybody", "ann"], "give USER, or --everybody for all users, and not both", id="both"),
        pytest.param(["restored", "ann"], "restored does not know ann", id="a user who was restored"),
    ],
)
def test_a_wrong_call_revokes_nobody_and_says_why(sqlite_url: str, backend: SQLBackend, arguments: Sequence[str], said: str) -> None:
    own = backend.login(new_session("ann", new_token()))
    done = run(*arguments, "--backend", sqlite_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert [session.id for session in backend.list("ann")] == [own.id]


@pytest.mark.parametrize("command", [RESTORED, EVERYBODY], ids=" ".join)
def test_a_file_that_is_missing_is_told_and_not_created(sqlite_url: str, command: Sequence[str]) -> None:
    done = run(*command, "--backend", sqlite_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no file" in done.stderr


def test_what_was_done_is_said_also_if_the_server_cannot_be_accepted(
    sqlite_url: str, backend: SQLBackend, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def accept_server(_: SQLBackend) -> str:
        raise BackendUnavailable("no answer")

    token = new_token()
    backend.login(new_session("ann", token))
    monkeypatch.setattr(SQLBackend, "accept_server", accept_server)
    assert main(["restored", "--backend", sqlite_url]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("Revoked all sessions of all users")
    assert "all sessions are revoked, but the server was not accepted" in said.err
    assert backend.find(Credential(token.encode())) is None


def test_an_option_of_the_url_that_makes_no_sense_is_refused() -> None:
    done = run("restored", "--backend", "postgresql://h/d?on_rollback=bogus")
    assert (done.returncode, done.stdout) == (2, "")
    assert "on_rollback: must be 'refuse' or 'revoke' or 'ignore', not 'bogus'" in done.stderr
