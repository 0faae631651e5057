"""Normalises the values of settings: durations to seconds, lists to tuples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, cast

Duration = float | timedelta
"""Seconds, or a ``timedelta``."""


def _items(value: object) -> Sequence[object]:
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    return cast("Sequence[object]", value) if is_list else [None]


def _strings(value: object) -> tuple[str, ...]:
    strings = tuple(item for item in _items(value) if isinstance(item, str))
    if len(strings) < len(_items(value)):
        raise TypeError("must be a list of str")
    return strings


def _keys(value: object) -> tuple[bytes, ...]:
    keys = tuple(item.encode() if isinstance(item, str) else item for item in _items(value) if isinstance(item, (str, bytes)))
    if len(keys) < len(_items(value)):
        raise TypeError("must be a list of str or bytes, newest first: secrets=[...]")
    return keys


def seconds(value: object) -> float:
    """Returns a duration in seconds. Raises ``TypeError`` for a value that is neither a number nor a ``timedelta``."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("must be seconds or a timedelta")
    try:
        return float(value)
    except OverflowError:
        raise TypeError("must be a number of seconds that a clock can count") from None


def is_text(value: object) -> bool:
    """Returns whether UTF-8 can encode all strings in a value: half of a surrogate pair it cannot."""
    parts = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    try:
        "".join(part for part in parts if isinstance(part, str)).encode()
    except UnicodeEncodeError:
        return False
    return True


NORMAL: Final[Mapping[str, Callable[[object], Any]]] = {
    "secrets": _keys,
    "assertion_secrets": _keys,
    "exempt_paths": _strings,
    "trusted_origins": _strings,
    "lifetime": seconds,
    "idle_timeout": lambda value: None if value is None else seconds(value),
    "backend_timeout": seconds,
    "lease": seconds,
    "recent": lambda value: None if value is None else seconds(value),
    "recheck": lambda value: None if value is None else seconds(value),
    "recheck_paths": lambda value: None if value is None else _strings(value),
    "cookie_samesite": lambda value: value.lower() if isinstance(value, str) else value,
}
"""By the name of a setting: what normalises its value, or raises ``TypeError``."""
