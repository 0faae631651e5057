"""Reads the PROXY protocol header, in which a balancer before us names the client of a connection.

The specification is proxy-protocol.txt of HAProxy, versions 1 and 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

MAX_V1: Final = 107
"""Bytes of a version 1 header, with its end of line (2.1)."""
MAX_V2: Final = 4_096
"""Bytes of a version 2 header. The addresses need 232; balancers of clouds add hundreds of bytes of their own (nginx: 4 096)."""

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_HEAD: Final = len(_V2) + 4
_LINE: Final = re.compile(rb"PROXY (TCP[46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n")
_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*)?\r\n")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6, _UNIX, _UNSPECIFIED = 0x11, 0x21, 0x31, 0x00


@dataclass(frozen=True, slots=True)
class Proxied:
    """The address of the client that a balancer names."""

    source: str
    port: int


def parse(data: bytes) -> tuple[Proxied | None, int] | None:
    """Returns what the header at the beginning of ``data`` names and its length, or None if more bytes are needed.

    It names no client if the balancer connects for itself (LOCAL, a health check) or does not know it (UNKNOWN, a unix socket):
    then the address of the connection counts. Raises ValueError if ``data`` does not begin with a valid header.
    """
    data = bytes(data[:MAX_V2])
    if data.startswith(_V1[: len(data)]):
        return _v1(data)
    if data.startswith(_V2[: len(data)]):
        return _v2(data)
    raise ValueError("no PROXY header")


def _v1(data: bytes) -> tuple[Proxied | None, int] | None:
    end = data.find(b"\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise ValueError("a version 1 header without an end")
        return None
    line = data[: end + 1]
    if _UNKNOWN.fullmatch(line):
        return None, len(line)
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError("a malformed version 1 header")
    kind, source, target, *ports = found.groups()
    address = IPv4Address if kind == b"TCP4" else IPv6Address
    address(target.decode())  # raises ValueError, as the next line does
    named = address(source.decode())
    if any(int(port) > 0xFFFF for port in ports):
        raise ValueError("no port")
    return Proxied(_plain(named), int(ports[0])), len(line)


def _v2(data: bytes) -> tuple[Proxied | None, int] | None:
    if len(data) < _V2_HEAD:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16])
    if command not in (_LOCAL, _PROXY):
        raise ValueError("another version or command")
    if _V2_HEAD + length > MAX_V2:
        raise ValueError("a version 2 header that is too long")
    needed = {_TCP4: 12, _TCP6: 36, _UNIX: 216, _UNSPECIFIED: 0}.get(family)
    if command == _PROXY and (needed is None or length < needed):
        raise ValueError("a malformed version 2 header")
    if len(data) < _V2_HEAD + length:
        return None
    addresses, whole = data[_V2_HEAD:], _V2_HEAD + length
    if command == _PROXY and family == _TCP4:
        return Proxied(str(IPv4Address(addresses[:4])), int.from_bytes(addresses[8:10])), whole
    if command == _PROXY and family == _TCP6:
        return Proxied(_plain(IPv6Address(addresses[:16])), int.from_bytes(addresses[32:34])), whole
    return None, whole


def _plain(address: IPv4Address | IPv6Address) -> str:
    """Returns an address. An IPv4 address that IPv6 carries is an IPv4 address, as one of a connection is."""
    return str((address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address)
