"""Sessions of Flask-Session in Redis, an SQL table or a cachelib cache, and Flask-Login's remember-me cookie beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Self, cast

import msgspec
from itsdangerous import BadSignature, Signer
from sqlalchemy import DateTime, Engine, LargeBinary, Select, String, bindparam, column, select, table

from sessionward.errors import ConfigurationError, InvalidCredential, UsageError
from sessionward.identify.remember import RememberToken
from sessionward.session.identifier import AnonymousSession, Identity
from sessionward.settings import Duration, seconds

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,255}(?:\.[A-Za-z0-9_-]+)?")
"""``secrets.token_urlsafe``, with a signature behind it where the application signs its ids."""


@dataclass(frozen=True, slots=True)
class FlaskSession:
    """Who is signed in to an application that uses Flask-Session (0.7 or later). It only reads the store.

    ``store``: the application's Redis client (with bytes as answers, as Flask-Session needs it), the SQLAlchemy Engine
    that holds its table, or its cachelib cache. Values in Redis and SQL are read as msgpack or JSON and as nothing else:
    what versions before 0.7 pickled is unreadable, and its owner signs in anew. A cachelib cache unpickles by itself
    whatever lies in it, here as in the application: who can write there commands both.

    ``secret_key`` is the application's: it signs Flask-Login's remember-me cookie, and session ids under
    ``SESSION_USE_SIGNER`` (``use_signer=True``). An application without remember-me says ``remember_cookie=None``; to
    forget that cookie would let it sign in past the companion. Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    store: Any = field(repr=False)
    _: KW_ONLY
    secret_key: str | bytes | None = field(default=None, repr=False)
    cookie: str = "session"
    prefix: str = "session:"
    user_key: str = "_user_id"
    use_signer: bool = False
    table: str = "sessions"
    schema: str | None = None
    remember_cookie: str | None = "remember_token"
    lifetime: Duration = 31 * 86_400.0
    remember_lifetime: Duration = 365 * 86_400.0
    samesite: str | None = None
    """``SESSION_COOKIE_SAMESITE`` in small letters, ``""`` if the cookie has none; None: unknown."""
    cookies: tuple[str, ...] = field(init=False)
    server_side: ClassVar[bool] = True
    keeps_id_at_login: ClassVar[bool] = True
    blocking: ClassVar[bool] = True
    _signer: Signer | None = field(init=False, repr=False, default=None)
    _remember: RememberToken | None = field(init=False, repr=False, default=None)
    _query: Select[tuple[Any, Any, Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mistakes: list[str] = []
        for name in ("lifetime", "remember_lifetime"):
            try:
                object.__setattr__(self, name, seconds(getattr(self, name)))
            except TypeError as wrong:
                mistakes.append(f"{name}: {wrong}")
        if not isinstance(self.store, Engine) and not callable(getattr(self.store, "get", None)):
            mistakes.append("store: a Redis client, an SQLAlchemy Engine or a cachelib cache is needed")
        if hasattr(self.store, "session_interface"):
            mistakes.append("store: this is the application; write FlaskSession.of(app)")
        if type(self.store).__module__.startswith("redis.asyncio"):
            mistakes.append("store: Flask-Session uses the plain client, redis.Redis; pass that one")
        if not self.secret_key and (self.use_signer or self.remember_cookie is not None):
            mistakes.append(
                "secret_key: the application's SECRET_KEY is needed; without signed ids and remember-me, set remember_cookie=None"
            )
        if not self.cookie:
            mistakes.append("cookie: a cookie name is needed")
        if self.secret_key and not mistakes:
            mistakes.extend(self._take(self.secret_key))
        if mistakes:
            raise ConfigurationError(*mistakes)
        object.__setattr__(self, "cookies", tuple(filter(None, (self.cookie, self.remember_cookie))))
        key, data, expiry = column("session_id", String), column("data", LargeBinary), column("expiry", DateTime)
        rows = table(self.table, key, data, expiry, schema=self.schema)
        object.__setattr__(self, "_query", select(key, data, expiry).select_from(rows).where(key == bindparam("key")))

    @classmethod
    def of(cls, app: Any, *, user_key: str = "_user_id") -> Self:
        """From an application that Flask-Session has been set up for. Later changes of its configuration are not seen."""
        interface: Any = getattr(app, "session_interface", None)
        if interface is None:
            raise ConfigurationError("identify: FlaskSession.of(app) wants the Flask application itself, not what stands around it")
        config: dict[str, Any] = app.config
        if not hasattr(interface, "key_prefix"):
            raise ConfigurationError(f"identify: {type(interface).__name__} is not of Flask-Session; see sessionward.identify.flask")
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
            remember_cookie=config.get("REMEMBER_COOKIE_NAME", "remember_token") if config["SECRET_KEY"] else None,
            lifetime=app.permanent_session_lifetime,
            samesite=(config.get("SESSION_COOKIE_SAMESITE") or "").lower(),
            remember_lifetime=config.get("REMEMBER_COOKIE_DURATION", timedelta(days=365)),
            **where,
        )

    def _take(self, secret: str | bytes) -> list[str]:
        if self.use_signer:
            object.__setattr__(self, "_signer", Signer(secret, salt="flask-session", key_derivation="hmac"))
        if self.remember_cookie is not None:
            try:
                object.__setattr__(self, "_remember", RememberToken(secret, cast("float", self.remember_lifetime)))
            except UnicodeEncodeError:
                return ["secret_key: Flask-Login signs with latin-1 text or bytes; if it is not used, set remember_cookie=None"]
        return []

    def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:
        """Whom this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`, and whatever the store raises."""
        if name == self.remember_cookie and self._remember is not None:
            return self._remember.read(value)
        session_id = self._session_id(value)
        user = self._session(session_id).get(self.user_key)
        return (
            Identity(user_id=user, session_id=session_id) if user else AnonymousSession(session_id=session_id)
        )  # some sign out by writing "" or False

    def _session_id(self, value: str) -> str:
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("a session id of no known form")
        if self._signer is None:
            return value
        try:
            return self._signer.unsign(value).decode("ascii")
        except BadSignature:
            raise InvalidCredential("a session id that the application's secret did not sign") from None

    def _session(self, session_id: str) -> Mapping[str, Any]:
        key = self.prefix + session_id
        found: Any = self._row(self.store, key) if isinstance(self.store, Engine) else self.store.get(key)
        if isinstance(found, bytes):
            found = _decoded(found)
        if found is None:
            raise InvalidCredential("a session id that the store does not know")
        if not isinstance(found, Mapping):
            raise UsageError(f"the store answered with {type(found).__name__}; its answers are bytes, a dict or None")
        return cast("Mapping[str, Any]", found)

    def _row(self, engine: Engine, key: str) -> Any:
        """The data of a live session; None if there is none."""
        with engine.connect() as connection:
            row = connection.execute(self._query, {"key": key}).first()
        # A database that takes `A` for `a` finds the row for an id that is not the session's own.
        if row is None or row[0] != key or row[2] is None:
            return None
        now = datetime.now(UTC).replace(tzinfo=None)  # Flask-Session keeps UTC without saying so
        return row[1] if row[2] > now else None


_DECODERS: Final = (msgspec.msgpack.Decoder(), msgspec.json.Decoder())


def _decoded(data: bytes) -> Mapping[str, Any] | None:
    """What Flask-Session stored as msgpack or JSON. Never a pickle, for which it falls back itself."""
    for decoder in _DECODERS:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            found: Any = decoder.decode(data)
            if isinstance(found, dict):
                return cast("dict[str, Any]", found)
    return None
