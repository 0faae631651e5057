"""Which peers we believe when they say for whom they ask."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, cast

from sessionward.errors import ConfigurationError
from sessionward.request.request import Fields, joined

UNIX: Final = "unix"
"""Means all clients of our unix socket: its file mode has decided about them."""
MAX_KNOWN: Final = 4096
"""Addresses whose result we keep."""


class TrustedProxies:
    """A list of addresses, networks, and ``unix``. An empty list trusts no peer."""

    def __init__(self, texts: Iterable[str], option: str = "trusted-proxy") -> None:
        """Raises :class:`ConfigurationError` that names every wrong entry. ``option``: the name of the option with the list."""
        networks: list[IPv4Network | IPv6Network] = []
        mistakes: list[str] = []
        self._has_unix = False
        for text in texts:
            if text == UNIX:
                self._has_unix = True
                continue
            try:
                networks.append(_plain_network(ip_network(text)))
            except ValueError:
                mistakes.append(f"{option}: {text!r} is not an address, a network such as '10.0.0.0/8', or 'unix'")
        if mistakes:
            raise ConfigurationError(*mistakes)
        self._networks = tuple(networks)
        self.is_empty = not (self._has_unix or networks)
        """Whether no peer is trusted. Each request asks, and ``__bool__`` would cost four times as much."""
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return not self.is_empty

    def __contains__(self, peer: str | None) -> bool:
        """``peer``: an address, None over a unix socket."""
        if peer is None:
            return self._has_unix
        known = self._known.get(peer)
        if known is None:
            address = read_address(peer)
            known = address is not None and any(address in network for network in self._networks)
            if len(self._known) < MAX_KNOWN:
                self._known[peer] = known
        return known

    def client_of(self, peer: str | None, fields: Fields) -> str | None:
        """Returns the address of the client behind the trusted proxies, None if a unix socket does not tell.

        Each trusted proxy has appended its own peer to X-Forwarded-For. So we read the list from its end. The first address that
        is not trusted is the client; we do not believe what precedes it.
        """
        client = peer
        if client not in self:
            return client
        for part in reversed((joined(fields, b"x-forwarded-for") or b"").split(b",")):
            said = canonical(part.decode("latin-1").strip())
            if said is None:
                return client
            client = said
            if client not in self:
                return client
        return client


def _plain_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Returns the network of IPv4 that IPv6 carries (``::ffff:10.0.0.0/104``) as such, since peers are read so."""
    carried = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if carried is None or network.prefixlen < 96 else IPv4Network((carried, network.prefixlen - 96))


@lru_cache(maxsize=MAX_KNOWN)
def canonical(text: str) -> str | None:
    """Returns an address in X-Forwarded-For in its one spelling, or None."""
    address = read_address(text)
    return None if address is None else str(address)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """Returns an address as X-Forwarded-For has it, perhaps with a port. Returns None for other values.

    An IPv4 address that IPv6 carries (``::ffff:192.0.2.1``) is an IPv4 address.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def plain_address(peer: object) -> str | None:
    """Returns the address of a connection's peer, as the operating system gives it. None for a unix socket."""
    if not isinstance(peer, tuple) or not peer:
        return None
    host = str(cast("tuple[object, ...]", peer)[0])
    return host[7:] if host.startswith("::ffff:") and "." in host else host
