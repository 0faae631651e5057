"""URLs of Redis for the sidecar and the commands: a URL also holds the settings of the backend, and is shown without its password."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sessionward.errors import ConfigurationError
from sessionward.sidecar.config.named import explained
from sessionward.sidecar.config.values import MASK

_SCHEMES: Final = ("redis", "rediss", "unix", "valkey", "valkeys")
_SECRET: Final = ("pass", "secret", "key", "token")


def _wait(value: str) -> tuple[int, int]:
    replicas, milliseconds = value.split(",")
    return int(replicas), int(milliseconds)


def _flag(value: str) -> bool:
    if value not in ("yes", "no"):
        raise ValueError
    return value == "yes"


_SETTINGS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "prefix": (str, "a name"),
    "wait": (_wait, "replicas and milliseconds, for example 1,500"),
    "strict": (_flag, "yes or no"),
    "keep_revoked": (float, "a number of seconds"),
}
"""What RedisBackend takes besides the server, how a URL writes it, and how that is said."""


def is_redis(named: str) -> bool:
    """Returns whether this is a URL of Redis, right or wrong."""
    scheme, separator, _ = named.partition("://")
    return bool(separator) and scheme.lower().partition("+")[0] in _SCHEMES


def redis_backend(option: str, named: str, *, is_async: bool, **settings: Any) -> Any:
    """Returns a backend for a URL. It connects to nothing. Raises :class:`ConfigurationError` under the name of the option."""
    with explained(option):
        url, own = _parted(named)
        module = import_module("sessionward.backends.redis")
        return getattr(module, "AsyncRedisBackend" if is_async else "RedisBackend")(url, **{**settings, **own})


def without_secrets(named: str) -> str:
    """Returns the URL fit to be shown."""
    try:
        url = urlsplit(named)
    except ValueError:
        return MASK
    if "@" in url.query or "@" in url.fragment or ("@" in url.path and url.scheme != "unix"):
        return MASK  # the end of a password that is not percent-encoded, as far as we know
    credentials, at, hosts = url.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    query = [
        f"{name}=***" if any(word in name.lower() for word in _SECRET) else f"{name}={value}"
        for name, value in parse_qsl(url.query, keep_blank_values=True)
    ]
    shown = f"{url.scheme}://{f'{user}:***' if colon else user}{at}{hosts}{url.path}"  # urlunsplit drops // where no host follows
    return f"{shown}?{'&'.join(query)}" if query else shown


def _parted(named: str) -> tuple[str, dict[str, Any]]:
    """Returns the URL without the settings of the backend, and these."""
    try:
        url = urlsplit(named)
    except ValueError:
        return named, {}  # the backend knows what is wrong with it
    pairs = parse_qsl(url.query, keep_blank_values=True)
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in _SETTINGS:
            read, how = _SETTINGS[name]
            try:
                found[name] = read(value)
            except ValueError:
                raise ConfigurationError(f"{name} in the URL must be {how}") from None
        elif meant := get_close_matches(name, _SETTINGS, n=1, cutoff=0.75):
            raise ConfigurationError(f"the URL has an option that is not supported: do you mean {meant[0]}?")
    rest = urlencode([pair for pair in pairs if pair[0] not in _SETTINGS])
    return (urlunsplit(url._replace(query=rest)) if found else named), found
