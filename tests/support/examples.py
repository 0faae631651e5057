"""The programs in ``examples/``, run as their docstrings say, and browsers that use them."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import httpx2 as httpx

from tests.support.servers import Server, served

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
COMPANION: Final = "session-ward"
"""Our cookie, where ``insecure`` is set."""


@dataclass(frozen=True, slots=True)
class Example:
    """A program. ``whoami``: the page that shows who is signed in. ``server``: one of those that the docstring starts."""

    name: str
    whoami: str = "/"
    server: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.server and '-'}{self.server}"

    @property
    def source(self) -> str:
        return (EXAMPLES / f"{self.name}.py").read_text(encoding="utf-8")

    @property
    def manual(self) -> str:
        return ast.get_docstring(ast.parse(self.source)) or ""

    @property
    def users(self) -> dict[str, str]:
        """The names and passwords that the docstring tells."""
        return dict(re.findall(r'``(\w+)`` \("([^"]+)"\)', self.manual))

    @property
    def commands(self) -> list[str]:
        """The indented lines of the docstring: install, make secrets, run."""
        return [line.strip() for line in self.manual.splitlines() if line.startswith("    ")]

    @property
    def secrets(self) -> list[str]:
        """The environment variables that hold secrets."""
        return re.findall(r"export (\w*SECRET\w*)=", self.manual)

    def script(self, port: int, *, without: Sequence[str] = ()) -> list[str]:
        """What the docstring tells to type after the installation, with another port. ``without``: lines with these are left out."""
        _, *lines = self.commands
        (run,) = [line for line in lines if "8000" in line and line.startswith(self.server)]
        assert run.count("8000") == 1
        before = [line for line in lines if "8000" not in line and not any(word in line for word in without)]
        return ["bash", "-ec", "\n".join([*before, f"exec {run.replace('8000', str(port))}"])]


@dataclass(frozen=True, slots=True)
class Running:
    """An example that is being served. ``folder``: where it keeps its files."""

    example: Example
    server: Server
    folder: Path

    def browser(self) -> Browser:
        return (AdminBrowser if self.example.name == "django_admin" else Browser)(self)


def surroundings(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a newcomer whose programs are those of this Python. Nothing is written outside of ``folder``."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(EXAMPLES), "HOME": str(folder), "SESSIONWARD_INSECURE": "", **more}


@contextmanager
def run(example: Example, folder: Path, *, without: Sequence[str] = (), **more: str) -> Iterator[Running]:
    """Type what the docstring says, in ``folder``."""

    def command(port: int) -> list[str]:
        return example.script(port, without=without)

    with served(command, log=folder / "log", cwd=folder, env=surroundings(folder, **more)) as server:
        yield Running(example, server, folder)


class Browser:
    """A client with a cookie jar, which returns ``Secure`` cookies over https only and tells its origin as browsers do."""

    def __init__(self, running: Running) -> None:
        self.example, origin = running.example, running.server.url
        headers = {"origin": origin, "sec-fetch-site": "same-origin"}
        # one connection for each request: a server with one thread never waits for the idle ones
        self._client = httpx.Client(base_url=origin, headers=headers, timeout=20, limits=httpx.Limits(max_keepalive_connections=0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._client.get(path, headers=headers)

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self._client.post(path, data=fields)

    def delete(self) -> httpx.Response:
        return self._client.delete("/auth/sessions")

    def sign_in(self, name: str = "ann", password: str | None = None, **more: str) -> httpx.Response:
        """By default with the password that the docstring tells."""
        return self.post("/login", name=name, password=password or self.example.users[name], **more)

    def sign_in_alone(self, name: str = "ann") -> None:
        """Sign in, and revoke the sessions that other tests have left."""
        assert self.sign_in(name).status_code in (302, 303)
        assert self.delete().status_code == 200

    def sign_out(self) -> httpx.Response:
        return self.post("/logout")

    def is_signed_in(self) -> bool:
        return "You are " in self.get(self.example.whoami).text

    def takes(self, cookies: dict[str, str]) -> Self:
        """Has these cookies from now on, and no others."""
        self._client.cookies.clear()
        self._client.cookies.update(cookies)
        return self

    def cookies(self, *, but: str = "") -> dict[str, str]:
        """What the jar holds, but for one cookie."""
        return {name: value for name, value in self._client.cookies.items() if name != but}


class AdminBrowser(Browser):
    """Fills in the forms of Django's admin, with the token that each of them has."""

    def post(self, path: str, **fields: str) -> httpx.Response:
        page = self.get("/admin/" if path == "/admin/logout/" else path).text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        return super().post(path, **fields, csrfmiddlewaretoken=token[1] if token else "")

    def sign_in(self, name: str = "ann", password: str | None = None, **more: str) -> httpx.Response:
        return self.post("/admin/login/", username=name, password=password or self.example.users[name], next="/admin/")

    def sign_out(self) -> httpx.Response:
        return self.post("/admin/logout/")

    def is_signed_in(self) -> bool:
        answer = self.get(self.example.whoami)
        assert answer.status_code in (200, 302)
        return answer.status_code == 200
