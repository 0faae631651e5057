"""Prints configurations for the proxy that is there already; our tests run each one in the real engine."""

from __future__ import annotations

import re
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

NO_CACHE: Final = {
    "caddy": "Caddy has no cache of its own, and the cache-handler plugin keeps answers of the application, not those of forward_auth",
    "traefik": "ForwardAuth of Traefik keeps no answers",
    "haproxy": "HAProxy keeps only answers with 200 to GET without Authorization, and none that its Lua code asks for",
    "haproxy-lua": "HAProxy keeps no answers that its Lua code asks for",
    "envoy": "ext_authz of Envoy keeps no answers (envoyproxy/envoy#3023)",
}
"""Why an engine cannot keep the answers to checks."""
CACHE: Final = "/run/sessionward-checks"
"""The folder in which nginx keeps them, unless another one is named. ``/run`` is in memory."""
LEASE: Final = "2"
"""Seconds, in the command beside a configuration with a cache. nginx counts whole ones, and trusts an answer for 1.3 s on average."""

OTHER_MACHINE: Final = (
    "authz listens on {!r}, and nginx compares the time that it says with its own clock, so both must run on one machine:"
    " name an address of the loopback such as 127.0.0.1:8090, or leave the cache out"
)
"""Why a cache needs a service that only this machine can reach."""

_FOLDER: Final = re.compile(r"(/[A-Za-z0-9._-]+)+")
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
    cache: str | None = None,
    api: bool = False,
) -> str:
    """Returns the configuration of one engine, ready to be run.

    - ``authz``: where ``sessionward authz`` listens. ``app``: where the application listens. ``listen``: where the engine is to
      listen. Each is ``host:port``.
    - ``preflight``, ``exempt_paths``, ``login_url``: the options of ``sessionward authz`` by these names. It decides; the engine
      gives it what it needs for that.
    - ``cache``: nginx keeps answers to checks in this folder, as long as ``sessionward authz --lease`` lets it. ``authz`` must be
      an address of the loopback: nginx compares the time that the service says with its own clock.

    - ``api``: the option of ``sessionward authz``. The engine then hands ``path`` and all paths below it to the service.

    Raises KeyError for an engine that is none of :data:`ENGINES`, ValueError for a malformed address, a cache that the engine
    cannot have or a cache before another machine, and ``ConfigurationError`` for an option that ``sessionward authz`` refuses.
    """
    settings = AuthzSettings.of(preflight=preflight, exempt_paths=exempt_paths, login_url=login_url)
    if engine == "traefik" and (login_url or "").startswith("/"):
        raise ValueError("login-url: Traefik needs a URL with a host, such as https://app.example/login")
    if cache is not None and engine in NO_CACHE:
        raise ValueError(f"cache: {NO_CACHE[engine]}; leave it out")
    if cache is not None and not _FOLDER.fullmatch(cache):
        raise ValueError(f"cache: {cache!r} is not the path of a folder such as {CACHE}")
    if cache is not None and not Address.parse(authz).is_private:
        raise ValueError(f"cache: {OTHER_MACHINE.format(authz)}")
    source = (files("sessionward.sidecar") / "snippets" / ENGINES[engine]).read_text("utf-8")
    is_cached = cache is not None
    switches = {"preflight": settings.passes_preflights, "login": login_url is not None, "cache": is_cached, "api": api}
    switches["exempt"] = is_cached and bool(exempt_paths)
    text = "".join(_chosen(source.splitlines(keepends=True), {name for name, is_on in switches.items() if is_on}))
    for name, address in (("AUTHZ", authz), ("APP", app), ("LISTEN", listen)):
        host, port = _parts(address)
        text = text.replace(f"@{name}_HOST@", host).replace(f"@{name}_PORT@", port).replace(f"@{name}@", address)
    options = ["--api"] if api else []
    options += [*(("--preflight", preflight) if settings.passes_preflights else ())]
    options += [word for prefix in exempt_paths for word in ("--exempt-paths", prefix)]
    options += ["--login-url", login_url] if login_url is not None else []
    options += ["--lease", LEASE] if is_cached else []
    decides = ["$sessionward_preflight"] if settings.passes_preflights else []
    decides += ["$sessionward_exempt"] if exempt_paths else []
    text = text.replace("@CACHE@", cache or "").replace("@KEY@", "".join(rf"\n{name}" for name in decides))
    text = text.replace("@EXEMPT@", "|".join(rf"\Q{prefix}\E" for prefix in exempt_paths))
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
