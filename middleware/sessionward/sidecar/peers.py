"""Which peers are believed when they say for whom they ask."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias, cast

from starlette.types import ASGIApp, Receive, Scope, Send

from sessionward.errors import ConfigurationError
from sessionward.request.request import joined

Client: TypeAlias = tuple[str, int]

UNIX: Final = "unix"
"""Stands for whoever may connect to our unix socket: its file mode has decided about them."""
PEER: Final = "sessionward.peer"
"""The key of a scope that holds the address of a trusted peer, where ``client`` is what that peer told us."""
MAX_KNOWN: Final = 4096
"""Addresses whose answer is kept."""


class Peers:
    """The trust list of ``--trusted-proxy``: addresses, networks, and ``unix``. An empty one trusts nobody."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises :class:`ConfigurationError` that names every entry which is none of these."""
        networks: list[IPv4Network | IPv6Network] = []
        mistakes: list[str] = []
        self._unix = False
        for text in texts:
            if text == UNIX:
                self._unix = True
                continue
            try:
                networks.append(ip_network(text))
            except ValueError:
                mistakes.append(f"trusted-proxy: {text!r} is not an address, a network such as '10.0.0.0/8', or 'unix'")
        if mistakes:
            raise ConfigurationError(*mistakes)
        self._networks = tuple(networks)
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def __contains__(self, client: object) -> bool:
        """``client``: as ASGI has it, None for a unix socket."""
        if client is None:
            return self._unix
        host = cast("Client", client)[0]
        known = self._known.get(host)
        if known is None:
            address = read_address(host)
            known = address is not None and any(address in network for network in self._networks)
            if len(self._known) < MAX_KNOWN:
                self._known[host] = known
        return known

    def client_of(self, scope: Scope) -> Client | None:
        """The address that a request came from, behind the proxies that are trusted.

        X-Forwarded-For is read from its end: each trusted proxy has added whom it saw. The first that is not trusted is
        the client; what stands before it is hearsay. None if a unix socket tells nobody.
        """
        client: Client | None = scope.get("client")
        if client not in self:
            return client
        for part in reversed((joined(scope["headers"], b"x-forwarded-for") or b"").split(b",")):
            address = read_address(part.decode("latin-1").strip())
            if address is None:
                return client
            client = (str(address), 0)
            if client not in self:
                return client
        return client


@lru_cache(maxsize=MAX_KNOWN)
def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as it stands in X-Forwarded-For, perhaps with a port; None if it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class Believing:
    """Puts the client's address in place of a trusted proxy's, so that a session remembers its device and not the proxy."""

    def __init__(self, app: ASGIApp, peers: Peers) -> None:
        self._app = app
        self._peers = peers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self.believe(scope)
        await self._app(scope, receive, send)

    def believe(self, scope: Scope) -> None:
        """Once for each request, whoever comes first."""
        if PEER not in scope and scope.get("client") in self._peers:
            scope[PEER] = scope.get("client")
            scope["client"] = self._peers.client_of(scope)
