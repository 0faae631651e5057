"""What the doctor says of the configuration itself: addresses, secrets, bounds, sign-in."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator

from sessionward.sidecar.config.addresses import Address
from sessionward.sidecar.config.config import Config
from sessionward.sidecar.config.options import FILE, OPTIONS, variable_of
from sessionward.sidecar.config.sources import is_public
from sessionward.sidecar.descriptors import MOST, RESERVED
from sessionward.sidecar.doctor.finding import Finding, error, note, ok, warning


def of_settings(config: Config) -> Iterator[Finding]:
    """Yields what the configuration says without a connection to anything."""
    yield ok("config", f"the options of {config.command} are right")
    for told in config.told:
        yield warning("config", told)
    yield from _secret_files(config)
    yield _listening("listen", config.listen)
    if config.admin is None:
        yield note("admin", "none, so /readyz and /metrics are not served", "set admin, such as 127.0.0.1:9090")
    else:
        yield _listening("admin", config.admin)
    yield _descriptors(config)
    if config.settings.get("insecure") and not config.listen.is_private:
        yield warning("insecure", "our cookie travels over plain http from other machines", "leave insecure out in production")
    if not config.trusted_proxy:
        yield note(
            "trusted-proxy",
            "none, so X-Forwarded-* is ignored and each client is the peer of its connection",
            "behind a proxy or a load balancer name its address",
        )


def _secret_files(config: Config) -> Iterator[Finding]:
    for option in OPTIONS:
        name = option.name + FILE
        path = config.flags.get(name) or config.environment.get(variable_of(name))
        if not option.is_secret or not isinstance(path, str):
            continue
        if is_public(path, os.stat(path)):
            yield warning(name, f"every user in this container can read {path}", "chmod o-r, or defaultMode: 0440 in Kubernetes")
        else:
            yield ok(name, f"other users cannot read {path}")


def _listening(name: str, address: Address) -> Finding:
    """Says whether the address is free. It binds without listening, so no client notices."""
    if address.path:
        folder = os.path.dirname(address.path)
        if not os.access(folder, os.W_OK | os.X_OK):
            return error(name, f"{folder} is missing or not writable", "create it, or take RuntimeDirectory= of systemd")
        return ok(name, f"{address} can be made")
    if address.fd is not None or address.systemd is not None:
        return note(name, f"{address} is passed at the start, so the doctor cannot try it")
    try:
        family, kind, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as failed:
        if failed.errno == errno.EADDRINUSE:
            return note(name, f"{address} is in use", "nothing to do if this sidecar is running there, else take another port")
        return error(name, f"{address}: {failed.strerror}", "take an address of this machine, and a port from 1024 on without privileges")
    return ok(name, f"{address} is free")


def _descriptors(config: Config) -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # serve raises the soft limit to it
    connections = config.max_connections or MOST
    needed = 2 * connections + RESERVED  # each client may need a connection to the application
    if hard == resource.RLIM_INFINITY or needed <= hard:
        return ok("max-connections", f"the descriptors are enough for {connections} connections in each worker")
    said = f"{hard} descriptors allow {max(16, (hard - RESERVED) // 2)} connections in each worker"
    way_out = f"for {connections} raise LimitNOFILE or ulimit -n to {needed}"
    return note("max-connections", said, way_out) if config.max_connections is None else warning("max-connections", said, way_out)
