"""Names a device as a person would, "Firefox on Windows", by its ``User-Agent``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_NAME: Final = 40
"""How many characters of an unknown ``User-Agent`` the page shows."""

_BROWSERS: Final = (  # most of them also claim to be those below
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
_HAND_HELD: Final = ("iPhone", "iPad", "Android")


@dataclass(frozen=True, slots=True)
class Device:
    """A device that signed in: its user, its name, and its picture."""

    user: str
    name: str
    picture: str


def device_of(user: str, user_agent: str) -> Device:
    """Returns the device that sends this ``User-Agent``. It is a guess, since a client can send any value."""
    if not user_agent.startswith("Mozilla/"):
        name = user_agent[:MAX_NAME].strip() or "a device"
        return Device(user, name, "computer")
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "a browser")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return Device(user, f"{browser} on {system}" if system else browser, "phone" if system in _HAND_HELD else "computer")
