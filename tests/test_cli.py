"""The command: what it prints, and what it answers to wrong calls."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from html import unescape
from importlib.resources import files
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
import redis

from sessionward.backends import Credential, Device
from sessionward.backends.redis import RedisBackend
from sessionward.backends.sql import SQLBackend
from sessionward.cli.demo.device import device_of
from sessionward.credential.token import new_token
from tests.support.demo import COMMAND, running_demo
from tests.support.sessions import new_session


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_story_signs_two_devices_out() -> None:
    done = run("demo", "--once")
    before, after = done.stdout.split("Who is signed in now?")
    assert done.returncode == 0
    assert done.stderr == ""
    assert before.count("signed in as ada") == 3
    assert '200 {"count": 2}' in before
    assert re.findall(r"(\w+) +(signed \w+)", after) == [("laptop", "signed in"), ("phone", "signed out"), ("tablet", "signed out")]


def test_the_story_has_no_colours_where_there_is_no_terminal() -> None:
    assert "\x1b" not in run("demo", "--once").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "COMMAND", id="nothing"),
        pytest.param(["dmo"], "invalid choice: 'dmo'", id="a typing error"),
        pytest.param(["demo", "--port", "http"], "'http' is not a port", id="no port"),
        pytest.param(["demo", "--port", "70000"], "'70000' is not a port", id="a port that is too high"),
        pytest.param(["lease", "1"], "the following arguments are required: --backend", id="a lease of nothing"),
        pytest.param(["lease", "--backend", "sqlite:///s.db", "6"], "'6' is not a number of seconds from 0 to 5", id="a long lease"),
        pytest.param(["lease", "--backend", "sqlite:///s.db", "nan"], "'nan' is not a number of seconds", id="a lease that is no number"),
        pytest.param(["lease", "--backend", "oracle://h/d"], "sessionward: database: oracle:// is not supported", id="no such database"),
        pytest.param(
            ["lease", "--backend", "postgresql://u:hid@den@h/d"], "sessionward: database: the URL has two @", id="a password with an @"
        ),
        pytest.param(["sessions", "ann"], "the following arguments are required: --backend", id="sessions of no database"),
        pytest.param(["sessions", "--backend", "sqlite:///s.db"], "the following arguments are required: USER", id="sessions of nobody"),
        pytest.param(["revoke", "--backend", "sqlite:///s.db", "ann", "7"], "'7' is not the id of a session", id="no id of a session"),
        pytest.param(["sessions", "--backend", "sqlite:///s.db", ""], "a user id must be 1 to 255 bytes", id="no user id"),
        pytest.param(
            ["revoke", "--backend", "oracle://h/d", "ann"], "sessionward: database: oracle:// is not supported", id="no database of ours"
        ),
        pytest.param(["demo", "--twice"], "demo does not know --twice; see sessionward demo --help", id="an unknown option"),
    ],
)
def test_a_wrong_call_is_told_and_answers_2(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_is_told_and_answers_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("demo", "--once", "--port", str(port))
    assert done.returncode == 1
    why = f"127.0.0.1:{port}: address already in use; give another --port, or none to get a free one"
    assert done.stderr == f"sessionward: cannot serve the demo: {why}\n"


def test_a_database_that_cannot_be_written_is_told_and_answers_1() -> None:
    def no_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))  # enough for Python to find a temporary folder

    # The coverage of this process is not measured: it could not write its file either.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [*COMMAND, "demo", "--once"], env=unmeasured, capture_output=True, text=True, timeout=60, check=False, preexec_fn=no_files
    )
    assert done.returncode == 1
    assert done.stderr.startswith("sessionward: cannot serve the demo: ")
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    process = subprocess.Popen([*COMMAND, "demo", "--once"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 128 + signal.SIGPIPE


def test_the_story_prints_ascii_so_that_every_terminal_can_show_it() -> None:
    assert run("demo", "--once").stdout.isascii()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A demo that serves its page, and its port."""
    with running_demo(tmp_path) as demo:
        yield demo


@pytest.mark.parametrize(("number", "code"), [pytest.param(signal.SIGINT, 0, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="TERM")])
def test_it_ends_tidily(served: tuple[subprocess.Popen[str], int], number: signal.Signals, code: int, tmp_path: Path) -> None:
    process, _ = served
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


# --- the page, as a browser without JavaScript sees it ----------------------------------------------------------------


