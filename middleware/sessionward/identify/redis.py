"""Sessions that an application keeps in Redis: as JSON, as a hash, or as the user's id alone."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final, Protocol, cast

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sessionward.errors import InvalidCredential, Mistakes
from sessionward.identify.arguments import duration
from sessionward.identify.lookup import Header, Key, at_path, carriers, whose
from sessionward.session.identifier import DAY, AnonymousSession, Identity
from sessionward.settings import Duration

FORMATS: Final = ("json", "hash", "string")


class Client(Protocol):
    """The part of a sync Redis client that we use."""

    def get(self, name: str, /) -> Any: ...

    def hmget(self, name: str, keys: list[str], /) -> Any: ...

    def exists(self, name: str, /) -> Any: ...


class RedisKey:
    """Says which user a session in Redis signs in. It only reads, and needs the commands GET, or HMGET and EXISTS.

    - ``url``: such as ``redis://127.0.0.1:6379/0``, or a sync client that does not decode.
    - ``key``: the name of the session's key, in which ``{value}`` is what the client sends: ``session:{value}``.
    - ``format``: ``json``, ``hash`` or ``string``. ``field``: where the user's id is, a dotted path in JSON (``user.id``), or
      the field of a hash. A ``string`` is the user's id itself. A session without the field names no user.
    - ``cookie``, ``header``: what carries the value. ``header`` is a name, and perhaps a scheme.
    - ``pattern``, ``digest``: see :class:`sessionward.identify.lookup.Key`. The cookie of express-session has the pattern
      ``s%3A([^.]+)\\..+``.
    - ``timeout``: seconds to connect, and for an answer. ``lifetime``: the longest time that a login can live.

    A value whose key does not exist is invalid.

    Raises :class:`~sessionward.errors.ConfigurationError`.
    """

    blocking: ClassVar[bool] = True
    server_side: ClassVar[bool] = True
    keeps_id_at_login: ClassVar[bool] = True

    def __init__(
        self,
        url: str | Client,
        key: str,
        *,
        field: str = "",
        format: str = "json",
        cookie: str | None = None,
        header: Header | None = None,
        pattern: str | None = None,
        digest: str | None = None,
        timeout: Duration = 2.0,
        lifetime: Duration = 31 * DAY,
    ) -> None:
        mistakes = Mistakes()
        self.cookies, self.headers = carriers(mistakes, cookie, header)
        self.lifetime = duration(mistakes, "lifetime", lifetime)
        patience = duration(mistakes, "timeout", timeout, least=0.1)
        self._id = Key(mistakes, pattern=pattern, digest=digest)
        if key.count("{value}") != 1:
            mistakes.add(["key: must contain {value} once, such as session:{value}"])
        if format not in FORMATS:
            mistakes.add([f"format: must be one of {', '.join(FORMATS)}"])
        elif (format == "string") is bool(field):
            mistakes.add(["field: must say where the user's id is" if not field else "field: a string has none; leave it out"])
        client = _client(mistakes, url, patience) if isinstance(url, str) else url
        mistakes.raise_any()
        assert client is not None
        self._client = client
        self._key = key
        self._format = format
        self._field = field

    def __repr__(self) -> str:
        return f"RedisKey(cookies={list(self.cookies)})"

    def identify(self, name: str, value: str, /) -> Identity | AnonymousSession:  # noqa: ARG002 - all carriers have the same key
        """Returns the user whose session this value names.

        Raises :class:`~sessionward.errors.InvalidCredential`, and whatever Redis raises.
        """
        session_id = self._id.of(value)
        key = self._key.replace("{value}", session_id)
        return whose(self._user(key), session_id)

    def _user(self, key: str) -> Any:
        if self._format == "hash":
            (user,) = self._client.hmget(key, [self._field])
            if user is None and not self._client.exists(key):
                raise InvalidCredential("Redis does not know the session")
            return user
        found: Any = self._client.get(key)
        if found is None:
            raise InvalidCredential("Redis does not know the session")
        if self._format == "string":
            return found
        try:
            return at_path(json.loads(found), self._field.split("."))
        except ValueError:
            raise InvalidCredential("the session in Redis is not JSON") from None


def _client(mistakes: Mistakes, url: str, timeout: float) -> Client | None:
    try:
        pool: ConnectionPool = cast("Any", ConnectionPool).from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1),  # for a connection that Redis has closed while it was idle
        )
        return Redis(connection_pool=pool)
    except ValueError:  # its message would show the password
        mistakes.add(["url: must be a URL such as redis://127.0.0.1:6379/0, rediss://... or unix:///run/redis.sock"])
        return None
