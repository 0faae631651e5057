"""Collects the values of options from three places: flags, environment variables, and a TOML file."""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from sessionward.sidecar.config.options import FILE, IDENTIFY, OPTIONS, PREFIX, Option, names, variable_of
from sessionward.sidecar.config.values import text

NOT_OURS: Final = ("SESSIONWARD_TEST_", "SESSIONWARD_REQUIRE_SERVICES")
"""Variables of the project's own tests."""
_OF_KUBERNETES: Final = re.compile(rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
"""What Kubernetes puts into every container beside a Service that is called sessionward."""
MAX_SECRET_FILE: Final = 65_536
"""Bytes."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and where it was given."""

    value: Any
    source: str


_Place: TypeAlias = tuple[Mapping[str, Any], Callable[[str], str]]
"""What one of the three places holds, by the names of options, and what an option is called there."""


def collect(flags: Mapping[str, Any], environment: Mapping[str, str], command: str) -> tuple[dict[str, Given], list[str]]:
    """Returns what is given for a command, by the names of options, and the mistakes.

    A flag takes precedence over a variable, the variable over the file, and the file over the default. ``flags``: by name,
    without those that were not given. An option with a mistake has its default.
    """
    mistakes: list[str] = []
    file = flags.get("config") or environment.get(f"{PREFIX}CONFIG")
    places: list[_Place] = [
        (dict(flags), _flag),
        (_from_environment(environment, mistakes), variable_of),
        (_from_file(file, mistakes) if file else {}, lambda name: f"{name} in {file}"),
    ]
    found: dict[str, Given] = {}
    for option in OPTIONS:
        if option.only not in ("", command):
            continue
        given = next(iter(_given(option, places, mistakes)), None)
        if given is not None:
            found[option.name] = given
        elif option.default is not None:
            found[option.name] = Given(option.default, "default")
    table = places[2][0].get(IDENTIFY)
    if isinstance(table, Mapping):
        found["identify-table"] = Given(dict(cast("Mapping[str, Any]", table)), f"[identify] in {file}")
    return found, mistakes


def _given(option: Option, places: Sequence[_Place], mistakes: list[str]) -> Iterator[Given]:
    for values, called in places:
        given = [name for name in (option.name, option.name + FILE) if name in values and (name == option.name or option.is_secret)]
        if len(given) > 1:
            mistakes.append(_mistake(option.name, "it is given twice, as itself and as a file", called(option.name)))
        for name in given[:1]:
            value = values[name]
            if option.name == IDENTIFY and isinstance(value, Mapping):
                continue
            try:
                yield Given(option.read(value if name == option.name else content_of(value)), called(name))
            except ValueError as wrong:
                mistakes.append(_mistake(name, str(wrong), called(name)))


def _mistake(name: str, why: str, source: str) -> str:
    """Returns a mistake by the name of the option, as all others. It says where the value was given, unless by a flag."""
    return f"{name}: {why}" if source == _flag(name) else f"{name}: {why} ({source})"


def content_of(path: Any) -> str:
    """Returns what a file of secrets holds. Raises ValueError."""
    try:
        with open(text(path), "rb") as opened:
            if is_public(path, os.fstat(opened.fileno())) and not in_container():
                raise ValueError(f"{path} can be read by every user of this machine; chmod o-r {path}")
            data = opened.read(MAX_SECRET_FILE + 1)
        content = data.decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
    if not content.strip():
        raise ValueError(f"{path} is empty")
    if len(data) > MAX_SECRET_FILE:
        raise ValueError(f"{path} is longer than {MAX_SECRET_FILE} bytes")
    return content


def is_public(path: str, status: os.stat_result) -> bool:
    """Returns whether every user of the machine can read a file: its mode says so, and that of each folder above it."""
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IROTH:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in Path(path).resolve().parents)


def in_container() -> bool:
    """Returns whether this process runs in a container, where engines mount secrets readable, and the container keeps others out."""
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv")))


def _flag(name: str) -> str:
    return f"--{name}"


def _from_environment(environment: Mapping[str, str], mistakes: list[str]) -> dict[str, Any]:
    known = {variable_of(name): name for name in names()}
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        if variable in known:
            found[known[variable]] = value
        elif variable.startswith(PREFIX) and not _is_anothers(variable):
            mistakes.append(f"{variable}: there is no such variable{near(variable, known)}")
    return found


def _is_anothers(variable: str) -> bool:
    return variable == f"{PREFIX}CONFIG" or variable.startswith(NOT_OURS) or _OF_KUBERNETES.fullmatch(variable) is not None


def _from_file(path: str, mistakes: list[str]) -> dict[str, Any]:
    try:
        with open(path, "rb") as opened:
            table = tomllib.load(opened)
            public = is_public(path, os.fstat(opened.fileno())) and not in_container()
    except OSError as error:
        mistakes.append(f"config: {path} cannot be read: {error.strerror}")
        return {}
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are such
        mistakes.append(f"config: {path} is not TOML: {error}")
        return {}
    known = names()
    if public and _holds_secret(table):
        mistakes.append(f"config: {path} holds a secret and can be read by every user of this machine; chmod o-r {path}")
    mistakes.extend(f"{name} in {path}: there is no such key{near(name, known)}" for name in table if name not in known)
    return table


def _holds_secret(table: Mapping[str, Any]) -> bool:
    if any(option.is_secret and option.name in table for option in OPTIONS):
        return True
    identify: Any = table.get(IDENTIFY)
    if not isinstance(identify, Mapping):
        return False
    keys = {str(key).replace("-", "_") for key in cast("Mapping[str, Any]", identify)}
    is_redis = cast("Mapping[str, Any]", identify).get("kind") == "redis"  # its key is the name of a key
    return bool(keys & ({"secret", "secret_key", "fallbacks"} | (set() if is_redis else {"key"})))


def near(name: str, known: Iterable[str]) -> str:
    """Returns the name that was probably meant, as the end of a sentence."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""
