"""Names a device as a person would, "Firefox on Windows", by its ``User-Agent``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sessionward.api.page.labels import MAX_NAME, label_of

_HAND_HELD: Final = ("iPhone", "iPad", "Android")


@dataclass(frozen=True, slots=True)
class Device:
    """A device that signed in: its user, its name, and its picture."""

    user: str
    name: str
    picture: str


def device_of(user: str, user_agent: str) -> Device:
    """Returns the device that sends this ``User-Agent``. It is a guess, since a client can send any value."""
    browser, system = label_of(user_agent)
    if not browser and not user_agent.startswith("Mozilla/"):  # the devices of the story, which name themselves
        return Device(user, user_agent[:MAX_NAME].strip() or "a device", "computer")
    browser = browser or "a browser"
    return Device(user, f"{browser} on {system}" if system else browser, "phone" if system in _HAND_HELD else "computer")
