"""Says whether two addresses are the same place, whatever their names, so that a proxy is never its own upstream."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, TypeAlias

from sessionward.sidecar.config.addresses import Address, Upstream

PATIENCE: Final = 2.0
"""Seconds for the resolution of a name. A name that takes longer is not compared."""

_IP: TypeAlias = IPv4Address | IPv6Address


def is_same_place(upstream: Upstream, listen: Address) -> bool:
    """Returns whether a connection to the upstream arrives where we listen. It sends nothing to the upstream."""
    listen = _bound(listen)
    if upstream.path or listen.path:
        return bool(upstream.path and listen.path) and _same_file(upstream.path, listen.path)
    if upstream.port != listen.port:
        return False
    ours = _resolved(listen.host)
    return any(address in ours or _is_covered(address, ours) for address in _resolved(upstream.host))


def overlap(one: Address, other: Address) -> bool:
    """Returns whether two addresses cannot both be listened on, or would be confused."""
    one, other = _bound(one), _bound(other)
    if one.path or other.path:
        return bool(one.path and other.path) and _same_file(one.path, other.path)
    if one.port != other.port or one.port == 0:
        return False
    first, second = _resolved(one.host), _resolved(other.host)
    return bool(first & second) or any(
        wild.is_unspecified and (wild.version == 6 or wild.version == each.version)
        for these, those in ((first, second), (second, first))
        for wild in these
        for each in those
    )


def _bound(address: Address) -> Address:
    """Returns the address of a socket that is passed to us, and any other address unchanged."""
    if address.fd is None and address.systemd is None:
        return address
    with suppress(OSError), address.bind() as passed:
        name = passed.getsockname()
        return Address(path=name) if isinstance(name, str) else Address(host=name[0], port=name[1])
    return address


def _same_file(one: str, other: str) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def _is_covered(address: _IP, ours: set[_IP]) -> bool:
    """Returns whether we listen on all addresses of this machine, and this is one of them."""
    wild = any(each.is_unspecified and (each.version == 6 or address.version == 4) for each in ours)
    return wild and (address.is_loopback or address.is_unspecified or _is_local(address))


def _is_local(address: _IP) -> bool:
    """Returns whether this machine has the address: the kernel then chooses it for a connection to it. UDP sends nothing here."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), 9))
        return ip_address(str(probe.getsockname()[0]).partition("%")[0]) == address
    return False


def _resolved(host: str) -> set[_IP]:
    """Returns the addresses of a name, none if it has none or if the answer takes too long."""
    with suppress(ValueError):
        return {_plain(host)}
    answer: SimpleQueue[set[_IP]] = SimpleQueue()
    Thread(target=lambda: answer.put(_asked(host)), daemon=True).start()  # getaddrinfo has no timeout
    with suppress(Empty):
        return answer.get(timeout=PATIENCE)
    return set()


def _asked(host: str) -> set[_IP]:
    with suppress(OSError, UnicodeError):
        return {_plain(str(place[0])) for *_, place in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    return set()


def _plain(text: str) -> _IP:
    address = ip_address(text.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
