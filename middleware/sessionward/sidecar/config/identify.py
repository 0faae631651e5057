"""The identifier that a configuration names: its kind, and the keywords that it is made with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from sessionward.errors import ConfigurationError
from sessionward.sidecar.config.named import explained, named_object, names_object, set_up_django
from sessionward.sidecar.config.options import BY_NAME
from sessionward.sidecar.config.sources import content_of, near
from sessionward.sidecar.config.values import MASK, secrets

PEM: Final = "-----BEGIN "


@dataclass(frozen=True, slots=True)
class _Kind:
    """A class of identifier, and what it calls the words of a configuration.

    ``called``: the keyword for each word. The words ``secret``, ``user`` and ``cookie`` are options as well, such as
    ``identify-user``; all words are keys of the table [identify].
    """

    module: str
    name: str
    called: Mapping[str, str] = field(default_factory=dict[str, str])


KINDS: Final[Mapping[str, _Kind]] = {
    "flask": _Kind("flask", "FlaskLogin", {"secret": "secret_key", "user": "user_key", "cookie": "session_cookie"}),
    "starlette": _Kind("starlette", "StarletteSession", {"secret": "secret_key", "user": "user", "cookie": "cookie"}),
    "django": _Kind("django", "SignedCookies"),
    "jwt": _Kind(
        "jwt",
        "JWT",
        {"secret": "key", "user": "user_claim", "claim": "user_claim", "cookie": "cookies", "algorithm": "algorithms"},
    ),
    "sql": _Kind("sql", "SQLQuery", {"cookie": "cookie"}),
    "redis": _Kind("redis", "RedisKey", {"cookie": "cookie", "user": "field"}),
    "signed-cookie": _Kind("signed", "SignedCookie", {"secret": "secret", "user": "user", "cookie": "cookie"}),
}
_LISTS: Final = frozenset({"cookies", "algorithms"})
"""Keywords that take a list. One value, or values that commas separate, are a list too."""


def identify_options(value: Mapping[str, Any], mistakes: list[str]) -> tuple[str | None, dict[str, Any]]:
    """Returns the identifier's kind, None if there is none, and the keywords that it is made with."""
    table: dict[str, Any] = dict(value.get("identify-table", {}))
    named: Any = value.get("identify", table.pop("kind", None))
    if named is None:
        if table or value["identify-secret"] or "identify-user" in value or "identify-cookie" in value:
            mistakes.append(f"identify: a kind is needed: {BY_NAME['identify'].help}")
        return None, {}
    if not isinstance(named, str) or (named not in KINDS and not names_object(named)):
        mistakes.append(f"identify: {named!r} is not one of {', '.join(KINDS)}, and no package.module:object")
        return None, {}
    table.pop("kind", None)
    kind = KINDS.get(named)
    options = _of_table(table, {} if kind is None else kind.called, mistakes)
    if options and kind is None:
        mistakes.append("identify: package.module:object takes no options from here")
    _of_options(named, {} if kind is None else kind.called, value, options, mistakes)
    for key in _LISTS & options.keys():
        if isinstance(options[key], str):
            options[key] = [part.strip() for part in options[key].split(",") if part.strip()]
    if named == "jwt":
        _complete_jwt(options)
    if isinstance(options.get("header"), str):
        options["header"] = [part.strip().lower() for part in options["header"].split(":") if part.strip()]
    return named, options


def _of_table(table: Mapping[str, Any], called: Mapping[str, str], mistakes: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, each in table.items():
        word = key.removesuffix("-file").replace("-", "_")
        name = called.get(word, word)
        if name in options or each == MASK:
            mistakes.append(f"[identify] {key}: {'this is the mask of print-config' if each == MASK else 'it is given twice'}")
            continue
        try:
            options[name] = secrets(content_of(each))[0] if key.endswith("-file") else each
        except ValueError as wrong:
            mistakes.append(f"[identify] {key}: {wrong}")
    return options


def _of_options(named: str, called: Mapping[str, str], value: Mapping[str, Any], options: dict[str, Any], mistakes: list[str]) -> None:
    own: tuple[str, ...] = value["identify-secret"]
    if own and "secret" in called:
        options[called["secret"]] = own[0]
        if len(own) > 1 and named == "flask":
            options["fallbacks"] = list(own[1:])
        elif len(own) > 1:
            mistakes.append(f"identify-secret: {named} takes one only")
    for word in ("user", "cookie"):
        if f"identify-{word}" in value and word in called:
            options[called[word]] = value[f"identify-{word}"]
    refused = [word for word in ("user", "cookie") if f"identify-{word}" in value and word not in called]
    if own and "secret" not in called:
        refused = ["secret", *refused]
    if refused:
        mistakes.append(f"identify: {named} takes no {' and no '.join(refused)} from here")


def _complete_jwt(options: dict[str, Any]) -> None:
    """Adds what the given keywords imply: HMAC for a secret that is no public key, and no cookies where only a header is named."""
    key = options.get("key")
    if key is None or (isinstance(key, str) and not key.lstrip().startswith(PEM)):
        options.setdefault("algorithms", ["HS256"])
    if "header" in options:
        options.setdefault("cookies", [])
        if isinstance(options["header"], str) and ":" not in options["header"]:
            options["header"] += ": bearer"


def advice(named: str | None, options: Mapping[str, Any]) -> Iterator[str]:
    """Yields what the person who starts this should know about an identifier with these keywords."""
    if named == "jwt" and "cookies" not in options:
        yield (
            "identify: jwt reads the cookies access_token_cookie and refresh_token_cookie; if the application's login is elsewhere, "
            "name it with identify-cookie or [identify] header, since a login that is not named is never checked"
        )


def make_identifier(named: str | None, options: Mapping[str, Any]) -> Any:
    """Returns the identifier that was named, None if there is none. Raises :class:`ConfigurationError`."""
    if named is None:
        return None
    if named not in KINDS:
        found = named_object("identify", named)
        if found is None:
            raise ConfigurationError(f"identify: {named} is None, and an identifier is needed")
        return found
    if named == "django":
        set_up_django("identify")
    kind = KINDS[named]
    with explained("identify"):
        made: Callable[..., Any] = getattr(import_module(f"sessionward.identify.{kind.module}"), kind.name)
        parameters = inspect.signature(made).parameters
        known = [*parameters, *kind.called]
        mistakes = [f"identify: {kind.name} has no {key}{near(key, known)}" for key in options if key not in parameters]
        needed = [key for key, each in parameters.items() if each.default is each.empty and key not in options]
        mistakes += [f"identify: {kind.name} needs {key}{_as_option(kind, key)}" for key in needed]
        if mistakes:
            raise ConfigurationError(*mistakes)
        return made(**{key: tuple(value) if key == "header" else value for key, value in options.items()})


def _as_option(kind: _Kind, key: str) -> str:
    """Returns how a keyword of an identifier is given: by an option of its own, or as a key of the table."""
    word = next((word for word in ("secret", "user", "cookie") if kind.called.get(word) == key), None)
    return f": identify-{word}" if word else f': {key} = "..." in the table [identify]'
