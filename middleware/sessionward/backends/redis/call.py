"""What is asked of Redis: a script on one key, and a flow of such calls.

One key of each user decides (CONTRACT.md 5): a script on two keys breaks while their slot is being moved between nodes. A flow is a
generator that yields calls and gets their replies; ``run.py`` drives it for sync and async code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

R = TypeVar("R")

Argument: TypeAlias = bytes | str | int | float


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script that declares one key. ``text`` begins with its shebang, which decides what a full or demoted server does."""

    name: str
    text: str = field(repr=False)
    sha: str = field(init=False, repr=False)
    head: bytes = field(init=False, repr=False)
    """What each call of it begins with, after the number of words: EVALSHA, the digest, and that one key follows."""

    def __post_init__(self) -> None:
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)
        object.__setattr__(self, "head", b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n" % sha.encode())


@dataclass(frozen=True, slots=True)
class Call:
    """A script to run on a key.

    ``writes``: whether it may change something; then a lost reply is :class:`~sessionward.errors.OutcomeUnknown`. ``lasts``: whether
    its answer must outlive the primary; then WAIT follows on the same connection, if the backend has a ``wait``. The script must have
    written something: after a command that wrote nothing, WAIT proves nothing.
    """

    script: Script
    key: bytes = field(repr=False)
    arguments: Sequence[Argument] = field(default=(), repr=False)
    writes: bool = False
    lasts: bool = False


class NotHere(Exception):
    """Thrown into a flow: the script read a key that it had not declared, whose slot is being moved to another node."""


Flow: TypeAlias = Generator[Call | Sequence[Call], Any, R]
"""Calls, and what comes of their replies. A sequence of calls goes out at once, each to its own node; the reply is a list.

After a call that has written, every failure is :class:`~sessionward.errors.OutcomeUnknown`.
"""
