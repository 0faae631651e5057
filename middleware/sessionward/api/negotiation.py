"""Whether a client of our routes reads a page or JSON (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from typing import Final

_MAX_BYTES: Final = 512
_MAX_RANGES: Final = 20
_QUALITY: Final = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
_JSON: Final = (b"application/json", b"application/*", b"*/*")
"""The ranges that accept JSON, the most specific first."""


def prefers_html(accept: bytes | None) -> bool:
    """Returns whether an Accept field names HTML and prefers it to JSON, as browsers do when a person opens a page.

    Reads at most 512 bytes and 20 ranges. Libraries send ``*/*`` or name JSON, and get JSON.
    """
    qualities: dict[bytes, float] = {}
    for part in (accept or b"")[:_MAX_BYTES].lower().split(b",")[:_MAX_RANGES]:
        name, *parameters = (text.strip(b" \t") for text in part.split(b";"))
        quality = next((text[2:].strip() for text in parameters if text.startswith(b"q=")), b"1")
        if _QUALITY.match(quality):
            qualities.setdefault(name, float(quality))
    json = next((qualities[name] for name in _JSON if name in qualities), 0.0)
    return qualities.get(b"text/html", 0.0) > json
