"""The command: what it prints, and what it answers to wrong calls."""

from __future__ import annotations

import http.client
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from html import unescape
from importlib.resources import files
from pathlib import Path

import pytest

from sessionward.cli.demo.device import device_of
from tests.support.demo import COMMAND, running_demo


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
    assert re.findall(r'(?:href|src)="([^#"]+)"', page) == ["/icon.svg", "/style.css", "/script.js", "/icon.svg"]
    assert [one.ask("GET", path)[0] for path in ("/icon.svg", "/style.css", "/script.js")] == [200, 200, 200]


@pytest.mark.parametrize(
    ("user_agent", "name", "picture"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36", "Chrome on Linux", "computer"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Windows", "computer"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows", "computer"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on macOS", "computer"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1", "Safari on iPhone", "phone"),
        ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android", "phone"),
        ("Mozilla/5.0 (compatible)", "a browser", "computer"),
        ("Laptop in the terminal", "Laptop in the terminal", "computer"),
        ("curl/8.5.0" + "x" * 99, "curl/8.5.0" + "x" * 30, "computer"),
        ("", "a device", "computer"),
    ],
)
def test_a_device_has_the_name_that_a_person_gives_it(user_agent: str, name: str, picture: str) -> None:
    device = device_of("ann", user_agent)
    assert (device.name, device.picture) == (name, picture)
