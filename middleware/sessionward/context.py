"""One request on its way through: who is calling, and what the answer must carry.

:class:`Policy` is what a door has worked out of its settings once; :class:`Visit` is the little that changes while one
request is served. The flows of ``flow.py`` decide, a visit remembers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sessionward.credential.login_cookies import Login, Names, Taken
from sessionward.credential.token import Credential, Signature
from sessionward.errors import ConfigurationError
from sessionward.request.request import Request, spellings
from sessionward.response.set_cookies import Given
from sessionward.session.assertion import Verifier
from sessionward.session.backend import Capabilities
from sessionward.session.identifier import Identity, IdentifierSpec
from sessionward.session.session import Device, Session
from sessionward.settings import MAKE_SECRET, Settings, quoted

MAX_USER_AGENT: Final = 512
"""Characters kept of a User-Agent."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Policy:
    """Settings and the backend's capabilities, worked out for use. Made once by a door, never changed."""

    __slots__ = (
        "capabilities",
        "cookie_attributes",
        "cookie_name",
        "cookie_signature",
        "lifetime",
        "logins",
        "public",
        "cookie_samesite",
        "settings",
        "exempt_paths",
        "spellings",
        "ticket_signature",
        "traits",
        "trusted",
        "verifier",
    )

    def __init__(self, backend: object, options: Mapping[str, Any], *, awaits: bool = True) -> None:
        """Raises :class:`ConfigurationError` that names everything wrong with both. ``awaits``: the door can await."""
        mistakes: list[str] = []
        capabilities = settings = spec = None
        try:
            capabilities = Capabilities.of(backend)
        except ConfigurationError as error:
            mistakes.extend(error.mistakes)
        try:
            settings = Settings.of(options)
        except ConfigurationError as error:
            mistakes.extend(error.mistakes)
        try:
            spec = None if options.get("identify") is None else IdentifierSpec.of(options["identify"])
        except ConfigurationError as error:
            mistakes.extend(error.mistakes)
        name = type(backend).__name__
        if capabilities and capabilities.is_async and not awaits:
            twin = name.removeprefix("Async")
            mistakes.append(f"backend: {name} is async, and a WSGI application cannot await it; use its plain twin, {twin}")
        if capabilities and (capabilities.signs_in or not capabilities.carriers) and not options.get("secrets"):
            mistakes.append(f"secrets: our cookies are signed, so at least one is needed; {MAKE_SECRET}")
        if options.get("assertion_secrets") and (spec or (capabilities and capabilities.carriers)):
            mistakes.append(
                "assertion_secrets: the sidecar looks at the login, so neither identify nor a backend with carriers goes with it"
            )
        if capabilities and spec:
            mistakes.extend(_companion_mistakes(capabilities, spec, name, options, awaits=awaits))
        logins = None if capabilities is None else _login_names(capabilities, spec)
        own = str(options.get("cookie_name")) if settings is None else settings.cookie_name
        if logins and logins.of(own.encode("utf-8", "replace")) is not None:
            mistakes.append(f"cookie_name: {own!r} is a login cookie of the application's own; choose another name")
        if mistakes or capabilities is None or settings is None:
            raise ConfigurationError(*mistakes)
        self.spec = spec
        self.logins = logins
        self.lifetime = settings.lifetime if "lifetime" in options else None
        self.capabilities = capabilities
        self.settings = settings
        self.cookie_name = settings.cookie_name.encode("ascii")
        self.cookie_signature = Signature(settings.secrets, "cookie", settings.audience)
        self.ticket_signature = Signature(settings.secrets, "ticket", settings.audience)
        told = None if spec is None or "samesite" in options else spec.cookie_samesite
        self.samesite = settings.cookie_samesite if told is None else told
        self.cookie_attributes = _attributes(settings, self.samesite)
        self.trusted = frozenset(origin.encode() for origin in settings.trusted_origins)
        self.public = None if settings.public_origin is None else settings.public_origin.encode()
        self.spellings = spellings(settings.path)
        self.verifier = Verifier(settings.assertion_secrets, settings.audience) if settings.assertion_secrets else None
        self.exempt_paths = tuple(quoted(prefix) for prefix in settings.exempt_paths)

    def cookie(self, credential: Credential, *, max_age: float | None, beside: Sequence[Given] = ()) -> bytes:
        """The Set-Cookie value that gives it to a browser; without ``max_age`` until the browser closes.

        ``beside``: the application's own login cookies in the same answer. A companion goes where they go.
        """
        age = b"" if max_age is None else f"; Max-Age={int(max_age)}".encode()
        attributes = self._beside(beside) if beside else self.cookie_attributes
        return self.cookie_name + b"=" + self.cookie_signature.sign(credential.reveal().encode()) + age + attributes

    def clearing_cookie(self) -> bytes:
        return self.cookie_name + b"=; Max-Age=0" + self.cookie_attributes

    def _beside(self, given: Sequence[Given]) -> bytes:
        """The attributes of the application's login cookies: where they differ, those that reach farthest."""
        samesites = {cookie.samesite for cookie in given if cookie.value is not None}
        farthest = next((samesite for samesite in ("none", None, "lax", "strict") if samesite in samesites), self.samesite)
        return _attributes(self.settings, farthest, partitioned=any(cookie.partitioned for cookie in given))


