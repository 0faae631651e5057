"""The configuration: checked once, then frozen.

Both middlewares take the same keywords. All mistakes are told in one :class:`~sessionward.errors.ConfigurationError`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, Literal, TypedDict, cast
from urllib.parse import quote

from sessionward.errors import ConfigurationError, Mistakes

Duration = float | timedelta
"""Seconds, or a ``timedelta``."""

MIN_SECRET: Final = 32
"""Bytes. The key of HMAC-SHA-256 should not be shorter than its output (RFC 2104, 3)."""
MAX_SECRETS: Final = 16
MAX_TIMEOUT: Final = 60.0
"""Seconds. No client waits longer."""
MAX_LIFETIME: Final = 3650 * 86_400.0  # seconds: ten years

# A token of RFC 9110, 5.6.2. With its value it stays far below the 4096 bytes that browsers keep (RFC 6265bis, 5.6).
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._~-]+(:[0-9]+)?|[a-z][a-z0-9+.-]*://\[[0-9a-f:]+\](:[0-9]+)?")
_DEFAULT_PORT: Final = re.compile(r"https://.*:443|http://.*:80")


class Options(TypedDict, total=False):
    """The keyword settings of both doors, for type checkers and editors. :class:`Settings` says what each means."""

    secrets: Sequence[str | bytes]
    assertion_secrets: Sequence[str | bytes]
    identify: object
    path: str
    cookie_name: str
    cookie_domain: str | None
    cookie_samesite: Literal["lax", "strict", "none"]
    insecure: bool
    on_invalid: Literal["strip", "reject"]
    exempt_paths: Sequence[str]
    trusted_origins: Sequence[str]
    public_origin: str | None
    audience: str
    remote_user: bool
    lifetime: Duration
    max_sessions: int
    backend_timeout: Duration
    debug: bool


@dataclass(frozen=True, kw_only=True)  # no slots: what is derived of it is cached on it
class Settings:
    """What the user has decided. Every default is the safe choice."""

    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """What signs our cookies: newest first, each at least 32 bytes from a random source. Old ones only verify."""
    assertion_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """Behind a sidecar that signs who is calling (``X-Session-Assertion``): its secrets, newest first. A valid assertion is
    trusted in place of a lookup; without one ``X-Session-User`` and ``X-Session-Id`` are taken out of the request."""
    identify: object = None
    """An identifier (:class:`sessionward.identify.Identifier`): the application's own login passes only with a companion of ours."""
    path: str = "/auth/sessions"
    """Where ``DELETE`` is answered, below ``root_path`` or ``SCRIPT_NAME``."""
    cookie_name: str = ""
    """Default ``__Host-session-ward``; ``__Secure-session-ward`` with ``cookie_domain``, ``session-ward`` with ``insecure``."""
    cookie_domain: str | None = None
    """Needed where the application's login cookie has a Domain. Every host below it can then set our cookie too."""
    cookie_samesite: str = "lax"
    """``strict``: browsers do not send the cookie when another site links here. ``none``: from frames of other sites, too."""
    insecure: bool = False
    """For development over plain http, where browsers drop ``Secure`` cookies: the network can then read the cookie."""
    on_invalid: str = "strip"
    """What happens to a request whose credential is invalid: ``strip`` passes it on without, ``reject`` answers 401."""
    exempt_paths: tuple[str, ...] = ()
    """Path prefixes that pass without a lookup and without our credential: assets, health checks."""
    trusted_origins: tuple[str, ...] = ()
    """Other sites whose pages may call our routes with the cookie; exact, ``https://app.example``."""
    public_origin: str | None = None
    """Our own origin as browsers see it; without it, host and port of ``Origin`` must equal ``Host``."""
    audience: str = ""
    """Names this application where several share a secret, so that none accepts the cookies of another."""
    remote_user: bool = False
    """Also set ``REMOTE_USER`` in the WSGI environ, unless the server has. ASGI has no such thing."""
    lifetime: float = 14 * 86_400.0
    """Seconds from sign-in until a session expires."""
    max_sessions: int = 1000
    """Live sessions of one user. A sign-in beyond it revokes the one used longest ago, so revoking the others fits into the timeout."""
    backend_timeout: float = 2.0
    """Seconds within which the backend must answer; beyond it the client gets 503."""
    debug: bool = False
    """Errors say what was wrong with the credential. Never in production."""

    @cached_property
    def trusted(self) -> frozenset[bytes]:
        """``trusted_origins`` as they stand in a request."""
        return frozenset(origin.encode() for origin in self.trusted_origins)

    @cached_property
    def public(self) -> bytes | None:
        """``public_origin`` as it stands in a request."""
        return None if self.public_origin is None else self.public_origin.encode()

    @cached_property
    def exempt(self) -> tuple[bytes, ...]:
        """``exempt_paths`` as they stand in a request line."""
        return tuple(quote(prefix, safe="/%:@!$&'()*+,;=~").encode() for prefix in self.exempt_paths)

    def __post_init__(self) -> None:
        mistakes = [*_mistakes(self)]
        if mistakes:
            raise ConfigurationError(*mistakes)
        if not self.cookie_name:
            prefix = "" if self.insecure else "__Secure-" if self.cookie_domain else "__Host-"
            object.__setattr__(self, "cookie_name", f"{prefix}session-ward")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """From keywords as a user writes them. Raises :class:`ConfigurationError` with all mistakes at once."""
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
    """A duration in seconds. Raises TypeError for a value that is none."""
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
    """Everything that is wrong with these settings, with the way out. Never shows a secret."""
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
            yield f"exempt_paths: {prefix!r} contains the path {s.path!r} itself"


def _secret_mistakes(name: str, secrets: tuple[bytes, ...]) -> Iterator[str]:
    if len(secrets) > MAX_SECRETS:
        yield f"{name}: at most {MAX_SECRETS} can be listed"
    for number, secret in enumerate(secrets, 1):
        if len(secret) < MIN_SECRET:
            yield f"{name}: number {number} has {len(secret)} bytes, at least {MIN_SECRET} are needed; {MAKE_SECRET}"
        elif len(set(secret)) < 8:
            yield f"{name}: number {number} looks like a placeholder; {MAKE_SECRET}"
    if len(set(secrets)) < len(secrets):
        yield f"{name}: the same one is listed twice"


MAKE_SECRET: Final = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


def _secrets_mistakes(s: Settings) -> Iterator[str]:
    yield from _secret_mistakes("secrets", s.secrets)
    yield from _secret_mistakes("assertion_secrets", s.assertion_secrets)
    if set(s.secrets) & set(s.assertion_secrets):
        yield "assertion_secrets: one of them is also in secrets; whoever verifies assertions could then sign cookies"


def _cookie_mistakes(s: Settings) -> Iterator[str]:
    if s.cookie_name and not _COOKIE_NAME.fullmatch(s.cookie_name):
        yield f"cookie_name: {s.cookie_name!r} is not a cookie name"
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
        yield f"{name}: browsers leave the default port out of {origin!r}"


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
"""The checks, each with the settings that must be of the right type for it."""
