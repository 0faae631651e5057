"""Flask-Login's remember-me cookie, which both identifiers for Flask read: ``user|signature``.

The cookie carries no time and has the same value in every browser of a user. Flask-Login accepts it under the current secret
only, even where Flask accepts ``SECRET_KEY_FALLBACKS`` for its sessions.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

from sessionward.errors import ConfigurationError, InvalidCredential
from sessionward.session.identifier import Identity

_FORM: Final = re.compile(r"([\w!#$%&'()*+\-./:<=>?@\[\]^`{|}~]*)\|([0-9a-f]{128})", re.ASCII)
"""What Werkzeug writes without quotes. We reject a quoted value, since parsers read it in more than one way."""


class RememberToken:
    """Reads the cookies that ``login_user(..., remember=True)`` sets, by the rules of ``flask_login.decode_cookie``."""

    __slots__ = ("_lifetime", "_prepared")

    def __init__(self, secret_key: str | bytes, lifetime: float) -> None:
        """Raises :class:`~sessionward.errors.ConfigurationError` for a key that Flask-Login cannot use."""
        try:
            key = secret_key.encode("latin-1") if isinstance(secret_key, str) else secret_key
        except UnicodeEncodeError:  # its message quotes the key
            raise ConfigurationError(
                "secret_key: must be bytes or a latin-1 str, as Flask-Login signs with it; without remember-me set remember_cookie=None"
            ) from None
        self._prepared = hmac.new(key, digestmod="sha512")
        self._lifetime = lifetime

    def __repr__(self) -> str:
        return "<RememberToken>"

    def read(self, value: str) -> Identity:
        """Returns the user that this cookie signs in. Raises :class:`~sessionward.errors.InvalidCredential`."""
        form = _FORM.fullmatch(value)
        if form is None:
            raise InvalidCredential("the remember-me cookie does not have the form that Flask-Login writes")
        mac = self._prepared.copy()
        mac.update(form[1].encode())
        if not form[1] or not hmac.compare_digest(mac.hexdigest(), form[2]):
            raise InvalidCredential("the application's secret did not sign the remember-me cookie")
        return Identity(user_id=form[1], lifetime=self._lifetime)
