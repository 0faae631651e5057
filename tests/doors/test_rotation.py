"""New secrets while workers run: two workers of one application, each for a while at a phase of its own."""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from sessionward.backends import Credential, NewSession
from sessionward.backends.memory import MemoryBackend
from sessionward.backends.sql import SQLBackend
from sessionward.credential.token import Signature, new_token
from tests.doors import servers
from tests.doors.sides import COOKIE, SECRET, Builder, Here, Reply, town
from tests.sidecar import processes

Secrets: TypeAlias = Sequence[str]

OLD, NEW = SECRET, "a new secret for the tests of rotation, 0123456789"
BEFORE: Final[Secrets] = (OLD,)
FIRST: Final[Secrets] = (OLD, NEW)
SECOND: Final[Secrets] = (NEW, OLD)
LAST: Final[Secrets] = (NEW,)
PHASES: Final = (BEFORE, FIRST, SECOND, LAST)

PROBE: Final = "probe"


class Worker(ABC):
    """One of two processes that serve the same browsers. ``probe``: the token of a session that is live all the while."""

    def __init__(self, probe: bytes) -> None:
        self._probe = probe

    @abstractmethod
    def give(self, secrets: Secrets) -> None:
        """Give it these secrets as a deploy does, and wait until it serves with them."""

    @abstractmethod
    def sign_in(self, user: str) -> str:
        """A new browser signs in here; the value of its cookie."""

    @abstractmethod
    def user(self, cookie: str) -> str:
        """Who is asking with this cookie, as the application sees it."""

    def accepts(self) -> set[str]:
        """The secrets whose cookies it accepts."""
        return {secret for secret in (OLD, NEW) if self.user(signed(self._probe, secret)) == PROBE}


def signed(token: bytes, secret: str) -> str:
    return Signature([secret.encode()], "cookie").sign(token).decode()


def is_signed_by(secret: str, cookie: str) -> bool:
    value = cookie.encode()
    return Signature([secret.encode()], "cookie").verifies(value.partition(b".")[0], value)


class Application(Worker):
    """An application under a server. New secrets are a new process."""

    def __init__(self, probe: bytes, kind: str, database: str, stack: ExitStack) -> None:
        super().__init__(probe)
        self._kind, self._database = kind, database
        self._running = stack.enter_context(ExitStack())
        self._target = f"tests.doors.served:{'asgi' if kind in servers.ASGI_SERVERS else 'wsgi'}"

    def give(self, secrets: Secrets) -> None:
        self._running.close()
        settings = {"SESSIONWARD_TEST_DATABASE": self._database, "SESSIONWARD_TEST_SECRETS": "\n".join(secrets)}
        self._server = self._running.enter_context(servers.running(self._kind, self._target, **settings))

    def sign_in(self, user: str) -> str:
        client = servers.Client(self._server)
        client.sign_in(user)
        return client.cookie.removeprefix(f"{COOKIE}=")

    def user(self, cookie: str) -> str:
        return servers.Client(self._server, f"{COOKIE}={cookie}").me()


class Sidecar(Worker):
    """``sessionward serve``. New secrets are a new file, and SIGHUP."""

    def __init__(self, probe: bytes, database: str, folder: Path, upstream: str, stack: ExitStack) -> None:
        super().__init__(probe)
        folder.mkdir()
        self._file = folder / "secret"
        self._server = stack.enter_context(processes.sidecar(folder, upstream, backend=database))

    def give(self, secrets: Secrets) -> None:
        self._file.write_text("\n".join(secrets))
        self._server.process.send_signal(signal.SIGHUP)
        processes.until(lambda: self.accepts() == set(secrets) and is_signed_by(secrets[0], self.sign_in("anyone")))

    def sign_in(self, user: str) -> str:
        with processes.Client(self._server.port) as client:
            assert client.ask(f"/in/{user}")[0] == 200
            return client.cookies[COOKIE]

    def user(self, cookie: str) -> str:
        with processes.Client(self._server.port) as client:
            client.cookies[COOKIE] = cookie
            return client.ask("/")[1].decode()


FLEETS: Final = ("uvicorn httptools", "gunicorn sync", "sessionward serve")


