"""The command: what it prints, and what it answers to wrong calls."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "sessionward"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_story_signs_two_devices_out() -> None:
    done = run("demo", "--once")
    before, after = done.stdout.split("Who is in now?")
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
        pytest.param(["demo", "--twice"], "--twice", id="an unknown option"),
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
        done = run("demo", "--once", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A demo that serves its page, and its port."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    port = 0
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
            port = int(found[1])
            break
    yield process, port
    if process.poll() is None:
        process.kill()
    process.communicate()


def ask(port: int, method: str, path: str, body: str = "", cookie: str = "") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, {"Cookie": cookie})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), (answer.headers["Set-Cookie"] or "").partition(";")[0]
    connection.close()
    return found


def test_the_page_signs_in_and_escapes_names(served: tuple[subprocess.Popen[str], int]) -> None:
    _, port = served
    status, _, cookie = ask(port, "POST", "/sign-in", "user=%3Cb%3Eeve")
    page = ask(port, "GET", "/", cookie=cookie)[1]
    assert status == 303
    assert "<strong>&lt;b&gt;eve</strong>" in page
    assert "<b>eve" not in page
    assert 'data-state="in"' in page
    assert 'data-state="out"' in ask(port, "GET", "/")[1].partition("<script>")[0].rpartition("<body")[2]
    assert ask(port, "GET", "/auth/session")[0] == 404


@pytest.mark.parametrize(("number", "code"), [pytest.param(signal.SIGINT, 0, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="TERM")])
def test_it_ends_tidily(served: tuple[subprocess.Popen[str], int], number: signal.Signals, code: int, tmp_path: Path) -> None:
    process, _ = served
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
