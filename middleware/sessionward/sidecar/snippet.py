"""Prints configurations for the proxy that is there already; our tests run each one in the real engine."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from importlib.resources import files
from typing import Final

from sessionward.sidecar.authz.settings import CHECK, AuthzSettings
from sessionward.sidecar.config.addresses import Address

ENGINES: Final = {
    "nginx": "nginx.conf",
    "caddy": "Caddyfile",
    "traefik": "traefik.yaml",
    "haproxy": "haproxy.cfg",
    "haproxy-lua": "haproxy.lua",
    "envoy": "envoy.yaml",
}
"""The file of each. HAProxy needs two."""

_IF, _ELSE, _END = "@if ", "@else@", "@end@"


def snippet(
    engine: str,
    *,
    authz: str,
    app: str,
    listen: str,
    path: str = "/auth/sessions",
    preflight: str = CHECK,
    exempt_paths: Sequence[str] = (),
    login_url: str | None = None,
) -> str:
    """Returns the configuration of one engine, ready to be run.

    - ``authz``: where ``sessionward authz`` listens. ``app``: where the application listens. ``listen``: where the engine is to
      listen. Each is ``host:port``.
    - ``preflight``, ``exempt_paths``, ``login_url``: the options of ``sessionward authz`` by these names. It decides; the engine
      gives it what it needs for that.

    Raises KeyError for an engine that is none of :data:`ENGINES`, ValueError for a malformed address, and
    ``ConfigurationError`` for an option that ``sessionward authz`` refuses.
    """
    settings = AuthzSettings.of(preflight=preflight, exempt_paths=exempt_paths, login_url=login_url)
    if engine == "traefik" and (login_url or "").startswith("/"):
        raise ValueError("login-url: Traefik needs a URL with a host, such as https://app.example/login")
    source = (files("sessionward.sidecar") / "snippets" / ENGINES[engine]).read_text("utf-8")
    switches = {"preflight": settings.passes_preflights, "login": login_url is not None}
    text = "".join(_chosen(source.splitlines(keepends=True), {name for name, is_on in switches.items() if is_on}))
    for name, address in (("AUTHZ", authz), ("APP", app), ("LISTEN", listen)):
        host, port = _parts(address)
        text = text.replace(f"@{name}_HOST@", host).replace(f"@{name}_PORT@", port).replace(f"@{name}@", address)
    options = [*(("--preflight", preflight) if settings.passes_preflights else ())]
    options += [word for prefix in exempt_paths for word in ("--exempt-paths", prefix)]
    options += ["--login-url", login_url] if login_url is not None else []
    return text.replace("@PATH@", path).replace("@OPTIONS@", "".join(f" {shlex.quote(word)}" for word in options))


def _chosen(lines: Sequence[str], switches: Collection[str]) -> Iterator[str]:
    """Yields the lines of a template whose conditions hold. Conditions do not nest."""
    shown = True
    for line in lines:
        word = line.strip()
        if word == _END:
            shown = True
        elif word == _ELSE:
            shown = not shown
        elif word.startswith(_IF):
            shown = word.removeprefix(_IF).rstrip("@") in switches
        elif shown:
            yield line


def _parts(address: str) -> tuple[str, str]:
    """Returns the host, without brackets, and the port of an address. Raises ValueError."""
    parsed = Address.parse(address)
    if not parsed.host:
        raise ValueError(f"{address!r} is not a host and a port, and both are needed")
    return parsed.host, str(parsed.port)
