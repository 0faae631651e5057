"""The protocol of an identifier, which says whom the application has signed in, and the step with which a flow asks it.

An identifier reads the login credentials of an application: its session cookie, its remember-me cookie, its JWT. It says which
user they sign in. The companion session of the same browser decides whether they are still valid (``modes/companion``). To write
one, write a class with ``cookies`` and ``identify`` (:class:`Identifier`), or pass a function to
:class:`sessionward.identify.Function`.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Final, Protocol, Self, TypeAlias, cast

from sessionward.credential.carriers import Carrier
from sessionward.errors import ConfigurationError, InvalidCredential, UsageError
from sessionward.session.session import user_key
from sessionward.session.step import Step
from sessionward.settings import MAX_LIFETIME, seconds

DAY: Final = 86_400.0
"""Seconds."""
_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A token of RFC 9110, 5.6.2."""


def app_session_digest(session_id: str | bytes) -> bytes:
    """Returns the SHA-256 of the id of an application's session, 32 bytes. We keep only this digest."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogateescape") if isinstance(session_id, str) else session_id).digest()


def checked_lifetime(value: object, *, least: float = 1.0) -> float:
    """A lifetime in seconds. Raises TypeError or ValueError, with what it must be, for what is none."""
    lifetime = seconds(value)
    if not least <= lifetime <= MAX_LIFETIME:  # nan is neither
        raise ValueError(f"must be at least {least:g} and at most {MAX_LIFETIME:.0f} seconds ({MAX_LIFETIME / DAY:.0f} days)")
    return lifetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The user whom a login credential of the application signs in.

    - ``user_id``: the same user must have the same id in every credential. An ``int`` or ``UUID`` becomes a ``str``.
    - ``session_id``: the id of the application's session, if it stays the same from one response to the next. A companion then
      belongs to this session only. We keep only a digest of it. None for a cookie that each response signs anew.
    - ``issued_at``: seconds since 1970 by the issuer's clock. We read it only for headers, which have no companion.
    - ``lifetime``: the longest time that this credential can live from now on, in seconds. None: the identifier's ``lifetime``.
    - ``fresh``: False if the login was remembered, and the user has not proved anew who they are: then it is no recent sign-in (the
      setting ``recent``). True if the credential says that they have; with ``server_side`` that renews no login that was remembered.
      None if it does not say: then a login that a response sets is fresh.
    - ``actor``: the id of the user who acts as ``user_id``, such as an administrator who impersonates the user, or None. The companion
      is then of kind ``impersonation``. For a token with the claim ``act`` (RFC 8693, 4.1) it is that of the outermost ``act``.

    Raises :class:`~sessionward.errors.UsageError` for a value that is not a user id or not a number of seconds, and
    :class:`~sessionward.errors.InvalidCredential` for a lifetime that is over.
    """

    user_id: str
    session_id: InitVar[str | bytes | None] = None
    issued_at: float | None = None
    lifetime: float | None = None
    fresh: bool | None = None
    actor: str | None = None
    app_session: bytes | None = field(init=False, default=None, repr=False)

    def __post_init__(self, session_id: str | bytes | None) -> None:
        object.__setattr__(self, "user_id", user_key(self.user_id))
        object.__setattr__(self, "actor", None if self.actor is None else user_key(self.actor))
        if self.lifetime is not None:
            object.__setattr__(self, "lifetime", _left(self.lifetime))
        object.__setattr__(self, "app_session", None if session_id is None else app_session_digest(session_id))

    def remembered(self) -> Self:
        """Returns the same user by a login that was remembered, unless the credential says whether it is fresh."""
        if self.fresh is not None:
            return self
        identity = copy.copy(self)
        object.__setattr__(identity, "fresh", False)
        return identity


def _left(lifetime: object) -> float:
    try:
        left = seconds(lifetime)
    except TypeError as wrong:
        raise UsageError(f"lifetime: {wrong}") from None
    if not math.isfinite(left):
        raise UsageError("lifetime: must be a finite number of seconds")
    if left <= 0:
        raise InvalidCredential("the credential has expired")
    return min(left, MAX_LIFETIME)


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
    - ``blocking`` (default True): False if ``identify`` never waits. We call one that may wait in a thread of our own, so that the
      timeout holds for it too. Context variables are there; thread-local variables are not.
    - ``cacheable`` (default False): True if ``identify`` never waits and its answer depends only on its arguments and the time.
      Then we may use an answer again for five seconds, also if its credential expires meanwhile. A class attribute: a subclass
      that overrides ``identify`` does not inherit it.
    - ``lifetime`` (default 31 days): the longest time that a login can live, in seconds.
    - ``advice`` (default none): messages for the log, by cookie name. We log one if the application sets such a cookie and
      ``identify`` cannot read it.
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
    cacheable: bool
    advice: Mapping[str, str] = field(default_factory=dict[str, str])

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
        if odd := [name for name in cookies if not _COOKIE_NAME.fullmatch(name)]:
            raise ConfigurationError(f"identify: {kind}.cookies: {odd[0]!r} is not a name that a cookie can have")
        if not cookies and not headers:
            raise ConfigurationError(f"identify: {kind} lists neither cookies nor headers; name every one that can sign a user in")
        try:
            lifetime = checked_lifetime(getattr(identifier, "lifetime", 31 * DAY))
        except (TypeError, ValueError) as wrong:
            raise ConfigurationError(f"identify: {kind}.lifetime: {wrong}") from None
        return cls(
            identifier,
            tuple(name.encode("ascii") for name in cookies),
            headers,
            bool(getattr(identifier, "server_side", False)),
            bool(getattr(identifier, "blocking", True)),
            inspect.iscoroutinefunction(identify),
            lifetime,
            getattr(identifier, "outer_key", None),
            getattr(identifier, "samesite", None),
            bool(getattr(identifier, "keeps_id_at_login", False)),
            _is_cacheable(identifier),
            dict(getattr(identifier, "advice", {})),
        )


def _is_cacheable(identifier: object) -> bool:
    """Returns what an identifier says of itself, unless a subclass has overridden ``identify`` without saying it anew."""
    declares = next((kind for kind in type(identifier).__mro__ if vars(kind).keys() & {"cacheable", "identify"}), object)
    return "cacheable" in vars(declares) and bool(getattr(identifier, "cacheable", False))


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

    def answerer(self) -> str:
        return f"identifier {type(self.spec.identifier).__name__}"

    def ask(self, backend: Any) -> Any:  # noqa: ARG002 - the identifier answers
        return self.spec.identifier.identify(self.name, self.value)
