"""Flask-Login's remember-me cookie, which both of Flask's identifiers read: ``user|signature``.

It carries no time and is the same text in every browser of a user; no secret but the current one counts for it, also
where Flask takes ``SECRET_KEY_FALLBACKS`` for its sessions.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from sessionward.errors import InvalidCredential
from sessionward.session.identifier import Identity

_FORM: Final = re.compile(r"([\w!#$%&'()*+\-./:<=>?@\[\]^`{|}~]*)\|([0-9a-f]{128})", re.ASCII)
"""What Werkzeug writes without quotes around it; a quoted value is none that can be read in one way only."""


class RememberToken:
    """Reads the tokens that ``login_user(..., remember=True)`` hands out, by the rules of ``flask_login.decode_cookie``."""

    __slots__ = ("_lifetime", "_prepared")

    def __init__(self, secret_key: str | bytes, lifetime: float) -> None:
        """Raises ``UnicodeEncodeError`` for a key that Flask-Login cannot use."""
        key = secret_key.encode("latin-1") if isinstance(secret_key, str) else secret_key
        self._prepared = hmac.new(key, digestmod="sha512")
        self._lifetime = lifetime

    def __repr__(self) -> str:
        return "<RememberToken>"

    def read(self, value: str) -> Identity:
        """Whom it signs in. Raises :class:`~sessionward.errors.InvalidCredential`."""
        form = _FORM.fullmatch(value)
        if form is None:
            raise InvalidCredential("a remember-me cookie of no known form")
        mac = self._prepared.copy()
        mac.update(form[1].encode())
        if not form[1] or not hmac.compare_digest(mac.hexdigest(), form[2]):
            raise InvalidCredential("a remember-me cookie that the application's secret did not sign")
        return Identity(user_id=form[1], lifetime=self._lifetime)
