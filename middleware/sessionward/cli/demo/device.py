"""What a person calls a device: "Firefox on Windows", read from its ``User-Agent``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_NAME: Final = 40
"""Characters of a ``User-Agent`` that is shown as it is."""

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
    """A device that signed in: whose it is, what to call it, and which picture stands for it."""

    user: str
    name: str
    picture: str


def device_of(user: str, user_agent: str) -> Device:
    """The device that sends this ``User-Agent``, a guess: a client can send what it likes."""
    if not user_agent.startswith("Mozilla/"):
        name = user_agent[:MAX_NAME].strip() or "a device"
        return Device(user, name, "computer")
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "a browser")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    return Device(user, f"{browser} on {system}" if system else browser, "phone" if system in _HAND_HELD else "computer")
