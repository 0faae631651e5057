"""Decides which requests pass without a session, and where a browser signs in: the settings of ``sessionward authz`` alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import quote

from sessionward.errors import ConfigurationError
from sessionward.request.request import Request, is_exempt
from sessionward.sidecar.authz.routes import Asked

CHECK, PASS = "check", "pass"
RETURN_TO: Final = "return_to"
"""The parameter that tells the sign-in page which page the browser asked for."""
MAX_RETURN: Final = 2048
"""Bytes of a path and query that the sign-in page still gets."""

_RETURN: Final = re.compile(rb"/(?!\.{0,2}/)[\x21-\x5b\x5d-\x7e]*")
_PREFIX: Final = re.compile(r"/[!$&'()*+,./0-9:=@A-Z_a-z~-]+")
_URL: Final = re.compile(
    r"(https?://[A-Za-z0-9._~:\[\]-]+(?=[/?]|$)|(?=/))"  # scheme, host and port, or a path alone
    r"(/(?!/)[!$%&'()*+,./0-9:;=@A-Z_a-z~-]*)?"
    r"(\?[!$%&'()*+,./0-9:;=@A-Z_a-z~?-]*)?"  # and no fragment: the return parameter follows
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthzSettings:
    """What passes without a session, and where a browser without one is sent. By default nothing passes."""

    passes_preflights: bool = False
    exempt_paths: tuple[bytes, ...] = ()
    login_url: str | None = None

    @classmethod
    def of(cls, *, preflight: str = CHECK, exempt_paths: Sequence[str] = (), login_url: str | None = None) -> Self:
        """Returns the settings that the options name. Raises :class:`ConfigurationError` that names every mistake."""
        mistakes = list(_mistakes(preflight, exempt_paths, login_url))
        if mistakes:
            raise ConfigurationError(*mistakes)
        return cls(
            passes_preflights=preflight == PASS,
            exempt_paths=tuple(prefix.encode() for prefix in exempt_paths),
            login_url=login_url,
        )

    @property
    def reads_target(self) -> bool:
        """Whether it matters what the client asked of the engine."""
        return self.passes_preflights or bool(self.exempt_paths) or self.login_url is not None

    def is_exempt(self, asked: Asked) -> bool:
        """Returns whether the raw path of the client passes without a session."""
        return is_exempt(asked.path, self.exempt_paths)

    def is_preflight(self, asked: Asked, request: Request) -> bool:
        """Returns whether a browser asks for permission (Fetch standard, 3.3.2), and the settings let it pass."""
        return (
            self.passes_preflights
            and asked.method == b"OPTIONS"
            and bool(request.header(b"origin") and request.header(b"access-control-request-method"))
        )

    def sign_in(self, asked: Asked, request: Request) -> bytes | None:
        """Returns the URL of the sign-in page for a browser that wants a page, or None for any other client."""
        if self.login_url is None or asked.method != b"GET" or not _wants_page(request.header(b"accept") or b""):
            return None
        target = asked.target if len(asked.target) <= MAX_RETURN and _RETURN.fullmatch(asked.target) else b"/"
        joint = "&" if "?" in self.login_url else "?"
        return f"{self.login_url}{joint}{RETURN_TO}={quote(target, safe='')}".encode()


def _wants_page(accept: bytes) -> bool:
    """Returns whether an Accept field names ``text/html``, and does not refuse it by ``q=0``."""
    for item in accept.lower().split(b","):
        kind, *parameters = (part.strip(b" \t") for part in item.split(b";"))
        if kind == b"text/html":
            return not any(re.fullmatch(rb"q=0(\.0*)?", parameter) for parameter in parameters)
    return False


def _mistakes(preflight: str, exempt_paths: Sequence[str], login_url: str | None) -> Iterator[str]:
    if preflight not in (CHECK, PASS):
        yield f"preflight: {preflight!r} is not {CHECK} or {PASS}"
    for prefix in exempt_paths:
        if not _PREFIX.fullmatch(prefix) or not is_exempt(prefix.encode(), (b"/",)):
            yield f"exempt-paths: {prefix!r} is not a plain path prefix such as /static/: no %, ;, \\, // or dot segments"
    if login_url is not None and not (login_url and _URL.fullmatch(login_url)):
        yield f"login-url: {login_url!r} is neither a URL such as https://app.example/login nor a path such as /login"
