"""Beaker's sessions on the server: in memory, files, Redis, memcached or a database, as the options of its middleware say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, cast
from uuid import uuid4

from beaker.session import Session, SignedCookie  # type: ignore[import-untyped]

from sessionward.errors import InvalidCredential, Mistakes
from sessionward.identify.arguments import UserOf, duration, user_in, user_mistakes
from sessionward.session.identifier import DAY, AnonymousSession, Identity
from sessionward.settings import Duration

_FORM: Final = re.compile(r"[A-Za-z0-9-]+")


class Beaker:
    """Says which user a session of Beaker signs in. It loads the session as the application does and never saves it.

    ``options`` are those of the application's middleware: ``SessionMiddleware(app, config).options``. ``user`` is the key of
    the user's id in the session, or a function of the session.

    Beaker pickles sessions by default, and this class unpickles them as the application does. An attacker who can write to the
    store can run code in both. This class does not read sessions of ``type="cookie"``.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: ClassVar[bool] = True
    server_side: ClassVar[bool] = True
    keeps_id_at_login: ClassVar[bool] = True
    outer_key: ClassVar[str] = "beaker.session"

    def __init__(self, options: Mapping[str, Any], *, user: UserOf, lifetime: Duration = 31 * DAY) -> None:
        mistakes = Mistakes()
        mistakes.add(_option_mistakes(options))
        mistakes.add(user_mistakes(user))
        self.lifetime = duration(mistakes, "lifetime", lifetime)
        mistakes.raise_any()
        self.cookies: tuple[str, ...] = (options.get("key") or "beaker.session.id",)
        self.user = user
        self._options = dict(options)

    def __repr__(self) -> str:
        return f"Beaker(cookies={list(self.cookies)})"

    def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:  # noqa: ARG002 - there is one cookie
        """Returns the user that this cookie signs in.

        Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the store or the function ``user`` raises.
        """
        session_id = self._session_id(value)
        try:
            session = self._load(session_id)
        except Exception:
            if self._options.get("invalidate_corrupt"):
                self._load(uuid4().hex)  # raises if the store is down; if it answers, this session's data is corrupt
                raise InvalidCredential("the session is not stored as Beaker's options say") from None
            raise
        if session.is_new:  # Beaker begins a new session where the id is unknown or has timed out
            raise InvalidCredential("the store does not know the session id")
        found = user_in(cast("dict[str, Any]", session), self.user)
        return AnonymousSession(session_id=session_id) if found is None else Identity(user_id=found, session_id=session_id)

    def _load(self, session_id: str) -> Any:
        request: dict[str, Any] = {}
        # Beaker itself can discard a corrupt session, but it then logs a warning that shows the id.
        options: dict[str, Any] = {**self._options, "use_cookies": False, "invalidate_corrupt": False}
        return Session(request, id=session_id, **options)

    def _session_id(self, value: str) -> str:
        if _FORM.fullmatch(value) is None:  # the id names a file
            raise InvalidCredential("the session id does not have the form that Beaker writes")
        if not self._options.get("secret"):
            return value
        session_id: Any = SignedCookie(self._options["secret"]).value_decode(value)[0]
        if not isinstance(session_id, str):
            raise InvalidCredential("the application's secret did not sign the session id")
        return session_id


def _option_mistakes(options: object) -> Iterator[str]:
    if not isinstance(options, Mapping):
        yield f"options: must be SessionMiddleware(app, config).options, not {type(options).__name__}"
        return
    given = cast("Mapping[object, Any]", options)
    if not given:
        yield "options: must not be empty; pass SessionMiddleware(app, config).options"
    if any(str(key).startswith(("session.", "beaker.")) for key in given):  # under these keys we would not find the cookie's name
        yield "options: must not be the arguments of the middleware; pass SessionMiddleware(app, config).options"
    if given.get("type") == "cookie":
        yield "options: sessions of type cookie are not kept on the server; use sessionward.identify.Function for them"