@pytest.fixture(params=FLEETS)
def workers(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> Iterator[Sequence[Worker]]:
    """Two workers over one database, with the secret of old."""
    probe = new_token().encode()
    backend = SQLBackend(sqlite_url)
    backend.create_tables()
    backend.login(NewSession(user_id=PROBE, digest=Credential(probe).digest, lifetime=3_600.0, age=lambda: -1.0))
    backend.close()
    with ExitStack() as stack:
        if request.param == "sessionward serve":
            upstream = stack.enter_context(processes.shop()).url
            made: Sequence[Worker] = [Sidecar(probe, sqlite_url, tmp_path / name, upstream, stack) for name in ("one", "two")]
        else:
            made = [Application(probe, request.param, sqlite_url, stack) for _ in range(2)]
        for worker in made:
            worker.give(BEFORE)
        yield made


def who(workers: Sequence[Worker], cookies: Sequence[str]) -> list[list[str]]:
    """Who asks with each of the cookies, by worker."""
    return [[worker.user(cookie) for cookie in cookies] for worker in workers]


def test_three_phases_give_each_worker_a_new_secret_and_sign_no_browser_out(workers: Sequence[Worker]) -> None:
    """Before the last one, a lifetime passes: then no cookie is left that the old secret signed."""
    browsers = {worker.sign_in(user): user for worker, user in zip(workers, ("ann", "bob"), strict=True)}
    for number, secrets in enumerate(PHASES):
        if secrets == LAST:
            of_old = [cookie for cookie in browsers if is_signed_by(OLD, cookie)]
            assert 0 < len(of_old) < len(browsers)
            browsers = {cookie: user for cookie, user in browsers.items() if cookie not in of_old}
        for place, worker in enumerate(workers):  # one after the other, and both serve all the while
            worker.give(secrets)
            assert worker.accepts() == set(secrets)
            for other in workers:
                user = f"user-{number}-{place}-{len(browsers)}"
                browsers[other.sign_in(user)] = user
            assert who(workers, list(browsers)) == [list(browsers.values())] * 2
    assert all(is_signed_by(NEW, cookie) for cookie in browsers)
    assert who(workers, of_old) == [["nobody"] * len(of_old)] * 2, "so the wait is needed"


def test_a_new_secret_that_signs_before_every_worker_verifies_it_signs_browsers_out(workers: Sequence[Worker]) -> None:
    """The way in one step, which the test above must be able to see."""
    upgraded, other = workers
    upgraded.give(SECOND)
    cookie = upgraded.sign_in("ann")
    assert [upgraded.user(cookie), other.user(cookie)] == ["ann", "nobody"]


async def over_two_requests(here: Here) -> Reply:
    """``/begin/ann`` answers with a ticket, ``/in/ann`` signs in with the one in a header; else as in the town."""
    verb, _, user = here.path.strip("/").partition("/")
    if verb == "begin":
        return Reply((await here.sessions.begin_login(user)).encode())
    if verb == "in":
        return Reply((await here.sessions.login(user, ticket=here.header("x-ticket"))).encode())
    return await town(here)


@pytest.mark.parametrize("now", [*pairwise(PHASES)], ids=["before and first", "first and second", "second and last"])
def test_a_sign_in_over_several_requests_goes_on_at_a_worker_of_the_next_phase(build: Builder, now: tuple[Secrets, Secrets]) -> None:
    backend = MemoryBackend()
    houses = [build(over_two_requests, backend, secrets=secrets) for secrets in now]
    for one, other in (houses, houses[::-1]):
        ticket = one.ask("POST", "/begin/ann").body.decode()
        signed_in = other.ask("POST", "/in/ann", ("X-Ticket", ticket))
        assert one.ask("GET", "/me", ("Cookie", signed_in.value("set-cookie").partition(";")[0])).body == b"ann"


def test_the_commands_of_the_page_write_a_file_of_secrets_for_each_phase(tmp_path: Path) -> None:
    page = (processes.ROOT / "examples" / "deploy" / "README.md").read_text(encoding="utf-8")
    block = page.partition("\n## New secrets\n")[2].partition("```sh\n")[2].partition("```")[0]
    file = tmp_path / "secret"
    file.write_text(OLD + "\n")
    written = []
    for command in block.splitlines():
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
        written.append(file.read_text().splitlines())
    new = (tmp_path / "new").read_text().strip()
    assert [[{OLD: OLD, new: NEW}[line] for line in lines] for lines in written] == [[*phase] for phase in PHASES]
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
