"""The rules of ``sessionward authz`` over a backend in memory, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sessionward
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.token import Credential, Signature
from sessionward.deadline import Deadline
from sessionward.drive import run_sync
from sessionward.response.answer import Response
from sessionward.sidecar.authz.routes import route_of
from sessionward.sidecar.authz.rules import Rules
from sessionward.sidecar.authz.service import Checks
from sessionward.sidecar.authz.settings import AuthzSettings
from sessionward.sidecar.client.request import Request
from sessionward.sidecar.gate import Gate
from tests.support.sessions import started

SECRET: Final = "a secret of the tests, long enough: 0123456789"
COOKIE: Final = "__Host-session-ward"
Field = tuple[str, str]


class Signs:
    """Signs what it is given, so that a test can read it."""

    def sign(self, session: sessionward.Session, now: float, /) -> bytes:
        return f"{session.user_id} at {now}".encode()


class Answer:
    """The response to a check. No field occurs twice."""

    def __init__(self, response: Response) -> None:
        self.status = int(response.status)
        self.fields = {name.decode(): value.decode() for name, value in response.headers}
        self.body = response.body
        assert len(response.headers) == len(self.fields)


class Service:
    """The rules and what they decide over. ``passes``: the settings of ``sessionward authz`` alone. ``clock``: the wall clock."""

    def __init__(
        self,
        backend: Any = None,
        *,
        signer: Any = None,
        passes: AuthzSettings | None = None,
        clock: Callable[[], float] = lambda: 5.0,
        **settings: Any,
    ) -> None:
        self.backend = MemoryBackend() if backend is None else backend
        self.gate = gate = Gate(self.backend, {"secrets": [SECRET], **settings})
        self.rules = Rules(gate.mode, passes or AuthzSettings(), signer=signer, clock=clock, seen=gate.seen)
        self.checks = Checks(gate, self.rules)

    def login(self, user: str = "ann") -> str:
        """Returns the token of a new session."""
        return started(self.backend, user)[1]

    def ask(self, target: str = "/authz", *fields: Field, method: str = "GET", is_trusted: bool = True) -> Answer:
        """Returns the answer to one check."""
        given = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
        request = Request(method.encode(), target.encode("latin-1"), given, "1.1")
        request.is_trusted = is_trusted
        request.peer = "127.0.0.1"
        route = route_of(request.path)
        assert route is not None
        return Answer(run_sync(self.rules.answer(request, route), Deadline(self.backend, 5.0).ask))


def cookie(token: str) -> Field:
    """Returns the cookie of a session."""
    return "Cookie", f"{COOKIE}={Signature([SECRET.encode()], 'cookie').sign(token.encode()).decode()}"


def invalid(service: Service) -> Field:
    """Returns the cookie of a session that is revoked."""
    token = service.login()
    session = service.backend.find(Credential(token.encode()))
    assert session is not None
    service.backend.revoke(session.user_id, session.id)
    return cookie(token)


class Silent(MemoryBackend):
    """A backend that cannot answer."""

    def find(self, credential: Credential, /) -> sessionward.Session | None:
        raise OSError("the disk is gone")
