"""Starlette's ``SessionMiddleware``, a signed cookie (also FastAPI's), and starsessions, which keeps sessions in a store."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Final, Protocol, TypeAlias, cast

from itsdangerous import BadSignature, TimestampSigner

from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.identify.recent import Recent
from sessionward.session.identifier import AnonymousSession, Identity
from sessionward.settings import Duration, seconds

_FORM: Final = re.compile(r"[A-Za-z0-9+/=_.-]+")
"""What both write. itsdangerous skips other bytes in a signature, where cookie parsers do not agree on them."""

UserOf: TypeAlias = str | Callable[[Mapping[str, Any]], Any]
"""Where a session has the user's id: a key, or a function of the session. None and ``""`` mean that nobody is signed in."""

FOREVER: Final = 400 * 86_400.0
"""Seconds: browsers keep no cookie longer (RFC 6265bis, 5.6.2)."""


@dataclass(frozen=True, slots=True)
class StarletteSession:
    """Who is signed in by Starlette's session cookie, as versions 0.40 to 1.x write it.

    ``secret_key``, ``cookie`` and ``max_age`` are those of the application's ``SessionMiddleware``. ``user`` is the key of
    the user's id in the session, or a function of the session: ``lambda session: session.get("user", {}).get("sub")``.
    What that function raises becomes 503. Of starsessions' ``CookieStore``, too, this reads the cookie.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    secret_key: object = field(repr=False)
    _: KW_ONLY
    user: UserOf
    cookie: str = "session"
    max_age: int | None = 14 * 86_400
    cookies: tuple[str, ...] = field(init=False)
    lifetime: float = field(init=False)
    blocking: ClassVar[bool] = False
    outer_key: ClassVar[str] = "session"
    _signer: TimestampSigner = field(init=False, repr=False)
    _recent: Recent = field(init=False, repr=False, compare=False, default_factory=Recent)

    def __post_init__(self) -> None:
        mistakes = _mistakes(self.user, self.cookie)
        if isinstance(self.secret_key, bytes) or not str(self.secret_key or ""):
            mistakes.append("secret_key: the text that the application gives to SessionMiddleware is needed")
        if self.max_age is not None and type(self.max_age) is not int:
            mistakes.append("max_age: whole seconds or None are needed, as in SessionMiddleware")
        if mistakes:
            raise ConfigurationError(*mistakes)
        object.__setattr__(self, "cookies", (self.cookie,))
        object.__setattr__(self, "lifetime", FOREVER if self.max_age is None else float(self.max_age))
        object.__setattr__(self, "_signer", TimestampSigner(str(self.secret_key)))  # as the middleware does, for its Secret

    def identify(self, name: str, value: str, /) -> Identity | None:
        """Whom this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`, and whatever ``user`` raises."""
        if isinstance(self.user, str):
            return self._recent(self._read, name, value)
        return self._read(name, value)  # what a function looks at may change

    def _read(self, name: str, value: str) -> Identity | None:  # noqa: ARG002 - there is one cookie
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("a session cookie of no known form")
        try:
            session: Any = json.loads(base64.b64decode(self._signer.unsign(value, max_age=self.max_age)))
        except BadSignature:  # its text quotes the signature
            raise InvalidCredential("a session cookie that is forged or expired") from None
        except ValueError:
            raise InvalidCredential("something that the secret signed for another purpose") from None
        user = _user_of(session, self.user)
        return None if user is None else Identity(user_id=user)


class SessionStore(Protocol):
    """What is asked of a store of starsessions."""

    async def read(self, session_id: str, lifetime: int) -> bytes: ...


class Serializer(Protocol):
    """What is asked of a serializer of starsessions."""

    def deserialize(self, data: bytes) -> Any: ...


@dataclass(frozen=True, slots=True)
class Starsessions:
    """Who is signed in by a session that starsessions 2.x keeps in a store. It only reads the store.

    ``store``, ``cookie`` (its ``cookie_name``), ``lifetime`` and ``serializer`` are those of the application's
    middleware; ``user`` is as in :class:`StarletteSession`. An id that the store does not know is unreadable, since the
    application would make it the id of a session: whoever chose it would be signed in with its next owner.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    store: SessionStore = field(repr=False)
    _: KW_ONLY
    user: UserOf
    cookie: str = "session"
    lifetime: Duration = 0
    serializer: Serializer | None = None
    cookies: tuple[str, ...] = field(init=False)
    outer_key: ClassVar[str] = "session"
    server_side: ClassVar[bool] = True
    keeps_id_at_login: ClassVar[bool] = True
    blocking: ClassVar[bool] = True
    _lifetime: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mistakes = _mistakes(self.user, self.cookie)
        if not callable(getattr(self.store, "read", None)):
            mistakes.append("store: a SessionStore of starsessions is needed")
        if any(kind.__name__ == "CookieStore" for kind in type(self.store).__mro__):
            mistakes.append("store: CookieStore keeps everything in the cookie; use StarletteSession(secret_key, max_age=lifetime, ...)")
        try:
            lifetime = seconds(self.lifetime)
        except TypeError as wrong:
            mistakes.append(f"lifetime: {wrong}")
            lifetime = 0.0
        if mistakes:
            raise ConfigurationError(*mistakes)
        object.__setattr__(self, "cookies", (self.cookie,))
        object.__setattr__(self, "_lifetime", int(lifetime))
        object.__setattr__(self, "lifetime", lifetime or 31 * 86_400.0)  # 0 is a cookie that lasts as long as the browser

    async def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:  # noqa: ARG002 - there is one cookie
        """Whom this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the store raises."""
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("a session id of no known form")
        data = await self.store.read(session_id=value, lifetime=self._lifetime)
        if not data:
            raise InvalidCredential("a session id that the store does not know")
        try:
            session: Any = json.loads(data) if self.serializer is None else self.serializer.deserialize(data)
        except ValueError:
            raise InvalidCredential("a session that is not stored as the serializer writes it") from None
        user = _user_of(session, self.user)
        return AnonymousSession(session_id=value) if user is None else Identity(user_id=user, session_id=value)


def _user_of(session: Any, user: UserOf) -> Any:
    if not isinstance(session, dict):
        raise InvalidCredential("a session that is no mapping")
    held = cast("dict[str, Any]", session)
    found = held.get(user) if isinstance(user, str) else user(held)
    return found or None  # some applications sign out by writing "" or False


def _mistakes(user: object, cookie: str) -> list[str]:
    mistakes: list[str] = []
    if not user or not (isinstance(user, str) or callable(user)):
        mistakes.append("user: the key of the user's id in the session is needed, or a function of the session")
    if not cookie:
        mistakes.append("cookie: a cookie name is needed")
    return mistakes
