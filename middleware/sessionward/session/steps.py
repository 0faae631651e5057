"""The questions that flows ask a backend about sessions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.session.session import CompanionStatus, NewSession, Session
from sessionward.session.step import Step


@dataclass(slots=True, eq=True, unsafe_hash=True)  # not frozen: each request makes one, and freezing would double its cost
class Find(Step[Session | None]):
    credential: Credential
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.find(self.credential)


@dataclass(frozen=True, slots=True)
class RevokeOthers(Step[int]):
    """``quietly``: the endpoint asks, and not a verb of the application."""

    session: Session
    quietly: bool = False

    def ask(self, backend: Any) -> Any:
        if self.quietly:
            return getattr(backend, "revoke_others_quietly", backend.revoke_others)(self.session)
        return backend.revoke_others(self.session)


@dataclass(frozen=True, slots=True)
class BeginLogin(Step[int]):
    user_id: str
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.begin_login(self.user_id)


@dataclass(frozen=True, slots=True)
class Login(Step[Session]):
    new: NewSession

    def ask(self, backend: Any) -> Any:
        return backend.login(self.new)


@dataclass(frozen=True, slots=True)
class Revoke(Step[bool]):
    user_id: str
    id: UUID

    def ask(self, backend: Any) -> Any:
        return backend.revoke(self.user_id, self.id)


@dataclass(frozen=True, slots=True)
class RevokeAll(Step[int]):
    user_id: str

    def ask(self, backend: Any) -> Any:
        return backend.revoke_all(self.user_id)


# --- companions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindCompanionStatus(Step[CompanionStatus]):
    user_id: str
    app_session: bytes = field(repr=False)
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.companion_status(self.user_id, self.app_session)


@dataclass(frozen=True, slots=True)
class IsRevokedAppSession(Step[bool]):
    app_session: bytes = field(repr=False)
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.is_revoked_app_session(self.app_session)


@dataclass(frozen=True, slots=True)
class Adopt(Step[Session | None]):
    new: NewSession

    def ask(self, backend: Any) -> Any:
        return backend.adopt(self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extend(Step[bool]):
    session: Session
    lifetime: float
    app_session: bytes | None = field(repr=False)

    def ask(self, backend: Any) -> Any:
        return backend.extend(self.session, lifetime=self.lifetime, app_session=self.app_session)


# --- the record of revoked sessions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindRevoked(Step[Collection[Credential]]):
    credentials: Collection[Credential]
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.which_revoked(self.credentials)


@dataclass(frozen=True, slots=True)
class Note(Step[None]):
    credential: Credential

    def ask(self, backend: Any) -> Any:
        return backend.note(self.credential)


@dataclass(frozen=True, slots=True)
class Renewed(Step[bool]):
    new: Credential
    old: Collection[Credential]
    age: Callable[[], float]

    def ask(self, backend: Any) -> Any:
        return backend.renewed(self.new, self.old, self.age)
