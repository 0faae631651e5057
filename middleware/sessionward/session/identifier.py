"""The protocol of an identifier, which says whom the application has signed in, and the step with which a flow asks it.

An identifier reads the login credentials of an application: its session cookie, its remember-me cookie, its JWT. It says which
user they sign in. The companion session of the same browser decides whether they are still valid (``modes/companion``). To write
one, write a class with ``cookies`` and ``identify`` (:class:`Identifier`), or pass a function to
:class:`sessionward.identify.Function`.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Final, Protocol, TypeAlias, cast

from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError
from sessionward.session.session import user_key
from sessionward.session.step import Step

DAY: Final = 86_400.0
"""Seconds."""


def app_session_digest(session_id: str | bytes) -> bytes:
    """Returns the SHA-256 of the id of an application's session, 32 bytes. We keep only this digest."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogateescape") if isinstance(session_id, str) else session_id).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The user whom a login credential of the application signs in.

    - ``user_id``: the same user must have the same id in every credential. An ``int`` or ``UUID`` becomes a ``str``.
    - ``session_id``: the id of the application's session, if it stays the same from one response to the next. A companion then
      belongs to this session only. We keep only a digest of it. None for a cookie that each response signs anew.
    - ``issued_at``: seconds since 1970 by the issuer's clock. We read it only for headers, which have no companion.
    - ``lifetime``: the longest time that this credential can live from now on, in seconds. None: the identifier's ``lifetime``.

    Raises :class:`~sessionward.errors.UsageError` for a value that is not a user id.
    """

    user_id: str
    session_id: InitVar[str | bytes | None] = None
    issued_at: float | None = None
    lifetime: float | None = None
    app_session: bytes | None = field(init=False, default=None, repr=False)

    def __post_init__(self, session_id: str | bytes | None) -> None:
        object.__setattr__(self, "user_id", user_key(self.user_id))
        object.__setattr__(self, "app_session", None if session_id is None else app_session_digest(session_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnonymousSession:
    """A session of the application that names no user, but has an id that stays. Before, it may have named a user.

    ``session_id``: the id. We keep only a digest of it.
    """

    session_id: InitVar[str | bytes]
    app_session: bytes = field(init=False, repr=False)

    def __post_init__(self, session_id: str | bytes) -> None:
        object.__setattr__(self, "app_session", app_session_digest(session_id))


class Identifier(Protocol):
    """Says which user the application has signed in; sync.

    ``cookies``: the names of all cookies that can sign a user in, including remember-me cookies, in order of precedence. A name
    that ends in ``*`` means numbered parts of one value: ``session-*`` is ``session-0``, ``session-1``, ... joined in order.

    An identifier may also have:

    - ``headers`` (default ``()``): headers that can sign a user in, as :class:`~sessionward.identify.Carrier` values.
    - ``server_side`` (default False): True if the login may change while the cookie stays the same, as in a store on the server.
    - ``outer_key`` (default None): a key that the application's session middleware sets in the scope or environ. If we find the
      key, that middleware runs before ours and has read the login already, so the client gets 503.
    - ``keeps_id_at_login`` (default False): True if sessions keep their id when a user signs in. Then ``identify`` must return
      an :class:`AnonymousSession`, never None, for a session that names no user.
    - ``samesite`` (default None, unknown): the SameSite attribute of the application's login cookie in lower case, ``""`` if it
      has none.
    - ``blocking`` (default True): False if ``identify`` never waits.
    - ``lifetime`` (default 31 days): the longest time that a login can live, in seconds.
    """

    @property
    def cookies(self) -> Sequence[str]: ...

    def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:
        """Returns the user whom this credential signs in, or None if it is valid and names no user.

        Where sessions keep their id when a user signs in, it returns an :class:`AnonymousSession` instead of None. The
        middleware then also removes an anonymous id whose session was revoked, since a request in flight could sign a user in
        under this id.

        ``name``: as in ``cookies``, or the lower-case name of the header. ``value``: as in the request, one character for each
        byte, not decoded. Raises :class:`~sessionward.errors.InvalidCredential` if the credential is forged, expired, malformed
        or unknown to the store; the middleware then removes it from the request. Any other exception means that the store could
        not answer, and the client gets 503.
        """
        ...


class AsyncIdentifier(Protocol):
    """Says which user the application has signed in; async. Otherwise like :class:`Identifier`."""

    @property
    def cookies(self) -> Sequence[str]: ...

    async def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None: ...


AnyIdentifier: TypeAlias = Identifier | AsyncIdentifier


@dataclass(frozen=True, slots=True)
class IdentifierSpec:
    """What an identifier declares about itself, read once when a middleware is made."""

    identifier: Any
    cookies: tuple[bytes, ...]
    headers: tuple[Carrier, ...]
    server_side: bool
    blocks: bool
    is_async: bool
    lifetime: float
    outer_key: str | None
    samesite: str | None
    keeps_id_at_login: bool

    @classmethod
    def of(cls, identifier: object) -> IdentifierSpec:
        """Returns the declarations of an identifier. Raises :class:`ConfigurationError` for an object that is not one."""
        kind = type(identifier).__name__
        if isinstance(identifier, type):
            raise ConfigurationError(f"identify: {identifier.__name__} is a class; pass an instance, {identifier.__name__}(...)")
        if inspect.ismethod(identifier):
            raise ConfigurationError(
                f"identify: {identifier.__qualname__} is a method that has not been called; write {identifier.__qualname__}(app)"
            )
        identify = getattr(identifier, "identify", None)
        if not callable(identify):
            way_out = (
                "pass it to sessionward.identify.Function(function, cookies=[...])"
                if callable(identifier)
                else "see sessionward.identify.Identifier"
            )
            raise ConfigurationError(f"identify: {kind} has no identify(); {way_out}")
        cookies = _strings(getattr(identifier, "cookies", None))
        headers: tuple[Carrier, ...] = tuple(getattr(identifier, "headers", ()))
        if cookies is None:
            raise ConfigurationError(f"identify: {kind}.cookies must be a list of cookie names")
        if not cookies and not headers:
            raise ConfigurationError(f"identify: {kind} lists neither cookies nor headers; name every one that can sign a user in")
        return cls(
            identifier,
            tuple(name.encode("ascii") for name in cookies),
            headers,
            bool(getattr(identifier, "server_side", False)),
            bool(getattr(identifier, "blocking", True)),
            inspect.iscoroutinefunction(identify),
            float(getattr(identifier, "lifetime", 31 * DAY)),
            getattr(identifier, "outer_key", None),
            getattr(identifier, "samesite", None),
            bool(getattr(identifier, "keeps_id_at_login", False)),
        )


def _strings(value: object) -> Sequence[str] | None:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return None
    strings = [item for item in cast("Sequence[object]", value) if isinstance(item, str)]
    return strings if len(strings) == len(cast("Sequence[object]", value)) else None


@dataclass(frozen=True, slots=True)
class Identify(Step[Identity | AnonymousSession | None]):
    """Asks the identifier which user a credential signs in. The backend does not answer this step."""

    spec: IdentifierSpec
    name: str
    value: str = field(repr=False)
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:  # noqa: ARG002 - the identifier answers
        return self.spec.identifier.identify(self.name, self.value)
