"""Beaker's sessions on the server: memory, file, Redis, memcached or database, by the options of its own middleware."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Final, TypeAlias, cast
from uuid import uuid4

from beaker.session import Session, SignedCookie  # type: ignore[import-untyped]

from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.session.identifier import AnonymousSession, Identity
from sessionward.settings import Duration, seconds

_FORM: Final = re.compile(r"[A-Za-z0-9-]+")

UserOf: TypeAlias = str | Callable[[Mapping[str, Any]], Any]
"""Where a session has the user's id: a key, or a function of the session. None and ``""`` mean that nobody is signed in."""


@dataclass(frozen=True, slots=True)
class Beaker:
    """Who is signed in by a session of Beaker. It loads the session as the application does and never saves it.

    ``options`` are those of the application's middleware: ``SessionMiddleware(app, config).options``. By default Beaker
    pickles what it stores, and unpickles it here as in the application: who can write to the store commands both.
    ``type="cookie"`` is not for this class.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    options: Mapping[str, Any] = field(repr=False)
    _: KW_ONLY
    user: UserOf
    lifetime: Duration = 31 * 86_400.0
    cookies: tuple[str, ...] = field(init=False)
    server_side: ClassVar[bool] = True
    keeps_id_at_login: ClassVar[bool] = True
    outer_key: ClassVar[str] = "beaker.session"
    blocking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        mistakes: list[str] = []
        if not isinstance(cast("object", self.options), Mapping):
            raise ConfigurationError(f"options: SessionMiddleware(app, config).options is needed, not {type(self.options).__name__}")
        if any(str(key).startswith(("session.", "beaker.")) for key in self.options):  # its cookie would be another one
            mistakes.append("options: these are the arguments of the middleware; hand over SessionMiddleware(app, config).options")
        if not self.options:
            mistakes.append("options: these are empty; hand over SessionMiddleware(app, config).options")
        if self.options.get("type") == "cookie":
            mistakes.append("options: sessions of type cookie are not kept on the server; use sessionward.identify.Function for them")
        if not self.user:
            mistakes.append("user: the key of the user's id in the session is needed, or a function of the session")
        try:
            object.__setattr__(self, "lifetime", seconds(self.lifetime))
        except TypeError as wrong:
            mistakes.append(f"lifetime: {wrong}")
        if mistakes:
            raise ConfigurationError(*mistakes)
        object.__setattr__(self, "options", dict(self.options))
        object.__setattr__(self, "cookies", (self.options.get("key") or "beaker.session.id",))

    def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:  # noqa: ARG002 - there is one cookie
        """Whom this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the store raises."""
        session_id = self._session_id(value)
        try:
            session = self._load(session_id)
        except Exception:
            if self.options.get("invalidate_corrupt"):
                self._load(uuid4().hex)  # if the store answers this, what it keeps of the session is broken
                raise InvalidCredential("a session that is not stored as Beaker's options say") from None
            raise
        if session.is_new:  # unknown or timed out: Beaker then begins another one
            raise InvalidCredential("a session id that the store does not know")
        held = cast("dict[str, Any]", session)
        user = held.get(self.user) if isinstance(self.user, str) else self.user(held)
        return (
            Identity(user_id=user, session_id=session_id) if user else AnonymousSession(session_id=session_id)
        )  # some sign out by writing "" or False

    def _load(self, session_id: str) -> Any:
        request: dict[str, Any] = {}
        # Beaker would forgive a broken session by itself, but with a warning that tells the id.
        options: dict[str, Any] = {**self.options, "use_cookies": False, "invalidate_corrupt": False}
        return Session(request, id=session_id, **options)

    def _session_id(self, value: str) -> str:
        if _FORM.fullmatch(value) is None:  # a file is named by it
            raise InvalidCredential("a session id of no known form")
        if not self.options.get("secret"):
            return value
        session_id: Any = SignedCookie(self.options["secret"]).value_decode(value)[0]
        if not isinstance(session_id, str):
            raise InvalidCredential("a session id that the application's secret did not sign")
        return session_id
