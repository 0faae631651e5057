"""A backend with everything around it that a test moves: who signs in, and how time passes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from sessionward import Session
from sessionward.backends import Device, NewSession
from sessionward.backends.memory import MemoryBackend
from sessionward.credential.token import Credential, new_token
from tests.contract.bridge import Everything

T = TypeVar("T")


@dataclass(frozen=True)
class Client:
    """Somebody who is signed in, or was."""

    credential: Credential
    session: Session


class World(ABC):
    """``backend`` is what is tried; ``sessions`` is the same, made sync."""

    backend: Any
    sessions: Everything

    @abstractmethod
    def sign_in(self, user: str = "ann") -> Client:
        """A new session."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something on the loop of the backend, where that is async."""
        coroutine.close()
        raise NotImplementedError("this world has no event loop")

    def close(self) -> None:  # noqa: B027 - most worlds have nothing to close
        """Nothing stays open."""

    def lives(self, *clients: Client) -> list[bool]:
        return [self.sessions.find(client.credential) is not None for client in clients]

    def found(self, client: Client) -> Session:
        session = self.sessions.find(client.credential)
        assert session is not None
        return session


class SignsInWorld(World):
    """A world whose backend starts sessions itself."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Let time pass for the backend; less than zero sets its clock back."""

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
    ) -> Client:
        """A login as the door asks for it. ``age``: seconds since its request came."""
        credential = Credential(new_token().encode())
        seconds = age
        new = NewSession(
            user_id=user,
            digest=credential.digest,
            lifetime=lasts,
            generation=generation,
            age=seconds if callable(seconds) else lambda: seconds,
            replaces=None if replaces is None else replaces.session,
            device=Device(ip_address="192.0.2.7", user_agent="a browser"),
            methods=("password", "totp"),
        )
        return Client(credential, self.sessions.login(new))


class MemoryWorld(SignsInWorld):
    """The clock is a value."""

    def __init__(self) -> None:
        self._now = 1_800_000_000.0
        self.backend = self.sessions = MemoryBackend(clock=lambda: self._now)

    def pass_time(self, seconds: float) -> None:
        self._now += seconds
