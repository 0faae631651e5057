"""A backend with everything around it that its contract moves: who signs in, and how time passes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sessionward.credential.token import Credential, new_token
from sessionward.session.backend import Capabilities
from sessionward.session.session import Device, NewSession, Session
from sessionward.testing.bridge import Bridged, Everything, Loop

T = TypeVar("T")


@dataclass(frozen=True)
class Client:
    """A client that is signed in, or was."""

    credential: Credential
    session: Session


class World(ABC):
    """A backend under test. Close it at the end.

    ``backend`` is what is tested; ``sessions`` is the same, made sync if it is async.
    """

    backend: Any
    sessions: Everything

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self._loop = Loop() if Capabilities.of(backend).is_async else None
        self.sessions = cast("Everything", backend if self._loop is None else Bridged(backend, self._loop))

    @abstractmethod
    def sign_in(self, user: str = "ann") -> Client:
        """Starts a session of this user, as the application does it, and finds it with the backend."""

    def client(self, credential: str | bytes) -> Client:
        """The client that carries this cookie or header value. Fails if the backend finds no live session for it."""
        proof = Credential(credential.encode("latin-1") if isinstance(credential, str) else credential)
        session = self.sessions.find(proof)
        assert session is not None, "the backend does not find a session that has just been started"
        return Client(proof, session)

    def lives(self, *clients: Client) -> list[bool]:
        """Whether each of these is still signed in."""
        return [self.sessions.find(client.credential) is not None for client in clients]

    def found(self, client: Client) -> Session:
        """The session of a client that is signed in."""
        session = self.sessions.find(client.credential)
        assert session is not None
        return session

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine where the backend runs."""
        return asyncio.run(coroutine) if self._loop is None else self._loop.run(coroutine)

    def close(self) -> None:
        """Closes the backend, if it can be closed, and its event loop."""
        close = getattr(self.sessions, "close", None)
        if close is not None and (self._loop is None or hasattr(self.backend, "close")):
            close()
        if self._loop is not None:
            self._loop.close()


class LoginWorld(World):
    """A world whose backend starts sessions itself."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Lets time pass for the backend; less than zero sets its clock back."""

    def sign_in(self, user: str = "ann", *, lasts: float = 3600.0) -> Client:
        return self.login(user, generation=self.sessions.begin_login(user), lasts=lasts)

    def login(
        self,
        user: str = "ann",
        *,
        generation: int | None = None,
        age: float | Callable[[], float] = 0.0,
        replaces: Client | None = None,
        lasts: float = 3600.0,
        app_session: bytes | None = None,
        max_sessions: int | None = None,
    ) -> Client:
        """A login as a door asks for it. ``age``: seconds since its request came."""
        credential, seconds = Credential(new_token().encode()), age
        new = NewSession(
            user_id=user,
            digest=credential.digest,
            lifetime=lasts,
            generation=generation,
            age=seconds if callable(seconds) else lambda: seconds,
            replaces=None if replaces is None else replaces.session,
            device=Device(ip_address="192.0.2.7", user_agent="a browser"),
            methods=("password", "totp"),
            app_session=app_session,
            max_sessions=max_sessions,
        )
        return Client(credential, self.sessions.login(new))

    def log_out(self, client: Client) -> bool:
        """A logout as a door asks for it; whether the session was live."""
        return self.sessions.revoke(client.session.user_id, client.session.id)

    def adopt(self, user: str, app_session: bytes, *, lasts: float = 3600.0, max_sessions: int | None = None) -> Client | None:
        """An adoption as a door asks for it."""
        credential = Credential(new_token().encode())
        new = NewSession(
            user_id=user,
            digest=credential.digest,
            lifetime=lasts,
            device=Device(ip_address="192.0.2.7"),
            app_session=app_session,
            max_sessions=max_sessions,
        )
        session = self.sessions.adopt(new)
        return None if session is None else Client(credential, session)
