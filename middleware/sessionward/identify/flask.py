"""Flask's signed session cookie with Flask-Login's keys in it, and its remember-me cookie. Quart writes the same bytes.

Flask-Login's session protection compares addresses and user agents. We leave that to the application.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Self, cast

from flask.json.tag import TaggedJSONSerializer
from itsdangerous import BadData, URLSafeTimedSerializer

from sessionward.errors import ConfigurationError, InvalidCredential, Mistakes
from sessionward.identify.arguments import cookie_mistakes, duration, lifetime_of, user_in
from sessionward.identify.recent import RecentAnswers
from sessionward.identify.remember import (
    ADVICE,
    Remember,
    RememberFunction,
    RememberOf,
    RememberToken,
    freshness_in,
    remember_mistakes,
)
from sessionward.session.identifier import DAY, Identity
from sessionward.settings import Duration

_FORM: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""What Flask writes. itsdangerous ignores other bytes in a signature, and cookie parsers do not agree on them."""


class FlaskLogin:
    """Says which user the cookies of a Flask application sign in, where the session is in the signed cookie.

    ``FlaskLogin.of(app)`` takes every argument from the application's configuration. Without the application, pass its
    ``SECRET_KEY``, its ``SECRET_KEY_FALLBACKS`` as ``fallbacks``, and what differs from Flask's defaults. Without Flask-Login,
    ``FlaskLogin(key, user_key="user_id", remember_cookie=None)`` reads ``session["user_id"]``.

    - ``lifetime``: ``PERMANENT_SESSION_LIFETIME``, which Flask applies to every session.
    - ``samesite``: ``SESSION_COOKIE_SAMESITE`` in lower case, ``""`` if the cookie has none. None: unknown.

    - ``remember``: where the remember-me cookie has another form than Flask-Login's (a fork's, or the application's own), a
      function of its value that returns the user's id, and None for what proves nothing. It may wait.

    Werkzeug quotes a cookie whose user id has blanks, commas or letters outside of ASCII. Such a remember-me cookie is
    invalid here, and the log says so when the application sets one.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: bool = False
    cacheable: bool = True

    def __init__(
        self,
        secret_key: str | bytes,
        *,
        fallbacks: Sequence[str | bytes] = (),
        session_cookie: str = "session",
        remember_cookie: str | None = "remember_token",
        lifetime: Duration = 31 * DAY,
        remember_lifetime: Duration = 365 * DAY,
        user_key: str = "_user_id",
        salt: str = "cookie-session",
        samesite: str | None = None,
        remember: RememberOf | None = None,
    ) -> None:
        mistakes = Mistakes()
        self.lifetime = duration(mistakes, "lifetime", lifetime)
        self.remember_lifetime = duration(mistakes, "remember_lifetime", remember_lifetime)
        if not secret_key or not isinstance(cast("object", secret_key), (str, bytes)):
            mistakes.add(["secret_key: must be the application's SECRET_KEY, a str or bytes; for an application write FlaskLogin.of(app)"])
        if isinstance(fallbacks, (str, bytes)) or not all(fallbacks):
            mistakes.add(["fallbacks: must be a list of earlier secrets, as SECRET_KEY_FALLBACKS is"])
        mistakes.add(cookie_mistakes("session_cookie", session_cookie))
        mistakes.add(remember_mistakes(remember, remember_cookie))
        self._remember: Remember | None = None
        if remember is not None:
            self._remember = RememberFunction(remember, self.remember_lifetime)
        elif remember_cookie is not None and not mistakes.found:
            with mistakes.collected():
                self._remember = RememberToken(secret_key, self.remember_lifetime)
        mistakes.raise_any()
        self.cookies = tuple(filter(None, (session_cookie, remember_cookie)))
        self.advice = {} if remember_cookie is None else {remember_cookie: ADVICE}
        self.blocking = remember is not None
        self.cacheable = not self.blocking  # the function's answer for one cookie may change
        self.samesite = samesite
        self.session_cookie = session_cookie
        self.remember_cookie = remember_cookie
        self.user_key = user_key
        self.salt = salt
        self._serializer: Any = URLSafeTimedSerializer(
            cast("list[bytes]", [*fallbacks, secret_key]),  # itsdangerous expects the current secret last
            salt=salt,
            serializer=TaggedJSONSerializer(),
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha1},
        )
        self._recent = RecentAnswers()
        self._app: Any = None
        self._configuration: Mapping[str, Any] = {}

    @classmethod
    def of(cls, app: Any, *, user_key: str = "_user_id", remember: RememberOf | None = None) -> Self:
        """Returns the identifier for a Flask or Quart application, with its secrets, cookie names, lifetimes and serializer.

        Call this after the last line that changes the configuration. If the configuration changes later, every call of
        ``identify`` raises ``ConfigurationError``, and the client gets 503: we would not check a cookie under another name.
        The identifier reads the remember-me cookie even if the application has no login manager.
        """
        interface = getattr(app, "session_interface", None)
        if interface is None:
            raise ConfigurationError("identify: FlaskLogin.of(app) must get the Flask application itself, not a middleware around it")
        serializer_of = getattr(interface, "get_signing_serializer", None)
        if serializer_of is None:
            kind = type(interface).__name__
            raise ConfigurationError(
                f"identify: {kind} keeps no sessions in the cookie; use sessionward.identify.flask_session.FlaskSession"
            )
        if not app.config.get("SECRET_KEY"):
            raise ConfigurationError(
                "identify: the application's SECRET_KEY is not set yet; call FlaskLogin.of(app) below the line that sets it"
            )
        configuration = _configuration(app)
        identifier = cls(**configuration, user_key=user_key, remember=remember)
        identifier._serializer = serializer_of(app)
        identifier._app = app
        identifier._configuration = configuration
        return identifier

    def __repr__(self) -> str:
        return f"FlaskLogin(cookies={list(self.cookies)})"

    def identify(self, name: str, value: str, /) -> Identity | None:
        """Returns the user that this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`."""
        if self.blocking and name == self.remember_cookie:
            return self._read(name, value)
        return self._recent(self._read, name, value)

    def _read(self, name: str, value: str) -> Identity | None:
        if self._app is not None and _configuration(self._app) != self._configuration:
            raise ConfigurationError(
                "identify: the application's configuration has changed since FlaskLogin.of(app); call it after the last change"
            )
        if name == self.remember_cookie and self._remember is not None:
            return self._remember.read(value)
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("the session cookie does not have the form that Flask writes")
        try:
            session = self._serializer.loads(value, max_age=int(self.lifetime))
        except BadData:  # its message quotes the signature
            raise InvalidCredential("the session cookie is forged or expired") from None
        if not isinstance(session, dict):
            raise InvalidCredential("the session cookie does not hold a session")
        found = cast("dict[str, Any]", session)
        user = user_in(found, self.user_key)
        return None if user is None else Identity(user_id=user, fresh=freshness_in(found))


def _configuration(app: Any) -> dict[str, Any]:
    """Returns the arguments of :class:`FlaskLogin` that an application's configuration gives."""
    config: dict[str, Any] = app.config
    return {
        "secret_key": config["SECRET_KEY"] or "",
        "fallbacks": tuple(config.get("SECRET_KEY_FALLBACKS") or ()),
        "session_cookie": config["SESSION_COOKIE_NAME"],
        "remember_cookie": config.get("REMEMBER_COOKIE_NAME", "remember_token"),
        "samesite": (config.get("SESSION_COOKIE_SAMESITE") or "").lower(),
        "lifetime": lifetime_of(app.permanent_session_lifetime),
        "remember_lifetime": lifetime_of(config.get("REMEMBER_COOKIE_DURATION", timedelta(days=365))),
    }
