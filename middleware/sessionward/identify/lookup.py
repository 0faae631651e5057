"""What the identifiers that look a value up have in common: where the value is, and which part of it is the key."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

from sessionward.credential.carriers import Carrier
from sessionward.errors import InvalidCredential, Mistakes
from sessionward.session.identifier import AnonymousSession, Identity

_FORM: Final = re.compile(r"[\x21-\x7e]{1,4096}")
"""Printable ASCII without blanks. No database gets a byte that its driver refuses."""
DIGESTS: Final = frozenset({"sha1", "sha256", "sha384", "sha512"})

Header: TypeAlias = Sequence[str]
"""The name of a header, and perhaps the scheme before its value: ``("authorization", "token")``."""


class Key:
    """Makes the key of a session of the value that a client sends.

    - ``pattern``: a regular expression for the whole value. Its one group is the key. Without it the value is the key.
    - ``digest``: the hash whose hexadecimal digits the application keeps in place of the key: ``sha256`` and so on.

    It adds its mistakes to those of the identifier.
    """

    def __init__(self, mistakes: Mistakes, *, pattern: str | None, digest: str | None) -> None:
        self._pattern = None if pattern is None else _compiled(mistakes, pattern)
        self._digest = digest
        if digest is not None and digest not in DIGESTS:
            mistakes.add([f"digest: must be one of {', '.join(sorted(DIGESTS))}"])

    def of(self, value: str) -> str:
        """Returns the key. Raises :class:`~sessionward.errors.InvalidCredential` for a value without one."""
        if _FORM.fullmatch(value) is None:
            raise InvalidCredential("the value holds bytes that no session id has")
        key = value
        if self._pattern is not None:
            found = self._pattern.fullmatch(value)
            if found is None or not found[1]:
                raise InvalidCredential("the value does not match the pattern")
            key = found[1]
        return key if self._digest is None else hashlib.new(self._digest, key.encode()).hexdigest()


def _compiled(mistakes: Mistakes, pattern: str) -> re.Pattern[str] | None:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        mistakes.add([f"pattern: is not a regular expression: {error}"])
        return None
    if compiled.groups != 1:
        mistakes.add(["pattern: must have exactly one group, which is the key"])
    return compiled


def carriers(mistakes: Mistakes, cookie: str | None, header: Header | None) -> tuple[tuple[str, ...], tuple[Carrier, ...]]:
    """Returns the names of the cookies and the headers. It adds a mistake if there are none."""
    if not cookie and header is None:
        mistakes.add(["cookie: neither a cookie nor a header is named; name every credential that can sign a user in"])
    if header is None:
        return (cookie,) if cookie else (), ()
    if isinstance(header, str) or not 1 <= len(header) <= 2 or not all(header):
        mistakes.add(['header: must be a name, or a name and a scheme, such as ("authorization", "token")'])
        return (), ()
    return (cookie,) if cookie else (), (Carrier.header(header[0], scheme=header[1] if len(header) > 1 else ""),)


def whose(user: Any, session_id: str, *, issued_at: float | None = None) -> Identity | AnonymousSession:
    """Returns the user that a store names, or the anonymous session if it names none. 0 is a user."""
    if isinstance(user, bytes):
        user = user.decode()
    if user is None or user == "" or user is False:
        return AnonymousSession(session_id=session_id)
    return Identity(user_id=user, session_id=session_id, issued_at=issued_at)


def at_path(found: Any, path: Sequence[str]) -> Any:
    """Returns what nested mappings hold under these keys, or None."""
    for key in path:
        if isinstance(found, dict):
            found = cast("dict[str, Any]", found).get(key)
        else:
            return None
    return found
