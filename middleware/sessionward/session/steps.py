"""The questions that a flow asks a backend about sessions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sessionward.credential.token import Credential
from sessionward.session.session import Device, Session, CompanionStatus
from sessionward.session.step import Step


@dataclass(slots=True, eq=True, unsafe_hash=True)  # not frozen: it is made for each request, and freezing costs half of it
class Find(Step[Session | None]):
    credential: Credential
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.find(self.credential)


@dataclass(frozen=True, slots=True)
class RevokeOthers(Step[int]):
    session: Session

    def ask(self, backend: Any) -> Any:
        return backend.revoke_others(self.session)


@dataclass(frozen=True, slots=True)
class BeginLogin(Step[int]):
    user_id: str
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:
        return backend.begin_login(self.user_id)


@dataclass(frozen=True, slots=True)
class End(Step[bool]):
    session: Session

    def ask(self, backend: Any) -> Any:
        return backend.end(self.session)


@dataclass(frozen=True, slots=True)
class RevokeAll(Step[int]):
    user_id: str

    def ask(self, backend: Any) -> Any:
        return backend.revoke_all(self.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login(Step[Session]):
    user_id: str
    credential: Credential
    since: int | None
    age: Callable[[], float]
    replaces: Session | None
    expires_in: float
    device: Device
    methods: Sequence[str]
    app_session: bytes | None = field(default=None, repr=False)

    def ask(self, backend: Any) -> Any:
        companion: dict[str, Any] = {} if self.app_session is None else {"app_session": self.app_session}
        return backend.login(
            self.user_id,
            self.credential.digest,
            since=self.since,
            age=self.age,
            replaces=self.replaces,
            expires_in=self.expires_in,
            device=self.device,
            methods=self.methods,
            **companion,
        )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt(Step[Session | None]):
    user_id: str
    credential: Credential
    app_session: bytes = field(repr=False)
    expires_in: float
    device: Device

    def ask(self, backend: Any) -> Any:
        return backend.adopt(self.user_id, self.credential.digest, app_session=self.app_session, expires_in=self.expires_in, device=self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch(Step[bool]):
    session: Session
    app_session: bytes | None = field(repr=False)
    expires_in: float

    def ask(self, backend: Any) -> Any:
        return backend.touch(self.session, app_session=self.app_session, expires_in=self.expires_in)


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
