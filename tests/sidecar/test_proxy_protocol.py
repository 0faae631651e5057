"""The PROXY protocol header: what it names, what is refused, and that any cut of it gives the same."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionward.sidecar.client.proxy_protocol import MAX_V1, MAX_V2, Proxied, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int, family: int, addresses: bytes, *, length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + (len(addresses) if length is None else length).to_bytes(2) + addresses


FOUR = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + (4711).to_bytes(2) + (443).to_bytes(2)
SIX = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1") + (4711).to_bytes(2) + (443).to_bytes(2)
TLV = b"\xea\x00\x05\x01vpce"
LONGEST = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(MAX_V1 - 2, b"f") + b"\r\n"

NAMED: dict[str, tuple[bytes, Proxied | None]] = {
    "v1, IPv4": (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", Proxied("192.0.2.7", 4711)),
    "v1, IPv6": (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", Proxied("2001:db8::7", 4711)),
    "v1, IPv6 in capital letters": (b"PROXY TCP6 2001:DB8::7 ::1 4711 443\r\n", Proxied("2001:db8::7", 4711)),
    "v1, the last port": (b"PROXY TCP4 192.0.2.7 198.51.100.1 65535 0\r\n", Proxied("192.0.2.7", 65535)),
    "v1, unknown": (b"PROXY UNKNOWN\r\n", None),
    "v1, unknown with addresses that are ignored": (b"PROXY UNKNOWN a b c d\r\n", None),
    "v1, the longest": (LONGEST, None),
    "v2, IPv4": (v2(0x21, 0x11, FOUR), Proxied("192.0.2.7", 4711)),
    "v2, IPv6": (v2(0x21, 0x21, SIX), Proxied("2001:db8::7", 4711)),
    "v2, IPv4 and what a cloud adds": (v2(0x21, 0x11, FOUR + TLV * 40), Proxied("192.0.2.7", 4711)),
    "v2, a unix socket": (v2(0x21, 0x31, bytes(216)), None),
    "v2, unspecified": (v2(0x21, 0x00, b""), None),
    "v2, local": (v2(0x20, 0x00, b""), None),
    "v2, local with addresses that are ignored": (v2(0x20, 0x11, FOUR), None),
    "v2, local of an unknown family": (v2(0x20, 0x77, b"x"), None),
    "v2, the longest": (v2(0x21, 0x00, bytes(MAX_V2 - 16)), None),
}

REFUSED = {
    "a request": b"GET / HTTP/1.1\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00",
    "v1, in small letters": b"proxy TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
    "v1, UDP": b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 443\r\n",
    "v1, IPv6 in IPv4": b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n",
    "v1, IPv4 in IPv6": b"PROXY TCP6 192.0.2.7 198.51.100.1 4711 443\r\n",
    "v1, no address": b"PROXY TCP4 192.0.2.700 198.51.100.1 4711 443\r\n",
    "v1, an octal address": b"PROXY TCP4 192.0.02.7 198.51.100.1 4711 443\r\n",
    "v1, no target": b"PROXY TCP4 192.0.2.7 198.51.100.999 4711 443\r\n",
    "v1, two spaces": b"PROXY TCP4  192.0.2.7 198.51.100.1 4711 443\r\n",
    "v1, a space at the end": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 \r\n",
    "v1, a port too high": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
    "v1, a target's port too high": b"PROXY TCP4 192.0.2.7 198.51.100.1 443 65536\r\n",
    "v1, a port with a zero": b"PROXY TCP4 192.0.2.7 198.51.100.1 080 443\r\n",
    "v1, a port with a sign": b"PROXY TCP4 192.0.2.7 198.51.100.1 +80 443\r\n",
    "v1, a scope": b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
    "v1, without a carriage return": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\n",
    "v1, too long": b"PROXY UNKNOWN " + b"x" * MAX_V1 + b"\r\n",
    "v1, too long by one": LONGEST[:-2] + b"f\r\n",
    "v1, a byte that is no text": b"PROXY UNKNOWN \xff\r\n",
    "v2, version 1": v2(0x11, 0x11, FOUR),
    "v2, version 3": v2(0x31, 0x11, FOUR),
    "v2, an unknown command": v2(0x22, 0x11, FOUR),
    "v2, UDP": v2(0x21, 0x12, FOUR),
    "v2, datagrams of a unix socket": v2(0x21, 0x32, bytes(216)),
    "v2, an unknown family": v2(0x21, 0x41, FOUR),
    "v2, too short for IPv4": v2(0x21, 0x11, FOUR[:-1]),
    "v2, too short for IPv6": v2(0x21, 0x21, FOUR),
    "v2, too short for a unix socket": v2(0x21, 0x31, bytes(215)),
    "v2, too long": v2(0x21, 0x11, FOUR, length=MAX_V2 - 15),
}


@pytest.mark.parametrize(("header", "proxied"), NAMED.values(), ids=NAMED)
def test_a_header_names_its_client_in_any_cut(header: bytes, proxied: Proxied | None) -> None:
    for behind in (b"", b"G", b"GET / HTTP/1.1\r\n", SIGNATURE * 400):
        assert parse(header + behind) == (proxied, len(header))
    for length in range(len(header)):
        assert parse(header[:length]) is None


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_in_any_cut_and_never_read_as_a_header(header: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its message is for people
        parse(header)
    for length in range(len(header)):
        with suppress(ValueError):
            assert parse(header[:length]) is None


@given(st.binary(max_size=64), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21", SIGNATURE + b"\x21\x11"]))
def test_no_bytes_do_more_than_raise_value_error(data: bytes, begin: bytes) -> None:
    try:
        found = parse(begin + data)
    except ValueError:
        return
    assert found is None or 0 < found[1] <= len(begin + data)
