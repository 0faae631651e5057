"""Small identifiers over two made-up applications: one that signs its login cookies, one that keeps its logins in a store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from itsdangerous import BadSignature, Signer

from sessionward.backends import Carrier
from sessionward.errors import InvalidCredential
from sessionward.identify import Identity
from sessionward.session.identifier import app_session_digest

SIGNER: Final = Signer("a secret of the application, not of ours", salt="login")


def sealed(payload: str) -> str:
    """A login cookie of the signing application: ``ann.3`` is Ann's third one, ``-.1`` an anonymous visitor's cart."""
    return SIGNER.sign(payload).decode()


class Signed:
    """Reads signed cookies: the session, the remember-me cookie, and a session in numbered parts. Never waits."""

    cookies: ClassVar[Sequence[str]] = ("session", "part-*", "remember")
    blocking: ClassVar[bool] = False
    cacheable: bool = False

    def __init__(self) -> None:
        self.lifetime = 1000.0
        self.asked: list[str] = []
        """The names of what was looked at."""
        self.before: Callable[[], object] = _nothing
        """Called first, and may raise."""

    def identify(self, name: str, value: str, /) -> Identity | None:
        self.asked.append(name)
        self.before()
        try:
            payload = SIGNER.unsign(value).decode()
        except BadSignature:
            raise InvalidCredential("not as the application signs it") from None
        user = payload.partition(".")[0]
        return None if user == "-" else Identity(user_id=user)

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        """What it is asked now is not noted, and ``before`` is not called."""
        asked, before, self.before = [*self.asked], self.before, _nothing
        yield
        self.asked[:], self.before = asked, before


class Stored:
    """Looks ids up in a store, ``id -> user``: the id stays when somebody signs in behind it."""

    cookies: ClassVar[Sequence[str]] = ("sid",)
    blocking: ClassVar[bool] = False
    server_side: ClassVar[bool] = True
    lifetime: ClassVar[float] = 1000.0

    def __init__(self, store: dict[str, str | None]) -> None:
        self.store = store
        self.before: Callable[[], object] = _nothing

    def identify(self, name: str, value: str, /) -> Identity | None:
        self.before()
        if value not in self.store:
            raise InvalidCredential("the store does not know it")
        user = self.store[value]
        return None if user is None else Identity(user_id=user, session_id=self.id_of(value))

    @staticmethod
    def id_of(sid: str) -> str:
        """The id, which need not be the whole of the cookie's value."""
        return sid.removeprefix("id")

    @classmethod
    def digest(cls, sid: str) -> bytes:
        return app_session_digest(cls.id_of(sid))


class Tokens:
    """A signed cookie, and beside it a bearer that tells when it was issued: ``ann.1800000000``, signed."""

    cookies: ClassVar[Sequence[str]] = ("session",)
    headers: ClassVar[Sequence[Carrier]] = (Carrier.header("Authorization", scheme="Bearer"),)
    blocking: ClassVar[bool] = False

    def identify(self, name: str, value: str, /) -> Identity | None:
        try:
            user, _, issued = SIGNER.unsign(value).decode().partition(".")
        except BadSignature:
            raise InvalidCredential("not as the application signs it") from None
        return Identity(user_id=user, issued_at=float(issued) if name == "authorization" else None)


class Awaited:
    """Any of them, async."""

    def __init__(self, sync: Any) -> None:
        self.sync = sync
        self.server_side = getattr(sync, "server_side", False)
        self.headers = getattr(sync, "headers", ())

    @property
    def cookies(self) -> Sequence[str]:
        names: Sequence[str] = self.sync.cookies
        return names

    @property
    def lifetime(self) -> float:
        return float(getattr(self.sync, "lifetime", 1000.0))

    async def identify(self, name: str, value: str, /) -> Identity | None:
        await asyncio.sleep(0)
        found: Identity | None = self.sync.identify(name, value)
        return found


def _nothing() -> None:
    return None
