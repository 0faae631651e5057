"""The world of a backend under test: how users sign in and out, and how time passes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from sessionward.credential.token import Credential, new_token
from sessionward.session.capabilities import Capabilities
from sessionward.session.session import Device, NewSession, Session
from sessionward.testing.bridge import Bridged, Everything, Loop

T = TypeVar("T")


@dataclass(frozen=True)
class Client:
    """A client that is signed in, or was: its credential, and its session at sign-in."""

    credential: Credential
    session: Session


class World(ABC):
    """A backend under test. Close it at the end.

    ``backend`` is the backend itself; ``sessions`` has its methods, which are sync even if the backend is async.
    """

    backend: Any
    sessions: Everything

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self._loop = Loop() if Capabilities.of(backend).is_async else None
        self.sessions = cast("Everything", backend if self._loop is None else Bridged(backend, self._loop))

    @abstractmethod
    def sign_in(self, user: str = "ann") -> Client:
        """Starts a session of this user as the application does, and returns the client that has it. See :meth:`client`."""

    def client(self, credential: str | bytes) -> Client:
        """Returns the client that sends this cookie or header value. Fails if the backend finds no live session for it."""
        proof = Credential(credential.encode("latin-1") if isinstance(credential, str) else credential)
        session = self.sessions.find(proof)
        assert session is not None, "the backend does not find a session that sign_in() has just started"
        return Client(proof, session)

    def lives(self, *clients: Client) -> list[bool]:
        """Returns, for each client, whether it is still signed in."""
        return [self.sessions.find(client.credential) is not None for client in clients]

    def found(self, client: Client) -> Session:
        """Returns the session of a client that is signed in."""
        session = self.sessions.find(client.credential)
        assert session is not None
        return session

    def within(self, seconds: float) -> Everything:
        """Returns the view of the backend that a middleware uses, with sync methods."""
        view = self.backend.within(seconds)
        return cast("Everything", view if self._loop is None else Bridged(view, self._loop))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the event loop of the backend. Returns what the coroutine returns."""
        return asyncio.run(coroutine) if self._loop is None else self._loop.run(coroutine)

    def close(self) -> None:
        """Closes the backend, if it has ``close()``, and its event loop."""
        close = getattr(self.sessions, "close", None)
        if close is not None and (self._loop is None or hasattr(self.backend, "close")):
            close()
        if self._loop is not None:
            self._loop.close()


class LoginWorld(World):
    """A world whose backend has ``login``."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Sets the backend's clock forward by so many seconds, or back if the number is negative."""

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
        idle: float | None = None,
        kind: str = "",
        actor: str | None = None,
        until: datetime | None = None,
    ) -> Client:
        """Calls ``login`` as a middleware does.

        ``age``: seconds since the request arrived; ``lasts``: the lifetime in seconds; ``idle``: the idle limit in seconds.
        """
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
            idle_timeout=idle,
            kind=kind,
            actor=actor,
            until=until,
        )
        return Client(credential, self.sessions.login(new))

    def log_out(self, client: Client) -> bool:
        """Calls ``revoke`` as a middleware does at a logout. Returns whether the session was live."""
        return self.sessions.revoke(client.session.user_id, client.session.id)

    def adopt(
        self, user: str, app_session: bytes, *, lasts: float = 3600.0, max_sessions: int | None = None, idle: float | None = None
    ) -> Client | None:
        """Calls ``adopt`` as a middleware does. Returns None if the backend refused."""
        credential = Credential(new_token().encode())
        new = NewSession(
            user_id=user,
            digest=credential.digest,
            lifetime=lasts,
            device=Device(ip_address="192.0.2.7"),
            app_session=app_session,
            max_sessions=max_sessions,
            idle_timeout=idle,
        )
        session = self.sessions.adopt(new)
        return None if session is None else Client(credential, session)
