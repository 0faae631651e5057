"""One request on its way through: who is calling, and what the answer must carry.

:class:`Policy` is what a door has worked out of its settings once; :class:`Visit` is the little that changes while one
request is served. The flows of ``flow.py`` decide, a visit remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sessionward.credential import Credential, Signature
from sessionward.errors import ConfigurationError
from sessionward.request import Request, spellings
from sessionward.session import Abilities, Session
from sessionward.settings import MAKE_SECRET, Settings, quoted


class Policy:
    """Settings and the backend's abilities, worked out for use. Made once by a door, never changed."""

    __slots__ = (
        "abilities",
        "cookie_attributes",
        "cookie_name",
        "cookie_signature",
        "public",
        "settings",
        "skip",
        "spellings",
        "ticket_signature",
        "trusted",
    )

    def __init__(self, backend: object, options: Mapping[str, Any], *, awaits: bool = True) -> None:
        """Raises :class:`ConfigurationError` that names everything wrong with both. ``awaits``: the door can await."""
        mistakes: list[str] = []
        abilities = settings = None
        try:
            abilities = Abilities.of(backend)
        except ConfigurationError as error:
            mistakes.extend(error.mistakes)
        try:
            settings = Settings.of(options)
        except ConfigurationError as error:
            mistakes.extend(error.mistakes)
        if abilities and abilities.is_async and not awaits:
            name = type(backend).__name__
            twin = name.removeprefix("Async")
            mistakes.append(f"backend: {name} is async, and a WSGI application cannot await it; use its plain twin, {twin}")
        if abilities and (abilities.signs_in or not abilities.carriers) and not options.get("secrets"):
            mistakes.append(f"secrets: our cookies are signed, so at least one is needed; {MAKE_SECRET}")
        if mistakes or abilities is None or settings is None:
            raise ConfigurationError(*mistakes)
        self.abilities = abilities
        self.settings = settings
        self.cookie_name = settings.cookie_name.encode("ascii")
        self.cookie_signature = Signature(settings.secrets, "cookie", settings.audience)
        self.ticket_signature = Signature(settings.secrets, "ticket", settings.audience)
        secure = "" if settings.insecure else "; Secure"
        self.cookie_attributes = f"; Path=/{secure}; HttpOnly; SameSite={settings.samesite.capitalize()}".encode()
        self.trusted = frozenset(origin.encode() for origin in settings.trusted_origins)
        self.public = None if settings.public_origin is None else settings.public_origin.encode()
        self.spellings = spellings(settings.path)
        self.skip = tuple(quoted(prefix) for prefix in settings.skip)

    def cookie(self, credential: Credential, *, max_age: float | None) -> bytes:
        """The Set-Cookie value that gives it to a browser; without ``max_age`` until the browser closes."""
        age = b"" if max_age is None else f"; Max-Age={int(max_age)}".encode()
        return self.cookie_name + b"=" + self.cookie_signature.sign(credential.reveal().encode()) + age + self.cookie_attributes

    def clearing_cookie(self) -> bytes:
        return self.cookie_name + b"=; Max-Age=0" + self.cookie_attributes


class Visit:
    """What is known of one request, and what its answer must carry. Belongs to one door and one request.

    ``age``: seconds since the request reached the door. ``session``: the live session, or None. ``credential``: what
    proves it. ``cookie``: a Set-Cookie of ours that is to go out. ``epochs``: what this request has set by ending
    sessions (P3 b). ``head_is_out``: too late for a cookie.
    """

    session: Session | None = None
    credential: Credential | None = None
    cookie: bytes | None = None
    head_is_out: bool = False

    def __init__(self, policy: Policy, request: Request, age: Callable[[], float]) -> None:
        self.policy = policy
        self.request = request
        self.age = age
        self.epochs: dict[str, int] = {}
