"""What the error that a server has answered says: did the script run?"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)


class Kind(Enum):
    """What an error means for the script that was called."""

    NO_SCRIPT = auto()  # this server does not have the script: it has not run
    MOVED = auto()  # another server has the key: it has not run
    ASK = auto()  # another server has the key for this once: it has not run
    TRY_AGAIN = auto()  # the slot is on its way to another server: it has not run
    DEMOTED = auto()  # this server is a replica now: it has not run
    NOT_RUN = auto()
    NOT_HERE = auto()  # it read a key, not declared, that is on its way to another server
    UNKNOWN = auto()  # it may have run, up to some line


_BY_CLASS: Final[dict[type[Exception], tuple[Kind, str]]] = {
    NoScriptError: (Kind.NO_SCRIPT, "NOSCRIPT"),
    MovedError: (Kind.MOVED, "MOVED"),
    AskError: (Kind.ASK, "ASK"),
    TryAgainError: (Kind.TRY_AGAIN, "TRYAGAIN"),
    ReadOnlyError: (Kind.DEMOTED, "READONLY"),
    ClusterDownError: (Kind.NOT_RUN, "CLUSTERDOWN"),
    BusyLoadingError: (Kind.NOT_RUN, "LOADING"),
    MasterDownError: (Kind.NOT_RUN, "MASTERDOWN"),
    AuthenticationError: (Kind.NOT_RUN, "NOAUTH"),
}
"""redis-py cuts the code off the messages of these."""
_BY_CODE: Final = {
    "NOSCRIPT": Kind.NO_SCRIPT,
    "TRYAGAIN": Kind.TRY_AGAIN,
    **dict.fromkeys(
        ("CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "MISCONF", "BUSY", "NOAUTH", "CROSSSLOT", "NOPROTO"), Kind.NOT_RUN
    ),
}
_IN_A_SCRIPT: Final = ("script:", "user_script")
"""The server adds where it was, if the error comes from a command in a script: then the lines above it have run."""
NON_LOCAL: Final = "attempted to access a non local key"
_WORDS: Final = {
    "OOM": "its memory is full (maxmemory)",
    "NOREPLICAS": "too few replicas are connected (min-replicas-to-write)",
    "MISCONF": "it cannot write its data to the disk",
    "READONLY": "it is a replica, and refuses every script",
    "CLUSTERDOWN": "the cluster does not serve this slot",
    "MASTERDOWN": "its link to the primary is down",
    "LOADING": "it is loading its data",
    "BUSY": "it runs a script that does not end",
    "NOAUTH": "it refuses the user or the password",
    "NOPERM": "the ACL of the user does not allow it",
}


def kind_of(error: Exception) -> tuple[Kind, str]:
    """Returns what an error that was answered to EVALSHA or EVAL means, and its code."""
    message = str(error)
    if NON_LOCAL in message:
        return Kind.NOT_HERE, "ERR"
    for known, found in _BY_CLASS.items():
        if isinstance(error, known):
            return found if not _comes_from_within(message) else (Kind.UNKNOWN, found[1])
    if isinstance(error, (OutOfMemoryError, NoPermissionError)):
        code = "OOM" if isinstance(error, OutOfMemoryError) else "NOPERM"
    elif isinstance(error, ResponseError):
        code = _code_of(message)
    else:
        return Kind.UNKNOWN, type(error).__name__
    if _comes_from_within(message):
        return Kind.UNKNOWN, code
    kind = Kind.NOT_RUN if code in ("OOM", "NOPERM") else _BY_CODE.get(code, Kind.UNKNOWN)
    return kind, code


def refusal(replies: Sequence[Any]) -> str:
    """Returns why a server answers nothing on a connection, for people; "" if it does."""
    refused = isinstance(replies[0], (AuthenticationError, BusyLoadingError))
    return explained(kind_of(replies[0])[1]) if refused else ""


def _code_of(message: str) -> str:
    """Returns the code at the head of a message. A script's own error need not have one: its words may be what it was given."""
    code = message.split(" ", 1)[0]
    return code if code.isascii() and code.isalpha() and code.isupper() else "ERR"


def _comes_from_within(message: str) -> bool:
    return any(mark in message for mark in _IN_A_SCRIPT)


def explained(code: str) -> str:
    """Returns a code of Redis with what it says, for people. It never holds what a script was given."""
    words = _WORDS.get(code)
    return code if words is None else f"{words}, {code}"
