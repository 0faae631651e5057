"""Starlette's ``SessionMiddleware``, a signed cookie (FastAPI's too), and starsessions, which keeps sessions in a store."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Protocol, cast

from itsdangerous import BadSignature, TimestampSigner

from sessionward.errors import InvalidCredential, Mistakes
from sessionward.identify.arguments import UserOf, cookie_mistakes, duration, lifetime_of, user_in, user_mistakes
from sessionward.identify.recent import RecentAnswers
from sessionward.session.identifier import DAY, AnonymousSession, Identity
from sessionward.settings import Duration

_FORM: Final = re.compile(r"[A-Za-z0-9+/=_.-]+")
"""What both libraries write. itsdangerous ignores other bytes in a signature, and cookie parsers do not agree on them."""

FOREVER: Final = 400 * DAY
"""Seconds. Browsers keep no cookie for longer (RFC 6265bis, 5.6.2)."""


class StarletteSession:
    """Says which user Starlette's session cookie signs in, as versions 0.40 to 1.x write it.

    ``secret_key``, ``cookie`` and ``max_age`` are those of the application's ``SessionMiddleware``. ``user`` is the key of
    the user's id in the session, or a function of the session: ``lambda session: session.get("user", {}).get("sub")``. An
    exception in that function becomes 503. This class also reads the cookie of starsessions' ``CookieStore``.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: ClassVar[bool] = False
    cacheable: bool = True
    outer_key: ClassVar[str] = "session"

    def __init__(self, secret_key: object, *, user: UserOf, cookie: str = "session", max_age: int | None = 14 * 86_400) -> None:
        mistakes = Mistakes()
        mistakes.add(user_mistakes(user))
        mistakes.add(cookie_mistakes("cookie", cookie))
        if isinstance(secret_key, bytes) or not str(secret_key or ""):
            mistakes.add(["secret_key: must be the str or Secret that the application gives to SessionMiddleware"])
        if max_age is not None and (type(max_age) is not int or max_age < 1):
            mistakes.add(["max_age: must be whole seconds, at least 1, or None, as in SessionMiddleware"])
        mistakes.raise_any()
        self.cookies = (cookie,)
        self.lifetime = FOREVER if max_age is None else lifetime_of(max_age)
        self.user = user
        self.cookie = cookie
        self.max_age = max_age
        self._signer = TimestampSigner(str(secret_key))  # str() takes a Secret, as in SessionMiddleware
        self.cacheable = isinstance(user, str)  # a function's answer for one cookie may change
        self._recent = RecentAnswers()

    def __repr__(self) -> str:
        return f"StarletteSession(cookies={list(self.cookies)})"

    def identify(self, name: str, value: str, /) -> Identity | None:
        """Returns the user that this cookie signs in.

        Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the function ``user`` raises.
        """
        return self._recent(self._read, name, value) if self.cacheable else self._read(name, value)

    def _read(self, name: str, value: str) -> Identity | None:  # noqa: ARG002 - there is one cookie
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("the session cookie does not have the form that Starlette writes")
        try:
            session: Any = json.loads(base64.b64decode(self._signer.unsign(value, max_age=self.max_age)))
        except BadSignature:  # its message quotes the signature
            raise InvalidCredential("the session cookie is forged or expired") from None
        except ValueError:
            raise InvalidCredential("the secret signed the value for another purpose") from None
        user = user_in(_mapping(session), self.user)
        return None if user is None else Identity(user_id=user)


class SessionStore(Protocol):
    """The part of a starsessions store that we use."""

    async def read(self, session_id: str, lifetime: int) -> bytes: ...


class Serializer(Protocol):
    """The part of a starsessions serializer that we use."""

    def deserialize(self, data: bytes) -> Any: ...


class Starsessions:
    """Says which user a session that starsessions 2.x keeps in a store signs in. It only reads the store.

    ``store``, ``cookie`` (there: ``cookie_name``), ``lifetime`` and ``serializer`` are those of the application's middleware.
    ``user`` is as in :class:`StarletteSession`.

    starsessions makes a session of any id that a client chooses. An id that the store does not know is therefore invalid.
    Otherwise the client that chose it would share the session of the user who signs in with it next.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: ClassVar[bool] = True
    server_side: ClassVar[bool] = True
    keeps_id_at_login: ClassVar[bool] = True
    outer_key: ClassVar[str] = "session"

    def __init__(
        self,
        store: SessionStore,
        *,
        user: UserOf,
        cookie: str = "session",
        lifetime: Duration = 0,
        serializer: Serializer | None = None,
    ) -> None:
        mistakes = Mistakes()
        mistakes.add(user_mistakes(user))
        mistakes.add(cookie_mistakes("cookie", cookie))
        mistakes.add(_store_mistakes(store))
        given = duration(mistakes, "lifetime", lifetime, least=0.0)
        mistakes.raise_any()
        self.cookies = (cookie,)
        self.lifetime = max(given, 1.0) if given else 31 * DAY  # with 0 the cookie lasts until the browser closes
        self.store = store
        self.user = user
        self.cookie = cookie
        self.serializer = serializer
        self._lifetime = int(given)

    def __repr__(self) -> str:
        return f"Starsessions(cookies={list(self.cookies)})"

    async def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:  # noqa: ARG002 - there is one cookie
        """Returns the user that this cookie signs in.

        Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the store or the function ``user`` raises.
        """
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("the session id does not have the form that starsessions writes")
        data = await self.store.read(session_id=value, lifetime=self._lifetime)
        if not data:
            raise InvalidCredential("the store does not know the session id")
        try:
            session: Any = json.loads(data) if self.serializer is None else self.serializer.deserialize(data)
        except ValueError:
            raise InvalidCredential("the session is not stored as the serializer writes it") from None
        user = user_in(_mapping(session), self.user)
        return AnonymousSession(session_id=value) if user is None else Identity(user_id=user, session_id=value)


def _store_mistakes(store: object) -> Iterator[str]:
    if not callable(getattr(store, "read", None)):
        yield "store: must be a SessionStore of starsessions"
    if any(kind.__name__ == "CookieStore" for kind in type(store).__mro__):
        yield "store: CookieStore keeps everything in the cookie; use StarletteSession(secret_key, max_age=lifetime, ...)"


def _mapping(session: object) -> Mapping[str, Any]:
    if not isinstance(session, dict):
        raise InvalidCredential("the session is not a mapping")
    return cast("dict[str, Any]", session)
