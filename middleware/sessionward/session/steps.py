"""The questions that flows ask a backend about sessions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from sessionward.credential.token import Credential
from sessionward.session.session import Checked, CompanionStatus, NewSession, Position, Session, SessionList, Terms
from sessionward.session.step import Step


@dataclass(slots=True, eq=True, unsafe_hash=True)  # not frozen: each request makes one, and freezing would double its cost
class Find(Step[Session | None]):
    credential: Credential
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.find(self.credential)


@dataclass(slots=True, eq=True, unsafe_hash=True)
class Check(Step[Checked]):
    """Like ``Find``, of a backend with leases."""

    credential: Credential
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.check(self.credential)


@dataclass(frozen=True, slots=True)
class FindMany(Step[Collection[Credential]]):
    credentials: Collection[Credential]
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.find_many(self.credentials)


@dataclass(frozen=True, slots=True)
class RevokeOthers(Step[int]):
    """``terms``: the endpoint asks on these terms; None for a verb of the application."""

    session: Session
    terms: Terms | None = None

    def ask(self, backend: Any) -> Any:
        quietly = None if self.terms is None else getattr(backend, "revoke_others_quietly", None)
        return backend.revoke_others(self.session) if quietly is None else quietly(self.session, self.terms)


@dataclass(frozen=True, slots=True)
class RevokeOne(Step[bool]):
    """``session``: the caller's. ``id``: the session that it revokes."""

    session: Session
    id: UUID
    terms: Terms

    def ask(self, backend: Any) -> Any:
        return backend.revoke_one(self.session, self.id, self.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions(Step[SessionList]):
    user_id: str
    after: Position | None
    limit: int | None
    without: UUID | None
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.list(self.user_id, after=self.after, limit=self.limit, without=self.without)


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
    """The session itself signs out."""

    user_id: str
    id: UUID

    def ask(self, backend: Any) -> Any:
        own = getattr(backend, "revoke_own", None)
        return backend.revoke(self.user_id, self.id) if own is None else own(self.user_id, self.id)


@dataclass(frozen=True, slots=True)
class RevokeAll(Step[int]):
    user_id: str

    def ask(self, backend: Any) -> Any:
        return backend.revoke_all(self.user_id)


# --- leases -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeaseWait(Step[float]):
    """Comes after a commit that must last, so a failure leaves the outcome unknown."""

    def ask(self, backend: Any) -> Any:
        return backend.lease_wait()


@dataclass(frozen=True, slots=True)
class RaiseLease(Step[None]):
    seconds: float

    def ask(self, backend: Any) -> Any:
        return backend.raise_lease(self.seconds)


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
    idle_timeout: float | None = None

    def ask(self, backend: Any) -> Any:
        limit = {} if self.idle_timeout is None else {"idle_timeout": self.idle_timeout}  # a backend without note_seen knows of none
        return backend.extend(self.session, lifetime=self.lifetime, app_session=self.app_session, **limit)


# --- the last use -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoteSeen(Step[Mapping[UUID, float]]):
    sessions: Collection[Session]
    idle_timeout: float | None
    age: Callable[[], float]

    def ask(self, backend: Any) -> Any:
        return backend.note_seen(self.sessions, self.idle_timeout, self.age)


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
