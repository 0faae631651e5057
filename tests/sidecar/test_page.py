"""What ``examples/deploy/README.md`` says of options, metrics and the log is what the code does; its snippets run."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import httpx2 as httpx
import pytest
from werkzeug.serving import make_server

from sessionward import cli
from sessionward.sidecar.config.options import OPTIONS, Option
from sessionward.sidecar.errors import SidecarProblem
from sessionward.sidecar.observe.access_log import AccessLog
from sessionward.sidecar.observe.admin import Admin
from sessionward.sidecar.observe.counts import BOUNDS, RESULTS, Counts
from sessionward.sidecar.observe.readiness import Readiness
from tests.sidecar.processes import sidecar

ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = (ROOT / "examples" / "deploy" / "README.md").read_text(encoding="utf-8")
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRACT: Final = (ROOT / "middleware" / "CONTRACT.md").read_text(encoding="utf-8")
TABLES: Final = re.findall(r"^```toml\n# ([\w-]+).*?\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def section(heading: str) -> str:
    found = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert found, heading
    return found


# --- options ----------------------------------------------------------------------------------------------------------

ROWS: Final = {
    name: (default, said)
    for name, default, said in re.findall(r"^\| `--([a-z-]+)` \| (.*?) \| (.*?) \|$", section("Options"), re.MULTILINE)
}


def flag(option: Option) -> str:
    return f"{option.name}-file" if option.is_secret else option.name


def test_the_tables_name_every_option_once() -> None:
    assert len(re.findall(r"^\| `--", section("Options"), re.MULTILINE)) == len(ROWS)
    assert set(ROWS) == {flag(option) for option in OPTIONS if not option.of_door}
    assert set(re.findall(r"`--([a-z-]+)`", section("Options").partition("The settings of the middleware")[2])) == {
        option.name for option in OPTIONS if option.of_door
    }


@pytest.mark.parametrize("option", [option for option in OPTIONS if not option.of_door], ids=flag)
def test_a_row_has_the_default_and_the_command_of_its_option(option: Option) -> None:
    default, said = ROWS[flag(option)]
    if isinstance(option.default, bool):
        assert default == ("on" if option.default else "off")
    elif isinstance(option.default, str):
        assert default == f"`{option.default}`"
    elif isinstance(option.default, (int, float)):
        assert float(default) == option.default
    assert said.startswith(f"`{option.only}`:" if option.only else tuple("abcdefghijklmnopqrstuvwxyzT`")), said
    assert option.only or not said.startswith(("`serve`:", "`authz`:"))


def test_no_other_option_is_named() -> None:
    known = {flag(option) for option in OPTIONS} | {"config", "for", "authz", "app", "cache"}  # the last five are of commands
    assert set(re.findall(r"--([a-z][a-z-]+)", PAGE)) <= known


# --- snippets ---------------------------------------------------------------------------------------------------------


def test_there_is_a_table_for_each_application_without_code() -> None:
    assert [name for name, _ in TABLES] == ["Trac", "Datasette", "LNbits", "express-session"]


@pytest.mark.parametrize("table", [pytest.param(text, id=name) for name, text in TABLES])
def test_a_table_is_accepted(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("secret", "key", "ds.secret"):
        Path(name).write_text("the secret of an application: 0123456789\n")
        Path(name).chmod(0o600)
    Path("options.toml").write_text(table)
    arguments = ["--config", "options.toml", "--upstream", "http://127.0.0.1:8000", "--backend", "sqlite:///companions.db"]
    assert cli.main(["check-config", *arguments, "--secret-file", "secret"]) == 0
    said = capsys.readouterr()
    assert said.out == "ok\n"
    assert [line.partition(":")[2][:17] for line in said.err.splitlines()] == [" limits in force:"]


COMMANDS: Final = re.findall(r"^(sessionward (?:serve|authz|snippet) [^#>\n]*[^#>\s])", f"{PAGE}\n{README}", re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_accepted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("secret", "flask.secret"):
        Path(name).write_text("the secret of an application: 0123456789\n")
        Path(name).chmod(0o600)
    _, verb, *arguments = command.split()
    if verb == "snippet":
        assert cli.main([verb, *arguments]) == 0
    else:
        assert cli.main(["check-config", "--for", verb, *arguments]) == 0
        assert capsys.readouterr().out == "ok\n"


def test_there_are_commands_on_both_pages() -> None:
    assert [command.split()[1] for command in COMMANDS] == ["serve", "serve", *("authz", "snippet") * 2, "serve"]


@pytest.fixture
def application() -> Iterator[str]:
    """The program of the page, on a port of its own."""
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    module: dict[str, Any] = {"__name__": "program"}
    exec(compile(program, "examples/deploy/README.md", "exec"), module)
    server = make_server("127.0.0.1", 0, module["app"], threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_program_signs_users_in_and_out_and_one_device_signs_out_the_other(application: str, tmp_path: Path) -> None:
    with (
        sidecar(tmp_path, application, "--login-path", "/login", "--insecure") as server,
        httpx.Client(base_url=server.url, follow_redirects=True) as laptop,
        httpx.Client(base_url=server.url, follow_redirects=True) as phone,
    ):
        assert laptop.get("/").text == "nobody"
        assert laptop.post("/login", data={"user": "ann", "password": "a guess"}).status_code == 401
        for device in (laptop, phone):
            assert device.post("/login", data={"user": "ann", "password": "correct horse battery"}).text == "ann"
        assert laptop.delete("/auth/sessions").json() == {"count": 1}
        assert [device.get("/").text for device in (laptop, phone)] == ["ann", "nobody"]
        assert laptop.post("/logout").text == "nobody"


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", SidecarProblem, ids=lambda problem: problem.id)
def test_the_contract_names_every_error_of_the_sidecar(problem: SidecarProblem) -> None:
    assert re.search(rf"^\| {int(problem.status)} \|.*`{problem.id}`", CONTRACT, re.MULTILINE)


@dataclass(frozen=True)
class Asked:
    """A request of the admin address."""

    method: bytes = b"GET"
    path: bytes = b"/metrics"


def test_every_metric_and_every_limit_is_named() -> None:
    admin = Admin(Readiness({}), Counts(), lambda: 0)
    shown = asyncio.run(admin.answer(Asked())).body.decode()
    metrics = section("Readiness and metrics")
    assert {name for name in re.findall(r"^# TYPE (\w+) ", shown, re.MULTILINE) if f"`{name}" not in metrics} == set()
    assert {result for result in RESULTS if f"`{result}`" not in metrics} == set()
    assert {bound for bound in BOUNDS if f"`{bound}`" not in section("Limits")} == set()


def test_every_field_of_the_access_log_is_named(tmp_path: Path) -> None:
    request: Any = SimpleNamespace(
        id="7", method=b"GET", path=b"/" + b"a" * 2000, peer="192.0.2.1", session="public", began=0.0, client=lambda: "192.0.2.1"
    )
    request.header = {b"traceparent": b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"}.get
    log = AccessLog(str(tmp_path / "log"))
    log.write(request, 200, 5, 0.1, "passed")
    log.refused("192.0.2.1", 400, SidecarProblem.BAD_REQUEST.id, None, "8")
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len(lines) == 2
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", section("Access log"), re.MULTILINE))))
    assert named == {name for line in lines for name in line}
