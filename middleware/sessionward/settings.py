"""The settings of both middlewares, checked once and then frozen. One error reports all mistakes."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cached_property
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any, Final, Literal, TypedDict, cast
from urllib.parse import quote

from sessionward.errors import ConfigurationError, Mistakes

Duration = float | timedelta
"""Seconds, or a ``timedelta``."""

MIN_SECRET: Final = 32
"""Bytes. The key of HMAC-SHA-256 should not be shorter than its output (RFC 2104, 3)."""
MAX_SECRETS: Final = 16
MAX_TIMEOUT: Final = 60.0
"""Seconds. Clients do not wait longer."""
MAX_LIFETIME: Final = 3650 * 86_400.0
"""Seconds: ten years."""

# A token of RFC 9110, 5.6.2. With its value it stays far below the 4096 bytes that browsers keep (RFC 6265bis, 5.6).
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._~-]+(:[0-9]+)?|[a-z][a-z0-9+.-]*://\[[0-9a-f:]+\](:[0-9]+)?")
_DEFAULT_PORT: Final = re.compile(r"https://.*:443|http://.*:80")


def audience_mark(audience: str) -> str:
    """Returns the end of the default cookie name: 6 base-62 digits of the SHA-256 of the audience (CONTRACT.md 2).

    So two applications on one host do not share a cookie.
    """
    number = int.from_bytes(hashlib.sha256(audience.encode()).digest())
    return "".join(_BASE_62[number // 62**place % 62] for place in range(42, 36, -1))  # 256 bits need 43 digits


_BASE_62: Final = digits + ascii_uppercase + ascii_lowercase


class Options(TypedDict, total=False):
    """The keyword settings of both middlewares, with their meanings, for type checkers and editors."""

    secrets: Sequence[str | bytes]
    """The secrets that sign our cookies, newest first; the others only verify. Each has at least 32 random bytes. Default ``()``;
    required, except with a backend over the application's own sessions."""
    assertion_secrets: Sequence[str | bytes]
    """The secrets of a sidecar that signs who is calling (``X-Session-Assertion``), newest first. We trust a valid assertion without
    a lookup, and remove ``X-Session-User`` and ``X-Session-Id`` from a request without one. Default ``()``."""
    identify: object
    """An identifier (:class:`sessionward.identify.Identifier`): the application keeps its own login, which reaches it only together
    with a companion session of the same browser. Default None."""
    path: str
    """The path of ``DELETE``, below ``root_path`` or ``SCRIPT_NAME``. Default ``/auth/sessions``."""
    cookie_name: str
    """The name of our cookie. Default ``__Host-session-ward``, which no other host can set; with ``cookie_domain``
    ``__Secure-session-ward``, with ``insecure`` ``session-ward``; with ``audience`` it ends in a mark of it."""
    cookie_domain: str | None
    """The Domain of our cookie. Set it if the application's login cookie has a Domain, so that browsers send both to the same hosts.
    Every host below it can then set our cookie. Default None."""
    cookie_samesite: Literal["lax", "strict", "none"]
    """The SameSite of our cookie. ``strict``: browsers do not send it when a user follows a link from another site. ``none``: browsers
    also send it from frames of other sites. Default ``lax``."""
    insecure: bool
    """For development over plain http: our cookie has no ``Secure``, so anyone on the network can read it. Without this setting
    browsers drop our cookie over plain http, except on localhost, and no user stays signed in. Default False."""
    on_invalid: Literal["strip", "reject"]
    """What happens to a request with an invalid credential. ``strip``: the application gets it without the credential. ``reject``: the
    client gets 401. Default ``strip``."""
    exempt_paths: Sequence[str]
    """Path prefixes whose requests we pass on without a lookup and without our credential: assets, health checks. Default ``()``."""
    trusted_origins: Sequence[str]
    """Other sites whose pages may call our route with the cookie, exact: ``https://app.example``. Default ``()``."""
    public_origin: str | None
    """Our own origin as browsers see it. Default None: host and port of ``Origin`` must equal ``Host``."""
    audience: str
    """The name of this application among several that share a host or a secret: none accepts the cookies of another. Default ``""``."""
    remote_user: bool
    """Also sets ``REMOTE_USER`` in the WSGI environ, unless the server has set it. Does nothing under ASGI. Default False."""
    lifetime: Duration
    """How long a session lives after the sign-in. Default 14 days; with ``identify`` as long as the application's login."""
    max_sessions: int
    """The largest number of live sessions of one user in modes own and companion. Default 1 000. A sign-in beyond it revokes the
    oldest session, so that revoking the others always fits into the timeout."""
    backend_timeout: Duration
    """How long one request waits for the backend before the client gets 503, at most 60 seconds. Default 2 seconds."""
    debug: bool
    """Error responses say what was wrong with the credential. Never in production. Default False."""


