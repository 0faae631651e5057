"""Checks the settings: each mistake is said with the way out, and none shows a secret."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from sessionward.settings.limits import limit_mistakes, sign_in_mistakes
from sessionward.settings.page import Page
from sessionward.settings.paths import UNCLEAR
from sessionward.settings.values import is_text

if TYPE_CHECKING:
    from sessionward.settings.settings import Settings

MIN_SECRET: Final = 32
"""Bytes. The key of HMAC-SHA-256 should not be shorter than its output (RFC 2104, 3)."""
MAX_SECRETS: Final = 16
MAX_TIMEOUT: Final = 60.0
"""Seconds. Clients do not wait longer."""
MAX_LEASE: Final = 5.0
"""Seconds. A revocation takes as long as the lease."""
RECHECKS: Final = (0.1, 3600.0)
"""Seconds: the shortest period and the longest."""
MIN_IDLE: Final = 120.0
"""Seconds. We record a use several seconds late, which must be little against the limit."""
MAX_SESSIONS: Final = 1_000_000
"""Far more than one user has. A number that a database cannot count to would fail at a sign-in."""
MAX_LIFETIME: Final = 3650 * 86_400.0
"""Seconds: ten years."""

# A token of RFC 9110, 5.6.2. With its value it stays far below the 4096 bytes that browsers keep (RFC 6265bis, 5.6).
_COOKIE_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_DOMAIN: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_PATH: Final = re.compile(r"(/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~-]+)+")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._~-]+(:[0-9]+)?|[a-z][a-z0-9+.-]*://\[[0-9a-f:]+\](:[0-9]+)?")
_DEFAULT_PORT: Final = re.compile(r"https://.*:443|http://.*:80")


def mistakes_in(s: Settings) -> Iterator[str]:
    """Yields all mistakes in the settings, each with the way out. Never shows a secret."""
    wrong = {name for name, value in vars(s).items() if not is_text(value)}
    for name in sorted(wrong):
        yield f"{name}: has a character that UTF-8 cannot encode"
    for name, (kinds, needed) in _KINDS.items():
        if type(getattr(s, name)) not in kinds:
            wrong.add(name)
            yield f"{name}: must be {needed}"
    for names, check in _CHECKS:
        if wrong.isdisjoint(names):
            yield from check(s)


_KINDS: Final = {
    **dict.fromkeys(("path", "cookie_name", "cookie_samesite", "on_invalid", "audience", "at_limit"), ((str,), "a str")),
    **dict.fromkeys(("api", "insecure", "remote_user", "revoke_impersonations", "debug"), ((bool,), "True or False")),
    **dict.fromkeys(("public_origin", "cookie_domain", "sign_in", "limits"), ((str, type(None)), "a str or None")),
    "rate_limit": ((int, type(None)), "an int or None"),
    **dict.fromkeys(("max_sessions", "lease_waiters"), ((int,), "an int")),
}


def _path_mistakes(s: Settings) -> Iterator[str]:
    if not _PATH.fullmatch(s.path):
        yield f"path: {s.path!r} is not a plain path such as '/auth/sessions'"


def _page_mistakes(s: Settings) -> Iterator[str]:
    page: object = vars(s)["page"]
    if page is not None and not isinstance(page, Page):
        yield "page: must be a sessionward.api.page.Page(...), or None"
    elif page is not None and not s.api:
        yield "page: there is no page without the session API; set api=True, too"


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
    elif s.max_sessions > MAX_SESSIONS:
        yield f"max_sessions: must be at most {MAX_SESSIONS}"
    if not 0 < s.backend_timeout <= MAX_TIMEOUT:
        yield f"backend_timeout: must be more than 0 and at most {MAX_TIMEOUT:g} seconds"
    if not 0 <= s.lease <= MAX_LEASE:
        yield f"lease: must be at least 0 and at most {MAX_LEASE:g} seconds"
    if s.lease_waiters < 0:
        yield "lease_waiters: must be at least 0"


def _idle_mistakes(s: Settings) -> Iterator[str]:
    if s.idle_timeout is not None and not s.idle_timeout >= MIN_IDLE:
        yield f"idle_timeout: must be at least {MIN_IDLE:g} seconds, or None"
    elif s.idle_timeout is not None and s.idle_timeout > s.lifetime:
        yield f"idle_timeout: must be at most the lifetime, {s.lifetime:g} seconds; raise lifetime, or leave idle_timeout out"


def _recheck_mistakes(s: Settings) -> Iterator[str]:
    if s.recheck is not None and not RECHECKS[0] <= s.recheck <= RECHECKS[1]:
        yield "recheck: must be from {:g} to {:g} seconds, or None".format(*RECHECKS)
    for prefix in s.recheck_paths or ():
        if not prefix.startswith("/"):
            yield f"recheck_paths: {prefix!r} is not a path prefix such as '/events/'"


def _exempt_mistakes(s: Settings) -> Iterator[str]:
    for prefix in s.exempt_paths:
        if not prefix.startswith("/") or prefix == "/":
            yield f"exempt_paths: {prefix!r} is not a path prefix such as '/static/'"
        elif UNCLEAR.search(f"{prefix}x".encode()):  # no path with this prefix is clear, whatever follows
            yield f"exempt_paths: {prefix!r} is a path that servers do not read alike, so it would never be exempt"
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


def _also_mistakes(also: object) -> Iterator[str]:
    if not callable(also):
        yield "also: must be a function of the user's id, or None"
        return
    try:
        inspect.signature(also).bind("user")
    except ValueError:
        return  # a function in C may not say what it takes
    except TypeError:
        yield "also: the function must take one argument, the user's id"


_CHECKS: Final[Sequence[tuple[Sequence[str], Callable[[Settings], Iterable[str]]]]] = (
    (("secrets", "assertion_secrets"), _secrets_mistakes),
    (("path",), _path_mistakes),
    (("api",), _page_mistakes),
    (("cookie_name", "cookie_domain", "insecure"), _cookie_mistakes),
    (("cookie_samesite",), _choice_mistakes("cookie_samesite", "lax", "strict", "none")),
    (("cookie_samesite", "insecure"), _samesite_mistakes),
    (("on_invalid",), _choice_mistakes("on_invalid", "strip", "reject")),
    (("exempt_paths", "path"), _exempt_mistakes),
    (("trusted_origins",), lambda s: (m for origin in s.trusted_origins for m in _origin_mistakes("trusted_origins", origin))),
    (("public_origin",), lambda s: _origin_mistakes("public_origin", s.public_origin) if s.public_origin is not None else ()),
    (("lifetime", "max_sessions", "backend_timeout", "lease", "lease_waiters"), _number_mistakes),
    (("lifetime", "idle_timeout"), _idle_mistakes),
    (("at_limit",), _choice_mistakes("at_limit", "revoke", "refuse")),
    (("lifetime", "idle_timeout", "recent", "rate_limit", "limits"), lambda s: limit_mistakes(vars(s))),
    (("sign_in", "insecure"), lambda s: () if s.sign_in is None else sign_in_mistakes(s.sign_in, insecure=s.insecure)),
    (("recheck", "recheck_paths"), _recheck_mistakes),
    (("also",), lambda s: () if s.also is None else _also_mistakes(s.also)),
)
"""The checks, each with the settings that must have the right type before it runs."""
