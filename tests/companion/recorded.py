"""An application's store that writes revoked sessions back, and backends over it that keep a record of those (mode application)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sessionward import Session, SessionRevoked
from sessionward.backends import Carrier, Credential, public_id
from tests.companion.shops import pairs_of
from tests.doors.sides import TEXT, Answer, Fields, Here, House, Reply


class Store:
    """An application's sessions, ``key -> user``, and beside them a record of those that were revoked."""

    blocking: ClassVar[bool] = False
    carriers: ClassVar[Sequence[Carrier]] = (Carrier.cookie("sid"), Carrier.header("X-Key"))

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.revoked: set[bytes] = set()
        self.asked: list[Any] = []
        self.on: dict[str, Callable[[], object]] = {}

    def find(self, credential: Credential, /) -> Session | None:
        user = self.keys.get(credential.reveal())
        is_revoked = user is None or credential.digest in self.revoked
        return None if is_revoked or user is None else Session(id=public_id(credential), user_id=user, credential=credential)

    def revoke_others(self, session: Session, /) -> int:
        assert session.credential is not None
        own = session.credential
        if own.digest in self.revoked:
            raise SessionRevoked
        others = [key for key, user in self.keys.items() if user == session.user_id and key != own.reveal()]
        fresh = {Credential(key.encode()).digest for key in others} - self.revoked
        self.revoked |= fresh
        return len(fresh)

    def revoke_keys(self, *keys: str) -> None:
        """A job revokes these; the application's store still has them."""
        self.revoked |= {Credential(key.encode()).digest for key in keys}


class FindingRevoked(Store):
    def which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        self.asked.append(frozenset(credential.digest for credential in credentials))
        self.on.get("which_revoked", int)()
        return [credential for credential in credentials if credential.digest in self.revoked]


class Seeing(Store):
    def note(self, credential: Credential, /) -> None:
        self.on.get("note", int)()
        self.asked.append(credential.reveal())


class Watching(FindingRevoked, Seeing):
    """Both: what an index over a cached store needs."""


class Renewing(Store):
    """Over firm rows: a revoked one never comes back, but a request in flight may take its login along under a new key."""

    def renewed(self, new: Credential, old: Collection[Credential], age: Callable[[], float], /) -> bool:
        self.on.get("renewed", int)()
        self.asked.append((new.reveal(), sorted(credential.reveal() for credential in old)))
        assert 0 <= age() < 60
        return not any(credential.digest in self.revoked for credential in old)


class AsyncRenewing:
    """The same, async."""

    carriers = Store.carriers

    def __init__(self) -> None:
        self.sync = Renewing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sync, name)

    async def find(self, credential: Credential, /) -> Session | None:
        return self.sync.find(credential)

    async def revoke_others(self, session: Session, /) -> int:
        return self.sync.revoke_others(session)

    async def renewed(self, new: Credential, old: Collection[Credential], age: Callable[[], float], /) -> bool:
        await asyncio.sleep(0)
        return self.sync.renewed(new, old, age)


class AsyncWatching:
    """The same, async."""

    carriers = Store.carriers

    def __init__(self) -> None:
        self.sync = Watching()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sync, name)

    async def find(self, credential: Credential, /) -> Session | None:
        await asyncio.sleep(0)
        return self.sync.find(credential)

    async def revoke_others(self, session: Session, /) -> int:
        return self.sync.revoke_others(session)

    async def which_revoked(self, credentials: Collection[Credential], /) -> Collection[Credential]:
        await asyncio.sleep(0)
        return self.sync.which_revoked(credentials)

    async def note(self, credential: Credential, /) -> None:
        self.sync.note(credential)


@dataclass
class Application:
    """Looks keys up in its store; sets what it is told to; ``meanwhile`` happens while it works."""

    store: Any
    fields: Fields = ()
    meanwhile: Callable[[], object] = int
    cookies: list[str | None] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)

    async def __call__(self, here: Here) -> Reply:
        self.cookies.append(here.header("cookie"))
        self.headers.append(here.header("x-key") or None)
        users = [self.store.keys[value] for name, value in pairs_of(here) if name == "sid" and value in self.store.keys]
        self.meanwhile()
        return Reply((users or ["nobody"])[0].encode(), fields=[*TEXT, *self.fields])


@dataclass
class Watched:
    """An application over a store, behind a door."""

    store: Any
    application: Application
    house: House

    def sets(self, *set_cookies: str) -> None:
        self.application.fields = [("Set-Cookie", value) for value in set_cookies]

    def ask(self, cookie: str, path: str = "/", method: str = "GET") -> Answer:
        return self.house.ask(method, path, *([("Cookie", cookie)] if cookie else []))

    @property
    def saw(self) -> str | None:
        """The Cookie field as the application found it."""
        return self.application.cookies[-1]


def watched(house: Callable[..., House], store: Any, **settings: Any) -> Watched:
    """It knows two sessions of Ann's and one of Bob's."""
    store.keys.update(a1="ann", a2="ann", b1="bob")
    application = Application(store)
    return Watched(store, application, house(application, store, secrets=(), **settings))
