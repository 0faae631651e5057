"""Configurations for the proxy that is there already: each is run against the real engine in our tests."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

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


def snippet(engine: str, *, authz: str, app: str, listen: str, path: str = "/auth/sessions") -> str:
    """The configuration of one engine, ready to be run.

    ``authz``: where ``sessionward authz`` listens, ``app``: where the application does, ``listen``: where the engine is to
    listen; each ``host:port``. Raises KeyError for an engine that is none of :data:`ENGINES`, ValueError for a malformed
    address.
    """
    text = (files("sessionward.sidecar") / "snippets" / ENGINES[engine]).read_text("utf-8")
    for name, address in (("AUTHZ", authz), ("APP", app), ("LISTEN", listen)):
        parsed = Address.parse(address)
        if parsed.path:
            raise ValueError(f"{address!r} is a unix socket, and a host and a port are needed")
        host, _, port = address.rpartition(":")
        text = text.replace(f"@{name}_HOST@", host).replace(f"@{name}_PORT@", port).replace(f"@{name}@", address)
    return text.replace("@PATH@", path)
