"""Sessions of Flask-Session in Redis, an SQL table or a cachelib cache, and Flask-Login's remember-me cookie beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Self, cast

import msgspec
from itsdangerous import BadSignature, Signer
from sqlalchemy import DateTime, Engine, LargeBinary, Select, String, bindparam, column, select
from sqlalchemy import table as table_of

from sessionward.errors import ConfigurationError, InvalidCredential, Mistakes, UsageError
from sessionward.identify.arguments import cookie_mistakes, duration, lifetime_of, user_in
from sessionward.identify.remember import (
    ADVICE,
    Remember,
    RememberFunction,
    RememberOf,
    RememberToken,
    freshness_in,
    remember_mistakes,
)
from sessionward.session.identifier import DAY, AnonymousSession, Identity
from sessionward.settings import Duration

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,255}(?:\.[A-Za-z0-9_-]+)?")
"""The form of ``secrets.token_urlsafe``, followed by a signature if the application signs its session ids."""


class FlaskSession:
    """Says which user the cookies of an application with Flask-Session (0.7 or later) sign in. It only reads the store.

    ``FlaskSession.of(app)`` takes every argument from the application.

    - ``store``: the application's Redis client (it must return bytes, as Flask-Session needs it), the SQLAlchemy Engine of
      its table, or its cachelib cache. We read values in Redis and SQL as msgpack or JSON only. A session that a version
      before 0.7 pickled is invalid, and its user must sign in again. A cachelib cache unpickles its values, here as in the
      application: an attacker who can write to the cache can run code in both.
    - ``secret_key``: the application's ``SECRET_KEY``. It signs the remember-me cookie, and session ids under
      ``SESSION_USE_SIGNER`` (``use_signer=True``).
    - ``remember_cookie``: None for an application without remember-me. A remember-me cookie under another name would sign
      users in without a companion.
    - ``remember``: where that cookie has another form than Flask-Login's, a function of its value that returns the user's id,
      and None for what proves nothing.
    - ``samesite``: ``SESSION_COOKIE_SAMESITE`` in lower case, ``""`` if the cookie has none. None: unknown.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: ClassVar[bool] = True
    server_side: ClassVar[bool] = True
    keeps_id_at_login: ClassVar[bool] = True

    def __init__(
        self,
        store: Any,
        *,
        secret_key: str | bytes | None = None,
        cookie: str = "session",
        prefix: str = "session:",
        user_key: str = "_user_id",
        use_signer: bool = False,
        table: str = "sessions",
        schema: str | None = None,
        remember_cookie: str | None = "remember_token",
        lifetime: Duration = 31 * DAY,
        remember_lifetime: Duration = 365 * DAY,
        samesite: str | None = None,
        remember: RememberOf | None = None,
    ) -> None:
        mistakes = Mistakes()
        self.lifetime = duration(mistakes, "lifetime", lifetime)
        self.remember_lifetime = duration(mistakes, "remember_lifetime", remember_lifetime)
        mistakes.add(_store_mistakes(store))
        mistakes.add(remember_mistakes(remember, remember_cookie))
        if not secret_key and (use_signer or (remember_cookie is not None and remember is None)):
            mistakes.add(
                ["secret_key: must be the application's SECRET_KEY; without signed session ids and remember-me set remember_cookie=None"]
            )
        mistakes.add(cookie_mistakes("cookie", cookie))
        self._signer: Signer | None = None
        self._remember: Remember | None = None
        if remember is not None:
            self._remember = RememberFunction(remember, self.remember_lifetime)
        if secret_key and not mistakes.found:
            if use_signer:
                self._signer = Signer(secret_key, salt="flask-session", key_derivation="hmac")
            if remember_cookie is not None and remember is None:
                with mistakes.collected():
                    self._remember = RememberToken(secret_key, self.remember_lifetime)
        mistakes.raise_any()
        self.cookies = tuple(filter(None, (cookie, remember_cookie)))
        self.advice = {} if remember_cookie is None else {remember_cookie: ADVICE}
        self.samesite = samesite
        self.store = store
        self.cookie = cookie
        self.prefix = prefix
        self.user_key = user_key
        self.use_signer = use_signer
        self.table = table
        self.schema = schema
        self.remember_cookie = remember_cookie
        self._query = _query(table, schema)

    @classmethod
    def of(cls, app: Any, *, user_key: str = "_user_id", remember: RememberOf | None = None) -> Self:
        """Returns the identifier for an application. Call this after Flask-Session is set up; the identifier ignores later changes."""
        interface: Any = getattr(app, "session_interface", None)
        if interface is None:
            raise ConfigurationError("identify: FlaskSession.of(app) must get the Flask application itself, not a middleware around it")
        config: dict[str, Any] = app.config
        if not hasattr(interface, "key_prefix"):
            kind = type(interface).__name__
            raise ConfigurationError(f"identify: {kind} is not of Flask-Session; use sessionward.identify.flask.FlaskLogin")
        store: Any = getattr(interface, "cache", None) or getattr(interface, "client", None)
        where: dict[str, Any] = {}
        model: Any = getattr(interface, "sql_session_model", None)
        if model is not None:
            with app.app_context():
                store = store.engines[model.__bind_key__]
            where = {"table": model.__table__.name, "schema": model.__table__.schema}
        return cls(
            store,
            secret_key=config["SECRET_KEY"],
            cookie=config["SESSION_COOKIE_NAME"],
            prefix=interface.key_prefix,
            user_key=user_key,
            use_signer=interface.use_signer,
            remember_cookie=config.get("REMEMBER_COOKIE_NAME", "remember_token") if config["SECRET_KEY"] or remember else None,
            remember=remember,
            lifetime=lifetime_of(app.permanent_session_lifetime),
            samesite=(config.get("SESSION_COOKIE_SAMESITE") or "").lower(),
            remember_lifetime=lifetime_of(config.get("REMEMBER_COOKIE_DURATION", timedelta(days=365))),
            **where,
        )

    def __repr__(self) -> str:
        return f"FlaskSession(cookies={list(self.cookies)})"

    def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:
        """Returns the user that this cookie signs in.

        Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the store raises.
        """
        if name == self.remember_cookie and self._remember is not None:
            return self._remember.read(value)
        session_id = self._session_id(value)
        session = self._session(session_id)
        user = user_in(session, self.user_key)
        if user is None:
            return AnonymousSession(session_id=session_id)
        return Identity(user_id=user, session_id=session_id, fresh=freshness_in(session))

    def _session_id(self, value: str) -> str:
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("the session id does not have the form that Flask-Session writes")
        if self._signer is None:
            return value
        try:
            return self._signer.unsign(value).decode("ascii")
        except BadSignature:
            raise InvalidCredential("the application's secret did not sign the session id") from None

    def _session(self, session_id: str) -> Mapping[str, Any]:
        key = self.prefix + session_id
        found: Any = self._row(self.store, key) if isinstance(self.store, Engine) else self.store.get(key)
        if isinstance(found, bytes):
            found = _decoded(found)
        if found is None:
            raise InvalidCredential("the store does not know the session id")
        if not isinstance(found, Mapping):
            raise UsageError(
                f"the store returned {type(found).__name__}, but must return bytes, a dict or None; leave out decode_responses"
            )
        return cast("Mapping[str, Any]", found)

    def _row(self, engine: Engine, key: str) -> Any:
        """Returns the data of a live session, or None if there is no live session."""
        with engine.connect() as connection:
            row = connection.execute(self._query, {"key": key}).first()
        # A database that compares without case finds the row of another session for this id.
        if row is None or row[0] != key or row[2] is None:
            return None
        now = datetime.now(UTC).replace(tzinfo=None)  # Flask-Session stores UTC without a time zone
        return row[1] if row[2] > now else None


def _store_mistakes(store: object) -> Iterator[str]:
    if not isinstance(store, Engine) and not callable(getattr(store, "get", None)):
        yield "store: must be a Redis client, an SQLAlchemy Engine or a cachelib cache"
    if hasattr(store, "session_interface"):
        yield "store: must not be the application; for an application write FlaskSession.of(app)"
    if type(store).__module__.startswith("redis.asyncio"):
        yield "store: must be the sync client, redis.Redis, which Flask-Session uses"


def _query(table: str, schema: str | None) -> Select[tuple[Any, Any, Any]]:
    key, data, expiry = column("session_id", String), column("data", LargeBinary), column("expiry", DateTime)
    return select(key, data, expiry).select_from(table_of(table, key, data, expiry, schema=schema)).where(key == bindparam("key"))


_DECODERS: Final = (msgspec.msgpack.Decoder(), msgspec.json.Decoder())


def _decoded(data: bytes) -> Mapping[str, Any] | None:
    """Returns what Flask-Session stored as msgpack or JSON, or None. Flask-Session falls back to pickle; this function never does."""
    for decoder in _DECODERS:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            found: Any = decoder.decode(data)
            if isinstance(found, dict):
                return cast("dict[str, Any]", found)
    return None
