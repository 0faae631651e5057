"""What the README says, held against the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import sessionward
from sessionward.response.answer import Problem
from sessionward.settings import Options
from sessionward.sidecar.options import OPTIONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SECRET = "k3J9-sPq0vXyZ7LmN2bVcR5tG8hW1dFa-test"


def test_the_smallest_program_signs_out_other_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSIONWARD_SECRET", SECRET)
    program = re.search(r"```python\n(import os\n.*?)```", README, re.DOTALL)
    assert program is not None
    names: dict[str, Any] = {}
    exec(compile(program[1], "README.md", "exec"), names)
    app, url = names["app"], "https://app.example"
    with TestClient(app, base_url=url) as laptop, TestClient(app, base_url=url) as phone:
        laptop.post("/login")
        phone.post("/login")
        assert phone.get("/me").json() == "the user's id"
        assert laptop.delete("/auth/sessions").json() == {"count": 1}
        assert phone.get("/me").json() is None
        assert laptop.get("/me").json() == "the user's id"


def test_every_setting_is_in_the_table() -> None:
    table = README.partition("## Settings")[2].partition("\n## ")[0]
    assert {name for name in Options.__annotations__ if f"`{name}`" not in table} == set()


def test_every_verb_is_in_the_table() -> None:
    methods = {name: value for name, value in vars(sessionward.Sessions).items() if callable(value) and not name.startswith("_")}
    assert {verb for verb in methods if f"`sessions.{verb}(" not in README} == set()


def test_every_error_is_in_the_table() -> None:
    for problem in Problem:
        assert re.search(rf"\| {int(problem.status)} \|.*`{problem.id}`", README), problem


def test_every_extra_that_it_names_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name for name in re.findall(r"`\[([a-z-]+)\]`|sessionward\[([a-z-]+)\]", README) for name in name if name} <= set(extras)


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []


def test_every_example_is_named() -> None:
    assert [path.name for path in (ROOT / "examples").glob("*.py") if f"examples/{path.name}" not in README] == []


def test_its_commands_are_one_line_each() -> None:
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert [command.count("\n") for command in commands] == [1, 1]
    assert "sessionward demo" in commands[0]
    assert "python -m pytest" in commands[1]


def test_every_option_of_the_sidecar_is_named() -> None:
    section = README.partition("## In front of any application")[2].partition("\n## ")[0]
    names = {f"--{option.name}{'-file' if option.is_secret else ''}" for option in OPTIONS if not option.of_door}
    assert {name for name in names if f"`{name}" not in section} == {"--create-tables"}
