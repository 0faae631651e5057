"""The names of the methods by which a user was authenticated: password, totp, ..."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

from sessionward.errors import UsageError

_METHOD: Final = re.compile(r"[a-z0-9_]{1,32}")


def checked_methods(methods: object) -> Sequence[str]:
    """Returns the methods of a sign-in. Raises :class:`UsageError` for what is not a list of their names."""
    given = () if isinstance(methods, str) or not isinstance(methods, Sequence) else tuple(cast("Sequence[object]", methods))
    names = tuple(method for method in given if isinstance(method, str) and _METHOD.fullmatch(method))
    if len(names) < len(given) or (not given and methods not in ((), [])):
        raise UsageError("methods must be a list of names such as 'password' or 'totp': lower-case letters, digits and underscores")
    return names
