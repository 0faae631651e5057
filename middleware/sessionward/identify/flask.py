"""Flask's signed session cookie with Flask-Login's keys in it, and its remember-me cookie; Quart writes the same bytes.

The session protection of Flask-Login looks at addresses and user agents and is left to the application.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final, Self, cast

from flask.json.tag import TaggedJSONSerializer
from itsdangerous import BadData, URLSafeTimedSerializer

from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.identify.recent import Recent
from sessionward.identify.remember import RememberToken
from sessionward.session.identifier import Identity
from sessionward.settings import Duration, seconds

_FORM: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""What Flask writes. itsdangerous skips other bytes in a signature, where cookie parsers do not agree on them."""


@dataclass(frozen=True, slots=True)
class FlaskLogin:
    """Who is signed in to a Flask application that keeps its sessions in the signed cookie; never touches the application.

    ``FlaskLogin.of(app)`` takes everything from the application's configuration. Without an application at hand, give its
    ``SECRET_KEY``, its ``SECRET_KEY_FALLBACKS`` as ``fallbacks`` and what else differs from Flask's defaults.
    Without Flask-Login, ``FlaskLogin(key, user_key="user_id", remember_cookie=None)`` reads ``session["user_id"]``.

    A user id that Werkzeug has to quote in a cookie (blanks, commas, letters beyond ASCII) is not remembered: such a
    remember-me cookie is unreadable. Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    secret_key: str | bytes = field(repr=False)
    _: KW_ONLY
    fallbacks: Sequence[str | bytes] = field(default=(), repr=False)
    session_cookie: str = "session"
    remember_cookie: str | None = "remember_token"
    lifetime: Duration = 31 * 86_400.0
    """``PERMANENT_SESSION_LIFETIME``, which Flask applies to every session."""
    remember_lifetime: Duration = 365 * 86_400.0
    user_key: str = "_user_id"
    salt: str = "cookie-session"
    samesite: str | None = None
    """``SESSION_COOKIE_SAMESITE`` in small letters, ``""`` if the cookie has none; None: unknown."""
    cookies: Sequence[str] = field(init=False)
    blocking: ClassVar[bool] = False
    _serializer: Any = field(init=False, repr=False)
    _remember: RememberToken | None = field(init=False, repr=False, default=None)
    _app: Any = field(init=False, repr=False, compare=False, default=None)
    _recent: Recent = field(init=False, repr=False, compare=False, default_factory=Recent)

    def __post_init__(self) -> None:
        mistakes: list[str] = []
        for name in ("lifetime", "remember_lifetime"):
            try:
                object.__setattr__(self, name, seconds(getattr(self, name)))
            except TypeError as wrong:
                mistakes.append(f"{name}: {wrong}")
        if not self.secret_key or not isinstance(cast("object", self.secret_key), (str, bytes)):
            mistakes.append("secret_key: the application's SECRET_KEY is needed, as text or bytes; of an application: FlaskLogin.of(app)")
        if isinstance(self.fallbacks, (str, bytes)) or not all(self.fallbacks):
            mistakes.append("fallbacks: a list of earlier secrets is needed, as in SECRET_KEY_FALLBACKS")
        if not self.session_cookie:
            mistakes.append("session_cookie: a cookie name is needed")
        if self.remember_cookie is not None and not mistakes:
            try:
                object.__setattr__(self, "_remember", RememberToken(self.secret_key, cast("float", self.remember_lifetime)))
            except UnicodeEncodeError:
                mistakes.append("secret_key: Flask-Login signs with latin-1 text or bytes; if it is not used, set remember_cookie=None")
        if mistakes:
            raise ConfigurationError(*mistakes)
        object.__setattr__(self, "cookies", tuple(filter(None, (self.session_cookie, self.remember_cookie))))
        object.__setattr__(
            self,
            "_serializer",
            URLSafeTimedSerializer(
                cast("list[bytes]", [*self.fallbacks, self.secret_key]),  # itsdangerous wants the current one last
                salt=self.salt,
                serializer=TaggedJSONSerializer(),
                signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha1},
            ),
        )

    @classmethod
    def of(cls, app: Any, *, user_key: str = "_user_id") -> Self:
        """From a Flask or Quart application: its secrets, cookie names and lifetimes, and how it signs.

        Call it after the last line that changes the configuration: once that differs, every question is refused with
        ``ConfigurationError`` (503), since a cookie of another name would pass unseen. The remember-me cookie counts whether
        or not a login manager has been set up so far.
        """
        interface = getattr(app, "session_interface", None)
        if interface is None:
            raise ConfigurationError("identify: FlaskLogin.of(app) wants the Flask application itself, not what stands around it")
        serializer_of = getattr(interface, "get_signing_serializer", None)
        if serializer_of is None:
            kind = type(interface).__name__
            raise ConfigurationError(f"identify: {kind} keeps no sessions in the cookie; see sessionward.identify.flask_session")
        identifier = cls(**_arguments(app), user_key=user_key)
        object.__setattr__(identifier, "_serializer", serializer_of(app))
        object.__setattr__(identifier, "_app", app)
        return identifier

    def identify(self, name: str, value: str, /) -> Identity | None:
        """Whom this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`."""
        return self._recent(self._read, name, value)

    def _read(self, name: str, value: str) -> Identity | None:
        if self._app is not None and any(getattr(self, key) != now for key, now in _arguments(self._app).items()):
            raise ConfigurationError("identify: the application's configuration has changed since FlaskLogin.of(app); call that last")
        if name == self.remember_cookie and self._remember is not None:
            return self._remember.read(value)
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("a session cookie of no known form")
        try:
            session = self._serializer.loads(value, max_age=int(cast("float", self.lifetime)))
        except BadData:  # its text quotes the signature
            raise InvalidCredential("a session cookie that is forged or expired") from None
        if not isinstance(session, dict):
            raise InvalidCredential("a session cookie that holds no session")
        user = cast("dict[str, Any]", session).get(self.user_key)
        return Identity(user_id=user) if user else None  # some applications sign out by writing "" or False


def _arguments(app: Any) -> dict[str, Any]:
    """What an application's configuration says, by the names of our fields."""
    config: dict[str, Any] = app.config
    return {
        "secret_key": config["SECRET_KEY"] or "",
        "fallbacks": tuple(config.get("SECRET_KEY_FALLBACKS") or ()),
        "session_cookie": config["SESSION_COOKIE_NAME"],
        "remember_cookie": config.get("REMEMBER_COOKIE_NAME", "remember_token"),
        "samesite": (config.get("SESSION_COOKIE_SAMESITE") or "").lower(),
        "lifetime": seconds(app.permanent_session_lifetime),
        "remember_lifetime": seconds(config.get("REMEMBER_COOKIE_DURATION", timedelta(days=365))),
    }