@dataclass(frozen=True, kw_only=True)  # no slots: cached_property needs a __dict__
class Settings:
    """The checked settings; :class:`Options` says what each means. Durations are in seconds. Every default is the safe choice."""

    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    assertion_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    identify: object = None
    path: str = "/auth/sessions"
    cookie_name: str = ""
    cookie_domain: str | None = None
    cookie_samesite: str = "lax"
    insecure: bool = False
    on_invalid: str = "strip"
    exempt_paths: tuple[str, ...] = ()
    trusted_origins: tuple[str, ...] = ()
    public_origin: str | None = None
    audience: str = ""
    remote_user: bool = False
    lifetime: float = 14 * 86_400.0
    max_sessions: int = 1000
    backend_timeout: float = 2.0
    debug: bool = False

    @cached_property
    def trusted(self) -> frozenset[bytes]:
        """``trusted_origins`` as a request has them."""
        return frozenset(origin.encode() for origin in self.trusted_origins)

    @cached_property
    def public(self) -> bytes | None:
        """``public_origin`` as a request has it."""
        return None if self.public_origin is None else self.public_origin.encode()

    @cached_property
    def exempt(self) -> tuple[bytes, ...]:
        """``exempt_paths`` as a request line has them."""
        return tuple(quote(prefix, safe="/%:@!$&'()*+,;=~").encode() for prefix in self.exempt_paths)

    def __post_init__(self) -> None:
        mistakes = [*_mistakes(self)]
        if mistakes:
            raise ConfigurationError(*mistakes)
        if not self.cookie_name:
            prefix = "" if self.insecure else "__Secure-" if self.cookie_domain else "__Host-"
            mark = f"-{audience_mark(self.audience)}" if self.audience else ""
            object.__setattr__(self, "cookie_name", f"{prefix}session-ward{mark}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """Returns the settings from keywords as a user writes them. Raises one :class:`ConfigurationError` with all mistakes."""
        known = {setting.name for setting in fields(cls)}
        mistakes = Mistakes()
        values: dict[str, Any] = {}
        for name, value in options.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                mistakes.add([f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else "")])
                continue
            try:
                values[name] = _NORMAL[name](value) if name in _NORMAL else value
            except (TypeError, ValueError) as problem:
                mistakes.add([f"{name}: {problem}"])
        settings = None
        with mistakes.collected():
            settings = cls(**values)
        mistakes.raise_any()
        assert settings is not None
        return settings


def _items(value: object) -> Sequence[object]:
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    return cast("Sequence[object]", value) if is_list else [None]


def _strings(value: object) -> tuple[str, ...]:
    strings = tuple(item for item in _items(value) if isinstance(item, str))
    if len(strings) < len(_items(value)):
        raise TypeError("must be a list of str")
    return strings


def _keys(value: object) -> tuple[bytes, ...]:
    keys = tuple(item.encode() if isinstance(item, str) else item for item in _items(value) if isinstance(item, (str, bytes)))
    if len(keys) < len(_items(value)):
        raise TypeError("must be a list of str or bytes, newest first: secrets=[...]")
    return keys


def seconds(value: object) -> float:
    """Returns a duration in seconds. Raises ``TypeError`` for a value that is neither a number nor a ``timedelta``."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("must be seconds or a timedelta")
    return float(value)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_NORMAL: Final[Mapping[str, Callable[[object], Any]]] = {
    "secrets": _keys,
    "assertion_secrets": _keys,
    "exempt_paths": _strings,
    "trusted_origins": _strings,
    "lifetime": seconds,
    "backend_timeout": seconds,
    "cookie_samesite": _lower,
}


def _mistakes(s: Settings) -> Iterator[str]:
    """Yields all mistakes in the settings, each with the way out. Never shows a secret."""
    wrong: set[str] = set()
    for name, (kinds, needed) in _KINDS.items():
        if type(getattr(s, name)) not in kinds:
            wrong.add(name)
            yield f"{name}: must be {needed}"
    for names, check in _CHECKS:
        if wrong.isdisjoint(names):
            yield from check(s)


_KINDS: Final = {
    **dict.fromkeys(("path", "cookie_name", "cookie_samesite", "on_invalid", "audience"), ((str,), "a str")),
    **dict.fromkeys(("insecure", "remote_user", "debug"), ((bool,), "True or False")),
    **dict.fromkeys(("public_origin", "cookie_domain"), ((str, type(None)), "a str or None")),
    "max_sessions": ((int,), "an int"),
}


def _path_mistakes(s: Settings) -> Iterator[str]:
    if not _PATH.fullmatch(s.path):
        yield f"path: {s.path!r} is not a plain path such as '/auth/sessions'"


def _choice_mistakes(name: str, *allowed: str) -> Callable[[Settings], Iterator[str]]:
    def check(s: Settings) -> Iterator[str]:
        if getattr(s, name) not in allowed:
            yield f"{name}: {getattr(s, name)!r} is not one of {', '.join(allowed)}"

    return check


def _number_mistakes(s: Settings) -> Iterator[str]:
    if not s.lifetime >= 1:
        yield "lifetime: must be at least one second"
    elif s.lifetime > MAX_LIFETIME:
        yield f"lifetime: must be at most {MAX_LIFETIME / 86_400:g} days"
    if s.max_sessions < 1:
        yield "max_sessions: must be at least 1"
    if not 0 < s.backend_timeout <= MAX_TIMEOUT:
        yield f"backend_timeout: must be more than 0 and at most {MAX_TIMEOUT:g} seconds"


def _exempt_mistakes(s: Settings) -> Iterator[str]:
    for prefix in s.exempt_paths:
        if not prefix.startswith("/") or prefix == "/":
            yield f"exempt_paths: {prefix!r} is not a path prefix such as '/static/'"
        elif s.path.startswith(prefix):
            yield f"exempt_paths: {prefix!r} contains the path {s.path!r} itself; choose a longer prefix"


def _secret_mistakes(name: str, secrets: tuple[bytes, ...]) -> Iterator[str]:
    if len(secrets) > MAX_SECRETS:
        yield f"{name}: must be at most {MAX_SECRETS}; remove the oldest"
    for number, secret in enumerate(secrets, 1):
        if len(secret) < MIN_SECRET:
            yield f"{name}: number {number} has {len(secret)} bytes, at least {MIN_SECRET} are needed; {MAKE_SECRET}"
        elif len(set(secret)) < 8:
            yield f"{name}: number {number} looks like a placeholder; {MAKE_SECRET}"
    if len(set(secrets)) < len(secrets):
        yield f"{name}: the same secret is listed twice; remove one of the two"


MAKE_SECRET: Final = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


def _secrets_mistakes(s: Settings) -> Iterator[str]:
    yield from _secret_mistakes("secrets", s.secrets)
    yield from _secret_mistakes("assertion_secrets", s.assertion_secrets)
    if set(s.secrets) & set(s.assertion_secrets):
        yield "assertion_secrets: one of them is also in secrets; make another, or a program that verifies assertions could sign cookies"


def _cookie_mistakes(s: Settings) -> Iterator[str]:
    if s.cookie_name and not _COOKIE_NAME.fullmatch(s.cookie_name):
        yield f"cookie_name: {s.cookie_name!r} is not a cookie name; use letters, digits, - and _"
    if s.insecure and s.cookie_name.lower().startswith(("__host-", "__secure-")):
        yield f"cookie_name: browsers refuse {s.cookie_name!r} without Secure; choose another name or leave out insecure"
    if s.cookie_domain is not None and not _DOMAIN.fullmatch(s.cookie_domain):
        yield f"cookie_domain: {s.cookie_domain!r} is not a domain such as 'example.com'"
    if s.cookie_domain is not None and s.cookie_name.lower().startswith("__host-"):
        yield f"cookie_domain: browsers refuse {s.cookie_name!r} with a Domain; choose another name, such as '__Secure-session-ward'"


def _samesite_mistakes(s: Settings) -> Iterator[str]:
    if s.insecure and s.cookie_samesite == "none":
        yield "cookie_samesite: browsers refuse SameSite=None without Secure; choose lax or leave out insecure"


def _origin_mistakes(name: str, origin: str) -> Iterator[str]:
    if not _ORIGIN.fullmatch(origin):
        yield f"{name}: {origin!r} is not an exact origin as browsers send it, such as 'https://app.example'"
    elif _DEFAULT_PORT.fullmatch(origin):
        yield f"{name}: browsers leave the default port out of {origin!r}; leave it out too"


_CHECKS: Final[Sequence[tuple[Sequence[str], Callable[[Settings], Iterable[str]]]]] = (
    (("secrets", "assertion_secrets"), _secrets_mistakes),
    (("path",), _path_mistakes),
    (("cookie_name", "cookie_domain", "insecure"), _cookie_mistakes),
    (("cookie_samesite",), _choice_mistakes("cookie_samesite", "lax", "strict", "none")),
    (("cookie_samesite", "insecure"), _samesite_mistakes),
    (("on_invalid",), _choice_mistakes("on_invalid", "strip", "reject")),
    (("exempt_paths", "path"), _exempt_mistakes),
    (("trusted_origins",), lambda s: (m for origin in s.trusted_origins for m in _origin_mistakes("trusted_origins", origin))),
    (("public_origin",), lambda s: _origin_mistakes("public_origin", s.public_origin) if s.public_origin is not None else ()),
    (("lifetime", "max_sessions", "backend_timeout"), _number_mistakes),
)
"""The checks, each with the settings that must have the right type before it runs."""
