"""Who does the application say is signed in? What an identifier is, and the question that a flow asks it.

An identifier reads the login credentials that an application already hands out: its session cookie, its remember-me
cookie, its JWT. It says whose they are; the companion session of the same browser decides whether they may still be used
(``modes/companion``). To write one, give a class ``cookies`` and ``identify`` (:class:`Identifier`), or hand a function to
:class:`sessionward.identify.Function`.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Final, Protocol, TypeAlias, cast

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
    """The SHA-256 of the id of an application's session, 32 bytes: all that is kept of it."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogateescape") if isinstance(session_id, str) else session_id).digest()


def checked_lifetime(value: object, *, least: float = 1.0) -> float:
    """A lifetime in seconds. Raises TypeError or ValueError, with what it must be, for what is none."""
    lifetime = seconds(value)
    if not least <= lifetime <= MAX_LIFETIME:  # nan is neither
        raise ValueError(f"must be at least {least:g} and at most {MAX_LIFETIME:.0f} seconds ({MAX_LIFETIME / DAY:.0f} days)")
    return lifetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom a login credential of the application signs in.

    - ``user_id``: the same person must have the same id in every credential. An ``int`` or ``UUID`` becomes its text.
    - ``session_id``: the id of the application's session, where that stays the same from one answer to the next; a companion
      then belongs to this session only. It is digested here and not kept. None for what is signed anew with each answer.
    - ``issued_at``: seconds since 1970 by the issuer's clock. Read only for headers, which no companion can go with.
    - ``lifetime``: seconds that this credential can live from now on at most. None: the identifier's own ``lifetime``.

    Raises :class:`~sessionward.errors.UsageError` for a value that is not a user id or not a number of seconds, and
    :class:`~sessionward.errors.InvalidCredential` for a lifetime that is over.
    """

    user_id: str
    session_id: InitVar[str | bytes | None] = None
    issued_at: float | None = None
    lifetime: float | None = None
    app_session: bytes | None = field(init=False, default=None, repr=False)

    def __post_init__(self, session_id: str | bytes | None) -> None:
        object.__setattr__(self, "user_id", user_key(self.user_id))
        if self.lifetime is not None:
            object.__setattr__(self, "lifetime", _left(self.lifetime))
        object.__setattr__(self, "app_session", None if session_id is None else app_session_digest(session_id))


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
    """A session of the application that names nobody, but has an id that stays: it may have been somebody's before.

    ``session_id`` is digested here and not kept.
    """

    session_id: InitVar[str | bytes]
    app_session: bytes = field(init=False, repr=False)

    def __post_init__(self, session_id: str | bytes) -> None:
        object.__setattr__(self, "app_session", app_session_digest(session_id))


class Identifier(Protocol):
    """Says who is signed in; sync.

    ``cookies``: the names of all cookies that can sign someone in, remember-me cookies included, the most decisive first. A
    name that ends in ``*`` stands for numbered parts of one value: ``session-*`` is ``session-0``, ``session-1``, ... joined
    in order. It may also have:

    - ``headers`` (default none): header credentials, as :class:`~sessionward.identify.Carrier` values.
    - ``server_side`` (default False): the login may change behind a cookie that stays as it is, as in a store on the server.
    - ``outer_key`` (default none): a key of the scope or environ that is there only where the application's session
      middleware stands outside of ours, so that it has read the login before we could take it out. Such requests get 503.
    - ``keeps_id_at_login`` (default False): ``identify`` returns an :class:`AnonymousSession`, never None, for sessions that
      name nobody.
    - ``samesite`` (default unknown): that of the application's login cookie, in lower case, ``""`` if it has none.
    - ``blocking`` (default True): False if ``identify`` never waits. One that may wait is asked in a thread of ours, so that the
      timeout of the middleware holds for it too; variables of the context are there, those of the thread are not.
    - ``lifetime`` (default 31 days): seconds that a login lives at most.
    - ``advice`` (default none): by the names of cookies, what the log tells the operator to look at where the application sets
      such a cookie and ``identify`` cannot read it.
    """

    @property
    def cookies(self) -> Sequence[str]: ...

    def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None:
        """Returns whom this credential signs in; None if it can be read and names nobody.

        Returns an :class:`AnonymousSession` in place of None where sessions keep their id when somebody signs in: a request
        that is under way must not sign somebody in to an id whose session was revoked, so such an id is taken out even
        where it names nobody.

        ``name``: as in ``cookies``, or the lower-case name of the header. ``value``: as in the request, one character for
        each byte, nothing decoded. Raises :class:`~sessionward.errors.InvalidCredential` for what is forged, expired,
        unknown to the store, or of no known form: it is taken out of the request. Any other exception means that the store
        could not answer, and becomes 503.
        """
        ...


class AsyncIdentifier(Protocol):
    """Says who is signed in; async. The same as :class:`Identifier`."""

    @property
    def cookies(self) -> Sequence[str]: ...

    async def identify(self, name: str, value: str, /) -> Identity | AnonymousSession | None: ...


AnyIdentifier: TypeAlias = Identifier | AsyncIdentifier


@dataclass(frozen=True, slots=True)
class IdentifierSpec:
    """What an identifier declares about itself, looked at once when a door is built."""

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
    advice: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, identifier: object) -> IdentifierSpec:
        """Raises :class:`ConfigurationError` for an object that is not an identifier."""
        kind = type(identifier).__name__
        if isinstance(identifier, type):
            raise ConfigurationError(f"identify: {identifier.__name__} is a class; pass an instance, {identifier.__name__}(...)")
        if inspect.ismethod(identifier):
            raise ConfigurationError(
                f"identify: {identifier.__qualname__} is a method that has not been called: {identifier.__qualname__}(app)"
            )
        identify = getattr(identifier, "identify", None)
        if not callable(identify):
            way_out = (
                "hand it to sessionward.identify.Function(function, cookies=[...])"
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
            raise ConfigurationError(f"identify: {kind} lists neither cookies nor headers, so nothing could sign anyone in")
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
            dict(getattr(identifier, "advice", {})),
        )


def _strings(value: object) -> Sequence[str] | None:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return None
    strings = [item for item in cast("Sequence[object]", value) if isinstance(item, str)]
    return strings if len(strings) == len(cast("Sequence[object]", value)) else None


@dataclass(frozen=True, slots=True)
class Identify(Step[Identity | AnonymousSession | None]):
    """Asked of the identifier, whatever the backend."""

    spec: IdentifierSpec
    name: str
    value: str = field(repr=False)
    writes: ClassVar[bool] = False

    def ask(self, backend: Any) -> Any:  # noqa: ARG002 - it is not the backend's to answer
        return self.spec.identifier.identify(self.name, self.value)
