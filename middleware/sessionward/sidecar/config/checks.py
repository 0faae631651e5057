"""Mistakes in a configuration that no single value shows: what is missing, what contradicts, what would loop."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sessionward.errors import ConfigurationError
from sessionward.sidecar.client.trusted_proxies import TrustedProxies
from sessionward.sidecar.config.addresses import Address, Upstream
from sessionward.sidecar.config.backend import backend_mistakes
from sessionward.sidecar.config.loops import is_same_place, overlap
from sessionward.sidecar.config.options import BY_NAME

READINESS: Final = {"serve": ("upstream", "backend"), "authz": ("backend",)}
"""What ``/readyz`` can ask, by command."""
_NOT_IN_PATH: Final = re.compile(r"[^\x21-\x7e]|[?#%;\\]|//|/\.{1,2}(/|$)")
_LOGIN_URL: Final = re.compile(r"(https?://[^/?#\\@\s]+)?/(?![/\\])[\x21-\x5b\x5d-\x7e]*|https?://[^/?#\\@\s]+")


def mistakes_of(command: str, value: Mapping[str, Any], listen: Address | None, admin: Address | None) -> Iterator[str]:
    """Yields the mistakes of the options that do not concern the upstream, by the names of options."""
    for name in ("backend", *(("upstream",) if command == "serve" else ())):
        if name not in value:
            yield f"{name}: it is needed: {BY_NAME[name].help}"
    yield from backend_mistakes(value)
    yield from _trust_mistakes(command, value, listen)
    for path in value.get("login-path", ()):
        yield from _login_path_mistakes(path)
    for word in value.get("readiness", ()):
        if word not in READINESS[command]:
            yield f"readiness: {word!r} is not one of {', '.join(READINESS[command])}"
    login = value.get("login-url", "/")
    if not _LOGIN_URL.fullmatch(login):
        yield f"login-url: {login!r} is neither a URL such as https://app.example/login nor a path such as /login"
    if listen is not None and admin is not None and overlap(listen, admin):
        yield f"admin: it is the address of listen, {listen}; take another port, which only the operators can reach"


def _trust_mistakes(command: str, value: Mapping[str, Any], listen: Address | None) -> Iterator[str]:
    for name in ("trusted-proxy", "proxy-protocol"):
        try:
            peers = TrustedProxies(value[name])
        except ConfigurationError as error:
            yield from (f"{name}:{mistake.partition(':')[2]}" for mistake in error.mistakes)
            continue
        if command == "authz" and name == "trusted-proxy" and listen is not None and not listen.path and not peers:
            yield "trusted-proxy: authz answers only peers that are trusted, or on a unix socket; name the proxy's address"
    if command == "authz" and ("identify" in value or "identify-table" in value):
        yield "identify: authz cannot give a browser its companion cookie, since proxies drop the Set-Cookie of a check; take serve"


def _login_path_mistakes(path: str) -> Iterator[str]:
    """A login path is compared with the raw path, so a spelling that the application may read as another path is refused."""
    if not path.startswith("/") or _NOT_IN_PATH.search(path):
        yield rf"login-path: {path!r} is not a plain path such as /login or /oauth/, without ? # % ; \ // and dot segments"
    elif path == "/":
        yield "login-path: / is a prefix of every path, so every answer of the application could sign a user in; name its sign-in pages"


def upstream_mistakes(value: Mapping[str, Any], upstream: Upstream | None, listening: Mapping[str, Address | None]) -> Iterator[str]:
    """Yields the mistakes that concern the upstream. ``listening``: our own addresses, by the names of options."""
    if value.get("upstream-key-file") and not value.get("upstream-cert-file"):
        yield "upstream-key-file: it is the key of upstream-cert-file, which is missing"
    for name in ("upstream-ca-file", "upstream-cert-file", "upstream-key-file"):
        if name in value and not os.access(value[name], os.R_OK):
            yield f"{name}: {value[name]} cannot be read"
        elif name in value and upstream is not None and not upstream.tls:
            yield f"{name}: the upstream is not https, so nothing would be verified"
    for name, address in listening.items():
        if upstream is not None and address is not None and is_same_place(upstream, address):
            yield f"upstream: {upstream} is {address}, where we listen ourselves ({name}), so each request would come back to us"