class Browser:
    """Keeps its cookies and follows no redirect."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: str = "", **fields: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request(method, path, body, {"Cookie": cookies, **{name.replace("_", "-"): value for name, value in fields.items()}})
        answer = connection.getresponse()
        for field in answer.headers.get_all("Set-Cookie", []):
            name, _, value = field.partition(";")[0].partition("=")
            self.cookies[name] = value
        text = answer.read().decode()
        self.policy = answer.headers.get("Content-Security-Policy", "")
        connection.close()
        return answer.status, text

    def sign_in(self, name: str = "eve") -> None:
        assert self.ask("POST", "/sign-in", f"user={name}") == (303, "")

    def sees(self, method: str = "GET", path: str = "/") -> str:
        """The text of the card, on one line."""
        status, text = self.ask(method, path)
        assert status == 200
        card = text.partition('<section id="card"')[2].partition(">")[2].partition("</section>")[0]
        return unescape(" ".join(re.sub("<[^>]*>", " ", card).split()))


OUT = "This browser has been signed out."


@pytest.fixture
def two(served: tuple[subprocess.Popen[str], int]) -> tuple[Browser, Browser]:
    """Two browsers that are signed in under one name."""
    one, another = Browser(served[1]), Browser(served[1])
    one.sign_in()
    another.sign_in()
    return one, another


def test_a_form_does_what_the_button_does_where_there_is_no_javascript(two: tuple[Browser, Browser]) -> None:
    one, another = two
    assert one.sees("POST", "/sign-out-others").endswith("1 other device was signed out.")
    assert one.sees("POST", "/sign-out-others").endswith("No other device was signed in.")
    assert OUT in another.sees()
    assert another.ask("POST", "/sign-out-others") == (303, "")
    another.sign_in()
    assert OUT not in another.sees()


def test_a_single_sign_out_on_the_page_claims_no_button_that_nobody_pressed(two: tuple[Browser, Browser]) -> None:
    one, another = two
    (other,) = json.loads(one.ask("GET", "/auth/sessions")[1])
    assert one.ask("DELETE", f"/auth/sessions/{other['id']}") == (204, "")
    said = another.sees()
    assert OUT in said
    assert "pressed" not in said


def test_the_page_your_devices_knows_no_password_and_leads_back_to_the_sign_in(two: tuple[Browser, Browser]) -> None:
    one, another = two
    assert "Signed in with</dt><dd>name</dd>" in one.ask("GET", "/auth/sessions", Accept="text/html")[1]
    another.ask("POST", "/sign-out")
    status, refusal = another.ask("GET", "/auth/sessions", Accept="text/html")
    assert status == 401
    assert '<a class="button danger" href="/">Sign in</a>' in refusal


def test_a_browser_that_signs_itself_out_is_not_told_that_another_device_did_it(two: tuple[Browser, Browser]) -> None:
    one, another = two
    another.ask("POST", "/sign-out")
    assert OUT not in another.sees()
    assert one.sees("POST", "/sign-out-others").endswith("No other device was signed in.")


def test_a_browser_that_was_signed_in_to_another_demo_is_not_told_that_it_was_signed_out(two: tuple[Browser, Browser]) -> None:
    one, _ = two
    one.cookies = {"session-ward": "of-yesterday", "demo_session": "0" * 32}
    assert OUT not in one.sees()


def test_the_page_escapes_names_and_browsers(served: tuple[subprocess.Popen[str], int]) -> None:
    one, another = Browser(served[1]), Browser(served[1])
    for browser in (one, another):
        browser.ask("POST", "/sign-in", "user=%3Cb%3E%22eve", User_Agent='<i>"spy')
    pages = [one.ask("GET", "/")[1], one.ask("POST", "/sign-out-others")[1], another.ask("GET", "/")[1]]
    assert OUT in pages[2]
    assert "&lt;i&gt;&quot;spy" in pages[0]
    for page in pages:
        assert "&lt;b&gt;&quot;eve" in page
        assert not re.search('<b>|<i>|"eve|"spy', page)


def test_the_longest_name_of_the_widest_characters_can_sign_in(served: tuple[subprocess.Popen[str], int]) -> None:
    browser = Browser(served[1])
    browser.sign_in("%F0%9F%99%82" * 60)
    assert f"Signed in as {chr(0x1F642) * 40} " in browser.sees()


def test_a_form_of_another_site_is_refused(two: tuple[Browser, Browser]) -> None:
    one, another = two
    for site in ("same-site", "cross-site"):
        assert one.ask("POST", "/sign-out-others", Sec_Fetch_Site=site)[0] == 403
    assert "Signed in as eve" in another.sees()
    assert one.ask("POST", "/sign-out-others", Sec_Fetch_Site="same-origin")[0] == 200


def test_what_is_not_there_is_told(served: tuple[subprocess.Popen[str], int]) -> None:
    browser = Browser(served[1])
    assert browser.ask("GET", "/auth/session") == (404, "There is nothing here. The page is at /\n")
    assert browser.ask("GET", "/sign-out-others") == (303, "")  # the address that stands in the browser after the form


def test_the_page_needs_no_other_host_and_nothing_inline(two: tuple[Browser, Browser]) -> None:
    one, _ = two
    page = one.ask("GET", "/")[1]
    assert one.policy.startswith("default-src 'none'; ")
    assert "unsafe" not in one.policy
    assert not re.search(r"<style|<script>|\son\w+=|style=", page)
    for asset in (files("sessionward.cli.demo") / "assets").iterdir():
        assert re.findall(r"//[\w.]+\.\w+/?", asset.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")) == [], asset.name
    assert re.findall(r'(?:href|src)="([^#"]+)"', page) == ["/icon.svg", "/style.css", "/script.js", "/icon.svg", "/auth/sessions"]
    assert [one.ask("GET", path)[0] for path in ("/icon.svg", "/style.css", "/script.js")] == [200, 200, 200]


@pytest.mark.parametrize(
    ("user_agent", "name", "picture"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36", "Chrome on Linux", "computer"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Windows", "computer"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows", "computer"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on Mac", "computer"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1", "Safari on iPhone", "phone"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android", "phone"),
        ("Mozilla/5.0 (compatible)", "a browser", "computer"),
        ("Laptop in the terminal", "Laptop in the terminal", "computer"),
        ("curl/8.5.0" + "x" * 99, "curl", "computer"),
        ("", "a device", "computer"),
    ],
)
def test_a_device_has_the_name_that_a_person_gives_it(user_agent: str, name: str, picture: str) -> None:
    device = device_of("ann", user_agent)
    assert (device.name, device.picture) == (name, picture)


def test_a_lease_is_shown_and_set_and_the_former_one_is_told(sqlite_url: str) -> None:
    backend = SQLBackend(sqlite_url)
    backend.create_tables()
    shown = run("lease", "--backend", sqlite_url)
    assert (shown.returncode, shown.stdout) == (0, "The lease is 0: workers ask the database about every request.\n")
    raised = run("lease", "--backend", sqlite_url, "2")
    assert raised.stdout == "The lease is 2 s: workers trust an answer for so long.\nRevocations wait for it before they answer.\n"
    lowered = run("lease", "--backend", sqlite_url, "0.5")
    first, second = lowered.stdout.splitlines()
    assert first == "The lease is 0.5 s: workers trust an answer for so long."
    told = re.fullmatch(r"Revocations wait for the former lease of 2 s until (.*) UTC\.", second)
    assert told is not None
    until = datetime.strptime(told[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert timedelta(minutes=58) < until - datetime.now(UTC) <= timedelta(hours=1)
    assert (raised.stderr, lowered.stderr, lowered.returncode) == ("", "", 0)
    assert run("lease", "--backend", sqlite_url).stdout == lowered.stdout
    assert backend.lease_wait() == 2.0
    backend.close()


def test_a_lease_of_a_database_without_tables_says_what_to_do_and_answers_2(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "sessions.db").touch()
    done = run("lease", "--backend", sqlite_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sessionward: the tables of sessionward are missing: call backend.create_tables()")


def test_a_lease_of_a_database_that_does_not_answer_is_told_without_its_password_and_answers_1() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        done = run("lease", "--backend", f"postgresql://ann:hunter2@127.0.0.1:{bound.getsockname()[1]}/none", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sessionward: no connection to PostgreSQL")
    assert "hunter2" not in done.stderr


# --- the sessions of a user -------------------------------------------------------------------------------------------


@pytest.fixture
def backend(sqlite_url: str) -> Iterator[SQLBackend]:
    made = SQLBackend(sqlite_url)
    made.create_tables()
    yield made
    made.close()


def test_sessions_are_listed_with_what_is_known_of_them_and_no_token(sqlite_url: str, backend: SQLBackend) -> None:
    token = new_token()
    phone = backend.login(new_session("ann", token, device=Device(ip_address="192.0.2.7", user_agent="Phone/1")))
    support = backend.login(new_session("ann", new_token(), kind="impersonation", actor="root"))
    backend.login(new_session("bob", new_token()))
    done = run("sessions", "--backend", sqlite_url, "ann")
    heading, *lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert re.split(r"  +", heading) == ["id", "kind", "signed in", "last seen", "ends", "address", "browser"]
    assert phone.issued_at is not None
    at = phone.issued_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    shown = {cells[0]: cells[1:] for cells in (re.split(r"  +", line) for line in lines)}
    assert shown.keys() == {str(phone.id), str(support.id)}
    assert [*shown[str(phone.id)][:3], *shown[str(phone.id)][4:]] == ["sign-in", at, at, "192.0.2.7", "Phone/1"]
    assert [shown[str(support.id)][0], *shown[str(support.id)][4:]] == ["impersonation by root", "-", "-"]
    secrets = (token, Credential(token.encode()).digest.hex())
    assert not any(secret in done.stdout for secret in secrets)


@pytest.mark.parametrize("number", [1, 1500], ids=["a line", "more than a pipe holds"])
def test_a_reader_of_the_list_that_leaves_is_no_error(sqlite_url: str, backend: SQLBackend, number: int) -> None:
    for _ in range(number):
        backend.login(new_session("ann", new_token()))
    command = [*COMMAND, "sessions", "--backend", sqlite_url, "ann"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as done:
        assert done.stdout is not None
        done.stdout.close()
        _, said = done.communicate(timeout=60)
    assert (done.returncode, said) == (141, b"")


@pytest.mark.parametrize("command", [["snippet", "nginx"], ["print-config"]], ids=" ".join)
def test_a_reader_of_what_a_sidecar_prints_that_leaves_is_no_error(command: list[str], tmp_path: Path) -> None:
    options = [] if command[0] == "snippet" else ["--for", "authz", "--backend", "memory", "--trusted-proxy", "127.0.0.1"]
    with subprocess.Popen([*COMMAND, *command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as done:
        assert done.stdout is not None
        done.stdout.close()
        _, said = done.communicate(timeout=60)
    assert (done.returncode, b"Traceback" in said) == (141, False)


def test_a_command_whose_output_a_shell_has_closed_is_no_error(sqlite_url: str, backend: SQLBackend) -> None:
    backend.login(new_session("ann", new_token()))
    script = f"'{sys.executable}' -m sessionward revoke --backend '{sqlite_url}' ann >&-"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(backend.list("ann")) == 0


def test_a_user_without_sessions_has_none(sqlite_url: str, backend: SQLBackend) -> None:
    backend.login(new_session("bob", new_token()))
    done = run("sessions", "--backend", sqlite_url, "ann")
    assert (done.returncode, done.stdout) == (0, "ann has no live session.\n")


def test_what_a_client_has_written_cannot_move_the_cursor_of_the_administrator(sqlite_url: str, backend: SQLBackend) -> None:
    backend.login(new_session("ann", new_token(), device=Device(user_agent="\x1b[2J\u202eevil\x9b")))
    done = run("sessions", "--backend", sqlite_url, "ann")
    assert done.stdout.splitlines()[1].endswith("  ?[2J?evil?")


@pytest.mark.parametrize(
    ("more", "said"), [pytest.param(1, "Revoked 1 session.\n", id="one"), pytest.param(3, "Revoked 3 sessions.\n", id="several")]
)
def test_all_sessions_of_a_user_are_revoked(sqlite_url: str, backend: SQLBackend, more: int, said: str) -> None:
    for _ in range(more - 1):
        backend.login(new_session("ann", new_token()))
    backend.login(new_session("ann", new_token(), kind="impersonation", actor="root"))
    bob = backend.login(new_session("bob", new_token()))
    done = run("revoke", "--backend", sqlite_url, "ann")
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert (list(backend.list("ann")), [session.id for session in backend.list("bob")]) == ([], [bob.id])
    assert run("revoke", "--backend", sqlite_url, "ann").stdout == "Revoked 0 sessions.\n"


def test_one_session_is_revoked_and_an_id_of_another_user_is_told(sqlite_url: str, backend: SQLBackend) -> None:
    phone, laptop = (backend.login(new_session("ann", new_token())) for _ in range(2))
    foreign = run("revoke", "--backend", sqlite_url, "bob", str(phone.id))
    assert (foreign.returncode, foreign.stdout) == (1, "")
    assert foreign.stderr == "sessionward: no live session of this user has this id\n"
    assert run("revoke", "--backend", sqlite_url, "ann", str(phone.id)).stdout == "Revoked 1 session.\n"
    assert [session.id for session in backend.list("ann")] == [laptop.id]


def test_the_row_of_a_session_that_an_administrator_revokes_does_not_say_that_it_signed_out(sqlite_url: str, backend: SQLBackend) -> None:
    phone = backend.login(new_session("ann", new_token()))
    run("revoke", "--backend", sqlite_url, "ann", str(phone.id))
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database:
        assert database.execute("SELECT reason, ended_by FROM sessionward_sessions").fetchall() == [("one", None)]


def test_a_database_without_tables_says_what_to_do(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "sessions.db").touch()
    done = run("sessions", "--backend", sqlite_url, "ann")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sessionward: the tables of sessionward are missing: call backend.create_tables()")


@pytest.mark.parametrize("command", [["sessions", "ann"], ["revoke", "ann"], ["lease"], ["lease", "1"]], ids=" ".join)
@pytest.mark.parametrize("form", ["sqlite:///{}", "sqlite:///file:{}?uri=true"])
def test_a_file_that_is_missing_is_told_and_not_created(command: list[str], form: str, tmp_path: Path) -> None:
    path = tmp_path / "typo.db"
    done = run(command[0], "--backend", form.format(path), *command[1:])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sessionward: --backend: there is no file '{path}'\n"
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("backend", ["memory", "django", "app.sessions:backend"])
def test_a_backend_that_is_no_database_of_ours_is_told(backend: str) -> None:
    done = run("sessions", "--backend", backend, "ann")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sessionward: --backend: this command is for SQL databases and Redis only")


def test_revoke_waits_until_no_worker_trusts_the_sessions(sqlite_url: str, backend: SQLBackend) -> None:
    backend.set_lease(2.0)
    backend.login(new_session("ann", new_token()))
    began = monotonic()
    assert run("revoke", "--backend", sqlite_url, "ann").returncode == 0
    assert monotonic() - began >= 2.2


# --- Redis


@pytest.fixture
def redis_backend(redis_url: str) -> Iterator[tuple[str, RedisBackend]]:
    """A URL with a prefix of its own, and a backend over the same keys."""
    prefix = f"cli-{uuid4().hex[:12]}"
    backend = RedisBackend(redis_url, prefix=prefix)
    yield f"{redis_url}?prefix={prefix}", backend
    backend.close()
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"{prefix}:s", *client.scan_iter(f"{prefix}:*", count=1_000))


def without_warnings(done: subprocess.CompletedProcess[str]) -> str:
    """What a command has said of failures. The server of the tests keeps nothing on its disk, which is told too."""
    return "".join(line for line in done.stderr.splitlines(keepends=True) if not line.startswith("Redis at "))


def test_the_commands_work_on_redis(redis_backend: tuple[str, RedisBackend]) -> None:
    url, backend = redis_backend
    phone, laptop = (backend.login(new_session("ann", new_token())) for _ in range(2))
    backend.login(new_session("bob", new_token()))
    listed = run("sessions", "--backend", url, "ann")
    assert (listed.returncode, without_warnings(listed)) == (0, "")
    assert {line.split()[0] for line in listed.stdout.splitlines()[1:]} == {str(phone.id), str(laptop.id)}
    assert run("revoke", "--backend", url, "ann", str(phone.id)).stdout == "Revoked 1 session.\n"
    assert [session.id for session in backend.list("ann")] == [laptop.id]
    assert run("revoke", "--backend", url, "ann").stdout == "Revoked 1 session.\n"
    assert (list(backend.list("ann")), len(backend.list("bob"))) == ([], 1)
    assert run("lease", "--backend", url, "2").stdout.startswith("The lease is 2 s")
    assert backend.lease_wait() == 2.0
    assert run("revoke", "--backend", url, "--everybody").returncode == 0
    assert list(backend.list("bob")) == []


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("redis://h/main", 2, "--backend: the URL of Redis is wrong: its database is no number"),
        ("redis://h/0?wait=one", 2, "--backend: wait in the URL must be replicas and milliseconds, for example 1,500"),
        ("redis://h/0?wait=0,500", 2, "--backend: wait: must be (replicas, milliseconds)"),
        ("redis://h/0?strict=1", 2, "--backend: strict in the URL must be yes or no"),
        ("redis://h/0?keep_revoked=long", 2, "--backend: keep_revoked in the URL must be a number of seconds"),
        ("redis+sentinel://h1,h2", 2, "--backend: the URL of Redis is wrong: the name of the primary must follow the Sentinels"),
        ("redis://ann:hunter2@127.0.0.1:{port}", 1, "no connection to Redis at 127.0.0.1:{port}"),
    ],
)
def test_a_redis_that_cannot_be_asked_is_told_without_its_password(url: str, code: int, said: str) -> None:
    with socket.socket() as bound:  # and listens on nothing
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        done = run("sessions", "--backend", url.format(port=port), "ann")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"sessionward: {said.format(port=port)}")
    assert "hunter2" not in done.stderr