def _attributes(settings: Settings, samesite: str | None, *, partitioned: bool = False) -> bytes:
    secure = "" if settings.insecure else "; Secure"
    domain = f"; Domain={settings.cookie_domain}" if settings.cookie_domain else ""
    if settings.insecure and samesite == "none":  # which browsers refuse without Secure
        samesite = None
    same = f"; SameSite={samesite.capitalize()}" if samesite else ""
    return f"; Path=/{domain}{secure}; HttpOnly{same}{'; Partitioned' if partitioned else ''}".encode()


def _companion_mistakes(capabilities: Capabilities, spec: IdentifierSpec, backend: str, options: Mapping[str, Any], *, awaits: bool) -> Iterator[str]:
    identifier = type(spec.identifier).__name__
    if not capabilities.keeps_companions or capabilities.carriers:
        yield f"identify: {backend} cannot keep companions; use SQLBackend, AsyncSQLBackend or MemoryBackend"
    if spec.is_async and not awaits:
        yield f"identify: {identifier} is async, and a WSGI application cannot await it"
    elif spec.is_async and not capabilities.is_async and capabilities.blocks:
        yield f"identify: {identifier} is async, so the backend must be async too: Async{backend}"
    if options.get("on_invalid") == "reject":
        yield "on_invalid: with identify only 'strip' is possible; a browser that was signed out could not even reach the login page"


def _login_names(capabilities: Capabilities, spec: IdentifierSpec | None) -> Names | None:
    """The cookies and headers of the application's that are looked at on its own routes."""
    if spec is not None:
        return Names(spec.cookies, spec.headers)
    if capabilities.operations & {"which_revoked", "note"}:
        return Names(carrier.name for carrier in capabilities.carriers if carrier.is_cookie)
    return None


class Visit:
    """What is known of one request, and what its answer must carry. Belongs to one door and one request.

    ``age``: seconds since the request reached the door. ``session``: the live session, or None. ``credential``: what
    proves it. ``cookie``: a Set-Cookie of ours that is to go out. ``generations``: what this request has set by ending
    sessions (P3 b). ``head_is_out``: too late for a cookie. ``clock``: seconds since 1970 by our own, good enough to
    tell whether a cookie is being deleted and a companion grows old; no promise rests on it.

    Where the application has its own login: ``companion``: the live session of this browser, whether or not the
    application's login goes with it; ``session`` is set only if it does. ``kept``: the login credentials that the
    application gets to see, ``identity``: whom they sign in. ``adopting``: the link of a login that may be given a companion,
    ``companion_required``: that its user gets none any more. ``taken``: the request without those that it must not see. ``skipped``:
    all were taken out without a question, so its answer may set none. ``warning``: what whoever runs this should know of it.
    """

    session: Session | None = None
    credential: Credential | None = None
    cookie: bytes | None = None
    head_is_out: bool = False
    companion: Session | None = None
    identity: Identity | None = None
    kept: Sequence[Login] = ()
    adopting: bytes | None = None
    companion_required: bool = False
    skipped: bool = False
    taken: Taken | None = None
    warning: str | None = None

    def __init__(self, policy: Policy, request: Request, age: Callable[[], float], clock: Callable[[], float] = float) -> None:
        self.policy = policy
        self.request = request
        self.age = age
        self.clock = clock
        self.generations: dict[str, int] = {}

    def device(self) -> Device:
        """Where the request comes from."""
        agent = self.request.header(b"user-agent")
        shown = None if agent is None else _CONTROL.sub(" ", agent.decode("utf-8", "replace"))[:MAX_USER_AGENT]
        return Device(ip_address=self.request.client(), user_agent=shown or None)
