"""Readers that make the value of an option from what a flag, an environment variable or a TOML file holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

MASK: Final = "********"
DAY: Final = 86_400.0
"""Seconds. No timeout of a sidecar is longer."""
MAX_WORKERS: Final = 256
MAX_CONNECTIONS: Final = 1_000_000

Read: TypeAlias = Callable[[Any], Any]
"""Makes a value of what one of the three places holds. Raises ValueError that says what is needed."""


def text(value: Any) -> str:
    """Returns a ``str`` that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("a string is needed")
    if not value.isprintable():
        raise ValueError("a string without control characters is needed")
    return value


def switch(value: Any) -> bool:
    """Returns True or False."""
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in known:
        raise ValueError("true or false is needed")
    return known[value.lower()]


def seconds(value: Any) -> float:
    """Returns a duration in seconds, which may be 0."""
    if isinstance(value, bool):
        raise ValueError("a number of seconds is needed")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a number of seconds is needed") from None
    if not 0 <= number < float("inf"):
        raise ValueError("a number of seconds, not below 0, is needed")
    return number


def pause(value: Any) -> float:
    """Returns a duration of at most a day. It may be 0, which means that the sidecar does not wait."""
    number = seconds(value)
    if number > DAY:
        raise ValueError(f"at most {DAY:.0f} seconds (a day) are possible")
    return number


def timeout(value: Any) -> float:
    """Returns a duration above 0 and of at most a day: with 0 every request would fail."""
    number = pause(value)
    if number == 0:
        raise ValueError("more than 0 seconds are needed, since with 0 the time is always over")
    return number


def whole(value: Any) -> int:
    """Returns a whole number from 1 on."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number from 1 on is needed")
    return value


def at_most(most: int) -> Read:
    """Returns a reader of whole numbers from 1 to ``most``."""

    def read(value: Any) -> int:
        number = whole(value)
        if number > most:
            raise ValueError(f"at most {most} are possible")
        return number

    return read


def one_of(*words: str) -> Read:
    """Returns a reader that accepts these words only."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{' or '.join(words)} is needed")
        return str(value)

    return read


def texts(value: Any) -> tuple[str, ...]:
    """Returns a list of ``str``. Within one ``str`` a comma separates them."""
    if isinstance(value, str):
        return tuple(part for part in (part.strip() for part in value.split(",")) if part)
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in cast("Sequence[object]", value)):
        raise ValueError("a list of strings is needed")
    return tuple(part for item in cast("Sequence[str]", value) for part in texts(item))


def secrets(value: Any) -> tuple[str, ...]:
    """Returns secrets, newest first. In one ``str`` each line is a secret, but a PEM file is one secret."""
    if isinstance(value, str) and value.lstrip().startswith("-----BEGIN "):
        value = [value.strip() + "\n"]
    elif isinstance(value, str):
        value = [line for line in (line.strip() for line in value.splitlines()) if line]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in cast("Sequence[object]", value)):
        raise ValueError("a list of strings is needed, newest first")
    found = tuple(cast("Sequence[str]", value))
    if not found:
        raise ValueError("it is empty; leave it out if there is none")
    if MASK in found:
        raise ValueError("this is the mask that print-config shows; give the secret itself")
    return found
