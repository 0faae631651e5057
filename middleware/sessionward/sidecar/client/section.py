"""The header section of a request, which a client often repeats byte for byte in its next one."""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_KEPT: Final = 1_024
"""Bytes of a section that a connection keeps."""


class Forwarded(NamedTuple):
    """What the upstream gets of a section, and what it depends on: who has made it, for which peer, and whether that is trusted."""

    by: object
    peer: str | None
    is_trusted: bool
    lines: bytes


class Section:
    """A header section that has been read. ``raw``: its bytes behind the request line. ``fields``: what they say.

    ``authorization``: the value of Authorization, if there is one. No section is kept that frames a body or asks for an upgrade.
    ``forwarded``: what the upstream has got of it.
    """

    __slots__ = ("authorization", "fields", "forwarded", "raw")

    def __init__(self, raw: bytes, fields: list[tuple[bytes, bytes]], authorization: bytes | None) -> None:
        self.raw = raw
        self.fields = fields
        self.authorization = authorization
        self.forwarded: Forwarded | None = None
