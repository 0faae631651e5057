"""Which paths all servers read alike: no other is ever exempt (CONTRACT.md 4)."""

from __future__ import annotations

import re
from typing import Final

UNCLEAR: Final = re.compile(rb"//|[\x00-\x1f\x7f\\;#]|/\.\.?(?:/|\Z)|%(?:2e|2f|5c|00)", re.IGNORECASE)
"""Empty segments, dot segments, bytes that some servers decode before they split a path, and those at which some cut it."""
