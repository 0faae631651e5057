"""The warning to the operator if the application sets a login cookie that the identifier cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sessionward.modes.companion.judge import Judged
from sessionward.response.set_cookies import SetCookie
from sessionward.session.identifier import IdentifierSpec


def unread_warning(spec: IdentifierSpec, judged: Judged, cookies: Sequence[SetCookie]) -> str | None:
    """Returns the warning, or None if the identifier can read everything that the response sets.

    The application itself has just set such a cookie, so no client has forged it.
    """
    names = {cookie.name for cookie in cookies}
    unread = [cookie.name for cookie in cookies if cookie.is_odd] + [login.name for login in judged.invalid if login.name in names]
    if not unread:
        return None
    name = unread[0]
    others = "; the other login cookies of this response count" if judged.named else ""
    return _UNREAD.format(
        identifier=type(spec.identifier).__name__, name=name, others=others, advice=spec.advice.get(name.removesuffix("*"), _ADVICE)
    )


_UNREAD: Final = (
    "{identifier} cannot read the cookie {name!r} that the application has just set, so we remove it from requests and it signs no"
    " user in{others}; {advice}"
)
_ADVICE: Final = "check that its secret, names and formats are those of the application"
